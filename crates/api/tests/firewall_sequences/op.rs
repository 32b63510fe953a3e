//! Operations of Cloud Firewall at random, and those of others that touch what is a firewall's.

use super::facts::{Facts, NETS};
use proptest::prelude::*;

/// An operation on what was there when it was picked, or on what never was.
#[derive(Clone, Debug)]
pub enum Op {
    Create {
        gateway: String,
        tables: Vec<String>,
        /// The vSwitch that it is given; `None`: one is made.
        vswitch: Option<String>,
        on: bool,
        inbound: bool,
    },
    Switch {
        firewall: String,
        on: bool,
    },
    Update {
        firewall: String,
        inbound: Option<bool>,
        strict: bool,
        tables: Vec<String>,
    },
    Delete {
        firewall: String,
    },
    CreateRoute {
        table: String,
        gateway: String,
    },
    DeleteRoute {
        table: String,
        gateway: String,
    },
    /// What a firewall has made: a vSwitch, a route table, an SNAT entry of a table.
    DeleteVSwitch {
        id: String,
    },
    DeleteTable {
        id: String,
    },
    DeleteSnat {
        table: String,
        id: String,
    },
    CreateDnat {
        gateway: String,
        port: u16,
    },
    DeleteDnat {
        gateway: String,
        id: String,
    },
    AddPolicy {
        scope: String,
        order: i64,
        source: Source,
        drop: bool,
    },
    ModifyPolicy {
        scope: String,
        id: String,
        source: Source,
        drop: bool,
    },
    MovePolicy {
        scope: String,
        id: String,
        order: i64,
    },
    DeletePolicies {
        scope: String,
        ids: Vec<String>,
    },
    AddBook {
        name: &'static str,
        net: &'static str,
    },
    Append {
        book: String,
        name: String,
        net: &'static str,
    },
    DeleteBook {
        book: String,
    },
    Backup {
        time: u64,
    },
    UseBackup {
        time: u64,
    },
    DeleteBackup {
        time: u64,
    },
    Protect {
        address: String,
        on: bool,
    },
    AutoProtect {
        on: bool,
    },
    Allocate,
}

/// What a policy has as its source: a block, or a book by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Net,
    Book(String),
}

/// Random numbers that an operation is picked by.
pub type Genes = (u8, [u16; 4]);

pub fn genes() -> impl Strategy<Value = Genes> {
    (0..100u8, any::<[u16; 4]>())
}

pub const NOBODY: &str = "nobody-1";
pub const BORDER: &str = "border-out";
const NAMES: [&str; 3] = ["office", "branch", "lab"];

