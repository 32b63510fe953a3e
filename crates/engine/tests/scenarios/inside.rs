//! Security groups, routes, isolation, spoofing.

use crate::common::*;

/// Two instances in `a` and `b` with these groups, which have these rules.
fn groups(of_a: &str, of_b: &str, declared: &str) -> String {
    base(&[
        (
            "address = \"10.0.1.10\"\nsecurity_groups = [\"open\"]",
            &format!("address = \"10.0.1.10\"\nsecurity_groups = {of_a}"),
        ),
        (
            "address = \"10.0.2.10\"\nsecurity_groups = [\"open\"]",
            &format!("address = \"10.0.2.10\"\nsecurity_groups = {of_b}"),
        ),
        ("[[instance]]", &format!("{declared}\n[[instance]]")),
    ])
}

fn group(id: &str, kind: &str) -> String {
    format!("[[security_group]]\nid = \"{id}\"\nvpc = \"vpc\"\nkind = \"{kind}\"\n")
}

fn rule(text: &str) -> String {
    format!("[[security_group.rule]]\n{}\n", text.replace("; ", "\n"))
}

/// What becomes of a packet from `a` to port `port` of `b`.
fn a_to_b(world: &mut World, port: u16) -> String {
    verdict(world, "a", Packet::tcp((A, 4000), (B, port), SYN))
}

/// Where a packet comes out or why it does not.
fn verdict(world: &mut World, from: &str, packet: Packet) -> String {
    let drops = world.drops();
    let seen = world.from(from, packet);
    let after = world.drops();
    match after
        .iter()
        .find(|(reason, n)| drops.get(*reason) != Some(n))
    {
        Some((reason, _)) => reason.clone(),
        None => one(seen).at,
    }
}

#[test]
fn by_default_all_gets_out_and_nothing_in_but_from_the_same_group() {
    let declared = group("one", "normal") + &group("two", "normal");
    let mut world = World::new(&groups("[\"one\"]", "[\"one\"]", &declared));
    assert_eq!(a_to_b(&mut world, 80), "b");
    let mut world = World::new(&groups("[\"one\"]", "[\"two\"]", &declared));
    assert_eq!(a_to_b(&mut world, 80), "security_group_in");
    assert_eq!(
        verdict(&mut world, "a", Packet::udp((A, 1), (SERVER, 1))),
        "wan"
    );
    let syn = Packet::tcp((SERVER, 1), (EIP1, 80), SYN);
    assert_eq!(verdict(&mut world, "wan", syn), "security_group_in");
    // One common group is enough.
    let mut world = World::new(&groups("[\"one\", \"two\"]", "[\"two\"]", &declared));
    assert_eq!(a_to_b(&mut world, 80), "b");
}

#[test]
fn members_of_an_enterprise_group_do_not_reach_each_other() {
    let mut world = World::new(&groups(
        "[\"one\"]",
        "[\"one\"]",
        &group("one", "enterprise"),
    ));
    assert_eq!(a_to_b(&mut world, 80), "security_group_in");
    let declared = group("one", "enterprise") + &rule("direction = \"ingress\"; group = \"one\"");
    let mut world = World::new(&groups("[\"one\"]", "[\"one\"]", &declared));
    assert_eq!(a_to_b(&mut world, 80), "b");
}

#[test]
fn rules_are_asked_by_priority_and_drop_before_accept() {
    let accept = "direction = \"ingress\"; cidr = \"10.0.1.0/24\"; protocol = \"tcp\"; ports = 80";
    let drop = "direction = \"ingress\"; cidr = \"10.0.0.0/16\"; policy = \"drop\"";
    let world = |first: u8, second: u8| {
        let declared = group("one", "normal")
            + &rule(&format!("{accept}; priority = {first}"))
            + &rule(&format!("{drop}; priority = {second}"));
        World::new(&groups("[\"one\"]", "[\"one\"]", &declared))
    };
    assert_eq!(a_to_b(&mut world(1, 2), 80), "b");
    // What no accept matches, not even the same group.
    assert_eq!(a_to_b(&mut world(1, 2), 81), "security_group_in");
    assert_eq!(a_to_b(&mut world(2, 1), 80), "security_group_in");
    assert_eq!(a_to_b(&mut world(5, 5), 80), "security_group_in");
}

