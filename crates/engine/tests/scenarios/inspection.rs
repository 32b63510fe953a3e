//! Firewalls that decide by application and domain: when the session has told them.

use crate::common::*;
use engine::record::{AppState, DecidedBy, Unknown};
use flow::reason::Reason;
use model::{App, OnDrop};

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A ClientHello for a name, in a record.
pub fn hello(name: &str) -> Vec<u8> {
    [&[22, 3, 1][..], &with_length(&client_hello(name))].concat()
}

/// A ClientHello for a name.
pub fn client_hello(name: &str) -> Vec<u8> {
    let named = with_length(&[&[0][..], &with_length(name.as_bytes())].concat());
    let extensions = [&[0, 0][..], &with_length(&named)].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(with_length(&[0x13, 0x01, 0xc0, 0x2f]));
    body.extend([1, 0]);
    body.extend(with_length(&extensions));
    [&[1, 0][..], &with_length(&body)].concat()
}

fn request(name: &str) -> Vec<u8> {
    format!("GET /index.html HTTP/1.1\r\nHost: {name}\r\n\r\n").into_bytes()
}

fn bad() -> model::ControlPolicy {
    refuse("bad").named("*.bad.example")
}

/// Both ends are reset, with numbers that each of them takes for the next.
#[track_caller]
fn is_reset(seen: &[Seen], connection: &Connection, denied: usize) {
    let flags = |at: &str| {
        let found: Vec<_> = seen.iter().filter(|it| it.at == at).collect();
        assert_eq!(found.len(), 1, "{seen:#?}");
        assert_eq!(found[0].packet.flags() & RST, RST);
        numbers(&found[0].packet).0
    };
    assert_eq!(flags("a"), connection.server_next);
    assert_eq!(flags("wan"), connection.client_next - denied as u32);
}

#[test]
fn a_forbidden_domain_is_reset_and_another_one_goes_to_the_kernel() {
    for (port, data) in [
        (443u16, hello as fn(&str) -> Vec<u8>),
        (80, request as fn(&str) -> Vec<u8>),
    ] {
        let mut world = world(loose(vec![bad(), accept("rest")]));
        let mut good = Connection::open(&mut world, 5000, SERVER, port);
        let first = data("www.good.example");
        let out = one(world.from("a", good.client_says(ACK, &first)));
        assert_eq!((out.at.as_str(), out.packet.data()), ("wan", &first[..]));
        good.acknowledge(&mut world);
        assert!(one(world.from("a", good.client_says(ACK, b"more"))).fast);
        assert!(one(world.net(good.server_says(ACK, b"answer"))).fast);

        let mut connection = Connection::open(&mut world, 5001, SERVER, port);
        let first = data("www.bad.example");
        let seen = world.from("a", connection.client_says(ACK, &first));
        assert_eq!(seen.len(), 2, "{seen:#?}");
        is_reset(&seen, &connection, first.len());
        assert_eq!(world.dropped(Reason::NatFirewall), 1);

        // What is still on its way is dropped, and answered by a reset to its sender.
        let late = world.net(connection.server_says(ACK, b"late"));
        assert_eq!(one(late).at, "wan");
        assert_eq!(world.dropped(Reason::NatFirewall), 2);
        let hits = world.engine.policy_hits(&scope());
        assert_eq!((hits[0].hits, hits[1].hits), (1, 1));
        world.seconds(70);
        assert_eq!(world.sessions().len(), 1, "the refused one is forgotten");
    }
}

#[test]
fn a_refused_connection_makes_room_for_a_new_one() {
    let mut world = world(loose(vec![bad()]));
    let mut connection = Connection::open(&mut world, 5000, SERVER, 443);
    world.from("a", connection.client_says(ACK, &hello("x.bad.example")));
    let mut again = Connection::open(&mut world, 5000, SERVER, 443);
    let out = one(world.from("a", again.client_says(ACK, &hello("x.good.example"))));
    assert_eq!(out.at, "wan");
    assert_eq!(world.sessions().len(), 1);
}

