//! The cloud API of a running gateway: entries are made one by one, each in force and on disk before it is answered.

use crate::contender::{Contender, Firewall, Rules};
use crate::report::{Report, Row};
use crate::site::Site;
use crate::stats::{middle_half, quantile};
use lab::Lab;
use serde_json::{Map, Value};
use sluice::socket::client::Client;
use sluice::socket::protocol::{Request, Response};
use std::time::Instant;

struct Caller(Client);

impl Caller {
    fn call(&mut self, action: &str, params: &[(&str, &str)]) -> Map<String, Value> {
        let request = Request::Call {
            version: "2016-04-28".into(),
            action: action.into(),
            params: params
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        };
        match self.0.ask(&request) {
            Ok(Response::Answer { answer }) => answer,
            other => panic!("{action}: {other:?}"),
        }
    }

    fn timed(
        &mut self,
        times: &mut Vec<f64>,
        action: &str,
        params: &[(&str, &str)],
    ) -> Map<String, Value> {
        let start = Instant::now();
        let answer = self.call(action, params);
        times.push(start.elapsed().as_secs_f64() * 1e3);
        answer
    }
}

fn text(answer: &Map<String, Value>, path: &str) -> String {
    let value = Value::Object(answer.clone());
    let text = value.pointer(path).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no {path} in {value}"))
        .to_owned()
}

/// 1,000 SNAT and 1,000 DNAT entries over 100 VPCs.
pub fn run(quick: bool, out: &mut Report) {
    let (vpcs, entries) = if quick { (10, 3) } else { (100, 10) };
    let rules = Rules {
        sessions: 65_536,
        dnat: 0,
        firewall: Firewall::Off,
    };
    let lab = Lab::new("api");
    let site = Site::new(&lab, Contender::Tc, "sluice tc", &rules);
    let socket = site.sluice(|gateway| gateway.socket());
    let mut caller = Caller(Client::connect(&socket).expect("the gateway's socket"));
    let (mut snat, mut dnat, mut described) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..vpcs {
        let vpc = text(
            &caller.call("CreateVpc", &[("CidrBlock", "192.168.0.0/16")]),
            "/VpcId",
        );
        let params = [
            ("VpcId", &*vpc),
            ("CidrBlock", "192.168.0.0/24"),
            ("ZoneId", "cn-hangzhou-h"),
        ];
        let vswitch = text(&caller.call("CreateVSwitch", &params), "/VSwitchId");
        let params = [("VpcId", &*vpc), ("VSwitchId", &vswitch)];
        let gateway = caller.call("CreateNatGateway", &params);
        let eip = caller.call("AllocateEipAddress", &[]);
        let address = text(&eip, "/EipAddress");
        let params = [
            ("AllocationId", &*text(&eip, "/AllocationId")),
            ("InstanceId", &text(&gateway, "/NatGatewayId")),
            ("InstanceType", "Nat"),
        ];
        caller.call("AssociateEipAddress", &params);
        let snat_table = text(&gateway, "/SnatTableIds/SnatTableId/0");
        let forward_table = text(&gateway, "/ForwardTableIds/ForwardTableId/0");
        for n in 0..entries {
            let source = format!("192.168.1.{n}/32");
            let params = [
                ("SnatTableId", &*snat_table),
                ("SourceCIDR", &source),
                ("SnatIp", &address),
            ];
            caller.timed(&mut snat, "CreateSnatEntry", &params);
            let port = (1_000 + n).to_string();
            let params = [
                ("ForwardTableId", &*forward_table),
                ("ExternalIp", &address),
                ("ExternalPort", &port),
                ("IpProtocol", "TCP"),
                ("InternalIp", "192.168.0.10"),
                ("InternalPort", &port),
            ];
            caller.timed(&mut dnat, "CreateForwardEntry", &params);
        }
        let params = [("ForwardTableId", &*forward_table), ("PageSize", "50")];
        caller.timed(&mut described, "DescribeForwardTableEntries", &params);
    }
    for (what, times) in [
        ("CreateSnatEntry", snat),
        ("CreateForwardEntry", dnat),
        ("DescribeForwardTableEntries", described),
    ] {
        let work = format!("API, {} x {what} over {vpcs} VPCs", times.len());
        let total: f64 = times.iter().sum();
        let rate = times.len() as f64 / total * 1e3;
        out.push(Row::new(&work, "sluice", rate, "calls/s"));
        let mut row = Row::new(work + ", p99", "sluice", quantile(&times, 0.99), "ms");
        row.spread = Some(middle_half(&times));
        out.push(row);
    }
}
