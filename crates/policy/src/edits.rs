//! Few changes of many policies: what is gone of a list that was compiled, and what has come.
//!
//! Compiling 100,000 policies takes tens of milliseconds, and nearly every change is one of a single policy. So what was compiled stays
//! as it is, those that are gone of it do not count, and those that have come are compiled by themselves. A check asks both and
//! takes what comes first in the list as it is now. When too much has changed, all are compiled.

use crate::draft::Books;
use crate::index;
use crate::matcher::{Match, Matcher};
use crate::sets::Plain;
use crate::subject::{Facts, Subject};
use model::{
    AddressBook, BookContent, ControlPolicy, DomainResolve, EngineMode, Id, PolicyDestination,
    PolicySource, Validity,
};
use std::sync::Arc;

/// How many policies may be gone, and how many may have come: half a block of a set.
const MOST: usize = 256;

/// What has changed in a list.
pub(crate) struct Edits {
    /// The places in the old list of what is gone, ascending.
    gone: Vec<u32>,
    /// The old list's other places.
    kept: Plain,
    /// The places in the new list of what has come, ascending.
    came: Vec<u32>,
    /// Before which places in the old list these stand.
    before: Vec<u32>,
    /// What has come, compiled.
    matcher: Matcher,
}

impl Edits {
    /// What makes `new` of `old`; `None` if it is too much, or if what is gone has a say in more than who is matched.
    pub fn between(
        old: &[Arc<ControlPolicy>],
        new: &[Arc<ControlPolicy>],
        books: &[AddressBook],
    ) -> Option<Edits> {
        let Steps { gone, came, before } = steps(old, new)?;
        let plain = |place: &u32| is_plain(&old[*place as usize], books);
        if !gone.iter().all(plain) {
            return None;
        }
        let mut kept = Plain::full(old.len());
        gone.iter().for_each(|&place| kept.remove(place));
        let policies = came.iter().map(|&place| Arc::clone(&new[place as usize]));
        let policies: Vec<_> = policies.collect();
        let books: Books = match policies.is_empty() {
            true => Books::new(),
            false => books.iter().map(|it| (&it.id, &*it.content)).collect(),
        };
        Some(Edits {
            gone,
            kept,
            came,
            before,
            matcher: Matcher::new(&policies, &books, usize::MAX, index::MOST),
        })
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.came.is_empty()
    }

    /// What decides among those that have come.
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// The first policy that matches, or would if more were known. `old` decides among the old ones.
    pub fn first(
        &self,
        old: &Matcher,
        subject: &Subject,
        facts: &Facts,
        mode: EngineMode,
    ) -> Option<Match> {
        let kept = (!self.gone.is_empty()).then_some(&self.kept);
        let stayed = old.first(subject, facts, mode, kept).map(|it| Match {
            place: self.place_now(it.place),
            ..it
        });
        let came = self.matcher.first(subject, facts, mode, None);
        let came = came.map(|it| Match {
            place: self.came[it.place as usize],
            ..it
        });
        let both = stayed.into_iter().chain(came);
        both.min_by_key(|it| it.place)
    }

    /// Where what has stayed is in the new list.
    fn place_now(&self, old: u32) -> u32 {
        let gone = self.gone.partition_point(|&it| it < old);
        let came = self.before.partition_point(|&it| it <= old);
        old + came as u32 - gone as u32
    }
}

struct Steps {
    gone: Vec<u32>,
    came: Vec<u32>,
    before: Vec<u32>,
}

/// Goes through both lists at once, and where they part looks a little ahead for where they meet again. That finds not always the
/// fewest changes, but always some that make one list of the other.
fn steps(old: &[Arc<ControlPolicy>], new: &[Arc<ControlPolicy>]) -> Option<Steps> {
    let mut steps = Steps {
        gone: Vec::new(),
        came: Vec::new(),
        before: Vec::new(),
    };
    let (mut at, mut to) = (0, 0);
    while at < old.len() || to < new.len() {
        let (from, into) = (old.get(at), new.get(to));
        if let (Some(from), Some(into)) = (from, into)
            && Arc::ptr_eq(from, into)
        {
            (at, to) = (at + 1, to + 1);
            continue;
        }
        let ahead = |list: &[Arc<ControlPolicy>], it: Option<&Arc<ControlPolicy>>| {
            let it = it?;
            list.iter()
                .take(MOST)
                .position(|other| Arc::ptr_eq(other, it))
        };
        let (gone, came) = match (ahead(&old[at..], into), ahead(&new[to..], from)) {
            (Some(gone), None) => (gone, 0),
            (Some(gone), Some(came)) if gone <= came => (gone, 0),
            (_, Some(came)) => (0, came),
            (None, None) => (usize::from(from.is_some()), usize::from(into.is_some())),
        };
        let numbers = |from: usize, many: usize| (from..from + many).map(|it| it as u32);
        steps.gone.extend(numbers(at, gone));
        steps.came.extend(numbers(to, came));
        // What is gone stood before what has come in its place.
        let before = (at + gone) as u32;
        steps.before.resize(steps.came.len(), before);
        (at, to) = (at + gone, to + came);
        if steps.gone.len().max(steps.came.len()) > MOST {
            return None;
        }
    }
    Some(steps)
}

/// Whether a policy decides only by what a session and a configuration have: no schedule and nothing that has to be found out
/// depends on whether it is there.
fn is_plain(policy: &ControlPolicy, books: &[AddressBook]) -> bool {
    let content = |id: &Id| {
        let book = books.iter().find(|book| book.id == *id);
        book.map(|book| &*book.content)
    };
    let of_world = |id: &Id| {
        let content = content(id);
        matches!(
            content,
            Some(BookContent::Threat(_) | BookContent::Cloud(_))
        )
    };
    let source = match &policy.source {
        PolicySource::Net(_) => true,
        PolicySource::Book(id) => !of_world(id),
        PolicySource::Location(_) => false,
    };
    let told = policy.resolve == DomainResolve::Fqdn;
    let destination = match &policy.destination {
        PolicyDestination::Net(_) => true,
        PolicyDestination::Book(id) => {
            let named = matches!(content(id), Some(BookContent::Domain(_)));
            !of_world(id) && (told || !named)
        }
        PolicyDestination::Domain(_) => told,
        PolicyDestination::Location(_) => false,
    };
    !policy.enabled || policy.validity == Validity::Permanent && source && destination
}
