//! Where real programs talk through a contender: as a [`Site`](crate::site::Site), with nothing on the outer ends but
//! the kernel's stack. Sluice makes the client's namespace, as it does for instances.

use crate::contender::{Contender, Firewall, Rules};
use crate::race::TWIN;
use crate::site::{CLIENT, INNER, OUTER, SERVER};
use lab::{Gateway, Host, Lab};

/// A contender's gateway between a client and a server.
#[derive(Debug)]
pub struct Road<'a> {
    /// What it is called.
    pub name: String,
    /// Who asks.
    pub client: Host,
    /// Who answers, at [`SERVER`].
    pub server: Host,
    _sluice: Option<Gateway<'a>>,
}

impl<'a> Road<'a> {
    /// Builds one in each lab. A contender that takes part twice is its own twin.
    pub fn all(labs: &'a [Lab], contenders: &[Contender]) -> Vec<Road<'a>> {
        let mut roads: Vec<Road> = Vec::new();
        for (lab, &contender) in labs.iter().zip(contenders) {
            let twin = roads.iter().any(|road| road.name == contender.name());
            let name = contender.name().to_owned() + if twin { TWIN } else { "" };
            roads.push(Road::new(lab, contender, name, Firewall::Off));
        }
        roads
    }

    /// Builds one.
    pub fn new(lab: &'a Lab, contender: Contender, name: String, firewall: Firewall) -> Road<'a> {
        let rules = Rules {
            sessions: 1 << 18,
            dnat: 0,
            firewall,
        };
        let [gateway, server] = ["gw", "server"].map(|name| lab.host(name));
        lab.link((&gateway, "out", ""), (&server, "eth0", ""));
        server.address("eth0", &format!("{SERVER}/24"));
        server.ip(&format!("route add 10.0.0.0/8 via {OUTER}"));
        if contender == Contender::Xdp {
            server.face_xdp("eth0");
        }
        let sluice = contender.is_sluice().then(|| {
            let config = rules.file(lab.name(), contender, "out", "");
            Gateway::start(lab, &gateway, &config)
        });
        let client = match &sluice {
            Some(sluice) => sluice.instance("client"),
            None => {
                let client = lab.host("client");
                lab.link((&client, "eth0", ""), (&gateway, "in", ""));
                client.address("eth0", &format!("{CLIENT}/16"));
                client.default_route(INNER);
                gateway.address("in", &format!("{INNER}/16"));
                gateway.address("out", &format!("{OUTER}/24"));
                gateway.forward();
                rules.kernel(contender, &gateway, "out");
                client
            }
        };
        // A client that opens many connections to one server.
        client.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
        client.ok(&format!("ping -c 1 -W 5 {SERVER}"));
        Road {
            name,
            client,
            server,
            _sluice: sluice,
        }
    }
}
