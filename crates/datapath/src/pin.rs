//! Taking away what is pinned on a bpf file system.

use crate::object::{KernelError, Meaning};
use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{fs, ptr};

/// Detaches a pinned link and removes its pin, if it is there. When this returns, the program has taken
/// its last packet; without its pin alone, the link would go when the kernel finds the time.
pub(crate) fn detach(pin: &Path) -> Result<(), KernelError> {
    match open(pin) {
        // What cannot be detached has lost its interface.
        Ok(link) => drop(link_detach(link.as_raw_fd())),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // Something else than a link, or nothing at all.
        Err(_) => {}
    }
    remove(pin)
}

/// Removes a pin if it is there.
pub(crate) fn remove(pin: &Path) -> Result<(), KernelError> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).meaning(|| format!("remove {}", pin.display()))
        }
        _ => Ok(()),
    }
}

/// The names in a directory; none if it does not exist.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, KernelError> {
    let what = || format!("read {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.meaning(what)?,
    };
    entries
        .map(|entry| {
            Ok(entry
                .meaning(what)?
                .file_name()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_DETACH: libc::c_int = 34;

/// `union bpf_attr` for the two commands.
#[repr(C)]
struct Attributes {
    /// The path, or for `BPF_LINK_DETACH` the descriptor in the first half.
    first: u64,
    rest: u64,
}

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let fd = bpf(BPF_OBJ_GET, path.as_ptr() as u64)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn link_detach(link: RawFd) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, u64::from(link as u32)).map(drop)
}

fn bpf(command: libc::c_int, first: u64) -> io::Result<RawFd> {
    let attributes = Attributes { first, rest: 0 };
    let size = size_of::<Attributes>();
    // SAFETY: both commands read their attributes, and of `BPF_OBJ_GET` the terminated string that
    // `first` points at, which the caller keeps.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(&attributes), size) };
    match result {
        0.. => Ok(result as RawFd),
        _ => Err(io::Error::last_os_error()),
    }
}
