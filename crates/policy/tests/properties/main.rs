//! The matcher says what a list says that is read from the top.

mod generate;
mod list;
mod zones;

use generate::{Case, LONG, case, subjects};
use list::List;
use model::{ControlPolicy, DomainResolve, EngineMode, PolicyAction, PolicyDestination};
use policy::review::{Flaw, Review, review};
use policy::{Facts, Identity, Locations, Names, Policies, Resolved, Subject, Verdict};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Names and locations that are a function of the address.
struct Known<'a>(&'a Case);

impl Names for Known<'_> {
    fn names(&self, client: Ipv4Addr, address: Ipv4Addr, each: &mut dyn FnMut(&str)) {
        for (whose, of, name) in &self.0.names {
            if *of == address && whose.is_none_or(|whose| whose == client) {
                each(name);
            }
        }
    }
}

impl Locations for Known<'_> {
    fn locate(&self, address: Ipv4Addr, each: &mut dyn FnMut(&str)) {
        let last = address.octets()[3];
        each(["CN", "US", "DE"][usize::from(last % 3)]);
        if last % 2 == 1 {
            each("US-CA");
        }
    }
}

fn facts<'a>(case: &'a Case, known: &'a Known<'a>) -> Facts<'a> {
    Facts {
        names: known,
        locations: known,
        threats: &case.threats,
        services: &case.known_services,
        now: case.now,
    }
}

fn modes() -> impl Iterator<Item = (EngineMode, PolicyAction)> {
    let modes = [EngineMode::Loose, EngineMode::Strict];
    modes
        .into_iter()
        .flat_map(|mode| [PolicyAction::Accept, PolicyAction::Drop].map(|default| (mode, default)))
}