impl Op {
    /// The operation that the numbers pick of what is there.
    pub fn pick((kind, picks): Genes, facts: &Facts) -> Op {
        let one = |n: usize, of: Vec<&String>| match of.is_empty() || picks[n] % 32 == 31 {
            true => NOBODY.to_owned(),
            false => of[usize::from(picks[n]) % of.len()].clone(),
        };
        let gateway = |n| one(n, facts.gateways.keys().collect());
        let table = |n| one(n, facts.tables.keys().collect());
        let firewall = |n| one(n, facts.firewalls.keys().collect());
        let book = |n| one(n, facts.books.keys().collect());
        let scope = |n: usize| match picks[n] % 3 {
            0 => BORDER.to_owned(),
            _ => gateway(n),
        };
        let source = |n: usize| match facts.books.values().nth(usize::from(picks[n] % 4)) {
            Some(book) => Source::Book(book.name.clone()),
            None if picks[n] % 16 == 15 => Source::Book("nobody".into()),
            None => Source::Net,
        };
        // Mostly those whose default route leads there.
        let tables = |gateway: &str, n: usize| -> Vec<String> {
            let leads = facts.defaults.iter().filter(|(_, to)| *to == gateway);
            let mut tables: Vec<String> = leads.map(|it| it.0.clone()).collect();
            match picks[n] % 8 {
                0 => tables.clear(),
                1 => tables.push(table(n)),
                2 => tables.truncate(1),
                _ => {}
            }
            tables
        };
        let policy = |n: usize, scope: &str| {
            let list = facts.policies.get(scope);
            let ids: Vec<&String> = list.into_iter().flatten().map(|it| &it.id).collect();
            one(n, ids)
        };
        let order = |n: usize| i64::from(picks[n] % 9) - 1;
        let (flag, other) = (picks[3] % 2 == 0, picks[3] % 4 < 2);
        let time = 1_700_000_000 + u64::from(picks[0] % 3);
        match kind {
            0..10 => {
                let gateway = gateway(0);
                let spare = one(1, facts.spare.iter().collect());
                Op::Create {
                    tables: tables(&gateway, 2),
                    vswitch: (picks[1] % 3 == 0).then_some(spare),
                    gateway,
                    on: flag,
                    inbound: other,
                }
            }
            10..17 => Op::Switch {
                firewall: firewall(0),
                on: flag,
            },
            17..22 => {
                let firewall = firewall(0);
                let its = facts.firewalls.get(&firewall);
                let gateway = its.map_or(NOBODY, |it| &it.gateway);
                Op::Update {
                    tables: match picks[1] % 3 {
                        0 => tables(gateway, 1),
                        _ => Vec::new(),
                    },
                    firewall,
                    inbound: (picks[2] % 2 == 0).then_some(flag),
                    strict: other,
                }
            }
            22..26 => Op::Delete {
                firewall: firewall(0),
            },
            26..31 => Op::CreateRoute {
                table: table(0),
                gateway: gateway(1),
            },
            31..36 => {
                let table = table(0);
                let to = facts.defaults.get(&table).cloned();
                Op::DeleteRoute {
                    gateway: to.unwrap_or_else(|| gateway(1)),
                    table,
                }
            }
            36..38 => Op::DeleteVSwitch {
                id: one(0, facts.firewalls.values().map(|it| &it.vswitch).collect()),
            },
            38..40 => Op::DeleteTable {
                id: one(0, facts.firewalls.values().map(|it| &it.table).collect()),
            },
            40..42 => {
                let firewall = facts.firewalls.values().next();
                let id = one(0, firewall.iter().flat_map(|it| &it.snat).collect());
                let gateway = firewall.and_then(|it| facts.gateways.get(&it.gateway));
                Op::DeleteSnat {
                    table: gateway.map_or(NOBODY.into(), |it| it.snat_table.clone()),
                    id,
                }
            }
            42..48 => Op::CreateDnat {
                gateway: gateway(0),
                port: 80 + picks[1] % 3,
            },
            48..52 => {
                let id = one(0, facts.dnat.keys().collect());
                let gateway = facts.dnat.get(&id).map(|it| it.0.clone());
                Op::DeleteDnat {
                    gateway: gateway.unwrap_or_else(|| self::first(facts)),
                    id,
                }
            }
            52..64 => Op::AddPolicy {
                scope: scope(0),
                order: order(1),
                source: source(2),
                drop: flag,
            },
            64..69 => {
                let scope = scope(0);
                Op::ModifyPolicy {
                    id: policy(1, &scope),
                    scope,
                    source: source(2),
                    drop: flag,
                }
            }
            69..75 => {
                let scope = scope(0);
                Op::MovePolicy {
                    id: policy(1, &scope),
                    scope,
                    order: order(2),
                }
            }
            75..80 => {
                let scope = scope(0);
                let mut ids = vec![policy(1, &scope)];
                if scope != BORDER && picks[3] % 3 == 0 {
                    ids.push(policy(2, &scope));
                }
                Op::DeletePolicies { scope, ids }
            }
            80..84 => Op::AddBook {
                name: NAMES[usize::from(picks[0] % 3)],
                net: NETS[usize::from(picks[1] % 3)],
            },
            84..86 => {
                let book = book(0);
                let name = facts.books.get(&book).map(|it| it.name.clone());
                Op::Append {
                    name: name.unwrap_or_else(|| "nobody".into()),
                    book,
                    net: NETS[usize::from(picks[1] % 3)],
                }
            }
            86..89 => Op::DeleteBook { book: book(0) },
            89..91 => Op::Backup { time },
            91..93 => Op::UseBackup { time },
            93..94 => Op::DeleteBackup { time },
            94..97 => Op::Protect {
                address: one(0, facts.eips.keys().collect()),
                on: flag,
            },
            97..98 => Op::AutoProtect { on: flag },
            _ if facts.eips.len() < 8 => Op::Allocate,
            _ => Op::AutoProtect { on: flag },
        }
    }

