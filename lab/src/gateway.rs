//! The program under test.

use crate::host::{Host, Lab};
use crate::program::{Output, Program};
use crate::wait::wait_for;
use engine::{SessionView, TraceView};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use sluice::socket::protocol::{PortView, StatsReport};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How long the gateway may take to start and to stop, in seconds.
const PATIENCE: f64 = 30.0;

/// The `sluice` binary: the one that `SLUICE` names, else the one that Cargo builds of this source.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SLUICE") {
            return path.into();
        }
        // Tests are in `target/PROFILE/deps`.
        let test = std::env::current_exe().unwrap();
        let dir = test.ancestors().nth(2).unwrap();
        let profile = match dir.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--locked",
                "-p",
                "sluice",
                "--profile",
                profile,
            ])
            .arg("--target-dir")
            .arg(dir.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success(), "cargo build -p sluice failed");
        dir.join("sluice")
    })
}

/// A gateway that runs in a host, with the lab's name as its own: a lab has one. It is killed when this is dropped;
/// what it leaves goes with the lab.
#[derive(Debug)]
pub struct Gateway<'a> {
    lab: &'a Lab,
    host: Host,
    daemon: Option<Program>,
    /// More words for the command line of the daemon.
    more: String,
}

impl<'a> Gateway<'a> {
    /// Starts one on a host and waits until it answers.
    #[track_caller]
    pub fn start(lab: &'a Lab, host: &Host, config: &str) -> Gateway<'a> {
        Gateway::start_with(lab, host, config, "")
    }

    /// Starts one on a host with more words on its command line, and waits until it answers.
    #[track_caller]
    pub fn start_with(lab: &'a Lab, host: &Host, config: &str, more: &str) -> Gateway<'a> {
        let mut gateway = Gateway {
            lab,
            host: host.clone(),
            daemon: None,
            more: more.into(),
        };
        gateway.edit(config);
        gateway.run();
        gateway
    }

    fn files(&self) -> [String; 3] {
        ["config.toml", "state", "control.sock"]
            .map(|name| self.lab.dir().join(name).display().to_string())
    }

    /// The command line of the daemon.
    pub fn command(&self) -> String {
        let [config, state, socket] = self.files();
        format!(
            "{} serve --netns {} --config {config} --state {state} --socket {socket} {}",
            binary().display(),
            self.host.namespace(),
            self.more,
        )
    }

    /// Starts the daemon with the files as they are and waits until it answers.
    #[track_caller]
    pub fn run(&mut self) {
        assert!(self.daemon.is_none(), "it runs already");
        let daemon = self.lab.spawn(&self.command());
        wait_for("the gateway to answer", PATIENCE, || {
            assert!(
                daemon.ended().is_none(),
                "the gateway ended: {}{}",
                daemon.stderr(),
                daemon.stdout()
            );
            self.cli("version").success()
        });
        self.daemon = Some(daemon);
    }

    /// Writes another configuration file, for the next start.
    pub fn edit(&self, config: &str) {
        fs::write(self.lab.dir().join("config.toml"), config).unwrap();
    }

    /// The configuration file for the next start.
    pub fn config(&self) -> String {
        fs::read_to_string(self.lab.dir().join("config.toml")).unwrap()
    }

    /// Kills the daemon with no chance to do anything.
    pub fn kill9(&mut self) {
        self.stop(Signal::SIGKILL);
    }

    /// Stops the daemon as a service manager does.
    pub fn terminate(&mut self) {
        let output = self.stop(Signal::SIGTERM);
        assert!(output.success(), "{output}");
    }

    /// Stops the daemon by a signal and starts it again.
    #[track_caller]
    pub fn restart(&mut self, signal: Signal) {
        self.stop(signal);
        self.run();
    }

    fn stop(&mut self, signal: Signal) -> Output {
        let daemon = self.daemon.take().expect("it does not run");
        daemon.signal(signal);
        let output = daemon.wait(PATIENCE);
        eprint!("{}", output.stderr);
        output
    }

    /// The process of the daemon, which must run.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("it does not run").pid()
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        let [_, _, socket] = self.files();
        socket.into()
    }

    /// Removes what the daemon has left, which must not run.
    #[track_caller]
    pub fn remove(&self) {
        assert!(self.daemon.is_none(), "it runs");
        let [config, state, _] = self.files();
        let (binary, namespace) = (binary().display(), self.host.namespace());
        let line = format!("{binary} down --netns {namespace} --config {config} --state {state}");
        self.lab.run(&line).ok();
    }

    /// What the daemon has logged since it was started last.
    pub fn log(&self) -> String {
        self.daemon
            .as_ref()
            .map(Program::stderr)
            .unwrap_or_default()
    }

    /// Identifier and secret of the first access key, which the daemon has just made.
    #[track_caller]
    pub fn first_key(&self) -> (String, String) {
        let told = self
            .daemon
            .as_ref()
            .map(Program::stdout)
            .unwrap_or_default();
        let mut lines = told.lines().filter_map(|line| line.strip_prefix("  "));
        match (lines.next(), lines.next()) {
            (Some(id), Some(secret)) => (id.into(), secret.into()),
            _ => panic!("no access key was made: {told}"),
        }
    }

    /// The command line of `sluice` with these words, separated by spaces, and this gateway's socket.
    pub fn cli_line(&self, words: &str) -> String {
        let [_, _, socket] = self.files();
        let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
        let binary = binary().display();
        format!("{binary} {command} --socket {socket} {rest}")
    }

    /// Runs `sluice` with these words and this gateway's socket.
    #[track_caller]
    pub fn cli(&self, words: &str) -> Output {
        self.lab.run(&self.cli_line(words))
    }

    /// Puts a backup in the place of its database.
    #[track_caller]
    pub fn restore(&self, backup: &Path) -> Output {
        let [config, state, _] = self.files();
        let (binary, backup) = (binary().display(), backup.display());
        let line = format!("{binary} restore {backup} --config {config} --state {state}");
        self.lab.run(&line)
    }

    #[track_caller]
    fn json<T: DeserializeOwned>(&self, words: &str) -> T {
        let text = self.cli(words).ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"))
    }

    /// Applies a configuration; an error is what the command says.
    #[track_caller]
    pub fn try_apply(&self, config: &str) -> Result<String, String> {
        let path = self.lab.dir().join("applied.toml");
        fs::write(&path, config).unwrap();
        let output = self.cli(&format!("apply {}", path.display()));
        match output.success() {
            true => Ok(output.stdout),
            false => Err(output.stderr),
        }
    }

    /// Applies a configuration that must be right.
    #[track_caller]
    pub fn apply(&self, config: &str) {
        if let Err(message) = self.try_apply(config) {
            panic!("{message}");
        }
    }

    /// All live sessions.
    #[track_caller]
    pub fn sessions(&self) -> Vec<SessionView> {
        self.json("sessions --json --limit 0")
    }

    /// The live sessions with this port or ICMP identifier at the opener's or the receiver's end.
    #[track_caller]
    pub fn sessions_of(&self, protocol: &str, port: u16) -> Vec<SessionView> {
        let mut sessions = self.sessions();
        sessions.retain(|session| {
            let ports = [
                session.original.src_port,
                session.original.dst_port,
                session.translated.dst_port,
            ];
            session.protocol == protocol && ports.contains(&port)
        });
        sessions
    }

    /// The counters.
    #[track_caller]
    pub fn stats(&self) -> StatsReport {
        self.json("stats --json")
    }

    /// How many packets were dropped for a reason.
    #[track_caller]
    pub fn drops(&self, reason: &str) -> u64 {
        let drops = self.stats().drops;
        let of = drops.iter().filter(|drop| drop.reason == reason);
        of.map(|drop| drop.packets).sum()
    }

    /// The interfaces.
    #[track_caller]
    pub fn ports(&self) -> Vec<PortView> {
        self.json("ports --json")
    }

    /// What would happen to a packet.
    #[track_caller]
    pub fn trace(&self, from: &str, to: &str) -> TraceView {
        self.json(&format!("trace --json --from {from} --to {to}"))
    }

    /// Where an instance runs whose namespace the gateway makes.
    pub fn instance(&self, id: &str) -> Host {
        self.lab.existing(id)
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log());
            for words in ["stats", "sessions --limit 50"] {
                eprintln!("{}", self.cli(words));
            }
        }
    }
}
