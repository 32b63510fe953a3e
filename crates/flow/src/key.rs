//! Which flow a packet belongs to.

/// Protocol numbers (IANA) that the data path treats by name.
pub mod proto {
    /// Internet Control Message Protocol.
    pub const ICMP: u8 = 1;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
}

/// A flow's key: the packet's addresses, ports and protocol, and the zone it came in by.
///
/// Addresses and ports are in network byte order in memory. For ICMP echo,
/// `sport` is the identifier and `dport` the type and code; for protocols without
/// ports both are zero.
///
/// The zone is the identity of the port the packet came in by (all uplinks share
/// one). It keeps VPCs with the same addresses apart, and makes a hit in the table
/// a proof that this sender may use this source address: the flow was approved for
/// that port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Key {
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Source port, or ICMP identifier.
    pub sport: u16,
    /// Destination port, or ICMP type and code.
    pub dport: u16,
    /// The zone of the port that the packet came in by.
    pub zone: u16,
    /// IP protocol.
    pub proto: u8,
}

/// The secret of a table's hash: random for each table, kept with it, so that nobody outside can
/// choose addresses that collide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Seed(pub u64, pub u64);

impl Key {
    /// The addresses as one word.
    #[inline(always)]
    pub fn addrs(&self) -> u64 {
        self.src as u64 | alone(self.dst as u64) << 32
    }

    /// Everything else as one word, with `state` in the top byte.
    #[inline(always)]
    pub fn ident(&self, state: u8) -> u64 {
        self.sport as u64
            | alone(self.dport as u64) << 16
            | alone(self.zone as u64) << 32
            | (self.proto as u64) << 48
            | (state as u64) << 56
    }

    /// The reverse of [`Key::addrs`] and [`Key::ident`].
    #[inline(always)]
    pub const fn from_words(addrs: u64, ident: u64) -> Key {
        Key {
            src: addrs as u32,
            dst: (addrs >> 32) as u32,
            sport: ident as u16,
            dport: (ident >> 16) as u16,
            zone: (ident >> 32) as u16,
            proto: (ident >> 48) as u8,
        }
    }

    /// A keyed 64-bit hash: two rounds of multiply and shift (as in MurmurHash3's finaliser), one
    /// for each word of the key.
    #[inline(always)]
    pub fn hash(&self, seed: Seed) -> u64 {
        let mut h = (self.addrs() ^ seed.0).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 32;
        h = (h ^ self.ident(0) ^ seed.1).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^= h >> 29;
        h = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^ (h >> 32)
    }
}

/// The same value, of which the compiler does not know that it lies beside another.
///
/// It would load both at once. Processors cannot load a word that was just stored in two parts before both have left
/// for the cache, and before them everything that was stored earlier: if that lies in far memory, hundreds of cycles.
#[inline(always)]
fn alone(value: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut value = value;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!(
                "/* {0} */",
                inout(reg) value,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        value
    }
    #[cfg(not(target_arch = "x86_64"))]
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_and_back(src: u32, dst: u32, sport: u16, dport: u16, zone: u16, proto: u8, state: u8) {
            let key = Key { src, dst, sport, dport, zone, proto };
            prop_assert_eq!(Key::from_words(key.addrs(), key.ident(state)), key);
        }
    }
}
