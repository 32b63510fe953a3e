//! An instance's network interface in Linux: a veth pair, one end ours, the other in the instance's
//! network namespace, with the address and routes that the cloud would give it by DHCP.
//!
//! Several interfaces of an instance share its namespace: the primary is `eth0` and has the default
//! route, further ones are `eth1`, `eth2` and so on. What a program sends from the address of one of
//! those leaves by it, for which it has a routing table of its own (100 and its number): an answer from
//! another address than the one asked would be a spoofed one.

use crate::error::Error;
use crate::ethtool::Feature;
use crate::links::{self, Interface, Links, MAIN_TABLE, VethPair};
use crate::names::{self, End};
use crate::netns;
use ipnet::Ipv4Net;
use model::{Config, Eni, Hook, VSwitch};
use std::net::Ipv4Addr;

/// The first of the routing tables for further interfaces.
const TABLES: u32 = 100;
/// The most interfaces that an instance can have in one namespace.
const MAX_NICS: u32 = 100;
/// Names that are tried for our end of a pair.
const ATTEMPTS: u32 = 16;

/// How a network interface is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nic {
    /// The system's name.
    pub system: String,
    /// The network interface's identifier.
    pub id: String,
    /// The instance's identifier.
    pub instance: String,
    /// Its network namespace.
    pub namespace: String,
    /// Its address, with the prefix of its vSwitch.
    pub address: Ipv4Net,
    /// Its default gateway.
    pub gateway: Ipv4Addr,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Whether its sender may leave checksums undone. XDP would lose such packets.
    pub partial_checksums: bool,
}

impl Nic {
    /// What a configuration wants of a network interface in a namespace.
    pub fn new(config: &Config, eni: &Eni, vswitch: &VSwitch) -> Result<Nic, Error> {
        let resource = || resource(&eni.id);
        let prefix = vswitch.cidr.prefix_len();
        let address = Ipv4Net::new(eni.address, prefix).map_err(|error| Error::Resource {
            resource: resource(),
            problem: error.to_string(),
        })?;
        Ok(Nic {
            system: config.system.name.clone(),
            id: eni.id.clone(),
            instance: eni.instance.clone(),
            namespace: config.system.namespace(&eni.instance),
            address,
            gateway: vswitch.gateway(),
            mtu: eni.mtu.into(),
            partial_checksums: config.system.hook != Hook::Xdp,
        })
    }

    fn is_primary(&self) -> bool {
        self.id == self.instance
    }

    fn alias(&self) -> String {
        names::alias(&self.system, &self.id)
    }

    /// The MAC address of one of its ends.
    pub fn mac(&self, end: End) -> [u8; 6] {
        names::mac(&self.system, &self.id, end)
    }

