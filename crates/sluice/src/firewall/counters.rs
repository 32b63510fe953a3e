//! The counters of policies, kept from one daemon to the next.
//!
//! What has changed is written every five seconds, and once more when the gateway stops. So a kill loses what was
//! counted in the last seconds, and nothing else does.

use crate::error::Error;
use crate::gateway::Plane;
use crate::metering::counted;
use crate::periodic::{Periodic, Stop};
use engine::PolicyHits;
use model::{Id, PolicyScope};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Batch, Series};

/// How often what has changed is written.
const PERIOD: Duration = Duration::from_secs(5);

/// The thread that writes them.
pub struct Counters(Periodic);

impl Counters {
    /// Goes on with what is in the database at `path`: the engine has it when this returns.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn start(path: &Path, plane: Arc<Plane>) -> Result<Counters, Error> {
        let mut kept = Kept::open(path).map_err(control::metering::Error::Series)?;
        for (scope, counted) in kept.load().map_err(control::metering::Error::Series)? {
            let whose = scope.clone();
            let gone = plane.engine(move |engine, _| engine.restore_hits(&whose, counted));
            kept.forget(&scope, gone.map_err(Error::Other)?);
        }
        let writes = Periodic::start("sluice-counters", move |stop| run(&mut kept, &plane, stop))?;
        Ok(Counters(writes))
    }

    /// Writes what there is, and ends.
    pub fn stop(&self) {
        self.0.stop();
    }
}

fn run(kept: &mut Kept, plane: &Plane, stop: &Stop) {
    loop {
        let ends = stop.within(PERIOD);
        // While the gateway stops there is nobody to ask, and nothing is counted.
        while let Ok((changed, all)) = plane.engine(|engine, _| engine.changed_hits()) {
            kept.take(changed);
            if all {
                break;
            }
        }
        if let Err(error) = kept.write() {
            tracing::warn!("the counters of policies are not kept until this is better: {error}");
        }
        if ends {
            break;
        }
    }
}

/// Counters on the disk, a note for each policy, and those that are to be written.
struct Kept {
    series: Series,
    unwritten: BTreeMap<String, Option<String>>,
}

impl Kept {
    fn open(path: &Path) -> Result<Kept, store::Error> {
        Ok(Kept {
            series: counted(path)?,
            unwritten: BTreeMap::new(),
        })
    }

    /// All that is on the disk.
    fn load(&self) -> Result<HashMap<PolicyScope, Vec<PolicyHits>>, store::Error> {
        let mut all: HashMap<PolicyScope, Vec<PolicyHits>> = HashMap::new();
        for (name, value) in self.series.notes()? {
            let whose = serde_json::from_str::<(PolicyScope, Id)>(&name);
            let counted = serde_json::from_str::<(u64, u64, Option<u64>)>(&value);
            if let (Ok((scope, policy)), Ok((hits, bytes, last))) = (whose, counted) {
                all.entry(scope).or_default().push(PolicyHits {
                    policy,
                    hits,
                    bytes,
                    last,
                });
            }
        }
        Ok(all)
    }

    /// Takes down what has changed.
    fn take(&mut self, changed: Vec<(PolicyScope, PolicyHits)>) {
        for (scope, it) in changed {
            let counted = (it.hits, it.bytes, it.last);
            let is_nothing = counted == (0, 0, None);
            let value = (!is_nothing).then(|| serde_json::json!(counted).to_string());
            self.unwritten.insert(name(&scope, &it.policy), value);
        }
    }

    /// Policies are there no more.
    fn forget(&mut self, scope: &PolicyScope, policies: Vec<Id>) {
        let names = policies.iter().map(|id| (name(scope, id), None));
        self.unwritten.extend(names);
    }

    /// Writes what was taken down. What cannot be written is tried again next time.
    fn write(&mut self) -> Result<(), store::Error> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let notes = self.unwritten.iter();
        let notes = notes.map(|(name, value)| (name.clone(), value.clone()));
        self.series.write(&Batch {
            notes: notes.collect(),
            ..Batch::default()
        })?;
        self.unwritten.clear();
        Ok(())
    }
}

/// The name of a policy's note.
fn name(scope: &PolicyScope, policy: &str) -> String {
    serde_json::json!((scope, policy)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(policy: &str, hits: u64) -> PolicyHits {
        PolicyHits {
            policy: policy.into(),
            hits,
            bytes: 100 * hits,
            last: (hits > 0).then_some(1_700_000_000),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_gone_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hits.db");
        let scopes = ["ngw \"1\"/x", "border-out", "border-in", "dns"].map(PolicyScope::from);
        let mut kept = Kept::open(&path).unwrap();
        assert_eq!(kept.load().unwrap(), HashMap::new());
        let all = scopes.iter().flat_map(|scope| {
            let policies = ["a/b", "c"].map(|id| (scope.clone(), counted(id, 7)));
            policies.into_iter()
        });
        kept.take(all.collect());
        kept.take(vec![(scopes[0].clone(), counted("c", 8))]);
        kept.write().unwrap();
        kept.take(vec![(scopes[1].clone(), counted("a/b", 0))]);
        kept.forget(&scopes[2], vec!["c".into()]);
        kept.write().unwrap();
        drop(kept);

        let mut all = Kept::open(&path).unwrap().load().unwrap();
        let mut of = |at: usize| {
            let mut found = all.remove(&scopes[at]).unwrap();
            found.sort_by(|a, b| a.policy.cmp(&b.policy));
            found
        };
        assert_eq!(of(0), [counted("a/b", 7), counted("c", 8)]);
        assert_eq!(of(1), [counted("c", 7)]);
        assert_eq!(of(2), [counted("a/b", 7)]);
        assert_eq!(of(3), [counted("a/b", 7), counted("c", 7)]);
        assert!(all.is_empty());

        // Counters are not worth standing still for.
        std::fs::write(&path, "garbage").unwrap();
        assert!(Kept::open(&path).unwrap().load().unwrap().is_empty());
        assert!(path.with_extension("db.damaged").exists());
    }
}
