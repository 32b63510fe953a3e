//! What can go wrong on the way to a working data path.

use crate::object::KernelError;
use std::io;

/// Why the data path could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused an operation.
    #[error("{what}: {source}")]
    System {
        /// What was tried, on what.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A name cannot be a network namespace's.
    #[error("{0:?} cannot name a network namespace: 1 to 255 bytes, no '/', not '.' or '..'")]
    NamespaceName(String),
    /// A namespace that was to be made is there already.
    #[error(
        "there is a network namespace {0} already; choose another system name or delete it with `ip netns del {0}`"
    )]
    NamespaceExists(String),
    /// A namespace that should be there is not.
    #[error("there is no network namespace {0}; `ip netns` lists those that there are")]
    NoNamespace(String),
    /// An interface that the configuration names does not exist.
    #[error("{resource}: there is no interface {device} here; create it or correct `device`")]
    NoDevice {
        /// The network interface or uplink that names it.
        resource: String,
        /// The name.
        device: String,
    },
    /// An interface that the configuration names cannot carry our traffic.
    #[error("{resource}: interface {device} {problem}")]
    UnfitDevice {
        /// The network interface or uplink that names it.
        resource: String,
        /// The interface's name.
        device: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A resource of the configuration cannot be brought to Linux.
    #[error("{resource}: {problem}")]
    Resource {
        /// The resource.
        resource: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The kernel programs or their maps could not be brought into place.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The configuration does not fit together.
    #[error(transparent)]
    Snapshot(#[from] engine::SnapshotError),
    /// The thread that owns the engine has ended.
    #[error("the data path has stopped")]
    Stopped,
}

/// Gives an error of the kernel its context.
pub(crate) trait Context<T> {
    /// `what` says what was tried, on what.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::System {
            what: what(),
            source: source.into(),
        })
    }
}
