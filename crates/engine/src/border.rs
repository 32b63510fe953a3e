//! What comes to an EIP and goes no further: nothing takes it, or the receiver's security group does not.
//!
//! The Internet border stands before all of that. So it is asked about such a packet too, and what it refuses is its
//! refusal: counted and put down as one, and not answered as an echo request to the EIP would be.

use crate::decide::{Denied, Direction, From};
use crate::engine::Core;
use crate::explain::{Recorder, Silent};
use crate::io::Time;
use crate::records::Path;
use crate::snapshot::{Binding, Snapshot};
use crate::tuple;
use crate::verdicts::{self, Known, Ruling, STAGES};
use flow::Key;
use flow::reason::Reason;

impl Core {
    /// A first packet goes nowhere, as `denied` says: if the Internet border refuses it, that comes first.
    pub(crate) fn refused_before(
        &mut self,
        s: &Snapshot,
        from: From,
        key: &Key,
        denied: Denied,
        now: Time,
    ) -> Denied {
        let refusal = self.border_refuses(s, from, key, &denied, now, &mut Silent);
        let (Some(ruling), Some(&eip)) = (refusal, s.by_eip.get(&tuple::ip(key.dst))) else {
            return denied;
        };
        let (eni, gateway) = match s.eip(eip).binding {
            Binding::Eni(eni) => (Some(eni), None),
            Binding::Gateway(gateway) => (None, Some(gateway)),
            Binding::None => (None, None),
        };
        let path = Path {
            keys: &[*key, tuple::reverse(key, 0)],
            direction: Direction::In,
            eni,
            gateway,
            entry: None,
        };
        let mut rulings = [None; STAGES];
        rulings[verdicts::BORDER_IN] = Some(ruling);
        self.refuse_first(s, path, rulings, ruling, now)
    }

    /// What the Internet border says about a first packet that goes nowhere, if it refuses it.
    pub(crate) fn border_refuses(
        &self,
        s: &Snapshot,
        from: From,
        key: &Key,
        denied: &Denied,
        now: Time,
        rec: &mut impl Recorder,
    ) -> Option<Ruling> {
        let behind = matches!(denied.reason, Reason::NotMapped | Reason::SecurityGroupIn);
        if !behind || s.firewalls.border.is_none() || !matches!(from, From::Uplink(_)) {
            return None;
        }
        if self.watch.capacity.over {
            return None;
        }
        let known = Known::nothing_yet(key.proto);
        let ruling = self.with_evidence(now, &[], |evidence| {
            verdicts::at_the_border(s, key, known, evidence, rec)
        })?;
        ruling.refuses().then_some(ruling)
    }
}
