//! What the tests with real interfaces share. Every one works in namespaces of its own and takes them
//! away at its end, also if it fails.
#![allow(dead_code)]

pub mod site;

use datapath::netns;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Fails the test with a clear word if it cannot work.
pub fn need_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs root: it makes network namespaces"
    );
}

/// A network namespace that lasts as long as this value.
pub struct Scratch(pub String);

impl Scratch {
    /// Makes one whose name is used by nobody else.
    pub fn new() -> Scratch {
        need_root();
        let name = unique_name();
        netns::create(&name, || Ok(())).unwrap();
        Scratch(name)
    }

    /// Runs a command in it and gives what it printed; it must succeed.
    pub fn run(&self, command: &str) -> String {
        let mut words = command.split_whitespace();
        let mut command = netns::command(&self.0, words.next().unwrap()).unwrap();
        succeed(command.args(words))
    }

    /// Runs `work` inside.
    pub fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        netns::in_namespace(&self.0, work).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = netns::delete(&self.0);
    }
}

/// A name for a namespace or a system that no other test uses.
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "sld{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Runs a command that must succeed and gives what it printed.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
