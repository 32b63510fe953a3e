//! Where most tests take place.

use crate::config::{EIPS, GATEWAY, GROUP, INSTANCES, NETWORK, SNAT};
use crate::gateway::Gateway;
use crate::host::{Host, Lab};

/// A gateway's host, its uplink, and an Internet behind a router.
///
/// ```text
///    gw ── wan (203.0.113.2/24) ──── up (203.0.113.1/24) ── router ── lan (198.51.100.1/24)
///                                                                      ├── server 198.51.100.10, .11
///                                                                      ├── client 198.51.100.20
///                                                                      └── other  198.51.100.21
/// ```
#[derive(Debug)]
pub struct Site<'a> {
    lab: &'a Lab,
    hook: String,
    /// Where the gateway runs.
    pub gw: Host,
    /// The gateway's next router.
    pub router: Host,
    /// Where instances go to.
    pub server: Host,
    /// Who comes to instances.
    pub client: Host,
    /// Somebody else.
    pub other: Host,
}

/// The server's first address.
pub const SERVER: &str = "198.51.100.10";
/// The server's second address.
pub const SERVER_2: &str = "198.51.100.11";
/// The client's address.
pub const CLIENT: &str = "198.51.100.20";
/// The address of somebody else.
pub const OTHER: &str = "198.51.100.21";

impl<'a> Site<'a> {
    /// Builds it, for a gateway that hooks in at `tc`, `xdp` or `auto`.
    pub fn new(lab: &'a Lab, hook: &str) -> Site<'a> {
        let [gw, router, server, client, other] =
            ["gw", "router", "server", "client", "other"].map(|name| lab.host(name));
        router.forward();
        lab.link((&gw, "wan", ""), (&router, "up", "203.0.113.1/24"));
        if hook == "xdp" {
            router.face_xdp("up");
        }
        router.ip("link add lan type bridge");
        router.ip("link set dev lan up");
        router.address("lan", "198.51.100.1/24");
        let hosts = [
            (&server, &[SERVER, SERVER_2][..]),
            (&client, &[CLIENT]),
            (&other, &[OTHER]),
        ];
        for (host, addresses) in hosts {
            lab.link((&router, host.name(), ""), (host, "eth0", ""));
            router.ip(&format!("link set dev {} master lan", host.name()));
            for address in addresses {
                host.address("eth0", &format!("{address}/24"));
            }
            host.default_route("198.51.100.1");
        }
        Site {
            lab,
            hook: hook.into(),
            gw,
            router,
            server,
            client,
            other,
        }
    }

    /// The beginning of a configuration: the program's settings, and the uplink `wan`.
    pub fn system(&self) -> String {
        format!(
            r#"
[system]
name = "{}"
hook = "{}"
max_sessions = 65536

[[uplink]]
id = "wan"
device = "wan"
address = "203.0.113.2/24"
gateway = "203.0.113.1"
"#,
            self.lab.name(),
            self.hook
        )
    }

    /// A configuration with everything but entries of the NAT gateway: [`Site::system`] and what is in
    /// [`config`](crate::config).
    pub fn no_nat(&self) -> String {
        self.system() + NETWORK + GROUP + INSTANCES + EIPS + GATEWAY
    }

    /// A configuration of which the whole VPC goes out as `eip-1`. DNAT entries may follow.
    pub fn standard(&self) -> String {
        self.no_nat() + SNAT
    }

    /// Starts the gateway.
    #[track_caller]
    pub fn gateway(&self, config: &str) -> Gateway<'a> {
        Gateway::start(self.lab, &self.gw, config)
    }
}
