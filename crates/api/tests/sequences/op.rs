//! Operations at random, and the calls that they are.

use super::facts::{Eip, Facts};
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// An operation on resources that were there when it was picked, or on one that never was.
#[derive(Clone, Debug)]
pub enum Op {
    CreateVpc {
        cidr: &'static str,
    },
    DeleteVpc {
        vpc: String,
    },
    CreateVSwitch {
        vpc: String,
        cidr: &'static str,
    },
    DeleteVSwitch {
        vswitch: String,
    },
    CreateRouteTable {
        vpc: String,
    },
    DeleteRouteTable {
        table: String,
    },
    AssociateRouteTable {
        table: String,
        vswitch: String,
    },
    UnassociateRouteTable {
        table: String,
        vswitch: String,
    },
    CreateRouteEntry {
        table: String,
        destination: &'static str,
        hop: Hop,
    },
    DeleteRouteEntry {
        table: String,
        destination: String,
        hop: Hop,
    },
    CreateSecurityGroup {
        vpc: String,
    },
    DeleteSecurityGroup {
        group: String,
    },
    RunInstances {
        vswitch: String,
        group: String,
        address: Option<Ipv4Addr>,
    },
    StopInstance {
        instance: String,
    },
    StartInstance {
        instance: String,
    },
    DeleteInstance {
        instance: String,
        force: bool,
    },
    AllocateEip,
    AssociateEip {
        eip: String,
        to: Hop,
    },
    UnassociateEip {
        eip: String,
        force: bool,
    },
    ReleaseEip {
        eip: String,
    },
    CreateNatGateway {
        vpc: String,
        vswitch: String,
    },
    DeleteNatGateway {
        gateway: String,
        force: bool,
    },
    CreateSnat {
        table: String,
        source: Source,
        addresses: Vec<Ipv4Addr>,
    },
    ModifySnat {
        table: String,
        entry: String,
        addresses: Vec<Ipv4Addr>,
    },
    DeleteSnat {
        table: String,
        entry: String,
    },
    CreateForward {
        table: String,
        external: Ipv4Addr,
        internal: Ipv4Addr,
        ports: Ports,
    },
    ModifyForward {
        table: String,
        entry: String,
        internal: Ipv4Addr,
        ports: Ports,
    },
    DeleteForward {
        table: String,
        entry: String,
    },
}

/// Something that a route leads to or an EIP is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    Instance(String),
    Gateway(String),
}

