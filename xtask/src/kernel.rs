//! The kernel programs' object: built from `crates/kernel` and `crates/flow`, and committed, so that
//! nobody needs an eBPF toolchain to build Sluice.
//!
//! Beside it lies `sluice.bpf.lock`: the toolchain, and the SHA-256 of every source file and of the
//! object. A build takes nothing in from its surroundings, so the same toolchain makes the same bytes
//! everywhere.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

const OBJECT: &str = "crates/kernel/sluice.bpf.o";
const LOCK: &str = "crates/kernel/sluice.bpf.lock";
const TARGET: &str = "bpfel-unknown-none";
/// What the object is built from: files and folders.
const SOURCES: [&str; 5] = [
    "crates/flow/Cargo.toml",
    "crates/flow/src",
    "crates/kernel/Cargo.lock",
    "crates/kernel/Cargo.toml",
    "crates/kernel/src",
];

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Part of the toolchain is not there.
    #[error(
        "{missing}\n\nThe kernel programs are built with Debian's compiler, which knows the eBPF target, \
         and with bpf-linker:\n\n    \
         apt-get install rustc-web libstd-rust-web-dev-bpf llvm-22-dev\n    \
         LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --locked \
         --no-default-features --features llvm-22\n\n\
         The compiler is taken from /usr/bin/rustc, or from BPF_RUSTC if that is set."
    )]
    Toolchain {
        /// What is missing.
        missing: String,
    },
    /// The compiler failed; it has said why.
    #[error("the kernel programs do not compile")]
    Build,
    /// The committed object is not what the source makes.
    #[error("{0}\nRun `cargo xtask kernel` and commit {OBJECT} and {LOCK}.")]
    Stale(String),
}

/// Rebuilds the object and its lock.
pub fn build() -> Result<String, Error> {
    let root = root();
    let toolchain = Toolchain::find()?;
    let object = compile(&root, &toolchain, false)?;
    let changed = fs::read(root.join(OBJECT)).ok().as_deref() != Some(&object[..]);
    write(&root.join(OBJECT), &object)?;
    let lock = Lock {
        toolchain: toolchain.versions,
        hashes: hashes(&root)?,
    };
    write(&root.join(LOCK), lock.to_string().as_bytes())?;
    let what = if changed { "is new" } else { "has not changed" };
    Ok(format!("{OBJECT} ({} bytes) {what}", object.len()))
}

/// Proves that the committed object belongs to the committed source: by their hashes, and where the
/// toolchain is at hand that built it, by building it again.
pub fn check() -> Result<String, Error> {
    let root = root();
    let lock = fs::read_to_string(root.join(LOCK)).map_err(|source| Error::File {
        path: LOCK.into(),
        source,
    })?;
    let lock = Lock::parse(&lock).ok_or_else(|| Error::Stale(format!("{LOCK} is damaged.")))?;
    let stale = differences(&lock.hashes, &hashes(&root)?);
    if !stale.is_empty() {
        return Err(Error::Stale(stale.trim_end().into()));
    }
    let by_hash = format!("{OBJECT} belongs to its source by the hashes in {LOCK}");
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(Error::Toolchain { missing }) => {
            return Ok(format!("{by_hash}; not rebuilt: {missing}"));
        }
        Err(error) => return Err(error),
    };
    if toolchain.versions != lock.toolchain {
        return Ok(format!(
            "{by_hash}; not rebuilt, for it was built with {}, and here is {}",
            lock.toolchain, toolchain.versions
        ));
    }
    let committed = fs::read(root.join(OBJECT)).map_err(|source| Error::File {
        path: OBJECT.into(),
        source,
    })?;
    if compile(&root, &toolchain, true)? != committed {
        return Err(Error::Stale(format!(
            "{OBJECT} is not, bit by bit, what {} makes of the source.",
            toolchain.versions
        )));
    }
    Ok(format!("{OBJECT} is, bit by bit, what its source makes"))
}

/// What has changed between the hashes in the lock and those of the files.
fn differences(locked: &Hashes, found: &Hashes) -> String {
    let mut text = String::new();
    for (path, hash) in found {
        let what = match locked.get(path) {
            None => "is new",
            Some(locked) if locked != hash => "has changed",
            Some(_) => continue,
        };
        let _ = writeln!(text, "{path} {what} since the kernel object was built.");
    }
    for path in locked.keys().filter(|path| !found.contains_key(*path)) {
        let _ = writeln!(text, "{path} is gone since the kernel object was built.");
    }
    text
}

/// SHA-256 in hexadecimal, by path from the repository's root.
type Hashes = BTreeMap<String, String>;

/// What `sluice.bpf.lock` says.
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    /// The versions of compiler and linker.
    toolchain: String,
    hashes: Hashes,
}

impl Lock {
    fn parse(text: &str) -> Option<Lock> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let toolchain = lines.next()?.strip_prefix("toolchain ")?.to_owned();
        let hash = |line: &str| {
            let (hash, path) = line.split_once("  ")?;
            Some((path.to_owned(), hash.to_owned()))
        };
        Some(Lock {
            toolchain,
            hashes: lines.map(hash).collect::<Option<_>>()?,
        })
    }
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "# Written by `cargo xtask kernel`: what sluice.bpf.o was built from, and by what."
        )?;
        writeln!(f, "toolchain {}", self.toolchain)?;
        for (path, hash) in &self.hashes {
            writeln!(f, "{hash}  {path}")?;
        }
        Ok(())
    }
}

