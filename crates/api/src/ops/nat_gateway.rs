//! NAT gateways.

use super::vpc::{in_region, region_of};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp, tag_key_list};
use crate::spec::{invalid, missing, shown};
use control::eip::Usage;
use control::nat_gateway::NewNatGateway;
use control::records::{Eip, NatGateway, NatSettings, System, Vpc};
use control::{Cloud, Draft};
use model::{Filtering, Mapping, OutOfState};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateNatGateway", C(create)),
    ("DescribeNatGateways", Q(describe)),
    ("GetNatGatewayAttribute", Q(get)),
    ("ModifyNatGatewayAttribute", C(modify)),
    ("UpdateNatGatewayNatType", C(update_type)),
    ("DeleteNatGateway", C(delete)),
    ("ListEnhanhcedNatGatewayAvailableZones", Q(zones)),
];

const BIND_MODES: [&str; 2] = ["MULTI_BINDED", "NAT"];

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let intranet = call.word("NetworkType", &["internet", "intranet"])? == Some("intranet");
    call.word("InternetChargeType", &["PayByLcu"])?;
    call.word("InstanceChargeType", &["PostPaid"])?;
    call.word("AvailabilityMode", &["SingleAZ"])?;
    let private_link = call.flag("PrivateLinkEnabled")? == Some(true);
    if private_link || call.text("AccessMode").is_some() || !access_mode_empty(call) {
        let why = "NAT gateways have no PrivateLink.";
        return Err(ApiError::bad("OperationUnsupported.PrivateLink", why));
    }
    if call.text("Ipv4Prefix").is_some() {
        let why = "NAT IPs are made one by one, not by prefixes.";
        return Err(ApiError::bad("OperationUnsupported.Ipv4Prefix", why));
    }
    let enhanced = match call.word("NatType", &["Enhanced", "Normal", "Standard"])? {
        None | Some("Enhanced") => true,
        Some(_) => false,
    };
    let vswitch = call.text("VSwitchId");
    if (enhanced || intranet) && vswitch.is_none() {
        return Err(missing("VSwitchId"));
    }
    if intranet && !enhanced {
        return Err(invalid("NatType", "A VPC NAT gateway is Enhanced."));
    }
    let address = call.address("NatIp")?;
    if address.is_some() && vswitch.is_none() {
        return Err(invalid(
            "NatIp",
            "An address is of a vSwitch: give VSwitchId.",
        ));
    }
    let mut meta = draft.meta(
        call.name("Name", 2)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    let vpc = draft.vpc(call.need("VpcId")?)?;
    meta.resource_group = vpc.meta.resource_group.clone();
    let new = NewNatGateway {
        meta,
        vpc: vpc.id.clone(),
        intranet,
        vswitch: vswitch.map(str::to_owned),
        address,
        enhanced,
        eip_bind_mode: call
            .word("EipBindMode", &BIND_MODES)?
            .unwrap_or(BIND_MODES[0])
            .into(),
        icmp_reply: call.flag("IcmpReplyEnabled")?.unwrap_or(true),
        nat: settings(call, NatSettings::default())?,
    };
    let gateway = draft.create_nat_gateway(new)?;
    Ok(json!({
        "NatGatewayId": gateway.id,
        "SnatTableIds": {"SnatTableId": [gateway.snat_table]},
        "ForwardTableIds": {"ForwardTableId": [gateway.forward_table]},
        "FullNatTableIds": {"FullNatTableId": [gateway.full_nat_table]},
    }))
}

fn access_mode_empty(call: &Call) -> bool {
    let parts = ["AccessMode.ModeValue", "AccessMode.TunnelType"];
    parts.iter().all(|it| call.text(it).is_none())
}

