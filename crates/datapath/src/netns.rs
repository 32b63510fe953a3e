//! Named network namespaces, as `ip netns` makes them: a bind mount of the namespace at
//! `/run/netns/NAME`, so that `ip netns exec NAME` works on ours and we work on others'.

use crate::error::{Context, Error};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{FileStat, fstat, stat};
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the namespaces' names are.
pub const RUN_DIR: &str = "/run/netns";

/// The current thread's namespace.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// Where files are that take the place of those in `/etc` for programs in a namespace.
const ETC_DIR: &str = "/etc/netns";

/// The file that names a namespace.
fn path(name: &str) -> Result<PathBuf, Error> {
    let fits = (1..=255).contains(&name.len()) && name != "." && name != "..";
    if !fits || name.bytes().any(|byte| byte == b'/' || byte == 0) {
        return Err(Error::NamespaceName(name.into()));
    }
    Ok(Path::new(RUN_DIR).join(name))
}

/// Whether there is a namespace of this name. A file that is left of one is none.
pub fn exists(name: &str) -> bool {
    path(name).is_ok_and(|path| statfs(&path).is_ok_and(|fs| fs.filesystem_type() == NSFS_MAGIC))
}

/// The names of all namespaces.
pub fn list() -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(RUN_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| format!("read {RUN_DIR}"))?,
    };
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| exists(name))
        .collect())
}

/// Opens a namespace. The file keeps it alive.
pub fn open(name: &str) -> Result<OwnedFd, Error> {
    if !exists(name) {
        path(name)?;
        return Err(Error::NoNamespace(name.into()));
    }
    let file = File::open(path(name)?).context(|| format!("open network namespace {name}"))?;
    Ok(file.into())
}

/// Moves the current thread, and threads and programs that it starts from now on, into a namespace.
pub fn enter(name: &str) -> Result<(), Error> {
    setns(open(name)?, CloneFlags::CLONE_NEWNET)
        .context(|| format!("enter network namespace {name}"))
}

/// Runs `work` on a thread of its own inside a namespace. Sockets opened there stay there. A panic in
/// `work` goes on here.
pub fn in_namespace<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> Result<R, Error> {
    Home::open(Some(name))?.run(work)
}

/// A namespace to work in, from any thread.
#[derive(Debug)]
pub(crate) struct Home {
    /// How errors name it.
    name: String,
    file: OwnedFd,
}

impl Home {
    /// Opens a named one, or the one that the current thread is in. It stays the same whatever happens to
    /// its name or to the thread.
    pub fn open(name: Option<&str>) -> Result<Home, Error> {
        let file = match name {
            Some(name) => open(name)?,
            None => File::open(CURRENT)
                .context(|| format!("open {CURRENT}"))?
                .into(),
        };
        let name = name.unwrap_or("of this process").into();
        Ok(Home { name, file })
    }

    /// Whether this is a name of it.
    pub fn is(&self, name: &str) -> bool {
        let named = path(name).ok().and_then(|path| stat(&path).ok());
        let own = fstat(&self.file).ok();
        let identity = |file: FileStat| (file.st_dev, file.st_ino);
        named.is_some() && named.map(identity) == own.map(identity)
    }

    /// Runs `work` inside.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, Error> {
        on_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET)
                .context(|| format!("enter network namespace {}", self.name))?;
            Ok(work())
        })
    }
}

/// Runs `work`, which may leave its thread changed, on one of its own.
fn on_thread<R: Send>(work: impl FnOnce() -> Result<R, Error> + Send) -> Result<R, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .spawn_scoped(scope, work)
            .context(|| "start a thread".into())?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes a namespace. `prepare` runs inside it before it gets its name, so whoever finds the name
/// finds a finished namespace; if it fails, nothing is left.
pub fn create(name: &str, prepare: impl FnOnce() -> Result<(), Error> + Send) -> Result<(), Error> {
    let path = path(name)?;
    let _lock = lock_run_dir()?;
    if exists(name) {
        return Err(Error::NamespaceExists(name.into()));
    }
    File::create(&path).context(|| format!("create {}", path.display()))?;
    let made = on_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).context(|| format!("make network namespace {name}"))?;
        prepare()?;
        bind(Path::new(CURRENT), &path)
            .context(|| format!("mount network namespace {name} at {}", path.display()))
    });
    if made.is_err() {
        let _ = fs::remove_file(&path);
    }
    made
}

