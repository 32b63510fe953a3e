//! Random sequences of calls about what joins private networks: VPC NAT gateways with their NAT IPs and blocks, peer
//! connections and routes to them, further interfaces with their addresses, bandwidth packages.
//!
//! There is no model of what each call should do; after each step, whatever went wrong in it, the whole is consistent: a
//! refused call has changed nothing, no record names one that is not there, nothing is used twice, the data path knows
//! what the records say, and a file of it makes the same of an empty gateway.

use super::world::{Fault, World, faults};
use control::Cloud;
use control::records::{EipBinding, NextHop, SnatSource};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::Ipv4Addr;

const VPC: &str = "2016-04-28";
const ECS: &str = "2014-05-26";
const PEER: &str = "2022-01-01";

/// What a call is made of: each parameter with what it is picked from.
type Shape = (&'static str, &'static str, &'static [(&'static str, Pick)]);

/// What a parameter is picked from.
#[derive(Clone, Copy)]
enum Pick {
    Vpc,
    VSwitch,
    Table,
    Instance,
    Group,
    Eni,
    Eip,
    Package,
    Gateway,
    SnatTable,
    ForwardTable,
    Snat,
    Dnat,
    NatIp,
    /// A block that NAT IPs are taken from.
    Block,
    /// An address of a NAT IP or an EIP.
    Outside,
    /// An address of an interface.
    Inside,
    Peering,
    /// One of these texts; an empty one: it is left out.
    Of(&'static [&'static str]),
}

use Pick::*;

const YES_NO: Pick = Of(&["true", "false"]);
const BLOCKS: &[&str] = &[
    "10.200.0.0/24",
    "10.200.0.0/20",
    "10.201.0.0/24",
    "8.8.8.0/24",
];
const DESTINATIONS: &[&str] = &["172.16.0.0/16", "192.168.0.0/16", "10.200.0.0/24"];

