//! Whether a caller may do what it asks for.
//!
//! A call is about resources: those that its parameters name, or if it names none, all of its kind
//! (`acs:vpc:REGION:ACCOUNT:eip/*`). The caller's policies must allow the operation on each of them, by the
//! resource's own ARN or by that of the VPC that it lies in.
//!
//! What changes something names what it changes in parameters whose names end in `Id` or `Ids`. What only asks may
//! pass parameters over, so for each question it is said here which parameters narrow its answer down.

use crate::spec::{Field, Operation, Type};
use crate::{ApiError, Params, Principal, Request};
use control::Cloud;
use control::access::{Arn, Verdict};
use control::records::User;

/// Questions, and the parameters that their answer keeps to.
const NARROWED: &[(&str, &[&str])] = &[
    ("CheckCanAllocateVpcPrivateIpAddress", &["VSwitchId"]),
    ("CreateNatFirewallPreCheck", &["NatGatewayId", "VpcId"]),
    ("DescribeCommonBandwidthPackages", &["BandwidthPackageId"]),
    (
        "DescribeEipAddresses",
        &["AllocationId", "AssociatedInstanceId"],
    ),
    ("DescribeEipMonitorData", &["AllocationId"]),
    ("DescribeEipUsage", &["AllocationId"]),
    (
        "DescribeFirewallVSwitch",
        &["FirewallId", "VpcId", "VswitchId"],
    ),
    ("DescribeFirewallVswitchResources", &["VpcId"]),
    (
        "DescribeForwardTableEntries",
        &["ForwardEntryId", "ForwardTableId", "NatGatewayId"],
    ),
    ("DescribeDisks", &["InstanceId"]),
    ("DescribeInstanceAttribute", &["InstanceId"]),
    ("DescribeInstanceMaintenanceAttributes", &["InstanceId"]),
    ("DescribeInstanceStatus", &["InstanceId"]),
    ("DescribeInstances", &["InstanceIds", "VSwitchId", "VpcId"]),
    ("DescribeNatFirewallControlPolicy", &["NatGatewayId"]),
    ("DescribeNatFirewallPolicyPriorUsed", &["NatGatewayId"]),
    ("DescribeNatFirewallBypass", &["NatGatewayId", "ProxyId"]),
    (
        "DescribeNatFirewallList",
        &["NatGatewayId", "ProxyId", "VpcId"],
    ),
    ("DescribeNatFirewallPrecheckDetail", &["NatGatewayId"]),
    ("DescribeNatGateways", &["NatGatewayId", "VpcId"]),
    ("DescribeNatGatewayUsage", &["NatGatewayId"]),
    ("ListNatGatewayEcsMetric", &["NatGatewayId"]),
    ("DescribeNetworkInterfaceAttribute", &["NetworkInterfaceId"]),
    (
        "DescribeNetworkInterfaces",
        &["InstanceId", "NetworkInterfaceId", "VSwitchId", "VpcId"],
    ),
    ("DescribeRouteEntryList", &["RouteTableId"]),
    (
        "DescribeRouteTableList",
        &["RouteTableId", "RouterId", "VpcId"],
    ),
    (
        "DescribeRouteTables",
        &["RouteTableId", "RouterId", "VRouterId"],
    ),
    ("DescribeSecurityGroupAttribute", &["SecurityGroupId"]),
    ("DescribeSecurityGroupReferences", &["SecurityGroupId"]),
    (
        "DescribeSecurityGroups",
        &["SecurityGroupId", "SecurityGroupIds", "VpcId"],
    ),
    (
        "DescribeSecurityProxy",
        &["NatGatewayId", "ProxyId", "VpcId"],
    ),
    ("DescribeSecurityProxyResources", &["NatGatewayId"]),
    (
        "DescribeSnatTableEntries",
        &[
            "NatGatewayId",
            "SnatEntryId",
            "SnatTableId",
            "SourceVSwitchId",
        ],
    ),
    ("DescribeThreatIntelligenceSwitch", &["ProxyId"]),
    ("DescribeUserData", &["InstanceId"]),
    ("DescribeVpcListLite", &["VpcId"]),
    ("DescribeVRouters", &["VRouterId"]),
    ("DescribeVSwitches", &["RouteTableId", "VSwitchId", "VpcId"]),
    ("DescribeVSwitchAttributes", &["VSwitchId"]),
    ("DescribeVpcAttribute", &["VpcId"]),
    ("DescribeVpcs", &["VpcId"]),
    ("GetNatGatewayAttribute", &["NatGatewayId"]),
    ("GetVpcRouteEntrySummary", &["VpcId"]),
    ("GetVpcPeerConnectionAttribute", &["InstanceId"]),
    ("DescribeNatIpUsage", &["NatIpId"]),
    ("ListNatIpCidrs", &["NatGatewayId"]),
    ("ListNatIps", &["NatGatewayId"]),
    ("ListTagResources", &["ResourceId"]),
    ("ListVpcPeerConnections", &["InstanceId", "VpcId"]),
];

