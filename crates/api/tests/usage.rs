//! What was metered, through the API.

use crate::common::{World, refused};
use crate::nat::*;
use crate::vpc_nat::{nat_ip, private_site};
use control::metering::{Account, Amounts, Metering, Reading, Source, Totals};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use store::Series;

/// A data path's totals.
#[derive(Clone, Default)]
struct Plane(Arc<Mutex<Reading>>);

impl Totals for Plane {
    fn read(&self, _: &[u64]) -> Result<Reading, String> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// A site with a gateway and an EIP, by which something has gone.
struct Metered {
    world: World,
    gateway: String,
    /// The EIP, or the NAT IP.
    eip: String,
    private: bool,
    plane: Plane,
    metering: Arc<Metering>,
    _dir: tempfile::TempDir,
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// A time as the API writes it.
fn stamp(at: u64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(at as i64).unwrap();
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap()
}

const HOUR: u64 = 3_600;

impl Metered {
    fn new() -> Metered {
        let world = World::new();
        let gateway = site(&world).gateway;
        let (eip, _) = bound_eip(&world, &gateway);
        Metered::of(world, gateway, eip, false)
    }

    /// The same with a VPC NAT gateway and a NAT IP.
    fn private() -> Metered {
        let world = World::new();
        let site = private_site(&world);
        let (nat_ip, _) = nat_ip(&world, &site);
        Metered::of(world, site.gateway, nat_ip, true)
    }

    fn of(world: World, gateway: String, eip: String, private: bool) -> Metered {
        let plane = Plane::default();
        let dir = tempfile::tempdir().unwrap();
        let series = Series::open(dir.path().join("usage.db")).unwrap();
        let metering = Metering::open(series, Box::new(plane.clone())).unwrap();
        let metering = Arc::new(metering);
        Metered {
            world: world.metered(Arc::clone(&metering)),
            gateway,
            eip,
            private,
            plane,
            metering,
            _dir: dir,
        }
    }

    /// So much goes by the EIP, up to a time.
    fn traffic(&self, bytes_in: u64, bytes_out: u64, at: u64) {
        {
            let mut reading = self.plane.0.lock().unwrap();
            if reading.accounts.is_empty() {
                reading.accounts.push(Account {
                    owner: 1,
                    eip: Some(self.eip.clone()),
                    nat_ip: self.private,
                    gateway: Some(self.gateway.clone()),
                    configured: true,
                    ..Account::default()
                });
            }
            let sum = &mut reading.accounts[0].totals;
            *sum = Amounts {
                packets_in: sum.packets_in + 1,
                bytes_in: sum.bytes_in + bytes_in,
                packets_out: sum.packets_out + 2,
                bytes_out: sum.bytes_out + bytes_out,
                opened: sum.opened + 60,
            };
        }
        self.metering.tick(at).unwrap();
    }

