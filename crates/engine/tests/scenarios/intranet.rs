//! VPC NAT gateways: private addresses outside.

use crate::common::*;
use crate::trace::agrees;
use crate::usage::{account, frame, numbers};

/// A VPC 10.0.0.0/16 with a second block, in which its VPC NAT gateway lies. Two instances have addresses that the
/// other side's have, too; a third one is in the gateway's vSwitch.
fn side(name: &str, block: &str, other: &str) -> String {
    let sg = "[[security_group.rule]]\ndirection = \"ingress\"\ncidr = \"0.0.0.0/0\"";
    format!(
        r#"
[[vpc]]
id = "{name}"
cidr = "10.0.0.0/16"
secondary_cidrs = ["{block}.0/24"]
[[vswitch]]
id = "{name}-apps"
vpc = "{name}"
cidr = "10.0.1.0/24"
[[vswitch]]
id = "{name}-nat"
vpc = "{name}"
cidr = "{block}.0/24"
route_table = "{name}-beyond"
[[route_table]]
vpc = "{name}"
system = true
[[route_table.route]]
destination = "{other}.0/24"
nat_gateway = "{name}-gw"
[[route_table]]
id = "{name}-beyond"
vpc = "{name}"
[[route_table.route]]
destination = "{other}.0/24"
peering = "pcc"
[[security_group]]
id = "{name}-open"
vpc = "{name}"
{sg}
[[instance]]
id = "{name}-a"
vswitch = "{name}-apps"
address = "10.0.1.10"
security_groups = ["{name}-open"]
[[instance]]
id = "{name}-b"
vswitch = "{name}-apps"
address = "10.0.1.11"
security_groups = ["{name}-open"]
[[instance]]
id = "{name}-c"
vswitch = "{name}-nat"
address = "{block}.50"
security_groups = ["{name}-open"]
[[nat_ip]]
id = "{name}-one"
nat_gateway = "{name}-gw"
address = "{block}.10"
[[nat_ip]]
id = "{name}-two"
nat_gateway = "{name}-gw"
address = "{block}.11"
[[nat_gateway]]
id = "{name}-gw"
vpc = "{name}"
vswitch = "{name}-nat"
[[nat_gateway.snat]]
id = "{name}-snat"
source = "10.0.0.0/16"
nat_ips = ["{name}-one"]
[[nat_gateway.dnat]]
id = "{name}-web"
nat_ip = "{name}-one"
protocol = "tcp"
external_port = 80
instance = "{name}-a"
internal_port = 8080
[[nat_gateway.dnat]]
id = "{name}-whole"
nat_ip = "{name}-two"
protocol = "any"
instance = "{name}-b"
"#
    )
}

/// Two such VPCs, peered.
pub fn text() -> String {
    let peering = "[[peering]]\nid = \"pcc\"\nvpcs = [\"left\", \"right\"]\n";
    side("left", "172.16.1", "172.16.2") + &side("right", "172.16.2", "172.16.1") + peering
}

/// [`text`] with some lines replaced: pairs of what is there, first, and what comes instead.
fn changed(changes: &[(&str, &str)]) -> String {
    let mut text = text();
    for (old, new) in changes {
        assert!(text.contains(old), "{old:?} is not in the configuration");
        text = text.replacen(old, new, 1);
    }
    text
}

/// An address of an instance on either side.
pub const X: &str = "10.0.1.10";
const Y: &str = "10.0.1.11";
/// NAT IPs on the left, and on the right.
const LEFT: &str = "172.16.1.10";
const LEFT_WHOLE: &str = "172.16.1.11";
const RIGHT: &str = "172.16.2.10";
const RIGHT_WHOLE: &str = "172.16.2.11";
/// Instances in the gateways' vSwitches.
const LEFT_C: &str = "172.16.1.50";
pub const RIGHT_C: &str = "172.16.2.50";

