//! What policies call resources, and where a resource lies.
//!
//! A resource is called by its ARN, `acs:vpc:REGION:ACCOUNT:natgateway/ngw-1`. Policies may also be about the VPC
//! that it lies in: a statement about `vpc/vpc-1` is about its vSwitches, gateways, entries and instances, too.

use crate::cloud::Cloud;
use crate::records::*;
use model::Id;

/// The number of the account: there is one.
pub const ACCOUNT: &str = "1000000000000001";

/// The name of a resource in policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    product: &'static str,
    region: String,
    kind: &'static str,
    id: String,
}

impl Arn {
    /// A resource of a product in a region; users and policies are in none, which is the empty text.
    pub fn new(
        product: &'static str,
        region: impl Into<String>,
        kind: &'static str,
        id: impl Into<String>,
    ) -> Arn {
        Arn {
            product,
            region: region.into(),
            kind,
            id: id.into(),
        }
    }

    /// Product, region, account, type with identifier.
    pub(super) fn parts(&self) -> [String; 4] {
        let resource = match self.kind {
            "" => self.id.clone(),
            kind => format!("{kind}/{}", self.id),
        };
        let product = self.product.to_owned();
        [product, self.region.clone(), ACCOUNT.to_owned(), resource]
    }
}

impl std::fmt::Display for Arn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "acs:{}", self.parts().join(":"))
    }
}

impl Cloud {
    /// What a policy may call the resources that have this identifier, whatever kind they are of: for each its own
    /// ARN, that of what it is an entry of, and that of its VPC. A peer connection lies in two VPCs and is told
    /// twice. None, if nothing has the identifier.
    ///
    /// Identifiers that a file has chosen may be those of several resources: all are told, and who calls must be
    /// allowed to do what he asks for with each.
    pub fn called(&self, id: &str) -> Vec<Vec<Arn>> {
        let mut all = Vec::new();
        let mut within = |vpc: &str, kinds: &[(&'static str, &'static str, &str)]| {
            let region = self.vpcs.get(vpc).map_or("", |it| &*it.region);
            let own = kinds
                .iter()
                .map(|(product, kind, id)| Arn::new(product, region, kind, *id));
            let vpc = Arn::new("vpc", region, "vpc", vpc);
            all.push(own.chain([vpc]).collect());
        };
        if self.vpcs.contains(id) {
            within(id, &[]);
        }
        if let Some(vpc) = self.vpcs.find(|it| it.router == id) {
            within(&vpc.id, &[("vpc", "vrouter", id)]);
        }
        if let Some(it) = self.vswitches.get(id) {
            within(&it.vpc, &[("vpc", "vswitch", id)]);
        }
        if let Some(it) = self.route_tables.get(id) {
            within(&it.vpc, &[("vpc", "routetable", id)]);
        }
        if let Some(it) = self.routes.get(id) {
            let table = self.route_tables.get(&it.table);
            let vpc = table.map_or("", |it| &it.vpc);
            within(vpc, &[("vpc", "routetable", &it.table)]);
        }
        if let Some(it) = self.security_groups.get(id) {
            within(&it.vpc, &[("ecs", "securitygroup", id)]);
        }
        if let Some(it) = self.instances.get(id) {
            within(self.vpc_of_eni(&it.eni), &[("ecs", "instance", id)]);
        }
        if self.enis.contains(id) {
            within(self.vpc_of_eni(id), &[("ecs", "eni", id)]);
        }
        for it in self.nat_gateways.iter() {
            let own = ("vpc", "natgateway", &*it.id);
            match id {
                _ if it.id == id => within(&it.vpc, &[own]),
                _ if it.snat_table == id => within(&it.vpc, &[("vpc", "snattable", id), own]),
                _ if it.forward_table == id => {
                    within(&it.vpc, &[("vpc", "forwardtable", id), own]);
                }
                _ if it.full_nat_table == id => {
                    within(&it.vpc, &[("vpc", "fullnattable", id), own]);
                }
                _ => {}
            }
        }
        let gateway = |id: &Id| self.nat_gateways.get(id);
        if let Some(it) = self.snat.get(id).and_then(|it| gateway(&it.gateway)) {
            let table = ("vpc", "snattable", &*it.snat_table);
            within(&it.vpc, &[table, ("vpc", "natgateway", &it.id)]);
        }
        if let Some(it) = self.dnat.get(id).and_then(|it| gateway(&it.gateway)) {
            let table = ("vpc", "forwardtable", &*it.forward_table);
            within(&it.vpc, &[table, ("vpc", "natgateway", &it.id)]);
        }
        if let Some(it) = self.nat_ips.get(id).and_then(|it| gateway(&it.gateway)) {
            within(&it.vpc, &[("vpc", "natgateway", &it.id)]);
        }
        let nat_ip = self.nat_ips.get(id).map(|it| &it.gateway);
        let nat_ip = nat_ip.or(self.nat_ip_cidrs.get(id).map(|it| &it.gateway));
        if let Some(it) = nat_ip.and_then(gateway) {
            within(&it.vpc, &[("vpc", "natgateway", &it.id)]);
        }
        let protected = self.nat_firewalls.get(id).map(|it| &it.gateway);
        if let Some(it) = protected.and_then(gateway) {
            let own = ("yundun-cloudfirewall", "natfirewall", id);
            within(&it.vpc, &[own, ("vpc", "natgateway", &it.id)]);
        }
        if let Some(it) = self.peerings.get(id) {
            for vpc in [&it.vpc, &it.accepting_vpc] {
                within(vpc, &[("vpcpeer", "peerconnection", id)]);
            }
        }
        if let Some(it) = self.eips.get(id) {
            let own = Arn::new("vpc", &*it.region, "eip", id);
            let vpc = match &it.binding {
                None => None,
                Some(EipBinding::Instance(id)) => {
                    self.instances.get(id).map(|it| self.vpc_of_eni(&it.eni))
                }
                Some(EipBinding::Eni(id)) => Some(self.vpc_of_eni(id)),
                Some(EipBinding::NatGateway(id)) => self.nat_gateways.get(id).map(|it| &*it.vpc),
            };
            let vpc = vpc.map(|vpc| Arn::new("vpc", &*it.region, "vpc", vpc));
            all.push([own].into_iter().chain(vpc).collect());
        }
        if let Some(it) = self.packages.get(id) {
            all.push(vec![Arn::new(
                "vpc",
                &*it.region,
                "combandwidthpackage",
                id,
            )]);
        }
        all
    }

    /// The VPC of a network interface; empty if there is none.
    fn vpc_of_eni(&self, id: &str) -> &str {
        let eni = self.enis.get(id);
        let vswitch = eni.and_then(|it| self.vswitches.get(&it.vswitch));
        vswitch.map_or("", |it| &it.vpc)
    }
}