/// Takes a namespace's name away. It ends with its last process, socket and open file.
pub fn delete(name: &str) -> Result<(), Error> {
    let path = path(name)?;
    if !exists(name) {
        return Err(Error::NoNamespace(name.into()));
    }
    umount2(&path, MntFlags::MNT_DETACH).context(|| format!("unmount {}", path.display()))?;
    fs::remove_file(&path).context(|| format!("remove {}", path.display()))
}

fn bind(from: &Path, to: &Path) -> nix::Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

/// Makes the directory a shared mount, as `ip netns add` does, so that namespaces made here are seen
/// from other mount namespaces and can be deleted there. The lock is the one that `ip` takes.
fn lock_run_dir() -> Result<Flock<File>, Error> {
    let dir = Path::new(RUN_DIR);
    fs::create_dir_all(dir).context(|| format!("create {RUN_DIR}"))?;
    let file = File::open(dir).context(|| format!("open {RUN_DIR}"))?;
    let lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .context(|| format!("lock {RUN_DIR}"))?;
    let share = || {
        mount(
            None::<&str>,
            dir,
            None::<&str>,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            None::<&str>,
        )
    };
    match share() {
        // Not a mount point yet.
        Err(Errno::EINVAL) => bind(dir, dir).and_then(|()| share()),
        done => done,
    }
    .context(|| format!("make {RUN_DIR} a shared mount"))?;
    Ok(lock)
}

/// A command that will run inside a namespace, with a `/sys` that shows the namespace's interfaces and
/// the files of `/etc/netns/NAME` in place of those in `/etc`, as under `ip netns exec`. Run it with
/// [`Command::status`], or put it in this process's place with [`CommandExt::exec`].
pub fn command(name: &str, program: impl AsRef<OsStr>) -> Result<Command, Error> {
    let namespace = open(name)?;
    let label = c_string(OsStr::new(name));
    let binds = etc_binds(name);
    let mut command = Command::new(program);
    let settle = move || settle(&namespace, &label, &binds);
    // SAFETY: between fork and exec the closure makes system calls only; what they need was allocated
    // before.
    unsafe { command.pre_exec(settle) };
    Ok(command)
}

/// The files of `/etc/netns/NAME`, each with the file of `/etc` whose place it takes.
fn etc_binds(name: &str) -> Vec<(CString, CString)> {
    let Ok(entries) = fs::read_dir(Path::new(ETC_DIR).join(name)) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| (entry.path(), Path::new("/etc").join(entry.file_name())))
        .filter(|(_, to)| to.exists())
        .map(|(from, to)| (c_string(from.as_os_str()), c_string(to.as_os_str())))
        .collect()
}

fn c_string(text: &OsStr) -> CString {
    CString::new(text.as_bytes()).expect("names of files have no NUL")
}

/// The child's way into the namespace. It runs after fork, where nothing may be allocated.
fn settle(namespace: &OwnedFd, label: &CStr, binds: &[(CString, CString)]) -> io::Result<()> {
    let check = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: every pointer is null or to a NUL-terminated string that outlives its call.
    unsafe {
        check(libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET))?;
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let private = libc::MS_SLAVE | libc::MS_REC;
        check(libc::mount(
            c"".as_ptr(),
            c"/".as_ptr(),
            c"none".as_ptr(),
            private,
            null,
        ))?;
        // Without a `/sys` to take away there is none to replace either.
        if libc::umount2(c"/sys".as_ptr(), libc::MNT_DETACH) == 0 {
            check(libc::mount(
                label.as_ptr(),
                c"/sys".as_ptr(),
                c"sysfs".as_ptr(),
                0,
                null,
            ))?;
        }
        for (from, to) in binds {
            let bind = libc::MS_BIND;
            check(libc::mount(
                from.as_ptr(),
                to.as_ptr(),
                c"none".as_ptr(),
                bind,
                null,
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/etc/passwd",
            "a\0b",
            &"x".repeat(256),
        ] {
            assert!(
                matches!(path(name), Err(Error::NamespaceName(_))),
                "{name:?}"
            );
            assert!(!exists(name));
        }
        assert_eq!(path("a..b").unwrap(), Path::new("/run/netns/a..b"));
    }

    #[test]
    fn a_namespace_that_is_not_there_is_an_error_that_names_it() {
        let error = in_namespace("sld-never-made", || ()).unwrap_err();
        assert!(error.to_string().contains("sld-never-made"), "{error}");
    }
}