#[test]
fn networks_with_the_same_addresses_talk_to_each_other() {
    let mut world = World::new(&text());
    let syn = Packet::tcp((X, 5000), (RIGHT, 80), SYN);
    let seen = at("right-a", world.from("left-a", syn.clone()));
    assert_eq!(seen.tuple(), "172.16.1.10:5000 > 10.0.1.10:8080");
    assert_eq!(seen.ttl, syn.ttl - 1);
    let back = at("left-a", world.from("right-a", seen.answer(SYN | ACK)));
    assert_eq!(back.tuple(), syn.answer(SYN | ACK).tuple());
    // From then on the kernel does it, both ways.
    let (ack, answer) = (back.answer(ACK), seen.answer(ACK));
    assert!(one(world.from("left-a", ack)).fast);
    assert!(one(world.from("right-a", answer)).fast);
    let session = world.session();
    assert_eq!(
        (&*session.direction, &*session.state),
        ("local", "established")
    );
    assert_eq!(session.gateway.as_deref(), Some("left-gw"));
    assert_eq!(session.entry.as_deref(), Some("left-snat"));
    assert_eq!(world.ports_used("left-one"), [1, 0, 0]);

    // The other way round at the same time, with the same addresses and ports.
    let syn = Packet::tcp((X, 5000), (LEFT, 80), SYN);
    let seen = at("left-a", world.from("right-a", syn.clone()));
    assert_eq!(seen.tuple(), "172.16.2.10:5000 > 10.0.1.10:8080");
    let back = at("right-a", world.from("left-a", seen.answer(SYN | ACK)));
    assert_eq!(back.tuple(), syn.answer(SYN | ACK).tuple());
    assert_eq!(world.sessions().len(), 2);
    world.seconds(1000);
    assert_eq!(world.sessions(), []);
    assert_eq!(world.ports_used("left-one"), [0; 3]);
}

#[test]
fn a_network_is_seen_as_one_address() {
    // Only the NAT IP may come in.
    let only = "[[security_group.rule]]\ndirection = \"ingress\"\ncidr = \"172.16.1.10/32\"";
    let open = "[[security_group.rule]]\ndirection = \"ingress\"\ncidr = \"0.0.0.0/0\"";
    let mut world = World::new(&text().replace(open, only));
    for (n, from, src) in [(0, "left-a", X), (1, "left-b", Y)] {
        let packet = Packet::udp((src, 5000), (RIGHT_C, 53));
        let seen = match n {
            0 => at("right-c", world.from(from, packet.clone())),
            // It has an address of its own, which the group does not know.
            _ => {
                let why = reason(&mut world, |w| {
                    let told = at(from, w.from(from, packet.clone()));
                    assert!(matches!(
                        told.body,
                        Body::Icmp {
                            kind: 3,
                            code: 13,
                            ..
                        }
                    ));
                });
                assert_eq!(why, "security_group_in");
                continue;
            }
        };
        assert_eq!(seen.tuple(), "172.16.1.10:5000 > 172.16.2.50:53");
        let back = at(from, world.from("right-c", seen.answer(0)));
        assert_eq!(back.tuple(), packet.answer(0).tuple());
    }
    let ping = Packet::ping(X, RIGHT_C, 7);
    let seen = at("right-c", world.from("left-a", ping.clone()));
    assert_eq!(seen.src, ip(LEFT));
    let back = at("left-a", world.from("right-c", seen.answer(0)));
    assert_eq!(back, ping.answer(0).ttl(back.ttl));
    // Nobody is let in by that.
    let why = reason(&mut world, |w| {
        none(w.from("right-c", Packet::udp((RIGHT_C, 54), (LEFT, 5000))))
    });
    assert_eq!(why, "not_mapped");
}

