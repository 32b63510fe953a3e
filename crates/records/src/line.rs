//! A record as it is written: one flat object, with names that stay.

use engine::record::{
    self, AppState, CloseReason, DecidedBy, FirewallKind, Identified, Record, RecordEntry,
    RecordKind, RecordResult, Unknown,
};
use model::{App, NameCheck, PolicyAction, ThreatAction, text::protocol_name};
use serde::{Serialize, Serializer};
use std::net::{IpAddr, Ipv4Addr};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A record as a line of JSON. What is not known is left out. Fields may be added; those that are here keep their names
/// and meanings.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// When it was told: the end of the session, or now if it goes on. RFC 3339, in UTC, to the second.
    #[serde(serialize_with = "as_rfc3339")]
    pub time: u64,
    /// When the session began.
    #[serde(serialize_with = "as_rfc3339")]
    pub start: u64,
    /// `ended`, `ongoing` (told of each minute) or `refused` (with its first packet).
    pub kind: RecordKind,
    /// What became of it over all firewalls: `allow`, `alert` or `drop`.
    pub result: RecordResult,
    /// `tcp`, `udp`, `icmp`, or a number.
    pub protocol: String,
    /// `out`, `in`, `hairpin` or `local`.
    pub direction: &'a str,
    /// Who opened it, as that one sees it: of what goes out the private address.
    pub src: Ipv4Addr,
    /// Its port, or the identifier of ICMP.
    pub src_port: u16,
    /// Whom it was opened to.
    pub dst: Ipv4Addr,
    /// The port there.
    pub dst_port: u16,
    /// Who opened it, as the receiver sees it: of what goes out the EIP.
    pub nat_src: Ipv4Addr,
    /// Its port there.
    pub nat_src_port: u16,
    /// Who received it, as that one sees itself: of what comes in the private address.
    pub nat_dst: Ipv4Addr,
    /// The port there.
    pub nat_dst_port: u16,
    /// The VPC of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<&'a str>,
    /// Its vSwitch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vswitch: Option<&'a str>,
    /// The instance: the one that opened it, of what comes in the one that received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<&'a str>,
    /// Its network interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eni: Option<&'a str>,
    /// The NAT gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<&'a str>,
    /// The EIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eip: Option<&'a str>,
    /// What decided the translation: `snat`, `dnat` or `eip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_kind: Option<&'static str>,
    /// Its identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<&'a str>,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// The domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
    /// How they were found out: `payload` or `related`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identified: Option<Identified>,
    /// How far that has come: `none`, `policy_discard`, `tcp_not_establish`, `no_payload`, `analysing`, `unknown_loose`,
    /// `unknown_strict` or `success`.
    pub state: AppState,
    /// Why that was given up: `no_payload`, `handshake_only`, `not_recognised`, `one_side_only`, `midstream`,
    /// `too_many` or `restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
    /// The name that it is for is hidden (ECH): the domain is the outer one. Left out if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// What else it has told.
    #[serde(flatten)]
    pub details: Details<'a>,
    /// The firewalls that it met, in order.
    pub firewalls: Vec<Firewall<'a>>,
    /// Packets from the opener, since the start.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets to the opener, since the start.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Why it ended: `tcp_fin`, `tcp_rst`, `idle`, `refused`, `reconfigured`, `drained` or `replaced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close: Option<CloseReason>,
}

/// What a session has told besides application and domain. Texts have 255 bytes at most, and no control characters.
#[derive(Debug, Default, Serialize)]
pub struct Details<'a> {
    /// Of HTTP method and path, e.g. `GET /index.html`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<&'a str>,
    /// What was given instead of a domain: mostly an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// Of TLS and QUIC the first protocol that the client offers, e.g. `h2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<&'a str>,
    /// Of TLS and QUIC the version, e.g. `TLS 1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'a str>,
    /// The names in the server's certificate, where it can be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<&'a str>,
    /// Of DNS the code of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// Of DNS the addresses in the last answer.
    #[serde(skip_serializing_if = "<[IpAddr]>::is_empty")]
    pub answers: &'a [IpAddr],
}

impl<'a> Details<'a> {
    fn new(details: &'a record::Details) -> Details<'a> {
        Details {
            request: details.request.as_deref(),
            host: details.host.as_deref(),
            alpn: details.alpn.as_deref(),
            version: details.version.as_deref(),
            certificate: details.certificate.iter().map(|it| &**it).collect(),
            code: details.code,
            answers: &details.answers,
        }
    }
}

/// What a firewall says about the session.
#[derive(Debug, Serialize)]
pub struct Firewall<'a> {
    /// `border_out`, `nat`, `dns`, `border_in` or `nat_in`.
    pub kind: FirewallKind,
    /// The NAT firewall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// `accept`, `drop` or `log`.
    pub action: PolicyAction,
    /// What decided: `policy`, `unidentified`, `default`, `pending`, `earlier`, `threat` or `name_check`.
    pub by: DecidedBy,
    /// The policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
    /// The policy that it met first and that needed to know more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_policy: Option<&'a str>,
    /// The category of threat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threat: Option<&'a str>,
    /// What is done about it: `alert` or `drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threat_action: Option<ThreatAction>,
    /// The name that the session told does not stand for its address, and this is done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_check: Option<NameCheck>,
}

