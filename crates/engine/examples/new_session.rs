//! What a new session costs the engine: time and memory.
//!
//! `cargo run --release -p engine --example new_session [SESSIONS [POLICIES [INDICATORS]]]` opens that many UDP sessions (a
//! million by default) of many clients to many servers through a NAT gateway with 16 EIPs, if wanted behind a NAT firewall
//! with so many policies about addresses, which drops what so many threat indicators know, and prints how long
//! one takes while there are few and while there are many, how much memory each has, and what it costs to
//! go through all of them: to put a new configuration in force, to take them over after a restart, and to
//! expire them.
//!
//! `new_session count SESSIONS [POLICIES [INDICATORS]]` opens that many in an engine that is always the same, and does
//! nothing else: `bench/instructions` counts what each takes.

use engine::{
    Account, Engine, Input, Link, Memory, Offload, Output, PortRef, Snapshot, Time, UPLINK_ZONE,
};
use flow::abi::Hop;
use flow::meter::Meter;
use flow::table::Table;
use flow::{Entry, Seed};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Nowhere;

impl Output for Nowhere {
    fn transmit(&mut self, _: u32, _: &[u8], _: Offload) {}
}

fn config(sessions: u32) -> String {
    let mut eips = String::new();
    let mut names = String::new();
    for n in 0..16 {
        write!(
            eips,
            "[[eip]]\nid = \"e{n}\"\naddress = \"203.0.113.{}\"\n",
            10 + n
        )
        .unwrap();
        write!(names, "\"e{n}\",").unwrap();
    }
    format!(
        r#"
[system]
max_sessions = {sessions}
[[uplink]]
id = "wan"
device = "eth1"
address = "203.0.113.2/24"
gateway = "203.0.113.1"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/8"
[[vswitch]]
id = "vsw"
vpc = "vpc"
cidr = "10.0.0.0/16"
[[instance]]
id = "lan"
vswitch = "vsw"
address = "10.0.0.10"
hosts = ["10.0.128.0/18"]
{eips}
[[nat_gateway]]
id = "ngw"
vpc = "vpc"
eips = [{names}]
[[nat_gateway.snat]]
vpc = true
eips = [{names}]
"#
    )
}

/// Puts a NAT firewall before the gateway. Its policies refuse what nobody sends, but for the last one.
fn protect(config: &mut model::Config, policies: u32) {
    let net = |text: String| text.parse::<ipnet::Ipv4Net>().expect("a network");
    let refusal = |n: u32| model::ControlPolicy {
        id: format!("p{n}"),
        description: String::new(),
        source: model::PolicySource::Net(net(format!("10.0.{}.0/24", 128 + n % 64))),
        destination: model::PolicyDestination::Net(net(format!(
            "100.{}.{}.0/24",
            64 + n / 256 % 64,
            n % 256
        ))),
        protocol: Some(17),
        ports: model::PolicyPorts::Range(443..=443),
        applications: Vec::new(),
        action: model::PolicyAction::Drop,
        enabled: true,
        validity: model::Validity::Permanent,
        resolve: model::DomainResolve::Fqdn,
    };
    let mut list: Vec<_> = (1..policies).map(|n| Arc::new(refusal(n))).collect();
    list.push(Arc::new(model::ControlPolicy {
        source: model::PolicySource::Net(net("10.0.0.0/8".into())),
        destination: model::PolicyDestination::Net(net("0.0.0.0/0".into())),
        action: model::PolicyAction::Accept,
        ..refusal(0)
    }));
    config.firewalls.nat.push(model::NatFirewall {
        id: "fw".into(),
        gateway: "ngw".into(),
        inbound: false,
        settings: model::FirewallSettings::default(),
    });
    config.firewalls.policies.push(model::PolicyList {
        scope: model::PolicyScope::NatGateway("ngw".into()),
        policies: Arc::new(list),
    });
    for route in config.route_tables.iter_mut().flat_map(|it| &mut it.routes) {
        if let model::NextHop::NatGateway(_) = route.next_hop {
            route.next_hop = model::NextHop::NatFirewall("fw".into());
        }
    }
}

/// What the firewall drops besides.
const THREAT: &str = "IpOutThreatC2";