/// The documented example: a bare connection that says nothing passes a policy about a domain in loose mode; in strict
/// mode, with a refusal of everything below, it is blocked.
#[test]
fn telnet_connects_in_loose_mode_and_is_blocked_in_strict_mode() {
    let policies = || vec![bad(), refuse("all")];
    let mut world = World::of(loose(policies()), 16_384);
    let mut telnet = Connection::open(&mut world, 5000, SERVER, 443);
    world.seconds(30);
    none(world.take());
    // What it says later is still looked at.
    let seen = world.from("a", telnet.client_says(ACK, &hello("www.bad.example")));
    assert_eq!(seen.len(), 2);

    let mut world = World::of(strict(policies()), 16_384);
    let telnet = Connection::open(&mut world, 5000, SERVER, 443);
    world.seconds(10);
    let seen = world.take();
    is_reset(&seen, &telnet, 0);
    assert_eq!(world.engine.firewall_stats().refused, 1);
}

/// What cannot be recognised is allowed by the policy that needs it (loose), or goes on to the next ones (strict).
#[test]
fn what_is_not_recognised_goes_by_the_mode() {
    let policies = || vec![bad(), refuse("all")];
    for (config, passes) in [(loose(policies()), true), (strict(policies()), false)] {
        let mut world = World::of(config, 16_384);
        let mut it = Connection::open(&mut world, 5000, SERVER, 9999);
        let mut seen = Vec::new();
        for _ in 0..40 {
            seen.extend(world.from(
                "a",
                it.client_says(ACK, b"\x01\x02 nothing that is known \xff"),
            ));
            seen.extend(world.net(it.server_says(ACK, b"\xfe nor this \x03")));
        }
        world.seconds(10);
        let resets = seen
            .iter()
            .chain(&world.take())
            .filter(|it| it.packet.flags() & RST != 0)
            .count();
        assert_eq!(resets == 0, passes);
        let last = world.from("a", it.client_says(ACK, b"more"));
        assert_eq!(last.iter().any(|it| it.fast), passes);
    }
}

#[test]
fn a_hello_in_single_bytes_and_out_of_order_is_understood() {
    for name in ["www.bad.example", "www.good.example"] {
        let mut world = world(loose(vec![bad()]));
        let mut it = Connection::open(&mut world, 5000, SERVER, 443);
        let mut segments: Vec<_> = hello(name)
            .iter()
            .map(|byte| it.client_says(ACK, &[*byte]))
            .collect();
        segments.swap(3, 9);
        segments.swap(20, 30);
        let seen: Vec<_> = segments
            .into_iter()
            .flat_map(|it| world.from("a", it))
            .collect();
        let reset = seen.iter().any(|it| it.packet.flags() & RST != 0);
        assert_eq!(reset, name == "www.bad.example");
        if !reset {
            it.acknowledge(&mut world);
        }
        assert_eq!(world.engine.firewall_stats().inspected, 0);
    }
    let mut world = world(loose(vec![bad()]));
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let bytes = hello("www.bad.example");
    let mut segments: Vec<_> = bytes
        .chunks(7)
        .map(|part| it.client_says(ACK, part))
        .collect();
    segments.swap(0, 2);
    segments.swap(4, 9);
    let seen: Vec<_> = segments
        .into_iter()
        .flat_map(|it| world.from("a", it))
        .collect();
    assert!(seen.iter().any(|it| it.packet.flags() & RST != 0));
    assert_eq!(world.engine.firewall_stats().refused, 1);
}

