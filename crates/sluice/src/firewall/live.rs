//! The running firewalls, as the API asks them.

use super::Services;
use crate::gateway::Plane;
use api::firewall::{Firewalls, Hits, Resolved};
use ipnet::Ipv4Net;
use model::{Id, PolicyScope};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// What answers the API.
pub(crate) struct Live {
    plane: Arc<Plane>,
    services: Arc<Services>,
}

impl Live {
    pub(crate) fn new(plane: Arc<Plane>, services: Arc<Services>) -> Live {
        Live { plane, services }
    }
}

impl Firewalls for Live {
    fn hits(&self, scope: &PolicyScope, ids: &[&str]) -> Vec<Hits> {
        let asked = scope.clone();
        let known = self
            .plane
            .engine(move |engine, _| engine.policy_hits(&asked));
        // While the gateway stops, nothing has matched.
        let known = known.unwrap_or_default();
        let known: HashMap<&str, Hits> = known
            .iter()
            .map(|it| {
                let hits = Hits {
                    count: it.hits,
                    bytes: it.bytes,
                    last: it.last,
                };
                (&*it.policy, hits)
            })
            .collect();
        let hits = ids.iter().map(|id| known.get(id).copied());
        hits.map(Option::unwrap_or_default).collect()
    }

    fn reset(&self, scope: &PolicyScope, id: &str) {
        let (scope, id) = (scope.clone(), Id::from(id));
        let reset = move |engine: &mut engine::Engine, _| engine.reset_policy(&scope, Some(&id));
        let _ = self.plane.engine(reset);
    }

    fn resolved(&self, name: &str) -> Option<Resolved> {
        let name = model::domain::normalise(name).ok()?;
        let known = self.services.resolver().known(&name)?;
        let at = known.at?.duration_since(UNIX_EPOCH).ok()?;
        Some(Resolved {
            addresses: known.addresses,
            at: at.as_secs(),
        })
    }

    fn resolve(&self, name: &str) {
        if let Ok(name) = model::domain::normalise(name) {
            self.services.resolve_soon(name);
        }
    }

    fn cloud_service(&self, book: &str) -> Arc<[Ipv4Net]> {
        self.services.cloud_service(book)
    }
}
