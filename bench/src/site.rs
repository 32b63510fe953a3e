//! Where a contender works: a gateway between a client and a server, the same for each, link addresses included.
//!
//! ```text
//!   client ── bcN ──── biN ── gateway ── boN ──── bsN ── server
//!        10.0.0.10      10.0.255.252   203.0.113.2     203.0.113.1
//! ```
//!
//! The gateway's ends have threaded NAPI on CPU 1, where nothing else of the rig runs; the outer ends have a sink on
//! CPU 0, as the generator.

use crate::contender::{Contender, Rules};
use crate::machine;
use crate::programs::{self, Sink};
use crate::punt::Punt;
use crate::race::TWIN;
use crate::sys::{Kind, Link, Program};
use lab::{Gateway, Host, Lab};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// The CPU of the generator and the sink.
pub const OUTSIDE: usize = 0;
/// The CPU of the gateway.
pub const INSIDE: usize = 1;

/// The client's own address.
pub const CLIENT: &str = "10.0.0.10";
/// The gateway's address that the client sees.
pub const INNER: &str = "10.0.255.252";
/// The gateway's address at the uplink.
pub const OUTER: &str = "203.0.113.2";
/// The server's address, the gateway's next router.
pub const SERVER: &str = "203.0.113.1";

/// Link addresses of the client's, the gateway's two, and the server's end.
const MACS: [[u8; 6]; 4] = [
    [2, 0, 0, 0, 0x0b, 1],
    [2, 0, 0, 0, 0x0b, 2],
    [2, 0, 0, 0, 0x0b, 3],
    [2, 0, 0, 0, 0x0b, 4],
];

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Out,
    /// From the server to the client.
    In,
}

impl Way {
    /// Destination and source of the frames that are sent to the gateway.
    pub fn macs(self) -> ([u8; 6], [u8; 6]) {
        match self {
            Way::Out => (MACS[1], MACS[0]),
            Way::In => (MACS[2], MACS[3]),
        }
    }
}

/// An outer end: a host's interface with a sink on it.
#[derive(Debug)]
pub struct End {
    /// The host.
    pub host: Host,
    /// Its interface.
    pub ifindex: u32,
    /// What counts and drops what comes out of the gateway.
    pub sink: Sink,
    _link: Link,
}

/// A contender's gateway with its client and server.
#[derive(Debug)]
pub struct Site<'a> {
    /// Who it is.
    pub contender: Contender,
    /// What it is called in tables: unlike that of its twin.
    pub name: String,
    lab: &'a Lab,
    /// The gateway's host.
    pub gateway: Host,
    client: End,
    server: End,
    /// Processes whose CPU time is the gateway's: the NAPI threads.
    napi: Vec<i32>,
    sluice: RefCell<Option<Gateway<'a>>>,
    punt: Option<Punt>,
    _redirect: Option<(Program, Link)>,
}

/// What a gateway has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// CPU time, in nanoseconds, of the kernel's threads of the gateway.
    pub kernel: u64,
    /// The same of its daemon, or what stands for one.
    pub daemon: u64,
    /// Packets that came out of it.
    pub packets: u64,
    /// Packets that it sent and nobody received, since a queue was full.
    pub lost: u64,
}

impl std::ops::Sub for Count {
    type Output = Count;
    fn sub(self, before: Count) -> Count {
        Count {
            kernel: self.kernel - before.kernel,
            daemon: self.daemon - before.daemon,
            packets: self.packets - before.packets,
            lost: self.lost - before.lost,
        }
    }
}

impl Count {
    /// All CPU time by packet.
    pub fn each(&self) -> f64 {
        (self.kernel + self.daemon) as f64 / self.packets.max(1) as f64
    }
}

impl<'a> Site<'a> {
    /// Builds one in each lab. A contender that takes part twice is its own twin.
    pub fn all(labs: &'a [Lab], contenders: &[Contender], rules: &Rules) -> Vec<Site<'a>> {
        let mut sites: Vec<Site> = Vec::new();
        for (lab, &contender) in labs.iter().zip(contenders) {
            let twin = sites.iter().any(|site| site.contender == contender);
            let name = contender.name().to_owned() + if twin { TWIN } else { "" };
            sites.push(Site::new(lab, contender, &name, rules));
        }
        sites
    }

    /// Builds it and starts the contender.
    pub fn new(lab: &'a Lab, contender: Contender, name: &str, rules: &Rules) -> Site<'a> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed) % 1000;
        let [client, gateway, server] = ["client", "gw", "server"].map(|name| lab.host(name));
        let device = |letter: char| format!("b{letter}{number}");
        let [bc, bi, bo, bs] = ['c', 'i', 'o', 's'].map(device);
        lab.link((&client, &bc, ""), (&gateway, &bi, ""));
        lab.link((&gateway, &bo, ""), (&server, &bs, ""));
        for (host, device, mac) in [
            (&client, &bc, MACS[0]),
            (&gateway, &bi, MACS[1]),
            (&gateway, &bo, MACS[2]),
            (&server, &bs, MACS[3]),
        ] {
            host.ip(&format!("link set dev {device} address {}", text(mac)));
            machine::quiet(host, device);
        }
        client.address(&bc, &format!("{CLIENT}/16"));
        server.address(&bs, &format!("{SERVER}/24"));
        // With GRO a veth receives by NAPI, what comes from a packet socket only if the sender cannot segment.
        for device in [&bi, &bo] {
            gateway.ok(&format!("ethtool -K {device} gro on"));
        }
        for (host, device) in [(&client, &bc), (&server, &bs)] {
            host.ok(&format!("ethtool -K {device} tso off"));
        }
        let end = |host: &Host, device: &str| {
            let sink = Sink::new().expect("the sink's program");
            let (ifindex, link) = host.inside(|| {
                let ifindex = machine::ifindex(device);
                (ifindex, sink.program.attach(ifindex).expect("an XDP link"))
            });
            End {
                host: host.clone(),
                ifindex,
                sink,
                _link: link,
            }
        };
        let [client, server] = [(&client, &bc), (&server, &bs)].map(|(host, dev)| end(host, dev));
        for (host, device, cpu) in [
            (&client.host, &bc, OUTSIDE),
            (&gateway, &bi, INSIDE),
            (&gateway, &bo, INSIDE),
            (&server.host, &bs, OUTSIDE),
        ] {
            machine::threaded(host, device, cpu);
        }
        let mut site = Site {
            contender,
            name: name.into(),
            lab,
            gateway,
            client,
            server,
            napi: Vec::new(),
            sluice: RefCell::new(None),
            punt: None,
            _redirect: None,
        };
        site.start([&bi, &bo], rules);
        site.napi = [&bi, &bo]
            .iter()
            .flat_map(|device| machine::napi(device))
            .collect();
        site
    }

