//! VNC (RFC 6143, section 7.1.1): both ends begin with their version.

use crate::recognise::{Match, Seen};
use model::App;

pub(crate) fn recognise(seen: &Seen) -> Match {
    if seen.client.is_empty() {
        let server = seen.closed && is_version(seen.server) == Some(true);
        return if server {
            Match::yes(App::Vnc)
        } else {
            Match::More
        };
    }
    match is_version(seen.client) {
        Some(is) => Match::when(is, App::Vnc),
        None => Match::More,
    }
}

/// `RFB 003.008` and a line feed; None, if it may become it.
fn is_version(bytes: &[u8]) -> Option<bool> {
    const LEN: usize = 12;
    let fits = |(at, byte): (usize, &u8)| match at {
        0..4 => *byte == b"RFB "[at],
        7 => *byte == b'.',
        11 => *byte == b'\n',
        _ => byte.is_ascii_digit(),
    };
    match bytes.iter().take(LEN).enumerate().all(fits) {
        true if bytes.len() < LEN => None,
        is => Some(is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses, server_only};

    #[test]
    fn the_clients_version_tells() {
        let version = b"RFB 003.008\n";
        assert_eq!(of(version, b"", 5900), Match::yes(App::Vnc));
        for end in 0..12 {
            assert_eq!(of(&version[..end], version, 5900), Match::More);
        }
        assert!(refuses(recognise, b"RFB 003,008\n", b"", 5900));
        assert_eq!(server_only(version, 5901), Match::yes(App::Vnc));
    }
}
