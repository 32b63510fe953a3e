//! Hosts and the links between them.

use crate::namespaces::{self, succeed};
use crate::orphans;
use crate::program::{Output, Program};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long a program may run that [`Host::run`] waits for, in seconds.
const PATIENCE: f64 = 30.0;

/// Who may run: many tests beside each other, or one alone.
static RUNNING: RwLock<()> = RwLock::new(());

/// A test's turn, as long as this lives.
#[derive(Debug)]
enum Turn {
    BesideOthers {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

impl Turn {
    fn beside_others() -> Turn {
        let _guard = RUNNING.read().unwrap_or_else(PoisonError::into_inner);
        Turn::BesideOthers { _guard }
    }

    fn alone() -> Turn {
        let _guard = RUNNING.write().unwrap_or_else(PoisonError::into_inner);
        Turn::Alone { _guard }
    }
}

/// A set of network namespaces that belong together, with a directory for files.
#[derive(Debug)]
pub struct Lab {
    _turn: Option<Turn>,
    /// What only names of this lab begin with.
    prefix: String,
    name: String,
    dir: PathBuf,
    hosts: RefCell<Vec<Host>>,
}

impl Lab {
    /// An empty lab; `name` says what for, in at most 16 characters. Other tests run at the same time.
    pub fn new(name: &str) -> Lab {
        Lab::make(name, Some(Turn::beside_others()))
    }

    /// An empty lab for a test that no other test may disturb.
    pub fn alone(name: &str) -> Lab {
        Lab::make(name, Some(Turn::alone()))
    }

    /// A second lab of the same test.
    pub fn another(&self, name: &str) -> Lab {
        Lab::make(name, None)
    }

    fn make(name: &str, turn: Option<Turn>) -> Lab {
        assert!(
            nix::unistd::geteuid().is_root(),
            "the lab needs root, for network namespaces: run `sudo -E env PATH=$PATH cargo test -p lab`"
        );
        orphans::clear_once();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{}{}-{number}-", orphans::PREFIX, std::process::id());
        let name = format!("{prefix}{name}");
        assert!(name.len() <= 32, "{name} is too long for a gateway's name");
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir(&dir).unwrap();
        Lab {
            _turn: turn,
            prefix,
            name,
            dir,
            hosts: RefCell::default(),
        }
    }

    /// The lab's name, unique on this machine: the beginning of all its names, and the name of its
    /// gateway.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A directory for files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a host: a network namespace with nothing in it but `lo`.
    pub fn host(&self, name: &str) -> Host {
        let host = self.existing(name);
        succeed("ip", &["netns", "add", &host.namespace]);
        succeed("ip", &["-n", &host.namespace, "link", "set", "lo", "up"]);
        for (key, value) in [
            // Only IPv4 is spoken here, and nothing should be heard that no test has sent.
            ("net.ipv6.conf.all.disable_ipv6", "1"),
            ("net.ipv6.conf.default.disable_ipv6", "1"),
            // A test may provoke many errors and wants to see each.
            ("net.ipv4.icmp_ratelimit", "0"),
            ("net.ipv4.icmp_msgs_per_sec", "1000000"),
            ("net.ipv4.conf.all.send_redirects", "0"),
            ("net.ipv4.conf.default.send_redirects", "0"),
        ] {
            host.sysctl(key, value);
        }
        host
    }

    /// A host whose namespace somebody else makes or has made: `NAME-host`, as for the instances of
    /// the lab's gateway.
    pub fn existing(&self, name: &str) -> Host {
        let host = Host {
            name: name.into(),
            namespace: format!("{}-{name}", self.name),
            dir: self.dir.clone(),
        };
        self.hosts.borrow_mut().push(host.clone());
        host
    }

    /// Connects two hosts by a veth pair, each end `(host, device, address/prefix)`; the address may be
    /// empty. Both ends are up.
    pub fn link(&self, a: (&Host, &str, &str), b: (&Host, &str, &str)) {
        let (namespace, peer) = (&a.0.namespace, &b.0.namespace);
        succeed(
            "ip",
            &[
                "link", "add", a.1, "netns", namespace, "type", "veth", "peer", "name", b.1,
                "netns", peer,
            ],
        );
        for (host, device, address) in [a, b] {
            if !address.is_empty() {
                host.address(device, address);
            }
            host.ip(&format!("link set dev {device} up"));
        }
    }

    /// Runs a program in the machine's own namespaces. Panics if it takes far longer than 30 s.
    #[track_caller]
    pub fn run(&self, command: &str) -> Output {
        self.spawn(command).wait(PATIENCE)
    }

    /// Starts a program in the machine's own namespaces.
    pub fn spawn(&self, command: &str) -> Program {
        start(None, &self.dir, command)
    }

    /// What went wrong with checksums on any host.
    fn checksum_errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for host in self.hosts.borrow().iter() {
            let Some(counters) = host.try_counters() else {
                continue;
            };
            for (name, value) in counters {
                if name.ends_with("CsumErrors") && value > 0 {
                    errors.push(format!("{}: {name} = {value}", host.name));
                }
            }
        }
        errors
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed && std::env::var_os("LAB_KEEP").is_some() {
            eprintln!(
                "the lab {} stays, with its files in {}",
                self.name,
                self.dir.display()
            );
            return;
        }
        let errors = self.checksum_errors();
        orphans::clear(&self.prefix);
        assert!(
            failed || errors.is_empty(),
            "packets with wrong checksums arrived: {}",
            errors.join(", ")
        );
    }
}

/// A network namespace.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: String,
    dir: PathBuf,
}