#[test]
fn rules_of_several_groups_count_together() {
    let declared = group("one", "normal")
        + &rule("direction = \"ingress\"; cidr = \"0.0.0.0/0\"; priority = 2")
        + &group("two", "normal")
        + &rule(
            "direction = \"ingress\"; cidr = \"0.0.0.0/0\"; policy = \"drop\"; protocol = \"tcp\"; ports = \"80-90\"",
        );
    let mut world = World::new(&groups("[\"one\"]", "[\"one\", \"two\"]", &declared));
    assert_eq!(a_to_b(&mut world, 79), "b");
    assert_eq!(a_to_b(&mut world, 80), "security_group_in");
    assert_eq!(a_to_b(&mut world, 90), "security_group_in");
    assert_eq!(a_to_b(&mut world, 91), "b");
}

#[test]
fn rules_name_groups_in_both_directions() {
    let declared = group("one", "normal")
        + &rule("direction = \"egress\"; group = \"two\"; policy = \"drop\"; protocol = \"udp\"")
        + &group("two", "normal")
        + &rule("direction = \"ingress\"; group = \"one\"");
    let mut world = World::new(&groups("[\"one\"]", "[\"two\"]", &declared));
    assert_eq!(a_to_b(&mut world, 80), "b");
    let udp = Packet::udp((A, 1), (B, 1));
    assert_eq!(verdict(&mut world, "a", udp), "security_group_out");
    // The way back needs no rule; a way of its own does.
    let back = Packet::tcp((B, 80), (A, 4000), SYN | ACK);
    assert_eq!(verdict(&mut world, "b", back), "a");
    let own = Packet::tcp((B, 81), (A, 4000), SYN);
    assert_eq!(verdict(&mut world, "b", own), "security_group_in");
}

#[test]
fn egress_is_told_to_the_sender() {
    let declared = group("one", "normal")
        + &rule(
            "direction = \"egress\"; cidr = \"198.51.100.0/24\"; policy = \"drop\"; protocol = \"tcp\"; ports = 25",
        );
    let mut world = World::new(&groups("[\"one\"]", "[\"one\"]", &declared));
    let smtp = Packet::tcp((A, 1), (SERVER, 25), SYN);
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", smtp.clone()));
        assert!(matches!(
            told.body,
            Body::Icmp {
                kind: 3,
                code: 13,
                ..
            }
        ));
        assert_eq!(told.src, ip("10.0.1.253"));
        assert_eq!(told.quoted().tuple(), smtp.tuple());
    });
    assert_eq!(why, "security_group_out");
    let other = Packet::tcp((A, 1), (SERVER, 26), SYN);
    assert_eq!(verdict(&mut world, "a", other), "wan");
}

#[test]
fn instances_reach_each_other_directly() {
    let text = base(&[(
        "[[eip]]",
        "[[instance]]\nid = \"a2\"\nvswitch = \"vsw-a\"\naddress = \"10.0.1.11\"\nsecurity_groups = [\"open\"]\n[[eip]]",
    )]);
    let mut world = World::new(&text);
    // In one vSwitch no router is crossed, between two there is one.
    let near = at("a2", world.from("a", Packet::udp((A, 1), ("10.0.1.11", 1))));
    assert_eq!(
        (near.ttl, near.tuple()),
        (64, "10.0.1.10:1 > 10.0.1.11:1".into())
    );
    let near = at(
        "a2",
        world.from("a", Packet::udp((A, 1), ("10.0.1.11", 1)).ttl(1)),
    );
    assert_eq!(near.ttl, 1);
    let far = at("b", world.from("a", Packet::udp((A, 1), (B, 1))));
    assert_eq!(
        (far.ttl, far.tuple()),
        (63, "10.0.1.10:1 > 10.0.2.10:1".into())
    );
    assert!(world.sessions().iter().all(|s| s.direction == "local"));
    let back = one(world.from("b", far.answer(0)));
    assert!(back.fast);
    let gre = at("b", world.from("a", Packet::other(47, A, B)));
    assert_eq!(gre.proto(), 47);
}

#[test]
fn an_address_that_nobody_has() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 1), ("10.0.2.99", 1));
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", packet));
        assert!(matches!(
            told.body,
            Body::Icmp {
                kind: 3,
                code: 1,
                ..
            }
        ));
    });
    assert_eq!(why, "no_host");
    let outside = Packet::udp((A, 1), ("10.0.200.1", 1));
    assert_eq!(verdict(&mut world, "a", outside), "no_host");
}