/// Parameters that end in `Id` and name nothing that policies are about. A rule is named with its group.
const NO_RESOURCES: &[&str] = &[
    "AcceptingRegionId",
    "ActivityId",
    "AssetRegionId",
    "AutoSnapshotPolicyId",
    "CategoryId",
    "ClusterId",
    "DedicatedHostClusterId",
    "DedicatedHostId",
    "DeploymentSetId",
    "FwVswitchZoneId",
    "HpcClusterId",
    "ImageId",
    "KMSKeyId",
    "LaunchTemplateId",
    "NewResourceGroupId",
    "NodeControllerId",
    "OwnerId",
    "PublicIpAddressPoolId",
    "RegionId",
    "ResourceGroupId",
    "ResourceOwnerId",
    "SecurityGroupRuleId",
    "StorageClusterId",
    "StorageSetId",
    "TaskId",
    "VlanId",
    "ZoneId",
];

/// Kinds of resources, by what the operations about them have in their names; the first that fits.
const KINDS: &[(&str, &str)] = &[
    ("Snat", "snattable"),
    ("Forward", "forwardtable"),
    ("FullNat", "fullnattable"),
    ("NatGateway", "natgateway"),
    ("NatIp", "natgateway"),
    ("CommonBandwidthPackage", "combandwidthpackage"),
    ("Eip", "eip"),
    ("PeerConnection", "peerconnection"),
    ("RouteTable", "routetable"),
    ("RouteEntr", "routetable"),
    ("VRouter", "vrouter"),
    ("VSwitch", "vswitch"),
    ("Vpc", "vpc"),
    ("SecurityGroup", "securitygroup"),
    ("SecurityProxy", "natfirewall"),
    ("NatFirewall", "natfirewall"),
    ("AddressBook", "addressbook"),
    ("ControlPolicy", "policy"),
    ("DnsFirewallPolicy", "policy"),
    ("PolicyPrior", "policy"),
    ("RuleHit", "policy"),
    ("AclRule", "policy"),
    ("AclBackup", "policy"),
    ("AclCheck", "policy"),
    ("NetworkInterface", "eni"),
    ("AssignPrivateIp", "eni"),
    ("Instance", "instance"),
    ("Disk", "disk"),
];

/// Kinds of resources that lie in no VPC: to make one is about all of the kind, whatever else the call names.
const OUTSIDE: &[&str] = &["vpc", "eip", "combandwidthpackage"];

/// The name that policies have for a product: `vpc` for `Vpc`.
fn code(product: &'static str) -> &'static str {
    const CODES: &[&str] = &["vpc", "ecs", "vpcpeer", "ram", "actiontrail"];
    if product == "Cloudfw" {
        return "yundun-cloudfirewall";
    }
    let known = CODES.iter().find(|it| it.eq_ignore_ascii_case(product));
    known.copied().unwrap_or(product)
}

/// Refuses a call that its caller may not make. `changes` says whether it changes something.
///
/// # Errors
/// `Forbidden.RAM`, or `NoPermission` of the products that have that; the message names what is not allowed.
pub(crate) fn check(
    cloud: &Cloud,
    request: &Request,
    product: &'static str,
    operation: &Operation,
    changes: bool,
) -> Result<(), ApiError> {
    let Some(user) = user(cloud, request)? else {
        return Ok(());
    };
    // Who one is, anybody may ask.
    if product == "Sts" {
        return Ok(());
    }
    let action = format!("{}:{}", code(product), request.action);
    for resource in resources(cloud, request, product, operation, user, changes) {
        let why = match cloud.permission(user, &action, &resource) {
            (Verdict::Allowed, _) => continue,
            (Verdict::Denied, policy) => {
                format!("the policy {} denies it", policy.unwrap_or_default())
            }
            (Verdict::Silent, _) => format!("no policy of the user {} allows it", user.id),
        };
        let what = resource.first().map(Arn::to_string).unwrap_or_default();
        let code = match product {
            "Vpc" | "Ecs" => "Forbidden.RAM",
            _ => "NoPermission",
        };
        let message = format!(
            "You are not authorized to do this action. Action: {action}; resource: {what}: {why}."
        );
        return Err(ApiError::new(403, code, message));
    }
    Ok(())
}

/// The user that a caller is; `None` if the caller may do everything.
pub(crate) fn user<'a>(cloud: &'a Cloud, request: &Request) -> Result<Option<&'a User>, ApiError> {
    let Principal::Key(id) = &request.caller.principal else {
        return Ok(None);
    };
    // The key may be gone since the signature was checked.
    let key = cloud.access_keys.get(id).filter(|it| it.enabled);
    let gone = || {
        let why = "Specified access key is not found.";
        ApiError::not_found("InvalidAccessKeyId.NotFound", why)
    };
    let key = key.ok_or_else(gone)?;
    match &*key.user {
        "" => Ok(None),
        user => cloud.users.get(user).map(Some).ok_or_else(gone),
    }
}

