//! Frames: whatever comes in by whichever port, in whatever order and at whatever time, the engine's
//! books stay right, and what it sends are frames.
//!
//! The input is a sequence of frames, each behind four bytes: the port, the time that has passed, how much
//! of the headers is put right (so that more than the first check is reached), and the length.
#![no_main]

use engine::{
    Account, Engine, Input, Link, Memory, Offload, Output, PortRef, Snapshot, Time, UPLINK_ZONE,
};
use flow::abi::Hop;
use flow::header::Checksum;
use flow::meter::Meter;
use flow::table::Table;
use flow::{Entry, Seed, checksum};
use std::sync::{Arc, OnceLock};

const CONFIG: &str = r#"
[[uplink]]
id = "wan"
device = "wan0"
address = "203.0.113.2/24"
gateway = "203.0.113.1"
[[vpc]]
id = "vpc"
cidr = "192.168.0.0/16"
[[vswitch]]
id = "one"
vpc = "vpc"
cidr = "192.168.1.0/24"
[[vswitch]]
id = "two"
vpc = "vpc"
cidr = "192.168.2.0/24"
[[security_group]]
id = "open"
vpc = "vpc"
[[security_group.rule]]
direction = "ingress"
cidr = "0.0.0.0/0"
[[instance]]
id = "a"
vswitch = "one"
address = "192.168.1.10"
security_groups = ["open"]
[[instance]]
id = "b"
vswitch = "two"
address = "192.168.2.20"
security_groups = ["open"]
driver = "device"
device = "b0"
hosts = ["192.168.2.128/25"]
mtu = 600
[[eip]]
id = "eip-1"
address = "203.0.113.10"
bandwidth = 1
[[eip]]
id = "eip-2"
address = "203.0.113.11"
package = "cbwp"
package_bandwidth = 1
[[bandwidth_package]]
id = "cbwp"
bandwidth = 1000
[[nat_gateway]]
id = "ngw"
vpc = "vpc"
eips = ["eip-1", "eip-2"]
filtering = "endpoint-independent"
snat_ports = "1020-1030"
max_sessions_per_source = 8
[[nat_gateway.snat]]
vpc = true
eips = ["eip-1"]
[[nat_gateway.dnat]]
eip = "eip-1"
protocol = "tcp"
external_port = 80
internal = "192.168.1.10"
[[nat_gateway.dnat]]
eip = "eip-2"
protocol = "any"
internal = "192.168.2.20"
"#;

/// Addresses that lead somewhere.
const PLACES: [[u8; 4]; 8] = [
    [192, 168, 1, 10],
    [192, 168, 2, 20],
    [192, 168, 2, 130],
    [192, 168, 1, 253],
    [203, 0, 113, 10],
    [203, 0, 113, 11],
    [203, 0, 113, 2],
    [198, 51, 100, 7],
];

const PORTS: [u32; 3] = [10, 11, 12];

fn snapshot() -> Arc<Snapshot> {
    static SNAPSHOT: OnceLock<Arc<Snapshot>> = OnceLock::new();
    Arc::clone(SNAPSHOT.get_or_init(|| {
        let link = |port, zone, ifindex: u32, station| Link {
            port,
            zone,
            ifindex,
            mac: [2, 0, 0, 0, 0, ifindex as u8],
            station,
            mtu: 1500,
            peer: false,
        };
        let links = [
            link(PortRef::Uplink("wan".into()), UPLINK_ZONE, PORTS[0], None),
            link(
                PortRef::Eni("a".into()),
                2,
                PORTS[1],
                Some([2, 0, 0, 0, 1, 1]),
            ),
            link(PortRef::Eni("b".into()), 3, PORTS[2], None),
        ];
        let config = model::file::parse(CONFIG).expect("the configuration is valid");
        Arc::new(Snapshot::build(&config, &links).expect("all links are there"))
    }))
}

/// Looks at what is sent.
struct Look;

impl Output for Look {
    fn transmit(&mut self, ifindex: u32, frame: &[u8], _: Offload) {
        assert!(PORTS.contains(&ifindex));
        assert!(frame.len() >= 34 && frame[6..12] == [2, 0, 0, 0, 0, ifindex as u8]);
    }
}

