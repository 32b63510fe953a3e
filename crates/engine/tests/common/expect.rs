//! What tests expect to come out.

use super::{Packet, Seen, World};

/// The reason that `action` adds one to, which is the only one.
pub fn reason(world: &mut World, action: impl FnOnce(&mut World)) -> String {
    let before = world.drops();
    action(world);
    let after = world.drops();
    let changed: Vec<_> = after
        .into_iter()
        .filter(|(reason, n)| before.get(reason) != Some(n))
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let (reason, n) = changed.into_iter().next().unwrap();
    assert_eq!(n, before.get(&reason).copied().unwrap_or(0) + 1, "{reason}");
    reason
}

/// The packet that came out, which is the only one.
#[track_caller]
pub fn one(mut seen: Vec<Seen>) -> Seen {
    assert_eq!(seen.len(), 1, "{seen:#?}");
    seen.remove(0)
}

/// The packet that came out of `port`, which is the only one.
#[track_caller]
pub fn at(port: &str, seen: Vec<Seen>) -> Packet {
    let seen = one(seen);
    assert_eq!(seen.at, port, "{seen:?}");
    seen.packet
}

/// Whether nothing came out.
#[track_caller]
pub fn none(seen: Vec<Seen>) {
    assert_eq!(seen, []);
}
