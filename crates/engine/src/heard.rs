//! What a receiver takes. What it would not take must not be taken for what a session says: its opener could tell the firewall
//! one name, and the server another.
//!
//! The checks are those of receivers (RFC 9293, section 3.10.7.4; RFC 7323, section 5), and one of what may not even arrive.

use crate::curtain::Segment;
use crate::io::Offload;
use crate::sessions::Way;
use crate::wire::{self, Ipv4};
use flow::header::Checksum;
use flow::{checksum, proto};

/// Options of TCP: the end, padding, time stamps; signatures, without which a receiver that knows of none takes a segment.
const END: u8 = 0;
const PADDING: u8 = 1;
const TIMESTAMPS: u8 = 8;
const SIGNATURES: [u8; 2] = [19, 29];

/// Whether its receiver will take a whole packet for what it is here. It drops what has a wrong checksum or a length that
/// cannot be, and data of TCP that acknowledges nothing; data that comes with a SYN it may take or not.
pub(crate) fn is_heard(frame: &[u8], packet: &Ipv4, offload: Offload) -> bool {
    let Some(segment) = frame.get(packet.l4..packet.end) else {
        return false;
    };
    let covered = match packet.proto {
        proto::TCP if segment.len() >= 20 => {
            let (header, flags) = (usize::from(segment[12] >> 4) * 4, segment[13]);
            let data = segment.len() > header;
            let (syn, rst, ack) = (flags & 0x02 != 0, flags & 0x04 != 0, flags & 0x10 != 0);
            let taken = match syn {
                true => !data,
                false => ack || rst,
            };
            ((20..=segment.len()).contains(&header) && taken).then_some(segment)
        }
        proto::UDP => wire::datagram_of(segment),
        _ => None,
    };
    let Some(covered) = covered else { return false };
    // Checksums that are left to hardware will be right, and UDP may have none.
    if offload.checksum == Checksum::Partial
        || packet.proto == proto::UDP && covered[6..8] == [0, 0]
    {
        return true;
    }
    let len = covered.len() as u16;
    let pseudo = checksum::pseudo(packet.src, packet.dst, packet.proto, len);
    checksum::sum(covered, pseudo) == 0xffff
}

/// What tells which data of a TCP connection's opener its other end takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ear {
    /// The largest TTL of a SYN: one of them has arrived, and what has less may not. Not known of those who are outside:
    /// their packets may come by several ways.
    ttl: Option<u8>,
    /// The number of the other end's first byte.
    first: Option<u32>,
    /// The time stamp of what came in order last.
    stamp: Option<u32>,
}

impl Ear {
    /// Whether a segment is taken, and what it tells of later ones. `next` are the numbers behind the last byte of each end;
    /// `inside` is whether the opener is.
    pub fn takes(
        &mut self,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        segment: &Segment,
        next: [u32; 2],
        inside: bool,
    ) -> bool {
        let syn = segment.flags & 0x02 != 0;
        if way == Way::Reply {
            if syn {
                self.first = Some(segment.seq.wrapping_add(1));
            }
            return true;
        }
        let options = Options::read(frame, packet);
        if syn {
            self.ttl = self.ttl.max(inside.then_some(packet.ttl));
            self.stamp = options.stamp;
            return true;
        }
        // Data that is urgent some receivers take out of the stream (RFC 6093).
        let taken = segment.flags & 0x20 == 0
            && self.ttl.is_none_or(|ttl| packet.ttl >= ttl)
            && self.first.is_none_or(|first| {
                segment.ack.wrapping_sub(first) <= next[Way::Reply as usize].wrapping_sub(first)
            })
            && !options.signed
            && match (self.stamp, options.stamp) {
                (Some(last), Some(stamp)) => last.wrapping_sub(stamp) as i32 <= 1,
                _ => true,
            };
        if taken && segment.seq.wrapping_sub(next[Way::Original as usize]) as i32 <= 0 {
            self.stamp = options.stamp.or(self.stamp);
        }
        // What carries nothing tells nothing.
        taken || segment.payload.is_empty()
    }
}

/// What matters here of the options of a segment.
#[derive(Default)]
struct Options {
    stamp: Option<u32>,
    signed: bool,
}

impl Options {
    fn read(frame: &[u8], packet: &Ipv4) -> Options {
        let mut found = Options::default();
        let segment = frame.get(packet.l4..packet.end).unwrap_or_default();
        let header = segment.get(12).map_or(0, |it| usize::from(it >> 4) * 4);
        let mut left = segment.get(20..header).unwrap_or_default();
        loop {
            left = match *left {
                [] | [END, ..] => return found,
                [PADDING, ref rest @ ..] => rest,
                [kind, len, ..] if len >= 2 && usize::from(len) <= left.len() => {
                    let (option, rest) = left.split_at(len.into());
                    if let (TIMESTAMPS, [_, _, a, b, c, d, _, _, _, _]) = (kind, option) {
                        found.stamp = Some(u32::from_be_bytes([*a, *b, *c, *d]));
                    }
                    found.signed |= SIGNATURES.contains(&kind);
                    rest
                }
                _ => return found,
            };
        }
    }
}
