//! What the firewalls that run tell of policies, through the API: hits, and the addresses of names.

use super::{create, listed};
use crate::common::{World, refused};
use crate::nat::*;
use api::firewall::{Firewalls, Hits, Resolved};
use ipnet::Ipv4Net;
use model::PolicyScope;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Firewalls that tell what they are told to, and remember what they are asked.
#[derive(Default)]
pub(super) struct Running {
    hits: Mutex<BTreeMap<String, Hits>>,
    asked: Mutex<Vec<String>>,
}

pub(super) struct Shared(pub(super) Arc<Running>);

impl Firewalls for Shared {
    fn hits(&self, _: &PolicyScope, ids: &[&str]) -> Vec<Hits> {
        let hits = self.0.hits.lock().unwrap();
        ids.iter()
            .map(|id| hits.get(*id).copied().unwrap_or_default())
            .collect()
    }

    fn reset(&self, scope: &PolicyScope, id: &str) {
        self.0.hits.lock().unwrap().remove(id);
        self.0.asked.lock().unwrap().push(format!("reset {scope}"));
    }

    fn resolved(&self, name: &str) -> Option<Resolved> {
        (name == "a.example").then(|| Resolved {
            addresses: vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
            at: 1_700_000_000,
        })
    }

    fn resolve(&self, name: &str) {
        self.0.asked.lock().unwrap().push(format!("resolve {name}"));
    }

    fn cloud_service(&self, _: &str) -> Arc<[Ipv4Net]> {
        Arc::default()
    }
}

#[test]
fn hits_and_resolved_names_come_from_the_running_firewalls() {
    let mut world = World::new();
    let site = site(&world);
    let running = Arc::new(Running::default());
    world.run_firewalls(Box::new(Shared(Arc::clone(&running))));
    let id = create(
        &world,
        &site,
        &[
            ("DestinationType", "domain"),
            ("Destination", "A.example."),
            ("DomainResolveType", "1"),
        ],
    );
    let hits = Hits {
        count: 3,
        bytes: 4_000,
        last: Some(1_800_000_000),
    };
    running.hits.lock().unwrap().insert(id.clone(), hits);
    let one = listed(&world, &site, &[]).remove(0);
    assert_eq!(one["HitTimes"], 3);
    assert_eq!(one["HitBytes"], 4_000);
    assert_eq!(one["HitLastTime"], 1_800_000_000);
    assert_eq!(one["DnsResult"], "192.0.2.1,192.0.2.2");
    assert_eq!(one["DnsResultTime"], 1_700_000_000);
    let reset = |id: &str| world.cfw("ResetNatFirewallRuleHitCount", &[("AclUuid", id)]);
    reset(&id).unwrap();
    assert_eq!(refused(reset("none")), "ErrorAclNotExist");
    assert_eq!(listed(&world, &site, &[])[0]["HitTimes"], 0);
    let name = [("DomainName", "B.Example")];
    world.cfw("AddDomainResolveRealtimeTask", &name).unwrap();
    let asked = running.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            format!("reset {}", site.gateway),
            "resolve b.example".into()
        ]
    );
    let told = world
        .cfw("DescribeDomainResolve", &[("Domain", "a.example")])
        .unwrap();
    assert_eq!(told["ResolveResult"]["IpAddrs"], "192.0.2.1,192.0.2.2");
    let told = world
        .cfw("DescribeControlPolicyDomainResolve", &[])
        .unwrap();
    assert_eq!(told["ResolveResult"][0]["Domain"], "a.example");
    assert_eq!(told["ResolveResult"][0]["IpAddrList"][1], "192.0.2.2");
    // Both are changes that the audit trail tells.
    let stored = world.stored();
    assert!(stored.contains("ResetNatFirewallRuleHitCount"));
    assert!(stored.contains("AddDomainResolveRealtimeTask"));
}
