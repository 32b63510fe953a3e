//! Throughput with iperf3.

use crate::host::Host;
use crate::program::{Output, Program};
use crate::wait::wait_for;
use serde_json::Value;

/// Starts a server.
pub fn serve(host: &Host, port: u16) -> Program {
    let server = host.spawn(&format!("iperf3 -s -p {port} --forceflush"));
    wait_for("iperf3 to listen", 5.0, || {
        server.stdout().contains("Server listening")
    });
    server
}

/// What a client measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// Bytes that arrived at the receiver.
    pub received: u64,
    /// Bits a second that arrived at the receiver.
    pub speed: f64,
    /// Segments that were sent again (TCP).
    pub retransmits: u64,
    /// Datagrams that were lost, and how many were sent (UDP).
    pub lost: u64,
    /// See `lost`.
    pub datagrams: u64,
    /// Bytes in each interval.
    pub intervals: Vec<u64>,
}

/// Runs a client to its end: `arguments` as on the command line, e.g. `-c 203.0.113.10 -t 2 -R`.
#[track_caller]
pub fn run(host: &Host, arguments: &str) -> Report {
    report(host.run(&format!("iperf3 --json {arguments}")))
}

/// Starts a client; [`report`] reads what it printed when it has ended.
pub fn start(host: &Host, arguments: &str) -> Program {
    host.spawn(&format!("iperf3 --json {arguments}"))
}

/// Reads what a client printed. Panics if it complains.
#[track_caller]
pub fn report(output: Output) -> Report {
    let json: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("iperf3 printed no JSON ({error}): {output}"));
    assert!(
        output.success() && json["error"].is_null(),
        "iperf3: {} {}",
        json["error"],
        output.stderr
    );
    let end = &json["end"];
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let received = match end["sum_received"].is_null() {
        true => &end["sum"],
        false => &end["sum_received"],
    };
    let intervals = json["intervals"].as_array().into_iter().flatten();
    Report {
        received: number(&received["bytes"]) as u64,
        speed: number(&received["bits_per_second"]),
        retransmits: number(&end["sum_sent"]["retransmits"]) as u64,
        lost: number(&end["sum"]["lost_packets"]) as u64,
        datagrams: number(&end["sum"]["packets"]) as u64,
        intervals: intervals
            .map(|interval| number(&interval["sum"]["bytes"]) as u64)
            .collect(),
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} Gbit/s", self.speed / 1e9)?;
        match self.datagrams {
            0 => write!(f, ", {} retransmits", self.retransmits),
            all => write!(f, ", {} of {all} datagrams lost", self.lost),
        }
    }
}