/// The resources that a call is about: each with its own ARN first, then with those that it lies in.
fn resources(
    cloud: &Cloud,
    request: &Request,
    product: &'static str,
    operation: &Operation,
    user: &User,
    changes: bool,
) -> Vec<Vec<Arn>> {
    if product == "Ram" {
        return entities(request, user);
    }
    let action = &*request.action;
    let kind = KINDS.iter().find(|(word, _)| action.contains(word));
    let kind = kind.map_or("", |(_, kind)| *kind);
    let region = request.params.get("RegionId");
    let region = match region.or_else(|| request.params.get("RegionNo")) {
        Some(region) => region.to_owned(),
        None => cloud.regions().swap_remove(0).id,
    };
    let mut all = Vec::new();
    for id in named(request, operation, changes) {
        let called = cloud.called(&id);
        match called.is_empty() {
            true => all.push(vec![Arn::new(code(product), &*region, kind, id)]),
            false => all.extend(called),
        }
    }
    let makes = action.starts_with("Create") || action.starts_with("Allocate");
    if all.is_empty() || makes && OUTSIDE.contains(&kind) {
        all.push(vec![Arn::new(code(product), region, kind, "*")]);
    }
    all
}

/// The identifiers that a call names, in parameters that its operation has.
pub(crate) fn named(request: &Request, operation: &Operation, changes: bool) -> Vec<String> {
    let narrowing = NARROWED.iter().find(|(it, _)| *it == request.action);
    let narrowing = narrowing.map_or(&[][..], |(_, names)| names);
    let mut all = Vec::new();
    for field in &operation.request {
        if changes || narrowing.contains(&&*field.name) {
            values(field, &field.name, changes, &request.params, &mut all);
        }
    }
    all.into_iter().flat_map(identifiers).collect()
}

/// What a call gives for a parameter, where it is read from; of one that has parts only identifiers, as of all if
/// `by_name`.
fn values<'a>(
    field: &Field,
    name: &str,
    by_name: bool,
    params: &'a Params,
    out: &mut Vec<&'a str>,
) {
    let parts = |of: &str, out: &mut Vec<&'a str>| {
        for part in &field.fields {
            values(part, &format!("{of}.{}", part.name), true, params, out);
        }
    };
    match field.kind {
        Type::Objects => params.objects(name).iter().for_each(|it| parts(it, out)),
        Type::Object => parts(name, out),
        _ if by_name && !is_identifier(&field.name) => {}
        Type::Texts => {
            out.extend(params.get(name));
            out.extend(params.list(name));
        }
        _ => out.extend(params.get(name)),
    }
}

/// Whether a parameter names resources that policies are about.
pub(crate) fn is_identifier(name: &str) -> bool {
    (name.ends_with("Id") || name.ends_with("Ids")) && !NO_RESOURCES.contains(&name)
}

/// The identifiers in a parameter, however its operation reads it: one, several with commas between, or a JSON
/// array.
fn identifiers(value: &str) -> Vec<String> {
    let list: Result<Vec<String>, _> = serde_json::from_str(value);
    let list = list.unwrap_or_else(|_| vec![value.to_owned()]);
    let parts = list.iter().flat_map(|it| it.split(',')).map(str::trim);
    parts
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The users and policies that a call of RAM names. Calls about access keys that name no user are about the
/// caller's own.
fn entities(request: &Request, user: &User) -> Vec<Vec<Arn>> {
    let arn = |kind, id: &str| vec![Arn::new("ram", "", kind, id)];
    let name = request.params.get("UserName");
    let name = match request.action.contains("AccessKey") {
        true => name.or(Some(&*user.id)),
        false => name,
    };
    let policy = request.params.get("PolicyName");
    let named = name.map(|it| arn("user", it));
    let all: Vec<_> = named
        .into_iter()
        .chain(policy.map(|it| arn("policy", it)))
        .collect();
    match all.is_empty() {
        true if request.action.contains("Polic") => vec![arn("policy", "*")],
        true => vec![arn("user", "*")],
        false => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{self, Handler};
    use crate::spec::products;

    /// A question that has come anew must be looked at: which of its parameters keep others' resources out of its
    /// answer? Until then it is about all resources.
    #[test]
    fn narrowed_questions_and_their_parameters_exist() {
        for (action, names) in NARROWED {
            let known = products().iter().filter_map(|product| {
                let handler = ops::find(&product.version, action)?;
                assert!(
                    matches!(handler, Handler::Query(_) | Handler::Ask(_)),
                    "{action}"
                );
                product.operations.get(*action)
            });
            let known: Vec<_> = known.collect();
            assert!(!known.is_empty(), "{action}");
            for name in *names {
                let has = known
                    .iter()
                    .any(|it| it.request.iter().any(|it| it.name == *name));
                assert!(has, "{action} {name}");
            }
        }
    }

    #[test]
    fn identifiers_come_in_three_ways() {
        assert_eq!(identifiers("vpc-1"), ["vpc-1"]);
        assert_eq!(identifiers("vpc-1, vpc-2,"), ["vpc-1", "vpc-2"]);
        assert_eq!(identifiers(r#"["i-1","i-2"]"#), ["i-1", "i-2"]);
        // Some operations take it apart at the commas, others do not.
        assert_eq!(identifiers(r#"["i-1,i-2"]"#), ["i-1", "i-2"]);
        assert_eq!(identifiers("[]"), [""; 0]);
        assert_eq!(identifiers(""), [""; 0]);
    }
}
