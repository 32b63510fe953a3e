//! A cloud without a data path: every configuration is taken, as long as it is valid.

#![allow(dead_code, reason = "each test uses its part")]

pub mod ecs;
pub mod firewall;

use api::{ApiError, Caller, Cloud, Principal, Request, Sealer, Service};
use control::{Control, DataPlane, Draft, Metering, StartError};
use model::Config;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use store::{List, Op, Outcome, Page, Range, Revision, Sqlite, Store, Txn, Watch};

/// Gives a cloud the uplink that all tests have.
pub fn uplink(draft: &mut Draft) -> Result<(), StartError> {
    draft.uplinks.put(control::records::Uplink {
        id: "wan".into(),
        device: "eth1".into(),
        mode: model::UplinkMode::Own,
        address: Some("203.0.113.2/24".parse().unwrap()),
        gateway: Some("203.0.113.1".parse().unwrap()),
        mtu: None,
        pool: vec!["203.0.113.16/28".parse().unwrap()],
    });
    Ok(())
}

struct Anything;

impl DataPlane for Anything {
    fn apply(&self, _: &Config) -> Result<(), String> {
        Ok(())
    }
}

/// A store that can be told to write no transaction with an event of the audit trail.
struct Auditable {
    inner: Sqlite,
    fail_audit: Arc<AtomicBool>,
}

impl Store for Auditable {
    fn list(&self, list: &List) -> Result<Page, store::Error> {
        self.inner.list(list)
    }

    fn transact(&self, txn: Txn) -> Result<Outcome, store::Error> {
        let audits = |op: &Op| matches!(op, Op::Put { key, .. } if key.starts_with("/audit/"));
        if self.fail_audit.load(SeqCst) && txn.success.iter().any(audits) {
            return Err(store::Error::Full {
                path: "state.db".into(),
            });
        }
        self.inner.transact(txn)
    }

    fn watch(&self, range: Range, from: Revision) -> Result<Box<dyn Watch>, store::Error> {
        self.inner.watch(range, from)
    }

    fn revision(&self) -> Result<Revision, store::Error> {
        self.inner.revision()
    }

    fn compact(&self, revision: Revision) -> Result<(), store::Error> {
        self.inner.compact(revision)
    }
}

/// A cloud over a store in a directory of its own.
pub struct World {
    pub cloud: Cloud,
    pub control: Arc<Control>,
    dir: tempfile::TempDir,
    fail_audit: Arc<AtomicBool>,
}

impl World {
    /// A cloud with one uplink that has a pool of EIPs.
    pub fn new() -> World {
        World::on(tempfile::tempdir().unwrap())
    }

    /// The cloud as it is after a restart.
    pub fn restart(self) -> World {
        let World {
            cloud,
            control,
            dir,
            ..
        } = self;
        drop((cloud, control));
        World::on(dir)
    }

    fn on(dir: tempfile::TempDir) -> World {
        let fail_audit = Arc::new(AtomicBool::new(false));
        let store = Arc::new(Auditable {
            inner: Sqlite::open(dir.path().join("state.db")).unwrap(),
            fail_audit: Arc::clone(&fail_audit),
        });
        let control = Control::start(store, 1_000, uplink, |_| Ok(Box::new(Anything))).unwrap();
        let control = Arc::new(control);
        let sealer = Sealer::open(&dir.path().join("key")).unwrap();
        World {
            cloud: Cloud::new(Arc::clone(&control), sealer),
            control,
            dir,
            fail_audit,
        }
    }

    /// Whether events of the audit trail cannot be written from now on.
    pub fn fail_audit(&self, fails: bool) {
        self.fail_audit.store(fails, SeqCst);
    }

    /// Lets `TraceFlow` be answered.
    pub fn trace_with(&mut self, tracer: Box<dyn api::trace::Tracer>) {
        let sealer = Sealer::open(&self.dir.path().join("key")).unwrap();
        self.cloud = Cloud::new(Arc::clone(&self.control), sealer).with_tracer(tracer);
    }

    /// Lets hits of policies and resolved names be told.
    pub fn run_firewalls(&mut self, firewalls: Box<dyn api::firewall::Firewalls>) {
        let sealer = Sealer::open(&self.dir.path().join("key")).unwrap();
        self.cloud = Cloud::new(Arc::clone(&self.control), sealer).with_firewalls(firewalls);
    }

    /// Everything that the store holds, as one text.
    pub fn stored(&self) -> String {
        let all = List::new(Range::all());
        let items = self.control.store().list(&all).unwrap().items;
        let texts = items
            .iter()
            .map(|it| format!("{} {}", it.key, String::from_utf8_lossy(&it.value)));
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The same, with something that tells what has gone by.
    pub fn metered(self, metering: Arc<Metering>) -> World {
        let cloud = self.cloud.metered(metering);
        World { cloud, ..self }
    }

    /// Calls an operation of a version, over the control socket.
    pub fn call(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Value, ApiError> {
        self.call_by(Principal::Local { uid: 0 }, version, action, params)
    }

    /// Calls an operation of a version in somebody's name.
    pub fn call_by(
        &self,
        principal: Principal,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Value, ApiError> {
        let answer = self.cloud.answer(&Request {
            id: "0A0B0C0D-0000-4000-8000-000000000000".into(),
            version: version.into(),
            action: action.into(),
            params: params.iter().copied().collect(),
            caller: Caller {
                principal,
                address: [127, 0, 0, 1].into(),
                user_agent: "test".into(),
            },
        });
        answer.map(Value::Object)
    }

    /// Calls an operation of the VPC product, in the default region.
    pub fn vpc(&self, action: &str, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.call("2016-04-28", action, &with_region(params))
    }

    /// Calls an operation of Cloud Firewall.
    pub fn cfw(&self, action: &str, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.call("2017-12-07", action, params)
    }

    /// Calls an operation of ECS, in the default region.
    pub fn ecs(&self, action: &str, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.call("2014-05-26", action, &with_region(params))
    }
}

fn with_region<'a>(params: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let region = ("RegionId", "cn-hangzhou");
    std::iter::once(region)
        .chain(params.iter().copied())
        .collect()
}

/// A text of an answer, by its path: `id(&answer, "/Vpcs/Vpc/0/VpcId")`.
pub fn text(answer: &Value, path: &str) -> String {
    match answer.pointer(path).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => panic!("there is no text {path} in {answer:#}"),
    }
}

/// The code that a call is refused with.
pub fn refused(answer: Result<Value, ApiError>) -> String {
    match answer {
        Ok(answer) => panic!("it was not refused: {answer:#}"),
        Err(error) => error.code.into_owned(),
    }
}
