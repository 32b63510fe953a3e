//! The bounds of what can be configured.

use std::ops::RangeInclusive;

/// Characters of an identifier.
pub const ID: RangeInclusive<usize> = 1..=128;
/// Characters of [`System::name`](crate::System::name).
pub const SYSTEM_NAME: RangeInclusive<usize> = 1..=32;
/// Bytes of the name of a Linux interface (`IFNAMSIZ` less the closing zero).
pub const DEVICE: RangeInclusive<usize> = 1..=15;
/// Sessions that there can be at once.
pub const MAX_SESSIONS: RangeInclusive<u32> = 1024..=100_000_000;
/// Bytes of the largest IP packet: every IPv4 host takes 576 (RFC 791, section 3.1); jumbo frames
/// carry 9,216 at most.
pub const MTU: RangeInclusive<u16> = 576..=9216;
/// Address blocks of a VPC, the primary one included.
pub const VPC_CIDRS: RangeInclusive<usize> = 1..=64;
/// Prefix length of a VPC's address block.
pub const VPC_PREFIX: RangeInclusive<u8> = 8..=28;
/// Prefix length of a vSwitch's address block.
pub const VSWITCH_PREFIX: RangeInclusive<u8> = 16..=29;
/// Priority of a security rule.
pub const PRIORITY: RangeInclusive<u8> = 1..=100;
/// Seconds of a timeout: up to a week.
pub const TIMEOUT: RangeInclusive<u64> = 1..=604_800;
/// Seconds that sessions drain: up to a week.
pub const DRAIN: RangeInclusive<u64> = 0..=604_800;
/// Times that an SNAT entry remembers that it was changed, while sessions drain.
pub const DRAINS: usize = 16;
/// Sessions that one source address may have at once.
pub const SESSIONS_PER_SOURCE: RangeInclusive<u32> = 1..=u32::MAX;
/// Bandwidth of an EIP or a package, in Mbit/s.
pub const BANDWIDTH: RangeInclusive<u32> = 1..=100_000;
/// Bandwidth limits in a configuration: packages, and EIPs that have one of their own, also within a package.
pub const BANDWIDTH_LIMITS: RangeInclusive<usize> = 0..=16_383;
/// EIPs of an SNAT entry.
pub const SNAT_EIPS: RangeInclusive<usize> = 1..=64;
