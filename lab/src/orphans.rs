//! Takes away what a lab leaves: at its end, and for labs whose test run was killed.

use crate::namespaces;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// What the names of all labs begin with; the number of the test process follows.
pub const PREFIX: &str = "slb";

/// Where the gateways' maps and links are pinned, each in a directory with the gateway's name.
const PINS: &str = "/run/sluice/bpf";

/// Where the gateways' sockets are by default, and the demo's files.
const RUN: &str = "/run/sluice";

/// Once a process: takes away the labs of processes that are no more.
pub fn clear_once() {
    static CLEARED: Once = Once::new();
    CLEARED.call_once(|| {
        let files = fs::read_dir(std::env::temp_dir()).into_iter().flatten();
        let mut names = namespaces::list();
        names.extend(
            files
                .flatten()
                .filter_map(|e| e.file_name().into_string().ok()),
        );
        let mut dead: Vec<&str> = names.iter().filter_map(|name| dead_process(name)).collect();
        dead.sort_unstable();
        dead.dedup();
        dead.into_iter().for_each(clear);
    });
}

/// `slb123-` of `slb123-4-web-gw`, if process 123 is no more.
fn dead_process(name: &str) -> Option<&str> {
    let number = name.strip_prefix(PREFIX)?;
    let digits = number.find('-')?;
    let pid: u32 = number[..digits].parse().ok()?;
    let gone = !Path::new("/proc").join(pid.to_string()).exists();
    gone.then(|| &name[..PREFIX.len() + digits + 1])
}

/// Takes away everything whose name begins with `prefix`: processes, namespaces, pins, files.
pub fn clear(prefix: &str) {
    for pid in processes(prefix) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    for name in namespaces::list() {
        if name.starts_with(prefix) {
            namespaces::delete(&name);
        }
    }
    for path in paths(prefix) {
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
}

/// What there is whose name begins with `prefix`: processes, namespaces, pins, sockets, files.
pub fn left(prefix: &str) -> Vec<String> {
    let processes = processes(prefix).into_iter();
    let namespaces = namespaces::list().into_iter();
    let paths = paths(prefix).into_iter();
    processes
        .map(|pid| format!("process {pid}"))
        .chain(namespaces.filter(|name| name.starts_with(prefix)))
        .chain(paths.map(|path| path.display().to_string()))
        .collect()
}

/// Pins, sockets and files.
fn paths(prefix: &str) -> Vec<PathBuf> {
    let dirs = [PINS.into(), RUN.into(), std::env::temp_dir()];
    let entries = dirs
        .iter()
        .flat_map(|dir: &PathBuf| fs::read_dir(dir))
        .flatten()
        .flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect()
}

/// Processes with `prefix` in an argument: each has a path or a namespace of the lab there.
fn processes(prefix: &str) -> Vec<i32> {
    let of_us = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(prefix)
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(of_us)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labs_of_dead_processes_are_orphans() {
        let own = format!("{PREFIX}{}-0-web", std::process::id());
        assert_eq!(dead_process(&own), None);
        // Process numbers end at 4194304.
        assert_eq!(dead_process("slb4194999-3-web-gw"), Some("slb4194999-"));
        for other in ["slb", "slb-", "slbx-1", "sluice-web", "slb4194999"] {
            assert_eq!(dead_process(other), None, "{other}");
        }
    }
}
