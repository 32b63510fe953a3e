//! The flows that the packet loads are made of.

use std::net::Ipv4Addr;

/// Bytes of a frame: 64 with the checksum that a card adds.
pub const FRAME: usize = 60;

/// What may be in front of the gateway, in the instances' VPC: the addresses of [`Flow::outbound`].
pub const CLIENTS: &str = "10.1.0.0/18";

/// A UDP flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// From where.
    pub src: (Ipv4Addr, u16),
    /// Where to.
    pub dst: (Ipv4Addr, u16),
}

impl Flow {
    /// A client's flow to a server: no two have the same client and port, so that each needs a port outside.
    /// There are 16,384 clients, and 4,096 servers.
    pub fn outbound(n: u32) -> Flow {
        let client = 0x0a01_0000 | (n & 0x3fff);
        let server = 0xc633_6000 + (n.wrapping_mul(2_654_435_761) >> 20);
        Flow {
            src: (client.into(), 1024 + (n >> 14) as u16),
            dst: (server.into(), 443),
        }
    }

    /// A flow from somewhere outside to a port of the gateway's.
    pub fn inbound(n: u32, to: (Ipv4Addr, u16)) -> Flow {
        let client = 0xc633_6000 + (n & 0xfff);
        Flow {
            src: (client.into(), 1024 + (n >> 12) as u16),
            dst: to,
        }
    }

    /// Bytes 24 to 37 of its frames, then the UDP checksum: what differs between flows.
    pub fn template(&self) -> [u64; 2] {
        let frame = self.frame(&[0; 6], &[0; 6]);
        let mut bytes = [0; 16];
        bytes[..14].copy_from_slice(&frame[24..38]);
        bytes[14..].copy_from_slice(&frame[40..42]);
        let word = |at| u64::from_ne_bytes(std::array::from_fn(|n| bytes[at + n]));
        [word(0), word(8)]
    }

    /// A frame of it.
    pub fn frame(&self, to: &[u8; 6], from: &[u8; 6]) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        frame[..6].copy_from_slice(to);
        frame[6..12].copy_from_slice(from);
        frame[12..14].copy_from_slice(&[8, 0]);
        let ip = &mut frame[14..34];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&(FRAME as u16 - 14).to_be_bytes());
        ip[8..10].copy_from_slice(&[64, 17]);
        ip[12..16].copy_from_slice(&self.src.0.octets());
        ip[16..20].copy_from_slice(&self.dst.0.octets());
        let sum = checksum(&[ip]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let length = (FRAME as u16 - 34).to_be_bytes();
        frame[34..36].copy_from_slice(&self.src.1.to_be_bytes());
        frame[36..38].copy_from_slice(&self.dst.1.to_be_bytes());
        frame[38..40].copy_from_slice(&length);
        let sum = checksum(&[&frame[26..34], &[0, 17], &length, &frame[34..]]);
        let sum = if sum == 0 { 0xffff } else { sum };
        frame[40..42].copy_from_slice(&sum.to_be_bytes());
        frame
    }
}

/// The first `count` of `flows`, in an order that is random and always the same.
pub fn shuffled(count: u32, flow: impl Fn(u32) -> Flow) -> Vec<Flow> {
    let mut flows: Vec<Flow> = (0..count).map(flow).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for i in (1..flows.len()).rev() {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        flows.swap(i, ((random >> 33) % (i as u64 + 1)) as usize);
    }
    flows
}

/// The Internet checksum (RFC 1071) of pieces of even length.
fn checksum(pieces: &[&[u8]]) -> u16 {
    let words = pieces.iter().flat_map(|piece| piece.chunks_exact(2));
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_flows_share_a_client_port() {
        let ends: HashSet<_> = (0..2_000_000).map(|n| Flow::outbound(n).src).collect();
        assert_eq!(ends.len(), 2_000_000);
    }

    #[test]
    fn a_shuffle_keeps_every_flow() {
        let flows: HashSet<_> = shuffled(1000, Flow::outbound)
            .iter()
            .map(|flow| flow.src)
            .collect();
        assert_eq!(flows.len(), 1000);
    }

    #[test]
    fn frames_sum_up_to_nothing() {
        let frame = Flow::outbound(12_345).frame(&[2; 6], &[4; 6]);
        assert_eq!(checksum(&[&frame[14..34]]), 0);
        let length = &frame[38..40];
        assert_eq!(
            checksum(&[&frame[26..34], &[0, 17], length, &frame[34..]]),
            0
        );
    }
}
