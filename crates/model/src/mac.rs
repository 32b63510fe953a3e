//! MAC addresses of the interfaces that are made for instances, so that whoever shows one and whoever sets it
//! agree without talking.

/// An end of a veth pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ours, with the programs on it.
    Near,
    /// The instance's.
    Far,
}

/// The MAC address of an end of a network interface's veth pair: always the same, unicast, locally
/// administered (IEEE 802, section 8.4).
pub fn mac(system: &str, id: &str, end: End) -> [u8; 6] {
    let end = match end {
        End::Near => "near",
        End::Far => "far",
    };
    let bytes = hash(&[system, id, end]).to_be_bytes();
    let [a, b, c, d, e, f, ..] = bytes;
    [a & 0xfc | 0x02, b, c, d, e, f]
}

/// FNV-1a over the parts, mixed so that every bit depends on all: it must not change between versions of
/// the program, which the standard library's does not promise.
pub fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // No part has a zero byte, so it tells where one ends.
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}
