//! The header that precedes a frame on its way to or from the kernel and says what is left to be done
//! to it: `struct virtio_net_hdr` (virtio 1.2, section 5.1.6).

use engine::Offload;
use flow::header::{Checksum, ETH, ETHERTYPE_IPV4, IP, checksum_offset};
use flow::{checksum, proto};

/// Bytes of the header.
pub(crate) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;
/// TCP flag CWR (RFC 3168), among a large frame's segments to be kept in the first only.
const CWR: u8 = 0x80;

/// Where in an IPv4 frame its transport header begins, and which protocol's it is; `None` for other
/// frames and for fragments that have none.
fn transport(frame: &[u8]) -> Option<(usize, u8)> {
    let ip = frame.get(ETH..ETH + IP)?;
    let ethertype = u16::from_ne_bytes([frame[12], frame[13]]);
    let words = (ip[0] & 0x0f) as usize;
    let offset = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff;
    let fits = ethertype == ETHERTYPE_IPV4 && ip[0] >> 4 == 4 && words >= 5 && offset == 0;
    fits.then_some((ETH + words * 4, ip[9]))
}

/// What was left to hardware in a frame as the kernel copied it, of which it tells the segment size
/// only.
///
/// A transport checksum left to hardware holds the sum of the pseudo-header only. To take a whole one for such
/// does no harm: the checksum is then computed anew, and comes out as it was if the packet is intact.
/// Where several packets stand in one frame it is always left.
pub(crate) fn offload(frame: &[u8], gso_size: u16) -> Offload {
    let checksum = if gso_size != 0 || is_partial(frame).unwrap_or(false) {
        Checksum::Partial
    } else {
        Checksum::Complete
    };
    Offload { checksum, gso_size }
}

fn is_partial(frame: &[u8]) -> Option<bool> {
    let (l4, protocol) = transport(frame)?;
    let ip = &frame[ETH..ETH + IP];
    // A part of a packet has the checksum of the whole.
    let more_fragments = ip[6] & 0x20 != 0;
    if more_fragments || !matches!(protocol, proto::TCP | proto::UDP) {
        return None;
    }
    let at = l4 + checksum_offset(protocol)?;
    let field = u16::from_ne_bytes(frame.get(at..at + 2)?.try_into().ok()?);
    let len = u16::from_be_bytes([ip[2], ip[3]]).checked_sub((l4 - ETH) as u16)?;
    let src = u32::from_ne_bytes([ip[12], ip[13], ip[14], ip[15]]);
    let dst = u32::from_ne_bytes([ip[16], ip[17], ip[18], ip[19]]);
    Some(checksum::may_be_partial(field, src, dst, protocol, len))
}

