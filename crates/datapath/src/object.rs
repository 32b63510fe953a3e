//! The kernel half as it was built (`cargo xtask kernel`), and what can go wrong between it and a kernel.

use crate::maps::Sizes;
use aya::{Ebpf, EbpfLoader, Pod};
use flow::abi;
use nix::time::{ClockId, clock_getres};
use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The programs' object file.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../kernel/sluice.bpf.o");

/// The oldest kernel with everything that the programs and their attachment use. The youngest part is
/// TCX, the way to attach to an interface's traffic control that survives the daemon.
pub const OLDEST_KERNEL: (u32, u32) = (6, 6);

/// Why the kernel half could not be brought into place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The kernel does not let us.
    #[error(
        "{what}: not permitted; this needs root (the capabilities CAP_BPF, CAP_NET_ADMIN and, to mount \
         a bpf file system, CAP_SYS_ADMIN), and a container needs them from its host"
    )]
    NotPermitted {
        /// What was tried.
        what: String,
    },
    /// The kernel has no `bpf` system call.
    #[error(
        "{what}: this kernel has no bpf system call; it needs CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF"
    )]
    NoBpf {
        /// What was tried.
        what: String,
    },
    /// The kernel is too old.
    #[error(
        "{what}: {problem}; this kernel is {found}, and Linux {}.{} or later is needed",
        OLDEST_KERNEL.0,
        OLDEST_KERNEL.1
    )]
    TooOld {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        problem: String,
        /// The kernel's release.
        found: String,
    },
    /// Another daemon uses the same maps.
    #[error("another daemon is running on {}; stop it, or give this one another system name", dir.display())]
    Busy {
        /// The directory of pins.
        dir: PathBuf,
    },
    /// There is no bpf file system for the pins, and no place to mount one.
    #[error(
        "{} is not on a bpf file system and is no empty directory to mount one on; name another \
         directory, or mount one there: mount -t bpf bpf {}", parent.display(), parent.display()
    )]
    NoBpffs {
        /// The parent of the directory of pins.
        parent: PathBuf,
    },
    /// The flow table cannot have this size.
    #[error(
        "a flow table of {slots} slots is not possible; take an even number from {} to 2^25",
        flow::table::MIN_SLOTS
    )]
    Slots {
        /// What was wanted.
        slots: u32,
    },
    /// The queue of punted packets cannot have this size.
    #[error("a queue of {bytes} bytes is not possible; take a power of two from 2^18 to 2^30")]
    QueueSize {
        /// What was wanted.
        bytes: u32,
    },
    /// The interface takes no program at this hook.
    #[error("interface {interface} takes no {hook} program: {problem}")]
    Attach {
        /// The interface's name.
        interface: String,
        /// The hook.
        hook: &'static str,
        /// The kernel's answer.
        problem: String,
    },
    /// There is no such interface.
    #[error("there is no interface with the index {0} in this network namespace")]
    NoInterface(u32),
    /// Any other failure.
    #[error("{what}: {problem}")]
    Failed {
        /// What was tried.
        what: String,
        /// The answer.
        problem: String,
    },
}

/// Gives an error of the kernel or of the loader its meaning.
pub(crate) trait Meaning<T> {
    /// `what` says what was tried, on what.
    fn meaning(self, what: impl FnOnce() -> String) -> Result<T, KernelError>;
}

impl<T, E: StdError + 'static> Meaning<T> for Result<T, E> {
    fn meaning(self, what: impl FnOnce() -> String) -> Result<T, KernelError> {
        self.map_err(|error| explain(what(), &error))
    }
}

pub(crate) fn explain(what: String, error: &(dyn StdError + 'static)) -> KernelError {
    let problem = chain(error);
    match errno(error) {
        Some(libc::EPERM) => KernelError::NotPermitted { what },
        // To root, this is what the verifier says to a program.
        Some(libc::EACCES) if !nix::unistd::geteuid().is_root() => {
            KernelError::NotPermitted { what }
        }
        Some(libc::ENOSYS) => KernelError::NoBpf { what },
        _ => match release() {
            (found, Some(version)) if version < OLDEST_KERNEL => KernelError::TooOld {
                what,
                problem,
                found,
            },
            _ => KernelError::Failed { what, problem },
        },
    }
}

/// The number of the system's error that is at the bottom of `error`.
pub(crate) fn errno(error: &(dyn StdError + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        if let Some(errno) = error.downcast_ref::<nix::errno::Errno>() {
            return Some(*errno as i32);
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line, each said once.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// The running kernel's release, and its version if that can be read.
fn release() -> (String, Option<(u32, u32)>) {
    let release = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    let version = number().and_then(|major| Some((major, number()?)));
    (release, version)
}

/// The programs' configuration, as the loader writes it into the object.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Config(pub abi::Config);

// SAFETY: three words and two half words without padding between, valid for every bit pattern.
unsafe impl Pod for Config {}

const _: () = assert!(size_of::<abi::Config>() == 24);

/// Parses the object, with its maps created or, where a pin of their name is in `dir`, opened.
pub(crate) fn load(dir: &Path, config: &abi::Config, sizes: Sizes) -> Result<Ebpf, KernelError> {
    EbpfLoader::new()
        .btf(None)
        .default_map_pin_directory(dir)
        .map_max_entries("FLOWS", sizes.slots)
        .map_max_entries("PUNTS", sizes.queue)
        .override_global("CONFIG", &Config(*config), true)
        .override_global("TICK", &tick()?, true)
        .override_global("QUEUE", &u64::from(sizes.queue), true)
        .load(OBJECT)
        .meaning(|| "load the kernel programs' maps".into())
}

/// Nanoseconds of a kernel's tick: the resolution of its coarse clocks.
fn tick() -> Result<u64, KernelError> {
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
        .meaning(|| "read the resolution of CLOCK_MONOTONIC_COARSE".into())?;
    Ok(Duration::from(resolution).as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_is_missing() {
        let not_root =
            Err::<(), _>(io::Error::from_raw_os_error(libc::EPERM)).meaning(|| "do x".into());
        let text = not_root.unwrap_err().to_string();
        assert!(
            text.starts_with("do x: not permitted; this needs root"),
            "{text}"
        );
        let no_bpf = Err::<(), _>(nix::errno::Errno::ENOSYS).meaning(|| "do x".into());
        assert!(matches!(no_bpf, Err(KernelError::NoBpf { .. })));
    }

    #[test]
    fn the_release_is_understood() {
        let (text, version) = release();
        let version = version.expect("Linux releases begin with two numbers");
        assert!(text.starts_with(&format!("{}.{}", version.0, version.1)));
    }
}
