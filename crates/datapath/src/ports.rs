//! Bringing Linux and the configuration together: for each network interface and uplink of the
//! configuration one Linux interface with our programs on it.
//!
//! What exists and is right is not touched, so neither a restart nor a change costs it a packet. A change
//! has two halves. [`Ports::prepare`] checks and makes everything new; if a part of it fails, all of it is
//! undone. [`Ports::commit`] makes the kernel programs use it and removes what is not wanted any more,
//! after the engine has taken up the configuration.
//!
//! Everything here must run in the gateway's network namespace.

use crate::error::Error;
use crate::ethtool::Feature;
use crate::instance::{Nic, resource};
use crate::links::{Counters, Interface, Links};
use crate::maps::Shares;
use crate::names::{self, End};
use crate::netns::{self, Home};
use crate::programs::{Attached, Hook, Programs};
use crate::zones::{self, PortMap, Zones};
use engine::{Link, PortRef, UPLINK_ZONE};
use flow::abi::{PORT_SLOTS, port};
use model::{Config, Driver, UplinkMode};
use std::collections::{HashMap, HashSet};

/// A network interface or uplink, and the Linux interface that it is.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub link: Link,
    /// The Linux interface's name.
    pub device: String,
    /// Where the programs are.
    pub attached: Attached,
    /// [`flow::abi::port`] bits.
    pub flags: u16,
    /// What was made for it, if we made it.
    pub nic: Option<Nic>,
}

/// A port as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// The network interface or the uplink.
    pub port: PortRef,
    /// The name of the Linux interface.
    pub device: String,
    /// Its index.
    pub ifindex: u32,
    /// Its zone in the flow table's keys.
    pub zone: u16,
    /// Where the programs are on it.
    pub hook: Attached,
    /// Its driver, e.g. `veth` or `virtio_net`; empty if it names none.
    pub driver: String,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// The largest IP packet that it takes, in bytes.
    pub mtu: u16,
    /// Whether it exists, is switched on, and the link below works.
    pub up: bool,
    /// The network namespace with the other end, if we made it.
    pub namespace: Option<String>,
    /// What went through, as Linux counts it: what XDP redirects it leaves out.
    pub counters: Counters,
    /// Packets that the queue to the daemon had no room for, since the map was made.
    pub queue_full: u64,
}

/// What is ready to be put in force.
#[derive(Debug)]
pub(crate) struct Prepared {
    ports: Vec<Port>,
    hook: model::Hook,
    undo: Undo,
}

impl Prepared {
    /// The interfaces, for the engine.
    pub fn links(&self) -> Vec<Link> {
        self.ports.iter().map(|port| port.link.clone()).collect()
    }
}

/// What was done, for the case that it must be undone.
#[derive(Debug, Default)]
struct Undo {
    namespaces: Vec<String>,
    pairs: Vec<u32>,
    attached: Vec<u32>,
}

/// The Linux interfaces of a gateway.
pub(crate) struct Ports {
    system: String,
    home: Links,
    /// What is in force.
    ports: Vec<Port>,
    hook: model::Hook,
    /// The zone that was given last.
    zone: u16,
}

impl Ports {
    /// Those of a system, none of which is in force yet.
    pub fn open(system: &str) -> Result<Ports, Error> {
        Ok(Ports {
            system: system.into(),
            home: Links::open()?,
            ports: Vec::new(),
            hook: model::Hook::default(),
            zone: 0,
        })
    }

    /// Makes what the configuration wants and is not there, and brings what is there to what it wants.
    /// Nothing is removed, and the programs do nothing yet on what is new.
    pub fn prepare(
        &mut self,
        config: &Config,
        place: &Home,
        programs: &mut Programs,
        map: &PortMap,
    ) -> Result<Prepared, Error> {
        let mut undo = Undo::default();
        match self.build(config, place, programs, map, &mut undo) {
            Ok(ports) => Ok(Prepared {
                ports,
                hook: config.system.hook,
                undo,
            }),
            Err(error) => {
                self.undo(undo, config.system.hook, programs);
                Err(error)
            }
        }
    }

    /// Undoes [`Ports::prepare`].
    pub fn abort(&mut self, prepared: Prepared, programs: &mut Programs) {
        self.undo(prepared.undo, prepared.hook, programs);
    }

