//! VPC peer connections.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::eip::not_protected;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::Id;

/// A peer connection to be made.
#[derive(Clone, Debug)]
pub struct NewPeering {
    /// Name, tags and the like.
    pub meta: Meta,
    /// The VPC that asks for it.
    pub vpc: Id,
    /// The other one.
    pub accepting_vpc: Id,
    /// The account of the other one; it is told back.
    pub accepting_account: u64,
    /// Whether it carries traffic at once, or only when the other side accepts it.
    pub accepted: bool,
    /// Mbit/s, only between regions; 0: not named.
    pub bandwidth: u32,
    /// Only between regions; empty: not named.
    pub link_type: String,
}

/// What is to be another of a peer connection; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct PeeringChange {
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Mbit/s, only between regions.
    pub bandwidth: Option<u32>,
    /// Only between regions.
    pub link_type: Option<String>,
}

/// Where a peer connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeeringStatus {
    /// The other side has not said anything yet.
    Accepting,
    /// It carries traffic.
    Activated,
    /// The other side has refused.
    Rejected,
}

impl PeeringStatus {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            PeeringStatus::Accepting => "Accepting",
            PeeringStatus::Activated => "Activated",
            PeeringStatus::Rejected => "Rejected",
        }
    }
}

impl Peering {
    /// One with an identifier, between no VPCs yet.
    pub fn new(id: Id) -> Peering {
        Peering {
            id,
            meta: Meta::default(),
            vpc: Id::new(),
            accepting_vpc: Id::new(),
            accepted: false,
            rejected: false,
            accepting_account: 0,
            bandwidth: 0,
            link_type: String::new(),
            modified: 0,
            deletion_protection: false,
        }
    }

    /// Where it is in its life.
    pub fn status(&self) -> PeeringStatus {
        match (self.accepted, self.rejected) {
            (true, _) => PeeringStatus::Activated,
            (false, true) => PeeringStatus::Rejected,
            (false, false) => PeeringStatus::Accepting,
        }
    }

    /// Checks that it carries traffic, so that routes may lead to it.
    pub(crate) fn carries(&self) -> Result<()> {
        self.must_be(PeeringStatus::Activated)
    }

    fn must_be(&self, wanted: PeeringStatus) -> Result<()> {
        if self.status() == wanted {
            return Ok(());
        }
        let why = format!(
            "The VPC peer connection {} is {}, not {}.",
            self.id,
            self.status().name(),
            wanted.name()
        );
        Err(Refusal::bad("IncorrectStatus.VpcPeer", why))
    }

    /// Whether a VPC is at one of its ends.
    fn connects(&self, vpc: &str) -> bool {
        self.vpc == vpc || self.accepting_vpc == vpc
    }
}

impl Draft {
    /// Makes a peer connection.
    ///
    /// # Errors
    /// If the VPCs do not exist, are one, or are connected; if there are too many; or if something is named that
    /// only connections between regions have.
    pub fn create_peering(&mut self, new: NewPeering) -> Result<Peering> {
        let ends = [&new.vpc, &new.accepting_vpc];
        let [a, b] = [self.vpc(ends[0])?, self.vpc(ends[1])?];
        if a.id == b.id {
            let why = format!("{} cannot be peered with itself.", a.id);
            return Err(Refusal::bad("InvalidParameter.AcceptingVpcId", why));
        }
        let others = self.peerings.iter().filter(|it| !it.rejected);
        let others: Vec<&Peering> = others.collect();
        if let Some(other) = others
            .iter()
            .find(|it| it.connects(&a.id) && it.connects(&b.id))
        {
            let why = format!("{} and {} are connected by {}.", a.id, b.id, other.id);
            return Err(Refusal::bad("ResourceAlreadyExist.VpcPeer", why));
        }
        for vpc in ends {
            let used = others.iter().filter(|it| it.connects(vpc)).count();
            self.room_for(Quota::Peerings, &format!("The VPC {vpc} has"), used)?;
        }
        if new.bandwidth > 0 || !new.link_type.is_empty() {
            self.across_regions(a, b)?;
        }
        let peering = Peering {
            meta: new.meta,
            vpc: new.vpc,
            accepting_vpc: new.accepting_vpc,
            accepted: new.accepted,
            accepting_account: new.accepting_account,
            bandwidth: new.bandwidth,
            link_type: new.link_type,
            ..Peering::new(self.new_id("pcc")?)
        };
        self.peerings.put(peering.clone());
        Ok(peering)
    }

