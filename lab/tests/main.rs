//! The end-to-end tests, as root. Each has a lab of its own; they run side by side.

mod access;
mod api;
mod apply;
mod bandwidth;
mod bulk;
mod cli;
mod demo;
mod devices;
mod fragments;
mod ftp;
mod harness;
mod hitless;
mod icmp;
mod intranet;
mod life;
mod mtu;
mod nat;
mod packets;
mod pools;
mod sdk;
mod security;
mod stun;
mod trace;
mod usage;
mod vpc;
mod web;
