//! What the tests of EIPs and NAT gateways begin with.

#![allow(dead_code, reason = "each test uses its part")]

use crate::common::{World, text};
use control::records::{Eni, Instance, Meta, Peering, SecurityGroup, System};
use serde_json::Value;
use std::net::Ipv4Addr;

/// A VPC with a vSwitch and a NAT gateway.
pub struct Site {
    pub vpc: String,
    pub vswitch: String,
    pub gateway: String,
    pub snat_table: String,
    pub forward_table: String,
}

/// A VPC 192.168.0.0/16 with a vSwitch 192.168.1.0/24.
pub fn network(world: &World) -> (String, String) {
    let vpc = text(
        &world
            .vpc("CreateVpc", &[("CidrBlock", "192.168.0.0/16")])
            .unwrap(),
        "/VpcId",
    );
    let vswitch = vswitch(world, &vpc, "192.168.1.0/24");
    (vpc, vswitch)
}

pub fn vswitch(world: &World, vpc: &str, cidr: &str) -> String {
    let params = [
        ("VpcId", vpc),
        ("CidrBlock", cidr),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    text(&world.vpc("CreateVSwitch", &params).unwrap(), "/VSwitchId")
}

/// A network with an enhanced NAT gateway.
pub fn site(world: &World) -> Site {
    site_of_type(world, "Enhanced")
}

pub fn site_of_type(world: &World, kind: &str) -> Site {
    let (vpc, vswitch) = network(world);
    let params = [("VpcId", &*vpc), ("VSwitchId", &vswitch), ("NatType", kind)];
    let made = world.vpc("CreateNatGateway", &params).unwrap();
    Site {
        gateway: text(&made, "/NatGatewayId"),
        snat_table: text(&made, "/SnatTableIds/SnatTableId/0"),
        forward_table: text(&made, "/ForwardTableIds/ForwardTableId/0"),
        vpc,
        vswitch,
    }
}

/// A new EIP: identifier and address.
pub fn eip(world: &World) -> (String, String) {
    let made = world.vpc("AllocateEipAddress", &[]).unwrap();
    (text(&made, "/AllocationId"), text(&made, "/EipAddress"))
}

pub fn bind(world: &World, eip: &str, gateway: &str) {
    let params = [
        ("AllocationId", eip),
        ("InstanceId", gateway),
        ("InstanceType", "Nat"),
    ];
    world.vpc("AssociateEipAddress", &params).unwrap();
}

/// A new EIP that is bound to a gateway.
pub fn bound_eip(world: &World, gateway: &str) -> (String, String) {
    let (id, address) = eip(world);
    bind(world, &id, gateway);
    (id, address)
}

/// Creates an SNAT entry for a block.
pub fn snat(world: &World, site: &Site, cidr: &str, ips: &str) -> String {
    let params = [
        ("SnatTableId", &*site.snat_table),
        ("SourceCIDR", cidr),
        ("SnatIp", ips),
    ];
    let made = world.vpc("CreateSnatEntry", &params).unwrap();
    text(&made, "/SnatEntryId")
}

/// Calls for a DNAT entry, by (external IP, port, protocol, internal IP, port).
pub fn try_dnat(
    world: &World,
    site: &Site,
    (external, external_port, protocol, internal, internal_port): (&str, &str, &str, &str, &str),
) -> Result<Value, api::ApiError> {
    let params = [
        ("ForwardTableId", &*site.forward_table),
        ("ExternalIp", external),
        ("ExternalPort", external_port),
        ("IpProtocol", protocol),
        ("InternalIp", internal),
        ("InternalPort", internal_port),
    ];
    world.vpc("CreateForwardEntry", &params)
}

/// Creates a DNAT entry.
pub fn dnat(world: &World, site: &Site, entry: (&str, &str, &str, &str, &str)) -> String {
    let made = try_dnat(world, site, entry).unwrap();
    text(&made, "/ForwardEntryId")
}

/// Puts a running instance with an address into a vSwitch, past the API of instances: its identifier and that of
/// its interface.
pub fn instance(world: &World, vswitch: &str, address: &str) -> (String, String) {
    let address: Ipv4Addr = address.parse().unwrap();
    let made = world.control.change(2_000, |draft| {
        let vpc = draft.vswitch(vswitch)?.vpc.clone();
        let group = draft.new_id("sg")?;
        let (id, eni) = (draft.new_id("i")?, draft.new_id("eni")?);
        draft.security_groups.put(SecurityGroup {
            id: group.clone(),
            meta: Meta::default(),
            vpc,
            kind: model::SecurityGroupKind::Normal,
            isolated: false,
            rules: Vec::new(),
        });
        draft.instances.put(Instance {
            id: id.clone(),
            meta: Meta::default(),
            zone: String::new(),
            eni: eni.clone(),
            running: true,
            host_name: String::new(),
            image: String::new(),
            instance_type: String::new(),
            started: 0,
            deletion_protection: false,
            disk: Default::default(),
            user_data: String::new(),
        });
        draft.enis.put(Eni {
            id: eni.clone(),
            meta: Meta::default(),
            vswitch: vswitch.into(),
            instance: Some(id.clone()),
            primary: true,
            address,
            secondary: Vec::new(),
            hosts: Vec::new(),
            security_groups: vec![group],
            driver: model::Driver::Netns,
            mtu: 1500,
            delete_on_release: false,
        });
        Ok((id, eni))
    });
    made.unwrap()
}

/// Sets how many there may be of what, by name.
pub fn set_quotas(world: &World, quotas: &[(&str, u32)]) {
    let quotas = quotas.iter().map(|(name, most)| (name.to_string(), *most));
    set_system(world, |system| system.quotas = quotas.collect());
}

/// Sets the regions, each with one zone.
pub fn set_regions(world: &World, regions: &[&str]) {
    let region = |id: &&str| model::Region {
        id: id.to_string(),
        zones: vec![format!("{id}-h")],
    };
    let regions = regions.iter().map(region);
    set_system(world, |system| system.regions = regions.collect());
}

fn set_system(world: &World, change: impl FnOnce(&mut System)) {
    let set = world.control.change(0, |draft| {
        let settings = draft.config().system;
        let mut system = System {
            id: System::ID.into(),
            name: settings.name,
            hook: settings.hook,
            max_sessions: settings.max_sessions,
            regions: Vec::new(),
            quotas: Default::default(),
            services: Default::default(),
        };
        change(&mut system);
        draft.system.put(system);
        Ok::<(), control::Refusal>(())
    });
    set.unwrap();
}

/// Peers two VPCs, past the API of peer connections.
pub fn peer(world: &World, a: &str, b: &str) {
    let peered = world.control.change(0, |draft| {
        let id = draft.new_id("pcc")?;
        draft.peerings.put(Peering {
            vpc: a.into(),
            accepting_vpc: b.into(),
            accepted: true,
            ..Peering::new(id)
        });
        Ok(())
    });
    peered.unwrap();
}
