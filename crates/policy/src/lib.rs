//! Access control policies: which one decides about a session.
//!
//! [`Policies::compile`] makes a matcher of a list of policies and the books that it names; [`Policies::check`] asks it
//! about a session, as often as more is known of it. The first policy that matches decides.
//!
//! Policies that need the application or the domain of a session *pre-match* on the rest. While these are not known, the
//! answer is [`Verdict::Pending`]; when they cannot be known, the [engine mode](model::EngineMode) says whether the
//! session is allowed (loose) or the policy is skipped (strict).

#![forbid(unsafe_code)]

mod answers;
mod categories;
mod chain;
mod draft;
pub mod feed;
mod intervals;
mod policies;
mod resolved;
pub mod review;
mod schedule;
mod sets;
mod subject;
mod tables;
mod threats;
mod world;

pub use answers::{Answers, KnownNames};
pub use categories::{CATEGORIES, Category, category_of, test_indicators};
pub use policies::Policies;
pub use resolved::Resolved;
pub use subject::{Because, Facts, Identity, Locations, Names, Needs, Subject, Verdict};
pub use threats::{Indicator, Threats};
pub use world::World;