#[test]
fn applications_are_told_apart_by_what_they_say() {
    let mut world = world(strict(vec![accept("ssh").apps(&[App::Ssh]), refuse("all")]));
    let mut ssh = Connection::open(&mut world, 5000, SERVER, 443);
    at(
        "a",
        world.net(ssh.server_says(ACK, b"SSH-2.0-OpenSSH_9.7\r\n")),
    );
    at(
        "wan",
        world.from("a", ssh.client_says(ACK, b"SSH-2.0-OpenSSH_9.6\r\n")),
    );
    ssh.acknowledge(&mut world);
    assert!(one(world.from("a", ssh.client_says(ACK, b"keys"))).fast);
    let mut http = Connection::open(&mut world, 5001, SERVER, 22);
    let seen = world.from("a", http.client_says(ACK, &request("www.good.example")));
    assert_eq!(seen.len(), 2);
    let app = |sport| {
        let all = world.sessions();
        let it = all.iter().find(|it| it.original.src_port == sport).unwrap();
        it.app.clone()
    };
    assert_eq!(
        (app(5000).as_deref(), app(5001).as_deref()),
        (Some("SSH"), Some("HTTP"))
    );
}

#[test]
fn a_silent_firewall_says_nothing() {
    let mut config = loose(vec![bad()]);
    config.firewalls.nat[0].settings.on_drop = OnDrop::Silent;
    let mut world = world(config);
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    none(world.from("a", it.client_says(ACK, &hello("www.bad.example"))));
    none(world.from("a", it.client_says(ACK, b"again")));
    assert_eq!(world.dropped(Reason::NatFirewall), 2);
}

/// What a live session was found to be is kept: a change of policies judges it by that.
#[test]
fn a_change_judges_by_what_is_known() {
    let mut config = loose(vec![refuse("other").named("*.other.example")]);
    let mut world = world(config.clone());
    let mut connections: Vec<_> = ["www.bad.example", "www.good.example"]
        .into_iter()
        .zip(5000..)
        .map(|(name, port)| {
            let mut it = Connection::open(&mut world, port, SERVER, 443);
            world.from("a", it.client_says(ACK, &hello(name)));
            it.acknowledge(&mut world);
            it
        })
        .collect();
    let mut pending = Connection::open(&mut world, 6000, SERVER, 443);
    set_policies(&mut config, scope(), vec![bad()]);
    world.apply_config(config);
    let [one_bad, one_good] = &mut connections[..] else {
        panic!()
    };
    let seen = world.from("a", one_bad.client_says(ACK, b"data"));
    is_reset(&seen, one_bad, 4);
    assert!(one(world.from("a", one_good.client_says(ACK, b"data"))).fast);
    // One that is under inspection goes on being so, by the new policies.
    let seen = world.from("a", pending.client_says(ACK, &hello("new.bad.example")));
    assert_eq!(seen.len(), 2);
}

/// Sessions that began before the firewall was there cannot be identified.
#[test]
fn what_was_there_before_goes_by_the_mode() {
    for (mode, passes) in [
        (model::EngineMode::Loose, true),
        (model::EngineMode::Strict, false),
    ] {
        let with = protect(BASE, mode, vec![bad(), refuse("all")]);
        let mut world = World::new(BASE);
        let mut it = Connection::open(&mut world, 5000, SERVER, 443);
        world.apply_config(with);
        let seen = world.from("a", it.client_says(ACK, b"data"));
        assert_eq!(seen.iter().any(|it| it.fast), passes);
    }
}

#[test]
fn a_restart_keeps_the_allowed_the_refused_and_those_in_between() {
    let mut world = world(strict(vec![
        accept("good").named("*.good.example"),
        refuse("all"),
    ]));
    let mut good = Connection::open(&mut world, 5000, SERVER, 443);
    world.from("a", good.client_says(ACK, &hello("www.good.example")));
    let mut refused = Connection::open(&mut world, 5001, SERVER, 443);
    world.from("a", refused.client_says(ACK, &hello("www.bad.example")));
    let mut between = Connection::open(&mut world, 5002, SERVER, 80);
    world.restart();
    assert_eq!(world.sessions().len(), 3);
    assert!(one(world.from("a", good.client_says(ACK, b"data"))).fast);
    let late = world.net(refused.server_says(ACK, b"late"));
    assert!(
        late.iter().all(|it| it.packet.flags() & RST != 0),
        "{late:#?}"
    );
    let seen = world.from("a", between.client_says(ACK, &request("www.good.example")));
    at("wan", seen);
    between.acknowledge(&mut world);
    assert!(one(world.from("a", between.client_says(ACK, b"data"))).fast);
}

