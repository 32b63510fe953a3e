//! Network namespaces by name, as `ip netns` makes them.

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;

const DIR: &str = "/run/netns";

/// Runs a command of the lab's own that must succeed.
pub fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names of all namespaces.
pub fn list() -> Vec<String> {
    let entries = fs::read_dir(DIR).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Runs `work` on a thread inside a namespace. Sockets opened there stay there.
pub fn inside<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> R {
    let file = File::open(Path::new(DIR).join(name))
        .unwrap_or_else(|error| panic!("cannot open the namespace {name}: {error}"));
    let work = || {
        setns(&file, CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|error| panic!("cannot enter the namespace {name}: {error}"));
        work()
    };
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A command that will run inside a namespace.
pub fn command(name: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={DIR}/{name}")).arg(program);
    command
}

/// Ends every process in a namespace and takes the namespace away.
pub fn delete(name: &str) {
    let pids = Command::new("ip").args(["netns", "pids", name]).output();
    let pids = pids.map(|output| output.stdout).unwrap_or_default();
    for pid in String::from_utf8_lossy(&pids).lines() {
        if let Ok(pid) = pid.trim().parse() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    let _ = Command::new("ip").args(["netns", "delete", name]).output();
}
