//! Fragmentation of packets that are larger than the next link takes (RFC 791, section 2.3).

use crate::wire::{self, Ipv4};
use flow::header::ETH;

/// Cuts an IPv4 frame into frames of at most `mtu` bytes of IP packet and gives each to `send`. The frame
/// may be a fragment itself.
pub(crate) fn split(frame: &[u8], mtu: usize, mut send: impl FnMut(&[u8])) {
    let Ok(packet) = Ipv4::parse(frame) else {
        return;
    };
    // Options that are not copied into every fragment would have to be told apart; a packet with
    // options is rare, and all of them in every part is harmless.
    let header = packet.l4 - ETH;
    let room = mtu.saturating_sub(header) / 8 * 8;
    if room == 0 {
        return;
    }
    let mut part = Vec::with_capacity(packet.l4 + room);
    let mut chunks = frame[packet.l4..packet.end]
        .chunks(room)
        .enumerate()
        .peekable();
    while let Some((n, chunk)) = chunks.next() {
        part.clear();
        part.extend_from_slice(&frame[..packet.l4]);
        part.extend_from_slice(chunk);
        let total = (header + chunk.len()) as u16;
        part[ETH + 2..ETH + 4].copy_from_slice(&total.to_be_bytes());
        let more = chunks.peek().is_some() || packet.more_fragments;
        let offset = ((packet.offset + n * room) / 8) as u16 | if more { 0x2000 } else { 0 };
        part[ETH + 6..ETH + 8].copy_from_slice(&offset.to_be_bytes());
        wire::header_checksum(&mut part, ETH, packet.l4);
        send(&part);
    }
}