fn agree(case: &Case, compiled: &Policies, subject: &Subject) {
    let (known, list) = (
        Known(case),
        List::compile(&case.policies, &case.books, &case.services),
    );
    let facts = facts(case, &known);
    for (mode, default) in modes() {
        let expected = list.check(subject, &facts, mode, default);
        let found = compiled.check(subject, &facts, mode, default);
        assert_eq!(found, expected, "{subject:?} {mode:?} {default:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_matcher_agrees_with_a_list(case in case(1..12)) {
        let compiled = Policies::compile(&case.policies, &case.books);
        for subject in subjects(&case) {
            agree(&case, &compiled, &subject);
        }
    }

    #[test]
    fn it_agrees_when_sets_are_not_joined(case in case(1..40)) {
        let compiled = Policies::compile_within(&case.policies, &case.books, 0, 0);
        for subject in subjects(&case) {
            agree(&case, &compiled, &subject);
        }
    }

    // Wherever the policies are kept that name a network on either side.
    #[test]
    fn it_agrees_however_many_policies_are_in_the_index(case in case(1..60), most in 0u32..6) {
        let compiled = Policies::compile_within(&case.policies, &case.books, 1 << 20, most);
        for subject in subjects(&case) {
            agree(&case, &compiled, &subject);
        }
    }

    // Policies that come, go, move and are replaced, few at a time: what was compiled before is compiled no more.
    #[test]
    fn it_agrees_after_changes(case in case(1..30), steps in proptest::collection::vec((0u8..5, any::<[usize; 2]>()), 1..9)) {
        let mut case = case;
        let all = case.policies.clone();
        let mut list = all.clone();
        let mut compiled = Policies::compile(&list, &case.books);
        for (step, [a, b]) in steps {
            let many = list.len();
            let new = || Arc::new((*all[b % all.len()]).clone());
            match step {
                0 if many > 0 => drop(list.remove(a % many)),
                1 if many > 0 => list[a % many] = new(),
                2 if many > 0 => {
                    let moved = list.remove(a % many);
                    list.insert(b % many, moved);
                }
                // Twice the same one is none of a configuration, and decides all the same.
                3 if many > 0 => list.insert(a % (many + 1), Arc::clone(&list[b % many])),
                _ => list.insert(a % (many + 1), new()),
            }
            case.policies = list.clone();
            compiled = Policies::changed(Arc::new(list.clone()), &case.books, &compiled);
            let whole = Policies::compile(&list, &case.books);
            let tells = |it: &Policies| {
                let mut domains: Vec<String> = it.domains().map(str::to_owned).collect();
                domains.sort();
                (it.len(), it.by_dns(), it.is_worldly(), it.next_change(case.now), domains)
            };
            prop_assert_eq!(tells(&compiled), tells(&whole));
            for subject in subjects(&case).into_iter().take(12) {
                agree(&case, &compiled, &subject);
            }
        }
    }

    // The same policies, as schedules begin and end; and asked about another time in between.
    #[test]
    fn it_agrees_as_time_goes_by(case in case(1..12), steps in proptest::collection::vec((0u64..700_000, prop::bool::weighted(0.8)), 12)) {
        let compiled = Policies::compile(&case.policies, &case.books);
        let mut case = case;
        for (step, on) in steps {
            let to_change = compiled.next_change(case.now);
            case.now = match (to_change, on, step % 2) {
                (Some(at), true, 0) => at,
                (_, true, _) => case.now + step,
                (_, false, _) => case.now.saturating_sub(step),
            };
            for subject in subjects(&case).into_iter().take(12) {
                agree(&case, &compiled, &subject);
            }
        }
    }

    // What is pending is decided by what becomes known as if it had been known at once: no policy before the one that
    // pre-matched does, and if nothing more becomes known, it is that policy that the mode is asked about.
    #[test]
    fn what_was_pending_is_decided_as_if_it_had_been_known(case in case(1..12)) {
        let compiled = Policies::compile(&case.policies, &case.books);
        let known = Known(&case);
        let facts = facts(&case, &known);
        for subject in subjects(&case) {
            let Identity::Known { app, domain } = subject.identity else { continue };
            for (mode, default) in modes() {
                let check = |identity| compiled.check(&Subject { identity, ..subject }, &facts, mode, default);
                let known = check(Identity::Known { app, domain });
                for earlier in [check(Identity::Pending(None)), check(Identity::Pending(Some(app)))] {
                    match earlier {
                        Verdict::Decided { .. } => prop_assert_eq!(earlier, known),
                        Verdict::Pending(place, _) => prop_assert!(decided_at(&known) >= place),
                    }
                }
            }
        }
    }

    // What a review calls covered by an earlier policy never decides, whatever is known.
    #[test]
    fn what_is_never_reached_never_decides(case in case(1..30)) {
        let compiled = Policies::compile(&case.policies, &case.books);
        let policies = case.policies.iter().enumerate().map(|(n, it)| {
            let mut policy = (**it).clone();
            policy.id = format!("p{n}").parse().unwrap();
            Arc::new(policy)
        });
        let policies: Vec<_> = policies.collect();
        let findings = review(&Review {
            policies: &policies,
            books: &case.books,
            default_action: model::Policy::Accept,
            hits: &|_| None,
            resolved: &Resolved::default(),
        });
        let never = [Flaw::Duplicate, Flaw::Shadowed, Flaw::Conflicting, Flaw::Ineffective];
        let never: Vec<_> = findings.iter().filter(|it| never.contains(&it.flaw)).map(|it| it.policies[0].clone()).collect();
        let (known, subjects) = (Known(&case), subjects(&case));
        let facts = facts(&case, &known);
        // What goes over TCP or UDP has a port, and nothing else has.
        let real = subjects.iter().filter(|it| it.port.is_some() == matches!(it.protocol, 6 | 17));
        for subject in real {
            for (mode, default) in modes() {
                let decided = decided_at(&compiled.check(subject, &facts, mode, default));
                if let Some(policy) = policies.get(decided as usize) {
                    prop_assert!(!never.contains(&policy.id), "{:?} {:?}", policy, subject);
                }
            }
        }
    }

    #[test]
    fn compiling_twice_is_the_same(case in case(1..40)) {
        let compiled = [0, 1].map(|_| Policies::compile(&case.policies, &case.books));
        let known = Known(&case);
        let facts = facts(&case, &known);
        for subject in subjects(&case) {
            for (mode, default) in modes() {
                let [one, other] = compiled.each_ref().map(|it| it.check(&subject, &facts, mode, default));
                prop_assert_eq!(one, other);
            }
        }
    }

    #[test]
    fn nothing_changes_before_it_is_said_to(case in case(1..12), steps in proptest::collection::vec(0u64..10, 8)) {
        let compiled = Policies::compile(&case.policies, &case.books);
        let counting = |now| {
            let enabled = case.policies.iter().filter(|it| it.enabled);
            enabled.map(|it| list::valid(&it.validity, now)).collect::<Vec<_>>()
        };
        match compiled.next_change(case.now) {
            Some(at) => {
                prop_assert!(at > case.now);
                prop_assert_ne!(counting(at), counting(case.now));
                prop_assert_eq!(counting(at - 1), counting(case.now));
                for step in steps {
                    prop_assert_eq!(counting(case.now + (at - 1 - case.now) * step / 10), counting(case.now));
                }
            }
            None => {
                for step in steps {
                    prop_assert_eq!(counting(case.now + step * 86_400 * 9 + step * 3_600), counting(case.now));
                }
            }
        }
    }
}

fn decided_at(verdict: &Verdict) -> u32 {
    match verdict {
        Verdict::Pending(place, _) => *place,
        Verdict::Decided { because, .. } => match because {
            policy::Because::Policy(place) | policy::Because::Unidentified(place, _) => *place,
            policy::Because::Default => u32::MAX,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    // More than a page of blocks of places.
    #[test]
    fn the_matcher_agrees_with_a_long_list(case in case(LONG..LONG + 2_000)) {
        let mut case = case;
        let compiled = Policies::compile(&case.policies, &case.books);
        let in_sets = Policies::compile_within(&case.policies, &case.books, 1 << 30, 0);
        for subject in subjects(&case).into_iter().take(24) {
            agree(&case, &compiled, &subject);
            agree(&case, &in_sets, &subject);
        }
        for at in [LONG - 1, 600, 0] {
            let moved = case.policies.remove(at);
            case.policies.insert(LONG / 2, moved);
        }
        let list = Arc::new(case.policies.clone());
        let compiled = Policies::changed(list, &case.books, &compiled);
        for subject in subjects(&case).into_iter().take(24) {
            agree(&case, &compiled, &subject);
        }
    }
}

/// A policy for a domain.
fn resolve(text: &str, resolve: DomainResolve) -> Arc<ControlPolicy> {
    let mut policy = generate::plain();
    policy.destination = PolicyDestination::Domain(text.parse().unwrap());
    policy.resolve = resolve;
    Arc::new(policy)
}

#[test]
fn the_names_to_resolve_are_told() {
    use model::DomainResolve::{Both, Dns, Fqdn};
    let compiled = Policies::compile(
        &[
            resolve("a.test", Fqdn),
            resolve("b.test", Dns),
            resolve("c.test", Both),
            resolve("b.test", Both),
            resolve("*.d.test", Dns),
        ],
        &[],
    );
    let mut names: Vec<&str> = compiled.domains().collect();
    names.sort_unstable();
    assert_eq!(names, ["b.test", "c.test"]);
    assert!(compiled.by_dns());
    assert!(!Policies::compile(&[resolve("a.test", Fqdn)], &[]).by_dns());
}

#[test]
fn few_changes_of_many_are_compiled_by_themselves() {
    let policy = |n: u32| {
        let mut policy = generate::plain();
        policy.id = format!("p{n}");
        policy.destination = PolicyDestination::Net(Ipv4Addr::from(n).into());
        Arc::new(policy)
    };
    let mut list: Vec<_> = (0..5_000).map(policy).collect();
    let whole = Policies::compile(&list, &[]);
    let change = |list: &[Arc<ControlPolicy>], before: &Policies| {
        Policies::compile_after(Arc::new(list.to_vec()), &[], Some(before))
    };
    assert!(change(&list, &whole).shares(&whole));
    // In the middle of it, at both ends, and one after the other.
    let mut last = change(&list, &whole);
    for (n, at) in (5_000..).zip([2_500, 0, 5_000, 17]) {
        list.insert(at, policy(n));
        list.remove(4_000);
        last = change(&list, &last);
        assert!(last.shares(&whole));
    }
    // Too many, and what others of the world depend on.
    let many: Vec<_> = (6_000..7_000).map(policy).chain(list.clone()).collect();
    assert!(!change(&many, &last).shares(&whole));
    list.push(resolve("a.test", DomainResolve::Dns));
    let by_dns = change(&list, &last);
    assert!(by_dns.shares(&whole) && by_dns.by_dns());
    let compiled = Policies::compile(&list, &[]);
    list.pop();
    let without = change(&list, &compiled);
    assert!(!without.shares(&compiled) && !without.by_dns());
}
