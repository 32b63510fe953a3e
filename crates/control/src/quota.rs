//! How many there may be of what, and how many there are.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::records::{EipBinding, System};
use crate::refusal::{Refusal, Result};
use model::{Id, RulePeer};
use std::collections::BTreeMap;

pub use model::Quota;

/// What is counted, for people, and the code of a refusal.
#[rustfmt::skip]
fn row(quota: Quota) -> (&'static str, &'static str) {
    match quota {
        Quota::Vpcs => ("VPCs", "QuotaExceeded.Vpc"),
        Quota::VSwitches => ("vSwitches", "QuotaExceeded.VSwitch"),
        Quota::RouteTables => ("custom route tables", "QuotaExceeded.RouteTable"),
        Quota::RouteEntries => ("custom entries", "QuotaExceeded.RouteEntry"),
        Quota::Eips => ("EIPs", "QuotaExceeded.Eip"),
        Quota::NatGateways => ("NAT gateways", "QuotaExceeded.NatGateway"),
        Quota::GatewayEips => ("EIPs", "QuotaExceeded.NumberOfEip"),
        Quota::NatIps => ("NAT IPs", "QuotaExceeded.NatIp"),
        Quota::NatIpCidrs => ("blocks of NAT IPs", "QuotaExceeded.NatIpCidr"),
        Quota::SnatEntries => ("SNAT entries", "QuotaExceeded.SnatEntry"),
        Quota::ForwardEntries => ("DNAT entries", "QuotaExceeded.ForwardEntry"),
        Quota::BandwidthPackages => ("bandwidth packages", "QuotaExceeded.CommonBandwidthPackage"),
        Quota::PackageEips => ("EIPs", "IpInstanceId.QuotaExceeded"),
        Quota::Peerings => ("peer connections", "QuotaExceeded.VpcPeerCountPerVpc"),
        Quota::Instances => ("instances", "QuotaExceeded"),
        Quota::Enis => ("network interfaces", "MaxEniCountExceeded"),
        Quota::SecurityGroups => ("security groups", "QuotaExceed.SecurityGroup"),
        Quota::EniGroups => ("security groups", "InstanceSecurityGroupLimitExceeded"),
        Quota::EniRules => ("rules in its security groups", "AuthorizationLimitExceed"),
        Quota::GroupReferences => ("rules about other groups", "AuthorizedGroupRule.LimitExceed"),
        Quota::Users => ("users", "LimitExceeded.User"),
        Quota::AccessKeys => ("access keys", "LimitExceeded.User.AccessKey"),
        Quota::AccessPolicies => ("policies", "LimitExceeded.Policy"),
        Quota::UserPolicies => ("policies", "LimitExceeded.User.Policy"),
        Quota::FirewallPolicies => ("policies", "ErrorAclCountExceed"),
        Quota::PolicySpread => ("policies, multiplied out,", "ErrorAclExtendedCountExceed"),
        Quota::AddressBooks => ("address books", "ErrorAddressBookCountExceed"),
        Quota::BookEntries => ("entries", "ErrorAddressCountExceed"),
        Quota::BookPorts => ("ports", "ErrorAddressCountExceed"),
        Quota::PolicyBackups => ("backups of policies", "ErrorAclBackupCountExceed"),
        Quota::FirewallEips => ("EIPs behind its firewall", "ErrorNatFirewallEipCount"),
    }
}

/// What is counted, in the plural.
pub fn what(quota: Quota) -> &'static str {
    row(quota).0
}

/// The code of what exceeds it.
pub fn code(quota: Quota) -> &'static str {
    row(quota).1
}

/// How many there are of what a quota counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// How many: of what is counted for each of several, the most that one of them has.
    pub count: usize,
    /// Which one that is.
    pub of: Option<Id>,
}

/// Counts for each.
fn most<'a>(owners: impl Iterator<Item = &'a str>) -> Used {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    owners.for_each(|owner| *counts.entry(owner).or_default() += 1);
    largest(counts.into_iter())
}

/// The largest of several counts.
fn largest<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> Used {
    let counts = counts.filter(|(_, count)| *count > 0);
    match counts.max_by_key(|(_, count)| *count) {
        Some((of, count)) => Used {
            count,
            of: Some(of.into()),
        },
        None => Used::default(),
    }
}

