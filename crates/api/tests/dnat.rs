//! DNAT entries, through the API.

mod common;
mod nat;

use common::World;
use nat::*;

#[test]
fn one_gateway_with_an_entry_each_way() {
    let world = World::new();
    let site = site(&world);
    let (eip, address) = bound_eip(&world, &site.gateway);
    let out = snat(&world, &site, "192.168.0.0/16", &address);
    let entry = (&*address, "80", "tcp", "192.168.1.10", "8080");
    let entry = dnat(&world, &site, entry);
    let config = world.control.config();
    let gateway = &config.nat_gateways[0];
    assert_eq!(gateway.snat[0].id, out);
    assert_eq!(gateway.snat[0].eips, std::slice::from_ref(&eip));
    assert_eq!(gateway.dnat[0].id, entry);
    assert_eq!(gateway.dnat[0].eip, eip);
}