const SHAPES: &[Shape] = &[
    (
        VPC,
        "CreateNatGateway",
        &[
            ("VpcId", Vpc),
            ("VSwitchId", VSwitch),
            ("NatType", Of(&["Enhanced"])),
            ("NetworkType", Of(&["intranet", "intranet", "internet"])),
        ],
    ),
    (
        VPC,
        "DeleteNatGateway",
        &[("NatGatewayId", Gateway), ("Force", YES_NO)],
    ),
    (
        VPC,
        "ModifyNatGatewayAttribute",
        &[
            ("NatGatewayId", Gateway),
            ("Name", Of(&["first", "", "one: two"])),
            ("UdpTimeout", Of(&["20", "", "0"])),
        ],
    ),
    (
        VPC,
        "CreateNatIpCidr",
        &[("NatGatewayId", Gateway), ("NatIpCidr", Of(BLOCKS))],
    ),
    (
        VPC,
        "DeleteNatIpCidr",
        &[("NatGatewayId", Gateway), ("NatIpCidr", Of(BLOCKS))],
    ),
    (
        VPC,
        "CreateNatIp",
        &[
            ("NatGatewayId", Gateway),
            ("NatIpCidr", Block),
            ("NatIp", Of(&["", "", "192.168.1.30", "10.200.0.9"])),
        ],
    ),
    (VPC, "DeleteNatIp", &[("NatIpId", NatIp)]),
    (
        VPC,
        "CreateSnatEntry",
        &[
            ("SnatTableId", SnatTable),
            ("SourceVSwitchId", VSwitch),
            ("SnatIp", Outside),
        ],
    ),
    (
        VPC,
        "ModifySnatEntry",
        &[
            ("SnatTableId", SnatTable),
            ("SnatEntryId", Snat),
            ("SnatIp", Outside),
        ],
    ),
    (
        VPC,
        "DeleteSnatEntry",
        &[("SnatTableId", SnatTable), ("SnatEntryId", Snat)],
    ),
    (
        VPC,
        "CreateForwardEntry",
        &[
            ("ForwardTableId", ForwardTable),
            ("ExternalIp", Outside),
            ("InternalIp", Inside),
            ("IpProtocol", Of(&["tcp", "udp"])),
            ("ExternalPort", Of(&["80", "81"])),
            ("InternalPort", Of(&["80", "8080"])),
        ],
    ),
    (
        VPC,
        "DeleteForwardEntry",
        &[("ForwardTableId", ForwardTable), ("ForwardEntryId", Dnat)],
    ),
    (
        VPC,
        "CreateRouteEntry",
        &[
            ("RouteTableId", Table),
            ("DestinationCidrBlock", Of(DESTINATIONS)),
            ("NextHopId", Peering),
            ("NextHopType", Of(&["VpcPeer"])),
        ],
    ),
    (
        VPC,
        "CreateRouteEntry",
        &[
            ("RouteTableId", Table),
            ("DestinationCidrBlock", Of(DESTINATIONS)),
            ("NextHopId", Gateway),
            ("NextHopType", Of(&["NatGateway"])),
        ],
    ),
    (
        VPC,
        "DeleteRouteEntry",
        &[
            ("RouteTableId", Table),
            ("DestinationCidrBlock", Of(DESTINATIONS)),
            ("NextHopId", Peering),
        ],
    ),
    (
        PEER,
        "CreateVpcPeerConnection",
        &[
            ("VpcId", Vpc),
            ("AcceptingVpcId", Vpc),
            ("AcceptingRegionId", Of(&["cn-hangzhou"])),
            ("AcceptingAliUid", Of(&["1"])),
            ("AutoAccept", YES_NO),
        ],
    ),
    (PEER, "AcceptVpcPeerConnection", &[("InstanceId", Peering)]),
    (PEER, "RejectVpcPeerConnection", &[("InstanceId", Peering)]),
    (
        PEER,
        "DeleteVpcPeerConnection",
        &[("InstanceId", Peering), ("Force", YES_NO)],
    ),
    (
        ECS,
        "CreateNetworkInterface",
        &[
            ("VSwitchId", VSwitch),
            ("SecurityGroupId", Group),
            ("PrimaryIpAddress", Of(&["", "192.168.1.30", "172.16.1.30"])),
            ("SecondaryPrivateIpAddressCount", Of(&["", "2"])),
        ],
    ),
    (
        ECS,
        "AttachNetworkInterface",
        &[("NetworkInterfaceId", Eni), ("InstanceId", Instance)],
    ),
    (
        ECS,
        "DetachNetworkInterface",
        &[("NetworkInterfaceId", Eni), ("InstanceId", Instance)],
    ),
    (
        ECS,
        "AssignPrivateIpAddresses",
        &[
            ("NetworkInterfaceId", Eni),
            ("SecondaryPrivateIpAddressCount", Of(&["1", "3"])),
        ],
    ),
    (
        ECS,
        "DeleteNetworkInterface",
        &[("NetworkInterfaceId", Eni)],
    ),
    (ECS, "StopInstance", &[("InstanceId", Instance)]),
    (ECS, "StartInstance", &[("InstanceId", Instance)]),
    (VPC, "AllocateEipAddress", &[("Bandwidth", Of(&["5", ""]))]),
    (
        VPC,
        "AssociateEipAddress",
        &[
            ("AllocationId", Eip),
            ("InstanceId", Gateway),
            ("InstanceType", Of(&["Nat"])),
        ],
    ),
    (
        VPC,
        "AssociateEipAddress",
        &[
            ("AllocationId", Eip),
            ("InstanceId", Eni),
            ("InstanceType", Of(&["NetworkInterface"])),
        ],
    ),
    (
        VPC,
        "UnassociateEipAddress",
        &[("AllocationId", Eip), ("Force", YES_NO)],
    ),
    (VPC, "ReleaseEipAddress", &[("AllocationId", Eip)]),
    (
        VPC,
        "CreateCommonBandwidthPackage",
        &[("Bandwidth", Of(&["10", "20"]))],
    ),
    (
        VPC,
        "AddCommonBandwidthPackageIp",
        &[("BandwidthPackageId", Package), ("IpInstanceId", Eip)],
    ),
    (
        VPC,
        "RemoveCommonBandwidthPackageIp",
        &[("BandwidthPackageId", Package), ("IpInstanceId", Eip)],
    ),
    (
        VPC,
        "ModifyCommonBandwidthPackageIpBandwidth",
        &[
            ("BandwidthPackageId", Package),
            ("EipId", Eip),
            ("Bandwidth", Of(&["5", "15"])),
        ],
    ),
    (
        VPC,
        "CancelCommonBandwidthPackageIpBandwidth",
        &[("BandwidthPackageId", Package), ("EipId", Eip)],
    ),
    (
        VPC,
        "ModifyCommonBandwidthPackageSpec",
        &[
            ("BandwidthPackageId", Package),
            ("Bandwidth", Of(&["10", "20"])),
        ],
    ),
    (
        VPC,
        "DeleteCommonBandwidthPackage",
        &[("BandwidthPackageId", Package), ("Force", YES_NO)],
    ),
];

