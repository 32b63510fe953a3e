//! HTTP/1.x (RFC 9112).

use crate::name::{Host, text};
use crate::recognise::{Match, Seen, begins, lines, word};
use crate::{Details, Identity};
use model::App;

/// Methods by which a request is known though its first line is cut short.
const METHODS: [&str; 10] = [
    "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND",
];

/// The longest name of a method that is looked at.
const MAX_METHOD: usize = 24;

pub(crate) fn recognise(seen: &Seen) -> Match {
    if seen.client.is_empty() {
        let answer = seen.closed && is_answer(seen.server);
        return if answer {
            Match::yes(App::Http)
        } else {
            Match::More
        };
    }
    request(seen.client, seen.closed)
}

/// Whether bytes are those of an answer.
pub(crate) fn is_answer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.0 ") || bytes.starts_with(b"HTTP/1.1 ")
}

/// What bytes are that may be those of a request.
pub(crate) fn request(bytes: &[u8], closed: bool) -> Match {
    // Empty lines before it are to be passed over.
    let blank = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let bytes = &bytes[blank.take(4).count()..];
    let token = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let method = bytes.iter().take_while(|byte| token(byte)).count();
    if method > MAX_METHOD {
        return Match::No;
    }
    let Some(rest) = bytes.get(method..).filter(|rest| !rest.is_empty()) else {
        return Match::More;
    };
    if method < 2 || rest[0] != b' ' {
        return Match::No;
    }
    let method = &bytes[..method];
    let known = METHODS.iter().any(|it| it.as_bytes() == method);
    // A binary protocol does not get far.
    let mut line = rest.iter().take_while(|byte| **byte != b'\n');
    if line.any(|byte| *byte < b' ' && !matches!(byte, b'\r' | b'\t')) {
        return Match::No;
    }
    let Some((line, next)) = lines(bytes).next() else {
        return match closed {
            true => cut(method, &rest[1..], known),
            false => Match::More,
        };
    };
    let (_, rest) = word(line);
    let Some(end) = rest.iter().rposition(|byte| *byte == b' ') else {
        // HTTP/0.9: no version, no headers.
        let old = method == b"GET" && rest.starts_with(b"/");
        return if old {
            identity(method, rest, Host::default())
        } else {
            Match::No
        };
    };
    let (target, version) = (&rest[..end], &rest[end + 1..]);
    if !version.starts_with(b"HTTP/1.") {
        return Match::No;
    }
    if let Some(host) = of_target(method, target) {
        return identity(method, target, host);
    }
    for (line, _) in lines(&bytes[next..]) {
        if line.is_empty() {
            return identity(method, target, Host::default());
        }
        if let Some(host) = host(line) {
            return identity(method, target, host);
        }
    }
    match closed {
        true => identity(method, target, Host::default()),
        false => Match::App(App::Http),
    }
}

/// What is known of a request whose first line has no end.
fn cut(method: &[u8], target: &[u8], known: bool) -> Match {
    let plain = target.starts_with(b"/") || target.starts_with(b"http://");
    match known && plain {
        true => identity(
            method,
            target,
            of_target(method, target).unwrap_or_default(),
        ),
        false => Match::No,
    }
}

/// The host that the target names: absolute form, or where CONNECT leads. It outdoes the header.
fn of_target(method: &[u8], target: &[u8]) -> Option<Host> {
    if method == b"CONNECT" {
        return Some(Host::parse(target));
    }
    let authority = match target {
        _ if begins(target, b"http://") => target.get(7..)?,
        _ if begins(target, b"https://") => target.get(8..)?,
        _ => return None,
    };
    let end = authority.iter().position(|byte| b"/?#".contains(byte));
    let authority = &authority[..end.unwrap_or(authority.len())];
    let user = authority.iter().rposition(|byte| *byte == b'@');
    Some(Host::parse(&authority[user.map_or(0, |at| at + 1)..]))
}

/// The value of a Host header.
fn host(line: &[u8]) -> Option<Host> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii();
    name.eq_ignore_ascii_case(b"host")
        .then(|| Host::parse(&line[colon + 1..]))
}

fn identity(method: &[u8], target: &[u8], host: Host) -> Match {
    Match::Yes(Identity {
        domain: host.domain,
        details: Details {
            request: Some(text(&[method, b" ", target].concat())),
            host: host.other,
            ..Details::default()
        },
        ..Identity::of(App::Http)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &str) -> Match {
        request(bytes.as_bytes(), false)
    }

    fn found(bytes: &str) -> (Option<String>, String) {
        match of(bytes) {
            Match::Yes(identity) => (
                identity.domain.map(|domain| domain.to_string()),
                identity.details.request.unwrap().to_string(),
            ),
            other => panic!("{bytes}: {other:?}"),
        }
    }

    #[test]
    fn the_host_is_known_as_soon_as_its_line_is_there() {
        let request = "GET /index.html HTTP/1.1\r\nAccept: */*\r\nhOST: Www.Example.com:8080\r\n";
        assert_eq!(
            found(request),
            (Some("www.example.com".into()), "GET /index.html".into())
        );
        for end in 0..request.len() {
            let expected = match end {
                0..26 => Match::More,
                _ => Match::App(App::Http),
            };
            assert_eq!(of(&request[..end]), expected, "{end}");
        }
    }

    #[test]
    fn the_target_outdoes_the_header() {
        let (domain, _) = found("GET http://u@a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n");
        assert_eq!(domain.as_deref(), Some("a.example"));
        let (domain, request) = found("CONNECT a.example:443 HTTP/1.1\r\n");
        assert_eq!(domain.as_deref(), Some("a.example"));
        assert_eq!(request, "CONNECT a.example:443");
    }

    #[test]
    fn there_may_be_no_host() {
        assert_eq!(found("POST /x HTTP/1.0\r\nA: b\r\n\r\n").0, None);
        assert_eq!(found("GET /\r\n"), (None, "GET /".into()));
        match of("GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n") {
            Match::Yes(identity) => {
                assert_eq!(identity.domain, None);
                assert_eq!(identity.details.host.as_deref(), Some("192.0.2.1"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_that_is_cut_short_is_known_at_the_end() {
        let long = format!("GET /{}", "x".repeat(5000));
        assert_eq!(of(&long), Match::More);
        assert!(matches!(request(long.as_bytes(), true), Match::Yes(_)));
        let headers = b"GET / HTTP/1.1\r\nCookie: x";
        assert!(matches!(request(headers, true), Match::Yes(_)));
    }

    #[test]
    fn other_protocols_with_lines_are_not_it() {
        for other in [
            "OPTIONS rtsp://a.example/ RTSP/1.0\r\n",
            "INVITE sip:a@b SIP/2.0\r\n",
            "EHLO a.example\r\n",
            "PRI * HTTP/2.0\r\n",
            "HI\n",
            "get / http/1.1\r\n",
            "GET\0",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n",
            "\x16\x03\x01",
        ] {
            assert_eq!(of(other), Match::No, "{other:?}");
        }
    }
}