    fn start(&mut self, [bi, bo]: [&str; 2], rules: &Rules) {
        let kind = match self.contender {
            Contender::Tc | Contender::Xdp => {
                let config = rules.sluice(self.lab.name(), self.contender, bi, bo);
                let gateway = Gateway::start(self.lab, &self.gateway, &config);
                machine::pin_all(gateway.pid(), INSIDE);
                *self.sluice.borrow_mut() = Some(gateway);
                return;
            }
            Contender::RedirectTc => Kind::Tc,
            Contender::RedirectXdp => Kind::Xdp,
            Contender::PuntTc => return self.punt(Kind::Tc, bi, bo),
            Contender::PuntXdp => return self.punt(Kind::Xdp, bi, bo),
            Contender::Plain | Contender::Nftables | Contender::Iptables => {
                self.stack(bi, bo);
                rules.kernel(self.contender, &self.gateway, bo);
                return;
            }
        };
        self._redirect = Some(self.gateway.inside(|| {
            let program = programs::redirect(kind, machine::ifindex(bo)).expect("a redirect");
            let link = program.attach(machine::ifindex(bi)).expect("a link");
            (program, link)
        }));
    }

    /// Lets packets be handed to user space and sent on to the server.
    fn punt(&mut self, kind: Kind, bi: &str, bo: &str) {
        let macs = [MACS[3], MACS[2]];
        let punt = Punt::start(&self.gateway, kind, [bi, bo], macs);
        self.punt = Some(punt.expect("a bare punt"));
    }

    /// Lets the kernel's own network stack forward.
    fn stack(&self, bi: &str, bo: &str) {
        let gateway = &self.gateway;
        gateway.address(bi, &format!("{INNER}/16"));
        gateway.address(bo, &format!("{OUTER}/24"));
        gateway.forward();
        gateway.ip(&format!("route add {} via {CLIENT}", crate::flows::CLIENTS));
        gateway.default_route(SERVER);
        for (address, mac, device) in [(CLIENT, MACS[0], bi), (SERVER, MACS[3], bo)] {
            let mac = text(mac);
            gateway.ip(&format!(
                "neigh replace {address} lladdr {mac} dev {device} nud permanent"
            ));
        }
    }

    /// The end that packets of this way come from.
    pub fn from(&self, way: Way) -> &End {
        match way {
            Way::Out => &self.client,
            Way::In => &self.server,
        }
    }

    /// The end that packets of this way come to.
    pub fn to(&self, way: Way) -> &End {
        match way {
            Way::Out => &self.server,
            Way::In => &self.client,
        }
    }

    /// What it has done so far.
    pub fn count(&self, way: Way) -> Count {
        let time = |pid: &i32| machine::cpu_time(*pid);
        let sluice = self.sluice.borrow();
        let daemon = match &self.punt {
            Some(punt) => punt.cpu_time(),
            None => sluice
                .as_ref()
                .map_or(0, |gateway| machine::cpu_time(gateway.pid() as i32)),
        };
        Count {
            kernel: self.napi.iter().map(time).sum(),
            daemon,
            packets: self.to(way).sink.packets(),
            lost: machine::tx_dropped(&self.gateway),
        }
    }

    /// Works with the gateway, which must be Sluice.
    pub fn sluice<R>(&self, work: impl FnOnce(&mut Gateway<'a>) -> R) -> R {
        work(self.sluice.borrow_mut().as_mut().expect("it is Sluice"))
    }

    /// How many sessions it has. Contenders that have none have 0.
    pub fn sessions(&self) -> u64 {
        match self.contender {
            Contender::Tc | Contender::Xdp => self.sluice(|gateway| gateway.stats().sessions),
            Contender::Nftables | Contender::Iptables => {
                const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
                let text = self.gateway.inside(|| std::fs::read_to_string(COUNT));
                text.ok()
                    .and_then(|text| text.trim().parse().ok())
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// Waits a moment, for what was sent to arrive.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(10));
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
