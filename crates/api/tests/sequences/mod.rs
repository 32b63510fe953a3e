//! Random sequences of calls against a naive model, with refusals of the data path, failures of the store and
//! crashes in between.
//!
//! After each step: the call was refused if the model says so, and otherwise did what the model says, whole; the
//! data path was told what the records stand for; and a control plane that starts from what is stored holds
//! the same records and tells its data path the same.

mod facts;
mod op;
mod private;
pub mod world;

use self::facts::Facts;
use self::op::{Op, genes};
use self::world::{Fault, World, faults};
use proptest::prelude::*;

/// Takes an operation through: what is there afterwards.
fn step(world: &mut World, before: &Facts, op: &Op, fault: Fault) -> Facts {
    let expected = before.refuses(op);
    let (version, action, params) = op.call();
    let answer = world.call((version, action), &params, fault);
    let told = || format!("{op:?} with {fault:?}, {expected:?}: {answer:?}");
    match (fault, &answer) {
        (Fault::None, _) => assert_eq!(answer.is_err(), expected.is_some(), "{}", told()),
        // What the data path need not know of it cannot refuse.
        (Fault::Refused, _) | (_, Err(_)) => {}
        // What changes nothing is not written.
        (_, Ok(_)) => assert_eq!(before.after(op, before), *before, "{}", told()),
    }
    if let (Err(error), Fault::None) = (&answer, fault) {
        assert!(
            error.status < 500 && !error.message.is_empty(),
            "{}",
            told()
        );
    }
    let seen = match fault {
        // Nobody who was not told anything may count on either.
        Fault::CrashBefore | Fault::CrashAfter => {
            world.start();
            Facts::of(&world.seen())
        }
        _ => Facts::of(&world.seen()),
    };
    let should = match fault.lets_through(answer.is_ok(), expected.is_none()) {
        true => before.after(op, &seen),
        false => before.clone(),
    };
    assert_eq!(seen, should, "{}", told());
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn sequences_do_what_a_naive_model_says(
        steps in prop::collection::vec((genes(), faults()), 1..200)
    ) {
        let mut world = World::new();
        let mut facts = Facts::of(&world.seen());
        // Something to begin with, or most would find nothing to work on.
        while let Some(op) = Op::first(&facts) {
            facts = step(&mut world, &facts, &op, Fault::None);
        }
        for (genes, fault) in steps {
            let op = Op::pick(genes, &facts);
            facts = step(&mut world, &facts, &op, fault);
        }
        world.check_file();
        world.restart();
        prop_assert_eq!(Facts::of(&world.seen()), facts);
    }
}
