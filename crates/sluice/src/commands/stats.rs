//! `sluice stats`

use super::ask;
use crate::cli::Stats;
use crate::error::Error;
use crate::output::{
    self,
    table::{Column, Table},
    units::{bytes, count},
};
use crate::socket::protocol::{Request, Response, StatsReport};
use std::io::Write;

const COUNTERS: &[Column] = &[
    Column::Text("COUNTER"),
    Column::Number("VALUE"),
    Column::Text("MEANING"),
];

const FIREWALL: &[Column] = &[
    Column::Text("FIREWALL"),
    Column::Number("VALUE"),
    Column::Text("MEANING"),
];

const DROPS: &[Column] = &[
    Column::Text("DROPPED"),
    Column::Number("PACKETS"),
    Column::Text("MEANING"),
];

const EIPS: &[Column] = &[
    Column::Text("EIP"),
    Column::Text("ADDRESS"),
    Column::Text("BOUND TO"),
    Column::Number("SESSIONS"),
    Column::Number("TCP PORTS"),
    Column::Number("UDP PORTS"),
    Column::Number("ICMP IDS"),
    Column::Number("OF"),
    Column::Number("EXHAUSTED"),
];

const BANDWIDTH: &[Column] = &[
    Column::Text("BANDWIDTH OF"),
    Column::Text("ID"),
    Column::Number("MBIT/S"),
    Column::Number("DROPPED IN"),
    Column::Number("BYTES"),
    Column::Number("DROPPED OUT"),
    Column::Number("BYTES"),
];

pub fn run(args: &Stats, out: &mut impl Write) -> Result<(), Error> {
    let stats = ask(
        &args.daemon.path(),
        &Request::Stats,
        |response| match response {
            Response::Stats(stats) => Ok(stats),
            other => Err(other),
        },
    )?;
    if args.json {
        output::json(out, &stats)
    } else {
        out.write_all(render(&stats).as_bytes())
    }
    .map_err(Error::Output)
}

