//! Address books, through the API.

use crate::common::{World, refused, text};
use crate::nat::*;
use api::ApiError;
use api::firewall::{Firewalls, Hits, Resolved};
use ipnet::Ipv4Net;
use model::{BookContent, PolicyScope};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;

fn try_add(world: &World, kind: &str, name: &str, list: &str) -> Result<Value, ApiError> {
    let params = [
        ("GroupType", kind),
        ("GroupName", name),
        ("Description", "a book"),
        ("AddressList", list),
    ];
    world.cfw("AddAddressBook", &params)
}

fn add(world: &World, kind: &str, name: &str, list: &str) -> String {
    text(&try_add(world, kind, name, list).unwrap(), "/GroupUuid")
}

fn modify(world: &World, id: &str, name: &str, more: &[(&str, &str)]) -> Result<Value, ApiError> {
    let params = [
        ("GroupUuid", id),
        ("GroupName", name),
        ("Description", "a book"),
    ];
    world.cfw("ModifyAddressBook", &[&params, more].concat())
}

fn shown(world: &World, id: &str) -> Value {
    let answer = world.cfw("DescribeAddressBook", &[("GroupUuid", id)]);
    let answer = answer.unwrap();
    assert_eq!(answer["TotalCount"], "1", "{answer:#}");
    answer["Acls"][0].clone()
}

/// A book as the engine is told.
fn told(world: &World, id: &str) -> BookContent {
    let config = world.control.config();
    let mut books = config.firewalls.books.iter();
    let book = books.find(|it| it.id == id).unwrap();
    (*book.content).clone()
}

/// A policy that uses books.
fn policy(world: &World, site: &Site, more: &[(&str, &str)]) -> Result<Value, ApiError> {
    let params = [
        ("NatGatewayId", &*site.gateway),
        ("Direction", "out"),
        ("NewOrder", "-1"),
        ("Description", "uses books"),
        ("AclAction", "drop"),
        ("Proto", "TCP"),
        ("ApplicationNameList.1", "ANY"),
    ];
    world.cfw("CreateNatFirewallControlPolicy", &[&params, more].concat())
}

