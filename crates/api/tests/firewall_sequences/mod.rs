//! Random sequences of calls about firewalls against a naive model, with refusals of the data path, failures of the
//! store and crashes in between.
//!
//! After each step the same holds as after one of [`crate::sequences`]. Besides, a firewall that is on has what it
//! diverts and nothing else, one that goes leaves all as it was, what is its own is nobody else's to take away, policies
//! stand in places from 1 on without gaps, and they name no book that there is not.

mod facts;
mod op;

use self::facts::{Facts, scope};
use self::op::{BORDER, Op, genes};
use crate::sequences::world::{Fault, World, faults};
use model::NextHop;
use proptest::prelude::*;
use serde_json::Value;

const VPC: &str = "2016-04-28";
const CFW: &str = "2017-12-07";

fn call(world: &World, version: &str, action: &str, params: &[(&str, &str)]) -> Value {
    let params = params
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let params: Vec<(String, String)> = params.collect();
    let answer = world.call((version, action), &params, Fault::None);
    answer.unwrap_or_else(|error| panic!("{action}: {error:?}"))
}

/// Two VPCs, each with a gateway that has two EIPs and an SNAT entry, and a custom route table; and in the first a vSwitch
/// with a table of its own that a firewall can be given.
fn build(world: &World) -> Facts {
    let vpc = |action: &str, params: &[(&str, &str)]| {
        let region = [("RegionId", "cn-hangzhou")];
        call(world, VPC, action, &[&region, params].concat())
    };
    let text = |answer: &Value, path: &str| crate::common::text(answer, path);
    let mut spare = Vec::new();
    for n in 0..2 {
        let id = text(
            &vpc("CreateVpc", &[("CidrBlock", "192.168.0.0/16")]),
            "/VpcId",
        );
        let vswitch = |cidr: &str| {
            let params = [
                ("VpcId", &*id),
                ("CidrBlock", cidr),
                ("ZoneId", "cn-hangzhou-h"),
            ];
            text(&vpc("CreateVSwitch", &params), "/VSwitchId")
        };
        let table = |vswitch: &str| {
            let table = text(&vpc("CreateRouteTable", &[("VpcId", &id)]), "/RouteTableId");
            let params = [("RouteTableId", &*table), ("VSwitchId", vswitch)];
            vpc("AssociateRouteTable", &params);
            table
        };
        let first = vswitch("192.168.1.0/24");
        let params = [("VpcId", &*id), ("VSwitchId", &first)];
        let made = vpc("CreateNatGateway", &params);
        let gateway = text(&made, "/NatGatewayId");
        for k in 0..2 {
            let made_eip = vpc("AllocateEipAddress", &[]);
            let params = [
                ("AllocationId", &*text(&made_eip, "/AllocationId")),
                ("InstanceId", &gateway),
                ("InstanceType", "Nat"),
            ];
            vpc("AssociateEipAddress", &params);
            if k == 0 {
                let params = [
                    ("SnatTableId", &*text(&made, "/SnatTableIds/SnatTableId/0")),
                    ("SourceCIDR", "192.168.0.0/16"),
                    ("SnatIp", &text(&made_eip, "/EipAddress")),
                ];
                vpc("CreateSnatEntry", &params);
            }
        }
        table(&vswitch("192.168.2.0/24"));
        if n == 0 {
            let its = vswitch("192.168.3.0/24");
            spare = vec![table(&its), its];
        }
    }
    let known = Facts {
        spare: spare.into_iter().collect(),
        ..Facts::default()
    };
    Facts::of(&world.seen(), &known)
}