/// Of the sessions that a daemon was about to find out, the next one refuses none for what it cannot know.
#[test]
fn what_was_heard_in_part_before_a_restart_goes_on() {
    let good = || accept("good").named("*.good.example");
    let mut world = world(strict(vec![good(), refuse("all")]));
    world.record();
    let first = hello("www.good.example");
    let (begin, rest) = first.split_at(20);
    let mut cut = Connection::open(&mut world, 5000, SERVER, 443);
    at("wan", world.from("a", cut.client_says(ACK, begin)));
    let mut quiet = Connection::open(&mut world, 5001, SERVER, 443);
    at("wan", world.from("a", quiet.client_says(ACK, begin)));
    // The last word of an earlier daemon counts, however often it is started.
    for _ in 0..2 {
        world.restart();
        world.record();
    }
    at("wan", world.from("a", cut.client_says(ACK, rest)));
    for _ in 0..40 {
        at("wan", world.from("a", cut.client_says(ACK, &[0xee; 700])));
        at("a", world.net(cut.server_says(ACK, &[0xef; 700])));
    }
    assert!(one(world.from("a", cut.client_says(ACK, b"more"))).fast);
    world.seconds(10);
    none(world.take());
    assert_eq!(world.engine.firewall_stats().refused, 0);
    at("wan", world.from("a", quiet.client_says(ACK, rest)));

    // That is put down, and ends with the policies that were in force.
    world.seconds(60);
    world.from("a", cut.client_says(ACK, b"more"));
    world.seconds(2);
    let records = world.take_records();
    let record = records
        .iter()
        .rev()
        .find(|it| it.original.src_port == 5000)
        .unwrap();
    assert_eq!(record.state, AppState::UnknownLoose);
    assert_eq!(record.unknown, Some(Unknown::Restart));
    assert_eq!(record.firewalls[0].by, DecidedBy::Earlier);
    let config = strict(vec![good(), accept("dns").port(53), refuse("all")]);
    world.apply_config(config);
    let refused = world.engine.firewall_stats().refused;
    assert!(refused >= 1, "{refused}");
}

/// What it can tell still is found out, and counts.
#[test]
fn what_was_heard_in_part_before_a_restart_may_tell_more() {
    let mut world = world(strict(vec![bad(), accept("rest")]));
    let mut it = Connection::open(&mut world, 5000, SERVER, 80);
    let begin = b"GET /a HTTP/1.1\r\nHo";
    at("wan", world.from("a", it.client_says(ACK, begin)));
    world.restart();
    let rest = b"st: www.good.example\r\n\r\n";
    at("wan", world.from("a", it.client_says(ACK, rest)));
    let seen = world.from("a", it.client_says(ACK, &request("www.bad.example")));
    is_reset(&seen, &it, request("www.bad.example").len());
}

