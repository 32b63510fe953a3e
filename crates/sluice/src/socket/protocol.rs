//! What is said over the control socket.

use crate::target::Host;
use engine::{BandwidthView, DropView, EipView, FirewallView, SessionView, TraceView};
use model::App;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The longest request in bytes, its line end included: a configuration of the largest size, escaped.
pub const MAX_REQUEST: usize = 2 * crate::state::MAX_CONFIG as usize;

/// The longest response in bytes, its line end included.
pub const MAX_RESPONSE: usize = 64 << 20;

/// Sessions in one [`Response::Sessions`] at most.
pub const PAGE: usize = 1_000;

/// The most sessions that a sorted list can have: the gateway must hold that many at once.
pub const MAX_SORTED: usize = 10_000;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who is there. Answer: [`Response::Version`].
    Version,
    /// Change the configuration to this one, all of it or nothing. Answer: [`Response::Applied`].
    Apply {
        /// The text of the file.
        text: String,
        /// Only say what would change.
        #[serde(default)]
        check: bool,
    },
    /// List sessions. Answer: [`Response::Sessions`], any number of times, then
    /// [`Response::SessionsEnd`].
    Sessions(SessionQuery),
    /// List the interfaces. Answer: [`Response::Ports`].
    Ports,
    /// The counters. Answer: [`Response::Stats`].
    Stats,
    /// What would happen to a packet. Answer: [`Response::Trace`].
    Trace(TraceQuery),
    /// Where records of sessions are, and what has become of them. Answer: [`Response::Records`].
    Records,
    /// What firewalls go by beside policies. Answer: [`Response::Intel`].
    Intel {
        /// Fetch this threat list now, or all if it is empty.
        #[serde(default)]
        refresh: Option<String>,
    },
    /// Ask the name servers for a name now. Answer: [`Response::Resolved`].
    Resolve {
        /// The name.
        name: String,
    },
    /// An operation of the cloud API. Answer: [`Response::Answer`].
    Call {
        /// The version of its product.
        version: String,
        /// Its name.
        action: String,
        /// Its parameters; `RegionId` may be left out.
        params: Vec<(String, String)>,
    },
    /// The configuration as a file. Answer: [`Response::Exported`].
    Export,
    /// Copy the database. Answer: [`Response::BackedUp`].
    Backup {
        /// Where to: an absolute path.
        path: PathBuf,
    },
    /// The network namespace of an instance. Answer: [`Response::Namespace`].
    Namespace {
        /// The instance's identifier.
        instance: String,
    },
}

/// Which sessions. A session is listed if it meets all conditions that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionQuery {
    /// Of this network interface or instance.
    pub eni: Option<String>,
    /// Through this NAT gateway.
    pub gateway: Option<String>,
    /// Of this protocol, by number.
    pub protocol: Option<u8>,
    /// With this address at either end, before or after translation.
    pub address: Option<Ipv4Addr>,
    /// At most so many; `None`: all.
    pub limit: Option<usize>,
    /// In this order, the greatest first. Needs a limit of [`MAX_SORTED`] at most.
    pub sort: Option<Sort>,
}

/// An order of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// By bytes, both directions together.
    Bytes,
    /// By age.
    Age,
    /// By the time since the last packet.
    Idle,
}

impl Sort {
    /// What the order goes by.
    pub fn key(self, session: &SessionView) -> u64 {
        match self {
            Sort::Bytes => session.bytes_out.saturating_add(session.bytes_in),
            Sort::Age => session.age,
            Sort::Idle => session.idle,
        }
    }
}

/// A packet to trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceQuery {
    /// An instance or a network interface by name, or an address of the Internet.
    pub from: Host,
    /// Source port; `None`: any.
    #[serde(default)]
    pub from_port: Option<u16>,
    /// An address, or the EIP, the instance or the interface that has it.
    pub to: Host,
    /// Destination port; `None` for protocols without ports.
    #[serde(default)]
    pub to_port: Option<u16>,
    /// The IP protocol's number.
    pub protocol: u8,
    /// What it would turn out to speak.
    #[serde(default)]
    pub app: Option<App>,
    /// The domain that it would turn out to be for.
    #[serde(default)]
    pub domain: Option<String>,
}