/// The texts that a parameter may have.
fn texts(cloud: &Cloud, pick: Pick) -> Vec<String> {
    macro_rules! ids {
        ($table:ident) => {
            cloud.$table.iter().map(|it| it.id.clone()).collect()
        };
    }
    match pick {
        Vpc => ids!(vpcs),
        VSwitch => ids!(vswitches),
        Table => ids!(route_tables),
        Instance => ids!(instances),
        Group => ids!(security_groups),
        Eni => ids!(enis),
        Eip => ids!(eips),
        Package => ids!(packages),
        Gateway => ids!(nat_gateways),
        SnatTable => cloud
            .nat_gateways
            .iter()
            .map(|it| it.snat_table.clone())
            .collect(),
        ForwardTable => {
            let gateways = cloud.nat_gateways.iter();
            gateways.map(|it| it.forward_table.clone()).collect()
        }
        Snat => ids!(snat),
        Dnat => ids!(dnat),
        NatIp => ids!(nat_ips),
        Block => cloud
            .nat_ip_cidrs
            .iter()
            .map(|it| it.cidr.to_string())
            .collect(),
        Outside => {
            let nat_ips = cloud.nat_ips.iter().map(|it| it.address);
            let eips = cloud.eips.iter().map(|it| it.address);
            nat_ips.chain(eips).map(|it| it.to_string()).collect()
        }
        Inside => cloud.enis.iter().map(|it| it.address.to_string()).collect(),
        Peering => ids!(peerings),
        Of(texts) => texts.iter().map(|&it| it.to_owned()).collect(),
    }
}

/// The call that the numbers pick of what is there.
fn call(cloud: &Cloud, shape: &Shape, picks: &[u16]) -> Vec<(String, String)> {
    let (.., params) = shape;
    let region = ("RegionId".to_owned(), "cn-hangzhou".to_owned());
    let params = params.iter().zip(picks).filter_map(|(&(name, pick), &n)| {
        let texts = texts(cloud, pick);
        let text = match texts.is_empty() {
            true => "nobody-1".to_owned(),
            false => texts[usize::from(n) % texts.len()].clone(),
        };
        (!text.is_empty()).then(|| (name.to_owned(), text))
    });
    std::iter::once(region).chain(params).collect()
}

