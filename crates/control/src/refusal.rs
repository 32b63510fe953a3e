//! Why an operation was refused.

use std::borrow::Cow;

/// A refused operation; nothing has changed. The `code` is the cloud's, e.g. `InvalidVpcId.NotFound`: programs
/// decide by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// HTTP status of the cloud's answer: 4xx if the caller can do something about it.
    pub status: u16,
    /// For programs.
    pub code: Cow<'static, str>,
    /// For people: what was wrong, and what would be right.
    pub message: String,
}

/// What an operation gives, or why it was refused.
pub type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    /// What a dry run ends with that found nothing wrong.
    pub fn dry_run() -> Refusal {
        Refusal::bad(
            "DryRunOperation",
            "Request validation has been passed with DryRun flag set.",
        )
    }

    /// Whether a dry run found nothing wrong.
    pub fn is_dry_run(&self) -> bool {
        self.code == "DryRunOperation"
    }

    /// The caller's mistake, or a state that does not allow it (400).
    pub fn bad(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Refusal {
        Refusal {
            status: 400,
            code: code.into(),
            message: message.into(),
        }
    }

    /// Something that is not there (404).
    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Refusal {
        Refusal {
            status: 404,
            ..Refusal::bad(code, message)
        }
    }

    /// Not allowed to this caller (403).
    pub fn forbidden(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Refusal {
        Refusal {
            status: 403,
            ..Refusal::bad(code, message)
        }
    }

    /// Something here has failed (500).
    pub fn internal(message: impl Into<String>) -> Refusal {
        Refusal {
            status: 500,
            ..Refusal::bad("InternalError", message)
        }
    }
}