#[test]
fn an_ip_mapping_goes_both_ways() {
    let mut world = World::new(&text());
    let out = at(
        "right-c",
        world.from("left-b", Packet::udp((Y, 7), (RIGHT_C, 8))),
    );
    assert_eq!(out.tuple(), "172.16.1.11:7 > 172.16.2.50:8");
    let gre = at(
        "left-b",
        world.from("right-c", Packet::other(47, RIGHT_C, LEFT_WHOLE)),
    );
    assert_eq!((gre.src, gre.dst), (ip(RIGHT_C), ip(Y)));
    let ping = at(
        "left-b",
        world.from("right-c", Packet::ping(RIGHT_C, LEFT_WHOLE, 3)),
    );
    let back = at("right-c", world.from("left-b", ping.answer(0)));
    assert_eq!((back.src, back.dst), (ip(LEFT_WHOLE), ip(RIGHT_C)));
    // From IP mapping to IP mapping.
    let both = at(
        "right-b",
        world.from("left-b", Packet::udp((Y, 9), (RIGHT_WHOLE, 9))),
    );
    assert_eq!(both.tuple(), "172.16.1.11:9 > 10.0.1.11:9");
}

#[test]
fn nat_ips_are_local_in_their_network() {
    let mut world = World::new(&text());
    // Nothing is translated but the destination: no route leads through the gateway.
    let syn = Packet::tcp((Y, 1), (LEFT, 80), SYN);
    let seen = at("left-a", world.from("left-b", syn.clone()));
    assert_eq!(seen.tuple(), "10.0.1.11:1 > 10.0.1.10:8080");
    let back = at("left-b", world.from("left-a", seen.answer(SYN | ACK)));
    assert_eq!(back.tuple(), syn.answer(SYN | ACK).tuple());
    let session = world.session();
    assert_eq!(session.entry.as_deref(), Some("left-web"));
    assert_eq!(session.gateway.as_deref(), Some("left-gw"));
    // Who is in the same vSwitch asks for it, and is answered; so does a NAT IP that nobody asked before.
    for address in [LEFT, LEFT_WHOLE] {
        let answers = world.ask("left-c", ip(LEFT_C), ip(address));
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].sender, ip(address));
    }
    assert!(
        world
            .ask("left-c", ip(LEFT_C), ip("172.16.1.12"))
            .is_empty()
    );
    // It is none of the interface's own, and no station may have it.
    let why = reason(&mut world, |w| {
        none(w.from("left-c", Packet::udp((LEFT, 1), (RIGHT_C, 1))))
    });
    assert_eq!(why, "spoofed");
}

#[test]
fn nat_ips_answer_ping_where_no_entry_takes_it() {
    let mut world = World::new(&text());
    for (from, src, to) in [
        ("left-b", Y, LEFT),
        ("left-c", LEFT_C, LEFT),
        ("left-a", X, RIGHT),
        ("right-c", RIGHT_C, LEFT),
    ] {
        let ping = Packet::ping(src, to, 5);
        assert_eq!(at(from, world.from(from, ping.clone())), ping.answer(0));
    }
    assert_eq!(world.sessions(), []);
    world.apply(&changed(&[(
        "vswitch = \"left-nat\"\n[[nat_gateway.snat]]",
        "vswitch = \"left-nat\"\nicmp_reply = false\n[[nat_gateway.snat]]",
    )]));
    let why = reason(&mut world, |w| {
        none(w.from("left-b", Packet::ping(Y, LEFT, 5)))
    });
    assert_eq!(why, "not_mapped");
    let why = reason(&mut world, |w| {
        none(w.from("left-b", Packet::udp((Y, 1), (LEFT, 81))))
    });
    assert_eq!(why, "not_mapped");
}

#[test]
fn a_mapping_lets_strangers_in_if_filtering_is_endpoint_independent() {
    let text = changed(&[(
        "vswitch = \"left-nat\"\n[[nat_gateway.snat]]",
        "vswitch = \"left-nat\"\nfiltering = \"endpoint-independent\"\n[[nat_gateway.snat]]",
    )]);
    let mut world = World::new(&text);
    at(
        "right-c",
        world.from("left-a", Packet::udp((X, 5000), (RIGHT_C, 53))),
    );
    let stranger = Packet::udp((RIGHT_C, 99), (LEFT, 5000));
    let inside = at("left-a", world.from("right-c", stranger.clone()));
    assert_eq!(inside.tuple(), "172.16.2.50:99 > 10.0.1.10:5000");
    let flows = world.flows();
    world.restart();
    assert_eq!(world.stats().adopted, 2);
    assert_eq!(world.flows(), flows);
    assert_eq!(world.ports_used("left-one"), [0, 1, 0]);
    let back = at("right-c", world.from("left-a", inside.answer(0)));
    assert_eq!(back.tuple(), stranger.answer(0).tuple());
    // The stranger alone keeps the mapping, also over a restart.
    for _ in 0..3 {
        world.seconds(40);
        at("left-a", world.from("right-c", stranger.clone()));
    }
    assert_eq!(world.sessions().len(), 1);
    world.restart();
    let other = Packet::udp((RIGHT_C, 100), (LEFT, 5000));
    at("left-a", world.from("right-c", other));
}

