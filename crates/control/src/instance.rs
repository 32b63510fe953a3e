//! Instances. One has a network as long as it runs: of one that is stopped the engine is told nothing.

use crate::draft::Draft;
use crate::eni::{NewEni, Secondary};
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::{Driver, Id, SecurityGroup};
use std::net::Ipv4Addr;

/// An instance to be made.
#[derive(Clone, Debug)]
pub struct NewInstance {
    /// Name, tags and the like. Without a name it is called by its identifier.
    pub meta: Meta,
    /// The vSwitch of its primary network interface.
    pub vswitch: Id,
    /// Its address; `None`: any.
    pub address: Option<Ipv4Addr>,
    /// Further addresses of its primary network interface.
    pub secondary: Secondary,
    /// Its security groups; none: the default group of its VPC, if it has one.
    pub security_groups: Vec<Id>,
    /// How its primary network interface is brought to Linux.
    pub driver: Driver,
    /// Name and description of its primary network interface.
    pub eni: Meta,
    /// Whether it starts at once.
    pub running: bool,
    /// Its host name; empty: its identifier.
    pub host_name: String,
    /// The image, as the caller names it: an instance brings its own software.
    pub image: String,
    /// The type, as the caller names it: nothing depends on it.
    pub instance_type: String,
    /// Whether it must not be deleted.
    pub deletion_protection: bool,
    /// What is told of its system disk.
    pub disk: SystemDisk,
}

impl Draft {
    /// Makes an instance with its primary network interface.
    ///
    /// # Errors
    /// If its vSwitch, address, security groups or device cannot be.
    pub fn create_instance(&mut self, new: NewInstance) -> Result<Instance> {
        let vswitch = self.vswitch(&new.vswitch)?.clone();
        self.room_for(Quota::Instances, "There are", self.instances.len())?;
        let mut groups = new.security_groups;
        if groups.is_empty() {
            // The group that a configuration file gives to instances that name none: only a VPC of a file has
            // one. Elsewhere a group must be named, as in the cloud.
            let default = SecurityGroup::default_id(&vswitch.vpc);
            if !self.security_groups.contains(&default) {
                let why = "The input parameter \"SecurityGroupId\" that is mandatory for processing this request is not \
                           supplied.";
                return Err(Refusal::bad("MissingParameter", why));
            }
            groups.push(default);
        }
        let groups =
            self.check_groups(&vswitch.vpc, groups, "InvalidSecurityGroupId.VPCMismatch")?;
        let zone = self.zone_of(&vswitch);
        let eni = NewEni {
            meta: new.eni,
            vswitch: new.vswitch,
            address: new.address,
            secondary: new.secondary,
            security_groups: groups,
            driver: new.driver,
            delete_on_release: true,
        };
        let eni = self.create_eni(eni).map_err(of_instance)?;
        let id = self.new_id("i")?;
        if let Some(eni) = self.enis.get_mut(&eni.id) {
            eni.instance = Some(id.clone());
            eni.primary = true;
        }
        let mut meta = new.meta;
        if meta.name.is_empty() {
            meta.name.clone_from(&id);
        }
        let instance = Instance {
            id,
            meta,
            zone,
            eni: eni.id,
            running: new.running,
            host_name: new.host_name,
            image: new.image,
            instance_type: new.instance_type,
            started: if new.running { self.now } else { 0 },
            deletion_protection: new.deletion_protection,
            disk: new.disk,
            user_data: String::new(),
        };
        self.instances.put(instance.clone());
        Ok(instance)
    }

