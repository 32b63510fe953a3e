//! What is put down of a session: one record says what elsewhere takes a join of three logs.

use crate::view::TupleView;
use model::{App, ControlPolicy, Id, NameCheck, PolicyAction, ThreatAction};
use serde::{Serialize, Serializer};
use std::net::IpAddr;
use std::sync::Arc;

/// A session, or a first packet that was refused. Names are shared: making one costs no copies of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Why it is told of.
    pub kind: RecordKind,
    /// IP protocol.
    pub protocol: u8,
    /// `out`, `in`, `hairpin` or `local`.
    pub direction: &'static str,
    /// The tuple as the opener sends it: of what goes out the private one.
    pub original: TupleView,
    /// The tuple as the receiver gets it: of what goes out the public one.
    pub translated: TupleView,
    /// Where in the cloud it belongs, if that is known: a packet to an EIP that nothing takes belongs nowhere.
    #[serde(flatten)]
    pub place: Option<Arc<Place>>,
    /// The NAT gateway, if one took part.
    pub gateway: Option<Arc<str>>,
    /// The EIP that it went out or came in by.
    pub eip: Option<Arc<str>>,
    /// What decided its translation.
    pub entry: Option<RecordEntry>,
    /// What it speaks, if that was found out.
    pub app: Option<App>,
    /// The domain that it is for, if it told one.
    pub domain: Option<Arc<str>>,
    /// How application and domain were found out.
    pub identified: Option<Identified>,
    /// How far finding them out has come.
    pub state: AppState,
    /// Why they were not found out, if that was given up.
    pub unknown: Option<Unknown>,
    /// The name that it is for is hidden (ECH): the domain is the outer one.
    pub hidden: bool,
    /// What else it has told.
    pub details: Option<Arc<Details>>,
    /// What each firewall that it met says, in the order in which they are asked.
    pub firewalls: Vec<FirewallRecord>,
    /// What became of it.
    pub result: RecordResult,
    /// Packets from the opener, since the start; of what was refused at once, the packet that was dropped.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets to the opener, since the start.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// When it began, in seconds since 1970 UTC.
    pub start: u64,
    /// When it ended, or now if it goes on.
    pub end: u64,
    /// Why it ended, if it has.
    pub close: Option<CloseReason>,
}

/// Why a session is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// It has ended.
    Ended,
    /// It goes on; told of each minute.
    Ongoing,
    /// Its first packet was refused: there is no session.
    Refused,
}

/// Where a session belongs: of what goes out its opener, of what comes in its receiver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The VPC.
    pub vpc: Id,
    /// The vSwitch.
    pub vswitch: Id,
    /// The network interface.
    pub eni: Id,
    /// The instance that it belongs to.
    pub instance: Id,
}

/// What decided a translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum RecordEntry {
    /// An SNAT entry.
    Snat(Arc<str>),
    /// A DNAT entry.
    Dnat(Arc<str>),
    /// An EIP that is bound one to one.
    Eip(Arc<str>),
}

/// How application and domain were found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Identified {
    /// By what the session said.
    Payload,
    /// By the session that it belongs to (the data connection of an FTP session).
    Related,
}

/// How far finding out application and domain has come; the words are the cloud's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// Nobody has asked.
    #[default]
    None,
    /// It was refused before it came to that.
    PolicyDiscard,
    /// The handshake of TCP is not complete.
    TcpNotEstablish,
    /// Nothing was said yet.
    NoPayload,
    /// What was said does not suffice yet.
    Analysing,
    /// It was given up, and what was asked for it is allowed.
    UnknownLoose,
    /// It was given up, and the policies that ask for it were skipped.
    UnknownStrict,
    /// Both are known.
    Success,
}

/// Why it was given up to find out what a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Nothing was said, nor was the connection opened.
    NoPayload,
    /// The connection was opened, and nothing was said.
    HandshakeOnly,
    /// It is nothing that is known.
    NotRecognised,
    /// Only one end was heard, and that does not suffice.
    OneSideOnly,
    /// Its beginning went by unseen.
    Midstream,
    /// Too many others were to be found out at once.
    TooMany,
    /// It was to be found out when the daemon was started again: its beginning was seen by the earlier one only.
    Restart,
}

