//! VPC peer connections and routes to them, through the API.

use crate::common::{World, refused, text};
use crate::nat::{set_quotas, set_regions};
use serde_json::{Value, json};

fn peer(world: &World, action: &str, params: &[(&str, &str)]) -> Result<Value, api::ApiError> {
    let region = [("RegionId", "cn-hangzhou")];
    world.call("2022-01-01", action, &[&region, params].concat())
}

fn vpc(world: &World, cidr: &str) -> String {
    let made = world.vpc("CreateVpc", &[("CidrBlock", cidr)]).unwrap();
    text(&made, "/VpcId")
}

fn try_create(
    world: &World,
    (a, b): (&str, &str),
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    let params = [
        ("VpcId", a),
        ("AcceptingVpcId", b),
        ("AcceptingRegionId", "cn-hangzhou"),
        ("AcceptingAliUid", "1210123456123456"),
    ];
    peer(world, "CreateVpcPeerConnection", &[&params, more].concat())
}

fn create(world: &World, ends: (&str, &str), more: &[(&str, &str)]) -> String {
    text(&try_create(world, ends, more).unwrap(), "/InstanceId")
}

fn on(
    world: &World,
    action: &str,
    id: &str,
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    peer(world, action, &[&[("InstanceId", id)], more].concat())
}

fn shown(world: &World, id: &str) -> Value {
    on(world, "GetVpcPeerConnectionAttribute", id, &[]).unwrap()
}

fn listed(world: &World, params: &[(&str, &str)]) -> Vec<String> {
    let answer = peer(world, "ListVpcPeerConnections", params).unwrap();
    let list = answer["VpcPeerConnects"].as_array().unwrap();
    list.iter().map(|it| text(it, "/InstanceId")).collect()
}

fn system_table(world: &World, vpc: &str) -> String {
    let params = [("VpcId", vpc), ("RouteTableType", "System")];
    let tables = world.vpc("DescribeRouteTableList", &params).unwrap();
    text(
        &tables,
        "/RouterTableList/RouterTableListType/0/RouteTableId",
    )
}

fn route(world: &World, vpc: &str, to: &str, peering: &str) -> Result<Value, api::ApiError> {
    let params = [
        ("RouteTableId", &*system_table(world, vpc)),
        ("DestinationCidrBlock", to),
        ("NextHopType", "VpcPeer"),
        ("NextHopId", peering),
    ];
    world.vpc("CreateRouteEntry", &params)
}

#[test]
fn a_connection_is_made_shown_changed_and_deleted() {
    let world = World::new();
    let (a, b) = (vpc(&world, "192.168.0.0/16"), vpc(&world, "10.0.0.0/16"));
    let params = [
        ("Name", "shop-to-office"),
        ("Description", "both ways"),
        ("ResourceGroupId", "rg-net"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    let id = create(&world, (&a, &b), &params);
    assert!(id.starts_with("pcc-"), "{id}");
    let one = shown(&world, &id);
    for (field, value) in [
        ("Status", json!("Activated")),
        ("BizStatus", json!("Normal")),
        ("Name", json!("shop-to-office")),
        ("Description", json!("both ways")),
        ("RegionId", json!("cn-hangzhou")),
        ("AcceptingRegionId", json!("cn-hangzhou")),
        ("OwnerId", json!(1_210_123_456_123_456_u64)),
        ("AcceptingOwnerUid", json!(1_210_123_456_123_456_u64)),
        ("Bandwidth", json!(-1)),
        ("ResourceGroupId", json!("rg-net")),
        ("Tags", json!([{"Key": "env", "Value": "test"}])),
        ("GmtExpired", json!("")),
        (
            "Vpc",
            json!({"VpcId": a, "Ipv4Cidrs": ["192.168.0.0/16"], "Ipv6Cidrs": []}),
        ),
        (
            "AcceptingVpc",
            json!({"VpcId": b, "Ipv4Cidrs": ["10.0.0.0/16"], "Ipv6Cidrs": []}),
        ),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    // It is in force.
    let told = world.control.config();
    let told = &told.peerings;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].id, &told[0].vpcs), (&id, &[a.clone(), b.clone()]));

    let params = [("Name", "office"), ("Description", "")];
    on(&world, "ModifyVpcPeerConnection", &id, &params).unwrap();
    let one = shown(&world, &id);
    assert_eq!(
        (&one["Name"], &one["Description"]),
        (&json!("office"), &json!(""))
    );

    let restarted = world.restart();
    assert_eq!(shown(&restarted, &id)["Name"], "office");
    let refusal = refused(restarted.vpc("DeleteVpc", &[("VpcId", &b)]));
    assert_eq!(refusal, "DependencyViolation.VpcPeer");
    on(&restarted, "DeleteVpcPeerConnection", &id, &[]).unwrap();
    let refusal = refused(on(&restarted, "GetVpcPeerConnectionAttribute", &id, &[]));
    assert_eq!(refusal, "ResourceNotFound.InstanceId");
    restarted.vpc("DeleteVpc", &[("VpcId", &b)]).unwrap();
}