#[test]
fn networks_that_are_apart_have_nothing_in_common() {
    // A pair of VPCs like the first one, with the same NAT IPs.
    let more = text().replace("left", "west").replace("right", "east");
    let filtering = |text: &str| {
        let gateway = "-nat\"\n[[nat_gateway.snat]]";
        text.replace(
            gateway,
            "-nat\"\nfiltering = \"endpoint-independent\"\n[[nat_gateway.snat]]",
        )
    };
    let all = filtering(&(text() + &more.replace("\"pcc\"", "\"pcc-2\"")));
    let mut world = World::new(&all);
    let packet = Packet::udp((X, 5000), (RIGHT_C, 53));
    let first = at("right-c", world.from("left-a", packet.clone()));
    let second = at("east-c", world.from("west-a", packet.clone()));
    // Both keep their port, since it is not the same.
    assert_eq!(first.tuple(), second.tuple());
    assert_eq!(first.sport(), 5000);
    for eip in ["left-one", "west-one"] {
        assert_eq!(world.ports_used(eip), [0, 1, 0]);
    }
    let stranger = Packet::udp((RIGHT_C, 99), (LEFT, 5000));
    at("left-a", world.from("right-c", stranger.clone()));
    at("west-a", world.from("east-c", stranger.clone()));
    world.restart();
    assert_eq!(world.stats().adopted, 4);
    for eip in ["left-one", "west-one"] {
        assert_eq!(world.ports_used(eip), [0, 1, 0]);
    }
    // When one of them is gone, the other one's go on.
    world.apply(&filtering(&text()));
    assert_eq!(world.sessions().len(), 2);
    assert!(one(world.from("right-c", stranger)).fast);
    assert!(one(world.from("right-c", first.answer(0))).fast);
}

#[test]
fn nat_ips_outside_of_the_network_are_reached_by_routes_to_it() {
    let (one, block) = ("100.100.7.1", "destination = \"172.16.1.0/24\"");
    let text = changed(&[("address = \"172.16.1.10\"", "address = \"100.100.7.1\"")]);
    let text = text.replace(block, "destination = \"100.100.7.0/24\"");
    let mut world = World::new(&text);
    let seen = at(
        "right-c",
        world.from("left-a", Packet::udp((X, 5000), (RIGHT_C, 53))),
    );
    assert_eq!(seen.src, ip(one));
    for (from, src) in [("right-c", RIGHT_C), ("left-b", Y), ("left-c", LEFT_C)] {
        let syn = Packet::tcp((src, 5), (one, 80), SYN);
        let seen = at("left-a", world.from(from, syn.clone()));
        assert_eq!((seen.src, seen.dst), (ip(src), ip(X)));
        let back = at(from, world.from("left-a", seen.answer(SYN | ACK)));
        assert_eq!(back.tuple(), syn.answer(SYN | ACK).tuple());
    }
    // The cloud wants a route to the gateway for them: that is as good.
    let route =
        "[[route_table.route]]\ndestination = \"100.100.7.0/24\"\nnat_gateway = \"left-gw\"\n";
    let system = "vpc = \"left\"\nsystem = true\n";
    world.apply(&text.replacen(system, &format!("{system}{route}"), 1));
    assert_eq!(world.sessions().len(), 4);
    let syn = Packet::tcp((Y, 6), (one, 80), SYN);
    let seen = at("left-a", world.from("left-b", syn));
    assert_eq!(seen.src, ip(Y));
}