impl<'a> Line<'a> {
    /// A record as it is written.
    pub fn new(record: &'a Record) -> Line<'a> {
        let (entry_kind, entry) = match &record.entry {
            Some(RecordEntry::Snat(id)) => (Some("snat"), Some(&**id)),
            Some(RecordEntry::Dnat(id)) => (Some("dnat"), Some(&**id)),
            Some(RecordEntry::Eip(id)) => (Some("eip"), Some(&**id)),
            None => (None, None),
        };
        let firewalls = record.firewalls.iter().map(|it| Firewall {
            kind: it.kind,
            id: it.firewall.as_deref(),
            action: it.action,
            by: it.by,
            policy: it.policy.as_ref().map(|it| &*it.id),
            pre_policy: it.pre_policy.as_ref().map(|it| &*it.id),
            threat: it.threat.as_ref().map(|(category, _)| &**category),
            threat_action: it.threat.as_ref().map(|(_, action)| *action),
            name_check: it.name_check,
        });
        let (original, translated) = (&record.original, &record.translated);
        let place = record.place.as_deref();
        Line {
            time: record.end,
            start: record.start,
            kind: record.kind,
            result: record.result,
            protocol: protocol_name(record.protocol),
            direction: record.direction,
            src: original.src,
            src_port: original.src_port,
            dst: original.dst,
            dst_port: original.dst_port,
            nat_src: translated.src,
            nat_src_port: translated.src_port,
            nat_dst: translated.dst,
            nat_dst_port: translated.dst_port,
            vpc: place.map(|it| &*it.vpc),
            vswitch: place.map(|it| &*it.vswitch),
            instance: place.map(|it| &*it.instance),
            eni: place.map(|it| &*it.eni),
            gateway: record.gateway.as_deref(),
            eip: record.eip.as_deref(),
            entry_kind,
            entry,
            app: record.app,
            domain: record.domain.as_deref(),
            identified: record.identified,
            state: record.state,
            unknown: record.unknown,
            hidden: record.hidden,
            details: record
                .details
                .as_deref()
                .map(Details::new)
                .unwrap_or_default(),
            firewalls: firewalls.collect(),
            packets_out: record.packets_out,
            bytes_out: record.bytes_out,
            packets_in: record.packets_in,
            bytes_in: record.bytes_in,
            close: record.close,
        }
    }
}

fn as_rfc3339<S: Serializer>(seconds: &u64, to: S) -> Result<S::Ok, S::Error> {
    rfc3339(*seconds).serialize(to)
}

/// A time as records tell it, e.g. `2026-11-29T22:06:41Z`, of seconds since 1970.
pub fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    let text = time.and_then(|it| it.format(&Rfc3339).ok());
    text.unwrap_or_default()
}

/// The seconds since 1970 of a time as records tell it.
pub fn seconds(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::TupleView;
    use engine::record::{FirewallRecord, Place};
    use std::sync::Arc;

    #[test]
    fn a_record_is_a_flat_object_with_these_names() {
        let tuple = |src: [u8; 4], src_port| TupleView {
            src: src.into(),
            src_port,
            dst: [198, 51, 100, 7].into(),
            dst_port: 443,
        };
        let record = Record {
            kind: RecordKind::Ended,
            protocol: 6,
            direction: "out",
            original: tuple([192, 168, 1, 10], 40_000),
            translated: tuple([203, 0, 113, 10], 1024),
            place: Some(Arc::new(Place {
                vpc: "vpc".into(),
                vswitch: "vsw".into(),
                eni: "web-1".into(),
                instance: "web-1".into(),
            })),
            gateway: Some("ngw".into()),
            eip: Some("eip-1".into()),
            entry: Some(RecordEntry::Snat("snat".into())),
            app: Some(App::Https),
            domain: Some("www.example.com".into()),
            identified: Some(Identified::Payload),
            state: AppState::Success,
            unknown: None,
            hidden: true,
            details: Some(Arc::new(record::Details {
                request: Some("GET /\"\u{1}\\".into()),
                alpn: Some("h2".into()),
                version: Some("TLS 1.2".into()),
                certificate: vec!["example.com".into()],
                code: Some(0),
                answers: vec!["192.0.2.1".parse().unwrap()],
                ..record::Details::default()
            })),
            firewalls: vec![FirewallRecord {
                kind: FirewallKind::Nat,
                firewall: Some("fw".into()),
                action: PolicyAction::Drop,
                by: DecidedBy::Threat,
                policy: None,
                pre_policy: None,
                threat: Some(("Mining".into(), ThreatAction::Drop)),
                name_check: None,
            }],
            result: RecordResult::Drop,
            packets_out: 5,
            bytes_out: 600,
            packets_in: 4,
            bytes_in: 500,
            start: 1_795_990_000,
            end: 1_795_990_001,
            close: Some(CloseReason::Refused),
        };
        let line = serde_json::to_string(&Line::new(&record)).unwrap();
        assert_eq!(
            line,
            r#"{"time":"2026-11-29T22:06:41Z","start":"2026-11-29T22:06:40Z","kind":"ended","result":"drop","protocol":"tcp","direction":"out","src":"192.168.1.10","src_port":40000,"dst":"198.51.100.7","dst_port":443,"nat_src":"203.0.113.10","nat_src_port":1024,"nat_dst":"198.51.100.7","nat_dst_port":443,"vpc":"vpc","vswitch":"vsw","instance":"web-1","eni":"web-1","gateway":"ngw","eip":"eip-1","entry_kind":"snat","entry":"snat","app":"HTTPS","domain":"www.example.com","identified":"payload","state":"success","hidden":true,"request":"GET /\"\u0001\\","alpn":"h2","version":"TLS 1.2","certificate":["example.com"],"code":0,"answers":["192.0.2.1"],"firewalls":[{"kind":"nat","id":"fw","action":"drop","by":"threat","threat":"Mining","threat_action":"drop"}],"packets_out":5,"bytes_out":600,"packets_in":4,"bytes_in":500,"close":"refused"}"#
        );
    }
}
