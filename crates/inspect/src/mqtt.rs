//! MQTT: a client begins with CONNECT (versions 3.1, 3.1.1 and 5).

use crate::bytes::Bytes;
use crate::recognise::{Match, Seen};
use model::App;

const CONNECT: u8 = 0x10;

/// The shortest CONNECT: protocol name, level, flags, keep alive, the client's empty name.
const MIN_LEN: u32 = 12;

pub(crate) fn recognise(seen: &Seen) -> Match {
    let mut left = Bytes(seen.client);
    match is_connect(&mut left) {
        Some(is) => Match::when(is, App::Mqtt),
        None => Match::More,
    }
}

fn is_connect(left: &mut Bytes) -> Option<bool> {
    if left.u8()? != CONNECT {
        return Some(false);
    }
    let mut len = 0;
    for shift in [0, 7, 14, 21] {
        let byte = left.u8()?;
        len |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        if shift == 21 {
            return Some(false);
        }
    }
    let names: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];
    let fits = |name: &&&[u8]| {
        let len = left.0.len().min(name.len());
        left.0[..len] == name[..len]
    };
    let Some(name) = names.iter().find(fits).filter(|_| len >= MIN_LEN) else {
        return Some(false);
    };
    left.take(name.len())?;
    Some(matches!(left.u8()? & 0x7f, 3..=5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses};

    #[test]
    fn the_first_packet_names_the_protocol() {
        for connect in [
            &b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03abc"[..],
            b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\0\x03abc",
            b"\x10\x91\x01\0\x06MQIsdp\x03",
        ] {
            assert_eq!(of(connect, b"", 1884), Match::yes(App::Mqtt));
            for end in 0..=8 {
                assert_eq!(of(&connect[..end], b"", 1884), Match::More);
            }
        }
        for other in [
            &b"\x10\x0f\0\x04HTTP"[..],
            b"\x20\x0f",
            b"\x10\xff\xff\xff\xff\0",
            b"\x10\x0f\0\x04MQTT\x09",
        ] {
            assert!(refuses(recognise, other, b"", 1883));
        }
    }
}
