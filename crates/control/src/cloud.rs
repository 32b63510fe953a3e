//! All records together.

use crate::firewall::policies::{Policies, PolicyPage};
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::table::{Change, Record, Table};
use store::KeyValue;

/// Where the records are in the store: `PREFIX/KIND/ID`.
pub(crate) const PREFIX: &str = "/sluice/";

macro_rules! cloud {
    ($($(#[$doc:meta])* $field:ident: $record:ident,)*) => {
        /// All records. A copy costs nothing; see [`Table`].
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Cloud {
            $($(#[$doc])* pub $field: Table<$record>,)*
            /// Policies of firewalls.
            pub policies: Policies,
        }

        impl Cloud {
            /// What must be written to a store that holds `old` so that it holds this.
            pub(crate) fn changes(&self, old: &Cloud) -> serde_json::Result<Vec<Change>> {
                let mut out = Vec::new();
                $(self.$field.changes(&old.$field, PREFIX, &mut out)?;)*
                self.policies.changes(&old.policies, PREFIX, &mut out)?;
                Ok(out)
            }

            /// Takes in what a store holds.
            ///
            /// # Errors
            /// If a key or a value is none of ours: a later version's, or damaged.
            pub(crate) fn load(&mut self, records: &[KeyValue]) -> std::result::Result<(), String> {
                for record in records {
                    let key = &record.key;
                    let name = key.strip_prefix(PREFIX).and_then(|it| it.split_once('/'));
                    let loaded = match name {
                        $(Some(($record::KIND, id)) => self.$field.load(id, &record.value),)*
                        Some((PolicyPage::KIND, id)) => self.policies.load(id, &record.value),
                        _ => Err("there is no such kind of record".into()),
                    };
                    loaded.map_err(|why| format!("the record {key:?} cannot be read: {why}"))?;
                }
                Ok(())
            }
        }
    };
}

cloud! {
    /// The program's settings: one record.
    system: System,
    /// Interfaces to the outside.
    uplinks: Uplink,
    /// VPCs.
    vpcs: Vpc,
    /// vSwitches.
    vswitches: VSwitch,
    /// Route tables.
    route_tables: RouteTable,
    /// Custom route entries.
    routes: Route,
    /// VPC peer connections.
    peerings: Peering,
    /// Security groups.
    security_groups: SecurityGroup,
    /// Instances.
    instances: Instance,
    /// Network interfaces.
    enis: Eni,
    /// EIPs.
    eips: Eip,
    /// Bandwidth packages.
    packages: BandwidthPackage,
    /// NAT gateways.
    nat_gateways: NatGateway,
    /// Blocks of NAT IPs.
    nat_ip_cidrs: NatIpCidr,
    /// NAT IPs of VPC NAT gateways.
    nat_ips: NatIp,
    /// SNAT entries.
    snat: SnatEntry,
    /// DNAT entries.
    dnat: DnatEntry,
    /// NAT firewalls.
    nat_firewalls: NatFirewall,
    /// What was bought of the firewalls: at most one record.
    licenses: License,
    /// Address books.
    books: AddressBook,
    /// Settings of the firewalls that there is one of: at most one record.
    firewall_settings: SharedSettings,
    /// Lists of threat indicators.
    feeds: ThreatFeed,
    /// Backups of policies.
    backups: PolicyBackup,
    /// What is in them.
    backup_pages: PolicyBackupPage,
    /// What checks of policies have found.
    policy_checks: PolicyCheck,
    /// Answers to calls with client tokens.
    tokens: Token,
    /// Access keys.
    access_keys: AccessKey,
    /// Users of the API.
    users: User,
    /// Access policies that were made.
    access_policies: AccessPolicy,
}

impl Cloud {
    /// A VPC.
    ///
    /// # Errors
    /// `InvalidVpcId.NotFound`.
    pub fn vpc(&self, id: &str) -> Result<&Vpc> {
        found(&self.vpcs, id, "VPC", "InvalidVpcId.NotFound")
    }

    /// A vSwitch.
    ///
    /// # Errors
    /// `InvalidVSwitchId.NotFound`.
    pub fn vswitch(&self, id: &str) -> Result<&VSwitch> {
        found(&self.vswitches, id, "vSwitch", "InvalidVSwitchId.NotFound")
    }

    /// A route table.
    ///
    /// # Errors
    /// `InvalidRouteTableId.NotFound`.
    pub fn route_table(&self, id: &str) -> Result<&RouteTable> {
        let code = "InvalidRouteTableId.NotFound";
        found(&self.route_tables, id, "route table", code)
    }

    /// A route entry.
    ///
    /// # Errors
    /// `InvalidRouteEntryId.NotFound`.
    pub fn route(&self, id: &str) -> Result<&Route> {
        let code = "InvalidRouteEntryId.NotFound";
        found(&self.routes, id, "route entry", code)
    }

    /// An instance.
    ///
    /// # Errors
    /// `InvalidInstanceId.NotFound`.
    pub fn instance(&self, id: &str) -> Result<&Instance> {
        let code = "InvalidInstanceId.NotFound";
        found(&self.instances, id, "instance", code)
    }

    /// A network interface.
    ///
    /// # Errors
    /// `InvalidEniId.NotFound`.
    pub fn eni(&self, id: &str) -> Result<&Eni> {
        found(&self.enis, id, "network interface", "InvalidEniId.NotFound")
    }

    /// A security group.
    ///
    /// # Errors
    /// `InvalidSecurityGroupId.NotFound`.
    pub fn security_group(&self, id: &str) -> Result<&SecurityGroup> {
        let code = "InvalidSecurityGroupId.NotFound";
        found(&self.security_groups, id, "security group", code)
    }

    /// An EIP.
    ///
    /// # Errors
    /// `InvalidAllocationId.NotFound`.
    pub fn eip(&self, id: &str) -> Result<&Eip> {
        found(&self.eips, id, "EIP", "InvalidAllocationId.NotFound")
    }

    /// A NAT gateway.
    ///
    /// # Errors
    /// `InvalidNatGatewayId.NotFound`.
    pub fn nat_gateway(&self, id: &str) -> Result<&NatGateway> {
        let code = "InvalidNatGatewayId.NotFound";
        found(&self.nat_gateways, id, "NAT gateway", code)
    }

    /// A bandwidth package.
    ///
    /// # Errors
    /// `InvalidBandwidthPackageId.NotFound`.
    pub fn package(&self, id: &str) -> Result<&BandwidthPackage> {
        let code = "InvalidBandwidthPackageId.NotFound";
        found(&self.packages, id, "bandwidth package", code)
    }

    /// A NAT firewall.
    ///
    /// # Errors
    /// `ErrorNatFirewallNotFound`.
    pub fn nat_firewall(&self, id: &str) -> Result<&NatFirewall> {
        let code = "ErrorNatFirewallNotFound";
        found(&self.nat_firewalls, id, "NAT firewall", code)
    }

    /// A peer connection.
    ///
    /// # Errors
    /// `ResourceNotFound.InstanceId`, which the cloud answers with the status 400.
    pub fn peering(&self, id: &str) -> Result<&Peering> {
        let code = "ResourceNotFound.InstanceId";
        let found = found(&self.peerings, id, "VPC peer connection", code);
        found.map_err(|refusal| Refusal::bad(refusal.code, refusal.message))
    }

    /// The regions: at least one.
    pub fn regions(&self) -> Vec<model::Region> {
        let system = self.system.get(System::ID);
        let regions = system.map(|it| it.regions.clone()).unwrap_or_default();
        match regions.is_empty() {
            true => vec![model::Region::default()],
            false => regions,
        }
    }

    /// The system route table of a VPC.
    pub fn system_table(&self, vpc: &str) -> Option<&RouteTable> {
        self.route_tables
            .find(|table| table.system && table.vpc == vpc)
    }

    /// The primary network interface of an instance.
    pub fn primary_eni(&self, instance: &str) -> Option<&Eni> {
        self.enis.get(&self.instances.get(instance)?.eni)
    }
}

pub(crate) fn found<'a, T: Record>(
    table: &'a Table<T>,
    id: &str,
    what: &str,
    code: &'static str,
) -> Result<&'a T> {
    let missing = || Refusal::not_found(code, format!("There is no {what} {id:?}."));
    table.get(id).ok_or_else(missing)
}
