//! The gateway and what a person would use instead, on the same work in the same run.
//!
//! `bench/run` builds and starts it; [docs/performance.md](../../docs/performance.md) explains the method.

mod contender;
mod flows;
mod load;
mod machine;
mod parts;
mod programs;
mod punt;
mod race;
mod report;
mod road;
mod site;
mod stats;
mod supervisor;
mod sys;

use clap::{Parser, ValueEnum};
use race::Effort;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Measures Sluice and its peers on the same work.
#[derive(Debug, Parser)]
#[command(name = "bench/run")]
struct Cli {
    /// What to measure [default: everything]
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// Write what was measured to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure just enough to see that everything works: the figures mean nothing
    #[arg(long)]
    quick: bool,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Small packets of open flows
    Packets,
    /// New sessions
    Sessions,
    /// Many DNAT entries
    Entries,
    /// A NAT firewall, and many policies
    Firewall,
    /// A NAT firewall that looks into HTTP and TLS
    Inspection,
    /// TCP in bulk
    Bulk,
    /// Short HTTP connections
    Http,
    /// Latency at half load
    Latency,
    /// A hit in the flow table
    Hit,
    /// Memory of sessions
    Memory,
    /// Changes of the configuration under load
    Change,
    /// A restart of the daemon under load
    Restart,
    /// The cloud API
    Api,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(code) = supervisor::watch() {
        return code;
    }
    machine::go_first();
    load::prepare();
    let (effort, many) = match cli.quick {
        true => (
            Effort {
                rounds: 3,
                slice: Duration::from_millis(30),
            },
            20_000,
        ),
        false => (
            Effort {
                rounds: 25,
                slice: Duration::from_millis(80),
            },
            1_000_000,
        ),
    };
    let began = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut report = Report {
        machine: machine::name(),
        kernel: machine::kernel(),
        began: began.as_secs(),
        rows: Vec::new(),
    };
    for part in Part::value_variants() {
        if !cli.parts.is_empty() && !cli.parts.contains(part) {
            continue;
        }
        match part {
            Part::Packets => parts::packets::run(effort, many, &mut report),
            Part::Sessions => parts::sessions::run(effort, many, &mut report),
            Part::Entries => parts::entries::run(effort, cli.quick, &mut report),
            Part::Firewall => parts::firewall::run(effort, cli.quick, &mut report),
            Part::Inspection => parts::inspection::run(cli.quick, &mut report),
            Part::Bulk => parts::bulk::run(cli.quick, &mut report),
            Part::Http => parts::http::run(cli.quick, &mut report),
            Part::Latency => parts::latency::run(effort, &mut report),
            Part::Hit => parts::hit::run(&mut report),
            Part::Memory => parts::memory::run(2 * many, &mut report),
            Part::Change => {
                parts::change::run(cli.quick, &mut report);
                parts::commit::run(cli.quick, &mut report);
            }
            Part::Restart => parts::restart::run(many, &mut report),
            Part::Api => parts::api::run(cli.quick, &mut report),
        }
    }
    println!("\n{}", report.table());
    if let Some(path) = cli.json {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