/// The hashes of the sources and the object.
fn hashes(root: &Path) -> Result<Hashes, Error> {
    let mut hashes = Hashes::new();
    for path in SOURCES.iter().chain([&OBJECT]) {
        hash(root, Path::new(path), &mut hashes)?;
    }
    Ok(hashes)
}

fn hash(root: &Path, path: &Path, hashes: &mut Hashes) -> Result<(), Error> {
    let name = path.to_string_lossy().into_owned();
    let failed = |source| Error::File {
        path: name.clone(),
        source,
    };
    let file = root.join(path);
    if file.is_dir() {
        for entry in fs::read_dir(&file).map_err(failed)? {
            hash(root, &path.join(entry.map_err(failed)?.file_name()), hashes)?;
        }
    } else {
        let digest = Sha256::digest(fs::read(&file).map_err(failed)?);
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        hashes.insert(name, hex);
    }
    Ok(())
}

/// The compiler and the linker.
struct Toolchain {
    rustc: PathBuf,
    versions: String,
}

impl Toolchain {
    fn find() -> Result<Toolchain, Error> {
        let rustc = env::var_os("BPF_RUSTC").map_or("/usr/bin/rustc".into(), PathBuf::from);
        let compiler = version(&rustc)?;
        let output =
            run(Command::new(&rustc).args(["--print", "target-libdir", "--target", TARGET]));
        let library = output.ok().filter(|output| output.status.success());
        let library = library.and_then(|output| String::from_utf8(output.stdout).ok());
        if !library.is_some_and(|library| Path::new(library.trim()).is_dir()) {
            return Err(Error::Toolchain {
                missing: format!("{} has no core library for {TARGET}", rustc.display()),
            });
        }
        let linker = version(Path::new("bpf-linker"))?;
        Ok(Toolchain {
            rustc,
            versions: format!("{compiler}, {linker}"),
        })
    }
}

/// The first line of what a program answers to `--version`, without commit and date.
fn version(program: &Path) -> Result<String, Error> {
    let missing = || Error::Toolchain {
        missing: format!("there is no {}", program.display()),
    };
    let output = run(Command::new(program).arg("--version")).map_err(|_| missing())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    if !output.status.success() || words.len() < 2 {
        return Err(missing());
    }
    Ok(words.join(" "))
}

/// Runs a compiler, free of what cargo and rustup put into the environment for this program.
fn run(command: &mut Command) -> io::Result<Output> {
    clean(command).output()
}

fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let of_cargo =
            name.starts_with("CARGO_") && !["CARGO_HOME", "CARGO_HTTP_CAINFO"].contains(&&*name);
        if of_cargo || name.starts_with("RUST") && name != "RUSTUP_HOME" {
            command.env_remove(&*name);
        }
    }
    command
}

/// Builds the object and gives its bytes. `locked`: from the crates that the lock file names, or not at
/// all.
fn compile(root: &Path, toolchain: &Toolchain, locked: bool) -> Result<Vec<u8>, Error> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let target = target.join("kernel");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let mut flags = vec![
        // The third version of the instruction set has 32-bit registers and comparisons.
        "-Ctarget-cpu=v3".to_owned(),
        // Headers lie at any address; what the verifier allows, the compiler may use.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access".into(),
        // Without this, copies of a few bytes become loops over bytes.
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
        format!("--remap-path-prefix={}=/sluice", root.display()),
    ];
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = clean(&mut Command::new(cargo))
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .args(locked.then_some("--locked"))
        .current_dir(root.join("crates/kernel"))
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("RUSTC", &toolchain.rustc)
        // The eBPF target is not in the stable part of the compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(Error::Build);
    }
    let built = target.join(TARGET).join("release/sluice");
    fs::read(&built).map_err(|source| Error::File {
        path: built.display().to_string(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::File {
        path: path.display().to_string(),
        source,
    })
}

/// The repository's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes_of(list: &[(&str, &str)]) -> Hashes {
        let owned = |(path, hash): &(&str, &str)| (path.to_string(), hash.to_string());
        list.iter().map(owned).collect()
    }

    #[test]
    fn the_lock_is_read_as_it_is_written() {
        let lock = Lock {
            toolchain: "rustc 1.96.0, bpf-linker 0.13.0".into(),
            hashes: hashes_of(&[("a/b.rs", "00ff"), ("c", "12")]),
        };
        assert_eq!(Lock::parse(&lock.to_string()), Some(lock));
        assert_eq!(Lock::parse("toolchain x\nnothing"), None);
        assert_eq!(Lock::parse(""), None);
    }

    #[test]
    fn every_difference_is_named() {
        let locked = hashes_of(&[("same", "1"), ("changed", "2"), ("gone", "3")]);
        let found = hashes_of(&[("same", "1"), ("changed", "9"), ("new", "4")]);
        let text = differences(&locked, &found);
        assert!(text.contains("changed has changed"), "{text}");
        assert!(text.contains("new is new"), "{text}");
        assert!(text.contains("gone is gone"), "{text}");
        assert!(!text.contains("same"), "{text}");
        assert_eq!(differences(&locked, &locked), "");
    }

    #[test]
    fn every_source_file_is_covered() {
        let hashes = hashes(&root()).unwrap();
        for path in [
            "crates/flow/src/table.rs",
            "crates/kernel/src/forward.rs",
            OBJECT,
        ] {
            assert_eq!(hashes[path].len(), 64, "{path}");
        }
    }
}
