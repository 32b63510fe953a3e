//! How many there may be of what.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::records::System;
use crate::refusal::{Refusal, Result};
use std::collections::BTreeMap;

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table says what they are")]
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
}

/// A row of the table.
struct Row {
    name: &'static str,
    what: &'static str,
    code: &'static str,
    default: u32,
    cloud: u32,
}

impl Quota {
    /// All of them.
    pub const ALL: [Quota; 24] = [
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
    ];

    #[rustfmt::skip]
    fn row(self) -> Row {
        let row = |name, what, code, default, cloud| Row { name, what, code, default, cloud };
        match self {
            Quota::Vpcs => row("vpcs", "VPCs", "QuotaExceeded.Vpc", 1_000, 10),
            Quota::VSwitches => row("vswitches-per-vpc", "vSwitches", "QuotaExceeded.VSwitch", 1_000, 150),
            Quota::RouteTables => row("route-tables-per-vpc", "custom route tables", "QuotaExceeded.RouteTable", 200, 9),
            Quota::RouteEntries => row("routes-per-table", "custom entries", "QuotaExceeded.RouteEntry", 1_000, 200),
            Quota::Eips => row("eips", "EIPs", "QuotaExceeded.Eip", 10_000, 20),
            Quota::NatGateways => row("nat-gateways-per-vpc", "NAT gateways", "QuotaExceeded.NatGateway", 20, 5),
            Quota::GatewayEips => row("eips-per-nat-gateway", "EIPs", "QuotaExceeded.NumberOfEip", 1_000, 20),
            Quota::NatIps => row("nat-ips-per-nat-gateway", "NAT IPs", "QuotaExceeded.NatIp", 1_000, 15),
            Quota::NatIpCidrs => row("nat-ip-cidrs-per-nat-gateway", "blocks of NAT IPs", "QuotaExceeded.NatIpCidr", 100, 5),
            Quota::SnatEntries => row("snat-entries-per-nat-gateway", "SNAT entries", "QuotaExceeded.SnatEntry", 2_000, 40),
            Quota::ForwardEntries => row("dnat-entries-per-nat-gateway", "DNAT entries", "QuotaExceeded.ForwardEntry", 10_000, 100),
            Quota::BandwidthPackages => row("bandwidth-packages", "bandwidth packages", "QuotaExceeded.CommonBandwidthPackage", 1_000, 10),
            Quota::PackageEips => row("eips-per-bandwidth-package", "EIPs", "IpInstanceId.QuotaExceeded", 1_000, 100),
            Quota::Peerings => row("peerings-per-vpc", "peer connections", "QuotaExceeded.VpcPeerCountPerVpc", 1_000, 10),
            Quota::Instances => row("instances", "instances", "QuotaExceeded", 10_000, 1_000),
            Quota::Enis => row("enis", "network interfaces", "MaxEniCountExceeded", 20_000, 2_000),
            Quota::SecurityGroups => row("security-groups", "security groups", "QuotaExceed.SecurityGroup", 10_000, 100),
            Quota::EniGroups => row("security-groups-per-eni", "security groups", "InstanceSecurityGroupLimitExceeded", 16, 5),
            Quota::EniRules => row("rules-per-eni", "rules in its security groups", "AuthorizationLimitExceed", 5_000, 1_000),
            Quota::GroupReferences => row("group-rules-per-security-group", "rules about other groups", "AuthorizedGroupRule.LimitExceed", 200, 20),
            Quota::Users => row("users", "users", "LimitExceeded.User", 1_000, 1_000),
            Quota::AccessKeys => row("access-keys-per-user", "access keys", "LimitExceeded.User.AccessKey", 10, 2),
            Quota::AccessPolicies => row("access-policies", "policies", "LimitExceeded.Policy", 1_500, 1_500),
            Quota::UserPolicies => row("policies-per-user", "policies", "LimitExceeded.User.Policy", 50, 20),
        }
    }

    /// Its name in [`System::quotas`].
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What holds unless the system's record says otherwise: enough for anything but a runaway script.
    pub fn default_limit(self) -> u32 {
        self.row().default
    }

    /// The numbers of the cloud itself, for [`System::quotas`]: what works with them works there.
    pub fn of_the_cloud() -> BTreeMap<String, u32> {
        let rows = Quota::ALL.map(Quota::row);
        rows.map(|row| (row.name.into(), row.cloud)).into()
    }
}

impl Cloud {
    /// The most that there may be.
    pub fn limit(&self, quota: Quota) -> u32 {
        let system = self.system.get(System::ID);
        let set = system.and_then(|it| it.quotas.get(quota.name()));
        set.copied().unwrap_or(quota.default_limit())
    }
}

impl Draft {
    /// Checks that there may be one more. `whose` says where they are counted, e.g. `The VPC vpc-1 has`.
    ///
    /// # Errors
    /// `QuotaExceeded.…`.
    pub fn room_for(&self, quota: Quota, whose: &str, used: usize) -> Result<()> {
        let limit = self.limit(quota);
        if used < limit as usize {
            return Ok(());
        }
        let row = quota.row();
        let why = format!("{whose} {used} {}: at most {limit} are allowed.", row.what);
        Err(Refusal::bad(row.code, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cloud_s_numbers_are_never_above_ours() {
        let cloud = Quota::of_the_cloud();
        assert_eq!(cloud.len(), Quota::ALL.len());
        for quota in Quota::ALL {
            assert!(cloud[quota.name()] <= quota.default_limit(), "{quota:?}");
        }
    }
}