#[test]
fn books_hold_addresses_domains_and_ports_with_notes() {
    let world = World::new();
    let ip = add(
        &world,
        "ip",
        "office",
        "192.0.2.0/24 the office, 198.51.100.7,192.0.2.0/24 later",
    );
    let one = shown(&world, &ip);
    assert_eq!(
        one["AddressList"],
        json!(["192.0.2.0/24", "198.51.100.7/32"])
    );
    assert_eq!(one["Addresses"][0]["Note"], "later");
    assert_eq!(
        (&one["GroupType"], &one["AddressListCount"]),
        (&json!("ip"), &json!(2))
    );
    let ports = add(&world, "port", "web", "80 HTTP port,100/200,3306");
    assert_eq!(
        shown(&world, &ports)["AddressList"],
        json!(["80/80", "100/200", "3306/3306"])
    );
    let domains = add(&world, "domain", "shops", "*.Shop.example,bücher.example");
    assert_eq!(
        shown(&world, &domains)["AddressList"],
        json!(["*.shop.example", "xn--bcher-kva.example"])
    );
    let six = add(&world, "ipv6", "six", "2001:db8::/32,2001:db8::1");
    assert_eq!(shown(&world, &six)["AddressListCount"], 2);
    let same_name = try_add(&world, "ip", "office", "192.0.2.1");
    assert_eq!(refused(same_name), "ErrorAddressBookNameExist");
    for (kind, list, code) in [
        ("ip", "a.example", "InvalidParameter"),
        ("ip", "192.0.2.1/24", "InvalidParameter"),
        ("ipv6", "192.0.2.1", "ErrorParametersAddressList"),
        ("domain", "192.0.2.1", "ErrorParametersAddressList"),
        ("port", "0", "ErrorParametersAddressList"),
        ("ip", "", "MissingParameter"),
        ("ip", ",", "MissingParameter"),
        ("nets", "192.0.2.1", "InvalidParameter"),
    ] {
        assert_eq!(
            refused(try_add(&world, kind, "bad", list)),
            code,
            "{kind} {list}"
        );
    }

    // Instead, besides, without.
    let list = [
        ("AddressList", "203.0.113.0/24 new,192.0.2.0/24"),
        ("ModifyMode", "Append"),
    ];
    modify(&world, &ip, "office", &list).unwrap();
    let one = shown(&world, &ip);
    assert_eq!(
        one["AddressList"],
        json!(["192.0.2.0/24", "198.51.100.7/32", "203.0.113.0/24"])
    );
    assert_eq!(one["Addresses"][2]["Note"], "new");
    let list = [("AddressList", "192.0.2.0/24"), ("ModifyMode", "Delete")];
    modify(&world, &ip, "office", &list).unwrap();
    assert_eq!(shown(&world, &ip)["AddressListCount"], 2);
    let list = [("AddressList", "10.0.0.0/8")];
    modify(&world, &ip, "office", &list).unwrap();
    assert_eq!(shown(&world, &ip)["AddressList"], json!(["10.0.0.0/8"]));

    let world = world.restart();
    assert_eq!(shown(&world, &ip)["AddressList"], json!(["10.0.0.0/8"]));
    let count = |more: &[(&str, &str)]| {
        let answer = world.cfw("DescribeAddressBook", more).unwrap();
        answer["Acls"].as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&[("GroupType", "port")]), 1);
    assert_eq!(count(&[("ContainPort", "150")]), 1);
    assert_eq!(count(&[("Query", "SHOP")]), 1);
    assert!(count(&[("GroupType", "threat")]) > 0);
}

#[test]
fn books_have_so_many_entries() {
    let world = World::new();
    let nets: Vec<String> = (0..2_001u32)
        .map(|n| format!("10.{}.{}.0/24", n / 256, n % 256))
        .collect();
    let ports: Vec<String> = (1..=51).map(|n| n.to_string()).collect();
    let id = add(&world, "ip", "full", &nets[..2_000].join(","));
    let full = "ErrorAddressCountExceed";
    let more = [("AddressList", "192.0.2.1"), ("ModifyMode", "Append")];
    assert_eq!(refused(modify(&world, &id, "full", &more)), full);
    assert_eq!(
        refused(try_add(&world, "ip", "many", &nets.join(","))),
        full
    );
    assert_eq!(
        refused(try_add(&world, "port", "ports", &ports.join(","))),
        full
    );
    add(&world, "port", "ports", &ports[..50].join(","));
    set_quotas(
        &world,
        &[("address-books", 2), ("ports-per-address-book", 51)],
    );
    let third = try_add(&world, "port", "ports-2", &ports.join(","));
    assert_eq!(refused(third), "ErrorAddressBookCountExceed");
}