    /// Makes the kernel programs use what was prepared and removes everything else that is ours. What
    /// cannot be removed is logged; the next change tries again.
    pub fn commit(&mut self, prepared: Prepared, programs: &mut Programs, map: &PortMap) {
        self.ports = prepared.ports;
        self.hook = prepared.hook;
        let entries: Vec<zones::Entry> = self
            .ports
            .iter()
            .map(|port| zones::Entry {
                ifindex: port.link.ifindex,
                zone: port.link.zone,
                flags: port.flags,
                mac: port.link.mac,
            })
            .collect();
        zones::write(map, &entries);
        let kept: HashSet<u32> = entries.iter().map(|entry| entry.ifindex).collect();
        warn(programs.retain(|ifindex| kept.contains(&ifindex)));
        let namespaces: HashSet<&str> = self
            .ports
            .iter()
            .filter_map(|port| Some(port.nic.as_ref()?.namespace.as_str()))
            .collect();
        warn(remove_pairs(&mut self.home, &self.system, &kept));
        warn(remove_namespaces(&self.system, &namespaces));
    }

    /// The ports in force, as they are now. `shares` are all ports' in the queue.
    pub fn status(&mut self, shares: Shares) -> Result<Vec<PortStatus>, Error> {
        let interfaces = self.home.list()?;
        let by_index: HashMap<u32, &Interface> = interfaces
            .iter()
            .map(|interface| (interface.index, interface))
            .collect();
        let status = |port: &Port| {
            let link = &port.link;
            let now = by_index.get(&link.ifindex);
            PortStatus {
                port: link.port.clone(),
                device: now.map_or(&port.device, |now| &now.name).clone(),
                ifindex: link.ifindex,
                zone: link.zone,
                hook: port.attached,
                driver: self.home.driver(&port.device),
                mac: link.mac,
                mtu: link.mtu,
                up: now.is_some_and(|now| now.up && now.carrier),
                namespace: port.nic.as_ref().map(|nic| nic.namespace.clone()),
                counters: now.map(|now| now.counters).unwrap_or_default(),
                queue_full: shares.of(link.ifindex).refused(),
            }
        };
        Ok(self.ports.iter().map(status).collect())
    }

    fn build(
        &mut self,
        config: &Config,
        place: &Home,
        programs: &mut Programs,
        map: &PortMap,
        undo: &mut Undo,
    ) -> Result<Vec<Port>, Error> {
        let mut wanted = self.survey(config, place)?;
        for wanted in &mut wanted {
            if let (None, Some(nic)) = (&wanted.interface, &wanted.nic) {
                if nic.make_namespace()? {
                    undo.namespaces.push(nic.namespace.clone());
                }
                let near = nic.make_pair(&mut self.home)?;
                undo.pairs.push(near.index);
                wanted.interface = Some(near);
            }
        }
        let already: HashSet<u32> = programs.attached()?.iter().map(|(at, _)| *at).collect();
        let mut zones = Zones::new(map, self.zone);
        let mut places = HashMap::new();
        let mut ports = Vec::new();
        for wanted in wanted {
            let Some(interface) = wanted.interface else {
                continue;
            };
            if let Some(other) =
                places.insert(interface.index % PORT_SLOTS, wanted.resource.clone())
            {
                return Err(Error::Resource {
                    resource: wanted.resource,
                    problem: format!(
                        "the index of its interface {} ({}) and that of {other} differ by a multiple of \
                         {PORT_SLOTS}; make one of the interfaces anew",
                        interface.name, interface.index
                    ),
                });
            }
            if wanted.flags & port::SHARED == 0
                && !already.contains(&interface.index)
                && let Some(other) = programs.other_on(interface.index)?
            {
                return Err(Error::UnfitDevice {
                    resource: wanted.resource,
                    device: interface.name,
                    problem: format!(
                        "is one of the gateway {other}, which would get nothing by it any more; take another one, or let go \
                         of it there (`sluice down` if that gateway does not run)"
                    ),
                });
            }
            // The programs come first: nothing of what arrives must go to the host.
            let attached = match self.in_force(interface.index) {
                Some(attached) if self.hook == config.system.hook => attached,
                _ => {
                    let attached = programs.attach(interface.index, hook(config.system.hook))?;
                    if !already.contains(&interface.index) {
                        undo.attached.push(interface.index);
                    }
                    attached
                }
            };
            let mac = match &wanted.nic {
                Some(nic) => {
                    nic.bring(&mut self.home, &interface)?;
                    nic.mac(End::Near)
                }
                None => {
                    self.bring_device(&interface, wanted.flags)?;
                    interface.mac.unwrap_or_default()
                }
            };
            let zone = match wanted.flags & port::UPLINK {
                0 => zones.of(interface.index).ok_or_else(|| Error::Resource {
                    resource: wanted.resource,
                    problem: "there can be no more than 65,534 network interfaces".into(),
                })?,
                _ => UPLINK_ZONE,
            };
            ports.push(Port {
                link: Link {
                    port: wanted.port,
                    zone,
                    ifindex: interface.index,
                    mac,
                    station: wanted.nic.as_ref().map(|nic| nic.mac(End::Far)),
                    mtu: wanted.mtu,
                    peer: wanted.nic.is_some(),
                },
                device: interface.name,
                attached,
                flags: wanted.flags,
                nic: wanted.nic,
            });
        }
        self.zone = zones.last();
        Ok(ports)
    }

