//! What hangs on instances: EIPs, routes, DNAT entries.

use crate::common::ecs::Net;
use crate::common::{refused, text};
use control::records::NextHop;
use serde_json::json;

#[test]
fn an_eip_survives_its_instance() {
    let net = Net::new();
    let id = net.run(&[]);
    let eip = net.world.vpc("AllocateEipAddress", &[]).unwrap();
    let (eip, address) = (text(&eip, "/AllocationId"), text(&eip, "/EipAddress"));
    net.world
        .vpc(
            "AssociateEipAddress",
            &[("AllocationId", &eip), ("InstanceId", &id)],
        )
        .unwrap();
    let list = json!([address]).to_string();
    let shown = net
        .world
        .ecs("DescribeInstances", &[("EipAddresses", &list)])
        .unwrap();
    let shown = &shown["Instances"]["Instance"][0]["EipAddress"];
    assert_eq!(shown["AllocationId"], *eip);
    assert_eq!(shown["IpAddress"], *address);
    let bound = |net: &Net| net.world.control.config().eips[0].binding.clone();
    assert_eq!(bound(&net), Some(model::EipBinding::Eni(id.clone())));
    // It stays bound to one that is stopped, but leads nowhere.
    net.world
        .ecs("StopInstance", &[("InstanceId", &id)])
        .unwrap();
    assert_eq!(bound(&net), None);
    assert!(
        net.world
            .control
            .cloud()
            .eips
            .get(&eip)
            .unwrap()
            .binding
            .is_some()
    );
    net.world
        .ecs("StartInstance", &[("InstanceId", &id)])
        .unwrap();
    assert_eq!(bound(&net), Some(model::EipBinding::Eni(id.clone())));
    net.world
        .ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")])
        .unwrap();
    assert_eq!(
        net.world.control.cloud().eips.get(&eip).unwrap().binding,
        None
    );
}

#[test]
fn routes_lead_to_instances_that_run() {
    let net = Net::new();
    let id = net.run(&[]);
    let table = net
        .world
        .control
        .cloud()
        .system_table(&net.vpc)
        .unwrap()
        .id
        .clone();
    let params = [
        ("RouteTableId", &*table),
        ("DestinationCidrBlock", "10.9.0.0/16"),
        ("NextHopId", &*id),
    ];
    let entry = text(
        &net.world.vpc("CreateRouteEntry", &params).unwrap(),
        "/RouteEntryId",
    );
    let hop = |net: &Net| {
        let config = net.world.control.config();
        config.route_tables[0].routes[0].next_hop.clone()
    };
    assert_eq!(hop(&net), model::NextHop::Eni(id.clone()));
    net.world
        .ecs("StopInstance", &[("InstanceId", &id)])
        .unwrap();
    assert_eq!(hop(&net), model::NextHop::Blackhole);
    let cloud = net.world.control.cloud();
    assert_eq!(
        cloud.routes.get(&entry).unwrap().next_hop,
        NextHop::Instance(id.clone())
    );
    let delete = [("InstanceId", &*id)];
    assert_eq!(
        refused(net.world.ecs("DeleteInstance", &delete)),
        "DependencyViolation.RouteEntry"
    );
    net.world
        .vpc("DeleteRouteEntry", &[("RouteEntryId", &entry)])
        .unwrap();
    net.world.ecs("DeleteInstance", &delete).unwrap();
}

#[test]
fn what_leads_to_a_stopped_instance_stays() {
    let net = Net::new();
    let id = net.run(&[("PrivateIpAddress", "192.168.1.10")]);
    let params = [("VpcId", &*net.vpc), ("VSwitchId", &*net.vswitch)];
    let gateway = net.world.vpc("CreateNatGateway", &params).unwrap();
    let eip = net.world.vpc("AllocateEipAddress", &[]).unwrap();
    let associate = [
        ("AllocationId", text(&eip, "/AllocationId")),
        ("InstanceId", text(&gateway, "/NatGatewayId")),
        ("InstanceType", "Nat".into()),
    ];
    let associate = associate.each_ref().map(|(name, value)| (*name, &**value));
    net.world.vpc("AssociateEipAddress", &associate).unwrap();
    let table = text(&gateway, "/ForwardTableIds/ForwardTableId/0");
    let entry = [
        ("ForwardTableId", &*table),
        ("ExternalIp", &text(&eip, "/EipAddress")),
        ("ExternalPort", "80"),
        ("IpProtocol", "tcp"),
        ("InternalIp", "192.168.1.10"),
        ("InternalPort", "8080"),
    ];
    net.world.vpc("CreateForwardEntry", &entry).unwrap();
    net.world
        .ecs("StopInstance", &[("InstanceId", &id)])
        .unwrap();
    let config = net.world.control.config();
    assert!(config.enis.is_empty());
    assert_eq!(config.nat_gateways[0].dnat.len(), 1);
    // Its address and its place are its own.
    let again = [("PrivateIpAddress", "192.168.1.10")];
    let again = net.world.ecs("RunInstances", &net.params(&again));
    assert_eq!(refused(again), "InvalidPrivateIpAddress.Duplicated");
    let vswitch = net
        .world
        .vpc("DeleteVSwitch", &[("VSwitchId", &net.vswitch)]);
    assert_eq!(refused(vswitch), "DependencyViolation.NetworkInterface");
    net.world
        .ecs("DeleteInstance", &[("InstanceId", &id)])
        .unwrap();
    assert_eq!(net.world.control.config().nat_gateways[0].dnat.len(), 1);
}
