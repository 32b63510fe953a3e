//! The client's side: signing a call with ACS3-HMAC-SHA256.

use super::acs3::{self, SCHEME};
use super::canonical::{self, Pairs};
use sha2::{Digest, Sha256};

/// A call that is ready to be sent: `POST /` with these headers and this form as its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The form.
    pub body: String,
}

/// An access key.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its secret.
    pub secret: &'a str,
}

/// Signs a call of `action` in the `version` of its product. `host` is what stands after `://` in the URL,
/// `now` seconds since 1970, `nonce` a text that no call of this key has had.
pub fn sign(
    credentials: Credentials<'_>,
    host: &str,
    (version, action): (&str, &str),
    params: impl IntoIterator<Item = (String, String)>,
    now: u64,
    nonce: &str,
) -> Signed {
    let params: Pairs = params.into_iter().collect();
    let body = canonical::query(&params, None);
    let hash = canonical::hex(&Sha256::digest(&body));
    // In the order of their names, which is the canonical one.
    let mut headers = vec![
        (
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        ),
        ("host", host.to_owned()),
        ("x-acs-action", action.to_owned()),
        ("x-acs-content-sha256", hash.clone()),
        ("x-acs-date", crate::call::stamp(now)),
        ("x-acs-signature-nonce", nonce.to_owned()),
        ("x-acs-version", version.to_owned()),
    ];
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let request = format!("POST\n/\n\n{lines}\n{names}\n{hash}");
    let hash = canonical::hex(&Sha256::digest(request));
    let signature = acs3::sign(credentials.secret, &format!("{SCHEME}\n{hash}"));
    let id = credentials.id;
    let authorization =
        format!("{SCHEME} Credential={id},SignedHeaders={names},Signature={signature}");
    headers.push(("authorization", authorization));
    Signed { headers, body }
}