/// No record names one that is not there, and nothing is used twice.
fn whole(cloud: &Cloud) {
    let mut used: HashSet<(String, Ipv4Addr)> = HashSet::new();
    let mut once = |vpc: &str, address: Ipv4Addr, whose: &str| {
        let free = used.insert((vpc.to_owned(), address));
        assert!(free, "{address} of {whose} is used twice in {vpc}");
    };
    for it in cloud.enis.iter() {
        let vswitch = cloud
            .vswitches
            .get(&it.vswitch)
            .expect("an interface's vSwitch");
        for &address in std::iter::once(&it.address).chain(&it.secondary) {
            assert!(vswitch.cidr.contains(&address));
            once(&vswitch.vpc, address, &it.id);
        }
        if let Some(instance) = &it.instance {
            assert!(cloud.instances.contains(instance));
        }
        for group in &it.security_groups {
            let group = cloud
                .security_groups
                .get(group)
                .expect("an interface's group");
            assert_eq!(group.vpc, vswitch.vpc);
        }
    }
    for it in cloud.nat_ips.iter() {
        let gateway = cloud
            .nat_gateways
            .get(&it.gateway)
            .expect("a NAT IP's gateway");
        assert!(gateway.intranet);
        once(&gateway.vpc, it.address, &it.id);
        let mut blocks = cloud
            .nat_ip_cidrs
            .iter()
            .filter(|block| block.gateway == it.gateway);
        assert!(
            blocks.any(|block| block.cidr.contains(&it.address)),
            "{it:?}"
        );
    }
    for it in cloud.nat_gateways.iter() {
        assert!(cloud.vpcs.contains(&it.vpc));
        let vswitch = it.vswitch.as_ref().and_then(|id| cloud.vswitches.get(id));
        assert_eq!(vswitch.map(|it| &it.vpc), Some(&it.vpc));
        let mut own = cloud
            .nat_ips
            .iter()
            .filter(|nat_ip| nat_ip.gateway == it.id && nat_ip.default);
        assert_eq!(
            own.next().map(|own| own.address),
            it.private_address.filter(|_| it.intranet)
        );
        match (it.intranet, it.private_address) {
            (false, Some(address)) => once(&it.vpc, address, &it.id),
            (_, address) => assert!(address.is_some()),
        }
    }
    for it in cloud.nat_ip_cidrs.iter() {
        assert!(
            cloud
                .nat_gateways
                .get(&it.gateway)
                .is_some_and(|it| it.intranet)
        );
    }
    // An entry has addresses of its gateway.
    let belongs = |gateway: &str, id: &str| {
        let bound = EipBinding::NatGateway(gateway.to_owned());
        let eip = cloud
            .eips
            .get(id)
            .is_some_and(|it| it.binding.as_ref() == Some(&bound));
        let nat_ip = cloud
            .nat_ips
            .get(id)
            .is_some_and(|it| it.gateway == gateway);
        assert!(eip || nat_ip, "{id} is none of {gateway}");
    };
    let mut sources = BTreeSet::new();
    for it in cloud.snat.iter() {
        it.eips.iter().for_each(|id| belongs(&it.gateway, id));
        if let SnatSource::VSwitch(id) = &it.source {
            assert!(cloud.vswitches.contains(id));
        }
        let source = (it.gateway.clone(), format!("{:?}", it.source));
        assert!(sources.insert(source), "{:?} twice", it.source);
    }
    let mut ports = BTreeSet::new();
    for it in cloud.dnat.iter() {
        belongs(&it.gateway, &it.eip);
        if let model::DnatMapping::Ports {
            protocol, external, ..
        } = &it.mapping
        {
            assert!(
                ports.insert((it.eip.clone(), *protocol, *external.start())),
                "{it:?}"
            );
        }
    }
    for it in cloud.routes.iter() {
        assert!(cloud.route_tables.contains(&it.table));
        match &it.next_hop {
            NextHop::Instance(id) => assert!(cloud.instances.contains(id)),
            NextHop::Eni(id) => assert!(cloud.enis.contains(id)),
            NextHop::NatGateway(id) => assert!(cloud.nat_gateways.contains(id)),
            NextHop::Peering(id) => assert!(cloud.peerings.contains(id)),
            NextHop::Blackhole => {}
        }
    }
    let mut pairs = BTreeSet::new();
    for it in cloud.peerings.iter() {
        let mut pair = [&it.vpc, &it.accepting_vpc];
        pair.sort();
        assert!(pair.iter().all(|vpc| cloud.vpcs.contains(vpc)) && pair[0] != pair[1]);
        assert!(
            it.rejected || pairs.insert(pair),
            "two peerings of {pair:?}"
        );
    }
    let mut bound = BTreeSet::new();
    for it in cloud.eips.iter() {
        if let Some(limit) = it.package_bandwidth {
            let package = it.package.as_ref().and_then(|id| cloud.packages.get(id));
            assert!(package.is_some_and(|it| limit <= it.bandwidth), "{it:?}");
        }
        let (is_there, alone) = match &it.binding {
            None => continue,
            Some(EipBinding::Instance(id)) => (cloud.instances.contains(id), Some(id)),
            Some(EipBinding::Eni(id)) => (cloud.enis.contains(id), Some(id)),
            Some(EipBinding::NatGateway(id)) => {
                let gateway = cloud.nat_gateways.get(id);
                (gateway.is_some_and(|it| !it.intranet), None)
            }
        };
        assert!(is_there, "{it:?}");
        assert!(alone.is_none_or(|id| bound.insert(id)), "{it:?}");
        assert!(
            it.package
                .as_ref()
                .is_none_or(|id| cloud.packages.contains(id))
        );
    }
}