    /// Starts an instance that is stopped.
    ///
    /// # Errors
    /// `IncorrectInstanceStatus` if it runs.
    pub fn start_instance(&mut self, id: &str) -> Result<()> {
        self.expect_running(id, false)?;
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.running = true;
            instance.started = now;
        }
        Ok(())
    }

    /// Stops an instance that runs: its network goes, and with it its sessions. Its addresses, EIP and
    /// security groups stay, and routes to it drop what they match.
    ///
    /// # Errors
    /// `IncorrectInstanceStatus` if it does not run.
    pub fn stop_instance(&mut self, id: &str) -> Result<()> {
        self.expect_running(id, true)?;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.running = false;
        }
        Ok(())
    }

    /// Restarts an instance. What runs in it is its own; its network stays, so nothing but the time of its
    /// start changes.
    ///
    /// # Errors
    /// `IncorrectInstanceStatus` if it does not run.
    pub fn reboot_instance(&mut self, id: &str) -> Result<()> {
        self.expect_running(id, true)?;
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.started = now;
        }
        Ok(())
    }

    /// Deletes an instance that is stopped; with `force` one that runs, too. Its primary network interface
    /// goes with it, as do those that are to; the others are detached. Its EIP is free then.
    ///
    /// # Errors
    /// If it is protected, runs, or a route leads to it.
    pub fn delete_instance(&mut self, id: &str, force: bool) -> Result<()> {
        let instance = self.instance(id)?;
        if instance.deletion_protection {
            let why = format!("{id} is protected against deletion: set DeletionProtection=false.");
            let code = "InvalidOperation.DeletionProtection";
            return Err(Refusal::forbidden(code, why));
        }
        if instance.running && !force {
            return Err(incorrect_status(
                id,
                "runs: stop it first, or say Force=true",
            ));
        }
        self.no_route_to(&NextHop::Instance(id.into()))?;
        let enis = self.enis_of(id).into_iter();
        let enis: Vec<(Id, bool)> = enis
            .map(|it| (it.id.clone(), it.primary || it.delete_on_release))
            .collect();
        for (eni, goes) in enis {
            if goes {
                self.no_route_to(&NextHop::Eni(eni.clone()))?;
                self.drop_eni(&eni);
            } else if let Some(eni) = self.enis.get_mut(&eni) {
                eni.instance = None;
            }
        }
        self.unbind_eips(&EipBinding::Instance(id.into()));
        self.instances.remove(id);
        Ok(())
    }

    /// Gives an instance that is stopped another type.
    ///
    /// # Errors
    /// `IncorrectInstanceStatus` if it runs.
    pub fn set_instance_type(&mut self, id: &str, instance_type: &str) -> Result<()> {
        self.expect_running(id, false)?;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.instance_type = instance_type.into();
        }
        Ok(())
    }

    /// Gives an instance that is stopped another image, and a system disk of another size.
    ///
    /// # Errors
    /// `IncorrectInstanceStatus` if it runs.
    pub fn replace_image(
        &mut self,
        id: &str,
        image: Option<&str>,
        size: Option<u32>,
    ) -> Result<()> {
        self.expect_running(id, false)?;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.image = image.unwrap_or(&instance.image).into();
            instance.disk.size = size.unwrap_or(instance.disk.size);
        }
        Ok(())
    }

    fn expect_running(&self, id: &str, running: bool) -> Result<()> {
        match (self.instance(id)?.running, running) {
            (true, false) => Err(incorrect_status(id, "runs")),
            (false, true) => Err(incorrect_status(id, "is stopped")),
            _ => Ok(()),
        }
    }
}

fn incorrect_status(id: &str, is: &str) -> Refusal {
    let why =
        format!("The current status of the resource does not support this operation: {id} {is}.");
    Refusal::forbidden("IncorrectInstanceStatus", why)
}

/// What is wrong with an address, in the words of operations on instances.
fn of_instance(refusal: Refusal) -> Refusal {
    match &*refusal.code {
        "InvalidIp.IpAssigned" => {
            Refusal::bad("InvalidPrivateIpAddress.Duplicated", refusal.message)
        }
        "InvalidVSwitchId.IpInvalid" => Refusal::bad("InvalidPrivateIpAddress", refusal.message),
        _ => refusal,
    }
}
