//! Network interfaces.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::mac::{End, mac};
use model::{Driver, Id, limits};
use std::net::Ipv4Addr;

/// The most secondary addresses of a network interface.
pub const MAX_SECONDARY: usize = 49;

/// The most network interfaces of an instance.
pub const MAX_ENIS: usize = 100;

/// Bytes of the largest IP packet of an interface that is made here.
const MTU: u16 = 1500;

/// A network interface to be made.
#[derive(Clone, Debug)]
pub struct NewEni {
    /// Name, tags and the like.
    pub meta: Meta,
    /// Its vSwitch.
    pub vswitch: Id,
    /// Its primary address; `None`: any.
    pub address: Option<Ipv4Addr>,
    /// Its secondary addresses.
    pub secondary: Secondary,
    /// Its security groups.
    pub security_groups: Vec<Id>,
    /// How it is brought to Linux.
    pub driver: Driver,
    /// Whether it goes when its instance goes.
    pub delete_on_release: bool,
}

/// Secondary addresses to be given to a network interface.
#[derive(Clone, Debug)]
pub enum Secondary {
    /// These.
    These(Vec<Ipv4Addr>),
    /// So many, any.
    Count(usize),
}

impl Cloud {
    /// The network interfaces of an instance: the primary one first, the others by identifier.
    pub fn enis_of(&self, instance: &str) -> Vec<&Eni> {
        let of_it = |it: &&Eni| it.instance.as_deref() == Some(instance);
        let mut enis: Vec<&Eni> = self.enis.iter().filter(of_it).collect();
        enis.sort_by_key(|it| !it.primary);
        enis
    }

    /// The MAC address of a network interface, as the instance sees it. Of one that is an existing device it is
    /// not for us to say.
    pub fn mac(&self, eni: &Eni) -> Option<[u8; 6]> {
        let id = match &eni.instance {
            Some(instance) if eni.primary => instance,
            _ => &eni.id,
        };
        let made = eni.driver == Driver::Netns;
        made.then(|| mac(&self.settings().name, id, End::Far))
    }
}

impl Draft {
    /// Makes a network interface that belongs to no instance yet.
    ///
    /// # Errors
    /// If its vSwitch, an address, its security groups or its device cannot be.
    pub fn create_eni(&mut self, new: NewEni) -> Result<Eni> {
        let vswitch = self.vswitch(&new.vswitch)?;
        self.room_for(Quota::Enis, "There are", self.enis.len())?;
        let groups = self.check_groups(
            &vswitch.vpc,
            new.security_groups,
            "InvalidOperation.VpcMismatch",
        )?;
        let address = self.pick_address(vswitch, new.address).map_err(of_eni)?;
        self.check_driver(&new.driver)?;
        let eni = Eni {
            id: self.new_id("eni")?,
            meta: new.meta,
            vswitch: new.vswitch,
            instance: None,
            primary: false,
            address,
            secondary: Vec::new(),
            hosts: Vec::new(),
            security_groups: groups,
            driver: new.driver,
            mtu: MTU,
            delete_on_release: new.delete_on_release,
        };
        let id = eni.id.clone();
        self.enis.put(eni);
        self.assign_addresses(&id, new.secondary)?;
        self.eni(&id).cloned()
    }