impl From<inspect::Unknown> for Unknown {
    fn from(why: inspect::Unknown) -> Unknown {
        match why {
            inspect::Unknown::NoPayload => Unknown::NoPayload,
            inspect::Unknown::HandshakeOnly => Unknown::HandshakeOnly,
            inspect::Unknown::NotRecognised => Unknown::NotRecognised,
            inspect::Unknown::OneSideOnly => Unknown::OneSideOnly,
            inspect::Unknown::Midstream => Unknown::Midstream,
        }
    }
}

/// What a session has told besides. Each text is bounded to 255 bytes and can be shown as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Of HTTP method and path.
    pub request: Option<Arc<str>>,
    /// What was given instead of a domain, mostly an address.
    pub host: Option<Arc<str>>,
    /// Of TLS and QUIC the first protocol that the client offers.
    pub alpn: Option<Arc<str>>,
    /// Of TLS and QUIC the version.
    pub version: Option<Arc<str>>,
    /// The names in the server's certificate, at most 8.
    pub certificate: Vec<Arc<str>>,
    /// Of DNS the code of the last answer: 0 if there is no error, 3 if there is no such name.
    pub code: Option<u8>,
    /// Of DNS the addresses in the last answer, at most 8.
    pub answers: Vec<IpAddr>,
}

/// A firewall on a session's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FirewallKind {
    /// The Internet border, on the way out.
    BorderOut,
    /// A NAT firewall, on the way out.
    Nat,
    /// The DNS firewall.
    Dns,
    /// The Internet border, on the way in.
    BorderIn,
    /// A NAT firewall, on the way in.
    NatIn,
}

/// What a firewall says about a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirewallRecord {
    /// Which one.
    pub kind: FirewallKind,
    /// Its identifier, of NAT firewalls.
    pub firewall: Option<Arc<str>>,
    /// What it does.
    pub action: PolicyAction,
    /// What decided.
    pub by: DecidedBy,
    /// The policy that decided or, if the session was not identified, that allows it for that reason.
    #[serde(serialize_with = "policy_id")]
    pub policy: Option<Arc<ControlPolicy>>,
    /// The policy that the session met first on addresses, protocol and port, and that needed to know more.
    #[serde(serialize_with = "policy_id")]
    pub pre_policy: Option<Arc<ControlPolicy>>,
    /// The category of threat that the session belongs to, and what is done about it.
    pub threat: Option<(Id, ThreatAction)>,
    /// The name that the session tells does not stand for the address that it goes to.
    pub name_check: Option<NameCheck>,
}

/// What decided about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// A policy.
    Policy,
    /// A policy that needs what is not known, in loose mode.
    Unidentified,
    /// No policy matches.
    Default,
    /// A policy needs to know more: it is not decided yet.
    Pending,
    /// It was decided before the daemon was started again.
    Earlier,
    /// Threat intelligence.
    Threat,
    /// The check of names.
    NameCheck,
}

/// What became of a session, over all firewalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordResult {
    /// It passed.
    Allow,
    /// It passed, and somebody wants to know.
    Alert,
    /// It was refused.
    Drop,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Both ends of a TCP connection have said goodbye.
    TcpFin,
    /// An end of a TCP connection has reset it.
    TcpRst,
    /// No packet came for too long.
    Idle,
    /// A firewall has refused it.
    Refused,
    /// The configuration does not allow it any more.
    Reconfigured,
    /// It has drained: the SNAT entry that made it was changed, and the time that it was given is over.
    Drained,
    /// A new connection has taken its place.
    Replaced,
}

fn policy_id<S: Serializer>(policy: &Option<Arc<ControlPolicy>>, to: S) -> Result<S::Ok, S::Error> {
    policy.as_ref().map(|policy| &policy.id).serialize(to)
}