/// What holds of what the engine is told, and of what the API tells, whatever was done.
fn check(world: &World, facts: &Facts) {
    let config = world.running().control.config();
    let on = facts.firewalls.iter().filter(|(_, it)| it.on);
    let on: Vec<&String> = on.map(|it| it.0).collect();
    let mut told: Vec<&String> = config.firewalls.nat.iter().map(|it| &it.id).collect();
    told.sort();
    assert_eq!(told, on, "the engine has the firewalls that are on");
    for table in &config.route_tables {
        let mut routes = table.routes.iter();
        let hop = routes.find(|it| it.destination.prefix_len() == 0);
        let expected = facts.defaults.get(&table.id).map(|gateway| {
            let mut firewalls = facts.firewalls.iter();
            let diverts = firewalls
                .find(|(_, it)| it.on && it.gateway == *gateway && it.diverts.contains(&table.id));
            match diverts {
                Some((id, _)) => NextHop::NatFirewall(id.clone()),
                None => NextHop::NatGateway(gateway.clone()),
            }
        });
        assert_eq!(hop.map(|it| it.next_hop.clone()), expected, "{}", table.id);
    }
    for list in &config.firewalls.policies {
        for (_, book) in list
            .policies
            .iter()
            .flat_map(|it| it.books().into_iter().flatten())
        {
            let mut books = config.firewalls.books.iter();
            assert!(
                books.any(|it| it.id == *book),
                "{book} is named and not there"
            );
        }
    }
    for (word, policies) in &facts.policies {
        let page = [
            ("CurrentPage", "1"),
            ("PageSize", "50"),
            ("Direction", "out"),
        ];
        let told = match &**word {
            BORDER => call(world, CFW, "DescribeControlPolicy", &page),
            gateway => {
                let params = [&page[..], &[("NatGatewayId", gateway)]].concat();
                call(world, CFW, "DescribeNatFirewallControlPolicy", &params)
            }
        };
        let told = told["Policys"].as_array().unwrap().iter();
        let told = told.map(|it| {
            (
                it["AclUuid"].as_str().unwrap(),
                it["Order"].as_i64().unwrap(),
            )
        });
        let expected = policies.iter().take(50).map(|it| &*it.id).zip(1..);
        assert!(told.eq(expected), "places of {}", scope(word));
    }
}

/// Takes an operation through: what is there afterwards.
fn step(world: &mut World, before: &Facts, op: &Op, fault: Fault) -> Facts {
    let expected = before.refuses(op);
    let (version, action, params) = op.call(before);
    let answer = world.call((version, action), &params, fault);
    let told = || format!("{op:?} with {fault:?}, {expected:?}: {answer:?}");
    match (fault, &answer) {
        (Fault::None, _) => assert_eq!(answer.is_err(), expected.is_some(), "{}", told()),
        (_, Ok(_)) if fault != Fault::Refused => panic!("it was not written: {}", told()),
        _ => {}
    }
    if let (Err(error), Fault::None) = (&answer, fault) {
        let good = error.status < 500 && !error.message.is_empty();
        assert!(good, "{}", told());
    }
    if matches!(fault, Fault::CrashBefore | Fault::CrashAfter) {
        world.start();
    }
    let seen = Facts::of(&world.seen(), before);
    let should = match fault.lets_through(answer.is_ok(), expected.is_none()) {
        true => before.after(op, &seen),
        false => before.clone(),
    };
    assert_eq!(seen, should, "{}", told());
    check(world, &seen);
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn sequences_about_firewalls_do_what_a_naive_model_says(
        steps in prop::collection::vec((genes(), faults()), 1..150)
    ) {
        let mut world = World::new();
        let built = build(&world);
        let mut facts = built.clone();
        for (genes, fault) in steps {
            let op = Op::pick(genes, &facts);
            facts = step(&mut world, &facts, &op, fault);
        }
        world.restart();
        prop_assert_eq!(&Facts::of(&world.seen(), &facts), &facts);
        // Without firewalls and DNAT entries, and with the routes that there were, all of the network is as it was built.
        let firewalls: Vec<String> = facts.firewalls.keys().cloned().collect();
        for firewall in firewalls {
            facts = step(&mut world, &facts, &Op::Delete { firewall }, Fault::None);
        }
        prop_assert_eq!(&facts.tables, &built.tables);
        prop_assert_eq!(&facts.vswitches, &built.vswitches);
        prop_assert_eq!(&facts.gateways, &built.gateways);
    }
}