/// A session that had said nothing can tell everything: for it the mode counts as ever.
#[test]
fn what_had_said_nothing_before_a_restart_is_judged_by_all_that_it_says() {
    let mut world = world(strict(vec![
        accept("ftp").apps(&[App::Ftp]),
        accept("good").named("*.good.example"),
        refuse("all"),
    ]));
    let mut good = Connection::open(&mut world, 5000, SERVER, 443);
    let mut noise = Connection::open(&mut world, 5001, SERVER, 443);
    let mut ftp = Connection::open(&mut world, 5002, SERVER, 21);
    // One that is not open yet is no silent one.
    let mut slow = Connection::new(5003, SERVER, 443);
    let out = at("wan", world.from("a", slow.client_says(SYN, b"")));
    slow.seen_as = Some((out.src.to_string(), out.sport()));
    world.restart();
    let first = hello("www.good.example");
    at("wan", world.from("a", good.client_says(ACK, &first[..9])));
    at("wan", world.from("a", good.client_says(ACK, &first[9..])));
    good.acknowledge(&mut world);
    assert!(one(world.from("a", good.client_says(ACK, b"data"))).fast);
    for _ in 0..40 {
        world.from("a", noise.client_says(ACK, &[0xee; 700]));
        world.net(noise.server_says(ACK, &[0xef; 700]));
    }
    assert_eq!(world.engine.firewall_stats().refused, 1);
    login(&mut world, &mut ftp);
    let mut data = passive(&mut world, &mut ftp, 5100);
    assert!(one(world.from("a", data.client_says(ACK, b"bytes"))).fast);
    world.take();
    world.seconds(12);
    at("a", world.net(slow.server_says(SYN | ACK, b"")));
    at("wan", world.from("a", slow.client_says(ACK, b"")));
    at("wan", world.from("a", slow.client_says(ACK, &first)));
    slow.acknowledge(&mut world);
    assert!(one(world.from("a", slow.client_says(ACK, b"data"))).fast);
}

/// A control connection of FTP is one after a restart, too, and announces data connections.
#[test]
fn a_control_connection_goes_on_after_a_restart() {
    let mut world = world(strict(vec![accept("ftp").apps(&[App::Ftp]), refuse("all")]));
    let mut ftp = Connection::open(&mut world, 5000, SERVER, 21);
    login(&mut world, &mut ftp);
    for sport in [5001, 5002] {
        world.restart();
        world.seconds(20);
        none(world.take());
        let mut data = passive(&mut world, &mut ftp, sport);
        assert!(one(world.from("a", data.client_says(ACK, b"bytes"))).fast);
        let view = world.sessions();
        let control = view.iter().find(|it| it.original.src_port == 5000).unwrap();
        assert_eq!(control.app.as_deref(), Some("FTP"));
    }
    let _other = Connection::open(&mut world, 5003, SERVER, 9);
    world.seconds(10);
    assert_eq!(world.engine.firewall_stats().refused, 1);
}

/// An allowed session of TLS whose server has not shown its certificate goes to the kernel.
#[test]
fn a_session_that_waits_for_a_certificate_goes_on_after_a_restart() {
    let mut world = world(strict(vec![
        accept("good").named("*.good.example"),
        refuse("all"),
    ]));
    world.record();
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let first = hello("www.good.example");
    at("wan", world.from("a", it.client_says(ACK, &first)));
    assert_eq!(world.session().firewall.as_deref(), Some("inspected"));
    world.restart();
    assert!(one(world.net(it.server_says(ACK, &[0xee; 600]))).fast);
    world.seconds(10);
    assert!(one(world.from("a", it.client_says(ACK, b"data"))).fast);
    assert_eq!(world.engine.firewall_stats().refused, 0);
}

/// A session that asks for names does not have to ask anew to stay allowed.
#[test]
fn a_session_that_asks_for_names_goes_on_after_a_restart() {
    let mut config = strict(vec![accept("dns").apps(&[App::Dns]), refuse("all")]);
    let names = vec![refuse("bad").named("*.bad.example")];
    set_policies(&mut config, model::PolicyScope::Dns, names);
    let mut world = world(config);
    let mut it = Connection::open(&mut world, 5000, SERVER, 53);
    let asked = crate::dns::question("www.good.example");
    let asked = [&(asked.len() as u16).to_be_bytes()[..], &asked].concat();
    at("wan", world.from("a", it.client_says(ACK, &asked)));
    it.acknowledge(&mut world);
    world.restart();
    world.know(policy::World::default());
    world.seconds(10);
    none(world.take());
    at("wan", world.from("a", it.client_says(ACK, b"\0")));
    assert_eq!(world.session().firewall.as_deref(), Some("dns"));
}