/// Has the firewall drop what is known to be bad: so many addresses to which nobody goes.
fn warn(config: &mut model::Config, indicators: u32) -> policy::World {
    let rule = model::ThreatRule {
        category: THREAT.into(),
        action: model::ThreatAction::Drop,
    };
    for firewall in &mut config.firewalls.nat {
        firewall.settings.threats = vec![rule.clone()];
    }
    let bad = |n: u32| Ipv4Addr::from(0x0b00_0000 + n.wrapping_mul(2_654_435_761) % 0x7000_0000);
    let bad = (0..indicators).map(|n| (policy::Indicator::Net(bad(n).into()), THREAT));
    let before = resident();
    let threats = policy::Threats::new(bad);
    if indicators > 0 {
        let took = (resident() - before) >> 20;
        println!("{} indicators: {took} MiB", threats.len());
    }
    policy::World {
        threats: Arc::new(threats),
        ..policy::World::default()
    }
}

/// The frame of a client's datagram to a server.
fn frame(mac: [u8; 6], n: u32) -> [u8; 60] {
    let client = Ipv4Addr::from(0x0a00_8000 | (n.wrapping_mul(2_654_435_761) >> 18));
    let server = Ipv4Addr::from(0xc633_6400 + (n >> 14) % 4096);
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&mac);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 1, 1]);
    frame[12..14].copy_from_slice(&[8, 0]);
    let ip = &mut frame[14..34];
    ip[0] = 0x45;
    ip[3] = 46;
    ip[8..10].copy_from_slice(&[64, 17]);
    ip[12..16].copy_from_slice(&client.octets());
    ip[16..20].copy_from_slice(&server.octets());
    let sum = !(flow::checksum::sum(ip, 0) as u16);
    ip[10..12].copy_from_slice(&sum.to_ne_bytes());
    frame[34..36].copy_from_slice(&(1024 + (n % 60_000) as u16).to_be_bytes());
    frame[36..38].copy_from_slice(&443u16.to_be_bytes());
    frame[38..40].copy_from_slice(&26u16.to_be_bytes());
    frame
}

/// The time that this thread has had a processor: on a busy machine, that is not the clock's.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Memory as kernel and engine share it.
fn cells<T: Default>(count: usize) -> &'static [T] {
    (0..count).map(|_| T::default()).collect::<Vec<T>>().leak()
}

/// Bytes of memory in use.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

/// Sessions that there is room for when they are counted.
const COUNTED: u32 = 65_536;
/// Changes of the configuration that are made.
const CHANGES: u32 = 5;

