//! RPC signature version 1, HMAC-SHA1, which older SDKs sign with: everything, the signature too, is a
//! parameter, in the query or in the form.
//!
//! ```text
//! Canonical    = all parameters but Signature, sorted by name, pe(name)=pe(value), joined by &
//! StringToSign = METHOD & %2F & pe(Canonical)          pe: percent-encoded
//! Signature    = base64(HMAC-SHA-1(AccessKeySecret + "&", StringToSign))
//! ```
//!
//! SHA-1 is broken for collisions, not for HMAC: forging a signature still takes the secret (RFC 6194).

use super::call::{self, Call, Claim};
use super::{canonical, refusal, time};
use crate::ApiError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The parameters of the protocol itself, which operations do not see.
pub const PROTOCOL: [&str; 11] = [
    "AccessKeyId",
    "Action",
    "Format",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureType",
    "SignatureVersion",
    "Timestamp",
    "Version",
];

/// Reads a call without an `Authorization` header.
///
/// # Errors
/// If something that the protocol demands is missing or wrong.
pub fn read(call: &Call) -> Result<Claim, ApiError> {
    let query = canonical::parse(call.query.as_bytes())?;
    let parameters = canonical::merge(query, call.form()?)?;
    let given = |name| parameters.get(name).map_or("", |value| &**value);
    let required = |name| match given(name) {
        "" => Err(refusal::missing(name)),
        value => Ok(value),
    };
    if given("Action").is_empty() && call.header("x-acs-action")?.is_some() {
        // Meant for the other scheme.
        return Err(refusal::missing("Authorization"));
    }
    let action = required("Action")?;
    let version = required("Version")?;
    let access_key_id = call::access_key_id(required("AccessKeyId")?)?;
    let signature = required("Signature")?;
    let method = required("SignatureMethod")?;
    if method != "HMAC-SHA1" {
        return Err(refusal::unsupported_method(method));
    }
    for (name, supported) in [("SignatureVersion", "1.0"), ("SignatureType", "")] {
        let value = given(name);
        if !value.is_empty() && value != supported {
            return Err(refusal::unsupported_method(&format!("{name}={value}")));
        }
    }
    if !given("SecurityToken").is_empty() {
        return Err(refusal::security_token());
    }
    let timestamp = required("Timestamp")?;
    let time = time::parse(timestamp).ok_or_else(|| refusal::time_format("Timestamp"))?;
    let nonce = required("SignatureNonce")?;
    let string_to_sign = string_to_sign(
        call.method,
        &canonical::query(&parameters, Some("Signature")),
    );
    Ok(Claim {
        access_key_id: access_key_id.to_owned(),
        action: action.to_owned(),
        version: version.to_owned(),
        nonce: nonce.to_owned(),
        time,
        signature: signature.to_owned(),
        string_to_sign,
        sign,
        parameters,
    })
}

fn string_to_sign(method: &str, canonical: &str) -> String {
    // The path is always "/".
    let mut text = format!("{method}&%2F&");
    canonical::encode(canonical, &mut text);
    text
}

fn sign(secret: &str, string_to_sign: &str) -> String {
    let key = format!("{secret}&");
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("any length will do");
    mac.update(string_to_sign.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}
