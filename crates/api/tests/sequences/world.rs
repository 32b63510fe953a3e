//! A cloud over a store and a data path that fail when they are told to.

use crate::common::uplink;
use api::{ApiError, Caller, Cloud, Request, Sealer, Service};
use control::{Control, DataPlane};
use model::Config;
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use store::{Error, List, Outcome, Page, Range, Revision, Sqlite, Store, Txn, Watch};

/// What goes wrong during a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
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

impl Fault {
    /// Whether a call beside which this goes wrong changes anything: it was answered or not, and should be.
    pub fn lets_through(self, answered: bool, should: bool) -> bool {
        match self {
            Fault::None | Fault::Refused => answered,
            Fault::Failed | Fault::CrashBefore => false,
            Fault::CrashAfter => should,
        }
    }
}

pub fn faults() -> impl Strategy<Value = Fault> {
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

pub struct World {
    dir: tempfile::TempDir,
    fault: Arc<AtomicU8>,
    running: Option<Running>,
}

pub struct Running {
    pub cloud: Cloud,
    pub control: Arc<Control>,
    told: Arc<Mutex<Config>>,
}

impl World {
    pub fn new() -> World {
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

    pub fn start(&mut self) {
        self.running = None;
        self.fault.store(Fault::None as u8, SeqCst);
        let store = Arc::new(Failing {
            inner: Sqlite::open(self.dir.path().join("state.db")).unwrap(),
            fault: Arc::clone(&self.fault),
        });
        let told = Arc::new(Mutex::new(Config::default()));
        let control = Control::start(store, 1_000, uplink, |config| {
            *told.lock().unwrap() = config.clone();
            Ok(Box::new(Plane {
                told: Arc::clone(&told),
                fault: Arc::clone(&self.fault),
            }))
        });
        let control = Arc::new(control.unwrap());
        let sealer = Sealer::open(&self.dir.path().join("key")).unwrap();
        self.running = Some(Running {
            cloud: Cloud::new(Arc::clone(&control), sealer),
            control,
            told,
        });
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Calls an operation of a version while something goes wrong.
    pub fn call(
        &self,
        (version, action): (&str, &str),
        params: &[(String, String)],
        fault: Fault,
    ) -> Result<Value, ApiError> {
        self.fault.store(fault as u8, SeqCst);
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
        self.fault.store(Fault::None as u8, SeqCst);
        answer.map(Value::Object)
    }

    /// What there is, after a look at whether everything agrees about it.
    pub fn seen(&self) -> Arc<control::Cloud> {
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

    /// Whether the file that it writes makes the same of an empty gateway.
    pub fn check_file(&self) {
        let file = self.running().control.cloud().file();
        let read = model::file::parse(&model::file::write(&file)).unwrap();
        let mut draft = control::Draft::new(control::Cloud::default(), 1_000);
        draft.import(&read).unwrap();
        assert_eq!(draft.file(), file);
    }

    /// Dies and starts again: with what was acknowledged, if there was no fault.
    pub fn restart(&mut self) {
        let before = self.running().control.cloud();
        self.start();
        assert_eq!(
            *self.running().control.cloud(),
            *before,
            "the store holds something else"
        );
    }
}