/// What the gateway answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// It did not do what was asked.
    Error {
        /// Why, and what would be right.
        message: String,
    },
    /// Who is there.
    Version(VersionView),
    /// The configuration has changed, and a crash does not undo it.
    Applied(Applied),
    /// Some sessions; more may follow.
    Sessions {
        /// [`PAGE`] at most.
        sessions: Vec<SessionView>,
    },
    /// There are no more sessions to come.
    SessionsEnd(SessionsEnd),
    /// The interfaces.
    Ports {
        /// In the order of the configuration.
        ports: Vec<PortView>,
    },
    /// The counters.
    Stats(Box<StatsReport>),
    /// What would happen to the packet.
    Trace(TraceView),
    /// Records of sessions.
    Records(RecordsView),
    /// What firewalls go by beside policies.
    Intel(Box<IntelView>),
    /// What the name stands for.
    Resolved(NameView),
    /// What the operation has answered.
    Answer {
        /// Its fields.
        answer: serde_json::Map<String, serde_json::Value>,
    },
    /// The configuration.
    Exported {
        /// The text of the file.
        text: String,
    },
    /// The database is copied.
    BackedUp {
        /// How large the copy is.
        bytes: u64,
    },
    /// Where the instance runs.
    Namespace {
        /// The namespace's name under `/run/netns`.
        namespace: String,
    },
}

/// A running gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
}

/// What a change of the configuration did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Whether it was only checked.
    pub check: bool,
    /// What is different, by kind of resource; kinds without a difference are left out.
    pub changes: Vec<Change>,
    /// What one must know about it, in sentences.
    pub notes: Vec<String>,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// What is different in one kind of resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The kind.
    pub kind: String,
    /// Identifiers that are new.
    pub added: Vec<String>,
    /// Identifiers that are gone.
    pub removed: Vec<String>,
    /// Identifiers of resources that are not what they were.
    pub changed: Vec<String>,
}

/// The end of a list of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsEnd {
    /// How many sessions were listed.
    pub listed: u64,
    /// Whether there are more that meet the conditions.
    pub more: bool,
    /// How many sessions there are in all, whatever the conditions.
    pub live: u64,
}

/// A Linux interface of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortView {
    /// The network interface's or the uplink's identifier.
    pub id: String,
    /// `eni` or `uplink`.
    pub kind: String,
    /// The address: an instance's own, or the uplink's with its prefix.
    pub address: Option<String>,
    /// The name of the Linux interface.
    pub device: String,
    /// Its index.
    pub ifindex: u32,
    /// Its driver; empty if it names none.
    pub driver: String,
    /// Its MAC address.
    pub mac: String,
    /// The largest IP packet in bytes.
    pub mtu: u16,
    /// Where the programs are hooked in: `tc`, `xdp` or `xdpgeneric`.
    pub hook: String,
    /// Whether it is switched on and the link below works.
    pub up: bool,
    /// The network namespace of the instance, if it has one of ours.
    pub namespace: Option<String>,
    /// Packets received, as Linux counts them: what XDP redirects it leaves out.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received and dropped by the driver or for want of memory.
    pub rx_dropped: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets to be sent and dropped.
    pub tx_dropped: u64,
    /// Packets that came in and wanted a decision, and that the queue to the daemon had no room for: it was full, or
    /// this port had its share of it.
    #[serde(default)]
    pub queue_full: u64,
}

