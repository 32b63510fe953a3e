//! What comes to an EIP, from outside or by hairpin, and goes no further: nothing takes it, or the receiver's security
//! group does not.
//!
//! The Internet border stands before all of that. So it is asked about such a packet too, and what it refuses is its
//! refusal: counted and put down as one, and not answered as an echo request to the EIP would be. What comes by hairpin has
//! met the firewalls on its way out before, and they are asked first.

use crate::decide::{self, Denied, Direction, From, Plan};
use crate::engine::{Arrival, Core};
use crate::explain::{Recorder, Silent};
use crate::io::Time;
use crate::records::Path;
use crate::snapshot::{Binding, EniIx, Snapshot};
use crate::tuple;
use crate::verdicts::{self, Known, Outcome, Ruling, Rulings, STAGES};
use flow::reason::Reason;
use flow::{Activity, Key};
use std::net::Ipv4Addr;

/// A refusal of a packet that would have gone no further than to an EIP.
pub(crate) struct Refusal {
    rulings: Rulings,
    pub ruling: Ruling,
    /// Of what comes by hairpin: its way out, and its tuple there.
    out: Option<(Plan, [Key; 2])>,
}

impl Core {
    /// A first packet goes nowhere, as `denied` says: if a firewall before that refuses it, that comes first.
    pub(crate) fn refused_before(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        key: &Key,
        denied: Denied,
        first: Activity,
    ) -> Denied {
        let refusal = self.firewalls_refuse(s, at.from(), key, &denied, at.now, &mut Silent);
        let (Some(refusal), Some(&eip)) = (refusal, s.by_eip.get(&tuple::ip(key.dst))) else {
            return denied;
        };
        let keys = [*key, tuple::reverse(key, 0)];
        let path = match &refusal.out {
            Some((plan, keys)) => Path {
                direction: Direction::Hairpin,
                ..Path::of(plan, keys)
            },
            None => {
                let (eni, gateway) = match s.eip(eip).binding {
                    Binding::Eni(eni) => (Some(eni), None),
                    Binding::Gateway(gateway) => (None, Some(gateway)),
                    Binding::None => (None, None),
                };
                Path {
                    keys: &keys,
                    direction: Direction::In,
                    eni,
                    gateway,
                    entry: None,
                }
            }
        };
        self.refuse_first(s, path, refusal.rulings, refusal.ruling, first, at.now)
    }

    /// What refuses a first packet that goes nowhere, if the firewalls before that do.
    pub(crate) fn firewalls_refuse(
        &self,
        s: &Snapshot,
        from: From,
        key: &Key,
        denied: &Denied,
        now: Time,
        rec: &mut impl Recorder,
    ) -> Option<Refusal> {
        let behind = matches!(denied.reason, Reason::NotMapped | Reason::SecurityGroupIn);
        if !behind || s.firewalls.is_empty() || self.watch.capacity.over {
            return None;
        }
        match from {
            From::Uplink(_) => {
                let mut rulings = [None; STAGES];
                let ruling = self.enters(s, key, tuple::ip(key.src), now, &mut rulings, rec)?;
                let out = None;
                Some(Refusal {
                    rulings,
                    ruling,
                    out,
                })
            }
            From::Eni(eni) => self.hairpin_refused(s, eni, key, now, rec),
        }
    }

    /// What refuses a packet of an instance to an EIP, on its way out and in again.
    fn hairpin_refused(
        &self,
        s: &Snapshot,
        eni: EniIx,
        key: &Key,
        now: Time,
        rec: &mut impl Recorder,
    ) -> Option<Refusal> {
        s.by_eip.get(&tuple::ip(key.dst))?;
        let (plan, eip) = decide::way_out(s, &self.nat, eni, key)?;
        let seen_as = s.eip(eip).address;
        let translated = Key {
            src: tuple::raw(seen_as),
            ..*key
        };
        let keys = [*key, tuple::reverse(&translated, 0)];
        let known = Known::nothing_yet(key.proto);
        let (mut rulings, outcome) = self.judge(s, &plan, &keys, known, &[], now, rec);
        let ruling = match outcome {
            Outcome::Refused(ruling) => ruling,
            _ => self.enters(s, key, seen_as, now, &mut rulings, rec)?,
        };
        Some(Refusal {
            rulings,
            ruling,
            out: Some((plan, keys)),
        })
    }

    /// What the Internet border says about what comes in to an EIP from `source`, if it refuses it.
    fn enters(
        &self,
        s: &Snapshot,
        key: &Key,
        source: Ipv4Addr,
        now: Time,
        rulings: &mut Rulings,
        rec: &mut impl Recorder,
    ) -> Option<Ruling> {
        let known = Known::nothing_yet(key.proto);
        let ruling = self.with_evidence(now, &[], |evidence| {
            verdicts::at_the_border(s, key, source, known, evidence, rec)
        })?;
        rulings[verdicts::BORDER_IN] = Some(ruling);
        ruling.refuses().then_some(ruling)
    }
}