/// The settings that the cloud does not have, as the call wants them: what it does not name stays as it was.
fn settings(call: &Call, had: NatSettings) -> Result<NatSettings, ApiError> {
    let mut nat = had;
    let timeouts = &mut nat.timeouts;
    for (name, timeout) in [
        ("TcpEstablishedTimeout", &mut timeouts.tcp_established),
        ("TcpTransitoryTimeout", &mut timeouts.tcp_transitory),
        ("UdpTimeout", &mut timeouts.udp),
        ("IcmpTimeout", &mut timeouts.icmp),
        ("OtherTimeout", &mut timeouts.other),
    ] {
        if let Some(seconds) = call.int(name)? {
            // What is out of bounds is refused with the others.
            *timeout = Duration::from_secs(seconds.try_into().unwrap_or(0));
        }
    }
    let words = ["AddressAndPortDependent", "EndpointIndependent"];
    match call.word("Filtering", &words)? {
        Some("EndpointIndependent") => nat.filtering = Filtering::EndpointIndependent,
        Some(_) => nat.filtering = Filtering::AddressAndPortDependent,
        None => {}
    }
    match call.word("Mapping", &words)? {
        Some("EndpointIndependent") => nat.mapping = Mapping::EndpointIndependent,
        Some(_) => nat.mapping = Mapping::AddressAndPortDependent,
        None => {}
    }
    match call.word("TcpOutOfState", &["Reset", "Drop"])? {
        Some("Drop") => nat.tcp_out_of_state = OutOfState::Drop,
        Some(_) => nat.tcp_out_of_state = OutOfState::Reset,
        None => {}
    }
    if let Some(most) = call.int("MaxSessionsPerSource")? {
        let wrong = |_| {
            let why = format!("{most} is neither 0 (no limit) nor a number of sessions.");
            invalid("MaxSessionsPerSource", why)
        };
        let most: u32 = most.try_into().map_err(wrong)?;
        nat.max_sessions_per_source = (most > 0).then_some(most);
    }
    if let Some(drain) = super::snat::drain(call)? {
        nat.drain = drain;
    }
    if let Some(text) = call.text("SnatPorts") {
        let range = text.split_once('/');
        let range = range.and_then(|(a, b)| Some(a.parse().ok()?..=b.parse().ok()?));
        nat.snat_ports = range.ok_or_else(|| {
            let why = format!("{} is not a range such as 1024/65535.", shown(text));
            invalid("SnatPorts", why)
        })?;
    }
    Ok(nat)
}

/// The settings that the cloud does not have, as they are.
fn settings_view(nat: &NatSettings) -> Value {
    let (first, last) = (nat.snat_ports.start(), nat.snat_ports.end());
    json!({
        "TcpEstablishedTimeout": nat.timeouts.tcp_established.as_secs(),
        "TcpTransitoryTimeout": nat.timeouts.tcp_transitory.as_secs(),
        "UdpTimeout": nat.timeouts.udp.as_secs(),
        "IcmpTimeout": nat.timeouts.icmp.as_secs(),
        "OtherTimeout": nat.timeouts.other.as_secs(),
        "Mapping": match nat.mapping {
            Mapping::AddressAndPortDependent => "AddressAndPortDependent",
            Mapping::EndpointIndependent => "EndpointIndependent",
        },
        "Filtering": match nat.filtering {
            Filtering::AddressAndPortDependent => "AddressAndPortDependent",
            Filtering::EndpointIndependent => "EndpointIndependent",
        },
        "TcpOutOfState": match nat.tcp_out_of_state {
            OutOfState::Reset => "Reset",
            OutOfState::Drop => "Drop",
        },
        "MaxSessionsPerSource": nat.max_sessions_per_source.unwrap_or(0),
        "SnatPorts": format!("{first}/{last}"),
        "DrainSeconds": nat.drain.as_secs(),
    })
}

fn network_type(gateway: &NatGateway) -> &'static str {
    match gateway.intranet {
        true => "intranet",
        false => "internet",
    }
}

fn nat_type(gateway: &NatGateway) -> &'static str {
    if gateway.enhanced {
        "Enhanced"
    } else {
        "Normal"
    }
}

/// The zone of a gateway: that of its vSwitch.
fn zone(cloud: &Cloud, gateway: &NatGateway) -> String {
    let vswitch = gateway.vswitch.as_ref();
    let vswitch = vswitch.and_then(|it| cloud.vswitches.get(it));
    vswitch.map(|it| cloud.zone_of(it)).unwrap_or_default()
}