/// Counters of the whole gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsReport {
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that there can be.
    pub max_sessions: u64,
    /// Sessions opened since start.
    pub opened: u64,
    /// Sessions ended since start.
    pub closed: u64,
    /// Of these, sessions that had drained: a changed SNAT entry did not cover them any more.
    #[serde(default)]
    pub drained: u64,
    /// Sessions taken over from an earlier daemon.
    pub adopted: u64,
    /// Live sessions that had no room in the flow table.
    pub not_offloaded: u64,
    /// Packets by the way that they took.
    pub packets: PacketsView,
    /// Packets dropped, by reason, in kernel and daemon; zero counts are left out.
    pub drops: Vec<DropView>,
    /// Use of EIPs.
    pub eips: Vec<EipView>,
    /// Bandwidth limits, and what did not keep to them.
    #[serde(default)]
    pub bandwidth: Vec<BandwidthView>,
    /// Records of sessions.
    #[serde(default)]
    pub records: RecordsView,
    /// The firewalls.
    #[serde(default)]
    pub firewall: FirewallView,
}

/// Records of sessions: where they are, and what has become of them since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsView {
    /// The directory of their files, if they are written.
    pub directory: Option<PathBuf>,
    /// Records that were written.
    pub written: u64,
    /// Records that were lost since they came faster than they could be written.
    pub overrun: u64,
    /// Records that were lost since they could not be written: the disk is full, say.
    pub failed: u64,
}

/// What firewalls go by beside policies. Times are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntelView {
    /// Indicators of threats in force, those that are built in included.
    pub indicators: u64,
    /// Threat lists.
    pub feeds: Vec<FeedView>,
    /// Cloud services.
    #[serde(default)]
    pub services: Vec<ServiceView>,
    /// Names that policies look at by DNS.
    pub names: Vec<NameView>,
    /// Where addresses are, if the configuration names a file.
    pub locations: Option<LocationsView>,
}

/// A threat list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedView {
    /// Identifier.
    pub id: String,
    /// The category of what is in it.
    pub category: String,
    /// Where it comes from.
    pub location: String,
    /// Indicators in it.
    pub indicators: u64,
    /// Lines of it that could not be read.
    pub skipped: u64,
    /// When the one in force was fetched.
    pub fetched: Option<String>,
    /// Why it was not fetched the last time, if it was not.
    pub error: Option<String>,
}

/// A cloud service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// The address book that has its addresses.
    pub book: String,
    /// Where its list comes from.
    pub location: String,
    /// Networks of it.
    pub networks: u64,
    /// What should be networks and cannot be used.
    pub skipped: u64,
    /// When the list in force was fetched.
    pub fetched: Option<String>,
    /// Why it was not fetched the last time, if it was not.
    pub error: Option<String>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameView {
    /// The name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// When the last answer came.
    pub answered: Option<String>,
    /// Why there was none the last time, if there was none.
    pub error: Option<String>,
}

/// The file that says where addresses are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationsView {
    /// The file.
    pub path: PathBuf,
    /// When it was made.
    pub made: Option<String>,
    /// Why it cannot be read, if it cannot.
    pub error: Option<String>,
}

/// Packets by the way that they took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketsView {
    /// Forwarded by the kernel programs alone.
    pub kernel: u64,
    /// Left to the host, on interfaces shared with it.
    pub host: u64,
    /// Handed to the daemon by the kernel programs, by reason; zero counts are left out.
    pub punted: Vec<PuntView>,
    /// That the daemon took up.
    pub slow_path: u64,
    /// That it sent on.
    pub forwarded: u64,
    /// That were for the gateway itself, which answered or took note: ping, ARP.
    pub answered: u64,
    /// That it made itself: ARP, ICMP, resets.
    pub originated: u64,
}

