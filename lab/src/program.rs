//! Programs that run beside the test.

use crate::wait::wait_some;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// What a program did.
#[derive(Clone, Debug)]
pub struct Output {
    /// What it was.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// Whether it ended well.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// What it printed. Panics with everything it said if it did not end well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success(), "{self}");
        self.stdout
    }

    /// What it complained about, or printed. Panics if it ended well.
    #[track_caller]
    pub fn fails(self) -> String {
        assert!(!self.success(), "this should have failed: {self}");
        self.stderr + &self.stdout
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` ended with {}\n{}{}",
            self.command, self.status, self.stdout, self.stderr
        )
    }
}

/// A running program. It is killed, with all its children, when this is dropped.
///
/// What it prints goes to files, so it never waits for a reader, and can be read while it runs.
#[derive(Debug)]
pub struct Program {
    command: String,
    child: RefCell<Child>,
    reaped: Cell<Option<ExitStatus>>,
    files: PathBuf,
}

impl Program {
    /// Starts a command; `files` is the path, without extension, of the files for its output.
    pub(crate) fn start(mut command: Command, name: String, files: PathBuf) -> Program {
        let file = |extension| File::create(files.with_extension(extension)).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{name}`: {error}"));
        Program {
            command: name,
            child: RefCell::new(child),
            reaped: Cell::new(None),
            files,
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    /// What it has printed up to now.
    pub fn stdout(&self) -> String {
        self.read("out")
    }

    /// What it has complained about up to now.
    pub fn stderr(&self) -> String {
        self.read("err")
    }

    fn read(&self, extension: &str) -> String {
        let bytes = fs::read(self.files.with_extension(extension)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        if self.reaped.get().is_none() {
            self.reaped.set(self.child.borrow_mut().try_wait().unwrap());
        }
        self.reaped.get()
    }

    /// Sends a signal to it and its children, if it still runs.
    pub fn signal(&self, signal: Signal) {
        if self.ended().is_none() {
            let _ = killpg(Pid::from_raw(self.pid() as i32), signal);
        }
    }

    /// Sends a signal to it and not to its children, if it still runs.
    pub fn signal_alone(&self, signal: Signal) {
        if self.ended().is_none() {
            let _ = kill(Pid::from_raw(self.pid() as i32), signal);
        }
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        if self.ended().is_none() {
            self.reaped.set(self.child.borrow_mut().wait().ok());
        }
    }

    /// Waits until it ends. Panics if it takes longer than `seconds`.
    #[track_caller]
    pub fn wait(&self, seconds: f64) -> Output {
        let what = format!("the end of `{}`", self.command);
        let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_some(&what, seconds, || self.ended())
        }));
        let status = status.unwrap_or_else(|panic| {
            eprintln!("{}{}", self.stdout(), self.stderr());
            std::panic::resume_unwind(panic)
        });
        Output {
            command: self.command.clone(),
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
