//! What may be set of a NAT gateway, through the API.

use super::{attributes, create, on, shown};
use crate::common::{World, refused, text};
use crate::nat::*;
use serde_json::json;
use std::time::Duration;

#[test]
fn settings_that_the_cloud_does_not_have() {
    let world = World::new();
    let (vpc, vswitch) = network(&world);
    let of = ("VSwitchId", &*vswitch);
    let params = [
        of,
        ("TcpEstablishedTimeout", "7200"),
        ("UdpTimeout", "120"),
        ("Filtering", "endpointindependent"),
        ("Mapping", "AddressAndPortDependent"),
        ("MaxSessionsPerSource", "1000"),
        ("SnatPorts", "2000/3000"),
    ];
    let made = create(&world, &vpc, &params).unwrap();
    let id = text(&made, "/NatGatewayId");
    let told = || world.control.config().nat_gateways[0].clone();
    let gateway = told();
    assert_eq!(gateway.timeouts.tcp_established, Duration::from_secs(7200));
    assert_eq!(gateway.timeouts.udp, Duration::from_secs(120));
    assert_eq!(
        gateway.timeouts.icmp,
        Duration::from_secs(30),
        "the default"
    );
    assert_eq!(gateway.filtering, model::Filtering::EndpointIndependent);
    assert_eq!(gateway.mapping, model::Mapping::AddressAndPortDependent);
    assert_eq!(gateway.max_sessions_per_source, Some(1000));
    assert_eq!(gateway.snat_ports, 2000..=3000);

    let modify = |params: &[(&str, &str)]| on(&world, "ModifyNatGatewayAttribute", &id, params);
    let params = [
        ("TcpTransitoryTimeout", "10"),
        ("IcmpTimeout", "5"),
        ("OtherTimeout", "15"),
        ("Filtering", "AddressAndPortDependent"),
        ("MaxSessionsPerSource", "0"),
        ("TcpOutOfState", "Drop"),
    ];
    modify(&params).unwrap();
    let gateway = told();
    assert_eq!(gateway.timeouts.tcp_transitory, Duration::from_secs(10));
    assert_eq!(gateway.timeouts.other, Duration::from_secs(15));
    assert_eq!(gateway.timeouts.udp, Duration::from_secs(120), "as it was");
    assert_eq!(gateway.filtering, model::Filtering::AddressAndPortDependent);
    assert_eq!(gateway.max_sessions_per_source, None);
    assert_eq!(gateway.snat_ports, 2000..=3000, "as they were");
    assert_eq!(gateway.tcp_out_of_state, model::OutOfState::Drop);
    let one = attributes(&world, &id);
    for (field, value) in [
        ("TcpEstablishedTimeout", json!(7200)),
        ("TcpTransitoryTimeout", json!(10)),
        ("UdpTimeout", json!(120)),
        ("IcmpTimeout", json!(5)),
        ("OtherTimeout", json!(15)),
        ("Filtering", json!("AddressAndPortDependent")),
        ("Mapping", json!("AddressAndPortDependent")),
        ("MaxSessionsPerSource", json!(0)),
        ("SnatPorts", json!("2000/3000")),
        ("TcpOutOfState", json!("Drop")),
    ] {
        assert_eq!(one[field], value, "{field}");
    }

    for wrong in [
        ("UdpTimeout", "0"),
        ("UdpTimeout", "-1"),
        ("UdpTimeout", "604801"),
        ("UdpTimeout", "soon"),
        ("Filtering", "Strict"),
        ("Mapping", "Symmetric"),
        ("MaxSessionsPerSource", "-1"),
        ("MaxSessionsPerSource", "4294967296"),
        ("SnatPorts", "0/100"),
        ("SnatPorts", "200/100"),
        ("SnatPorts", "1024"),
        ("SnatPorts", "1024/65536"),
        ("TcpOutOfState", "Ignore"),
    ] {
        assert_eq!(refused(modify(&[wrong])), "InvalidParameter", "{wrong:?}");
        let refusal = refused(create(&world, &vpc, &[of, wrong]));
        assert_eq!(refusal, "InvalidParameter", "{wrong:?}");
    }
    assert_eq!(told(), gateway);
}

#[test]
fn the_bind_mode_changes_one_way_and_there_is_no_session_log() {
    let world = World::new();
    let site = site(&world);
    let modify =
        |params: &[(&str, &str)]| on(&world, "ModifyNatGatewayAttribute", &site.gateway, params);
    modify(&[("EipBindMode", "MULTI_BINDED")]).unwrap();
    modify(&[("EipBindMode", "NAT")]).unwrap();
    assert_eq!(shown(&world, &site.gateway)["EipBindMode"], "NAT");
    assert_eq!(
        refused(modify(&[("EipBindMode", "MULTI_BINDED")])),
        "OperationUnsupported.EipBindMode"
    );
    assert_eq!(
        refused(modify(&[("EnableSessionLog", "true")])),
        "OperationUnsupported.SessionLog"
    );
    modify(&[("EnableSessionLog", "false")]).unwrap();
}

#[test]
fn a_standard_gateway_becomes_an_enhanced_one() {
    let world = World::new();
    let (vpc, vswitch) = network(&world);
    let (_, elsewhere) = network(&world);
    let made = create(&world, &vpc, &[("NatType", "Standard")]).unwrap();
    let id = text(&made, "/NatGatewayId");
    let one = shown(&world, &id);
    assert_eq!(one["NatType"], "Normal");
    assert_eq!(one["NatGatewayPrivateInfo"]["PrivateIpAddress"], "");
    let update = |kind, vswitch| {
        let params = [("NatType", kind), ("VSwitchId", vswitch)];
        on(&world, "UpdateNatGatewayNatType", &id, &params)
    };
    assert_eq!(refused(update("Normal", &vswitch)), "InvalidParameter");
    assert_eq!(
        refused(update("Enhanced", &elsewhere)),
        "OperationFailed.VswNotBelongToVpc"
    );
    update("Enhanced", &vswitch).unwrap();
    let one = shown(&world, &id);
    assert_eq!(one["NatType"], "Enhanced");
    assert_eq!(
        one["NatGatewayPrivateInfo"]["PrivateIpAddress"],
        "192.168.1.1"
    );
    assert_eq!(
        refused(update("Enhanced", &vswitch)),
        "OperationUnsupported.NatType"
    );
}
