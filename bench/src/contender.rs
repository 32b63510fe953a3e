//! Who takes part, and how each is told the same rules.

use crate::flows::CLIENTS;
use crate::site::{CLIENT, OUTER, SERVER};
use lab::Host;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The kernel forwards, without NAT.
    Plain,
    /// The kernel with nftables: masquerade, DNAT by a map, conntrack.
    Nftables,
    /// The kernel with iptables: the same with a rule for each DNAT entry.
    Iptables,
    /// Sluice at TC.
    Tc,
    /// Sluice at XDP.
    Xdp,
    /// A redirect at TC without a look at the packet: the limit.
    RedirectTc,
    /// The same at XDP.
    RedirectXdp,
    /// Each packet at TC handed to user space and sent on from there, without a decision: the limit for first packets.
    PuntTc,
    /// The same at XDP.
    PuntXdp,
}

impl Contender {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Contender::Plain => "plain",
            Contender::Nftables => "nftables",
            Contender::Iptables => "iptables",
            Contender::Tc => "sluice tc",
            Contender::Xdp => "sluice xdp",
            Contender::RedirectTc => "redirect tc",
            Contender::RedirectXdp => "redirect xdp",
            Contender::PuntTc => "bare punt tc",
            Contender::PuntXdp => "bare punt xdp",
        }
    }

    /// Whether it keeps sessions.
    pub const fn has_sessions(self) -> bool {
        matches!(
            self,
            Contender::Nftables | Contender::Iptables | Contender::Tc | Contender::Xdp
        )
    }

    /// Whether it is ours.
    pub const fn is_sluice(self) -> bool {
        matches!(self, Contender::Tc | Contender::Xdp)
    }
}

/// How many EIPs there are: the most that an SNAT entry takes.
const EIPS: u32 = 64;

/// What a gateway is told: what leaves is translated, and there are DNAT entries.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Sessions that there must be room for.
    pub sessions: u32,
    /// How many UDP ports are DNAT entries.
    pub dnat: u32,
    /// Only for Sluice.
    pub firewall: Firewall,
}

/// A NAT firewall, none of whose policies matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// There is none.
    Off,
    /// So many policies for addresses and ports: the first packet decides.
    Addresses(u32),
    /// So many policies for domain names: each session says its own before it is decided.
    Names(u32),
}

/// An EIP.
fn eip(n: u32) -> Ipv4Addr {
    (0xcb00_7140 + n % EIPS).into()
}

impl Rules {
    /// A DNAT entry: address and port outside, and inside, where the client stands in front of many hosts. The port is
    /// the same.
    pub fn entry(n: u32) -> [(Ipv4Addr, u16); 2] {
        let port = 2000 + (n / EIPS) as u16;
        [(eip(n), port), ((0x0a01_0100 + n % EIPS).into(), port)]
    }

    /// Sluice's configuration, with the client behind an interface that exists.
    pub fn sluice(&self, name: &str, contender: Contender, inside: &str, outside: &str) -> String {
        self.file(
            name,
            contender,
            outside,
            &format!("device = \"{inside}\"\nhosts = [\"{CLIENTS}\"]\n"),
        )
    }

    /// Sluice's configuration, with more lines for the client.
    pub fn file(&self, name: &str, contender: Contender, outside: &str, client: &str) -> String {
        let hook = match contender {
            Contender::Xdp => "xdp",
            _ => "tc",
        };
        let mut text = format!(
            r#"
[system]
name = "{name}"
hook = "{hook}"
max_sessions = {}

[[uplink]]
id = "wan"
device = "{outside}"
address = "{OUTER}/24"
gateway = "{SERVER}"
pool = ["198.19.0.0/16"]

[[vpc]]
id = "vpc"
cidr = "10.0.0.0/8"

[[vswitch]]
id = "vsw"
vpc = "vpc"
cidr = "10.0.0.0/16"

[[security_group]]
id = "sg"
vpc = "vpc"
rule = [{{ direction = "ingress", cidr = "0.0.0.0/0" }}]

[[instance]]
id = "client"
vswitch = "vsw"
address = "{CLIENT}"
security_groups = ["sg"]
{client}"#,
            self.sessions
        );
        let mut names = String::new();
        for n in 0..EIPS {
            let _ = write!(text, "\n[[eip]]\nid = \"e{n}\"\naddress = \"{}\"\n", eip(n));
            let _ = write!(names, "\"e{n}\", ");
        }
        let entries: String = (0..self.dnat).map(Rules::entry_text).collect();
        let _ = write!(
            text,
            "\n[[nat_gateway]]\nid = \"ngw\"\nvpc = \"vpc\"\neips = [{names}]\n\
             timeouts = {{ udp = 900 }}\n\
             snat = [{{ id = \"snat\", vpc = true, eips = [{names}] }}]\n\
             dnat = [\n{entries}]\n"
        );
        if self.firewall != Firewall::Off {
            text += "\n[records]\nenabled = false\n\n[[nat_firewall]]\nid = \"fw\"\nnat_gateway = \"ngw\"\n";
        }
        match self.firewall {
            Firewall::Off => {}
            Firewall::Addresses(policies) => text.extend((0..policies).map(Rules::policy_text)),
            Firewall::Names(policies) => text.extend((0..policies).map(Rules::name_text)),
        }
        text
    }

