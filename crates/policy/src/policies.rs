//! Policies that can be asked.

use crate::draft::Books;
use crate::edits::Edits;
use crate::index::MOST;
use crate::matcher::{Match, Matcher};
use crate::subject::{Because, Facts, Identity, Subject, Verdict};
use model::{AddressBook, ControlPolicy, EngineMode, PolicyAction};
use std::fmt;
use std::sync::Arc;

/// What sets may take before those of networks within networks are kept apart instead of joined: so much, and so much
/// for each policy. See [`crate::chain`].
const BUDGET: usize = 64 << 20;
const BUDGET_EACH: usize = 512;

/// How many policies are many: fewer are always compiled whole, which takes a millisecond.
const MANY: usize = 4_096;

/// Policies that can be asked: the first that matches decides, and it is found without reading them all.
///
/// What compiling many of them has made is shared with the lists that come of them by few changes: beside it there is
/// what has changed since.
pub struct Policies {
    list: Arc<Vec<Arc<ControlPolicy>>>,
    base: Arc<Base>,
    edits: Option<Edits>,
}

/// A list that was compiled whole.
struct Base {
    list: Arc<Vec<Arc<ControlPolicy>>>,
    matcher: Matcher,
}

impl Default for Policies {
    fn default() -> Self {
        Policies::compile(&[], &[])
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies({})", self.list.len())
    }
}

impl Policies {
    /// Compiles policies, in their order, with the books that they name. A book that there is not is empty.
    pub fn compile(policies: &[Arc<ControlPolicy>], books: &[AddressBook]) -> Policies {
        let budget = BUDGET + BUDGET_EACH * policies.len();
        Policies::compile_within(policies, books, budget, MOST)
    }

    /// Compiles, with so many bytes for sets that are joined, and so many policies under one network or port of the index:
    /// for tests of what happens when they are not enough.
    #[doc(hidden)]
    pub fn compile_within(
        policies: &[Arc<ControlPolicy>],
        books: &[AddressBook],
        budget: usize,
        most: u32,
    ) -> Policies {
        Policies::whole(Arc::new(policies.to_vec()), books, budget, most)
    }

    /// Compiles policies of which most may be in `before`, which was compiled with the same books.
    pub fn compile_after(
        list: Arc<Vec<Arc<ControlPolicy>>>,
        books: &[AddressBook],
        before: Option<&Policies>,
    ) -> Policies {
        match before {
            Some(before) if list.len() >= MANY => Policies::changed(list, books, before),
            _ => {
                let budget = BUDGET + BUDGET_EACH * list.len();
                Policies::whole(list, books, budget, MOST)
            }
        }
    }

    /// As [`compile_after`](Policies::compile_after), however few they are: for tests.
    #[doc(hidden)]
    pub fn changed(
        list: Arc<Vec<Arc<ControlPolicy>>>,
        books: &[AddressBook],
        before: &Policies,
    ) -> Policies {
        match Edits::between(&before.base.list, &list, books) {
            Some(edits) => Policies {
                list,
                base: Arc::clone(&before.base),
                edits: (!edits.is_empty()).then_some(edits),
            },
            None => {
                let budget = BUDGET + BUDGET_EACH * list.len();
                Policies::whole(list, books, budget, MOST)
            }
        }
    }

    fn whole(
        list: Arc<Vec<Arc<ControlPolicy>>>,
        books: &[AddressBook],
        budget: usize,
        most: u32,
    ) -> Policies {
        let books: Books = books.iter().map(|it| (&it.id, &*it.content)).collect();
        let base = Base {
            matcher: Matcher::new(&list, &books, budget, most),
            list: Arc::clone(&list),
        };
        Policies {
            list,
            base: Arc::new(base),
            edits: None,
        }
    }

    /// Whether nothing was compiled for them but what has changed.
    #[doc(hidden)]
    pub fn shares(&self, other: &Policies) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
    }

    /// The policy in a place.
    pub fn get(&self, place: u32) -> Option<&Arc<ControlPolicy>> {
        self.list.get(place as usize)
    }

    /// How many there are, those that are not enabled included.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        let edits = self.edits.iter().map(Edits::matcher);
        std::iter::once(&self.base.matcher).chain(edits)
    }

    /// Whether some policy looks at the names that addresses stand for, so that DNS answers must be seen.
    pub fn by_dns(&self) -> bool {
        self.matchers().any(Matcher::by_dns)
    }

    /// Whether some policy looks at what is known of the world: the names that addresses stand for, locations, threats, cloud
    /// services.
    pub fn is_worldly(&self) -> bool {
        self.matchers().any(Matcher::is_worldly)
    }

    /// The names that policies need resolved, as they tell them by their addresses: each once, in no order. Names below
    /// others (`*.example.com`) are not among them: only clients' own answers tell which there are.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        let base = &self.base.matcher;
        let edits = self.edits.iter().flat_map(|it| it.matcher().domains());
        base.domains()
            .chain(edits.filter(|name| !base.has_domain(name)))
    }

    /// When policies next begin or cease to count, in seconds since 1970 UTC: what was decided before may change then.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        self.matchers().filter_map(|it| it.next_change(now)).min()
    }

    /// How many bytes they take, the policies themselves not counted.
    pub fn bytes(&self) -> usize {
        let list = self.list.capacity() * size_of::<Arc<ControlPolicy>>();
        list + self.matchers().map(Matcher::bytes).sum::<usize>()
    }

    /// What the policies say. `default` happens to what none matches.
    pub fn check(
        &self,
        subject: &Subject,
        facts: &Facts,
        mode: EngineMode,
        default: PolicyAction,
    ) -> Verdict {
        let Some(found) = self.first(subject, facts, mode) else {
            return Verdict::Decided {
                action: default,
                because: Because::Default,
            };
        };
        match found.needs {
            None => Verdict::Decided {
                action: found.action,
                because: Because::Policy(found.place),
            },
            Some(needs) if matches!(subject.identity, Identity::Pending(_)) => {
                Verdict::Pending(found.place, needs)
            }
            Some(needs) => Verdict::Decided {
                action: PolicyAction::Accept,
                because: Because::Unidentified(found.place, needs),
            },
        }
    }

    /// The first policy that matches, or would if more were known.
    fn first(&self, subject: &Subject, facts: &Facts, mode: EngineMode) -> Option<Match> {
        let base = &self.base.matcher;
        match &self.edits {
            None => base.first(subject, facts, mode, None),
            Some(edits) => edits.first(base, subject, facts, mode),
        }
    }
}
