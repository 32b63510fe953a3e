//! The operations, one file for each group.
//!
//! An operation reads its parameters from a [`Call`], asks or changes the records, and puts its answer together. It
//! says only what it knows: [`crate::spec`] completes the answer. Rules of the resources are not here but in
//! `control`, where they hold for whoever makes the change.

mod access_keys;
mod access_policies;
mod address_books;
mod border_policies;
mod callers;
mod catalog;
mod disks;
mod dns_policies;
mod ecs;
mod ecs_tags;
mod eip;
mod enis;
mod events;
mod firewall_assets;
mod firewall_license;
mod firewall_places;
mod firewall_settings;
mod forward;
mod instances;
mod nat_firewall_checks;
mod nat_firewalls;
mod nat_gateway;
mod nat_ips;
mod nat_policies;
mod package;
mod peering;
mod policy_backups;
mod policy_checks;
mod policy_fields;
mod policy_shown;
mod quotas;
mod routes;
mod rules;
mod run;
mod security_groups;
mod snat;
mod source_metrics;
mod tags;
mod trace;
mod usage;
mod users;
mod vpc;

use crate::call::{Answer, Call};
use crate::keys::Sealer;
use crate::service;
use control::{Cloud, Draft};

/// An operation that only asks.
pub(crate) type Query = fn(&Call, &Cloud) -> Answer;

/// An operation that changes something.
pub(crate) type Change = fn(&Call, &mut Draft) -> Answer;

/// An operation that only asks, and more than the records know.
pub(crate) type Ask = fn(&Call, &service::Cloud) -> Answer;

/// An operation that changes something and makes secrets.
pub(crate) type Seal = fn(&Call, &mut Draft, &Sealer) -> Answer;

/// An operation that does something to what runs, and changes no record.
pub(crate) type Act = fn(&Call, &mut Draft, &service::Cloud) -> Answer;

/// How an operation is answered.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    Query(Query),
    Change(Change),
    Ask(Ask),
    Seal(Seal),
    Act(Act),
}

use Handler::{Act as K, Ask as A, Change as C, Query as Q};

const VPC: &str = "2016-04-28";
const ECS: &str = "2014-05-26";
const PEER: &str = "2022-01-01";
const RAM: &str = "2015-05-01";
const STS: &str = "2015-04-01";
const TRAIL: &str = "2020-07-06";
const CFW: &str = "2017-12-07";

/// Groups of operations: the version of their product, and each with its name.
const GROUPS: &[(&str, &[(&str, Handler)])] = &[
    (VPC, vpc::OPERATIONS),
    (VPC, routes::OPERATIONS),
    (VPC, tags::OPERATIONS),
    (VPC, eip::OPERATIONS),
    (VPC, usage::OPERATIONS),
    (VPC, quotas::OPERATIONS),
    (VPC, package::OPERATIONS),
    (VPC, nat_gateway::OPERATIONS),
    (VPC, nat_ips::OPERATIONS),
    (VPC, source_metrics::OPERATIONS),
    (VPC, snat::OPERATIONS),
    (VPC, forward::OPERATIONS),
    (VPC, trace::OPERATIONS),
    (ECS, instances::OPERATIONS),
    (ECS, run::OPERATIONS),
    (ECS, disks::OPERATIONS),
    (ECS, security_groups::OPERATIONS),
    (ECS, rules::OPERATIONS),
    (ECS, enis::OPERATIONS),
    (ECS, catalog::OPERATIONS),
    (ECS, ecs_tags::OPERATIONS),
    (PEER, peering::OPERATIONS),
    (RAM, users::OPERATIONS),
    (RAM, access_keys::OPERATIONS),
    (RAM, access_policies::OPERATIONS),
    (STS, callers::OPERATIONS),
    (TRAIL, events::OPERATIONS),
    (CFW, nat_firewalls::OPERATIONS),
    (CFW, nat_firewall_checks::OPERATIONS),
    (CFW, firewall_assets::OPERATIONS),
    (CFW, firewall_license::OPERATIONS),
    (CFW, nat_policies::OPERATIONS),
    (CFW, border_policies::OPERATIONS),
    (CFW, dns_policies::OPERATIONS),
    (CFW, address_books::OPERATIONS),
    (CFW, firewall_settings::OPERATIONS),
    (CFW, policy_backups::OPERATIONS),
    (CFW, policy_checks::OPERATIONS),
    (CFW, firewall_places::OPERATIONS),
];

/// What answers an operation.
pub(crate) fn find(version: &str, action: &str) -> Option<Handler> {
    let groups = GROUPS.iter().filter(|(of, _)| *of == version);
    let mut operations = groups.flat_map(|(_, operations)| *operations);
    operations
        .find(|(name, _)| *name == action)
        .map(|(_, handler)| *handler)
}
