//! The parts of an HTTP request: refused, or taken once it is signed as the refusal says that it has to be.
#![no_main]

use api::wire::{Call, verify};
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "testsecret";
/// The time of the seeds.
const NOW: u64 = 1_795_288_117;

// A request line, headers, an empty line, a body.
fuzz_target!(|data: &[u8]| {
    let Some(message) = Message::read(data) else {
        return;
    };
    let Err(refused) = message.verify() else {
        panic!("nobody has signed this");
    };
    assert!((400..500).contains(&refused.status) && !refused.code.is_empty());
    let told = "Specified signature is not matched with our calculation. server string to sign is:";
    let Some(string_to_sign) = refused.message.strip_prefix(told) else {
        return;
    };
    let Some(signed) = message.signed(string_to_sign) else {
        return;
    };
    match signed.verify() {
        Ok(call) => assert!(call.params.get("Signature").is_none()),
        Err(error) => assert_eq!(error.code, "InvalidTimeStamp.Expired", "{error}"),
    }
});

struct Message {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Message {
    fn read(data: &[u8]) -> Option<Message> {
        let mut lines = data.splitn(2, |byte| *byte == b'\n');
        let target = str::from_utf8(lines.next()?).ok()?;
        let (method, target) = target.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut rest = lines.next()?;
        let mut headers = Vec::new();
        let body = loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if line.is_empty() {
                break rest;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = str::from_utf8(&line[..colon]).ok()?.to_lowercase();
            headers.push((name, line[colon + 1..].to_vec()));
        };
        Some(Message {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers,
            body: body.into(),
        })
    }

    fn verify(&self) -> Result<api::wire::Verified, api::ApiError> {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let call = Call {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: &self.body,
        };
        verify(&call, |_| Some(SECRET.into()), NOW)
    }

    /// With the right signature; None if there is none in the plain form that clients write.
    fn signed(mut self, string_to_sign: &str) -> Option<Message> {
        let named = |(name, _): &&mut (String, Vec<u8>)| name == "authorization";
        if let Some((_, value)) = self.headers.iter_mut().find(named) {
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
            mac.update(string_to_sign.as_bytes());
            let bytes = mac.finalize().into_bytes();
            let signature: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = str::from_utf8(value).ok()?;
            *value = replaced(text, ',', &signature)?.into_bytes();
            return Some(self);
        }
        let key = format!("{SECRET}&");
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(string_to_sign.as_bytes());
        let signature = base64::prelude::BASE64_STANDARD.encode(mac.finalize().into_bytes());
        let signature = signature.replace('+', "%2B");
        // The one in the form counts.
        let form = str::from_utf8(&self.body).ok();
        match form.and_then(|form| replaced(form, '&', &signature)) {
            Some(form) => self.body = form.into_bytes(),
            None => self.query = replaced(&self.query, '&', &signature)?,
        }
        Some(self)
    }
}

/// `text` with another `Signature`.
fn replaced(text: &str, separator: char, signature: &str) -> Option<String> {
    let begin = "Signature=";
    let mut found = false;
    let parts: Vec<_> = text
        .split(separator)
        .map(|part| {
            // Only in a header may there be white space before it.
            let from = match separator {
                ',' => part.len() - part.trim_start().len(),
                _ => 0,
            };
            match part[from..].starts_with(begin) {
                true => {
                    found = true;
                    format!("{}{begin}{signature}", &part[..from])
                }
                false => part.into(),
            }
        })
        .collect();
    found.then(|| parts.join(&separator.to_string()))
}