#[test]
fn two_sides_can_be_asked_to_agree() {
    let world = World::new();
    let (a, b) = (vpc(&world, "192.168.0.0/16"), vpc(&world, "10.0.0.0/16"));
    let wait = [("AutoAccept", "false")];
    let id = create(&world, (&a, &b), &wait);
    assert_eq!(shown(&world, &id)["Status"], "Accepting");
    assert!(world.control.config().peerings.is_empty());
    let refusal = refused(route(&world, &a, "10.0.0.0/16", &id));
    assert_eq!(refusal, "IncorrectStatus.VpcPeer");

    on(&world, "RejectVpcPeerConnection", &id, &[]).unwrap();
    assert_eq!(shown(&world, &id)["Status"], "Rejected");
    for action in ["AcceptVpcPeerConnection", "RejectVpcPeerConnection"] {
        assert_eq!(
            refused(on(&world, action, &id, &[])),
            "IncorrectStatus.VpcPeer"
        );
    }
    assert!(world.control.config().peerings.is_empty());

    // What is rejected is in the way of nothing.
    let again = create(&world, (&b, &a), &wait);
    let params = [
        ("ResourceGroupId", "rg-b"),
        ("Tag.1.Key", "side"),
        ("Tag.1.Value", "b"),
    ];
    on(&world, "AcceptVpcPeerConnection", &again, &params).unwrap();
    let one = shown(&world, &again);
    assert_eq!(
        (&one["Status"], &one["ResourceGroupId"]),
        (&json!("Activated"), &json!("rg-b"))
    );
    assert_eq!(one["Tags"], json!([{"Key": "side", "Value": "b"}]));
    assert_eq!(world.control.config().peerings.len(), 1);
    route(&world, &a, "10.0.0.0/16", &again).unwrap();
    for action in ["AcceptVpcPeerConnection", "RejectVpcPeerConnection"] {
        assert_eq!(
            refused(on(&world, action, &again, &[])),
            "IncorrectStatus.VpcPeer"
        );
    }
    on(&world, "DeleteVpcPeerConnection", &id, &[]).unwrap();
}

#[test]
fn routes_lead_to_it() {
    let world = World::new();
    let (a, b) = (vpc(&world, "192.168.0.0/16"), vpc(&world, "10.0.0.0/16"));
    let c = vpc(&world, "172.16.0.0/16");
    let id = create(&world, (&a, &b), &[]);
    route(&world, &a, "10.0.0.0/16", &id).unwrap();
    route(&world, &b, "192.168.0.0/16", &id).unwrap();
    assert_eq!(
        refused(route(&world, &c, "10.0.0.0/16", &id)),
        "InvalidNextHopId.NotInSameVpc"
    );
    assert_eq!(
        refused(route(&world, &a, "10.1.0.0/16", "pcc-none")),
        "ResourceNotFound.InstanceId"
    );
    let params = [
        ("RouteTableId", &*system_table(&world, &a)),
        ("NextHopType", "VpcPeer"),
    ];
    let entries = world.vpc("DescribeRouteEntryList", &params).unwrap();
    let hop = &entries["RouteEntrys"]["RouteEntry"][0]["NextHops"]["NextHop"][0];
    assert_eq!(
        (&hop["NextHopType"], &hop["NextHopId"]),
        (&json!("VpcPeer"), &json!(id))
    );
    let leads = |world: &World| {
        let config = world.control.config();
        let routes = config.route_tables.iter().flat_map(|it| &it.routes);
        routes
            .filter(|it| it.next_hop == model::NextHop::Peering(id.clone()))
            .count()
    };
    assert_eq!(leads(&world), 2);

    let refusal = refused(on(&world, "DeleteVpcPeerConnection", &id, &[]));
    assert_eq!(refusal, "OperationDenied.RouteEntryExist");
    assert_eq!(leads(&world), 2);
    on(&world, "DeleteVpcPeerConnection", &id, &[("Force", "true")]).unwrap();
    assert_eq!(leads(&world), 0);
    let entries = world.vpc("DescribeRouteEntryList", &params).unwrap();
    assert_eq!(entries["TotalCount"], 0);
}

