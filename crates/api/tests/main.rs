//! The cloud API, by its calls and by its bytes. One binary, since linking each file by itself takes longer than
//! running it; what starts programs has one of its own (`processes`), since a program that is just being started
//! holds the files that are open here, and their locks.

mod common;
mod nat;
mod support;
mod tables;

mod access;
mod address_books;
mod audit;
mod dnat;
mod drain;
mod ecs;
mod eips;
mod enis;
mod errors;
mod firewall_assets;
mod firewall_conditions;
mod firewall_license;
mod firewall_operations;
mod firewall_sequences;
mod firewall_threats;
mod hostile;
mod instance_networks;
mod instances;
mod many_policies;
mod nat_firewalls;
mod nat_gateways;
mod packages;
mod peerings;
mod policies;
mod policy_times;
mod quotas;
mod routes;
mod security_groups;
mod security_rules;
mod sequences;
mod server;
mod signatures;
mod snat;
mod terraform;
mod trace;
mod usage;
mod vectors;
mod vpc;
mod vpc_nat;
