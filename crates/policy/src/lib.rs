//! Access control policies: which one decides about a session.
//!
//! [`Policies::compile`] makes a matcher of a list of policies and the books that it names; [`Policies::check`] asks it
//! about a session, as often as more is known of it. The first policy that matches decides.
//!
//! Policies that need the application or the domain of a session *pre-match* on the rest. While these are not known, the
//! answer is [`Verdict::Pending`]; when they cannot be known, the [engine mode](model::EngineMode) says whether the
//! session is allowed (loose) or the policy is skipped (strict).
//!
//! # The matcher
//!
//! Policies from one network to one network lie under their source, their destination or their port, where the fewest others
//! lie, and a check compares the few that lie under a session's own.
//!
//! Of the others, and of those that have too much in common with too many, each field of a session leads to the set of the
//! policies that mean it: source and destination by intervals of
//! addresses, ports the same way, names by a hash of the name and of those above it, protocol, application, and
//! schedules. Sets are bitmaps in the order of the policies, in blocks that are shared between sets that differ little, and
//! the answer is the first bit that is in one set of each field. The sets say exactly what the policies say, so that no
//! policy is looked at that does not decide. A check allocates nothing as long as a session is in at most 16 sets by one of
//! its fields, as nearly all are. `examples/matcher.rs` measures it; `tests/properties` holds it against a list that
//! is read from the top.
//!
//! # What is known beside the configuration
//!
//! [`World`] has what the daemon learns and swaps whole: [`Threats`], [`CloudServices`], [`Resolved`] names, [`Locations`]. [`Answers`] is what
//! clients were answered, which changes with each answer. A book of threats is about the addresses of its category,
//! and about its domains, if it has any, as a book of domains is. A book of a cloud service is about its addresses.
//!
//! # What else is here
//!
//! [`feed`] reads lists of threat indicators and of the networks of cloud services, [`CATEGORIES`] says which threats there are, and [`review`] looks policies
//! over for those that are never reached, never hit or too broad.
//!
//! # What is not
//!
//! IPv6: books of IPv6 addresses match nothing. No I/O, no clock: time is a parameter.

#![forbid(unsafe_code)]

mod answers;
mod categories;
mod chain;
mod draft;
mod edits;
pub mod feed;
mod index;
mod intervals;
mod matcher;
mod policies;
mod resolved;
pub mod review;
mod schedule;
mod services;
mod sets;
mod subject;
mod tables;
mod threats;
mod world;

pub use answers::{Answers, KnownNames};
pub use categories::{CATEGORIES, Category, category_of, test_indicators};
pub use policies::Policies;
pub use resolved::Resolved;
pub use services::CloudServices;
pub use subject::{Because, Facts, Identity, Locations, Names, Needs, Subject, Verdict};
pub use threats::{Indicator, Threats};
pub use world::World;
