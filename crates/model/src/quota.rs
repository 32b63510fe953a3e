//! How many there may be of what.

use std::collections::BTreeMap;

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say what they are")]
pub enum Quota {
    Vpcs,
    VSwitches,
    RouteTables,
    RouteEntries,
    Eips,
    NatGateways,
    GatewayEips,
    NatIps,
    NatIpCidrs,
    SnatEntries,
    ForwardEntries,
    BandwidthPackages,
    PackageEips,
    Peerings,
    Instances,
    Enis,
    SecurityGroups,
    EniGroups,
    EniRules,
    GroupReferences,
    Users,
    AccessKeys,
    AccessPolicies,
    UserPolicies,
    FirewallPolicies,
    PolicySpread,
    AddressBooks,
    BookEntries,
    BookPorts,
    PolicyBackups,
    FirewallEips,
}

impl Quota {
    /// All of them.
    pub const ALL: [Quota; 31] = [
        Quota::Vpcs,
        Quota::VSwitches,
        Quota::RouteTables,
        Quota::RouteEntries,
        Quota::Eips,
        Quota::NatGateways,
        Quota::GatewayEips,
        Quota::NatIps,
        Quota::NatIpCidrs,
        Quota::SnatEntries,
        Quota::ForwardEntries,
        Quota::BandwidthPackages,
        Quota::PackageEips,
        Quota::Peerings,
        Quota::Instances,
        Quota::Enis,
        Quota::SecurityGroups,
        Quota::EniGroups,
        Quota::EniRules,
        Quota::GroupReferences,
        Quota::Users,
        Quota::AccessKeys,
        Quota::AccessPolicies,
        Quota::UserPolicies,
        Quota::FirewallPolicies,
        Quota::PolicySpread,
        Quota::AddressBooks,
        Quota::BookEntries,
        Quota::BookPorts,
        Quota::PolicyBackups,
        Quota::FirewallEips,
    ];

    /// Its name, how many there may be unless somebody says otherwise, and in the cloud itself.
    #[rustfmt::skip]
    fn row(self) -> (&'static str, u32, u32) {
        match self {
            Quota::Vpcs => ("vpcs", 1_000, 10),
            Quota::VSwitches => ("vswitches-per-vpc", 1_000, 150),
            Quota::RouteTables => ("route-tables-per-vpc", 200, 9),
            Quota::RouteEntries => ("routes-per-table", 1_000, 200),
            Quota::Eips => ("eips", 10_000, 20),
            Quota::NatGateways => ("nat-gateways-per-vpc", 20, 5),
            Quota::GatewayEips => ("eips-per-nat-gateway", 1_000, 20),
            Quota::NatIps => ("nat-ips-per-nat-gateway", 1_000, 15),
            Quota::NatIpCidrs => ("nat-ip-cidrs-per-nat-gateway", 100, 5),
            Quota::SnatEntries => ("snat-entries-per-nat-gateway", 2_000, 40),
            Quota::ForwardEntries => ("dnat-entries-per-nat-gateway", 10_000, 100),
            Quota::BandwidthPackages => ("bandwidth-packages", 1_000, 10),
            Quota::PackageEips => ("eips-per-bandwidth-package", 1_000, 100),
            Quota::Peerings => ("peerings-per-vpc", 1_000, 10),
            Quota::Instances => ("instances", 10_000, 1_000),
            Quota::Enis => ("enis", 20_000, 2_000),
            Quota::SecurityGroups => ("security-groups", 10_000, 100),
            Quota::EniGroups => ("security-groups-per-eni", 16, 5),
            Quota::EniRules => ("rules-per-eni", 5_000, 1_000),
            Quota::GroupReferences => ("group-rules-per-security-group", 200, 20),
            Quota::Users => ("users", 1_000, 1_000),
            Quota::AccessKeys => ("access-keys-per-user", 10, 2),
            Quota::AccessPolicies => ("access-policies", 1_500, 1_500),
            Quota::UserPolicies => ("policies-per-user", 50, 20),
            Quota::FirewallPolicies => ("policies-per-firewall", 200_000, 100_000),
            Quota::PolicySpread => ("policies-multiplied-out", u32::MAX, 100_000),
            Quota::AddressBooks => ("address-books", 10_000, 5_000),
            Quota::BookEntries => ("entries-per-address-book", 2_000, 2_000),
            Quota::BookPorts => ("ports-per-address-book", 50, 50),
            Quota::PolicyBackups => ("policy-backups", 12, 12),
            Quota::FirewallEips => ("eips-per-nat-firewall", 1_000, 10),
        }
    }

    /// Its name, e.g. `snat-entries-per-nat-gateway`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The quota of a name.
    pub fn by_name(name: &str) -> Option<Quota> {
        Quota::ALL.into_iter().find(|it| it.name() == name)
    }

    /// What holds unless somebody says otherwise: enough for anything but a runaway script.
    pub fn default_limit(self) -> u32 {
        self.row().1
    }

    /// What holds in the cloud itself.
    pub fn cloud_limit(self) -> u32 {
        self.row().2
    }

    /// The numbers of the cloud itself, by name: what works with them works there.
    pub fn of_the_cloud() -> BTreeMap<String, u32> {
        let limits = Quota::ALL.map(|it| (it.name().into(), it.cloud_limit()));
        limits.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cloud_s_numbers_are_never_above_ours() {
        assert_eq!(Quota::of_the_cloud().len(), Quota::ALL.len());
        for quota in Quota::ALL {
            assert!(quota.cloud_limit() <= quota.default_limit(), "{quota:?}");
            assert_eq!(Quota::by_name(quota.name()), Some(quota));
        }
    }
}