#[test]
fn what_cannot_be_connected_is_refused() {
    let world = World::new();
    let (a, b) = (vpc(&world, "192.168.0.0/16"), vpc(&world, "10.0.0.0/16"));
    let code = |ends: (&str, &str), more: &[(&str, &str)]| refused(try_create(&world, ends, more));
    assert_eq!(code((&a, &a), &[]), "InvalidParameter.AcceptingVpcId");
    assert_eq!(code((&a, "vpc-none"), &[]), "InvalidVpcId.NotFound");
    assert_eq!(code(("vpc-none", &b), &[]), "InvalidVpcId.NotFound");
    for more in [
        ("AcceptingRegionId", "cn-beijing"),
        ("RegionId", "cn-beijing"),
    ] {
        let wanted = match more.0 {
            "RegionId" => "InvalidRegionId.NotFound",
            _ => "InvalidVpcId.NotFound",
        };
        assert_eq!(code((&a, &b), &[more]), wanted, "{more:?}");
    }
    // Both are in one region.
    for more in [
        ("Bandwidth", "100"),
        ("LinkType", "Gold"),
        ("Bandwidth", "0"),
        ("Name", "x"),
        ("Name", "http://x"),
        ("AcceptingAliUid", "-1"),
        ("AcceptingAliUid", "me"),
        ("AutoAccept", "perhaps"),
    ] {
        assert_eq!(code((&a, &b), &[more]), "InvalidParameter", "{more:?}");
    }
    assert_eq!(code((&a, &b), &[("DryRun", "true")]), "DryRunOperation");
    assert!(listed(&world, &[]).is_empty());
    let missing = [("VpcId", &*a), ("AcceptingVpcId", &b)];
    let refusal = refused(peer(&world, "CreateVpcPeerConnection", &missing));
    assert_eq!(refusal, "MissingParameter");

    let token = [("ClientToken", "once")];
    let id = create(&world, (&a, &b), &token);
    assert_eq!(create(&world, (&a, &b), &token), id, "the same call again");
    assert_eq!(code((&a, &b), &[]), "ResourceAlreadyExist.VpcPeer");
    assert_eq!(code((&b, &a), &[]), "ResourceAlreadyExist.VpcPeer");
    set_quotas(&world, &[("peerings-per-vpc", 1)]);
    let c = vpc(&world, "172.16.0.0/16");
    assert_eq!(code((&c, &b), &[]), "QuotaExceeded.VpcPeerCountPerVpc");
    for action in [
        "AcceptVpcPeerConnection",
        "RejectVpcPeerConnection",
        "GetVpcPeerConnectionAttribute",
        "ModifyVpcPeerConnection",
        "DeleteVpcPeerConnection",
    ] {
        let error = on(&world, action, "pcc-none", &[]).unwrap_err();
        assert_eq!(
            (error.status, &*error.code),
            (400, "ResourceNotFound.InstanceId")
        );
        assert_eq!(
            refused(peer(&world, action, &[])),
            "MissingParameter",
            "{action}"
        );
    }
    let more = [("Bandwidth", "100")];
    assert_eq!(
        refused(on(&world, "ModifyVpcPeerConnection", &id, &more)),
        "InvalidParameter"
    );
}

