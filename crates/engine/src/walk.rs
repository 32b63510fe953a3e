//! What the firewalls would say to a packet that somebody thinks of.

use crate::decide::Plan;
use crate::engine::Core;
use crate::explain::Recorder;
use crate::query::Probe;
use crate::snapshot::Snapshot;
use crate::verdicts::{Known, Outcome, Ruling};
use crate::view::StepView;
use flow::reason::Reason;
use flow::{Key, proto};
use model::{App, OverCapacity};
use policy::Identity;

/// What a session is thought to tell.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    app: Option<App>,
    domain: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// What a probe says. Who names a domain and no application means the usual one for the port.
    pub fn of(probe: &'a Probe) -> Told<'a> {
        let usual = || match (probe.protocol, probe.dst_port) {
            (_, 53) => App::Dns,
            (proto::UDP, _) => App::Quic,
            (_, 80) => App::Http,
            (_, port) => App::tls(port),
        };
        let domain = probe.domain.as_deref();
        Told {
            app: probe.app.or_else(|| domain.map(|_| usual())),
            domain,
        }
    }

    fn known(self, protocol: u8) -> Known<'a> {
        match self.app {
            Some(app) => Known {
                identity: Identity::Known {
                    app,
                    domain: self.domain,
                },
                earlier: false,
            },
            None => Known::nothing_yet(protocol),
        }
    }
}

impl Core {
    /// What the firewalls would say about a session.
    pub(crate) fn walk_firewalls(
        &self,
        s: &Snapshot,
        plan: &Plan,
        keys: &[Key; 2],
        told: Told,
        steps: &mut Vec<StepView>,
    ) -> Result<(), Reason> {
        if s.firewalls.is_empty() {
            return Ok(());
        }
        let now = self.watch.latest;
        let (_, outcome) = self.judge(s, plan, keys, told.known(keys[0].proto), &[], now, steps);
        if self.watch.capacity.over && outcome != Outcome::Unseen {
            let blocks = s.firewalls.over_capacity == OverCapacity::Block;
            steps.step("license", || {
                let then = if blocks { "drop" } else { "passes unseen" };
                (
                    None,
                    format!("the firewalls have more traffic than they may: {then}"),
                )
            });
            return match blocks {
                true => Err(Reason::FirewallCapacity),
                false => Ok(()),
            };
        }
        if let Outcome::Refused(ruling) = outcome {
            return Err(ruling.reason());
        }
        if self.asks_names(s, plan, &keys[0])
            && let Some(ruling) = self.trace_dns(s, &keys[0], told.domain, now, steps)
            && Ruling::refuses(&ruling)
        {
            return Err(ruling.reason());
        }
        Ok(())
    }
}