#[test]
fn routes_that_lead_back_are_noticed() {
    let beyond = "id = \"left-beyond\"\nvpc = \"left\"\n[[route_table.route]]\n\
                  destination = \"172.16.2.0/24\"\npeering = \"pcc\"";
    for hop in ["nat_gateway = \"left-gw\"", "nat_gateway = \"out\""] {
        let there = beyond.replace("peering = \"pcc\"", hop);
        let text = changed(&[(beyond, &there)]) + "[[nat_gateway]]\nid = \"out\"\nvpc = \"left\"\n";
        let mut world = World::new(&text);
        let why = reason(&mut world, |w| {
            let packet = Packet::udp((X, 1), (RIGHT_C, 1));
            let told = at("left-a", w.from("left-a", packet));
            assert!(matches!(
                told.body,
                Body::Icmp {
                    kind: 3,
                    code: 0,
                    ..
                }
            ));
        });
        assert_eq!(why, "route_loop", "{hop}");
    }
    // Out of the gateway's own vSwitch it is not, since that has the other table.
    let mut world = World::new(&text());
    let seen = at(
        "right-c",
        world.from("left-c", Packet::udp((LEFT_C, 1), (RIGHT_C, 1))),
    );
    assert_eq!(seen.src, ip(LEFT_C));
}

#[test]
fn an_instance_s_own_eip_is_for_the_internet() {
    let text = text()
        + "[[uplink]]\nid = \"wan\"\ndevice = \"eth1\"\naddress = \"203.0.113.2/24\"\n\
           gateway = \"203.0.113.1\"\n[[eip]]\nid = \"eip\"\naddress = \"203.0.113.10\"\ninstance = \"left-a\"\n";
    let mut world = World::new(&text);
    let seen = at(
        "right-c",
        world.from("left-a", Packet::udp((X, 1), (RIGHT_C, 1))),
    );
    assert_eq!(seen.src, ip(LEFT));
    let out = at(
        "wan",
        world.from("left-a", Packet::udp((X, 1), (SERVER, 1))),
    );
    assert_eq!(out.src, ip(EIP1));
    // NAT IPs are nobody's outside.
    let why = reason(&mut world, |w| {
        none(w.net(Packet::udp((SERVER, 1), (LEFT_WHOLE, 1))))
    });
    assert!(["not_our_address", "not_for_us"].contains(&&*why), "{why}");
}

#[test]
fn what_does_not_concern_a_session_does_not_touch_it() {
    let mut world = World::new(&text());
    let syn = Packet::tcp((X, 5000), (RIGHT, 80), SYN);
    let seen = at("right-a", world.from("left-a", syn));
    at("left-a", world.from("right-a", seen.answer(SYN | ACK)));
    let direct = Packet::tcp((Y, 1), (LEFT, 80), SYN);
    at("left-a", world.from("left-b", direct));
    let flows = world.flows();
    let entry = "[[nat_gateway.snat]]\nid = \"more\"\nsource = \"10.0.9.0/24\"\nnat_ips = [\"right-two\"]\n";
    let whole = "[[nat_gateway.dnat]]\nid = \"right-whole\"\nnat_ip = \"right-two\"\nprotocol = \"any\"\ninstance = \"right-b\"\n";
    world.apply(&changed(&[(whole, entry)]));
    assert_eq!(world.flows(), flows);
    world.restart();
    assert_eq!((world.stats().adopted, world.flows()), (2, flows));
    // Another NAT IP, another address: one ends. Without the entry the other one does, too.
    world.apply(&changed(&[(
        "address = \"172.16.2.10\"",
        "address = \"172.16.2.12\"",
    )]));
    assert_eq!(world.sessions().len(), 1);
    world.apply(&changed(&[("external_port = 80", "external_port = 81")]));
    assert_eq!(world.sessions(), []);
    assert_eq!(world.ports_used("left-one"), [0; 3]);
}

