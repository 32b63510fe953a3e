//! Random sequences of calls against a naive model, with refusals of the data path, failures of the store and
//! crashes in between.
//!
//! After each step: the call was refused if the model says so, and otherwise did what the model says, whole; the
//! data path was told what the records stand for; and a control plane that starts from what is stored holds
//! the same records and tells its data path the same.

mod facts;
mod op;
mod private;

use self::facts::Facts;
use self::op::{Op, genes};
use api::{ApiError, Caller, Cloud, Request, Sealer, Service};
use control::{Control, DataPlane, StartError};
use model::Config;
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use store::{Error, List, Outcome, Page, Range, Revision, Sqlite, Store, Txn, Watch};

/// What goes wrong during a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The data path refuses.
    Refused,
    /// The store fails, and nothing is written.
    Failed,
    /// The machine dies before the change is written.
    CrashBefore,
    /// The machine dies when it is written, before anybody is told.
    CrashAfter,
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Refused),
        1 => Just(Fault::Failed),
        1 => Just(Fault::CrashBefore),
        1 => Just(Fault::CrashAfter),
    ]
}

/// A store that fails when it is told to.
struct Failing {
    inner: Sqlite,
    fault: Arc<AtomicU8>,
}

impl Store for Failing {
    fn list(&self, list: &List) -> Result<Page, Error> {
        self.inner.list(list)
    }

    fn transact(&self, txn: Txn) -> Result<Outcome, Error> {
        let failed = || {
            Err(Error::Full {
                path: "state.db".into(),
            })
        };
        match self.fault.load(SeqCst) {
            it if it == Fault::Failed as u8 || it == Fault::CrashBefore as u8 => failed(),
            it if it == Fault::CrashAfter as u8 => self.inner.transact(txn).and_then(|_| failed()),
            _ => self.inner.transact(txn),
        }
    }

    fn watch(&self, range: Range, from: Revision) -> Result<Box<dyn Watch>, Error> {
        self.inner.watch(range, from)
    }

    fn revision(&self) -> Result<Revision, Error> {
        self.inner.revision()
    }

    fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.inner.compact(revision)
    }
}

/// A data path that remembers what it was told last, and refuses when it is told to.
struct Plane {
    told: Arc<Mutex<Config>>,
    fault: Arc<AtomicU8>,
}

impl DataPlane for Plane {
    fn apply(&self, config: &Config) -> Result<(), String> {
        if self.fault.load(SeqCst) == Fault::Refused as u8 {
            return Err("an interface is gone".into());
        }
        *self.told.lock().unwrap() = config.clone();
        Ok(())
    }
}

struct World {
    dir: tempfile::TempDir,
    fault: Arc<AtomicU8>,
    running: Option<Running>,
}

struct Running {
    cloud: Cloud,
    control: Arc<Control>,
    told: Arc<Mutex<Config>>,
}

impl World {
    fn new() -> World {
        // In memory: this is not about disks.
        let memory = PathBuf::from("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let mut world = World {
            dir,
            fault: Arc::default(),
            running: None,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.running = None;
        self.fault.store(Fault::None as u8, SeqCst);
        let store = Arc::new(Failing {
            inner: Sqlite::open(self.dir.path().join("state.db")).unwrap(),
            fault: Arc::clone(&self.fault),
        });
        let told = Arc::new(Mutex::new(Config::default()));
        let control = Control::start(
            store,
            1_000,
            |draft| {
                draft.uplinks.put(control::records::Uplink {
                    id: "wan".into(),
                    device: "eth1".into(),
                    mode: model::UplinkMode::Own,
                    address: Some("203.0.113.2/24".parse().unwrap()),
                    gateway: Some("203.0.113.1".parse().unwrap()),
                    mtu: None,
                    pool: vec!["203.0.113.16/28".parse().unwrap()],
                });
                Ok::<(), StartError>(())
            },
            |config| {
                *told.lock().unwrap() = config.clone();
                Ok(Box::new(Plane {
                    told: Arc::clone(&told),
                    fault: Arc::clone(&self.fault),
                }))
            },
        );
        let control = Arc::new(control.unwrap());
        let sealer = Sealer::open(&self.dir.path().join("key")).unwrap();
        self.running = Some(Running {
            cloud: Cloud::new(Arc::clone(&control), sealer),
            control,
            told,
        });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn call(&self, op: &Op) -> Result<Value, ApiError> {
        let (version, action, params) = op.call();
        self.ask(version, action, &params)
    }

    fn ask(
        &self,
        version: &str,
        action: &str,
        params: &[(String, String)],
    ) -> Result<Value, ApiError> {
        let answer = self.running().cloud.answer(&Request {
            id: "0A0B0C0D-0000-4000-8000-000000000000".into(),
            version: version.into(),
            action: action.into(),
            params: params
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect(),
            caller: Caller {
                principal: api::Principal::Local { uid: 0 },
                address: [127, 0, 0, 1].into(),
                user_agent: "test".into(),
            },
        });
        answer.map(Value::Object)
    }

    /// What there is, after a look at whether everything agrees about it.
    fn facts(&self) -> Facts {
        Facts::of(&self.agreed())
    }

    /// The records, after a look at whether everything agrees about them.
    fn agreed(&self) -> Arc<control::Cloud> {
        let Running { control, told, .. } = self.running();
        let (cloud, config) = (control.cloud(), control.config());
        assert_eq!(
            *config,
            cloud.config(),
            "the records stand for something else"
        );
        assert_eq!(
            *config,
            *told.lock().unwrap(),
            "the data path was told something else"
        );
        assert_eq!(
            model::validate::check(&config),
            [],
            "the whole is not valid"
        );
        cloud
    }

    /// Its file makes the same of an empty gateway.
    fn exports(&self) {
        let file = self.running().control.cloud().file();
        let read = model::file::parse(&model::file::write(&file)).unwrap();
        let mut draft = control::Draft::new(control::Cloud::default(), 1_000);
        draft.import(&read).unwrap();
        assert_eq!(draft.file(), file);
    }

    /// Dies and starts again: with what was acknowledged, if there was no fault.
    fn restart(&mut self) {
        let before = self.running().control.cloud();
        self.start();
        assert_eq!(
            *self.running().control.cloud(),
            *before,
            "the store holds something else"
        );
    }
}

/// Takes an operation through: what is there afterwards.
fn step(world: &mut World, before: &Facts, op: &Op, fault: Fault) -> Facts {
    let expected = before.refuses(op);
    world.fault.store(fault as u8, SeqCst);
    let answer = world.call(op);
    world.fault.store(Fault::None as u8, SeqCst);
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
            world.facts()
        }
        _ => world.facts(),
    };
    let done = match fault {
        Fault::None | Fault::Refused => answer.is_ok(),
        Fault::Failed | Fault::CrashBefore => false,
        Fault::CrashAfter => expected.is_none(),
    };
    let should = match done {
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
        let mut facts = world.facts();
        // Something to begin with, or most would find nothing to work on.
        while let Some(op) = Op::first(&facts) {
            facts = step(&mut world, &facts, &op, Fault::None);
        }
        for (genes, fault) in steps {
            let op = Op::pick(genes, &facts);
            facts = step(&mut world, &facts, &op, fault);
        }
        world.exports();
        world.restart();
        prop_assert_eq!(world.facts(), facts);
    }
}
