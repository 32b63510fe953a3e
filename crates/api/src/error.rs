//! What a client is told when a call fails.

use std::borrow::Cow;

/// A failed call. Its `code` is the cloud's, e.g. `InvalidVpcId.NotFound`: programs decide by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// HTTP status: 4xx if the caller can do something about it.
    pub status: u16,
    /// For programs.
    pub code: Cow<'static, str>,
    /// For people: what was wrong, and what would be right.
    pub message: String,
}

impl ApiError {
    /// An error with any status.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// The caller's mistake (400).
    pub fn bad(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> ApiError {
        ApiError::new(400, code, message)
    }

    /// Something that is not there (404).
    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> ApiError {
        ApiError::new(404, code, message)
    }

    /// Our mistake (500).
    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "InternalError", message)
    }
}