fn render(stats: &StatsReport) -> String {
    let packets = &stats.packets;
    let mut counters = Table::new(COUNTERS);
    for (name, value, meaning) in [
        ("sessions", stats.sessions, "live"),
        ("max_sessions", stats.max_sessions, "that there can be"),
        ("opened", stats.opened, "sessions since start"),
        ("closed", stats.closed, "sessions since start"),
        (
            "drained",
            stats.drained,
            "of these, after an SNAT entry was changed",
        ),
        (
            "adopted",
            stats.adopted,
            "sessions taken over from an earlier daemon",
        ),
        (
            "not_offloaded",
            stats.not_offloaded,
            "live sessions without room in the flow table",
        ),
        (
            "kernel",
            packets.kernel,
            "packets forwarded by the kernel programs alone",
        ),
        ("host", packets.host, "packets left to the host"),
    ] {
        counters.row([name.into(), count(value), meaning.into()]);
    }
    for punted in &packets.punted {
        let name = format!("punted {}", punted.reason);
        counters.row([
            name,
            count(punted.packets),
            "packets handed to the daemon".into(),
        ]);
    }
    for (name, value, meaning) in [
        (
            "slow_path",
            packets.slow_path,
            "packets that the daemon took up",
        ),
        ("forwarded", packets.forwarded, "of these sent on"),
        (
            "answered",
            packets.answered,
            "of these for the gateway itself: ping, ARP",
        ),
        (
            "originated",
            packets.originated,
            "packets that it made: ARP, ICMP, resets",
        ),
    ] {
        counters.row([name.into(), count(value), meaning.into()]);
    }
    let mut text = counters.part() + "\n";
    let mut firewall = Table::new(FIREWALL);
    let (f, r) = (&stats.firewall, &stats.records);
    for (name, value, meaning) in [
        ("sessions", f.sessions, "live, that firewalls see"),
        ("inspected", f.inspected, "of them under inspection now"),
        ("refused", f.refused, "sessions after they had begun"),
        ("refused_first", f.refused_first, "first packets"),
        ("refused_names", f.refused_names, "questions for names"),
        (
            "given_up",
            f.given_up,
            "inspections, since there were too many",
        ),
        (
            "over_capacity",
            f.over_capacity,
            "new sessions beyond what was bought",
        ),
        (
            "learned_names",
            f.learned_names,
            "addresses that clients were answered",
        ),
        (
            "bits_per_second",
            f.bits_per_second,
            "that went by in the last round",
        ),
        ("records_written", r.written, "records of sessions"),
        (
            "records_lost",
            f.records_lost + r.overrun + r.failed,
            "that were too many, or could not be written",
        ),
    ] {
        if value > 0 {
            firewall.row([name.into(), count(value), meaning.into()]);
        }
    }
    if !firewall.is_empty() {
        text += &firewall.part();
        text += "\n";
    }
    let mut drops = Table::new(DROPS);
    for drop in &stats.drops {
        drops.row([
            drop.reason.clone(),
            count(drop.packets),
            drop.meaning.clone(),
        ]);
    }
    if drops.is_empty() {
        text += "No packet was dropped.\n";
    } else {
        text += &drops.part();
    }
    let mut eips = Table::new(EIPS);
    for eip in &stats.eips {
        let [tcp, udp, icmp] = eip.ports_used.map(|ports| count(ports.into()));
        eips.row([
            eip.eip.clone(),
            eip.address.to_string(),
            eip.binding.clone().unwrap_or_default(),
            count(eip.sessions),
            tcp,
            udp,
            icmp,
            count(eip.ports_total.into()),
            count(eip.ports_exhausted),
        ]);
    }
    if !eips.is_empty() {
        text += "\n";
        text += &eips.part();
    }
    let mut limits = Table::new(BANDWIDTH);
    for limit in &stats.bandwidth {
        limits.row([
            limit.kind.clone(),
            limit.id.clone(),
            count(limit.bandwidth.into()),
            count(limit.dropped_packets_in),
            bytes(limit.dropped_bytes_in),
            count(limit.dropped_packets_out),
            bytes(limit.dropped_bytes_out),
        ]);
    }
    if !limits.is_empty() {
        text += "\n";
        text += &limits.part();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::protocol::{PacketsView, PuntView};
    use engine::{BandwidthView, DropView, EipView};

    #[test]
    fn counters_drops_eips_and_limits_are_tables() {
        let mut stats = StatsReport {
            sessions: 1_234,
            packets: PacketsView {
                kernel: 5_000_000,
                punted: vec![PuntView {
                    reason: "miss".into(),
                    packets: 7,
                }],
                ..PacketsView::default()
            },
            ..StatsReport::default()
        };
        let text = render(&stats);
        assert!(text.contains("sessions           1,234  live\n"), "{text}");
        assert!(text.contains("punted miss            7  packets"), "{text}");
        assert!(text.ends_with("\nNo packet was dropped.\n"), "{text}");
        stats.drops = vec![DropView {
            reason: "no_route".into(),
            meaning: "No route leads to the destination.".into(),
            packets: 3,
        }];
        stats.eips = vec![EipView {
            eip: "eip-1".into(),
            address: "203.0.113.10".parse().unwrap(),
            binding: None,
            ports_used: [10, 0, 1],
            ports_total: 64_512,
            sessions: 11,
            ports_exhausted: 0,
        }];
        stats.bandwidth = vec![BandwidthView {
            kind: "EIP".into(),
            id: "eip-1".into(),
            bandwidth: 1_000,
            dropped_packets_in: 12_345,
            dropped_bytes_in: 18_517_500,
            dropped_packets_out: 0,
            dropped_bytes_out: 0,
        }];
        let text = render(&stats);
        assert!(
            text.contains("\nno_route        3  No route leads"),
            "{text}"
        );
        assert!(
            text.contains("\neip-1  203.0.113.10  -               11"),
            "{text}"
        );
        let limit = "\nEIP           eip-1   1,000      12,345  18.5 MB            0    0 B\n";
        assert!(text.ends_with(limit), "{text}");
    }
}