/// Two VPCs with two vSwitches, a table, a group, an instance and a VPC NAT gateway each.
fn begin(world: &World) {
    let ask = |version: &str, action: &str, params: &[(&str, &str)]| {
        let params = [("RegionId", "cn-hangzhou")].iter().chain(params);
        let params: Vec<_> = params.map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
        let answer = world.call((version, action), &params, Fault::None);
        answer.unwrap_or_else(|error| panic!("{action}: {error}"))
    };
    for block in ["192.168", "172.16"] {
        let cidr = |rest: &str| format!("{block}.{rest}");
        let vpc = ask(VPC, "CreateVpc", &[("CidrBlock", &cidr("0.0/16"))]);
        let vpc = vpc["VpcId"].as_str().unwrap();
        let vswitches = ["1.0/24", "2.0/24"].map(|rest| {
            let params = [
                ("VpcId", vpc),
                ("CidrBlock", &cidr(rest)),
                ("ZoneId", "cn-hangzhou-h"),
            ];
            ask(VPC, "CreateVSwitch", &params)["VSwitchId"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        let table = ask(VPC, "CreateRouteTable", &[("VpcId", vpc)]);
        let table = table["RouteTableId"].as_str().unwrap();
        let params = [("RouteTableId", table), ("VSwitchId", &*vswitches[1])];
        ask(VPC, "AssociateRouteTable", &params);
        let group = ask(ECS, "CreateSecurityGroup", &[("VpcId", vpc)]);
        let params = [
            ("ImageId", "image-1"),
            ("InstanceType", "ecs.g6.large"),
            ("VSwitchId", &*vswitches[0]),
            (
                "SecurityGroupId",
                group["SecurityGroupId"].as_str().unwrap(),
            ),
        ];
        ask(ECS, "RunInstances", &params);
        let params = [
            ("VpcId", vpc),
            ("VSwitchId", &*vswitches[1]),
            ("NatType", "Enhanced"),
            ("NetworkType", "intranet"),
        ];
        ask(VPC, "CreateNatGateway", &params);
    }
}

/// Takes a step; whether the call was answered.
fn step(world: &mut World, shape: &Shape, picks: &[u16], fault: Fault) -> bool {
    let before = world.running().control.cloud();
    let (version, action, _) = *shape;
    let params = call(&before, shape, picks);
    let answer = world.call((version, action), &params, fault);
    let told = format!("{action} {params:?} with {fault:?}: {answer:?}");
    if let (Err(error), Fault::None) = (&answer, fault) {
        assert!(error.status < 500 && !error.message.is_empty(), "{told}");
    }
    if matches!(fault, Fault::CrashBefore | Fault::CrashAfter) {
        world.start();
    }
    let after = world.seen();
    whole(&after);
    // Whoever was not told of a crash may not count on either.
    if (answer.is_err() && fault != Fault::CrashAfter) || fault == Fault::CrashBefore {
        assert_eq!(*after, *before, "{told}");
    }
    answer.is_ok()
}

#[test]
fn private_networks_stay_consistent() {
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    // How often a call of each shape was answered, and refused.
    let seen: RefCell<BTreeMap<usize, [u32; 2]>> = RefCell::default();
    let steps = (0..SHAPES.len(), any::<[u16; 6]>(), faults());
    let steps = prop::collection::vec(steps, 100..250);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let mut world = World::new();
        begin(&world);
        for (n, picks, fault) in steps {
            let answered = step(&mut world, &SHAPES[n], &picks, fault);
            if fault == Fault::None {
                let mut seen = seen.borrow_mut();
                seen.entry(n).or_default()[usize::from(!answered)] += 1;
            }
        }
        world.check_file();
        world.restart();
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // Otherwise it would say nothing. Some need so much before them that chance may leave them out.
    let seen = seen.into_inner();
    let never = |n: &usize| seen.get(n).is_none_or(|[answered, _]| *answered == 0);
    let never: Vec<_> = (0..SHAPES.len())
        .filter(never)
        .map(|n| SHAPES[n].1)
        .collect();
    assert!(never.len() <= 4, "never answered: {never:?}");
}
