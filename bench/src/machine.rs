//! What the rig asks of Linux: CPUs, threads, clocks.

use lab::Host;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Binds a thread (0: the current one) to a CPU.
pub fn pin(thread: i32, cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu).expect("a CPU's number");
    let pinned = sched_setaffinity(Pid::from_raw(thread), &cpus);
    pinned.unwrap_or_else(|error| panic!("cannot bind thread {thread} to CPU {cpu}: {error}"));
}

/// Binds all threads of a process to a CPU.
pub fn pin_all(process: u32, cpu: usize) {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter();
    for task in tasks.flatten().flatten() {
        if let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) {
            pin(thread, cpu);
        }
    }
}

/// The CPU time of a process, in nanoseconds, to the moment. A thread of the kernel is one.
pub fn cpu_time(process: i32) -> u64 {
    clock_getcpuclockid(Pid::from_raw(process)).map_or(0, read)
}

/// What a clock shows, in nanoseconds.
pub fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// The number of an interface of the current thread's network namespace.
pub fn ifindex(device: &str) -> u32 {
    nix::net::if_::if_nametoindex(device)
        .unwrap_or_else(|error| panic!("no interface {device}: {error}"))
}

/// Keeps everything off an interface that no benchmark sends.
pub fn quiet(host: &Host, device: &str) {
    host.sysctl(&format!("net.ipv6.conf.{device}.disable_ipv6"), "1");
    host.sysctl(&format!("net.ipv4.conf.{device}.rp_filter"), "0");
}

/// Lets an interface's packets be received by threads of their own, on a CPU, that go before all else, as a softirq
/// would.
pub fn threaded(host: &Host, device: &str, cpu: usize) {
    let namespace = host.namespace();
    let write = format!("echo 1 > /sys/class/net/{device}/threaded");
    let done = Command::new("ip")
        .args(["netns", "exec", namespace, "sh", "-c", &write])
        .status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "{device} does not take threaded NAPI"
    );
    let threads = napi(device);
    assert!(!threads.is_empty(), "{device} has no NAPI thread");
    for thread in threads {
        pin(thread, cpu);
        run("chrt", &["-f", "-p", "50", &thread.to_string()]);
    }
}

/// Lets this process and what it starts go before others that the machine runs.
pub fn go_first() {
    run(
        "renice",
        &["-n", "-20", "-p", &std::process::id().to_string()],
    );
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    assert!(
        output.is_ok_and(|output| output.status.success()),
        "{program} {} failed",
        arguments.join(" ")
    );
}

/// The threads that receive for an interface.
pub fn napi(device: &str) -> Vec<i32> {
    let prefix = format!("napi/{device}-");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.starts_with(&prefix))
        })
        .collect()
}

/// Bytes of memory of a process's own.
pub fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Bytes of memory of the BPF maps that a process has open, each counted once.
pub fn map_memory(process: u32) -> u64 {
    let files = fs::read_dir(format!("/proc/{process}/fdinfo")).into_iter();
    let mut maps = std::collections::BTreeMap::new();
    for file in files.flatten().flatten() {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        if let (Some(map), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(map, bytes);
        }
    }
    maps.values().sum()
}

/// Packets that the interfaces of a host could not send.
pub fn tx_dropped(host: &Host) -> u64 {
    let text = host.inside(|| fs::read_to_string("/proc/thread-self/net/dev"));
    let text = text.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter_map(|(_, columns)| columns.split_whitespace().nth(11)?.parse::<u64>().ok())
        .sum()
}

/// The kernel's version.
pub fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().into()
}

/// The processor, and how many of it there are.
pub fn name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let model = models.first().copied().unwrap_or("unknown processor");
    format!("{} x {model}", models.len())
}
