//! How fast SNAT and DNAT entries are made through the API: 1,000 each over 100 VPCs, every one of them durable
//! and checked as a whole before it is answered. No data path: what that takes is measured elsewhere.
//!
//!   cargo run --release -p api --example entries [VPCS [ENTRIES_PER_VPC]]

use api::{Caller, Cloud, Principal, Request, Sealer, Service};
use control::{Control, DataPlane, StartError, records};
use model::Config;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Sqlite;

struct Nothing;

impl DataPlane for Nothing {
    fn apply(&self, _: &Config) -> Result<(), String> {
        Ok(())
    }
}

fn call(cloud: &Cloud, action: &str, params: &[(&str, &str)]) -> Map<String, Value> {
    let answer = cloud.answer(&Request {
        id: "0A0B0C0D-0000-4000-8000-000000000000".into(),
        version: "2016-04-28".into(),
        action: action.into(),
        params: [("RegionId", "cn-hangzhou")]
            .iter()
            .chain(params)
            .copied()
            .collect(),
        caller: Caller {
            principal: Principal::Local { uid: 0 },
            address: [127, 0, 0, 1].into(),
            user_agent: "example".into(),
        },
    });
    answer.unwrap_or_else(|error| panic!("{action}: {error}"))
}

fn text(answer: &Map<String, Value>, path: &str) -> String {
    let value = Value::Object(answer.clone());
    let text = value.pointer(path).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no {path}")).to_owned()
}

/// Rate, and how long most calls took at most.
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{what:>24}: {:>5} calls, {:>7.0} a second, half within {:>9.1?}, 99 % within {:>9.1?}, the longest {:>9.1?}",
        times.len(),
        times.len() as f64 / total.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = work();
    times.push(start.elapsed());
    out
}

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|it| it.parse().expect("a number"));
    let vpcs: usize = args.next().unwrap_or(100);
    let entries: usize = args.next().unwrap_or(10);
    let dir = tempfile::tempdir().expect("a directory");
    let store = Sqlite::open(dir.path().join("state.db")).expect("a store");
    let control = Control::start(
        Arc::new(store),
        1_000,
        |draft| {
            draft.uplinks.put(records::Uplink {
                id: "wan".into(),
                device: "eth1".into(),
                mode: model::UplinkMode::Own,
                address: Some("198.18.0.2/15".parse().expect("a prefix")),
                gateway: Some("198.18.0.1".parse().expect("an address")),
                mtu: None,
                pool: vec!["198.19.0.0/16".parse().expect("a block")],
            });
            Ok::<(), StartError>(())
        },
        |_| Ok(Box::new(Nothing)),
    );
    let control = Arc::new(control.expect("a control plane"));
    let sealer = Sealer::open(&dir.path().join("key")).expect("a key");
    let cloud = Cloud::new(Arc::clone(&control), sealer);

    let (mut gateways, mut snat, mut dnat) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..vpcs {
        let vpc = call(&cloud, "CreateVpc", &[("CidrBlock", "192.168.0.0/16")]);
        let vpc = text(&vpc, "/VpcId");
        let params = [
            ("VpcId", &*vpc),
            ("CidrBlock", "192.168.0.0/24"),
            ("ZoneId", "cn-hangzhou-h"),
        ];
        let vswitch = text(&call(&cloud, "CreateVSwitch", &params), "/VSwitchId");
        let params = [("VpcId", &*vpc), ("VSwitchId", &vswitch)];
        let gateway = timed(&mut gateways, || call(&cloud, "CreateNatGateway", &params));
        let eip = call(&cloud, "AllocateEipAddress", &[]);
        let address = text(&eip, "/EipAddress");
        let params = [
            ("AllocationId", &*text(&eip, "/AllocationId")),
            ("InstanceId", &text(&gateway, "/NatGatewayId")),
            ("InstanceType", "Nat"),
        ];
        call(&cloud, "AssociateEipAddress", &params);
        let snat_table = text(&gateway, "/SnatTableIds/SnatTableId/0");
        let forward_table = text(&gateway, "/ForwardTableIds/ForwardTableId/0");
        for n in 0..entries {
            let source = format!("192.168.{}.{}/32", 1 + n / 256, n % 256);
            let params = [
                ("SnatTableId", &*snat_table),
                ("SourceCIDR", &source),
                ("SnatIp", &address),
            ];
            timed(&mut snat, || call(&cloud, "CreateSnatEntry", &params));
            let port = (1_000 + n).to_string();
            let params = [
                ("ForwardTableId", &*forward_table),
                ("ExternalIp", &address),
                ("ExternalPort", &port),
                ("IpProtocol", "TCP"),
                ("InternalIp", "192.168.0.10"),
                ("InternalPort", &port),
            ];
            timed(&mut dnat, || call(&cloud, "CreateForwardEntry", &params));
        }
    }
    tell("CreateNatGateway", gateways);
    tell("CreateSnatEntry", snat);
    tell("CreateForwardEntry", dnat);
    let mut describe = Vec::new();
    for n in 0..100 {
        let page = (1 + n % 20).to_string();
        let params = [("PageSize", "50"), ("PageNumber", &*page)];
        timed(&mut describe, || {
            call(&cloud, "DescribeForwardTableEntries", &params)
        });
    }
    tell("Describe… (50 of all)", describe);
}