#[test]
fn policies_name_books_and_follow_them() {
    let world = World::new();
    let site = site(&world);
    let from = add(&world, "ip", "from", "192.168.1.0/24,192.168.2.0/24");
    let to = add(&world, "domain", "to", "a.example,b.example,c.example");
    let ports = add(&world, "port", "web", "80,443");
    let uses = [
        ("SourceType", "group"),
        ("Source", "from"),
        ("DestinationType", "group"),
        ("Destination", "to"),
        ("DestPortType", "group"),
        ("DestPortGroup", "web"),
    ];
    let made = text(&policy(&world, &site, &uses).unwrap(), "/AclUuid");
    let gateway = [("NatGatewayId", &*site.gateway), ("Direction", "out")];
    let one = || {
        let answer = world.cfw("DescribeNatFirewallControlPolicy", &gateway);
        answer.unwrap()["Policys"][0].clone()
    };
    assert_eq!(one()["SpreadCnt"], "12");
    assert_eq!(one()["DestinationGroupType"], "domain");
    assert_eq!(one()["DestPortGroupPorts"], json!(["80/80", "443/443"]));
    assert_eq!(shown(&world, &to)["ReferenceCount"], 1);
    modify(&world, &from, "renamed", &[]).unwrap();
    assert_eq!(one()["Source"], "renamed");
    modify(&world, &to, "to", &[("AddressList", "d.example")]).unwrap();
    assert_eq!(one()["DestinationGroupCidrs"], json!(["d.example"]));
    assert_eq!(
        told(&world, &to),
        BookContent::Domain(vec!["d.example".parse().unwrap()])
    );
    for id in [&from, &to, &ports] {
        let gone = world.cfw("DeleteAddressBook", &[("GroupUuid", id)]);
        assert_eq!(refused(gone), "ErrorAddressBookReferenced");
    }
    // A book where it does not fit.
    let wrong = [
        ("SourceType", "group"),
        ("Source", "to"),
        ("DestinationType", "net"),
        ("Destination", "0.0.0.0/0"),
    ];
    assert_eq!(
        refused(policy(&world, &site, &wrong)),
        "ErrorParametersSource"
    );
    let delete = [&gateway[..], &[("AclUuid", &*made)]].concat();
    world
        .cfw("DeleteNatFirewallControlPolicy", &delete)
        .unwrap();
    world
        .cfw("DeleteAddressBook", &[("GroupUuid", &from)])
        .unwrap();
    // What threat intelligence knows is a book that need not be made.
    let threat = [
        ("SourceType", "net"),
        ("Source", "0.0.0.0/0"),
        ("DestinationType", "group"),
        ("Destination", "IpOutThreatTorExit"),
    ];
    policy(&world, &site, &threat).unwrap();
    let threat = BookContent::Threat("IpOutThreatTorExit".into());
    assert_eq!(told(&world, "IpOutThreatTorExit"), threat);
}

