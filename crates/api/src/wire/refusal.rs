//! Errors of the protocol, in the forms that clients know.

use super::time::WINDOW;
use crate::ApiError;
use serde::Serialize;
use std::time::Duration;

/// An error, and how long the client should wait before it tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is told.
    pub error: ApiError,
    /// Sent as `x-acs-retry-after`, by which SDKs know that they were throttled.
    pub wait: Option<Duration>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal { error, wait: None }
    }
}

/// The most of a string to sign that is told back, in bytes: an error must not be much larger than
/// the call.
const MAX_TOLD: usize = 64 << 10;

/// The body of an error, in the order of the real service.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Body<'a> {
    /// What to do about it, if more can be said than the message does.
    pub recommend: &'a str,
    /// For people.
    pub message: &'a str,
    /// The call.
    pub request_id: &'a str,
    /// The endpoint that the client called.
    pub host_id: &'a str,
    /// For programs.
    pub code: &'a str,
}

/// A text of the client's that a message shows: quoted, escaped and cut to 64 characters.
pub fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    match cut.len() < text.len() {
        true => format!("{cut:?}…"),
        false => format!("{cut:?}"),
    }
}

/// A parameter or header of the protocol is not there.
pub fn missing(name: &str) -> ApiError {
    ApiError::bad(
        "MissingParameter",
        format!(
            "The input parameter \"{name}\" that is mandatory for processing this request is not supplied."
        ),
    )
}

/// A parameter of the protocol, or the form of the call, is wrong.
pub fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::bad("InvalidParameter", message)
}

/// The signature does not cover what it has to, or is no signature at all.
pub fn incomplete(message: impl Into<String>) -> ApiError {
    ApiError::bad("IncompleteSignature", message)
}

/// A signature that we cannot check.
pub fn unsupported_method(what: &str) -> ApiError {
    let what = shown(what);
    ApiError::bad(
        "UnsupportedSignatureMethod",
        format!(
            "The signature method {what} is not supported: sign with ACS3-HMAC-SHA256 in the Authorization \
             header, or with SignatureMethod=HMAC-SHA1 and SignatureVersion=1.0."
        ),
    )
}

/// Temporary credentials.
pub fn security_token() -> ApiError {
    ApiError::bad(
        "InvalidSecurityToken.NotSupported",
        "Security tokens (STS) are not supported: sign with an access key and send no security token.",
    )
}

/// Nobody has this key.
pub fn unknown_key() -> ApiError {
    ApiError::not_found(
        "InvalidAccessKeyId.NotFound",
        "Specified access key is not found.",
    )
}

/// The signature is not over this call, or not with this key's secret. SDKs split the message at its colon
/// and compare the rest with what they signed.
pub fn mismatch(string_to_sign: &str) -> ApiError {
    let told = &string_to_sign[..string_to_sign.floor_char_boundary(MAX_TOLD)];
    ApiError::bad(
        "SignatureDoesNotMatch",
        format!(
            "Specified signature is not matched with our calculation. server string to sign is:{told}"
        ),
    )
}

/// A time stamp in another form.
pub fn time_format(name: &str) -> ApiError {
    ApiError::bad(
        "InvalidTimeStamp.Format",
        format!(
            "Specified time stamp or date value is not well formatted: {name} must be a time in UTC like \
             2026-01-31T23:59:59Z."
        ),
    )
}

/// A time stamp too old, or too far in the future.
pub fn expired() -> ApiError {
    ApiError::bad(
        "InvalidTimeStamp.Expired",
        format!(
            "Specified time stamp or date value is expired: it must be within {} minutes of the server's \
             clock, and not before the server's start if that followed a loss of power.",
            WINDOW / 60
        ),
    )
}

/// A nonce for the second time.
pub fn nonce_used() -> ApiError {
    ApiError::bad(
        "SignatureNonceUsed",
        "Specified signature nonce was used already: sign each call, also a repeated one, with a new nonce.",
    )
}

/// Too many calls.
pub fn throttled(wait: Duration) -> Refusal {
    Refusal {
        error: ApiError::bad(
            "Throttling.User",
            "Request was denied due to user flow control.",
        ),
        wait: Some(wait),
    }
}

/// Not now.
pub fn unavailable(message: &str) -> ApiError {
    ApiError::new(503, "ServiceUnavailable", message)
}