    /// Attaches a network interface to an instance.
    ///
    /// # Errors
    /// If it belongs to one, or the instance is elsewhere or has its fill.
    pub fn attach_eni(&mut self, eni: &str, instance: &str) -> Result<()> {
        let eni = self.eni(eni)?;
        let (id, instance) = (eni.id.clone(), self.ecs(instance)?.id.clone());
        if let Some(other) = &eni.instance {
            let why = format!("{id} is attached to {other}: only an Available one can be.");
            return Err(invalid_state(why));
        }
        let vswitch = self.vswitch(&eni.vswitch)?;
        let enis = self.enis_of(&instance);
        if let Some(primary) = enis.first() {
            let its = self.vswitch(&primary.vswitch)?;
            if its.vpc != vswitch.vpc {
                let why = format!(
                    "{id} is in the VPC {}, {instance} in {}.",
                    vswitch.vpc, its.vpc
                );
                return Err(Refusal::forbidden("InvalidOperation.VpcMismatch", why));
            }
            let (zone, its) = (self.zone_of(vswitch), self.zone_of(its));
            if zone != its {
                let why = format!("{id} is in the zone {zone}, {instance} in {its}.");
                let code = "InvalidOperation.AvailabilityZoneMismatch";
                return Err(Refusal::forbidden(code, why));
            }
            // It would have a network namespace although it is none.
            if eni.driver == Driver::Netns && primary.driver != Driver::Netns {
                let why = format!(
                    "{instance} is adopted by its device, so {id} would need a device, too: make it with Device."
                );
                return Err(Refusal::forbidden("InvalidOperation.InvalidEniType", why));
            }
        }
        if enis.len() >= MAX_ENIS {
            let why = format!(
                "{instance} has {} network interfaces, which is the most.",
                enis.len()
            );
            return Err(Refusal::forbidden("EniPerInstanceLimitExceeded", why));
        }
        if let Some(eni) = self.enis.get_mut(&id) {
            eni.instance = Some(instance);
        }
        Ok(())
    }

    /// Detaches a network interface from its instance.
    ///
    /// # Errors
    /// If it is its primary one or not attached to this instance.
    pub fn detach_eni(&mut self, eni: &str, instance: &str) -> Result<()> {
        let eni = self.eni(eni)?;
        self.ecs(instance)?;
        if eni.instance.as_deref() != Some(instance) {
            let why = format!("{} is not attached to {instance}.", eni.id);
            return Err(invalid_state(why));
        }
        if eni.primary {
            let why = format!("{} is the primary network interface: it stays.", eni.id);
            let code = "InvalidOperation.DetachPrimaryEniNotAllowed";
            return Err(Refusal::bad(code, why));
        }
        let id = eni.id.clone();
        if let Some(eni) = self.enis.get_mut(&id) {
            eni.instance = None;
        }
        Ok(())
    }

    /// Deletes a network interface that belongs to no instance. An EIP that is bound to it is free then.
    ///
    /// # Errors
    /// If it is attached, or a route leads to it.
    pub fn delete_eni(&mut self, id: &str) -> Result<()> {
        if let Some(instance) = &self.eni(id)?.instance {
            let why = format!("{id} is attached to {instance}: detach it first.");
            return Err(invalid_state(why));
        }
        self.no_route_to(&NextHop::Eni(id.into()))?;
        self.drop_eni(id);
        Ok(())
    }

    /// Gives a network interface further addresses.
    ///
    /// # Errors
    /// If one is not free, or there would be more than [`MAX_SECONDARY`].
    pub fn assign_addresses(&mut self, id: &str, wanted: Secondary) -> Result<Vec<Ipv4Addr>> {
        let eni = self.eni(id)?;
        let vswitch = self.vswitch(&eni.vswitch)?.clone();
        let wanted: Vec<Option<Ipv4Addr>> = match wanted {
            Secondary::These(these) => these.into_iter().map(Some).collect(),
            Secondary::Count(count) => vec![None; count.min(MAX_SECONDARY + 1)],
        };
        if eni.secondary.len() + wanted.len() > MAX_SECONDARY {
            let why = format!(
                "{id} has {} secondary addresses: at most {MAX_SECONDARY} are allowed.",
                eni.secondary.len()
            );
            return Err(Refusal::forbidden(
                "InvalidOperation.Ipv4CountExceeded",
                why,
            ));
        }
        let mut given = Vec::new();
        for wanted in wanted {
            let address = self.pick_address(&vswitch, wanted).map_err(of_eni)?;
            if let Some(eni) = self.enis.get_mut(id) {
                eni.secondary.push(address);
            }
            given.push(address);
        }
        Ok(given)
    }