/// Goes through the beginning of a control connection of FTP.
fn login(world: &mut World, ftp: &mut Connection) {
    let said = [
        (false, &b"220 FTP server ready\r\n"[..]),
        (true, b"USER anonymous\r\n"),
        (false, b"331 Password please\r\n"),
    ];
    for (client, line) in said {
        match client {
            true => at("wan", world.from("a", ftp.client_says(ACK, line))),
            false => at("a", world.net(ftp.server_says(ACK, line))),
        };
    }
}

/// Opens the data connection that an FTP server announces.
fn passive(world: &mut World, ftp: &mut Connection, sport: u16) -> Connection {
    at("wan", world.from("a", ftp.client_says(ACK, b"PASV\r\n")));
    let port = 200 * 256 + sport % 256;
    let answer = format!(
        "227 Entering Passive Mode (198,51,100,7,200,{})\r\n",
        sport % 256
    );
    at("a", world.net(ftp.server_says(ACK, answer.as_bytes())));
    Connection::open(world, sport, SERVER, port)
}

/// The data connection that an FTP server announces is FTP's; no other one is.
#[test]
fn a_data_connection_is_what_its_control_connection_is() {
    let mut world = world(strict(vec![accept("ftp").apps(&[App::Ftp]), refuse("all")]));
    let mut ftp = Connection::open(&mut world, 5000, SERVER, 21);
    at(
        "a",
        world.net(ftp.server_says(ACK, b"220 FTP server ready\r\n")),
    );
    at(
        "wan",
        world.from("a", ftp.client_says(ACK, b"USER anonymous\r\n")),
    );
    at(
        "a",
        world.net(ftp.server_says(ACK, b"331 Password please\r\n")),
    );
    at("wan", world.from("a", ftp.client_says(ACK, b"PASV\r\n")));
    let answer = b"227 Entering Passive Mode (198,51,100,7,200,10)\r\n";
    at("a", world.net(ftp.server_says(ACK, answer)));
    let mut data = Connection::open(&mut world, 5001, SERVER, 200 * 256 + 10);
    assert!(one(world.from("a", data.client_says(ACK, b"bytes"))).fast);
    let _other = Connection::open(&mut world, 5002, SERVER, 200 * 256 + 11);
    world.seconds(10);
    assert_eq!(world.engine.firewall_stats().refused, 1);
}

/// In active mode the server comes to the client: to an address and port of its own that a DNAT entry leads to.
#[test]
fn an_active_data_connection_is_what_its_control_connection_is() {
    let rules = || vec![accept("ftp").apps(&[App::Ftp]), refuse("all")];
    let mut config = border(rules(), rules());
    config.firewalls.border.settings.mode = model::EngineMode::Strict;
    let mut world = world(config);
    let mut ftp = Connection::open(&mut world, 5000, SERVER, 21);
    world.net(ftp.server_says(ACK, b"220 FTP server ready\r\n"));
    world.from("a", ftp.client_says(ACK, b"USER anonymous\r\n"));
    // Somebody else's address cannot be announced.
    let others = b"PORT 203,0,113,11,0,80\r\nPORT 203,0,113,10,0,80\r\n";
    at("wan", world.from("a", ftp.client_says(ACK, others)));
    let data = |port| Packet::tcp((SERVER, 20), (EIP1, port), SYN);
    at("b", world.net(data(80)));
    let sessions = world.sessions();
    let it = sessions.iter().find(|it| it.direction == "in").unwrap();
    assert_eq!(
        (it.app.as_deref(), it.firewall.as_deref()),
        (Some("FTP"), None)
    );
    // It was announced once.
    let again = Packet::tcp((SERVER, 21), (EIP1, 80), SYN);
    at("b", world.net(again));
    world.seconds(3);
    let inspected = world.engine.firewall_stats().inspected;
    assert_eq!(
        inspected, 2,
        "the control connection, and one that is not known"
    );
}