/// The header for a frame that is sent. All zeroes, "as it is", unless the frame is IPv4 with TCP or
/// UDP: nothing else can be left to hardware.
pub(crate) fn header(frame: &[u8], offload: Offload) -> [u8; LEN] {
    let mut header = [0; LEN];
    let segmented = offload.gso_size != 0;
    if !segmented && offload.checksum == Checksum::Complete {
        return header;
    }
    let Some((l4, protocol)) = transport(frame) else {
        return header;
    };
    let (kind, end) = match protocol {
        proto::TCP => {
            let [words, flags] = frame
                .get(l4 + 12..l4 + 14)
                .map_or([0x50, 0], |b| [b[0], b[1]]);
            let ecn = if flags & CWR != 0 { GSO_ECN } else { 0 };
            (GSO_TCPV4 | ecn, l4 + (words >> 4) as usize * 4)
        }
        proto::UDP => (GSO_UDP_L4, l4 + 8),
        _ => return header,
    };
    let offset = checksum_offset(protocol).unwrap_or_default();
    header[0] = NEEDS_CSUM;
    if segmented {
        header[1] = kind;
        header[2..4].copy_from_slice(&(end as u16).to_ne_bytes());
        header[4..6].copy_from_slice(&offload.gso_size.to_ne_bytes());
    }
    header[6..8].copy_from_slice(&(l4 as u16).to_ne_bytes());
    header[8..10].copy_from_slice(&(offset as u16).to_ne_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An IPv4 frame with `options` words of options, its transport checksum complete or partial.
    fn frame(protocol: u8, options: usize, payload: &[u8], partial: bool) -> Vec<u8> {
        let l4_len = if protocol == proto::TCP { 20 } else { 8 };
        let ip_len = IP + options * 4;
        let mut frame = vec![0; ETH + ip_len + l4_len];
        frame.extend_from_slice(payload);
        let len = l4_len + payload.len();
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[ETH] = 0x45 + options as u8;
        frame[ETH + 2..ETH + 4].copy_from_slice(&((ip_len + len) as u16).to_be_bytes());
        frame[ETH + 9] = protocol;
        frame[ETH + 12..ETH + 20].copy_from_slice(&[192, 168, 1, 5, 198, 51, 100, 7]);
        let l4 = ETH + ip_len;
        frame[l4..l4 + 4].copy_from_slice(&[0x9c, 0x40, 0x00, 0x50]);
        match protocol {
            proto::TCP => frame[l4 + 12] = 0x50,
            _ => frame[l4 + 4..l4 + 6].copy_from_slice(&(len as u16).to_be_bytes()),
        }
        let src = u32::from_ne_bytes([192, 168, 1, 5]);
        let dst = u32::from_ne_bytes([198, 51, 100, 7]);
        let pseudo = checksum::pseudo(src, dst, protocol, len as u16);
        let field = match partial {
            true => checksum::fold(pseudo),
            false => !checksum::fold(checksum::sum(&frame[l4..], pseudo)),
        };
        let at = l4 + checksum_offset(protocol).unwrap();
        frame[at..at + 2].copy_from_slice(&field.to_ne_bytes());
        frame
    }

    proptest! {
        #[test]
        fn a_partial_checksum_is_always_seen(
            tcp: bool, options in 0usize..11,
            payload in proptest::collection::vec(any::<u8>(), 0..1400)
        ) {
            let protocol = if tcp { proto::TCP } else { proto::UDP };
            let seen = offload(&frame(protocol, options, &payload, true), 0);
            prop_assert_eq!(seen, Offload { checksum: Checksum::Partial, gso_size: 0 });
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80), gso_size: u16, ip: bool, partial: bool
        ) {
            if ip && bytes.len() > 24 {
                bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
                bytes[23] = if partial { 6 } else { 17 };
            }
            offload(&bytes, gso_size);
            let checksum = if partial { Checksum::Partial } else { Checksum::Complete };
            header(&bytes, Offload { checksum, gso_size });
        }
    }

    #[test]
    fn a_complete_checksum_is_left_alone() {
        for protocol in [proto::TCP, proto::UDP] {
            let whole = frame(protocol, 0, b"some payload", false);
            assert_eq!(offload(&whole, 0), Offload::NONE);
            assert_eq!(header(&whole, Offload::NONE), [0; LEN]);
            // Even where it is missing, segments are computed anew.
            assert_eq!(offload(&whole, 1400).checksum, Checksum::Partial);
        }
        let mut fragment = frame(proto::UDP, 0, b"some payload", true);
        fragment[ETH + 6] = 0x20;
        assert_eq!(offload(&fragment, 0), Offload::NONE);
        let mut ping = frame(proto::TCP, 0, b"some payload", true);
        ping[ETH + 9] = proto::ICMP;
        assert_eq!(offload(&ping, 0), Offload::NONE);
    }

    #[test]
    fn headers_of_sent_frames() {
        let partial = |gso_size| Offload {
            checksum: Checksum::Partial,
            gso_size,
        };
        let words = |header: [u8; LEN]| {
            let word = |at| u16::from_ne_bytes([header[at], header[at + 1]]);
            (header[0], header[1], word(2), word(4), word(6), word(8))
        };
        let tcp = frame(proto::TCP, 1, &[7; 5000], true);
        assert_eq!(
            words(header(&tcp, partial(0))),
            (NEEDS_CSUM, 0, 0, 0, 38, 16)
        );
        assert_eq!(
            words(header(&tcp, partial(1400))),
            (NEEDS_CSUM, GSO_TCPV4, 58, 1400, 38, 16)
        );
        let mut reduced = tcp.clone();
        reduced[38 + 13] |= CWR;
        assert_eq!(header(&reduced, partial(1400))[1], GSO_TCPV4 | GSO_ECN);
        let udp = frame(proto::UDP, 0, &[7; 5000], true);
        assert_eq!(
            words(header(&udp, partial(1200))),
            (NEEDS_CSUM, GSO_UDP_L4, 42, 1200, 34, 6)
        );
    }
}