/// Changes of the configuration: how long packets wait for its steps, and how long all of them take. Of each step the
/// shortest time of several changes counts, since the machine may do something else meanwhile.
fn change(engine: &mut Engine, snapshot: &dyn Fn() -> Arc<Snapshot>, sessions: u32, now: Time) {
    let mut steps: Vec<Duration> = Vec::new();
    for _ in 0..CHANGES {
        let snapshot = snapshot();
        let mut at = 0;
        let mut step = |it: &mut dyn FnMut() -> bool| {
            let start = Instant::now();
            let more = it();
            let took = start.elapsed();
            match steps.get_mut(at) {
                Some(least) => *least = took.min(*least),
                None => steps.push(took),
            }
            at += 1;
            more
        };
        step(&mut || {
            engine.apply(Arc::clone(&snapshot), now, &mut Nowhere);
            true
        });
        while step(&mut || engine.tick(now, &mut Nowhere) <= now) {}
    }
    let all: Duration = steps.iter().sum();
    let longest = steps[1..].iter().max().copied().unwrap_or_default();
    println!(
        "a new configuration: in force after {:.1?}, then {} steps of {longest:.1?} at most, {:.0} ns a session in all",
        steps[0],
        steps.len() - 1,
        all.as_nanos() as f64 / sessions as f64
    );
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let counting = args.first().is_some_and(|first| first == "count");
    if counting {
        args.remove(0);
    }
    let wanted: u32 = match args.first().map(|n| n.parse()) {
        None => 1_000_000,
        Some(Ok(sessions)) => sessions,
        Some(Err(error)) => return eprintln!("the number of sessions: {error}"),
    };
    let sessions = if counting {
        wanted.max(COUNTED)
    } else {
        wanted
    };
    let slots = (sessions as usize * 3).next_multiple_of(2).max(64);
    let entries = cells::<Entry>(slots);
    let (hops, meters, accounts) = (cells::<Hop>(1024), cells::<Meter>(64), cells::<Account>(64));
    let links = [
        Link {
            port: PortRef::Eni("lan".into()),
            zone: 2,
            ifindex: 2,
            mac: [2, 0, 0, 0, 0, 2],
            station: Some([2, 0, 0, 0, 1, 1]),
            mtu: 1500,
            peer: true,
        },
        Link {
            port: PortRef::Uplink("wan".into()),
            zone: UPLINK_ZONE,
            ifindex: 3,
            mac: [2, 0, 0, 0, 0, 3],
            station: Some([2, 0, 0, 0, 1, 2]),
            mtu: 1500,
            peer: false,
        },
    ];
    let mut config = model::file::parse(&config(sessions)).expect("a configuration");
    match args.get(1).map(|n| n.parse()) {
        None => {}
        Some(Ok(policies)) => protect(&mut config, policies),
        Some(Err(error)) => return eprintln!("the number of policies: {error}"),
    }
    let world = match args.get(2).map(|n| n.parse()) {
        None => policy::World::default(),
        Some(Ok(indicators)) => warn(&mut config, indicators),
        Some(Err(error)) => return eprintln!("the number of indicators: {error}"),
    };
    let snapshot = || Arc::new(Snapshot::build(&config, &links).expect("a snapshot"));
    let memory = || Memory {
        table: Table::new(entries, Seed(3, 5)),
        hops,
        meters,
        accounts,
    };
    let empty = resident();
    let now = Time(1_000_000_000);
    let mut engine = Engine::new(memory(), snapshot(), now);
    engine.know(world);

    let open = |engine: &mut Engine, frames: &mut [[u8; 60]]| {
        for batch in frames.chunks_mut(16) {
            engine.expect(batch.iter().map(|frame| (2, &frame[..])));
            for frame in batch {
                let input = Input {
                    ifindex: 2,
                    frame,
                    offload: Offload::NONE,
                };
                engine.frame(input, now, &mut Nowhere);
            }
        }
    };
    if counting {
        let mut frames: Vec<_> = (0..sessions).map(|n| frame(links[0].mac, n)).collect();
        open(&mut engine, &mut frames[..wanted as usize]);
        assert_eq!(engine.stats().sessions, u64::from(wanted));
        return;
    }

    let mut done = 0;
    let step = (sessions / 10).max(1);
    println!(
        "{slots} slots in the flow table: {} MiB",
        (slots * 64) >> 20
    );
    while done < sessions {
        let count = step.min(sessions - done);
        let mut frames: Vec<_> = (done..done + count)
            .map(|n| frame(links[0].mac, n))
            .collect();
        let start = cpu();
        open(&mut engine, &mut frames);
        let each = (cpu() - start).as_nanos() as f64 / count as f64;
        done += count;
        println!("{done:>9} sessions: {each:>6.0} ns for a new one");
    }
    assert_eq!(engine.stats().sessions, sessions as u64);
    let used = resident() - empty;
    println!(
        "memory: {} bytes a session in the engine, {} with the flow table; {} MiB in all",
        used / sessions as usize,
        used / sessions as usize + slots * 64 / sessions as usize,
        (used + slots * 64) >> 20
    );

    change(&mut engine, &snapshot, sessions, now);

    drop(engine);
    let start = cpu();
    let mut engine = Engine::new(memory(), snapshot(), now);
    println!(
        "after a restart: {:.0} ns a session",
        (cpu() - start).as_nanos() as f64 / sessions as f64
    );
    assert_eq!(engine.stats().sessions, sessions as u64);

    let mut now = now;
    let mut round = |now: &mut Time, what: &str| {
        let mut total = Duration::ZERO;
        let mut longest = Duration::ZERO;
        let end = *now + Duration::from_secs(20);
        while *now < end {
            let start = cpu();
            let next = engine.tick(*now, &mut Nowhere);
            let took = cpu() - start;
            total += took;
            longest = longest.max(took);
            *now = if next > *now {
                next
            } else {
                *now + Duration::from_micros(100)
            };
        }
        let live = engine.stats().sessions;
        println!(
            "{what}: {total:.1?} in 20 s, {longest:.1?} at most at once, {live} sessions left"
        );
    };
    round(&mut now, "looking at all");
    now = now + Duration::from_secs(60);
    round(&mut now, "ending all");
}