fn tables() -> String {
    base(&[(
        "[[security_group]]",
        r#"
[[route_table]]
id = "custom"
vpc = "vpc"
[[route_table.route]]
destination = "198.18.0.0/15"
blackhole = true
[[route_table.route]]
destination = "172.20.0.0/16"
instance = "b"
[[route_table.route]]
destination = "198.51.100.0/24"
nat_gateway = "ngw"
[[route_table.route]]
destination = "198.51.100.128/25"
blackhole = true
[[security_group]]"#,
    )])
    .replacen(
        "cidr = \"10.0.1.0/24\"",
        "cidr = \"10.0.1.0/24\"\nroute_table = \"custom\"",
        1,
    )
}

#[test]
fn a_custom_table_is_followed_by_its_vswitch_only() {
    let mut world = World::new(&tables());
    let udp = |dst: &str| Packet::udp((A, 1), (dst, 1));
    assert_eq!(verdict(&mut world, "a", udp("198.18.0.1")), "blackhole");
    assert_eq!(verdict(&mut world, "a", udp("198.51.100.7")), "wan");
    assert_eq!(verdict(&mut world, "a", udp("198.51.100.200")), "blackhole");
    assert_eq!(verdict(&mut world, "a", udp("8.8.8.8")), "no_route");
    assert_eq!(verdict(&mut world, "a", udp(B)), "b");
    let from_b = Packet::udp((B, 1), ("198.18.0.1", 1));
    assert_eq!(verdict(&mut world, "b", from_b), "wan");
}

#[test]
fn a_route_to_an_interface_goes_through_that_instance() {
    let mut world = World::new(&tables());
    let packet = Packet::tcp((A, 1), ("172.20.3.4", 80), SYN);
    let seen = at("b", world.from("a", packet.clone()));
    assert_eq!(seen.tuple(), packet.tuple());
    assert_eq!(seen.ttl, 63);
    // Its answers are the instance's own only if it says that it has the network.
    let back = packet.answer(SYN | ACK);
    assert_eq!(verdict(&mut world, "b", back.clone()), "a");
    let new = Packet::tcp(("172.20.3.4", 5), (A, 80), SYN);
    assert_eq!(verdict(&mut world, "b", new.clone()), "spoofed");
    world.apply(&tables().replace(
        "address = \"10.0.2.10\"",
        "address = \"10.0.2.10\"\nhosts = [\"172.20.0.0/16\"]",
    ));
    assert_eq!(verdict(&mut world, "b", new), "a");
}

/// A VPC that goes out through the gateway of a peer.
fn peered() -> String {
    format!(
        "{BASE}\n{}",
        r#"
[[nat_gateway.snat]]
source = "172.16.0.0/16"
eips = ["eip-2"]
[[nat_gateway.dnat]]
eip = "eip-2"
protocol = "tcp"
external_port = 22
internal = "172.16.1.10"
[[vpc]]
id = "spoke"
cidr = "172.16.0.0/16"
[[vswitch]]
id = "vsw-s"
vpc = "spoke"
cidr = "172.16.1.0/24"
[[security_group]]
id = "spoke-open"
vpc = "spoke"
[[security_group.rule]]
direction = "ingress"
cidr = "0.0.0.0/0"
[[instance]]
id = "s"
vswitch = "vsw-s"
address = "172.16.1.10"
security_groups = ["spoke-open"]
[[peering]]
id = "pcx"
vpcs = ["vpc", "spoke"]
[[route_table]]
vpc = "spoke"
system = true
[[route_table.route]]
destination = "0.0.0.0/0"
peering = "pcx"
[[route_table]]
vpc = "vpc"
system = true
[[route_table.route]]
destination = "172.16.0.0/16"
peering = "pcx"
"#
    )
}

const S: &str = "172.16.1.10";

#[test]
fn a_gateway_serves_a_peered_vpc() {
    let mut world = World::new(&peered());
    let out = at("wan", world.from("s", Packet::udp((S, 1), (SERVER, 1))));
    assert_eq!(out.src, ip(EIP2));
    let back = at("s", world.net(out.answer(0)));
    assert_eq!(back.dst, ip(S));
    let inside = at("s", world.net(Packet::tcp((SERVER, 1), (EIP2, 22), SYN)));
    assert_eq!(inside.dst, ip(S));
    // Directly, both ways, and by hairpin.
    assert_eq!(verdict(&mut world, "s", Packet::udp((S, 1), (A, 1))), "a");
    assert_eq!(verdict(&mut world, "a", Packet::udp((A, 2), (S, 1))), "s");
    let syn = Packet::tcp((S, 9), (EIP1, 80), SYN);
    assert_eq!(verdict(&mut world, "s", syn), "b");
}