    /// Takes secondary addresses from a network interface.
    ///
    /// # Errors
    /// If it does not have one of them.
    pub fn unassign_addresses(&mut self, id: &str, addresses: &[Ipv4Addr]) -> Result<()> {
        let eni = self.eni(id)?;
        if let Some(other) = addresses.iter().find(|it| !eni.secondary.contains(it)) {
            let why = format!("{other} is not a secondary address of {id}.");
            return Err(Refusal::forbidden("InvalidIp.IpUnassigned", why));
        }
        if let Some(eni) = self.enis.get_mut(id) {
            eni.secondary.retain(|it| !addresses.contains(it));
        }
        Ok(())
    }

    /// Removes a network interface; an EIP that is bound to it is free then.
    pub(crate) fn drop_eni(&mut self, id: &str) {
        self.unbind_eips(&EipBinding::Eni(id.into()));
        self.enis.remove(id);
    }

    /// Frees the EIPs that are bound to something that goes.
    pub(crate) fn unbind_eips(&mut self, binding: &EipBinding) {
        let bound = self
            .eips
            .iter()
            .filter(|it| it.binding.as_ref() == Some(binding));
        let bound: Vec<Id> = bound.map(|it| it.id.clone()).collect();
        for id in bound {
            if let Some(eip) = self.eips.get_mut(&id) {
                eip.binding = None;
            }
        }
    }

    /// Checks that nothing is led to something that is to go.
    pub(crate) fn no_route_to(&self, hop: &NextHop) -> Result<()> {
        match self.routes.find(|it| it.next_hop == *hop) {
            None => Ok(()),
            Some(route) => Err(Refusal::bad(
                "DependencyViolation.RouteEntry",
                format!(
                    "The route entry {} to {} leads there: delete it first.",
                    route.id, route.destination
                ),
            )),
        }
    }

    /// Checks that a device's name is one and that nothing else has it, in use or not.
    fn check_driver(&self, driver: &Driver) -> Result<()> {
        let Driver::Device { device } = driver else {
            return Ok(());
        };
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
        let name = limits::DEVICE.contains(&device.len()) && device.bytes().all(allowed);
        if !name || device == "." || device == ".." {
            let why = "A device is named as Linux names it: up to 15 characters without spaces, `/`, `:` or `%`.";
            return Err(Refusal::bad("InvalidDevice.Malformed", why));
        }
        let uplink = self.uplinks.find(|it| it.device == *device);
        let eni = self.enis.find(|it| it.driver == *driver);
        let other = uplink.map(|it| &it.id).or(eni.map(|it| &it.id));
        match other {
            None => Ok(()),
            Some(other) => Err(Refusal::bad(
                "InvalidDevice.InUse",
                format!("The device {device:?} is {other}'s."),
            )),
        }
    }

    /// An instance, as operations on network interfaces refuse an unknown one.
    fn ecs(&self, id: &str) -> Result<&Instance> {
        self.instance(id).map_err(|refusal| Refusal {
            code: "InvalidEcsId.NotFound".into(),
            ..refusal
        })
    }
}

fn invalid_state(why: String) -> Refusal {
    Refusal::bad("InvalidOperation.InvalidEniState", why)
}

/// What is wrong with an address, in the words of operations on network interfaces.
fn of_eni(refusal: Refusal) -> Refusal {
    if refusal.code == "OperationDenied.NatFirewall" {
        return refusal;
    }
    let code = match &*refusal.code {
        "InvalidIpAddress.AlreadyUsed" => "InvalidIp.IpAssigned",
        "InvalidVSwitchId.IpNotEnough" => "InvalidVSwitchId.IpNotEnough",
        _ => "InvalidVSwitchId.IpInvalid",
    };
    Refusal::forbidden(code, refusal.message)
}