fn usage_name(usage: Usage) -> &'static str {
    match (usage.snat, usage.dnat) {
        (false, false) => "Idle",
        (true, false) => "UsedBySnatTable",
        (false, true) => "UsedByForwardTable",
        (true, true) => "UsedByForwardSnatTable",
    }
}

/// The EIPs of a gateway and what they are used for.
fn eips<'a>(cloud: &'a Cloud, gateway: &NatGateway) -> Vec<(&'a Eip, Usage)> {
    let usages = cloud.usages(&gateway.id);
    let eips = cloud.eips_of_gateway(&gateway.id);
    eips.map(|eip| (eip, usages.get(&eip.id).copied().unwrap_or_default()))
        .collect()
}

fn eip_view((eip, usage): (&Eip, Usage)) -> Value {
    json!({
        "AllocationId": eip.id,
        "IpAddress": eip.address,
        "UsingStatus": usage_name(usage),
    })
}

/// The fields that the list of gateways and the answer about one have in common.
fn common_view(call: &Call, gateway: &NatGateway, vpc: &Vpc) -> Value {
    json!({
        "NatGatewayId": gateway.id,
        "Name": gateway.meta.name,
        "Description": gateway.meta.description,
        "VpcId": gateway.vpc,
        "RegionId": region_of(call, vpc),
        "NatType": nat_type(gateway),
        "NetworkType": network_type(gateway),
        "Status": "Available",
        "BusinessStatus": "Normal",
        "CreationTime": stamp(gateway.meta.created),
        "AvailabilityMode": "SingleAZ",
        "EcsMetricEnabled": gateway.ecs_metric,
        "ResourceGroupId": gateway.meta.resource_group(),
    })
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let gateways = cloud.nat_gateways.iter().filter_map(|gateway| {
        let vpc = cloud.vpcs.get(&gateway.vpc)?;
        let word = |name, is: &str| {
            let wanted = call.text(name);
            wanted.is_none_or(|it| it.eq_ignore_ascii_case(is))
        };
        let fits = call.is_one("NatGatewayId", &gateway.id)
            && call.is("Name", &gateway.meta.name)
            && call.is("VpcId", &gateway.vpc)
            && call.is("ZoneId", &zone(cloud, gateway))
            && word("NatType", nat_type(gateway))
            && word("NetworkType", network_type(gateway))
            && word("Status", "Available")
            && word("InstanceChargeType", "PostPaid")
            && word("AvailabilityMode", "SingleAZ")
            && in_region(call, vpc)
            && call.matches(&gateway.meta);
        fits.then_some((gateway, vpc))
    });
    let (gateways, position) = call.page(gateways.collect(), 50)?;
    let system = cloud.system.get(System::ID);
    let sessions = system.map_or(model::System::default().max_sessions, |it| it.max_sessions);
    let gateways = gateways.into_iter().map(|(gateway, vpc)| {
        let eips = eips(cloud, gateway).into_iter().map(|(eip, usage)| {
            let free = !usage.whole && (gateway.enhanced || !usage.dnat);
            join(eip_view((eip, usage)), json!({"SnatEntryEnabled": free}))
        });
        let more = json!({
            "DeletionProtection": gateway.deletion_protection,
            "EipBindMode": bind_mode(gateway),
            "EnableSessionLog": "false",
            "IcmpReplyEnabled": gateway.icmp_reply,
            "InstanceChargeType": "PostPaid",
            "InternetChargeType": "PayByLcu",
            "IpLists": {"IpList": eips.collect::<Vec<_>>()},
            "NatGatewayPrivateInfo": {
                "EniInstanceId": gateway.eni,
                "IzNo": zone(cloud, gateway),
                "MaxSessionQuota": sessions,
                "PrivateIpAddress": private_address(gateway),
                "VswitchId": gateway.vswitch.as_deref().unwrap_or_default(),
            },
            "SnatTableIds": {"SnatTableId": [gateway.snat_table]},
            "ForwardTableIds": {"ForwardTableId": [gateway.forward_table]},
            "FullNatTableIds": {"FullNatTableId": full_nat(gateway)},
            "Tags": tag_key_list(&gateway.meta),
        });
        join(common_view(call, gateway, vpc), more)
    });
    let gateways: Vec<Value> = gateways.collect();
    Ok(join(
        position,
        json!({"NatGateways": {"NatGateway": gateways}}),
    ))
}