impl Host {
    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its network namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A path for a file of this host.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{}-{name}", self.name))
    }

    /// Writes a file of this host and gives its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Starts a program: words separated by spaces, or, if there is a quote or another character that a
    /// shell would mind, a command of the shell.
    pub fn spawn(&self, command: &str) -> Program {
        start(Some(&self.namespace), &self.dir, command)
    }

    /// Runs a program to its end. Panics if it takes far longer than 30 s.
    #[track_caller]
    pub fn run(&self, command: &str) -> Output {
        self.spawn(command).wait(PATIENCE)
    }

    /// Runs a program that must end well, and gives what it printed.
    #[track_caller]
    pub fn ok(&self, command: &str) -> String {
        self.run(command).ok()
    }

    /// Runs a program that must not end well, and gives what it said.
    #[track_caller]
    pub fn fails(&self, command: &str) -> String {
        self.run(command).fails()
    }

    /// Runs `ip` on it.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        let mut words = vec!["-n", &self.namespace];
        words.extend(arguments.split_whitespace());
        succeed("ip", &words)
    }

    /// Gives a device an address.
    #[track_caller]
    pub fn address(&self, device: &str, address: &str) {
        self.ip(&format!("address add {address} brd + dev {device}"));
    }

    /// Sets the route to everything else.
    #[track_caller]
    pub fn default_route(&self, gateway: &str) {
        self.ip(&format!("route replace default via {gateway}"));
    }

    /// Makes it forward packets.
    pub fn forward(&self) {
        self.sysctl("net.ipv4.ip_forward", "1");
    }

    /// Sets a `net.…` variable.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        self.inside(|| fs::write(&path, value))
            .unwrap_or_else(|error| panic!("cannot set {key} to {value}: {error}"));
    }

    /// Prepares a veth end for XDP at the other end: checksums are complete when packets leave, and what
    /// XDP sends this way is received (veth takes redirected packets only with NAPI, which GRO switches
    /// on).
    #[track_caller]
    pub fn face_xdp(&self, device: &str) {
        self.ok(&format!("ethtool -K {device} tx off gro on"));
    }

    /// Runs `work` on a thread inside. Sockets opened there stay there.
    pub fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        namespaces::inside(&self.namespace, work)
    }

    /// What the kernel counts here, as `Tcp.RetransSegs` or `Udp.InCsumErrors`.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.try_counters()
            .unwrap_or_else(|| panic!("there is no namespace {}", self.namespace))
    }

    /// One of the kernel's counters.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        *self
            .counters()
            .get(name)
            .unwrap_or_else(|| panic!("there is no counter {name}"))
    }

    fn try_counters(&self) -> Option<BTreeMap<String, u64>> {
        if !namespaces::list().contains(&self.namespace) {
            return None;
        }
        let read = |file: &str| {
            fs::read_to_string(Path::new("/proc/thread-self/net").join(file)).unwrap_or_default()
        };
        let text = self.inside(|| read("snmp") + &read("netstat"));
        Some(parse_counters(&text))
    }
}

/// Reads pairs of lines, `Tcp: names…` and `Tcp: values…`.
fn parse_counters(text: &str) -> BTreeMap<String, u64> {
    let lines: Vec<&str> = text.lines().collect();
    let mut counters = BTreeMap::new();
    for pair in lines.chunks_exact(2) {
        let mut names = pair[0].split_whitespace();
        let group = names.next().unwrap_or_default().trim_end_matches(':');
        for (name, value) in names.zip(pair[1].split_whitespace().skip(1)) {
            // Some values are -1 for "no limit"; those are no counts.
            if let Ok(value) = value.parse() {
                counters.insert(format!("{group}.{name}"), value);
            }
        }
    }
    counters
}

fn start(namespace: Option<&str>, dir: &Path, line: &str) -> Program {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let for_shell = line.contains(|c: char| "\"'$;&|<>*(){}\\\n".contains(c));
    let words: Vec<&str> = match for_shell {
        true => vec!["sh", "-c", line],
        false => line.split_whitespace().collect(),
    };
    let mut command = match namespace {
        Some(namespace) => namespaces::command(namespace, words[0]),
        None => std::process::Command::new(words[0]),
    };
    command.args(&words[1..]);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = match namespace {
        Some(namespace) => format!("{namespace}: {line}"),
        None => line.into(),
    };
    Program::start(command, name, dir.join(format!("program-{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_come_in_pairs_of_lines() {
        let text = "Tcp: RtoMax MaxConn RetransSegs\nTcp: 120 -1 7\nIp: A\nIp: 2\n";
        let counters = parse_counters(text);
        assert_eq!(counters["Tcp.RetransSegs"], 7);
        assert_eq!(counters["Ip.A"], 2);
        assert!(!counters.contains_key("Tcp.MaxConn"));
    }
}