    /// Makes the instance's namespace if there is none, and says whether it did.
    pub fn make_namespace(&self) -> Result<bool, Error> {
        if netns::exists(&self.namespace) {
            return Ok(false);
        }
        let alias = names::alias(&self.system, &self.instance);
        netns::create(&self.namespace, || {
            let mut links = Links::open()?;
            if let Some(lo) = links.find("lo")? {
                links.set_alias(lo.index, &alias)?;
                links.set_up(lo.index)?;
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Makes the veth pair, down and without addresses: [`Nic::bring`] does the rest. `home` are the
    /// interfaces of the gateway's namespace. An error leaves nothing behind.
    pub fn make_pair(&self, home: &mut Links) -> Result<Interface, Error> {
        let far = netns::open(&self.namespace)?;
        let far_name = self.free_name()?;
        let alias = self.alias();
        for attempt in 0..ATTEMPTS {
            let name = names::near(&self.system, &self.id, attempt);
            match home.find(&name)? {
                // A pair that a daemon was stopped over, before it could sign it.
                Some(stale) if stale.alias.is_empty() && stale.kind == "veth" && !stale.up => {
                    home.delete(stale.index)?;
                }
                Some(_) => continue,
                None => {}
            }
            let pair = VethPair {
                name: &name,
                mac: self.mac(End::Near),
                alias: &alias,
                far_name: &far_name,
                far_mac: self.mac(End::Far),
                mtu: self.mtu,
            };
            return home.add_veth(&pair, &far);
        }
        Err(self.problem("every name for its veth pair is taken; see `ip link`".into()))
    }

    /// The name that its far end gets.
    fn free_name(&self) -> Result<String, Error> {
        let mut links = Links::open_in(&self.namespace)?;
        if self.is_primary() {
            return match links.find("eth0")? {
                None => Ok("eth0".into()),
                Some(_) => Err(self.problem(format!(
                    "the namespace {} has an eth0 of somebody else; delete it or rename the instance",
                    self.namespace
                ))),
            };
        }
        for number in 1..MAX_NICS {
            let name = format!("eth{number}");
            if links.find(&name)?.is_none() {
                return Ok(name);
            }
        }
        Err(self.problem(format!("its instance has {MAX_NICS} interfaces already")))
    }

    /// The far end of `near`, if it is where it should be. The links are those of its namespace.
    pub fn far_end(&self, near: &Interface) -> Result<Option<(Links, Interface)>, Error> {
        let Some(index) = near.peer.filter(|_| netns::exists(&self.namespace)) else {
            return Ok(None);
        };
        let mut links = Links::open_in(&self.namespace)?;
        let far = links.by_index(index)?;
        // Another namespace has interfaces with the same indices; but not both of the two.
        let far = far.filter(|far| far.kind == "veth" && far.peer == Some(near.index));
        Ok(far.map(|far| (links, far)))
    }

    /// Whether `near` is this interface's end of a pair and can become what is wanted without being made
    /// anew.
    pub fn fits(&self, near: &Interface) -> Result<bool, Error> {
        let Some((_, far)) = self.far_end(near)? else {
            return Ok(false);
        };
        Ok((far.name == "eth0") == self.is_primary())
    }

    /// Brings both ends to what is wanted. Touches nothing that is so already. Must run in the gateway's
    /// namespace.
    pub fn bring(&self, home: &mut Links, near: &Interface) -> Result<(), Error> {
        let Some((mut links, far)) = self.far_end(near)? else {
            return Err(self.problem(format!("the far end of {} is gone", near.name)));
        };
        if !far.up {
            netns::in_namespace(&self.namespace, || links::disable_ipv6(&far.name))??;
        }
        bring_link(&mut links, &far, self.mac(End::Far), self.mtu)?;
        if !near.up {
            links::disable_ipv6(&near.name)?;
        }
        bring_link(home, near, self.mac(End::Near), self.mtu)?;
        for (feature, on) in [
            (Feature::Gro, true),
            (Feature::TxChecksum, self.partial_checksums),
        ] {
            links.set_offload(&far.name, feature, on)?;
        }
        self.bring_address(&mut links, &far)?;
        // The first packet of an instance should not be lost.
        if !far.operational {
            links.wait_operational(far.index)?;
            home.wait_operational(near.index)?;
        }
        Ok(())
    }

    fn bring_address(&self, links: &mut Links, far: &Interface) -> Result<(), Error> {
        let address = self.address.addr();
        let number = far.name.strip_prefix("eth").and_then(|n| n.parse().ok());
        let table = match number {
            Some(0) | None => MAIN_TABLE,
            Some(number) => TABLES + number % MAX_NICS,
        };
        let present = links.addresses(far.index)?;
        if !present.contains(&self.address) {
            // It had another one. What a user has added to the right one stays.
            for old in present {
                links.delete_address(far.index, old)?;
            }
            links.add_address(far.index, self.address)?;
        }
        if links.default_route(table)? != Some((self.gateway, far.index)) {
            links.set_default_route(far.index, self.gateway, table)?;
        }
        if table == MAIN_TABLE {
            return Ok(());
        }
        let rules = links.source_rules()?;
        for &(source, of) in &rules {
            if of == table && source != address {
                links.delete_source_rule(source, table)?;
            }
        }
        if !rules.contains(&(address, table)) {
            links.add_source_rule(address, table)?;
        }
        Ok(())
    }

    fn problem(&self, problem: String) -> Error {
        Error::Resource {
            resource: resource(&self.id),
            problem,
        }
    }
}

/// How errors name a network interface.
pub(crate) fn resource(id: &str) -> String {
    format!("network interface {id}")
}

fn bring_link(links: &mut Links, is: &Interface, mac: [u8; 6], mtu: u32) -> Result<(), Error> {
    if is.mac != Some(mac) {
        links.set_mac(is.index, mac)?;
    }
    if is.mtu != mtu {
        links.set_mtu(is.index, mtu)?;
    }
    if !is.up {
        links.set_up(is.index)?;
    }
    Ok(())
}