/// A request to an address, or to what is no name, is for no domain: policies about domains do not mean it. One that
/// tells nothing might be for each: the mode says.
#[test]
fn an_address_instead_of_a_name_is_no_domain() {
    let policies = || vec![bad(), accept("ssh").apps(&[App::Ssh]), refuse("all")];
    let untold: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
    for (config, passes) in [(loose(policies()), true), (strict(policies()), false)] {
        let mut world = World::of(config, 16_384);
        let mut says = |port, data: &[u8]| {
            let mut it = Connection::open(&mut world, port, SERVER, 80);
            let seen = world.from("a", it.client_says(ACK, data));
            seen.iter().all(|it| it.packet.flags() & RST == 0)
        };
        assert!(!says(5000, &request("198.51.100.7")));
        assert!(!says(5001, &request("[2001:db8::7]:80")));
        assert!(!says(5002, &request("no name")));
        assert_eq!(says(5003, untold), passes);
        assert!(!says(5004, &hello("198.51.100.7")));
    }
}

/// What was decided by its application alone, before more was known, stays what it was found to be.
#[test]
fn what_is_decided_early_stays_what_it_is() {
    let mail = |world: &mut World| {
        let mut it = Connection::open(world, 5000, SERVER, 25);
        world.net(it.server_says(ACK, b"220 mail ESMTP\r\n"));
        world.from("a", it.client_says(ACK, b"EHLO client\r\n"));
        it
    };
    let allow = || vec![accept("mail").apps(&[App::Smtp]), refuse("all")];
    let mut config = strict(allow());
    let mut world = World::of(config.clone(), 16_384);
    let mut it = mail(&mut world);
    set_policies(
        &mut config,
        scope(),
        [vec![refuse("ntp").port(123)], allow()].concat(),
    );
    world.apply_config(config);
    it.acknowledge(&mut world);
    assert!(one(world.from("a", it.client_says(ACK, b"STARTTLS\r\n"))).fast);
    assert_eq!(world.session().app.as_deref(), Some("SMTP"));

    let deny = || vec![refuse("mail").apps(&[App::Smtp])];
    let mut config = loose(deny());
    let mut world = World::of(config.clone(), 16_384);
    let mut it = mail(&mut world);
    assert_eq!(world.engine.firewall_stats().refused, 1);
    set_policies(
        &mut config,
        scope(),
        [vec![refuse("ntp").port(123)], deny()].concat(),
    );
    world.apply_config(config);
    let seen = world.from("a", it.client_says(ACK, b"QUIT\r\n"));
    assert!(
        seen.iter().all(|it| it.packet.flags() & RST != 0),
        "{seen:#?}"
    );
}

/// A datagram that is nothing known is judged as such at once: in strict mode not even the first one passes.
#[test]
fn an_unknown_datagram_does_not_wait() {
    let policies = || vec![accept("quic").apps(&[App::Quic]), refuse("all")];
    let packet = || Packet::udp((A, 5000), (SERVER, 443));
    let mut world = World::of(loose(policies()), 16_384);
    at("wan", world.from("a", packet()));
    assert!(one(world.from("a", packet())).fast);
    let mut world = World::of(strict(policies()), 16_384);
    assert_eq!(
        reason(&mut world, |w| none(w.from("a", packet()))),
        "nat_firewall"
    );
}

/// So many at once are inspected, in bounded memory; those that began first give up.
#[test]
fn inspection_is_bounded() {
    let mut config = loose(vec![bad()]);
    config.system.max_sessions = 40_000;
    let mut world = World::of(config, 131_072);
    world.checked = false;
    let server = |n: u32| format!("198.51.{}.{}", n / 250, 1 + n % 250);
    for n in 0..20_000 {
        let syn = Packet::tcp((A, 5000), (&server(n), 443), SYN);
        at("wan", world.from("a", syn));
    }
    world.engine.check();
    let stats = world.engine.firewall_stats();
    assert_eq!(stats.inspected, 16_384);
    assert_eq!(stats.given_up, 20_000 - 16_384);
}