impl Cloud {
    /// The most that there may be.
    pub fn limit(&self, quota: Quota) -> u32 {
        let system = self.system.get(System::ID);
        let set = system.and_then(|it| it.quotas.get(quota.name()));
        set.copied().unwrap_or(quota.default_limit())
    }

    /// How many there are.
    pub fn used(&self, quota: Quota) -> Used {
        let all = |count| Used { count, of: None };
        match quota {
            Quota::Vpcs => all(self.vpcs.len()),
            Quota::VSwitches => most(self.vswitches.iter().map(|it| &*it.vpc)),
            Quota::RouteTables => {
                let custom = self.route_tables.iter().filter(|it| !it.system);
                most(custom.map(|it| &*it.vpc))
            }
            Quota::RouteEntries => most(self.routes.iter().map(|it| &*it.table)),
            Quota::Eips => all(self.eips.len()),
            Quota::NatGateways => most(self.nat_gateways.iter().map(|it| &*it.vpc)),
            Quota::GatewayEips => most(self.eips.iter().filter_map(|it| match &it.binding {
                Some(EipBinding::NatGateway(id)) => Some(&**id),
                _ => None,
            })),
            Quota::NatIps => most(self.nat_ips.iter().map(|it| &*it.gateway)),
            Quota::NatIpCidrs => most(self.nat_ip_cidrs.iter().map(|it| &*it.gateway)),
            Quota::SnatEntries => most(self.snat.iter().map(|it| &*it.gateway)),
            Quota::ForwardEntries => most(self.dnat.iter().map(|it| &*it.gateway)),
            Quota::BandwidthPackages => all(self.packages.len()),
            Quota::PackageEips => most(self.eips.iter().filter_map(|it| it.package.as_deref())),
            Quota::Peerings => most(
                self.peerings
                    .iter()
                    .flat_map(|it| [&*it.vpc, &*it.accepting_vpc]),
            ),
            Quota::Instances => all(self.instances.len()),
            Quota::Enis => all(self.enis.len()),
            Quota::SecurityGroups => all(self.security_groups.len()),
            Quota::EniGroups => {
                let enis = self.enis.iter();
                largest(enis.map(|it| (&*it.id, it.security_groups.len())))
            }
            Quota::EniRules => {
                let rules = |id: &Id| self.security_groups.get(id).map_or(0, |it| it.rules.len());
                let enis = self.enis.iter();
                largest(enis.map(|it| (&*it.id, it.security_groups.iter().map(rules).sum())))
            }
            Quota::GroupReferences => {
                let groups = self.security_groups.iter();
                largest(groups.map(|group| {
                    let others = group.rules.iter().filter(
                        |it| matches!(&it.peer, RulePeer::Group(other) if *other != group.id),
                    );
                    (&*group.id, others.count())
                }))
            }
            Quota::Users => all(self.users.len()),
            Quota::AccessKeys => most(self.access_keys.iter().map(|it| &*it.user)),
            Quota::AccessPolicies => all(self.access_policies.len()),
            Quota::UserPolicies => {
                let users = self.users.iter();
                largest(users.map(|it| (&*it.id, it.policies.len())))
            }
            Quota::FirewallPolicies => {
                let lists = self.policies.lists();
                let counts: Vec<_> = lists.map(|it| (it.scope().to_string(), it.len())).collect();
                largest(counts.iter().map(|(of, count)| (&**of, *count)))
            }
            Quota::PolicySpread => all(usize::try_from(self.spread()).unwrap_or(usize::MAX)),
            Quota::AddressBooks => all(self.books.len()),
            Quota::BookEntries | Quota::BookPorts => {
                let ports = quota == Quota::BookPorts;
                let books = self.books.iter().filter(|it| it.is_of_ports() == ports);
                largest(books.map(|it| (&*it.id, it.entries())))
            }
            Quota::PolicyBackups => all(self.backups.len()),
            Quota::FirewallEips => {
                let firewalls = self.nat_firewalls.iter();
                largest(firewalls.map(|it| (&*it.id, self.eips_of_gateway(&it.gateway).count())))
            }
        }
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
        let why = format!(
            "{whose} {used} {}: at most {limit} are allowed.",
            what(quota)
        );
        Err(match quota {
            Quota::Enis | Quota::SecurityGroups | Quota::EniRules => {
                Refusal::forbidden(code(quota), why)
            }
            _ => Refusal::bad(code(quota), why),
        })
    }
}
