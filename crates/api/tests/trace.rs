//! `TraceFlow` passes on what is asked and what is told.

use crate::common::{World, refused, text};
use api::trace::{Flow, Step, Trace, Tracer};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Remembers what it was asked; an end named `nobody` does not exist, and `closed` drops.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<Flow>>>);

impl Tracer for Asked {
    fn trace(&self, flow: &Flow) -> Result<Trace, String> {
        self.0.lock().unwrap().push(flow.clone());
        if flow.from == "nobody" {
            return Err("there is no nobody".into());
        }
        let forwarded = flow.to != "closed";
        let ends = (
            "203.0.113.10:40000".parse().unwrap(),
            "198.51.100.7:443".parse().unwrap(),
        );
        Ok(Trace {
            steps: vec![Step {
                step: "route".into(),
                resource: Some("vtb-1".into()),
                result: "by NAT gateway ngw-1".into(),
            }],
            forwarded,
            verdict: if forwarded { "forwarded" } else { "no_route" }.into(),
            arrives_as: forwarded.then_some(ends),
        })
    }
}

#[test]
fn a_packet_is_followed() {
    let mut world = World::new();
    let asked = Asked::default();
    world.trace_with(Box::new(asked.clone()));
    let to = ("Destination", "198.51.100.7");
    let https = ("DestinationPort", "443");
    let told = world
        .vpc("TraceFlow", &[("Source", "i-1"), to, https])
        .unwrap();
    assert_eq!(told["Forwarded"], true);
    assert_eq!(text(&told, "/Verdict"), "forwarded");
    assert_eq!(
        told["Steps"]["Step"],
        json!([{"Step": "route", "Resource": "vtb-1", "Result": "by NAT gateway ngw-1"}])
    );
    assert_eq!(text(&told, "/SourceIp"), "203.0.113.10");
    assert_eq!(told["SourcePort"], 40_000);
    assert_eq!(text(&told, "/DestinationIp"), "198.51.100.7");
    assert_eq!(told["DestinationPort"], 443);
    assert_eq!(text(&told, "/IpProtocol"), "TCP");

    let closed = [("Source", "203.0.113.9"), ("Destination", "closed")];
    let told = world.vpc("TraceFlow", &closed).unwrap();
    assert_eq!(told["Forwarded"], false);
    assert_eq!(text(&told, "/Verdict"), "no_route");
    assert_eq!(text(&told, "/SourceIp"), "");
    assert_eq!(text(&told, "/IpProtocol"), "ICMP");

    let udp = [
        ("Source", "i-1"),
        ("SourcePort", "53"),
        to,
        ("DestinationPort", "5353"),
        ("IpProtocol", "udp"),
    ];
    world.vpc("TraceFlow", &udp).unwrap();
    let asked = asked.0.lock().unwrap();
    let ports = asked
        .iter()
        .map(|it| (it.from_port, it.to_port, it.protocol));
    assert_eq!(
        ports.collect::<Vec<_>>(),
        [
            (None, Some(443), 6),
            (None, None, 1),
            (Some(53), Some(5353), 17)
        ]
    );
}

#[test]
fn what_is_no_packet_is_refused() {
    let mut world = World::new();
    let (from, to) = (("Source", "i-1"), ("Destination", "198.51.100.7"));
    assert_eq!(
        refused(world.vpc("TraceFlow", &[from, to])),
        "OperationUnsupported.TraceFlow"
    );
    let asked = Asked::default();
    world.trace_with(Box::new(asked.clone()));
    let port = ("DestinationPort", "443");
    for (params, code) in [
        (vec![from], "MissingParameter"),
        (vec![to], "MissingParameter"),
        (vec![from, to, ("IpProtocol", "tcp")], "MissingParameter"),
        (vec![from, to, ("DestinationPort", "0")], "InvalidParameter"),
        (vec![from, to, ("DestinationPort", "x")], "InvalidParameter"),
        (
            vec![from, to, port, ("IpProtocol", "icmp")],
            "InvalidParameter",
        ),
        (
            vec![from, to, port, ("IpProtocol", "256")],
            "InvalidParameter",
        ),
        (
            vec![from, to, port, ("SourcePort", "70000")],
            "InvalidParameter",
        ),
    ] {
        assert_eq!(refused(world.vpc("TraceFlow", &params)), code, "{params:?}");
    }
    assert_eq!(asked.0.lock().unwrap().len(), 0);
    let nobody = [("Source", "nobody"), to];
    let error = world.vpc("TraceFlow", &nobody).unwrap_err();
    assert_eq!(&*error.code, "OperationFailed.TraceFlow");
    assert!(error.message.contains("nobody"));
}
