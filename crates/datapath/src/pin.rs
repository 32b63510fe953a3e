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

/// The interface that a pinned link is on; none if there is no such pin, or its link has lost its interface.
pub(crate) fn interface(pin: &Path) -> Result<Option<u32>, KernelError> {
    let none = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    let link = match open(pin) {
        Err(error) if none(error.kind()) => return Ok(None),
        link => link.meaning(|| format!("open {}", pin.display()))?,
    };
    let info = link_info(link.as_raw_fd()).meaning(|| format!("look at {}", pin.display()))?;
    Ok(Some(info.interface).filter(|it| *it != 0))
}

const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_DETACH: libc::c_int = 34;

/// `union bpf_attr` for the three commands.
#[repr(C)]
struct Attributes {
    /// The path, or the descriptor in the first half; for `BPF_OBJ_GET_INFO_BY_FD` in the other how large `rest` is.
    first: u64,
    rest: u64,
}

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let fd = bpf(BPF_OBJ_GET, path.as_ptr() as u64)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The beginning of `struct bpf_link_info` of the links of programs at TC and XDP.
#[derive(Default)]
#[repr(C, align(8))]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    hole: u32,
    /// 0 when it is gone.
    interface: u32,
    rest: u32,
}

fn link_info(link: RawFd) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let size = size_of::<LinkInfo>() as u64;
    let attributes = Attributes {
        first: u64::from(link as u32) | size << 32,
        rest: ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: the kernel writes at most `size` bytes to `info`, which is as large and has no bytes that mean nothing.
    unsafe { command(BPF_OBJ_GET_INFO_BY_FD, &attributes) }.map(|_| info)
}

fn link_detach(link: RawFd) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, u64::from(link as u32)).map(drop)
}

fn bpf(number: libc::c_int, first: u64) -> io::Result<RawFd> {
    let attributes = Attributes { first, rest: 0 };
    // SAFETY: both commands read their attributes, and of `BPF_OBJ_GET` the terminated string that
    // `first` points at, which the caller keeps.
    unsafe { command(number, &attributes) }
}

/// # Safety
/// What the attributes point at must be what the command expects.
unsafe fn command(number: libc::c_int, attributes: &Attributes) -> io::Result<RawFd> {
    let size = size_of::<Attributes>();
    // SAFETY: the attributes are there, and of what they point at the caller has taken care.
    let result = unsafe { libc::syscall(libc::SYS_bpf, number, ptr::from_ref(attributes), size) };
    match result {
        0.. => Ok(result as RawFd),
        _ => Err(io::Error::last_os_error()),
    }
}