/// Puts headers right, as far as `how` says.
fn mend(frame: &mut [u8], how: u8) {
    if frame.len() < 34 || how & 1 == 0 {
        return;
    }
    let kind = if how & 2 == 0 { [8, 0] } else { [8, 6] };
    frame[12..14].copy_from_slice(&kind);
    if how & 2 != 0 {
        let mac: [u8; 6] = frame[6..12].try_into().expect("six bytes");
        if frame.len() >= 42 {
            frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
            frame[20] = 0;
            frame[22..28].copy_from_slice(&mac);
        }
        return;
    }
    if how & 4 != 0 {
        frame[14] = 0x45;
        let src = PLACES[frame[26] as usize % PLACES.len()];
        frame[26..30].copy_from_slice(&src);
    }
    if how & 8 != 0 {
        let dst = PLACES[frame[30] as usize % PLACES.len()];
        frame[30..34].copy_from_slice(&dst);
    }
    if how & 16 != 0 {
        frame[20..22].fill(0);
    }
    if how & 32 != 0 {
        frame[23] = [1, 6, 17][frame[23] as usize % 3];
    }
    let total = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    let end = (14 + (frame[14] & 15) as usize * 4).clamp(34, frame.len());
    frame[24..26].fill(0);
    let sum = !(checksum::sum(&frame[14..end], 0) as u16);
    frame[24..26].copy_from_slice(&sum.to_ne_bytes());
    if how & 64 != 0 && frame[23] == 1 && frame.len() >= end + 8 {
        // ICMP, and the header that an error quotes.
        if frame.len() >= end + 28 {
            let quote = end + 8;
            frame[quote] = 0x45;
            frame[quote + 10..quote + 12].fill(0);
            let sum = !(checksum::sum(&frame[quote..quote + 20], 0) as u16);
            frame[quote + 10..quote + 12].copy_from_slice(&sum.to_ne_bytes());
        }
        frame[end + 2..end + 4].fill(0);
        let sum = !(checksum::sum(&frame[end..], 0) as u16);
        frame[end + 2..end + 4].copy_from_slice(&sum.to_ne_bytes());
    }
}

/// What engine and kernel share.
type Shared = (
    &'static [Entry],
    &'static [Hop],
    &'static [Meter],
    &'static [Account],
);

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // The memory is made once and emptied after each input: it has to live as long as the process.
    static MEMORY: OnceLock<Shared> = OnceLock::new();
    let (entries, hops, meters, accounts) = *MEMORY.get_or_init(|| {
        let entries = (0..64).map(|_| Entry::default()).collect::<Vec<_>>();
        let hops = (0..16).map(|_| Hop::default()).collect::<Vec<_>>();
        let meters = (0..16).map(|_| Meter::default()).collect::<Vec<_>>();
        let accounts = (0..16).map(|_| Account::default()).collect::<Vec<_>>();
        (entries.leak(), hops.leak(), meters.leak(), accounts.leak())
    });
    let table = Table::new(entries, Seed(1, 2));
    let mut now = Time(1 << 40);
    let memory = Memory {
        table,
        hops,
        meters,
        accounts,
    };
    let mut engine = Engine::new(memory, snapshot(), now);
    let mut rest = input;
    while let [port, time, how, len, bytes @ ..] = rest {
        let (bytes, after) = bytes.split_at((*len as usize * 4).min(bytes.len()));
        rest = after;
        now = Time(now.0 + (u64::from(*time) << 28));
        let mut frame = bytes.to_vec();
        mend(&mut frame, *how);
        let offload = match how & 128 {
            0 => Offload::NONE,
            _ => Offload {
                checksum: Checksum::Partial,
                gso_size: if time & 1 == 0 {
                    0
                } else {
                    1 + u16::from(*len)
                },
            },
        };
        let input = Input {
            ifindex: PORTS[*port as usize % PORTS.len()],
            frame: &mut frame,
            offload,
        };
        engine.frame(input, now, &mut Look);
        engine.tick(now, &mut Look);
        let retired = engine.take_retired();
        engine.release(&retired);
    }
    engine.check();
    // Everything ends when its time is over, and everything is given back.
    for _ in 0..4 {
        now = Time(now.0 + 1_000_000_000_000);
        while engine.tick(now, &mut Look) <= now {}
        let retired = engine.take_retired();
        engine.release(&retired);
    }
    engine.check();
    assert_eq!(engine.stats().sessions, 0);
});
