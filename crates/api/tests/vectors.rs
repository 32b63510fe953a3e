//! Calls as SDKs really sent them: what they signed is accepted, and what is wrong is refused.

use api::wire::{Call, Verified, verify};
use api::{ApiError, Params};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Vectors {
    access_key_id: String,
    access_key_secret: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    form: Vec<(String, String)>,
    scheme: String,
    #[serde(default)]
    signed_headers: BTreeMap<String, String>,
    string_to_sign: String,
    signature: String,
    valid: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("data/signature-vectors.json")).unwrap()
}

/// Ways to write the same on the wire.
#[derive(Clone, Copy, Debug)]
enum Encoding {
    /// Like Python: `+` and all but the unreserved.
    Plus,
    /// Like JavaScript: `%20`, and some signs as they are.
    Percent,
    /// Everything in lower-case digits.
    All,
}

fn encoded(pairs: &[(String, String)], encoding: Encoding) -> String {
    let text = |text: &str| -> String {
        let sign = |byte: u8| match (encoding, byte) {
            (Encoding::All, _) => format!("%{byte:02x}"),
            (_, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~') => {
                char::from(byte).into()
            }
            (Encoding::Plus, b' ') => "+".into(),
            (Encoding::Percent, b'*' | b'(' | b')' | b'!' | b'/' | b':') => char::from(byte).into(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(sign).collect()
    };
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", text(name), text(value)))
        .collect();
    pairs.join("&")
}

impl Vector {
    fn time(&self) -> u64 {
        // All were recorded on one day.
        let stamp = match self.signed_headers.get("x-acs-date") {
            Some(date) => date,
            None => self.parameter("Timestamp"),
        };
        let clock = stamp.strip_prefix("2026-11-21T").unwrap();
        let parts: Vec<u64> = clock
            .trim_end_matches('Z')
            .split(':')
            .map(|part| part.parse().unwrap())
            .collect();
        1_795_219_200 + parts[0] * 3_600 + parts[1] * 60 + parts[2]
    }

    fn parameter(&self, name: &str) -> &str {
        let mut pairs = self.query.iter().chain(&self.form);
        &pairs.find(|(other, _)| other == name).unwrap().1
    }

    fn verify(&self, encoding: Encoding, secret: &str, now: u64) -> Result<Verified, ApiError> {
        let query = encoded(&self.query, encoding);
        let body = encoded(&self.form, encoding);
        let names: Vec<_> = self.signed_headers.keys().cloned().collect();
        let authorization = format!(
            "{} Credential=testid,SignedHeaders={},Signature={}",
            self.scheme,
            names.join(";"),
            self.signature
        );
        let mut headers: Vec<(&str, &[u8])> = self
            .signed_headers
            .iter()
            .map(|(name, value)| (&**name, value.as_bytes()))
            .collect();
        match self.scheme.as_str() {
            "ACS3-HMAC-SHA256" => headers.push(("authorization", authorization.as_bytes())),
            scheme => assert_eq!(scheme, "RPC-HMAC-SHA1"),
        }
        if !self.form.is_empty() {
            headers.push(("content-type", b"application/x-www-form-urlencoded"));
        }
        let call = Call {
            method: &self.method,
            path: &self.path,
            query: &query,
            headers: &headers,
            body: body.as_bytes(),
        };
        verify(&call, |key| (key == "testid").then(|| secret.into()), now)
    }
}

const ENCODINGS: [Encoding; 3] = [Encoding::Plus, Encoding::Percent, Encoding::All];

#[test]
fn what_sdks_signed_is_accepted() {
    let all = vectors();
    assert_eq!(all.access_key_id, "testid");
    let mut count = 0;
    for vector in all.vectors.iter().filter(|vector| vector.valid) {
        for encoding in ENCODINGS {
            let verified = vector.verify(encoding, &all.access_key_secret, vector.time());
            let verified = verified.unwrap_or_else(|error| panic!("{encoding:?}: {error}"));
            assert_eq!(verified.time, vector.time());
            let protocol = [
                "AccessKeyId",
                "Action",
                "Format",
                "Signature",
                "SignatureMethod",
                "SignatureNonce",
                "SignatureType",
                "SignatureVersion",
                "Timestamp",
                "Version",
            ];
            let pairs = vector.query.iter().chain(&vector.form);
            let params: Params = pairs
                .filter(|(name, _)| !protocol.contains(&&**name))
                .map(|(name, value)| (&**name, &**value))
                .collect();
            assert_eq!(verified.params, params);
            match vector.signed_headers.get("x-acs-action") {
                Some(action) => {
                    assert_eq!(verified.action, *action);
                    assert_eq!(verified.version, vector.signed_headers["x-acs-version"]);
                    assert_eq!(
                        verified.nonce,
                        vector.signed_headers["x-acs-signature-nonce"]
                    );
                }
                None => {
                    assert_eq!(verified.action, vector.parameter("Action"));
                    assert_eq!(verified.version, vector.parameter("Version"));
                    assert_eq!(verified.nonce, vector.parameter("SignatureNonce"));
                }
            }
        }
        count += 1;
    }
    assert_eq!(count, 56);
}

#[test]
fn what_is_wrong_is_refused() {
    let all = vectors();
    let mut codes = BTreeMap::<_, usize>::new();
    for vector in all.vectors.iter().filter(|vector| !vector.valid) {
        for encoding in ENCODINGS {
            let verified = vector.verify(encoding, &all.access_key_secret, vector.time());
            let error = verified.unwrap_err();
            *codes.entry(error.code.into_owned()).or_default() += 1;
        }
    }
    let codes: Vec<_> = codes
        .iter()
        .map(|(code, count)| (&**code, *count))
        .collect();
    assert_eq!(
        codes,
        [("InvalidPath.NotFound", 3), ("SignatureDoesNotMatch", 15)]
    );
}

#[test]
fn the_string_to_sign_is_told_as_sdks_know_it() {
    let all = vectors();
    for vector in all.vectors.iter().filter(|vector| vector.valid) {
        let error = vector
            .verify(Encoding::Plus, "another secret", vector.time())
            .unwrap_err();
        assert_eq!((error.status, &*error.code), (400, "SignatureDoesNotMatch"));
        assert_eq!(
            error.message,
            format!(
                "Specified signature is not matched with our calculation. server string to sign is:{}",
                vector.string_to_sign
            )
        );
        // The old Python SDK compares this with its own.
        if vector.scheme == "RPC-HMAC-SHA1" {
            assert_eq!(
                error.message.split(':').nth(1),
                Some(&*vector.string_to_sign)
            );
        }
    }
}

#[test]
fn calls_are_valid_for_a_quarter_of_an_hour() {
    let all = vectors();
    for vector in all.vectors.iter().filter(|vector| vector.valid) {
        let verify = |now| vector.verify(Encoding::Plus, &all.access_key_secret, now);
        let time = vector.time();
        assert!(verify(time - 900).is_ok());
        assert!(verify(time + 900).is_ok());
        for now in [time - 901, time + 901, 0, u64::MAX] {
            let error = verify(now).unwrap_err();
            assert_eq!(
                (error.status, &*error.code),
                (400, "InvalidTimeStamp.Expired")
            );
        }
    }
}
