//! The demo's stage: what is run on it, and how it is cleared.

use super::scenario::{DIR, GATEWAY, LOG, NAME, PREFIX, WEB_SERVERS, WebServer};
use crate::error::Error;
use crate::socket::client::Client;
use crate::socket::protocol::{Request, Response};
use crate::socket::{RUN_DIR, socket_path};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How long the gateway may take to start.
const START_TIME: Duration = Duration::from_secs(20);

/// How long programs may take to end when they are asked to.
const END_TIME: Duration = Duration::from_secs(5);

/// What a program that ran said.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// The stage. Dropped, it is cleared, however the demo ended.
#[derive(Debug)]
pub struct Stage {
    interrupted: Arc<AtomicBool>,
    gateway: Option<Child>,
    keep: bool,
    _lock: File,
}

impl Stage {
    /// Takes the stage for this demo, and clears away what an earlier one has left.
    ///
    /// # Errors
    /// If another demo is on it, or it cannot be cleared.
    pub fn open(out: &mut impl Write) -> Result<Stage, Error> {
        let interrupted = Arc::<AtomicBool>::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, interrupted.clone())
                .map_err(Error::io("handle signals"))?;
        }
        fs::create_dir_all(RUN_DIR).map_err(Error::io(format!("make {RUN_DIR}")))?;
        // Nobody else locks the directory, and so no file is left.
        let lock = File::open(RUN_DIR).map_err(Error::io(format!("open {RUN_DIR}")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Other("another demo runs: wait for its end".into()));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Error::io(format!("lock {RUN_DIR}"))(error));
            }
        }
        if clear()? {
            writeln!(out, "Removed what an earlier demo had left.").map_err(Error::Output)?;
        }
        Ok(Stage {
            interrupted,
            gateway: None,
            keep: false,
            _lock: lock,
        })
    }

    /// Leaves everything standing when the demo ends.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// An error if the user wants to stop.
    pub fn check(&self) -> Result<(), Error> {
        match self.interrupted.load(Relaxed) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }

    /// Runs a command line to its end: words between spaces, no quotes; `sluice` is this program.
    ///
    /// # Errors
    /// If it cannot be run, or the user wants to stop. What it exits with is no error here.
    pub fn run(&self, line: &str) -> Result<Output, Error> {
        self.check()?;
        let output = command(line)?
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io(format!("run `{line}`")))?;
        // Ctrl-C reaches the program too: its failure is none to report then.
        self.check()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    /// Runs a command line that must succeed.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn must(&self, line: &str) -> Result<Output, Error> {
        let output = self.run(line)?;
        match output.code {
            Some(0) => Ok(output),
            _ => Err(Error::Other(format!(
                "`{line}` failed: {}{}",
                output.stderr.trim(),
                output.stdout.trim()
            ))),
        }
    }

    /// Starts the gateway in the background and waits until it answers.
    ///
    /// # Errors
    /// If it ends or does not answer, with the last lines of its log.
    pub fn start_gateway(&mut self, line: &str) -> Result<(), Error> {
        self.check()?;
        let log = File::create(LOG).map_err(Error::io(format!("write {LOG}")))?;
        let child = command(line)?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for the demo, which then stops the gateway.
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("run `{line}`")))?;
        let gateway = self.gateway.insert(child);
        let deadline = Instant::now() + START_TIME;
        let failure = loop {
            if self.interrupted.load(Relaxed) {
                return Err(Error::Interrupted);
            }
            if let Ok(Some(status)) = gateway.try_wait() {
                break format!("the gateway ended at once ({status})");
            }
            let answer = Client::connect(&socket_path(NAME))
                .and_then(|mut client| client.ask(&Request::Version));
            if matches!(answer, Ok(Response::Version(_))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                break format!(
                    "the gateway does not answer after {} s",
                    START_TIME.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(20));
        };
        Err(Error::Other(format!(
            "{failure}; its log ends with\n{}",
            log_end()
        )))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Some(gateway) = &mut self.gateway {
            // Asked to, it removes everything itself; whatever it leaves is cleared below.
            let _ = kill(Pid::from_raw(gateway.id().cast_signed()), Signal::SIGTERM);
            let deadline = Instant::now() + END_TIME;
            while matches!(gateway.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
        if let Err(error) = clear() {
            eprintln!("sluice: the demo could not be removed: {error}. Try `sluice demo --remove`");
        }
    }
}

/// The last lines that the gateway logged.
pub fn log_end() -> String {
    let log = fs::read_to_string(LOG).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A command line as a command.
fn command(line: &str) -> Result<Command, Error> {
    let mut words = line.split_whitespace();
    let mut command = match words.next().unwrap_or_default() {
        "sluice" => {
            let path = std::env::current_exe().map_err(Error::io("find this program"))?;
            Command::new(path)
        }
        program => Command::new(program),
    };
    command
        .args(words)
        .env("SLUICE_NAME", NAME)
        .env_remove("SLUICE_SOCKET");
    Ok(command)
}

/// Removes everything that a demo makes, and says whether there was anything. Nothing of it is known but
/// the names, so that it also removes what a killed demo has left.
///
/// # Errors
/// If something cannot be removed.
pub fn clear() -> Result<bool, Error> {
    let names = namespaces()?;
    let pins = Path::new(datapath::PINS).join(NAME);
    let found = !names.is_empty() || Path::new(DIR).exists() || pins.exists();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let deadline = Instant::now() + END_TIME;
        loop {
            let inside = names.iter().flat_map(|name| processes_in(name));
            let processes: Vec<Pid> = inside.chain(web_servers()).collect();
            if processes.is_empty() || Instant::now() > deadline {
                break;
            }
            for process in processes {
                let _ = kill(process, signal);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    let gateway = names.iter().any(|name| name == GATEWAY).then_some(GATEWAY);
    datapath::remove(NAME, gateway)?;
    for name in namespaces()? {
        datapath::netns::delete(&name)?;
    }
    match fs::remove_dir_all(DIR) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io(format!("remove {DIR}"))(error));
        }
        _ => {}
    }
    let _ = fs::remove_file(socket_path(NAME));
    Ok(found)
}

/// The demo's network namespaces.
fn namespaces() -> Result<Vec<String>, Error> {
    let mut names = datapath::netns::list()?;
    names.retain(|name| name.starts_with(PREFIX));
    Ok(names)
}

/// The web servers: they outlive the name of their namespace if the gateway has removed it.
fn web_servers() -> Vec<Pid> {
    let running = |server: &WebServer| {
        let pid = fs::read_to_string(server.file("pid"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        // The number may be another process's by now.
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "nginx").then(|| Pid::from_raw(pid))
    };
    WEB_SERVERS.iter().filter_map(running).collect()
}

/// The processes in a network namespace.
fn processes_in(namespace: &str) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(Path::new(datapath::netns::RUN_DIR).join(namespace)) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let its = fs::metadata(entry.path().join("ns/net")).ok()?;
            let same = (its.dev(), its.ino()) == (wanted.dev(), wanted.ino());
            same.then(|| Pid::from_raw(pid))
        })
        .collect()
}