    /// The call that it is: version, action, parameters.
    pub fn call(&self, facts: &Facts) -> (&'static str, &'static str, Vec<(String, String)>) {
        const VPC: &str = "2016-04-28";
        const CFW: &str = "2017-12-07";
        let mut params: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: &str| params.push((name.into(), value.into()));
        let word = |on: bool| if on { "open" } else { "close" };
        let of = |gateway: &str| facts.gateways.get(gateway).cloned().unwrap_or_default();
        let says = |source: &Source, drop: bool, add: &mut dyn FnMut(&str, &str)| {
            let (kind, source) = match source {
                Source::Net => ("net", "10.0.0.0/8"),
                Source::Book(name) => ("group", &**name),
            };
            add("SourceType", kind);
            add("Source", source);
            add("AclAction", if drop { "drop" } else { "accept" });
        };
        let whose = |scope: &str, add: &mut dyn FnMut(&str, &str)| {
            add("Direction", "out");
            if scope != BORDER {
                add("NatGatewayId", scope);
            }
        };
        let border = |scope: &str| scope == BORDER;
        let (version, action) = match self {
            Op::Create {
                gateway,
                tables,
                vswitch,
                on,
                inbound,
            } => {
                add("RegionNo", "cn-hangzhou");
                add("NatGatewayId", gateway);
                add("VpcId", &of(gateway).vpc);
                add("ProxyName", "firewall");
                add("FirewallSwitch", word(*on));
                add("Inbound", &inbound.to_string());
                for (n, table) in tables.iter().enumerate() {
                    let field = |name: &str| format!("NatRouteEntryList.{}.{name}", n + 1);
                    add(&field("RouteTableId"), table);
                    add(&field("DestinationCidr"), "0.0.0.0/0");
                    add(&field("NextHopType"), "NatGateway");
                    add(&field("NextHopId"), gateway);
                }
                if let Some(vswitch) = vswitch {
                    add("VswitchAuto", "false");
                    add("VswitchId", vswitch);
                }
                (CFW, "CreateSecurityProxy")
            }
            Op::Switch { firewall, on } => {
                add("ProxyId", firewall);
                add("Switch", word(*on));
                (CFW, "SwitchSecurityProxy")
            }
            Op::Update {
                firewall,
                inbound,
                strict,
                tables,
            } => {
                add("ProxyId", firewall);
                add("ProxyName", "firewall");
                add("StrictMode", if *strict { "1" } else { "0" });
                if let Some(inbound) = inbound {
                    add("Inbound", &inbound.to_string());
                }
                for (n, table) in tables.iter().enumerate() {
                    add(&format!("RouteTableIds.{}", n + 1), table);
                }
                (CFW, "UpdateSecurityProxy")
            }
            Op::Delete { firewall } => {
                add("ProxyId", firewall);
                (CFW, "DeleteSecurityProxy")
            }
            Op::CreateRoute { table, gateway } | Op::DeleteRoute { table, gateway } => {
                add("RouteTableId", table);
                add("DestinationCidrBlock", "0.0.0.0/0");
                add("NextHopId", gateway);
                match self {
                    Op::CreateRoute { .. } => {
                        add("NextHopType", "NatGateway");
                        (VPC, "CreateRouteEntry")
                    }
                    _ => (VPC, "DeleteRouteEntry"),
                }
            }
            Op::DeleteVSwitch { id } => {
                add("VSwitchId", id);
                (VPC, "DeleteVSwitch")
            }
            Op::DeleteTable { id } => {
                add("RouteTableId", id);
                (VPC, "DeleteRouteTable")
            }
            Op::DeleteSnat { table, id } => {
                add("SnatTableId", table);
                add("SnatEntryId", id);
                (VPC, "DeleteSnatEntry")
            }
            Op::CreateDnat { gateway, port } => {
                let gateway = of(gateway);
                add("ForwardTableId", &gateway.forward_table);
                add("ExternalIp", &gateway.dnat_address);
                add("ExternalPort", &port.to_string());
                add("InternalIp", "192.168.1.10");
                add("InternalPort", &port.to_string());
                add("IpProtocol", "tcp");
                (VPC, "CreateForwardEntry")
            }
            Op::DeleteDnat { gateway, id } => {
                add("ForwardTableId", &of(gateway).forward_table);
                add("ForwardEntryId", id);
                (VPC, "DeleteForwardEntry")
            }
            Op::AddPolicy {
                scope,
                order,
                source,
                drop,
            } => {
                whose(scope, &mut add);
                says(source, *drop, &mut add);
                add("Description", "a policy");
                add("Destination", "198.51.100.0/24");
                add("DestinationType", "net");
                add("Proto", "TCP");
                add("ApplicationNameList.1", "ANY");
                add("NewOrder", &order.to_string());
                match border(scope) {
                    true => (CFW, "AddControlPolicy"),
                    false => (CFW, "CreateNatFirewallControlPolicy"),
                }
            }
            Op::ModifyPolicy {
                scope,
                id,
                source,
                drop,
            } => {
                whose(scope, &mut add);
                says(source, *drop, &mut add);
                add("AclUuid", id);
                match border(scope) {
                    true => (CFW, "ModifyControlPolicy"),
                    false => (CFW, "ModifyNatFirewallControlPolicy"),
                }
            }
            Op::MovePolicy { scope, id, order } => {
                whose(scope, &mut add);
                add("AclUuid", id);
                match border(scope) {
                    true => {
                        add("Order", &order.to_string());
                        (CFW, "ModifyControlPolicyPriority")
                    }
                    false => {
                        add("NewOrder", &order.to_string());
                        (CFW, "ModifyNatFirewallControlPolicyPosition")
                    }
                }
            }
            Op::DeletePolicies { scope, ids } => {
                whose(scope, &mut add);
                match (&ids[..], border(scope)) {
                    ([id], true) => {
                        add("AclUuid", id);
                        (CFW, "DeleteControlPolicy")
                    }
                    ([id], false) => {
                        add("AclUuid", id);
                        (CFW, "DeleteNatFirewallControlPolicy")
                    }
                    (ids, _) => {
                        for (n, id) in ids.iter().enumerate() {
                            add(&format!("AclUuidList.{}", n + 1), id);
                        }
                        (CFW, "DeleteNatFirewallControlPolicyBatch")
                    }
                }
            }
            Op::AddBook { name, net } => {
                add("GroupType", "ip");
                add("GroupName", name);
                add("Description", "a book");
                add("AddressList", net);
                (CFW, "AddAddressBook")
            }
            Op::Append { book, name, net } => {
                add("GroupUuid", book);
                add("GroupName", name);
                add("Description", "a book");
                add("AddressList", net);
                add("ModifyMode", "Append");
                (CFW, "ModifyAddressBook")
            }
            Op::DeleteBook { book } => {
                add("GroupUuid", book);
                (CFW, "DeleteAddressBook")
            }
            Op::Backup { time } | Op::UseBackup { time } | Op::DeleteBackup { time } => {
                add("BackUpTime", &time.to_string());
                match self {
                    Op::Backup { .. } => (CFW, "AddAclBackupData"),
                    Op::UseBackup { .. } => (CFW, "UseAclBackupData"),
                    _ => (CFW, "DeleteAclBackupData"),
                }
            }
            Op::Protect { address, on } => {
                add("IpaddrList.1", address);
                match on {
                    true => (CFW, "PutEnableFwSwitch"),
                    false => (CFW, "PutDisableFwSwitch"),
                }
            }
            Op::AutoProtect { on } => {
                add("AutoProtect", &on.to_string());
                (CFW, "SetAutoProtectNewAssets")
            }
            Op::Allocate => (VPC, "AllocateEipAddress"),
        };
        if version == VPC {
            params.push(("RegionId".into(), "cn-hangzhou".into()));
        }
        (version, action, params)
    }
}

fn first(facts: &Facts) -> String {
    facts.gateways.keys().next().cloned().unwrap_or_default()
}