    /// Sluice's configuration with a DNAT entry more.
    pub fn with_another(&self, config: &str) -> String {
        let entries = "dnat = [\n";
        config.replacen(
            entries,
            &(entries.to_owned() + &Rules::entry_text(self.dnat)),
            1,
        )
    }

    /// Sluice's configuration with so many policies more.
    pub fn with_policies(config: &str, policies: u32) -> String {
        let policies = (0..policies).map(Rules::policy_text);
        policies.fold(config.to_owned(), |text, policy| text + &policy)
    }

    /// A DNAT entry in Sluice's configuration, short, for there may be many.
    fn entry_text(n: u32) -> String {
        let [(_, outside), (host, _)] = Rules::entry(n);
        format!(
            "{{eip=\"e{}\",protocol=\"udp\",external_port={outside},internal=\"{host}\"}},\n",
            n % EIPS
        )
    }

    /// A policy that no flow matches, short, for there may be many.
    fn policy_text(n: u32) -> String {
        let to: Ipv4Addr = (0xac10_0000 + n).into();
        let port = 1 + n % 60_000;
        format!(
            "[[policy]]\nfirewall=\"ngw\"\ndestination=\"{to}\"\nprotocol=\"udp\"\nports={port}\naction=\"drop\"\n"
        )
    }

    /// A policy for a name that no flow has.
    fn name_text(n: u32) -> String {
        format!(
            "[[policy]]\nfirewall=\"ngw\"\nprotocol=\"tcp\"\ndomain=\"*.n{n}.example\"\naction=\"drop\"\n"
        )
    }

    /// Tells the kernel of a gateway's host.
    pub fn kernel(&self, contender: Contender, gateway: &Host, outside: &str) {
        if contender == Contender::Plain {
            return;
        }
        for n in 0..EIPS {
            gateway.address(outside, &format!("{}/32", eip(n)));
        }
        match contender {
            Contender::Nftables => {
                let path = gateway.write("rules.nft", self.nftables(outside));
                gateway.ok(&format!("nft -f {}", path.display()));
            }
            _ => {
                let path = gateway.write("rules.ipt", self.iptables(outside));
                gateway.ok(&format!("iptables-restore {}", path.display()));
            }
        }
        for kind in ["udp_timeout", "udp_timeout_stream"] {
            gateway.sysctl(&format!("net.netfilter.nf_conntrack_{kind}"), "900");
        }
    }

    fn nftables(&self, outside: &str) -> String {
        let mut elements = String::new();
        for n in 0..self.dnat {
            let [(eip, port), (host, inside)] = Rules::entry(n);
            let _ = writeln!(elements, "{eip} . {port} : {host} . {inside},");
        }
        let elements = match self.dnat {
            0 => String::new(),
            _ => format!("elements = {{ {elements} }}"),
        };
        format!(
            "table ip nat {{
                map entries {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; {elements} }}
                chain pre {{
                    type nat hook prerouting priority dstnat;
                    iifname {outside} dnat ip to ip daddr . udp dport map @entries
                }}
                chain post {{
                    type nat hook postrouting priority srcnat;
                    oifname {outside} masquerade
                }}
            }}"
        )
    }

    fn iptables(&self, outside: &str) -> String {
        let mut text = "*nat\n".to_owned();
        for n in 0..self.dnat {
            let [(eip, port), (host, inside)] = Rules::entry(n);
            let _ = writeln!(
                text,
                "-A PREROUTING -i {outside} -d {eip} -p udp --dport {port} -j DNAT --to {host}:{inside}"
            );
        }
        let _ = writeln!(text, "-A POSTROUTING -o {outside} -j MASQUERADE\nCOMMIT");
        text
    }
}
