//! What was bought: how many firewalls, for how long.

use crate::audit::{Actor, Event};
use crate::cloud::Cloud;
use crate::control::Control;
use crate::draft::Draft;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::{FirewallLicense, Id};

/// The seconds of a day.
const DAY: Seconds = 24 * 60 * 60;

impl Cloud {
    /// What was bought; what nobody has said anything about has the default.
    pub fn license(&self) -> FirewallLicense {
        let record = self.licenses.get(License::ID);
        record.map(|it| it.license.clone()).unwrap_or_default()
    }

    /// Whether what was bought has ended.
    pub fn has_expired(&self, now: Seconds) -> bool {
        self.license().expires.is_some_and(|end| end <= now)
    }

    /// Whether the passing of time has something to change: a renewal, or firewalls to be released.
    pub fn has_to_expire(&self, now: Seconds) -> bool {
        let firewalls =
            || !self.nat_firewalls.is_empty() || self.eips.iter().any(|it| it.protected);
        self.has_expired(now) && (self.license().auto_renew.is_some() || firewalls())
    }
}

impl Draft {
    /// Sets what was bought. What has ended by that is released.
    ///
    /// # Errors
    /// If it is to be renewed by no day.
    pub fn set_license(&mut self, license: FirewallLicense, of_file: bool) -> Result<()> {
        if license.auto_renew == Some(0) {
            let why = "A license is renewed by at least one day.";
            return Err(Refusal::bad("InvalidParameter", why));
        }
        if license.capacity == Some(0) {
            let why = "The capacity is at least 1 Mbit/s; without a limit leave it out.";
            return Err(Refusal::bad("InvalidParameter", why));
        }
        let had = self.licenses.get(License::ID);
        let (meta, renewed) = match had {
            Some(had) => (had.meta.clone(), had.renewed),
            None => (self.meta("", ""), 0),
        };
        self.licenses.put(License {
            id: License::ID.into(),
            meta: Meta { of_file, ..meta },
            license,
            renewed,
        });
        self.expire();
        Ok(())
    }

    /// Refuses what is for those only who have bought it.
    pub(crate) fn bought(&self) -> Result<()> {
        match self.has_expired(self.now) {
            false => Ok(()),
            true => {
                let why = "What was bought of Cloud Firewall has ended: renew it first.";
                Err(Refusal::bad("not buy user", why))
            }
        }
    }

    /// Refuses if there cannot be NAT firewalls.
    ///
    /// # Errors
    /// If none were bought, or what was bought has ended.
    pub fn open_nat_firewalls(&self) -> Result<()> {
        self.bought()?;
        match self.license().firewalls {
            0 => {
                let why = "No NAT firewalls were bought: extend the license first.";
                Err(Refusal::bad("not buy user", why))
            }
            _ => Ok(()),
        }
    }

    /// Does what is due: renews what was bought, or if it is not to be renewed, releases the firewalls. Traffic goes
    /// by the original routes then. Returns the firewalls that were released.
    pub fn expire(&mut self) -> Vec<Id> {
        let now = self.now;
        if !self.has_to_expire(now) {
            return Vec::new();
        }
        if let Some(record) = self.licenses.get_mut(License::ID)
            && let Some(days) = record.license.auto_renew.filter(|it| *it > 0)
            && let Some(end) = record.license.expires
        {
            // As often as it would have been, had somebody looked each time.
            let period = Seconds::from(days) * DAY;
            let periods = (now - end) / period + 1;
            record.license.expires = Some(end.saturating_add(periods.saturating_mul(period)));
            record.renewed = now;
            return Vec::new();
        }
        let firewalls = self.nat_firewalls.iter();
        let firewalls: Vec<Id> = firewalls.map(|it| it.id.clone()).collect();
        firewalls.iter().for_each(|it| self.drop_nat_firewall(it));
        let eips = self.eips.iter().filter(|it| it.protected);
        let eips: Vec<Id> = eips.map(|it| it.id.clone()).collect();
        for id in eips {
            if let Some(eip) = self.eips.get_mut(&id) {
                eip.protected = false;
            }
        }
        firewalls
    }
}

impl Control {
    /// Does what the passing of time asks for: see [`Draft::expire`]. It is to be called again and again, and takes
    /// nothing while there is nothing to do. `event` names what the audit trail is told.
    ///
    /// # Errors
    /// If it cannot be brought into force or made durable; the next call tries again.
    pub fn expire(&self, now: Seconds, event: impl FnOnce() -> Result<Id>) -> Result<Vec<Id>> {
        if !self.cloud().has_to_expire(now) {
            return Ok(Vec::new());
        }
        let operation = ["Cloudfw", "2017-12-07", "ExpireFirewallLicense"];
        let mut event = Event::new(event()?, now, Actor::Start, operation);
        self.change(now, |draft| {
            let released = draft.expire();
            event.resources = released.iter().take(64).cloned().collect();
            draft.put_on_record(event);
            Ok(released)
        })
    }
}