    /// What the configuration wants, with the interfaces that there are. Changes nothing.
    fn survey(&mut self, config: &Config, place: &Home) -> Result<Vec<Wanted>, Error> {
        let mut wanted = Vec::new();
        for uplink in &config.uplinks {
            let resource = format!("uplink {}", uplink.id);
            let (interface, mtu) = self.device(&resource, &uplink.device)?;
            if let Some(asked) = uplink.mtu.filter(|&asked| asked > mtu) {
                return Err(Error::UnfitDevice {
                    resource,
                    device: uplink.device.clone(),
                    problem: format!("takes {mtu} bytes, less than the `mtu` of {asked}"),
                });
            }
            wanted.push(Wanted {
                port: PortRef::Uplink(uplink.id.clone()),
                resource,
                flags: match uplink.mode {
                    UplinkMode::Own => port::UPLINK,
                    UplinkMode::Shared => port::UPLINK | port::SHARED,
                },
                mtu: uplink.mtu.unwrap_or(mtu),
                nic: None,
                interface: Some(interface),
            });
        }
        let ours = self.ours()?;
        for eni in &config.enis {
            let resource = resource(&eni.id);
            let (nic, interface, mtu) = match &eni.driver {
                Driver::Device { device } => {
                    let (interface, mtu) = self.device(&resource, device)?;
                    (None, Some(interface), mtu.min(eni.mtu))
                }
                Driver::Netns => {
                    let vswitch = config.vswitches.iter().find(|v| v.id == eni.vswitch);
                    let vswitch = vswitch.ok_or_else(|| Error::Resource {
                        resource: resource.clone(),
                        problem: format!("there is no vSwitch {}", eni.vswitch),
                    })?;
                    let nic = Nic::new(config, eni, vswitch)?;
                    if place.is(&nic.namespace) {
                        let problem =
                            "its network namespace would be the gateway's own; rename one";
                        let problem = problem.into();
                        return Err(Error::Resource { resource, problem });
                    }
                    let mut found = None;
                    for near in ours.get(eni.id.as_str()).into_iter().flatten() {
                        if found.is_none() && nic.fits(near)? {
                            found = Some(near.clone());
                        }
                    }
                    (Some(nic), found, eni.mtu)
                }
            };
            wanted.push(Wanted {
                port: PortRef::Eni(eni.id.clone()),
                resource,
                flags: 0,
                mtu,
                nic,
                interface,
            });
        }
        Ok(wanted)
    }

    /// The veth ends that we have made, by network interface.
    fn ours(&mut self) -> Result<HashMap<String, Vec<Interface>>, Error> {
        let mut ours: HashMap<String, Vec<Interface>> = HashMap::new();
        for interface in self.home.list()? {
            if let Some(id) = names::owned(&interface.alias, &self.system) {
                ours.entry(id.into()).or_default().push(interface);
            }
        }
        Ok(ours)
    }

