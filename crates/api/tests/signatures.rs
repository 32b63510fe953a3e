//! Signatures over anything: what a client signed is accepted as it meant it, and nothing else is.

use crate::support::{Draft, KEY, Message, SECRET};
use api::Params;
use api::wire::{Call, Verified, verify};
use proptest::prelude::*;

const NOW: u64 = 1_795_288_117;

fn check(message: &Message) -> Result<Verified, api::ApiError> {
    let headers: Vec<_> = message
        .headers
        .iter()
        .map(|(name, value)| (&**name, value.as_bytes()))
        .collect();
    let call = Call {
        method: &message.method,
        path: &message.path,
        query: &message.query,
        headers: &headers,
        body: &message.body,
    };
    verify(&call, |key| (key == KEY).then(|| SECRET.into()), NOW)
}

/// Names that do not belong to the protocol, and any text.
fn parameters() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        "[A-Z][a-z]{1,8}(\\.[0-9]{1,2})?(\\.[A-Z][a-z]{1,8})?",
        "x.{0,5}"
    ];
    let value = prop_oneof![
        "[a-z0-9-]{0,12}",
        ".{0,12}",
        "[ +%&=*~'()!/:\u{0}ü漢🦀]{0,6}"
    ];
    let own = ["Action", "Version", "Format", "Signature", "Timestamp"];
    proptest::collection::btree_map(name, value, 0..8).prop_map(move |map| {
        let pairs = map.into_iter();
        pairs.filter(|(name, _)| !own.contains(&&**name)).collect()
    })
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Acs3,
    RpcQuery,
    RpcForm,
}

fn draft() -> impl Strategy<Value = (Draft, Way)> {
    let method = prop_oneof![Just("GET"), Just("POST")];
    let way = prop_oneof![Just(Way::Acs3), Just(Way::RpcQuery), Just(Way::RpcForm)];
    let times = NOW - 900..=NOW + 900;
    let nonce = "[!-~]{1,64}";
    (method, way, parameters(), parameters(), times, nonce).prop_map(
        |(method, way, query, form, time, nonce)| {
            let mut draft = Draft::new("DescribeVpcs", &[]);
            draft.method = method.into();
            draft.form = form
                .into_iter()
                .filter(|(name, _)| !query.iter().any(|(other, _)| other == name))
                .collect();
            draft.query = query;
            draft.time = time;
            draft.nonce = nonce;
            (draft, way)
        },
    )
}

fn sign(draft: &Draft, way: Way) -> Message {
    match way {
        Way::Acs3 => draft.acs3(),
        Way::RpcQuery => draft.rpc(false),
        Way::RpcForm => draft.rpc(true),
    }
}

/// The parts of a message that can be changed byte by byte, all joined.
fn parts(message: &mut Message) -> Vec<&mut String> {
    let mut parts = vec![&mut message.method, &mut message.path, &mut message.query];
    for (name, value) in &mut message.headers {
        parts.push(name);
        parts.push(value);
    }
    parts
}

