//! The commands' side of the control socket.

use super::line::{LineError, LineReader};
use super::protocol::{MAX_RESPONSE, Request, Response};
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a response may take. Changing a large configuration takes longest.
const RESPONSE_TIME: Duration = Duration::from_secs(120);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no gateway runs on {}: start one with `sluice serve --config FILE`, \
         or say with --name or --socket which one is meant",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// Not allowed to ask.
    #[error("{} is open to its owner only: run this as root", .0.display())]
    NotAllowed(PathBuf),
    /// The operating system said no.
    #[error("cannot talk to the gateway on {}: {error}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The answer broke off.
    #[error("the gateway on {} broke off: {error}", .path.display())]
    BrokeOff {
        /// The socket.
        path: PathBuf,
        /// How.
        error: LineError,
    },
    /// The answer makes no sense.
    #[error(
        "the gateway on {} answers something that this program does not know ({reason}): \
         `sluice version` tells whether they are of one version",
        .path.display()
    )]
    Unknown {
        /// The socket.
        path: PathBuf,
        /// What.
        reason: String,
    },
    /// The gateway did not do it.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a running gateway.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
    lines: LineReader,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens, or this user may not.
    pub fn connect(path: &Path) -> Result<Client, ClientError> {
        let io = |error: io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(path.to_owned())
            }
            ErrorKind::PermissionDenied => ClientError::NotAllowed(path.to_owned()),
            _ => ClientError::Io {
                path: path.to_owned(),
                error,
            },
        };
        let stream = UnixStream::connect(path).map_err(io)?;
        stream.set_write_timeout(Some(RESPONSE_TIME)).map_err(io)?;
        let lines = LineReader::new(stream.try_clone().map_err(io)?, MAX_RESPONSE);
        Ok(Client {
            path: path.to_owned(),
            stream,
            lines,
        })
    }

    /// Asks, and waits for the first response.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Refused`] if the gateway said no.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        let line = serde_json::to_string(request).map_err(|error| self.unknown(error))? + "\n";
        // A gateway that refuses a request unread closes the connection: what it said is read below.
        match self.stream.write_all(line.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ClientError::Io {
                path: self.path.clone(),
                error,
            }),
            _ => self.next_response(),
        }
    }

    /// Waits for a further response.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn next_response(&mut self) -> Result<Response, ClientError> {
        let line = self
            .lines
            .next(RESPONSE_TIME)
            .and_then(|line| line.ok_or(LineError::Torn))
            .map_err(|error| ClientError::BrokeOff {
                path: self.path.clone(),
                error,
            })?;
        match serde_json::from_slice(&line) {
            Ok(Response::Error { message }) => Err(ClientError::Refused(message)),
            Ok(response) => Ok(response),
            Err(error) => Err(self.unknown(error)),
        }
    }

    /// The error for a response that does not belong to the request.
    pub fn unexpected(&self, response: &Response) -> ClientError {
        let text = serde_json::to_string(response).unwrap_or_default();
        self.unknown(text.chars().take(80).collect::<String>())
    }

    fn unknown(&self, reason: impl ToString) -> ClientError {
        ClientError::Unknown {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}
