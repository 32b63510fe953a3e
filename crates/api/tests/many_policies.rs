//! What a call about policies and address books costs when there are many. A measurement, told and not tested:
//! `cargo test -p api --test api -- --ignored --nocapture many_policies`.

use crate::common::firewall::{Site, site};
use crate::common::text;
use control::Refusal;
use control::firewall::policy::Order;
use model::{
    ControlPolicy, DomainResolve, PolicyAction, PolicyDestination, PolicyPorts, PolicyScope,
    PolicySource, Validity,
};
use std::time::{Duration, Instant};

fn policy(n: u32) -> ControlPolicy {
    let net = |base: u32, len| ipnet::Ipv4Net::new((base + n * 16).into(), len).unwrap();
    ControlPolicy {
        id: String::new(),
        description: format!("policy {n}"),
        source: PolicySource::Net(net(0x0a00_0000, 28)),
        destination: PolicyDestination::Net(net(0xc000_0000, 28)),
        protocol: Some(6),
        ports: PolicyPorts::Range(443..=443),
        applications: Vec::new(),
        action: PolicyAction::Accept,
        enabled: true,
        validity: Validity::Permanent,
        resolve: DomainResolve::Fqdn,
    }
}

/// Fills up to so many policies, in one change.
fn fill(site: &Site, from: u32, to: u32) -> Duration {
    let scope = PolicyScope::NatGateway(site.gateway.clone());
    let begin = Instant::now();
    let filled = site.world.control.change(1_000, |draft| {
        for n in from..to {
            draft.create_policy(&scope, Order::Last, policy(n))?;
        }
        Ok::<(), Refusal>(())
    });
    filled.unwrap();
    begin.elapsed()
}

/// The best of a few.
fn best(mut call: impl FnMut()) -> Duration {
    let mut times = [Duration::MAX; 5];
    for time in &mut times {
        let begin = Instant::now();
        call();
        *time = begin.elapsed();
    }
    times.into_iter().min().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn many_policies() {
    let site = site(1);
    let gateway = ("NatGatewayId", &*site.gateway);
    let direction = ("Direction", "out");
    let mut had = 0;
    for many in [10, 1_000, 10_000, 100_000] {
        let filled = fill(&site, had, many);
        println!(
            "{many:7} policies: {} more in one change {filled:?}",
            many - had
        );
        had = many;
        let create = |order: &str| {
            let params = [
                gateway,
                direction,
                ("AclAction", "drop"),
                ("Description", "one more"),
                ("Source", "192.168.0.0/16"),
                ("SourceType", "net"),
                ("Destination", "203.0.113.0/24"),
                ("DestinationType", "net"),
                ("Proto", "TCP"),
                ("ApplicationNameList.1", "ANY"),
                ("NewOrder", order),
            ];
            let made = site.cfw("CreateNatFirewallControlPolicy", &params).unwrap();
            text(&made, "/AclUuid")
        };
        let mut made = Vec::new();
        let middle = (many / 2).to_string();
        let first = best(|| made.push(create("1")));
        let last = best(|| made.push(create("-1")));
        let in_the_middle = best(|| made.push(create(&middle)));
        let it = made[0].clone();
        let page = [gateway, direction, ("CurrentPage", "1"), ("PageSize", "10")];
        let list = best(|| {
            site.cfw("DescribeNatFirewallControlPolicy", &page).unwrap();
        });
        let find = best(|| {
            let params = [&page[..], &[("AclUuid", &*it)]].concat();
            site.cfw("DescribeNatFirewallControlPolicy", &params)
                .unwrap();
        });
        let to = std::cell::Cell::new(1);
        let place = best(|| {
            to.set(3 - to.get());
            let to = to.get().to_string();
            let params = [gateway, direction, ("AclUuid", &*it), ("NewOrder", &to)];
            let action = "ModifyNatFirewallControlPolicyPosition";
            site.cfw(action, &params).unwrap();
        });
        let mut left = made.into_iter();
        let delete = best(|| {
            let id = left.next().unwrap();
            let params = [gateway, direction, ("AclUuid", &*id)];
            site.cfw("DeleteNatFirewallControlPolicy", &params).unwrap();
        });
        let elsewhere = best(|| {
            site.world
                .vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")])
                .unwrap();
        });
        let begin = Instant::now();
        site.cfw("CreateAclCheck", &[("AclType", "nat")]).unwrap();
        let check = begin.elapsed();
        println!("  create first {first:?}, last {last:?}, in the middle {in_the_middle:?}");
        println!("  list {list:?}, find {find:?}, move {place:?}, delete {delete:?}");
        println!("  a VPC {elsewhere:?}, check {check:?}");
    }
}

#[test]
#[ignore = "a measurement"]
fn large_books() {
    let site = site(1);
    for entries in [10u32, 2_000] {
        let list: Vec<String> = (0..entries)
            .map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + n * 256).to_string())
            .collect();
        let list = list.join(",");
        let mut n = 0;
        let create = best(|| {
            n += 1;
            let name = format!("book {entries} {n}");
            let params = [
                ("GroupType", "ip"),
                ("GroupName", &*name),
                ("Description", "a book"),
                ("AddressList", &list),
            ];
            site.cfw("AddAddressBook", &params).unwrap();
        });
        let told = site
            .cfw("DescribeAddressBook", &[("Query", "book")])
            .unwrap();
        let uuid = text(&told, "/Acls/0/GroupUuid");
        let name = text(&told, "/Acls/0/GroupName");
        let modify = |mode: &str| {
            let params = [
                ("GroupUuid", &*uuid),
                ("GroupName", &name),
                ("Description", "a book"),
                ("AddressList", "172.16.0.1"),
                ("ModifyMode", mode),
            ];
            site.cfw("ModifyAddressBook", &params)
        };
        let delete = best(|| drop(modify("Delete")));
        let show = best(|| {
            site.cfw("DescribeAddressBook", &[("GroupUuid", &uuid)])
                .unwrap();
        });
        println!("{entries:5} entries: create {create:?}, take one out {delete:?}, show {show:?}");
    }
}
