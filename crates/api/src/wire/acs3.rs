//! ACS3-HMAC-SHA256, which newer SDKs sign with: the signature is in the `Authorization` header, over method,
//! path, query, the headers that it names, and the hash of the body.
//!
//! ```text
//! Authorization:   ACS3-HMAC-SHA256 Credential=<AK>,SignedHeaders=<a;b;c>,Signature=<64 hex>
//! CanonicalRequest = METHOD \n / \n CanonicalQuery \n name:value\n … \n a;b;c \n hex(SHA-256(body))
//! StringToSign     = ACS3-HMAC-SHA256 \n hex(SHA-256(CanonicalRequest))
//! Signature        = hex(HMAC-SHA-256(AccessKeySecret, StringToSign))
//! ```

use super::call::{self, Call, Claim};
use super::{canonical, refusal, time};
use crate::ApiError;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The scheme's name.
pub const SCHEME: &str = "ACS3-HMAC-SHA256";

/// The headers that the protocol itself reads; a second one would leave open which of them is meant.
const ONCE: [&str; 9] = [
    "authorization",
    "content-type",
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-security-token",
    "x-acs-signature-nonce",
    "x-acs-version",
];

/// Reads a call that has an `Authorization` header.
///
/// # Errors
/// If something that the protocol demands is missing or wrong.
pub fn read(call: &Call, authorization: &str) -> Result<Claim, ApiError> {
    for name in ONCE {
        if call.headers.iter().filter(|(it, _)| *it == name).count() > 1 {
            return Err(refusal::invalid_parameter(format!(
                "The header {name} is given twice: give it once."
            )));
        }
    }
    let signed = Authorization::parse(authorization)?;
    if call
        .header("x-acs-security-token")?
        .is_some_and(|it| !it.is_empty())
    {
        return Err(refusal::security_token());
    }
    let required = |name| match call.header(name)? {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(refusal::missing(name)),
    };
    let action = required("x-acs-action")?;
    let version = required("x-acs-version")?;
    let date = required("x-acs-date")?;
    let nonce = required("x-acs-signature-nonce")?;
    let hash = required("x-acs-content-sha256")?;
    let time = time::parse(date).ok_or_else(|| refusal::time_format("x-acs-date"))?;
    if hash != canonical::hex(&Sha256::digest(call.body)) {
        return Err(refusal::invalid_parameter(
            "x-acs-content-sha256 is not the SHA-256 of the body, in lower-case hexadecimal digits.",
        ));
    }
    let query = canonical::parse(call.query.as_bytes())?;
    let string_to_sign = string_to_sign(call, &signed, &canonical::query(&query, None), hash)?;
    let form = call.form()?;
    Ok(Claim {
        access_key_id: signed.credential.to_owned(),
        action: action.to_owned(),
        version: version.to_owned(),
        nonce: nonce.to_owned(),
        time,
        parameters: canonical::merge(query, form)?,
        string_to_sign,
        signature: signed.signature.to_owned(),
        sign,
    })
}

/// The signature of a string to sign.
pub fn sign(secret: &str, string_to_sign: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(string_to_sign.as_bytes());
    canonical::hex(&mac.finalize().into_bytes())
}

fn string_to_sign(
    call: &Call,
    signed: &Authorization,
    query: &str,
    hash: &str,
) -> Result<String, ApiError> {
    let mut request = Sha256::new();
    for part in [call.method, "\n", call.path, "\n", query, "\n"] {
        request.update(part);
    }
    let mut names = BTreeSet::new();
    for name in signed.headers.split(';') {
        // Twice the same would let a small call make us hash a large one.
        if !names.insert(name) {
            return Err(refusal::incomplete(format!(
                "SignedHeaders names {} twice: name it once.",
                refusal::shown(name)
            )));
        }
        let Some(value) = canonical::header(call.headers, name) else {
            return Err(refusal::incomplete(format!(
                "SignedHeaders names {}, a header that has not come.",
                refusal::shown(name)
            )));
        };
        request.update(name);
        request.update(b":");
        request.update(value);
        request.update(b"\n");
    }
    let unsigned = call.headers.iter().map(|(name, _)| *name).find(|name| {
        let demanded = *name == "host"
            || name.starts_with("x-acs-")
            || (*name == "content-type" && !call.body.is_empty());
        demanded && !names.contains(name)
    });
    if let Some(name) = unsigned.or((!names.contains("host")).then_some("host")) {
        return Err(refusal::incomplete(format!(
            "The header {} is not in SignedHeaders: sign host, all x-acs- headers, and content-type if there \
             is a body.",
            refusal::shown(name)
        )));
    }
    for part in ["\n", signed.headers, "\n", hash] {
        request.update(part);
    }
    let hash = canonical::hex(&request.finalize());
    Ok(format!("{SCHEME}\n{hash}"))
}

/// The `Authorization` header.
struct Authorization<'a> {
    credential: &'a str,
    headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Result<Authorization<'a>, ApiError> {
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme != SCHEME {
            return Err(refusal::unsupported_method(scheme));
        }
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').unwrap_or((part, ""));
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut headers,
                "Signature" => &mut signature,
                _ => return Err(malformed()),
            };
            if value.is_empty() || place.replace(value).is_some() {
                return Err(malformed());
            }
        }
        match (credential, headers, signature) {
            (Some(credential), Some(headers), Some(signature)) => Ok(Authorization {
                credential: call::access_key_id(credential)?,
                headers,
                signature,
            }),
            _ => Err(malformed()),
        }
    }
}

fn malformed() -> ApiError {
    refusal::incomplete(format!(
        "The Authorization header must be: {SCHEME} Credential=<AccessKeyId>,SignedHeaders=<names in lower \
         case, joined by ;>,Signature=<64 lower-case hexadecimal digits>"
    ))
}