impl Hop {
    pub fn id(&self) -> &str {
        match self {
            Hop::Instance(id) | Hop::Gateway(id) => id,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    VSwitch(String),
    Cidr(String),
}

/// Ports of a DNAT entry: external ones and the first internal one. `None`: the whole address.
pub type Ports = Option<(&'static str, u16, u16, u16)>;

/// Random numbers that an operation is picked by.
pub type Genes = (u8, [u16; 5]);

pub fn genes() -> impl Strategy<Value = Genes> {
    (0..100u8, any::<[u16; 5]>())
}

const NOBODY: &str = "nobody-1";

/// Few blocks and addresses, so that they meet.
const VPC_BLOCKS: [&str; 3] = ["192.168.0.0/16", "10.0.0.0/8", "192.168.0.0/24"];
const VSWITCH_BLOCKS: [&str; 6] = [
    "192.168.0.0/24",
    "192.168.1.0/24",
    "192.168.1.64/29",
    "192.168.2.0/29",
    "10.1.0.0/29",
    "172.16.0.0/24",
];
const DESTINATIONS: [&str; 4] = [
    "0.0.0.0/0",
    "198.51.100.0/24",
    "192.168.1.0/25",
    "192.168.1.0/24",
];
const PORTS: [Ports; 6] = [
    Some(("tcp", 80, 80, 80)),
    Some(("tcp", 80, 80, 8080)),
    Some(("udp", 80, 80, 80)),
    Some(("tcp", 75, 84, 8075)),
    Some(("tcp", 443, 443, 443)),
    None,
];

impl Op {
    /// The next operation towards a small site, until it stands: a VPC with two vSwitches, instances, and a
    /// gateway with EIPs.
    pub fn first(facts: &Facts) -> Option<Op> {
        let vpc = || facts.vpcs.keys().next().unwrap().clone();
        let vswitch = |n| facts.vswitches.keys().nth(n).unwrap().clone();
        let bound = facts.eips.values().filter(|it| it.bound.is_some()).count();
        if facts.vpcs.is_empty() {
            return Some(Op::CreateVpc {
                cidr: VPC_BLOCKS[0],
            });
        }
        if facts.vswitches.len() < 2 {
            return Some(Op::CreateVSwitch {
                vpc: vpc(),
                cidr: VSWITCH_BLOCKS[facts.vswitches.len()],
            });
        }
        if facts.groups.is_empty() {
            return Some(Op::CreateSecurityGroup { vpc: vpc() });
        }
        if facts.instances.len() < 2 {
            let group = facts.groups.keys().next().unwrap().clone();
            return Some(Op::RunInstances {
                vswitch: vswitch(facts.instances.len()),
                group,
                address: None,
            });
        }
        if facts.gateways.is_empty() {
            return Some(Op::CreateNatGateway {
                vpc: vpc(),
                vswitch: vswitch(0),
            });
        }
        if facts.eips.len() < 4 {
            return Some(Op::AllocateEip);
        }
        if bound < 3 {
            let free = facts.eips.iter().find(|(_, it)| it.bound.is_none());
            let to = Hop::Gateway(facts.gateways.keys().next().unwrap().clone());
            return Some(Op::AssociateEip {
                eip: free.unwrap().0.clone(),
                to,
            });
        }
        None
    }

    /// The operation that the numbers pick of what is there.
    pub fn pick((kind, picks): Genes, facts: &Facts) -> Op {
        let one = |n: usize, of: Vec<&String>| match of.is_empty() || picks[n] % 64 == 63 {
            true => NOBODY.to_owned(),
            false => of[usize::from(picks[n]) % of.len()].clone(),
        };
        let vpc = |n| one(n, facts.vpcs.keys().collect());
        let vswitch = |n| one(n, facts.vswitches.keys().collect());
        let table = |n| one(n, facts.tables.keys().collect());
        let group = |n| one(n, facts.groups.keys().collect());
        let instance = |n| one(n, facts.instances.keys().collect());
        let eip = |n| one(n, facts.eips.keys().collect());
        let gateway = |n| one(n, facts.gateways.keys().collect());
        let snat_table = |n| {
            one(
                n,
                facts.gateways.values().map(|it| &it.snat_table).collect(),
            )
        };
        let forward_table = |n| {
            one(
                n,
                facts
                    .gateways
                    .values()
                    .map(|it| &it.forward_table)
                    .collect(),
            )
        };
        let snat = |n| match facts.snat.get(&one(n, facts.snat.keys().collect())) {
            Some(entry) => (
                facts.gateways[&entry.gateway].snat_table.clone(),
                entry.id.clone(),
            ),
            None => (snat_table(n), NOBODY.into()),
        };
        let forward = |n| match facts.dnat.get(&one(n, facts.dnat.keys().collect())) {
            Some(entry) => (
                facts.gateways[&entry.gateway].forward_table.clone(),
                entry.id.clone(),
            ),
            None => (forward_table(n), NOBODY.into()),
        };
        // Mostly of EIPs that a gateway has.
        let address = |n: usize| {
            let some = |it: &&Eip| picks[n] % 8 == 0 || matches!(it.bound, Some(Hop::Gateway(_)));
            let eips: Vec<_> = facts.eips.values().filter(some).collect();
            match eips.is_empty() {
                true => Ipv4Addr::new(203, 0, 113, 16),
                false => eips[usize::from(picks[n]) % eips.len()].address,
            }
        };
        let addresses = |n: usize| match picks[n] % 3 {
            0 => vec![address(n), address((n + 1) % 5)],
            _ => vec![address(n)],
        };
        let internal = |n: usize| match facts.instances.is_empty() || picks[n] % 4 == 0 {
            true => Ipv4Addr::new(192, 168, 1, 10 + (picks[n] % 3) as u8),
            false => {
                facts
                    .instances
                    .values()
                    .nth(usize::from(picks[n]) % facts.instances.len())
                    .unwrap()
                    .address
            }
        };
        let hop = |n: usize| match picks[n] % 2 {
            0 => Hop::Gateway(gateway(n)),
            _ => Hop::Instance(instance(n)),
        };
        let force = picks[4] % 2 == 0;
        match kind {
            0..4 => Op::CreateVpc {
                cidr: VPC_BLOCKS[usize::from(picks[0]) % 3],
            },
            4..6 => Op::DeleteVpc { vpc: vpc(0) },
            6..12 => Op::CreateVSwitch {
                vpc: vpc(0),
                cidr: VSWITCH_BLOCKS[usize::from(picks[1]) % 6],
            },
            12..14 => Op::DeleteVSwitch {
                vswitch: vswitch(0),
            },
            14..16 => Op::CreateRouteTable { vpc: vpc(0) },
            16..17 => Op::DeleteRouteTable { table: table(0) },
            17..20 => Op::AssociateRouteTable {
                table: table(0),
                vswitch: vswitch(1),
            },
            20..21 => match facts.vswitches.get(&vswitch(0)) {
                Some(it) => Op::UnassociateRouteTable {
                    table: it.table.clone(),
                    vswitch: it.id.clone(),
                },
                None => Op::UnassociateRouteTable {
                    table: table(1),
                    vswitch: NOBODY.into(),
                },
            },
            21..27 => Op::CreateRouteEntry {
                table: table(0),
                destination: DESTINATIONS[usize::from(picks[1]) % 4],
                hop: hop(2),
            },
            27..29 => match facts
                .routes
                .iter()
                .nth(usize::from(picks[0]) % facts.routes.len().max(1))
            {
                Some(((table, destination), hop)) => Op::DeleteRouteEntry {
                    table: table.clone(),
                    destination: destination.clone(),
                    hop: hop.clone(),
                },
                None => Op::DeleteRouteEntry {
                    table: table(0),
                    destination: "0.0.0.0/0".into(),
                    hop: hop(1),
                },
            },
            29..33 => Op::CreateSecurityGroup { vpc: vpc(0) },
            33..34 => Op::DeleteSecurityGroup { group: group(0) },
            34..44 => {
                let vswitch = vswitch(0);
                // Mostly a group of the same VPC.
                let of = facts.vswitches.get(&vswitch).map(|it| &it.vpc);
                let fit = facts
                    .groups
                    .iter()
                    .filter(|(_, vpc)| Some(*vpc) == of)
                    .map(|(id, _)| id);
                let group = match picks[1] % 8 {
                    0 => group(1),
                    _ => one(1, fit.collect()),
                };
                let address = (picks[2] % 3 == 0)
                    .then(|| Ipv4Addr::new(192, 168, 1, 10 + (picks[2] % 5) as u8));
                Op::RunInstances {
                    vswitch,
                    group,
                    address,
                }
            }
            44..46 => Op::StopInstance {
                instance: instance(0),
            },
            46..48 => Op::StartInstance {
                instance: instance(0),
            },
            48..50 => Op::DeleteInstance {
                instance: instance(0),
                force,
            },
            50..57 => Op::AllocateEip,
            57..66 => Op::AssociateEip {
                eip: eip(0),
                to: hop(1),
            },
            66..68 => Op::UnassociateEip { eip: eip(0), force },
            68..69 => Op::ReleaseEip { eip: eip(0) },
            69..74 => {
                let vswitch = vswitch(0);
                let of = facts.vswitches.get(&vswitch).map(|it| it.vpc.clone());
                let vpc = match picks[1] % 8 {
                    0 => vpc(1),
                    _ => of.unwrap_or(NOBODY.into()),
                };
                Op::CreateNatGateway { vpc, vswitch }
            }
            74..76 => Op::DeleteNatGateway {
                gateway: gateway(0),
                force,
            },
            76..83 => {
                let source = match picks[1] % 3 {
                    0 => Source::Cidr(
                        ["192.168.0.0/16", "192.168.1.0/24", "10.1.0.0/29"]
                            [usize::from(picks[2]) % 3]
                            .into(),
                    ),
                    _ => Source::VSwitch(vswitch(1)),
                };
                let table = snat_table(0);
                Op::CreateSnat {
                    table,
                    source,
                    addresses: addresses(3),
                }
            }
            83..85 => {
                let (table, entry) = snat(0);
                Op::ModifySnat {
                    table,
                    entry,
                    addresses: addresses(1),
                }
            }
            85..87 => {
                let (table, entry) = snat(0);
                Op::DeleteSnat { table, entry }
            }
            87..95 => Op::CreateForward {
                table: forward_table(0),
                external: address(1),
                internal: internal(2),
                ports: PORTS[usize::from(picks[3]) % 6],
            },
            95..98 => {
                let (table, entry) = forward(0);
                Op::ModifyForward {
                    table,
                    entry,
                    internal: internal(1),
                    ports: PORTS[usize::from(picks[2]) % 6],
                }
            }
            _ => {
                let (table, entry) = forward(0);
                Op::DeleteForward { table, entry }
            }
        }
    }

    /// Version, action and parameters of the call.
    pub fn call(&self) -> (&'static str, &'static str, Vec<(String, String)>) {
        const VPC: &str = "2016-04-28";
        const ECS: &str = "2014-05-26";
        let joined = |addresses: &[Ipv4Addr]| {
            let addresses: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
            addresses.join(",")
        };
        let force = |force: &bool| ("Force", force.to_string());
        let hop_type = |hop: &Hop| match hop {
            Hop::Instance(_) => "Instance".to_owned(),
            Hop::Gateway(_) => "NatGateway".to_owned(),
        };
        let mapping = |ports: &Ports| match ports {
            None => [
                ("IpProtocol", "Any".to_owned()),
                ("ExternalPort", "Any".into()),
                ("InternalPort", "Any".into()),
            ],
            Some((protocol, first, last, internal)) => {
                let range = |first: u16, last: u16| match first == last {
                    true => first.to_string(),
                    false => format!("{first}/{last}"),
                };
                [
                    ("IpProtocol", (*protocol).to_owned()),
                    ("ExternalPort", range(*first, *last)),
                    ("InternalPort", range(*internal, internal + (last - first))),
                ]
            }
        };
        let text = String::clone;
        let (version, action, params): (_, _, Vec<(&str, String)>) = match self {
            Op::CreateVpc { cidr } => (VPC, "CreateVpc", vec![("CidrBlock", (*cidr).into())]),
            Op::DeleteVpc { vpc } => (VPC, "DeleteVpc", vec![("VpcId", text(vpc))]),
            Op::CreateVSwitch { vpc, cidr } => (
                VPC,
                "CreateVSwitch",
                vec![
                    ("VpcId", text(vpc)),
                    ("CidrBlock", (*cidr).into()),
                    ("ZoneId", "cn-hangzhou-h".into()),
                ],
            ),
            Op::DeleteVSwitch { vswitch } => {
                (VPC, "DeleteVSwitch", vec![("VSwitchId", text(vswitch))])
            }
            Op::CreateRouteTable { vpc } => (VPC, "CreateRouteTable", vec![("VpcId", text(vpc))]),
            Op::DeleteRouteTable { table } => {
                (VPC, "DeleteRouteTable", vec![("RouteTableId", text(table))])
            }
            Op::AssociateRouteTable { table, vswitch } => (
                VPC,
                "AssociateRouteTable",
                vec![("RouteTableId", text(table)), ("VSwitchId", text(vswitch))],
            ),
            Op::UnassociateRouteTable { table, vswitch } => (
                VPC,
                "UnassociateRouteTable",
                vec![("RouteTableId", text(table)), ("VSwitchId", text(vswitch))],
            ),
            Op::CreateRouteEntry {
                table,
                destination,
                hop,
            } => (
                VPC,
                "CreateRouteEntry",
                vec![
                    ("RouteTableId", text(table)),
                    ("DestinationCidrBlock", (*destination).into()),
                    ("NextHopType", hop_type(hop)),
                    ("NextHopId", hop.id().into()),
                ],
            ),
            Op::DeleteRouteEntry {
                table,
                destination,
                hop,
            } => (
                VPC,
                "DeleteRouteEntry",
                vec![
                    ("RouteTableId", text(table)),
                    ("DestinationCidrBlock", text(destination)),
                    ("NextHopId", hop.id().into()),
                ],
            ),
            Op::CreateSecurityGroup { vpc } => {
                (ECS, "CreateSecurityGroup", vec![("VpcId", text(vpc))])
            }
            Op::DeleteSecurityGroup { group } => (
                ECS,
                "DeleteSecurityGroup",
                vec![("SecurityGroupId", text(group))],
            ),
            Op::RunInstances {
                vswitch,
                group,
                address,
            } => {
                let mut params = vec![
                    ("ImageId", "image-1".to_owned()),
                    ("InstanceType", "ecs.g6.large".into()),
                    ("VSwitchId", text(vswitch)),
                    ("SecurityGroupId", text(group)),
                ];
                params.extend(address.map(|it| ("PrivateIpAddress", it.to_string())));
                (ECS, "RunInstances", params)
            }
            Op::StopInstance { instance } => {
                (ECS, "StopInstance", vec![("InstanceId", text(instance))])
            }
            Op::StartInstance { instance } => {
                (ECS, "StartInstance", vec![("InstanceId", text(instance))])
            }
            Op::DeleteInstance {
                instance,
                force: it,
            } => (
                ECS,
                "DeleteInstance",
                vec![("InstanceId", text(instance)), force(it)],
            ),
            Op::AllocateEip => (VPC, "AllocateEipAddress", vec![]),
            Op::AssociateEip { eip, to } => {
                let kind = match to {
                    Hop::Instance(_) => "EcsInstance",
                    Hop::Gateway(_) => "Nat",
                };
                let params = vec![
                    ("AllocationId", text(eip)),
                    ("InstanceId", to.id().into()),
                    ("InstanceType", kind.into()),
                ];
                (VPC, "AssociateEipAddress", params)
            }
            Op::UnassociateEip { eip, force: it } => (
                VPC,
                "UnassociateEipAddress",
                vec![("AllocationId", text(eip)), force(it)],
            ),
            Op::ReleaseEip { eip } => (VPC, "ReleaseEipAddress", vec![("AllocationId", text(eip))]),
            Op::CreateNatGateway { vpc, vswitch } => (
                VPC,
                "CreateNatGateway",
                vec![
                    ("VpcId", text(vpc)),
                    ("VSwitchId", text(vswitch)),
                    ("NatType", "Enhanced".into()),
                ],
            ),
            Op::DeleteNatGateway { gateway, force: it } => (
                VPC,
                "DeleteNatGateway",
                vec![("NatGatewayId", text(gateway)), force(it)],
            ),
            Op::CreateSnat {
                table,
                source,
                addresses,
            } => {
                let source = match source {
                    Source::VSwitch(id) => ("SourceVSwitchId", text(id)),
                    Source::Cidr(cidr) => ("SourceCIDR", text(cidr)),
                };
                let params = vec![
                    ("SnatTableId", text(table)),
                    source,
                    ("SnatIp", joined(addresses)),
                ];
                (VPC, "CreateSnatEntry", params)
            }
            Op::ModifySnat {
                table,
                entry,
                addresses,
            } => (
                VPC,
                "ModifySnatEntry",
                vec![
                    ("SnatTableId", text(table)),
                    ("SnatEntryId", text(entry)),
                    ("SnatIp", joined(addresses)),
                ],
            ),
            Op::DeleteSnat { table, entry } => (
                VPC,
                "DeleteSnatEntry",
                vec![("SnatTableId", text(table)), ("SnatEntryId", text(entry))],
            ),
            Op::CreateForward {
                table,
                external,
                internal,
                ports,
            } => {
                let mut params = vec![
                    ("ForwardTableId", text(table)),
                    ("ExternalIp", external.to_string()),
                    ("InternalIp", internal.to_string()),
                ];
                params.extend(mapping(ports));
                (VPC, "CreateForwardEntry", params)
            }
            Op::ModifyForward {
                table,
                entry,
                internal,
                ports,
            } => {
                let mut params = vec![
                    ("ForwardTableId", text(table)),
                    ("ForwardEntryId", text(entry)),
                    ("InternalIp", internal.to_string()),
                ];
                params.extend(mapping(ports));
                (VPC, "ModifyForwardEntry", params)
            }
            Op::DeleteForward { table, entry } => (
                VPC,
                "DeleteForwardEntry",
                vec![
                    ("ForwardTableId", text(table)),
                    ("ForwardEntryId", text(entry)),
                ],
            ),
        };
        let region = ("RegionId", "cn-hangzhou".to_owned());
        let params = std::iter::once(region).chain(params);
        (
            version,
            action,
            params
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}
