//! Whatever ends the benchmark, also Ctrl-C or a crash, nothing is left behind: the work is done by a child, and its
//! parent cleans up.

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};

/// Tells a process that it is the child.
const CHILD: &str = "SLUICE_BENCH_CHILD";

/// The machine's limits of conntrack, which a million sessions do not fit in, and what they are set to meanwhile.
const LIMITS: [(&str, u64); 2] = [
    ("/proc/sys/net/netfilter/nf_conntrack_max", 4 << 20),
    ("/proc/sys/net/netfilter/nf_conntrack_buckets", 2 << 20),
];

/// In the parent, runs the child to its end and gives its result; in the child, `None`.
pub fn watch() -> Option<ExitCode> {
    if std::env::var_os(CHILD).is_some() {
        return None;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("the benchmark makes network namespaces and needs root: start it with bench/run");
        return Some(ExitCode::FAILURE);
    }
    let limits: Vec<_> = LIMITS
        .iter()
        .map(|(path, wanted)| raise(path, *wanted))
        .collect();
    let code = match Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD]) {
        Ok(signals) => work(signals),
        Err(error) => {
            eprintln!("cannot handle signals: {error}");
            ExitCode::FAILURE
        }
    };
    for (path, before) in limits.into_iter().flatten() {
        let _ = fs::write(path, before);
    }
    Some(code)
}

fn work(mut signals: Signals) -> ExitCode {
    let child = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(CHILD, "1")
            // Ctrl-C is for the parent.
            .process_group(0)
            .spawn()
    });
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("cannot start the benchmark: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = wait(&mut child, &mut signals);
    lab::clear_named(&format!("slb{}-", child.id()));
    code
}

fn wait(child: &mut Child, signals: &mut Signals) -> ExitCode {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return match status.success() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            };
        }
        for signal in signals.wait() {
            if signal != SIGCHLD {
                let _ = child.kill();
                let _ = child.wait();
                eprintln!("interrupted");
                return ExitCode::from(130);
            }
        }
    }
}

/// Raises a limit and gives what it was.
fn raise(path: &'static str, wanted: u64) -> Option<(&'static str, String)> {
    let before = fs::read_to_string(path).ok()?;
    let value: u64 = before.trim().parse().ok()?;
    if value >= wanted {
        return None;
    }
    fs::write(path, wanted.to_string()).ok()?;
    Some((path, before))
}
