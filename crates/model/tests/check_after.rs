//! A configuration that is checked after another is found as wrong as one that is checked by itself.

use model::validate::{check, check_after};
use model::{
    AddressBook, BookContent, Config, ControlPolicy, DomainResolve, PolicyAction,
    PolicyDestination, PolicyList, PolicyPorts, PolicyScope, PolicySource, Validity,
};
use proptest::prelude::*;
use std::sync::Arc;

fn policy(id: u8, what: u8) -> Arc<ControlPolicy> {
    let net = |text: &str| text.parse().unwrap();
    Arc::new(ControlPolicy {
        id: format!("p{id}"),
        description: String::new(),
        source: match what % 8 {
            0 => PolicySource::Book("b0".into()),
            1 => PolicySource::Book("b1".into()),
            // Host bits.
            2 => PolicySource::Net(net("10.0.0.1/8")),
            _ => PolicySource::Net(net("10.0.0.0/8")),
        },
        destination: PolicyDestination::Net(net("192.0.2.0/24")),
        protocol: Some(6),
        ports: match what % 16 {
            // There is no port 0.
            9 => PolicyPorts::Range(0..=1),
            _ => PolicyPorts::Range(80..=80),
        },
        applications: Vec::new(),
        action: PolicyAction::Drop,
        enabled: true,
        validity: Validity::Permanent,
        resolve: DomainResolve::Fqdn,
    })
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, u8, u8),
    Remove(usize),
    Swap(usize, usize),
    Copy(usize),
    Kind(u8),
    Drop(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..60, any::<u8>(), any::<u8>()).prop_map(|(at, id, what)| Step::Insert(at, id, what)),
        2 => (0usize..60).prop_map(Step::Remove),
        2 => (0usize..60, 0usize..60).prop_map(|(a, b)| Step::Swap(a, b)),
        1 => (0usize..60).prop_map(Step::Copy),
        1 => (0u8..2).prop_map(Step::Kind),
        1 => (0u8..2).prop_map(Step::Drop),
    ]
}

fn change(config: &mut Config, list: usize, step: &Step) {
    let list = &mut config.firewalls.policies[list].policies;
    let many = list.len();
    match *step {
        Step::Insert(at, id, what) => {
            Arc::make_mut(list).insert(at.min(many), policy(id % 80, what));
        }
        Step::Remove(at) if many > 0 => drop(Arc::make_mut(list).remove(at % many)),
        Step::Swap(a, b) if many > 0 => Arc::make_mut(list).swap(a % many, b % many),
        Step::Copy(at) if many > 0 => {
            let same = Arc::clone(&list[at % many]);
            Arc::make_mut(list).push(same);
        }
        Step::Kind(n) => {
            let mut books = config.firewalls.books.iter_mut();
            if let Some(book) = books.find(|it| it.id == format!("b{n}")) {
                book.content = Arc::new(BookContent::Port(vec![80..=80]));
            }
        }
        Step::Drop(n) => config.firewalls.books.retain(|it| it.id != format!("b{n}")),
        _ => {}
    }
}

proptest! {
    #[test]
    fn as_wrong_as_by_itself(
        steps in proptest::collection::vec((0usize..2, step()), 0..12)
    ) {
        let mut config = Config::default();
        config.firewalls.books = (0..2).map(|n| AddressBook {
            id: format!("b{n}"),
            name: format!("book {n}"),
            content: Arc::new(BookContent::Ip(vec!["10.0.0.0/8".parse().unwrap()])),
        }).collect();
        config.firewalls.policies = [PolicyScope::BorderIn, PolicyScope::BorderOut].into_iter().zip(0u8..).map(|(scope, n)| PolicyList {
            scope,
            // What is right, some of it by books.
            policies: Arc::new((0..20).map(|k| policy(n * 20 + k, [3, 0, 1][usize::from(k % 3)])).collect()),
        }).collect();
        let mut valid = config.clone();
        prop_assert_eq!(check(&valid), []);
        for (list, step) in steps {
            change(&mut config, list, &step);
            let alone = check(&config);
            let after = check_after(&config, &valid);
            prop_assert_eq!(after.is_empty(), alone.is_empty(), "{:?} {:?}", &after, &alone);
            // Of two with one identifier either may be the one that is told of.
            let told = |problems: &[model::Problem]| {
                let mut told: Vec<String> = problems.iter().map(|it| format!("{:?}", it.fault)).collect();
                told.sort();
                told.dedup();
                told
            };
            prop_assert_eq!(told(&after), told(&alone));
            if alone.is_empty() {
                valid = config.clone();
            }
        }
    }
}