/// Another byte in the place of one; false if there is nothing to be changed there.
fn change(message: &mut Message, at: prop::sample::Index, to: u8) -> bool {
    let sizes: usize = parts(message).iter().map(|part| part.len()).sum();
    let mut at = at.index(sizes + message.body.len());
    if at >= sizes {
        let old = std::mem::replace(&mut message.body[at - sizes], to);
        return old != to;
    }
    for part in parts(message) {
        if at < part.len() {
            let old = part.as_bytes()[at];
            part.replace_range(at..=at, str::from_utf8(&[to]).unwrap());
            return old != to;
        }
        at -= part.len();
    }
    unreachable!();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_signed_is_understood((draft, way) in draft()) {
        let verified = check(&sign(&draft, way)).unwrap();
        let all = draft.query.iter().chain(&draft.form);
        let params: Params = all.map(|(name, value)| (&**name, &**value)).collect();
        prop_assert_eq!(verified, Verified {
            access_key_id: KEY.into(),
            version: draft.version,
            action: draft.action,
            params,
            nonce: draft.nonce,
            time: draft.time,
        });
    }

    /// Only what means the same, such as %2f and %2F, is still accepted.
    #[test]
    fn no_changed_byte_changes_the_meaning(
        (draft, way) in draft(), at: prop::sample::Index, to in 0x20u8..0x7f,
    ) {
        let message = sign(&draft, way);
        let mut changed = message.clone();
        prop_assume!(change(&mut changed, at, to));
        if let Ok(verified) = check(&changed) {
            prop_assert_eq!(verified, check(&message).unwrap());
        }
    }

    #[test]
    fn a_changed_parameter_is_refused(
        (draft, way) in draft(), which: prop::sample::Index, with in ".{1,3}", what in 0..5,
    ) {
        let message = sign(&draft, way);
        let mut other = draft.clone();
        let pairs = match other.query.is_empty() {
            true => &mut other.form,
            false => &mut other.query,
        };
        match what {
            0 if !pairs.is_empty() => drop(pairs.remove(which.index(pairs.len()))),
            1 if !pairs.is_empty() => {
                let at = which.index(pairs.len());
                pairs[at].1 += &with;
            }
            2 if !pairs.is_empty() => {
                let at = which.index(pairs.len());
                pairs[at].0 += &with;
            }
            3 => other.action += "s",
            _ => pairs.push((format!("y{with}"), with)),
        }
        let forged = sign(&other, way);
        // The signature of the one on the other.
        let mut forged = forged;
        match way {
            Way::Acs3 => {
                *forged.header("authorization") = message.clone().header("authorization").clone();
            }
            Way::RpcQuery => forged.query = signed_as(&forged.query, &message.query),
            Way::RpcForm => {
                let (to, from) = (&forged.body, &message.body);
                let body = signed_as(str::from_utf8(to).unwrap(), str::from_utf8(from).unwrap());
                forged.body = body.into_bytes();
            }
        }
        // As a wrong signature; or before that, since the names that ACS3 signs change with whether there is a
        // body, and a changed name may be another parameter's.
        let error = check(&forged).unwrap_err();
        prop_assert!((400..500).contains(&error.status), "{error}");
    }

    #[test]
    fn a_changed_signature_is_refused(
        (draft, way) in draft(), at: prop::sample::Index, to in "[0-9A-Za-z+/=]",
    ) {
        let mut message = sign(&draft, way);
        let (text, begin, end) = match way {
            Way::Acs3 => (message.header("authorization"), "Signature=", ","),
            Way::RpcQuery => (&mut message.query, "Signature=", "&"),
            Way::RpcForm => {
                message.query = String::from_utf8(std::mem::take(&mut message.body)).unwrap();
                (&mut message.query, "Signature=", "&")
            }
        };
        let from = text.find(begin).unwrap() + begin.len();
        let length = text[from..].find(end).unwrap_or(text.len() - from);
        let at = from + at.index(length);
        // Digits after a % may change their case.
        let escaped = text[from..at].rfind('%').is_some_and(|percent| from + percent + 2 >= at);
        let same = |old: &str| old == to || (escaped && old.eq_ignore_ascii_case(&to));
        prop_assume!(!same(&text[at..=at]));
        text.replace_range(at..=at, &to);
        if let Way::RpcForm = way {
            message.body = std::mem::take(&mut message.query).into_bytes();
        }
        prop_assert!(check(&message).is_err());
    }

    #[test]
    fn garbage_is_an_error(
        method in ".{0,5}", path in ".{0,3}", query in ".{0,50}",
        headers in proptest::collection::vec(("[a-z-]{1,20}", ".{0,40}"), 0..5),
        body in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let message = Message { method, path, query, headers, body };
        let error = check(&message).unwrap_err();
        prop_assert!((400..500).contains(&error.status));
    }
}

fn signed_as(to: &str, from: &str) -> String {
    let is = |it: &&str| it.starts_with("Signature=");
    let signature = from.split('&').find(is).unwrap();
    let pairs = to.split('&').map(|it| if is(&it) { signature } else { it });
    pairs.collect::<Vec<_>>().join("&")
}