#[test]
fn errors_are_translated() {
    let mut world = World::new(&text());
    let packet = Packet::udp((X, 5000), (RIGHT_C, 33434));
    let seen = at("right-c", world.from("left-a", packet.clone()));
    let told = at(
        "left-a",
        world.from("right-c", seen.error(RIGHT_C, 3, 3, 0, 100)),
    );
    assert_eq!((told.src, told.dst), (ip(RIGHT_C), ip(X)));
    assert_eq!(told.quoted().tuple(), packet.tuple());
    // By two gateways.
    let syn = Packet::tcp((X, 5000), (RIGHT, 80), SYN);
    let seen = at("right-a", world.from("left-a", syn.clone()));
    let told = at("left-a", world.from("right-a", seen.error(X, 3, 3, 0, 100)));
    assert_eq!((told.src, told.dst), (ip(RIGHT), ip(X)));
    assert_eq!(told.quoted().tuple(), syn.tuple());
}

#[test]
fn sources_that_are_translated_are_limited() {
    let text = changed(&[(
        "vswitch = \"left-nat\"\n[[nat_gateway.snat]]",
        "vswitch = \"left-nat\"\nmax_sessions_per_source = 2\n[[nat_gateway.snat]]",
    )]);
    let mut world = World::new(&text);
    for n in 0..3 {
        let packet = Packet::udp((X, 5000 + n), (RIGHT_C, 53));
        match n {
            0 | 1 => drop(at("right-c", world.from("left-a", packet))),
            _ => {
                let why = reason(&mut world, |w| none(w.from("left-a", packet)));
                assert_eq!(why, "source_limit");
            }
        }
    }
    // Whose destination alone is translated is not.
    for n in 0..3 {
        at(
            "left-a",
            world.from("left-b", Packet::tcp((Y, 5000 + n), (LEFT, 80), SYN)),
        );
    }
}

#[test]
fn what_is_traced_happens() {
    let mut world = World::new(&text());
    let view = agrees(
        &mut world,
        "left-a",
        Packet::tcp((X, 5000), (RIGHT, 80), SYN),
    );
    let steps: Vec<(&str, Option<&str>)> = view
        .steps
        .iter()
        .map(|it| (&*it.step, it.resource.as_deref()))
        .collect();
    assert_eq!(
        steps,
        [
            ("port", Some("left-a")),
            ("security group out", None),
            ("route", Some("left/system")),
            ("snat", Some("left-snat")),
            ("route", Some("left-beyond")),
            ("route", Some("right/system")),
            ("dnat", Some("right-web")),
            ("route", Some("right-beyond")),
            ("security group in", Some("right-open")),
            ("egress", Some("right-a")),
            ("port", Some("left-one")),
            ("translation", Some("left-snat")),
        ],
        "{view:#?}"
    );
    for n in 0..2 {
        for packet in [
            Packet::tcp((X, 5000), (RIGHT, 80), SYN),
            Packet::tcp((X, 5000), (RIGHT, 81), SYN),
            Packet::udp((X, 5000 + n), (RIGHT_C, 53)),
            Packet::udp((X, 1), (LEFT_WHOLE, 1)),
            Packet::ping(X, RIGHT, n),
            Packet::ping(X, LEFT, n),
            Packet::other(47, X, RIGHT_C),
            Packet::other(47, X, RIGHT_WHOLE),
        ] {
            agrees(&mut world, "left-a", packet);
        }
        agrees(&mut world, "left-b", Packet::other(47, Y, RIGHT_WHOLE));
        agrees(&mut world, "right-c", Packet::udp((RIGHT_C, 1), (LEFT, 1)));
        world.seconds(1);
    }
}

