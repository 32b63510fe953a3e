//! Why a command failed.

use crate::socket::client::ClientError;
use crate::socket::server::SocketError;
use crate::state::StateError;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command failed, as it is told.
#[derive(Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "each variant's message says what its fields are"
)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    /// A configuration file that is wrong: each line of the message names the file.
    #[error("{}", located(.path, .error))]
    Config {
        path: PathBuf,
        error: model::file::Error,
    },
    #[error(transparent)]
    Start(#[from] control::StartError),
    #[error(transparent)]
    Api(#[from] api::wire::ServerError),
    #[error(transparent)]
    Metering(#[from] control::metering::Error),
    #[error(transparent)]
    KeyFile(#[from] api::KeyFileError),
    #[error("the configuration cannot be brought into force: {0}")]
    NotInForce(String),
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    #[error(
        "{0} is empty, as a command that failed leaves it; to take away everything that files have made, apply one with \
         nothing but its [system]"
    )]
    Empty(String),
    #[error("cannot print: {0}")]
    Output(io::Error),
    #[error("cannot {action}: {error}")]
    Io { action: String, error: io::Error },
    #[error("cannot run `{program}`: {error}")]
    Exec { program: String, error: io::Error },
    #[error("interrupted: everything that was built is removed")]
    Interrupted,
    /// A sentence that says it all.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// What the process exits with: as a shell does if a program could not be run, else 1.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Error::Exec { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            Error::Exec { .. } => 126,
            // As a shell does for a program that SIGINT has ended.
            Error::Interrupted => 130,
            _ => 1,
        })
    }

    /// The error for a failed system call; `action` completes "cannot …".
    pub fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let action = action.into();
        move |error| Error::Io { action, error }
    }
}

/// `gateway.toml: line 3: …`, for every line.
fn located(path: &Path, error: &model::file::Error) -> String {
    let lines: Vec<String> = error
        .to_string()
        .lines()
        .map(|line| format!("{}: {line}", path.display()))
        .collect();
    lines.join("\n")
}
