//! What is asked about, what is known, and what the answer is.

use crate::{CloudServices, Threats};
use model::{App, PolicyAction};
use std::net::Ipv4Addr;

/// A session, as policies look at it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Where it comes from.
    pub source: Ipv4Addr,
    /// Where it goes to.
    pub destination: Ipv4Addr,
    /// IP protocol.
    pub protocol: u8,
    /// Destination port, of protocols that have ports.
    pub port: Option<u16>,
    /// What is known of its content.
    pub identity: Identity<'a>,
}

/// What is known of a session's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// Not all yet; perhaps the application.
    Pending(Option<App>),
    /// All that will be. The domain is in the form of [`model::domain::normalise`].
    Known {
        /// The application.
        app: App,
        /// The domain, if one was told.
        domain: Option<&'a str>,
    },
    /// All that will be: it tells an address instead of a name, so that no policy about names means it.
    Nameless(App),
    /// It will not be known.
    Unknown,
}

/// The names that addresses stand for.
pub trait Names {
    /// Gives `each` every name that `address` stands for: those that `client` was answered, and those that our own
    /// resolution knows, in the form of [`model::domain::normalise`].
    fn names(&self, client: Ipv4Addr, address: Ipv4Addr, each: &mut dyn FnMut(&str));
}

/// Where addresses are.
pub trait Locations {
    /// Gives `each` every code that the location of `address` has: country, subdivision.
    fn locate(&self, address: Ipv4Addr, each: &mut dyn FnMut(&str));
}

/// Nothing is known.
impl Names for () {
    fn names(&self, _: Ipv4Addr, _: Ipv4Addr, _: &mut dyn FnMut(&str)) {}
}

/// Nothing is known.
impl Locations for () {
    fn locate(&self, _: Ipv4Addr, _: &mut dyn FnMut(&str)) {}
}

/// What is known of the world.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Names of addresses.
    pub names: &'a dyn Names,
    /// Locations of addresses.
    pub locations: &'a dyn Locations,
    /// What books of threats are about.
    pub threats: &'a Threats,
    /// What books of cloud services are about.
    pub services: &'a CloudServices,
    /// Seconds since 1970 UTC.
    pub now: u64,
}

/// What a policy needs to know and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Needs {
    /// The application.
    App,
    /// The domain.
    Domain,
}

/// Why it was decided as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The policy in this place of the list matches.
    Policy(u32),
    /// None matches.
    Default,
    /// The policy in this place needs what cannot be known, and the mode is loose.
    Unidentified(u32, Needs),
}

/// What policies say about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is decided.
    Decided {
        /// What happens.
        action: PolicyAction,
        /// Why.
        because: Because,
    },
    /// The policy in this place matches on addresses, protocol and port, and needs to know more.
    Pending(u32, Needs),
}