#[test]
fn nat_ips_are_metered_as_eips_are_at_both_ends() {
    let mut world = World::new(&text());
    // Left to right: as one NAT IP to another. In by the one is out by the other.
    let mut sent = [0; 2];
    for n in 0..3u16 {
        let syn = Packet::tcp((X, 5000 + n), (RIGHT, 80), SYN);
        let seen = at("right-a", world.from("left-a", syn.clone()));
        let back = seen.answer(SYN | ACK);
        at("left-a", world.from("right-a", back.clone()));
        sent = [sent[0] + frame(&syn), sent[1] + frame(&back)];
    }
    let left = account(&mut world, "left-one", "left-gw");
    assert_eq!(numbers(&left), [3, sent[1], 3, sent[0]]);
    assert_eq!((left.opened, left.live, left.peak), (3, 3, 3));
    assert!(left.nat_ip);
    let right = account(&mut world, "right-one", "right-gw");
    assert_eq!(numbers(&right), [3, sent[0], 3, sent[1]]);
    assert_eq!((right.opened, right.live), (3, 3));
    world.seconds(2);
    let live = |world: &mut World| {
        let gateways = world.engine.usage().gateways.into_iter();
        gateways.map(|it| it.live).collect::<Vec<_>>()
    };
    assert_eq!(live(&mut world), [3, 3]);

    // From the gateway's own vSwitch to the other side's whole address, and from there: no SNAT takes part.
    let ask = Packet::udp((LEFT_C, 700), (RIGHT_WHOLE, 53)).len(100);
    let seen = at("right-b", world.from("left-c", ask.clone()));
    let answer = seen.answer(0);
    at("left-c", world.from("right-b", answer.clone()));
    let whole = account(&mut world, "right-two", "right-gw");
    let counted = [1, frame(&ask), 1, frame(&answer)];
    assert_eq!(numbers(&whole), counted);
    assert_eq!(live(&mut world), [3, 4]);
    // What an instance with an address of its own sends goes out by that one.
    let out = Packet::udp((Y, 800), (LEFT_C, 53)).len(10);
    at("left-c", world.from("left-b", out));
    assert_eq!(numbers(&account(&mut world, "left-two", "left-gw")), [0; 4]);
    let out = Packet::udp((Y, 800), (RIGHT_C, 53)).len(10);
    at("right-c", world.from("left-b", out.clone()));
    let own = account(&mut world, "left-two", "left-gw");
    assert_eq!(numbers(&own), [0, 0, 1, frame(&out)]);

    // A restart, and the end of the sessions, lose nothing.
    world.restart();
    assert_eq!(
        numbers(&account(&mut world, "right-two", "right-gw")),
        counted
    );
    let right = account(&mut world, "right-one", "right-gw");
    assert_eq!(numbers(&right), [3, sent[0], 3, sent[1]]);
    assert_eq!((right.opened, right.live), (3, 3));
    world.seconds(2000);
    let right = account(&mut world, "right-one", "right-gw");
    assert_eq!(numbers(&right), [3, sent[0], 3, sent[1]]);
    assert_eq!((right.opened, right.live), (3, 0));
}

#[test]
fn nat_ips_with_one_address_in_two_vpcs_are_metered_apart_over_a_restart() {
    // A third VPC whose gateway has the left one's NAT IP, and that reaches nothing but itself.
    let third = side("third", "172.16.1", "172.16.9").replace(
        "[[route_table.route]]\ndestination = \"172.16.9.0/24\"\npeering = \"pcc\"\n",
        "",
    );
    let mut world = World::new(&(text() + &third));
    let ask = Packet::udp((X, 5000), (RIGHT_C, 53)).len(300);
    let seen = at("right-c", world.from("left-a", ask.clone()));
    let answer = seen.answer(0);
    at("left-a", world.from("right-c", answer.clone()));
    let inside = Packet::tcp(("172.16.1.50", 9), (LEFT, 80), SYN);
    at("third-a", world.from("third-c", inside.clone()));
    let left = [1, frame(&answer), 1, frame(&ask)];
    let third = [1, frame(&inside), 0, 0];
    for _ in 0..2 {
        assert_eq!(numbers(&account(&mut world, "left-one", "left-gw")), left);
        assert_eq!(
            numbers(&account(&mut world, "third-one", "third-gw")),
            third
        );
        world.restart();
    }
}
