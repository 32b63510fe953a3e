//! Internet checksum arithmetic (RFC 1071, RFC 1624).
//!
//! One's complement sums do not depend on byte order as long as it is one and the
//! same throughout, so everything here works on words as they lie in the packet.

use crate::key::proto;

/// Folds a sum of 16-bit words to 16 bits, carries added back.
#[inline(always)]
pub const fn fold(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// What a checksum's sum changes by when a 16-bit word `old` becomes `new`.
#[inline(always)]
pub const fn delta16(old: u16, new: u16) -> u16 {
    fold(!old as u32 + new as u32)
}

/// What a checksum's sum changes by when a 32-bit word `old` becomes `new`.
#[inline(always)]
pub const fn delta32(old: u32, new: u32) -> u16 {
    let old = !old;
    fold((old & 0xffff) + (old >> 16) + (new & 0xffff) + (new >> 16))
}

/// Two changes as one.
#[inline(always)]
pub const fn add(a: u16, b: u16) -> u16 {
    fold(a as u32 + b as u32)
}

/// A checksum field after a change of `delta` in what it covers (RFC 1624, equation 3).
#[inline(always)]
pub const fn update(field: u16, delta: u16) -> u16 {
    !add(!field, delta)
}

/// The sum of `bytes` as 16-bit words in memory order, added to `sum`; an odd last byte is padded
/// with zero.
pub fn sum(bytes: &[u8], sum: u32) -> u32 {
    let mut total = sum as u64;
    let mut words = bytes.chunks_exact(8);
    for w in &mut words {
        let word = u64::from_ne_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]]);
        total += (word & 0xffff_ffff) + (word >> 32);
    }
    let mut rest = words.remainder().chunks_exact(2);
    for w in &mut rest {
        total += u16::from_ne_bytes([w[0], w[1]]) as u64;
    }
    if let [last] = rest.remainder() {
        total += u16::from_ne_bytes([*last, 0]) as u64;
    }
    total = (total & 0xffff_ffff) + (total >> 32);
    total = (total & 0xffff_ffff) + (total >> 32);
    fold(total as u32) as u32
}

/// The sum of the pseudo-header (RFC 793, RFC 768). `src` and `dst` as in the packet, `len` is the
/// length of the transport header and payload in bytes.
pub const fn pseudo(src: u32, dst: u32, proto: u8, len: u16) -> u32 {
    let proto = u16::from_ne_bytes([0, proto]) as u32;
    let len = len.to_be() as u32;
    (src & 0xffff) + (src >> 16) + (dst & 0xffff) + (dst >> 16) + proto + len
}

/// Whether a TCP or UDP checksum field may hold the sum of the pseudo-header only, since the rest is left to hardware. If
/// not, it is a whole checksum, or there is none; of whole ones one in 65,535 looks the same.
#[inline(always)]
pub const fn may_be_partial(field: u16, src: u32, dst: u32, proto: u8, len: u16) -> bool {
    // The two ways to write zero; of UDP one of them says that there is none.
    let field = match field {
        0 if proto == proto::TCP => 0xffff,
        field => field,
    };
    field == fold(pseudo(src, dst, proto, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071's definition, one word at a time.
    fn slow(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            let word = u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]);
            total += word as u32;
            if total > 0xffff {
                total = (total & 0xffff) + 1;
            }
        }
        total as u16
    }

    proptest! {
        #[test]
        fn sum_agrees_with_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(fold(sum(&bytes, 0)).to_be(), slow(&bytes));
        }

        #[test]
        fn update_agrees_with_recomputation(
            mut bytes in proptest::collection::vec(any::<u8>(), 8..200),
            new in any::<u32>(), word in any::<u16>()
        ) {
            bytes[7] |= 1; // a sum of all zeroes has two representations
            let before = !fold(sum(&bytes, 0));
            let old = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let old16 = u16::from_ne_bytes([bytes[4], bytes[5]]);
            bytes[..4].copy_from_slice(&new.to_ne_bytes());
            bytes[4..6].copy_from_slice(&word.to_ne_bytes());
            let after = update(before, add(delta32(old, new), delta16(old16, word)));
            prop_assert_eq!(after, !fold(sum(&bytes, 0)));
        }
    }
}