#[test]
fn routes_in_a_circle_are_noticed() {
    let text = peered().replace(
        "destination = \"172.16.0.0/16\"\npeering = \"pcx\"",
        "destination = \"8.0.0.0/8\"\npeering = \"pcx\"",
    );
    let mut world = World::new(&text);
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", Packet::udp((A, 1), ("8.8.8.8", 1))));
        assert!(matches!(
            told.body,
            Body::Icmp {
                kind: 3,
                code: 0,
                ..
            }
        ));
    });
    assert_eq!(why, "route_loop");
}

/// Two VPCs with the same addresses, each with a gateway.
fn twins() -> String {
    let second = BASE
        .split_once("[[vpc]]")
        .unwrap()
        .1
        .replace("\"vpc\"", "\"vpc2\"")
        .replace("\"vsw-", "\"vsw2-")
        .replace("\"open\"", "\"open2\"")
        .replace("id = \"a\"", "id = \"a2\"")
        .replace("id = \"b\"", "id = \"b2\"")
        .replace("instance = \"b\"", "instance = \"b2\"")
        .replace("\"eip-1\"", "\"eip-3\"")
        .replace("\"eip-2\"", "\"eip-4\"")
        .replace(EIP1, "203.0.113.20")
        .replace(EIP2, "203.0.113.21")
        .replace("\"ngw\"", "\"ngw2\"");
    format!("{BASE}\n[[vpc]]{second}")
}

#[test]
fn vpcs_with_the_same_addresses_are_isolated() {
    let mut world = World::new(&twins());
    let packet = Packet::udp((A, 5000), (SERVER, 53));
    let first = at("wan", world.from("a", packet.clone()));
    let second = at("wan", world.from("a2", packet.clone()));
    assert_eq!((first.src, second.src), (ip(EIP1), ip("203.0.113.20")));
    assert_eq!(
        at("a", world.net(first.answer(0))).tuple(),
        packet.answer(0).tuple()
    );
    assert_eq!(
        at("a2", world.net(second.answer(0))).tuple(),
        packet.answer(0).tuple()
    );
    // The same private tuple at the same time, inside both.
    let local = Packet::udp((A, 5000), (B, 1));
    assert_eq!(verdict(&mut world, "a", local.clone()), "b");
    assert_eq!(verdict(&mut world, "a2", local.clone()), "b2");
    assert_eq!(verdict(&mut world, "b", local.answer(0)), "a");
    assert_eq!(verdict(&mut world, "b2", local.answer(0)), "a2");
    // They meet by EIP only.
    assert_eq!(
        verdict(
            &mut world,
            "a",
            Packet::tcp((A, 1), ("203.0.113.20", 80), SYN)
        ),
        "b2"
    );
}

#[test]
fn addresses_cannot_be_spoofed() {
    let mut world = World::new(BASE);
    for src in [B, "10.0.1.11", SERVER, EIP1, "0.0.0.0", "255.255.255.255"] {
        let packet = Packet::udp((src, 1), (SERVER, 1));
        assert_eq!(verdict(&mut world, "a", packet), "spoofed", "{src}");
        let ping = Packet::ping(src, "10.0.1.253", 1);
        assert_eq!(verdict(&mut world, "a", ping), "spoofed", "{src}");
    }
    // Nor does a session of another one help.
    at("wan", world.from("b", Packet::udp((B, 1), (SERVER, 1))));
    assert_eq!(
        verdict(&mut world, "a", Packet::udp((B, 1), (SERVER, 1))),
        "spoofed"
    );
    // From outside: what is ours or no host's.
    for src in [
        EIP1,
        EIP2,
        "203.0.113.2",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.1.2.3",
    ] {
        let syn = Packet::tcp((src, 1), (EIP1, 80), SYN);
        assert_eq!(verdict(&mut world, "wan", syn), "spoofed", "{src}");
        let ping = Packet::ping(src, "203.0.113.2", 1);
        assert_eq!(verdict(&mut world, "wan", ping), "spoofed", "{src}");
    }
}

#[test]
fn what_is_not_for_one_host_goes_nowhere() {
    let mut world = World::new(BASE);
    for dst in ["224.0.0.251", "255.255.255.255", "127.0.0.1", "0.0.0.0"] {
        assert_eq!(
            verdict(&mut world, "a", Packet::udp((A, 1), (dst, 1))),
            "no_route",
            "{dst}"
        );
    }
}
