//! SSH (RFC 4253, section 4.2): both ends begin with their version.

use crate::recognise::{Match, Seen};
use model::App;

pub(crate) fn recognise(seen: &Seen) -> Match {
    if seen.client.is_empty() {
        let server = seen.closed && is_version(seen.server) == Some(true);
        return if server {
            Match::yes(App::Ssh)
        } else {
            Match::More
        };
    }
    match is_version(seen.client) {
        Some(is) => Match::when(is, App::Ssh),
        None => Match::More,
    }
}

/// `SSH-2.0-`, `SSH-1.99-`; None, if it may become it.
fn is_version(bytes: &[u8]) -> Option<bool> {
    let fits = |(at, byte): (usize, &u8)| match at {
        0..4 => *byte == b"SSH-"[at],
        4 => matches!(byte, b'1' | b'2'),
        _ => *byte == b'.',
    };
    match bytes.iter().take(6).enumerate().all(fits) {
        true if bytes.len() < 6 => None,
        is => Some(is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses, server_only};

    #[test]
    fn the_clients_version_tells() {
        let version = b"SSH-2.0-OpenSSH_9.9\r\n";
        assert_eq!(of(version, b"", 2222), Match::yes(App::Ssh));
        for end in 0..6 {
            assert_eq!(of(&version[..end], version, 22), Match::More);
        }
        assert!(refuses(recognise, b"SSH-3.0-x\r\n", b"", 22));
        assert_eq!(server_only(version, 22), Match::yes(App::Ssh));
    }
}