    fn monitor(&self, from: u64, to: u64, more: &[(&str, &str)]) -> Result<Value, api::ApiError> {
        let (from, to) = (stamp(from), stamp(to));
        let params = [
            ("AllocationId", &*self.eip),
            ("StartTime", &from),
            ("EndTime", &to),
        ];
        self.world
            .vpc("DescribeEipMonitorData", &[&params, more].concat())
    }
}

#[test]
fn gateways_and_eips_have_hours_and_totals() {
    let it = Metered::new();
    let begin = (now() / HOUR - 3) * HOUR;
    it.metering.tick(begin).unwrap();
    it.traffic(600, 6_000, begin + 60);
    it.traffic(1_200, 0, begin + 120);
    it.metering.tick(begin + HOUR).unwrap();
    it.traffic(1_000_000_000, 500_000_000, begin + HOUR + 60);
    let usage = |action: &str, params: &[(&str, &str)]| it.world.vpc(action, params).unwrap();

    let hours = usage("DescribeNatGatewayUsage", &[("NatGatewayId", &it.gateway)]);
    let rows = hours["Usages"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{hours:#}");
    assert_eq!(
        rows[0],
        json!({
            "NatGatewayId": it.gateway, "StartTime": stamp(begin),
            "PacketsIn": 2, "BytesIn": 1_800, "PacketsOut": 4, "BytesOut": 6_000,
            "NewSessions": 120, "PeakSessions": 0,
            "PeakBpsIn": 160, "PeakBpsOut": 800, "PeakBps": 880,
            "PeakNewSessionRate": 1.0, "CapacityUnits": 0.001,
        })
    );
    assert_eq!(rows[1]["CapacityUnits"], 1.5);
    assert_eq!(hours["NextToken"], "");

    // In all: sums, the highest, and the sum of the units of each hour.
    let total = [("Granularity", "Total")];
    let total = usage("DescribeEipUsage", &total)["Usages"].clone();
    assert_eq!(total.as_array().map(Vec::len), Some(1));
    let total = &total[0];
    assert_eq!(total["AllocationId"], it.eip);
    assert_eq!(total["BytesIn"], 1_000_001_800);
    assert_eq!(total["PeakBpsIn"], 133_333_333);
    assert_eq!(total["CapacityUnits"], 1.501);

    // A part of the time, and pages.
    let to = stamp(begin + HOUR);
    let first = usage("DescribeEipUsage", &[("EndTime", &to)]);
    assert_eq!(first["Usages"].as_array().map(Vec::len), Some(1));
    let page = usage("DescribeEipUsage", &[("MaxResults", "1")]);
    let token = page["NextToken"].as_str().unwrap();
    let next = usage(
        "DescribeEipUsage",
        &[("MaxResults", "1"), ("NextToken", token)],
    );
    assert_eq!(page["Usages"][0]["StartTime"], stamp(begin));
    assert_eq!(next["Usages"][0]["StartTime"], stamp(begin + HOUR));
    assert_eq!(next["NextToken"], "");
}

#[test]
fn vpc_nat_gateways_and_nat_ips_have_them_too() {
    let it = Metered::private();
    let begin = (now() / HOUR - 1) * HOUR;
    it.metering.tick(begin).unwrap();
    it.traffic(600, 6_000, begin + 60);
    it.traffic(30, 0, begin + 120);
    let usage = |action: &str, params: &[(&str, &str)]| {
        let answer = it.world.vpc(action, params).unwrap();
        answer["Usages"].as_array().unwrap().clone()
    };
    let of_nat_ip = usage("DescribeNatIpUsage", &[("NatIpId", &it.eip)]);
    assert_eq!(of_nat_ip.len(), 1);
    assert_eq!(of_nat_ip[0]["NatIpId"], it.eip);
    assert_eq!(of_nat_ip[0]["BytesIn"], 630);
    assert_eq!(of_nat_ip[0]["BytesOut"], 6_000);
    assert_eq!(of_nat_ip[0]["NewSessions"], 120);
    let of_gateway = usage("DescribeNatGatewayUsage", &[("NatGatewayId", &it.gateway)]);
    assert_eq!(of_gateway[0]["BytesIn"], 630);
    // It is no EIP.
    assert!(usage("DescribeEipUsage", &[]).is_empty());
    let wrong = it.world.vpc("DescribeNatIpUsage", &[("NatIpId", "none")]);
    assert_eq!(refused(wrong), "ResourceNotFound.NatIp");
}

#[test]
fn what_is_gone_is_still_told_of() {
    let it = Metered::new();
    let begin = (now() / HOUR - 1) * HOUR;
    it.metering.tick(begin).unwrap();
    it.traffic(5, 7, begin + 60);
    let release = [("AllocationId", &*it.eip)];
    it.world.vpc("UnassociateEipAddress", &release).unwrap();
    it.world.vpc("ReleaseEipAddress", &release).unwrap();
    let usage = it.world.vpc("DescribeEipUsage", &release).unwrap();
    assert_eq!(usage["Usages"][0]["BytesOut"], 7);
    let wrong = |action, params: &[(&str, &str)]| refused(it.world.vpc(action, params));
    assert_eq!(
        wrong("DescribeEipUsage", &[("AllocationId", "eip-none")]),
        "InvalidAllocationId.NotFound"
    );
    let gateways = "DescribeNatGatewayUsage";
    assert_eq!(
        wrong(gateways, &[("NatGatewayId", "ngw-none")]),
        "InvalidNatGatewayId.NotFound"
    );
    assert_eq!(
        wrong(gateways, &[("StartTime", "yesterday")]),
        "InvalidStartTime.Malformed"
    );
    assert_eq!(
        wrong(gateways, &[("EndTime", "2026-11-21")]),
        "InvalidEndTime.Malformed"
    );
    assert_eq!(
        wrong(gateways, &[("Granularity", "Minute")]),
        "InvalidParameter"
    );
    assert_eq!(
        wrong(gateways, &[("MaxResults", "1001")]),
        "InvalidParameter"
    );
    let turned = [
        ("StartTime", "2026-01-02T00:00:00Z"),
        ("EndTime", "2026-01-01T00:00:00Z"),
    ];
    assert_eq!(wrong(gateways, &turned), "InvalidParameter");
    let bare = World::new();
    assert_eq!(
        refused(bare.vpc("DescribeEipUsage", &[])),
        "OperationUnsupported.Metering"
    );
}

#[test]
fn monitoring_data_are_told_by_the_period() {
    let it = Metered::new();
    let begin = (now() / HOUR - 2) * HOUR;
    it.metering.tick(begin).unwrap();
    for minute in 1..=10 {
        it.traffic(minute * 60, minute * 600, begin + minute * 60);
    }
    let points = |from: u64, to: u64, more: &[(&str, &str)]| {
        let answer = it.monitor(from, to, more).unwrap();
        answer["EipMonitorDatas"]["EipMonitorData"]
            .as_array()
            .unwrap()
            .clone()
    };
    let minutes = points(begin, begin + 180, &[]);
    assert_eq!(minutes.len(), 3);
    assert_eq!(
        minutes[1],
        json!({
            "EipRX": 120, "EipTX": 1_200, "EipFlow": 1_320, "EipPackets": 3, "EipBandwidth": 22,
            "TimeStamp": stamp(begin + 60),
        })
    );
    let rx = |points: &[Value]| {
        points
            .iter()
            .map(|it| it["EipRX"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        rx(&points(begin, begin + 600, &[("Period", "300")])),
        [900, 2_400]
    );
    assert_eq!(
        rx(&points(begin, begin + HOUR, &[("Period", "3600")])),
        [3_300]
    );
    // What is not on the minute is taken to the next one.
    assert_eq!(rx(&points(begin + 1, begin + 61, &[])), [120]);
    // Of before the EIP was made, nothing is told; since then, also that nothing went by.
    assert_eq!(rx(&points(begin - HOUR, begin, &[])), [0; 0]);
    assert_eq!(rx(&points(now() / 60 * 60, now() + 600, &[])), [0]);

    let wrong = |from, to, more: &[(&str, &str)]| refused(it.monitor(from, to, more));
    assert_eq!(
        wrong(begin, begin + 401 * 60, &[]),
        "InvalidParameter.TooMany"
    );
    assert!(it.monitor(begin, begin + 400 * 60, &[]).is_ok());
    assert_eq!(
        wrong(begin, begin, &[]),
        "InvalidStartTime.ValueNotSupported"
    );
    let period = [("Period", "120")];
    assert_eq!(
        wrong(begin, begin + 60, &period),
        "InvalidPeriod.ValueNotSupported"
    );
    let old = begin - 31 * 24 * HOUR;
    assert_eq!(wrong(old, old + 60, &[]), "InvalidStartTime.TooEarly");
    let params = [
        ("AllocationId", "eip-none"),
        ("StartTime", "x"),
        ("EndTime", "y"),
    ];
    assert_eq!(
        refused(it.world.vpc("DescribeEipMonitorData", &params)),
        "InvalidAllocationId.NotFound"
    );
    let params = [
        ("AllocationId", &*it.eip),
        ("StartTime", "x"),
        ("EndTime", "y"),
    ];
    assert_eq!(
        refused(it.world.vpc("DescribeEipMonitorData", &params)),
        "InvalidStartTime.Malformed"
    );
    assert_eq!(
        refused(
            it.world
                .vpc("DescribeEipMonitorData", &[("AllocationId", &it.eip)])
        ),
        "MissingParameter"
    );
}

#[test]
fn private_addresses_are_watched_once_that_is_switched_on() {
    let it = Metered::new();
    let call = |action: &str, more: &[(&str, &str)]| {
        let mut params = vec![("NatGatewayId", &*it.gateway)];
        params.extend_from_slice(more);
        it.world.vpc(action, &params)
    };
    let watches = || it.world.control.config().nat_gateways[0].source_metrics;
    let shown = || {
        let answer = call("GetNatGatewayAttribute", &[]).unwrap();
        answer["EcsMetricEnabled"].as_bool().unwrap()
    };
    assert!(!watches() && !shown());
    call("EnableNatGatewayEcsMetric", &[]).unwrap();
    assert!(watches() && shown());

    let address = |n: u8| std::net::Ipv4Addr::new(192, 168, 0, n);
    let reading = |sources: &[(u8, u64, u64, u64)]| {
        let sources = sources
            .iter()
            .map(|&(n, bytes_in, bytes_out, opened)| Source {
                address: address(n),
                live: u64::from(n),
                totals: Amounts {
                    bytes_in,
                    bytes_out,
                    packets_in: bytes_in / 100,
                    packets_out: bytes_out / 100,
                    opened,
                },
            });
        it.plane.0.lock().unwrap().sources = vec![(it.gateway.clone(), sources.collect())];
    };
    let minute = now() / 60 * 60 - 600;
    // What was counted before the first reading is not of any minute.
    reading(&[(1, 5_000_000, 0, 9)]);
    it.metering.tick(minute).unwrap();
    reading(&[(1, 5_060_000, 6_000, 129), (2, 0, 600_000, 60)]);
    it.metering.tick(minute + 60).unwrap();
    // Numbers that begin anew.
    reading(&[(1, 6_000, 0, 0)]);
    it.metering.tick(minute + 120).unwrap();

    let at = minute.to_string();
    let rows = |more: &[(&str, &str)]| {
        let mut params = vec![("TimePoint", &*at)];
        params.extend_from_slice(more);
        call("ListNatGatewayEcsMetric", &params).unwrap()
    };
    let all = rows(&[]);
    let list = all["MetricDataList"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(
        list[0],
        json!({
            "NatGatewayId": it.gateway, "PrivateIpAddress": "192.168.0.1", "Timestamp": minute,
            "RxBps": 8_000, "TxBps": 800, "RxPps": 10, "TxPps": 1,
            "ActiveSessionNum": 1, "NewSessionRate": 2,
        })
    );
    let addresses = |answer: &Value| -> Vec<String> {
        let rows = answer["MetricDataList"].as_array().unwrap().iter();
        rows.map(|it| it["PrivateIpAddress"].as_str().unwrap().to_owned())
            .collect()
    };
    let (one, two) = ("192.168.0.1", "192.168.0.2");
    assert_eq!(addresses(&rows(&[("OrderKey", "TxBps")])), [two, one]);
    let up = [("OrderKey", "TxBps"), ("OrderType", "asc")];
    assert_eq!(addresses(&rows(&up)), [one, two]);
    assert_eq!(addresses(&rows(&[("PrivateIpAddress", two)])), [two]);
    let first = rows(&[("MaxResults", "1")]);
    let token = first["NextToken"].as_str().unwrap().to_owned();
    assert_eq!(addresses(&first), [one]);
    let second = rows(&[("MaxResults", "1"), ("NextToken", &token)]);
    assert_eq!(
        (addresses(&second), second["NextToken"].as_str()),
        (vec![two.to_owned()], Some(""))
    );
    let next = (minute + 60).to_string();
    let later = call("ListNatGatewayEcsMetric", &[("TimePoint", &*next)]).unwrap();
    assert_eq!(later["MetricDataList"][0]["RxBps"], 800);

    let wrong = |more: &[(&str, &str)]| refused(call("ListNatGatewayEcsMetric", more));
    assert_eq!(wrong(&[("TimePoint", "-1")]), "InvalidParameter");
    assert_eq!(wrong(&[("OrderKey", "Bps")]), "InvalidParameter");
    let none = [("NatGatewayId", "ngw-none")];
    assert_eq!(
        refused(it.world.vpc("EnableNatGatewayEcsMetric", &none)),
        "InvalidNatGatewayId.NotFound"
    );
    call("DisableNatGatewayEcsMetric", &[]).unwrap();
    assert!(!watches() && !shown());
}

#[test]
fn assets_tell_what_they_have_sent_in_seven_days() {
    let it = Metered::new();
    let day = 24 * HOUR;
    let begin = now() - 8 * day;
    it.metering.tick(begin).unwrap();
    it.traffic(1, 1_000_000, begin + 60);
    it.metering.tick(begin + 2 * day).unwrap();
    it.traffic(600, 6_000, begin + 2 * day + 60);
    it.metering.tick(begin + 2 * day + 120).unwrap();
    it.traffic(5, 50, now());
    let params = [("CurrentPage", "1"), ("PageSize", "10")];
    let told = it.world.cfw("DescribeAssetList", &params).unwrap();
    assert_eq!(told["Assets"][0]["ResourceInstanceId"], it.eip);
    assert_eq!(told["Assets"][0]["Last7DayOutTrafficBytes"], 6_050);
}