    /// Accepts a peer connection: from then on it carries traffic.
    ///
    /// # Errors
    /// `IncorrectStatus.VpcPeer`, if it has been accepted or rejected.
    pub fn accept_peering(&mut self, id: &str) -> Result<()> {
        self.peering(id)?.must_be(PeeringStatus::Accepting)?;
        self.change_peering(id, |it| it.accepted = true);
        Ok(())
    }

    /// Rejects a peer connection: it stays to be seen, and to be deleted.
    ///
    /// # Errors
    /// `IncorrectStatus.VpcPeer`, if it has been accepted or rejected.
    pub fn reject_peering(&mut self, id: &str) -> Result<()> {
        self.peering(id)?.must_be(PeeringStatus::Accepting)?;
        self.change_peering(id, |it| it.rejected = true);
        Ok(())
    }

    /// Changes what is said of a peer connection.
    ///
    /// # Errors
    /// If it does not exist, or something is named that only connections between regions have.
    pub fn modify_peering(&mut self, id: &str, change: PeeringChange) -> Result<()> {
        let peering = self.peering(id)?;
        if change.bandwidth.is_some() || change.link_type.is_some() {
            self.across_regions(self.vpc(&peering.vpc)?, self.vpc(&peering.accepting_vpc)?)?;
        }
        self.change_peering(id, |it| {
            it.meta.name = change.name.unwrap_or(std::mem::take(&mut it.meta.name));
            let description = std::mem::take(&mut it.meta.description);
            it.meta.description = change.description.unwrap_or(description);
            it.bandwidth = change.bandwidth.unwrap_or(it.bandwidth);
            it.link_type = change
                .link_type
                .unwrap_or(std::mem::take(&mut it.link_type));
        });
        Ok(())
    }

    /// Deletes a peer connection. With `force` the route entries that lead to it go with it.
    ///
    /// # Errors
    /// `OperationDenied.RouteEntryExist` if route entries lead to it; or if it is protected.
    pub fn delete_peering(&mut self, id: &str, force: bool) -> Result<()> {
        not_protected(id, self.peering(id)?.deletion_protection)?;
        let hop = NextHop::Peering(id.into());
        let routes = self.routes.iter().filter(|it| it.next_hop == hop);
        let routes: Vec<Id> = routes.map(|it| it.id.clone()).collect();
        if let Some(route) = routes.first().filter(|_| !force) {
            let why = format!("The route entry {route} leads to it: delete it, or use Force.");
            return Err(Refusal::bad("OperationDenied.RouteEntryExist", why));
        }
        for route in routes {
            self.routes.remove(&route);
        }
        self.peerings.remove(id);
        Ok(())
    }

    fn change_peering(&mut self, id: &str, change: impl FnOnce(&mut Peering)) {
        let now = self.now;
        if let Some(peering) = self.peerings.get_mut(id) {
            change(peering);
            peering.modified = now;
        }
    }
}

impl Cloud {
    /// Only connections between regions have a bandwidth and a type of link.
    fn across_regions(&self, a: &Vpc, b: &Vpc) -> Result<()> {
        if self.crosses_regions(a, b) {
            return Ok(());
        }
        let why = "Bandwidth and LinkType are of connections between regions: the VPCs are in one.";
        Err(Refusal::bad("InvalidParameter", why))
    }

    /// Whether two VPCs are in different regions. One of a file has no region and is in each.
    pub fn crosses_regions(&self, a: &Vpc, b: &Vpc) -> bool {
        !a.region.is_empty() && !b.region.is_empty() && a.region != b.region
    }
}
