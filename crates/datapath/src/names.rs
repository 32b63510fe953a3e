//! What our interfaces are called in Linux, and how we know them again.
//!
//! The name of a Linux interface has room for 15 bytes, too few for an identifier, so names are made of
//! a hash and the readable truth stands in the alias (`ip link` shows it): `sluice:SYSTEM:ID`. Only what
//! has our alias is ever changed or deleted. The same alias on a namespace's loopback interface says that
//! the namespace is of our making.

use model::mac::hash;
pub(crate) use model::mac::{End, mac};

/// The alias of what we made for a network interface or an instance.
pub(crate) fn alias(system: &str, id: &str) -> String {
    format!("sluice:{system}:{id}")
}

/// The reverse of [`alias`]: the identifier, if the system is this one.
pub(crate) fn owned<'a>(alias: &'a str, system: &str) -> Option<&'a str> {
    let rest = alias.strip_prefix("sluice:")?;
    rest.strip_prefix(system)?.strip_prefix(':')
}

/// The name of our end of a network interface's veth pair. `attempt` gives others, for the case that one
/// is taken.
pub(crate) fn near(system: &str, id: &str, attempt: u32) -> String {
    let hash = hash(&[system, id, &attempt.to_string()]);
    format!("sl{:08x}", hash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn aliases_are_known_again_and_only_ours() {
        let alias = alias("edge", "eni:1");
        assert_eq!(owned(&alias, "edge"), Some("eni:1"));
        assert_eq!(owned(&alias, "edg"), None);
        assert_eq!(owned(&alias, "edge-2"), None);
        assert_eq!(owned("to the cellar", "edge"), None);
        assert_eq!(owned("", "edge"), None);
    }

    #[test]
    fn names_are_the_same_tomorrow() {
        // Written down: a change would orphan what an earlier version has made.
        assert_eq!(near("sluice", "web-1", 0), "sl01fbfcdf");
        assert_eq!(
            mac("sluice", "web-1", End::Far),
            [0x0a, 0x9b, 0x5e, 0xb4, 0xe6, 0x0b]
        );
    }

    #[test]
    fn names_and_addresses_differ_and_fit() {
        let mut seen = HashSet::new();
        for n in 0..1000 {
            let id = format!("eni-{n}");
            for attempt in 0..2 {
                let name = near("edge", &id, attempt);
                assert!(name.len() == 10 && seen.insert(name));
            }
            for end in [End::Near, End::Far] {
                let mac = mac("edge", &id, end);
                assert_eq!(mac[0] & 3, 2);
                assert!(seen.insert(format!("{mac:?}")));
            }
        }
    }
}