    /// An interface that the configuration names, and its MTU.
    fn device(&mut self, resource: &str, device: &str) -> Result<(Interface, u16), Error> {
        let Some(found) = self.home.find(device)? else {
            return Err(Error::NoDevice {
                resource: resource.into(),
                device: device.into(),
            });
        };
        if found.mac.is_none() {
            return Err(Error::UnfitDevice {
                resource: resource.into(),
                device: device.into(),
                problem: "is no Ethernet interface; only those can carry our traffic".into(),
            });
        }
        let mtu = u16::try_from(found.mtu).unwrap_or(u16::MAX);
        Ok((found, mtu))
    }

    /// Switches on what is not shared with the host. Segments that hardware has merged could not be
    /// taken apart again; where there is no such offload there is none to switch off.
    fn bring_device(&mut self, interface: &Interface, flags: u16) -> Result<(), Error> {
        let _ = self.home.set_offload(&interface.name, Feature::Lro, false);
        if !interface.up && flags & port::SHARED == 0 {
            self.home.set_up(interface.index)?;
        }
        Ok(())
    }

    /// Where the programs in force are on an interface.
    fn in_force(&self, ifindex: u32) -> Option<Attached> {
        let port = self.ports.iter().find(|port| port.link.ifindex == ifindex);
        port.map(|port| port.attached)
    }

    /// Brings everything back to what is in force, as far as that can be done.
    fn undo(&mut self, undo: Undo, hook_tried: model::Hook, programs: &mut Programs) {
        for ifindex in undo.attached {
            warn(programs.detach(ifindex));
        }
        for ifindex in undo.pairs {
            warn(self.home.delete(ifindex));
        }
        for namespace in undo.namespaces {
            warn(netns::delete(&namespace));
        }
        for at in 0..self.ports.len() {
            let port = self.ports[at].clone();
            if hook_tried != self.hook {
                warn(programs.attach(port.link.ifindex, hook(self.hook)));
            }
            if let Some(nic) = port.nic {
                match self.home.by_index(port.link.ifindex) {
                    Ok(Some(near)) => warn(nic.bring(&mut self.home, &near)),
                    other => warn(other),
                }
            }
        }
    }
}

/// A port of the configuration, before its interface is ready.
struct Wanted {
    port: PortRef,
    /// How errors name it.
    resource: String,
    flags: u16,
    mtu: u16,
    nic: Option<Nic>,
    interface: Option<Interface>,
}

/// Removes every interface and namespace that was made for a system.
pub(crate) fn remove_all(system: &str) -> Result<(), Error> {
    let pairs = remove_pairs(&mut Links::open()?, system, &HashSet::new());
    let namespaces = remove_namespaces(system, &HashSet::new());
    pairs.and(namespaces)
}

fn remove_pairs(home: &mut Links, system: &str, kept: &HashSet<u32>) -> Result<(), Error> {
    let mut result = Ok(());
    for interface in home.list()? {
        let ours = interface.kind == "veth" && names::owned(&interface.alias, system).is_some();
        if ours && !kept.contains(&interface.index) {
            result = result.and(home.delete(interface.index));
        }
    }
    result
}

fn remove_namespaces(system: &str, kept: &HashSet<&str>) -> Result<(), Error> {
    let prefix = format!("{system}-");
    let mut result = Ok(());
    for name in netns::list()? {
        if name.starts_with(&prefix) && !kept.contains(name.as_str()) {
            result = result.and(remove_namespace(system, &name));
        }
    }
    result
}

/// Removes a namespace if it was made for the system.
fn remove_namespace(system: &str, name: &str) -> Result<(), Error> {
    let lo = Links::open_in(name)?.find("lo")?;
    match lo.filter(|lo| names::owned(&lo.alias, system).is_some()) {
        Some(_) => netns::delete(name),
        None => Ok(()),
    }
}

fn hook(hook: model::Hook) -> Hook {
    match hook {
        model::Hook::Auto => Hook::Auto,
        model::Hook::Tc => Hook::Tc,
        model::Hook::Xdp => Hook::Xdp,
    }
}

/// Logs what cannot be helped.
fn warn<T, E: std::fmt::Display>(result: Result<T, E>) {
    if let Err(error) = result {
        log::warn!("{error}");
    }
}