#[test]
fn between_regions_it_has_a_bandwidth() {
    let world = World::new();
    set_regions(&world, &["cn-hangzhou", "cn-beijing"]);
    let a = vpc(&world, "192.168.0.0/16");
    let far = [("RegionId", "cn-beijing"), ("CidrBlock", "10.0.0.0/16")];
    let b = text(
        &world.call("2016-04-28", "CreateVpc", &far).unwrap(),
        "/VpcId",
    );
    let there = ("AcceptingRegionId", "cn-beijing");
    let id = create(&world, (&a, &b), &[there]);
    let one = shown(&world, &id);
    for (field, value) in [
        ("Status", json!("Activated")),
        ("AcceptingRegionId", json!("cn-beijing")),
        ("Bandwidth", json!(1024)),
        ("LinkType", json!("Gold")),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    let params = [("Bandwidth", "200"), ("LinkType", "Platinum")];
    on(&world, "ModifyVpcPeerConnection", &id, &params).unwrap();
    let one = shown(&world, &id);
    assert_eq!(
        (&one["Bandwidth"], &one["LinkType"]),
        (&json!(200), &json!("Platinum"))
    );
    // Each side sees it.
    assert_eq!(listed(&world, &[]), [&*id]);
    assert_eq!(listed(&world, &[("RegionId", "cn-beijing")]), [&*id]);
}

#[test]
fn lists_are_filtered_and_paged() {
    let world = World::new();
    let hub = vpc(&world, "192.168.0.0/16");
    let spokes: Vec<String> = (0..5)
        .map(|n| vpc(&world, &format!("10.{n}.0.0/16")))
        .collect();
    let mut all: Vec<String> = spokes
        .iter()
        .enumerate()
        .map(|(n, spoke)| {
            let name = format!("spoke-{n}");
            let params = [("Name", &*name), ("Tag.1.Key", "n"), ("Tag.1.Value", &name)];
            create(&world, (&hub, spoke), &params)
        })
        .collect();
    let third = all[3].clone();
    for filter in [
        vec![("Name", "spoke-3")],
        vec![("InstanceId", &*third)],
        vec![("VpcId", &*spokes[3])],
        vec![("VpcId.1", &*spokes[3])],
        vec![("Tags.1.Key", "n"), ("Tags.1.Value", "spoke-3")],
    ] {
        assert_eq!(listed(&world, &filter), [&*third], "{filter:?}");
    }
    let two = format!("{},{}", spokes[0], spokes[3]);
    assert_eq!(listed(&world, &[("VpcId", &two)]).len(), 2);
    assert_eq!(listed(&world, &[("VpcId", &hub)]).len(), 5);
    assert!(listed(&world, &[("ResourceGroupId", "rg-none")]).is_empty());

    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let params = [("MaxResults", "2"), ("NextToken", &*token)];
        let answer = peer(&world, "ListVpcPeerConnections", &params).unwrap();
        assert_eq!(
            (&answer["TotalCount"], &answer["MaxResults"]),
            (&json!(5), &json!(2))
        );
        let page = answer["VpcPeerConnects"].as_array().unwrap();
        seen.extend(page.iter().map(|it| text(it, "/InstanceId")));
        token = text(&answer, "/NextToken");
        if token.is_empty() {
            break;
        }
    }
    all.sort();
    assert_eq!(seen, all);
    for wrong in [
        ("MaxResults", "101"),
        ("MaxResults", "0"),
        ("NextToken", "x"),
    ] {
        let refusal = refused(peer(&world, "ListVpcPeerConnections", &[wrong]));
        assert_eq!(refusal, "InvalidParameter", "{wrong:?}");
    }
}

#[test]
fn tags_and_resource_groups() {
    let world = World::new();
    let (a, b) = (vpc(&world, "192.168.0.0/16"), vpc(&world, "10.0.0.0/16"));
    let id = create(&world, (&a, &b), &[]);
    let of = [("ResourceType", "PeerConnection"), ("ResourceId.1", &*id)];
    let tags = [
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
        ("Tag.2.Key", "x"),
    ];
    let tagged = peer(&world, "TagResources", &[&of[..], &tags].concat()).unwrap();
    assert_eq!(tagged["Success"], true);
    let listed = peer(&world, "ListTagResources", &of).unwrap();
    assert_eq!(
        listed["TagResources"][0],
        json!({
            "RegionNo": "cn-hangzhou", "ResourceId": id, "ResourceType": "PeerConnection",
            "TagKey": "env", "TagValue": "test",
        })
    );
    assert_eq!(listed["TagResources"].as_array().unwrap().len(), 2);
    let keys = [("TagKey.1", "x")];
    peer(&world, "UnTagResources", &[&of[..], &keys].concat()).unwrap();
    assert_eq!(
        shown(&world, &id)["Tags"],
        json!([{"Key": "env", "Value": "test"}])
    );
    let params = [
        ("ResourceType", "PeerConnection"),
        ("ResourceId", &*id),
        ("NewResourceGroupId", "rg-new"),
    ];
    assert_eq!(
        peer(&world, "MoveResourceGroup", &params).unwrap()["Success"],
        true
    );
    assert_eq!(shown(&world, &id)["ResourceGroupId"], "rg-new");
    let params = [("ResourceType", "VPC"), ("ResourceId.1", &*a)];
    let refusal = refused(peer(&world, "ListTagResources", &params));
    assert_eq!(refusal, "InvalidParameter");
}

/// Every operation of the product that is kept in the tables is answered, and the tables say where they are from.
#[test]
fn all_operations_are_there() {
    let product = api::spec::products()
        .iter()
        .find(|it| it.product == "VpcPeer")
        .unwrap();
    assert!(
        product
            .source
            .contains("alibabacloud-vpcpeer20220101 2.0.5")
    );
    let operations = product.operations.keys();
    assert!(operations.clone().count() == 11);
    for action in operations {
        assert!(api::answers(&product.version, action), "{action}");
    }
}