fn bind_mode(gateway: &NatGateway) -> &str {
    match &*gateway.eip_bind_mode {
        "" => BIND_MODES[0],
        mode => mode,
    }
}

fn private_address(gateway: &NatGateway) -> String {
    let address = gateway.private_address;
    address.map(|it| it.to_string()).unwrap_or_default()
}

fn full_nat(gateway: &NatGateway) -> Vec<&str> {
    let table = &*gateway.full_nat_table;
    (!table.is_empty()).then_some(table).into_iter().collect()
}

fn get(call: &Call, cloud: &Cloud) -> Answer {
    let gateway = cloud.nat_gateway(call.need("NatGatewayId")?)?;
    let more = json!({
        "BillingConfig": {
            "AutoPay": "false",
            "InstanceChargeType": "PostPaid",
            "InternetChargeType": "PayByLcu",
        },
        "DeletionProtectionInfo": {"Enabled": gateway.deletion_protection},
        "IpList": eips(cloud, gateway).into_iter().map(eip_view).collect::<Vec<_>>(),
        "PrivateInfo": {
            "EniInstanceId": gateway.eni,
            "IzNo": zone(cloud, gateway),
            "PrivateIpAddress": private_address(gateway),
            "VswitchId": gateway.vswitch.as_deref().unwrap_or_default(),
        },
        "SnatTable": {
            "SnatTableId": gateway.snat_table,
            "SnatEntryCount": cloud.snat_of_gateway(&gateway.id).count(),
        },
        "ForwardTable": {
            "ForwardTableId": gateway.forward_table,
            "ForwardEntryCount": cloud.dnat_of_gateway(&gateway.id).count(),
        },
        "FullNatTable": {"FullNatTableId": gateway.full_nat_table, "FullNatEntryCount": 0},
    });
    let common = common_view(call, gateway, cloud.vpc(&gateway.vpc)?);
    Ok(join(join(common, more), settings_view(&gateway.nat)))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("NatGatewayId")?;
    let had = draft.nat_gateway(id)?.nat.clone();
    if call.flag("EnableSessionLog")? == Some(true) {
        let why = "Session logs are not supported yet.";
        return Err(ApiError::bad("OperationUnsupported.SessionLog", why));
    }
    if let Some(mode) = call.word("EipBindMode", &BIND_MODES)? {
        draft.set_eip_bind_mode(id, mode)?;
    }
    draft.set_nat_settings(id, settings(call, had)?)?;
    let name = call.name("Name", 1)?;
    let description = call.description("Description")?;
    let icmp_reply = call.flag("IcmpReplyEnabled")?;
    if let Some(gateway) = draft.nat_gateways.get_mut(id) {
        gateway.meta.name = name.unwrap_or_else(|| gateway.meta.name.clone());
        gateway.meta.description = description.unwrap_or_else(|| gateway.meta.description.clone());
        gateway.icmp_reply = icmp_reply.unwrap_or(gateway.icmp_reply);
    }
    Ok(json!({}))
}

fn update_type(call: &Call, draft: &mut Draft) -> Answer {
    call.word("NatType", &["Enhanced"])?;
    draft.enhance_nat_gateway(call.need("NatGatewayId")?, call.need("VSwitchId")?)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    let force = call.flag("Force")? == Some(true);
    draft.delete_nat_gateway(call.need("NatGatewayId")?, force)?;
    Ok(json!({}))
}

/// Gateways can be in every zone.
fn zones(call: &Call, cloud: &Cloud) -> Answer {
    let zones = cloud.zones(call.region).into_iter();
    let zones = zones.map(|zone| json!({"ZoneId": zone, "LocalName": zone}));
    Ok(json!({"Zones": zones.collect::<Vec<_>>()}))
}
