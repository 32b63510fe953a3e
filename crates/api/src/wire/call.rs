//! From the parts of an HTTP request to a call whose sender is known: no I/O, no clock.

use super::canonical::Pairs;
use super::time::WINDOW;
use super::{acs3, canonical, refusal, rpc};
use crate::{ApiError, Params};
use subtle::ConstantTimeEq;

/// The largest body in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// The longest nonce in bytes.
const MAX_NONCE: usize = 256;

/// The parts of an HTTP request, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// `/`.
    pub path: &'a str,
    /// What follows `?`, still encoded.
    pub query: &'a str,
    /// Names in lower case, values as they came: a value of `Host` need not be a host.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// All of the body.
    pub body: &'a [u8],
}

/// A call that was signed with the secret of its access key, lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose.
    pub access_key_id: String,
    /// The product's API version.
    pub version: String,
    /// The operation.
    pub action: String,
    /// Its parameters, without those of the protocol.
    pub params: Params,
    /// To be accepted once.
    pub nonce: String,
    /// When it was signed, in seconds since 1970.
    pub time: u64,
}

/// What a call says that it is, and how that is proven.
#[derive(Debug)]
pub(super) struct Claim {
    pub access_key_id: String,
    pub action: String,
    pub version: String,
    pub nonce: String,
    pub time: u64,
    /// All of them, those of the protocol too.
    pub parameters: Pairs,
    pub string_to_sign: String,
    pub signature: String,
    /// Signs a string with a secret.
    pub sign: fn(secret: &str, string_to_sign: &str) -> String,
}

impl Call<'_> {
    /// A header's value without white space around it; None if it has not come.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let value = self.headers.iter().find(|(other, _)| *other == name);
        let text = value.map(|(_, value)| str::from_utf8(value.trim_ascii()));
        text.transpose().map_err(|_| {
            refusal::invalid_parameter(format!("The value of the header {name} is not UTF-8."))
        })
    }

    /// The parameters in the body.
    pub(super) fn form(&self) -> Result<Pairs, ApiError> {
        if self.body.is_empty() {
            return Ok(Pairs::new());
        }
        let kind = self.header("content-type")?.unwrap_or("");
        let essence = kind.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(ApiError::new(
                415,
                "UnsupportedContentType",
                format!(
                    "The body's content type {} is not supported: send parameters in the query, or in a body of \
                     the type application/x-www-form-urlencoded.",
                    refusal::shown(kind)
                ),
            ));
        }
        canonical::parse(self.body)
    }
}

/// Finds out what is called, and that it was signed, within 15 minutes of `now` (seconds since 1970), with the
/// secret that `secret` knows for its access key.
///
/// That its nonce is new is not checked here.
///
/// # Errors
/// What the client is told: in this order, the call is too large or malformed, nobody has the key, the
/// signature is wrong, the time is past.
pub fn verify(
    call: &Call,
    secret: impl FnOnce(&str) -> Option<String>,
    now: u64,
) -> Result<Verified, ApiError> {
    check_form(call)?;
    let claim = match call.header("authorization")? {
        Some(authorization) => acs3::read(call, authorization)?,
        None => rpc::read(call)?,
    };
    check_names(&claim)?;
    let secret = secret(&claim.access_key_id).filter(|secret| !secret.is_empty());
    let secret = secret.ok_or_else(refusal::unknown_key)?;
    let signature = (claim.sign)(&secret, &claim.string_to_sign);
    // In constant time: else its duration would tell how much of a forged signature is right.
    if !bool::from(signature.as_bytes().ct_eq(claim.signature.as_bytes())) {
        return Err(refusal::mismatch(&claim.string_to_sign));
    }
    if now.abs_diff(claim.time) > WINDOW {
        return Err(refusal::expired());
    }
    let parameters = claim.parameters.into_iter();
    Ok(Verified {
        access_key_id: claim.access_key_id,
        version: claim.version,
        action: claim.action,
        params: parameters
            .filter(|(name, _)| !rpc::PROTOCOL.contains(&&**name))
            .collect(),
        nonce: claim.nonce,
        time: claim.time,
    })
}

/// What can be refused before the body is read.
pub(super) fn check_target(method: &str, path: &str) -> Result<(), ApiError> {
    if !matches!(method, "GET" | "POST") {
        return Err(ApiError::new(
            405,
            "UnsupportedHTTPMethod",
            format!(
                "The method {} is not supported: use GET or POST.",
                refusal::shown(method)
            ),
        ));
    }
    if path != "/" {
        return Err(ApiError::not_found(
            "InvalidPath.NotFound",
            format!(
                "There is nothing at {}: the path of every call is /, the operation is named by Action and \
                 Version.",
                refusal::shown(path)
            ),
        ));
    }
    Ok(())
}

/// A body is too large.
pub(super) fn too_large() -> ApiError {
    ApiError::new(
        413,
        "RequestTooLarge",
        format!(
            "The body is larger than {} KiB: split the call.",
            MAX_BODY >> 10
        ),
    )
}

fn check_form(call: &Call) -> Result<(), ApiError> {
    check_target(call.method, call.path)?;
    match call.body.len() <= MAX_BODY {
        true => Ok(()),
        false => Err(too_large()),
    }
}

/// Whether these name anything is for the dispatch to say; here they are kept from being monsters.
fn check_names(claim: &Claim) -> Result<(), ApiError> {
    let word = |text: &str, max| {
        text.len() <= max
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !word(&claim.version, 32) {
        let version = refusal::shown(&claim.version);
        return Err(ApiError::not_found(
            "InvalidVersion",
            format!(
                "Specified parameter Version is not valid: {version} is not a date like 2016-04-28."
            ),
        ));
    }
    if !word(&claim.action, 128) {
        let action = refusal::shown(&claim.action);
        return Err(ApiError::not_found(
            "InvalidAction.NotFound",
            format!("Specified api is not found: {action} is no name of an operation."),
        ));
    }
    if claim.nonce.len() > MAX_NONCE {
        return Err(refusal::invalid_parameter(format!(
            "The nonce is longer than {MAX_NONCE} bytes."
        )));
    }
    Ok(())
}

/// An access key's id, if it can be one at all.
pub(super) fn access_key_id(text: &str) -> Result<&str, ApiError> {
    match text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text),
        false => Err(refusal::unknown_key()),
    }
}