#[test]
fn tag_books_follow_the_tags_of_instances_at_once() {
    let world = World::new();
    let site = site(&world);
    let (a, _) = instance(&world, &site.vswitch, "192.168.1.10");
    let (b, _) = instance(&world, &site.vswitch, "192.168.1.11");
    let (c, _) = instance(&world, &site.vswitch, "192.168.1.12");
    let tag = |action: &str, id: &str, key: &str, value: &str| {
        let mut params = vec![("ResourceType", "instance"), ("ResourceId.1", id)];
        match action {
            "TagResources" => params.extend([("Tag.1.Key", key), ("Tag.1.Value", value)]),
            _ => params.push(("TagKey.1", key)),
        }
        world.ecs(action, &params).unwrap();
    };
    tag("TagResources", &a, "env", "prod");
    tag("TagResources", &a, "team", "shop");
    tag("TagResources", &b, "env", "prod");
    let book = |name: &str, relation: &str, auto: &str| {
        let params = [
            ("GroupType", "tag"),
            ("GroupName", name),
            ("Description", "by tag"),
            ("TagList.1.TagKey", "env"),
            ("TagList.1.TagValue", "prod"),
            ("TagList.2.TagKey", "team"),
            ("TagList.2.TagValue", "shop"),
            ("TagRelation", relation),
            ("AutoAddTagEcs", auto),
        ];
        text(&world.cfw("AddAddressBook", &params).unwrap(), "/GroupUuid")
    };
    let (both, any) = (book("both", "and", "1"), book("any", "or", "1"));
    let fixed = book("fixed", "or", "0");
    let addresses = |id: &str| match told(&world, id) {
        BookContent::Tag(list) => list.iter().map(|it| it.octets()[3]).collect::<Vec<u8>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(addresses(&both), [10]);
    assert_eq!(addresses(&any), [10, 11]);
    assert_eq!(addresses(&fixed), [10, 11]);
    tag("TagResources", &b, "team", "shop");
    tag("TagResources", &c, "env", "prod");
    assert_eq!(addresses(&both), [10, 11]);
    assert_eq!(addresses(&any), [10, 11, 12]);
    assert_eq!(addresses(&fixed), [10, 11]);
    tag("UntagResources", &a, "env", "");
    assert_eq!(addresses(&both), [11]);
    assert_eq!(addresses(&any), [10, 11, 12]);
    let delete = [("InstanceId", &*a), ("Force", "true")];
    world.ecs("DeleteInstance", &delete).unwrap();
    assert_eq!(addresses(&fixed), [11]);
    // A change takes those who have the tags now.
    modify(&world, &fixed, "fixed", &[("TagRelation", "or")]).unwrap();
    assert_eq!(addresses(&fixed), [11, 12]);
    let list = [("AddressList", "192.0.2.1")];
    assert_eq!(
        refused(modify(&world, &fixed, "fixed", &list)),
        "InvalidParameter"
    );
    let one = shown(&world, &both);
    assert_eq!(
        (&one["GroupType"], &one["TagRelation"]),
        (&json!("tag"), &json!("and"))
    );
    assert_eq!(
        one["TagList"][1],
        json!({"TagKey": "team", "TagValue": "shop"})
    );
    assert_eq!(one["AddressList"], json!(["192.168.1.11/32"]));
}

#[test]
fn lists_and_objects_may_be_json() {
    let world = World::new();
    site(&world);
    let book = |name: &str, rule: &str, account: &str| {
        let params = [
            ("GroupType", "asset"),
            ("GroupName", name),
            ("Description", "by kind"),
            ("AssetRegionResourceTypes", rule),
            ("AssetMemberUids", account),
        ];
        world.cfw("AddAddressBook", &params)
    };
    let rule =
        r#"[{"AssetRegionId":"cn-hangzhou","ResourceType":{"Ipv4":{"NatEIP":true,"EIP":false}}}]"#;
    let made = book("gateways", rule, "[]").unwrap();
    let one = shown(&world, &text(&made, "/GroupUuid"));
    let asset = &one["AssetRegionResourceTypes"][0];
    assert_eq!(asset["ResourceType"]["Ipv4"]["NatEIP"], true);
    assert_eq!(asset["ResourceType"]["Ipv4"]["EIP"], false);
    for (rule, account, code) in [
        (rule, "[1]", "InvalidParameter"),
        ("[{\"AssetRegionId\":", "[]", "InvalidParameter"),
        ("cn-hangzhou", "[]", "InvalidParameter"),
        ("[{}]", "[]", "MissingParameter"),
        ("[]", "[]", "MissingParameter"),
    ] {
        let refused = book("others", rule, account).unwrap_err();
        assert_eq!(refused.code, code, "{rule} {account}");
    }
}

#[test]
fn asset_books_follow_eips_at_once() {
    let world = World::new();
    let site = site(&world);
    let book = |name: &str, kinds: &[&str]| {
        let mut params = vec![
            ("GroupType", "asset".to_owned()),
            ("GroupName", name.to_owned()),
            ("Description", "by kind".to_owned()),
        ];
        let prefix = "AssetRegionResourceTypes.1.";
        let names: Vec<String> = kinds
            .iter()
            .map(|it| format!("{prefix}ResourceType.Ipv4.{it}"))
            .collect();
        let region = format!("{prefix}AssetRegionId");
        params.push((&region, "cn-hangzhou".to_owned()));
        params.extend(names.iter().map(|it| (&**it, "true".to_owned())));
        let params: Vec<(&str, &str)> = params.iter().map(|(a, b)| (*a, &**b)).collect();
        world.cfw("AddAddressBook", &params)
    };
    let id = |answer: Result<Value, ApiError>| text(&answer.unwrap(), "/GroupUuid");
    let gateways = id(book("gateways", &["NatEIP"]));
    let free = id(book("free", &["EIP", "EcsEIP", "EniEIP"]));
    let addresses = |id: &str| match told(&world, id) {
        BookContent::Tag(list) => list.len(),
        other => panic!("{other:?}"),
    };
    let before = (addresses(&gateways), addresses(&free));
    let eip = world.vpc("AllocateEipAddress", &[]).unwrap();
    let (eip, address) = (text(&eip, "/AllocationId"), text(&eip, "/EipAddress"));
    assert_eq!(
        (addresses(&gateways), addresses(&free)),
        (before.0, before.1 + 1)
    );
    let one = shown(&world, &free);
    assert_eq!(one["GroupType"], "asset");
    let list = one["AddressList"].as_array().unwrap();
    assert!(list.contains(&json!(format!("{address}/32"))), "{list:?}");
    let asset = &one["AssetRegionResourceTypes"][0];
    assert_eq!(asset["AssetRegionId"], "cn-hangzhou");
    let kinds = &asset["ResourceType"]["Ipv4"];
    assert_eq!(
        (&kinds["EniEIP"], &kinds["NatEIP"]),
        (&json!(true), &json!(false))
    );
    let bind = [
        ("AllocationId", &*eip),
        ("InstanceId", &*site.gateway),
        ("InstanceType", "Nat"),
    ];
    world.vpc("AssociateEipAddress", &bind).unwrap();
    assert_eq!(
        (addresses(&gateways), addresses(&free)),
        (before.0 + 1, before.1)
    );
    // It can follow others, and be used by policies of the border.
    let nat = [
        ("AssetRegionResourceTypes.1.AssetRegionId", "elsewhere"),
        (
            "AssetRegionResourceTypes.1.ResourceType.Ipv4.NatEIP",
            "true",
        ),
    ];
    modify(&world, &gateways, "gateways", &nat).unwrap();
    let elsewhere = addresses(&gateways);
    assert!(elsewhere <= before.0 + 1);
    modify(&world, &gateways, "gateways", &[]).unwrap();
    assert_eq!(addresses(&gateways), elsewhere);

    // What there is not is said, and not passed over.
    assert_eq!(refused(book("slb", &["SlbEIP"])), "InvalidParameter");
    assert_eq!(refused(book("none", &[])), "MissingParameter");
    for more in [
        ("AddressList", "192.0.2.1"),
        ("ModifyMode", "Append"),
        ("TagList.1.TagKey", "env"),
    ] {
        assert_eq!(
            refused(modify(&world, &free, "free", &[more])),
            "InvalidParameter",
            "{more:?}"
        );
    }
}

/// A book of a kind that makes no sense here is refused, and so is what a book of another type would have.
#[test]
fn nothing_that_is_asked_of_a_book_is_passed_over() {
    let world = World::new();
    for kind in [
        "ack",
        "ackLabel",
        "assetIpv6",
        "allCloud",
        "threat",
        "backsrc",
        "else",
    ] {
        let error = try_add(&world, kind, kind, "192.0.2.1").unwrap_err();
        assert!(
            error.message.contains("GroupType"),
            "{kind}: {}",
            error.message
        );
        assert_eq!(error.code, "InvalidParameter", "{kind}");
    }
    let others = [
        ("AckClusterConnectorId", "c-1"),
        ("AckNamespaces.1", "default"),
        ("AckLabels.1.Key", "app"),
        ("TagList.1.TagKey", "env"),
        ("AssetRegionResourceTypes.1.AssetRegionId", "r"),
        ("AssetMemberUids.1", "42"),
    ];
    let id = add(&world, "ip", "book", "192.0.2.1");
    for (name, value) in others {
        let params = [
            ("GroupType", "ip"),
            ("GroupName", "other"),
            ("Description", "a book"),
            ("AddressList", "192.0.2.1"),
            (name, value),
        ];
        assert_eq!(
            refused(world.cfw("AddAddressBook", &params)),
            "InvalidParameter",
            "{name}"
        );
        assert_eq!(
            refused(modify(&world, &id, "book", &[(name, value)])),
            "InvalidParameter",
            "{name}"
        );
    }
    // What SDKs send with any book.
    modify(
        &world,
        &id,
        "book",
        &[("AutoAddTagEcs", "0"), ("TagRelation", "and")],
    )
    .unwrap();
    assert_eq!(books_of(&world, "allCloud"), [""; 0]);
}

/// The names of the books of a type.
fn books_of(world: &World, kind: &str) -> Vec<String> {
    let answer = world.cfw("DescribeAddressBook", &[("GroupType", kind)]);
    let answer = answer.unwrap();
    let books = answer["Acls"].as_array().unwrap();
    let names = books.iter().map(|it| text(it, "/GroupName"));
    names.collect()
}

/// Firewalls that know the networks of cloud services.
struct Services;

impl Firewalls for Services {
    fn hits(&self, _: &PolicyScope, ids: &[&str]) -> Vec<Hits> {
        vec![Hits::default(); ids.len()]
    }

    fn reset(&self, _: &PolicyScope, _: &str) {}

    fn resolved(&self, _: &str) -> Option<Resolved> {
        None
    }

    fn resolve(&self, _: &str) {}

    fn cloud_service(&self, book: &str) -> Arc<[Ipv4Net]> {
        let net = |n: u32| Ipv4Net::from(Ipv4Addr::from(0x6440_0000 + 2 * n));
        match book {
            "storage" => (0..5_000).map(net).collect(),
            "queues" => (0..2).map(net).collect(),
            _ => Arc::default(),
        }
    }
}

/// Imports a file with books of cloud services.
fn with_services(world: &World, books: &[&str]) {
    let book = |id: &&str| {
        format!(
            "[[address_book]]\nid = \"{id}\"\nname = \"The {id}\"\ndescription = \"Of the cloud\"\ncloud = \"/{id}.json\"\n"
        )
    };
    let file: String = books.iter().map(book).collect();
    let config = model::file::parse(&file).unwrap();
    let import = |draft: &mut control::Draft| draft.import(&config);
    world.control.change(2_000, import).unwrap();
}

/// Books of cloud services are the operator's: they are shown when they are asked for, policies name them, and nobody but his
/// file changes them.
#[test]
fn books_of_cloud_services_are_shown_and_named_and_not_changed() {
    let mut world = World::new();
    world.run_firewalls(Box::new(Services));
    let site = site(&world);
    with_services(&world, &["storage", "queues"]);
    let own = add(&world, "ip", "own", "192.0.2.1");
    assert_eq!(books_of(&world, "allCloud"), ["The queues", "The storage"]);
    assert_eq!(books_of(&world, "ip"), ["own"]);
    let all = books_of(&world, "all");
    assert!(all.contains(&"The storage".into()) && all.contains(&"own".into()));
    let default = world.cfw("DescribeAddressBook", &[]).unwrap();
    assert_eq!(default["TotalCount"], "1");

    // With their networks, so many as a book may have.
    let queues = shown(&world, "queues");
    assert_eq!(queues["GroupType"], "allCloud");
    assert_eq!(queues["Description"], "Of the cloud");
    let entries = json!(["100.64.0.0/32", "100.64.0.2/32"]);
    assert_eq!(
        (&queues["AddressList"], &queues["ReferenceCount"]),
        (&entries, &json!(0))
    );
    assert_eq!(queues["Addresses"][1]["Address"], "100.64.0.2/32");
    let storage = shown(&world, "storage");
    assert_eq!(storage["AddressListCount"], 5_000);
    assert_eq!(storage["AddressList"].as_array().unwrap().len(), 2_000);
    // All of them are looked through.
    let query = |text: &str| {
        let params = [("GroupType", "allCloud"), ("Query", text)];
        let answer = world.cfw("DescribeAddressBook", &params).unwrap();
        answer["TotalCount"].clone()
    };
    assert_eq!(query("100.64.39.14/"), "1");
    assert_eq!(query("of the cloud"), "2");
    assert_eq!(query("100.64.0.1/32"), "0");

    // Nobody else makes, changes or deletes them.
    let made = try_add(&world, "allCloud", "mine", "192.0.2.1").unwrap_err();
    assert!(made.message.contains("operator"), "{}", made.message);
    let refused_as_theirs = |error: ApiError| {
        assert_eq!(error.code, "InvalidParameter");
        assert!(error.message.contains("cloud service"), "{}", error.message);
    };
    let list = [("AddressList", "192.0.2.1")];
    for list in [&list[..], &[]] {
        refused_as_theirs(modify(&world, "queues", "mine", list).unwrap_err());
    }
    let delete = |id: &str| world.cfw("DeleteAddressBook", &[("GroupUuid", id)]);
    refused_as_theirs(delete("queues").unwrap_err());
    assert_eq!(
        refused(try_add(&world, "ip", "The queues", "192.0.2.1")),
        "ErrorAddressBookNameExist"
    );

    // A policy names one by its name or its identifier, of a NAT gateway and of the border; it is about TCP.
    let to = |name, protocol| {
        [
            ("SourceType", "net"),
            ("Source", "0.0.0.0/0"),
            ("DestinationType", "group"),
            ("Destination", name),
            ("Proto", protocol),
        ]
    };
    for (name, protocol, code) in [
        ("The queues", "UDP", "ErrorParametersProto"),
        ("queues", "ANY", "ErrorParametersProto"),
        ("The nothing", "TCP", "ErrorAddressBookNotExist"),
    ] {
        let error = policy(&world, &site, &to(name, protocol)).unwrap_err();
        assert_eq!(error.code, code, "{name}: {}", error.message);
    }
    policy(&world, &site, &to("The queues", "TCP")).unwrap();
    let border = [
        ("Direction", "out"),
        ("AclAction", "accept"),
        ("DestPort", "443/443"),
        ("ApplicationName", "HTTPS"),
        ("NewOrder", "1"),
        ("Description", "by a cloud service"),
    ];
    let border: Vec<_> = border.into_iter().chain(to("queues", "TCP")).collect();
    world.cfw("AddControlPolicy", &border).unwrap();
    assert_eq!(shown(&world, "queues")["ReferenceCount"], 2);
    assert_eq!(shown(&world, "storage")["ReferenceCount"], 0);

    // What the file does not name any more goes, unless policies use it; then with the next file when they do not.
    with_services(&world, &[]);
    assert_eq!(books_of(&world, "allCloud"), ["The queues"]);
    refused_as_theirs(delete("queues").unwrap_err());
    let lists = ["DescribeNatFirewallControlPolicy", "DescribeControlPolicy"];
    for (describe, delete) in lists
        .into_iter()
        .zip(["DeleteNatFirewallControlPolicy", "DeleteControlPolicy"])
    {
        let (nat, out) = (("NatGatewayId", &*site.gateway), ("Direction", "out"));
        let page = [("CurrentPage", "1"), ("PageSize", "10")];
        let told = world.cfw(describe, &[nat, out, page[0], page[1]]).unwrap();
        let policies = told["Policys"].as_array().unwrap();
        assert_eq!(policies.len(), 1, "{told}");
        assert_eq!(policies[0]["DestinationGroupType"], "allCloud");
        assert_eq!(policies[0]["Destination"], "The queues");
        let id = text(&policies[0], "/AclUuid");
        world.cfw(delete, &[nat, out, ("AclUuid", &id)]).unwrap();
    }
    with_services(&world, &[]);
    assert_eq!(books_of(&world, "allCloud"), [""; 0]);
    delete(&own).unwrap();
}