/// Packets handed to the daemon for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PuntView {
    /// The reason's name.
    pub reason: String,
    /// Packets.
    pub packets: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        serde_json::from_str(line).map_err(|error| error.to_string())
    }

    #[test]
    fn requests_are_what_they_were_written_as() {
        let requests = [
            Request::Version,
            Request::Apply {
                text: "[system]\nname = \"ü\"\n".into(),
                check: true,
            },
            Request::Sessions(SessionQuery::default()),
            Request::Sessions(SessionQuery {
                eni: Some("web-1".into()),
                gateway: Some("ngw".into()),
                protocol: Some(6),
                address: Some(Ipv4Addr::new(198, 51, 100, 7)),
                limit: Some(10),
                sort: Some(Sort::Bytes),
            }),
            Request::Ports,
            Request::Stats,
            Request::Export,
            Request::Records,
            Request::Intel { refresh: None },
            Request::Resolve {
                name: "a.test".into(),
            },
            Request::Backup {
                path: "/var/backups/gw.db".into(),
            },
            Request::Trace(TraceQuery {
                from: Host::Name("web-1".into()),
                from_port: None,
                to: Host::Address(Ipv4Addr::new(198, 51, 100, 7)),
                to_port: Some(443),
                protocol: 6,
                app: Some(App::Https),
                domain: Some("www.example.com".into()),
            }),
            Request::Namespace {
                instance: "web-1".into(),
            },
        ];
        for request in requests {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(parse(&line), Ok(request), "{line}");
        }
    }

    #[test]
    fn requests_can_be_written_by_hand() {
        assert_eq!(parse(r#"{"request":"stats"}"#), Ok(Request::Stats));
        assert_eq!(
            parse(r#"{"request":"sessions","eni":"web-1","sort":"idle"}"#),
            Ok(Request::Sessions(SessionQuery {
                eni: Some("web-1".into()),
                sort: Some(Sort::Idle),
                ..SessionQuery::default()
            }))
        );
        assert_eq!(
            parse(
                r#"{"request":"trace","from":"web-1","to":"198.51.100.7","to_port":443,"protocol":6}"#
            ),
            Ok(Request::Trace(TraceQuery {
                from: Host::Name("web-1".into()),
                from_port: None,
                to: Host::Address(Ipv4Addr::new(198, 51, 100, 7)),
                to_port: Some(443),
                protocol: 6,
                app: None,
                domain: None,
            }))
        );
    }

    #[test]
    fn false_requests_say_what_is_wrong() {
        for (line, part) in [
            ("", "EOF"),
            ("stats", "expected"),
            ("{}", "request"),
            (r#"{"request":"reboot"}"#, "unknown variant `reboot`"),
            (
                r#"{"request":"sessions","enni":"web-1"}"#,
                "unknown field `enni`",
            ),
            (r#"{"request":"sessions","protocol":256}"#, "256"),
            (r#"{"request":"sessions","limit":-1}"#, "-1"),
            (r#"{"request":"sessions","address":"1.2.3"}"#, "address"),
            (r#"{"request":"apply"}"#, "missing field `text`"),
            (r#"{"request":"apply","text":1}"#, "string"),
            (
                r#"{"request":"trace","from":"","to":"a","protocol":6}"#,
                "missing",
            ),
            (r#"{"request":"stats"} {"request":"stats"}"#, "trailing"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
        // Nesting beyond reason ends in an error, not in a stack overflow.
        let deep = "[".repeat(1 << 20);
        assert!(parse(&deep).is_err());
        assert!(parse(&format!(r#"{{"request":"apply","text":{deep}"#)).is_err());
    }

    #[test]
    fn responses_are_what_they_were_written_as() {
        for response in [
            Response::Error {
                message: "line 3: no".into(),
            },
            Response::Stats(Box::default()),
            Response::Sessions { sessions: vec![] },
            Response::SessionsEnd(SessionsEnd {
                listed: 1,
                more: true,
                live: 3,
            }),
            Response::Applied(Applied {
                check: false,
                changes: vec![Change {
                    kind: "EIP".into(),
                    added: vec!["eip-1".into()],
                    ..Change::default()
                }],
                notes: vec![],
                micros: 12,
            }),
        ] {
            let line = serde_json::to_string(&response).unwrap();
            assert_eq!(serde_json::from_str::<Response>(&line).unwrap(), response);
        }
    }
}
