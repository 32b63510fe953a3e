//! Where Cloud Firewall can be: regions, zones, VPCs.

use super::nat_firewalls::is_of_account;
use super::{Handler, Q};
use crate::call::{Answer, Call};
use control::Cloud;
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeRegionInfo", Q(regions)),
    ("DescribeVpcListLite", Q(vpcs)),
    ("DescribeVpcZone", Q(zones)),
];

fn regions(_: &Call, cloud: &Cloud) -> Answer {
    let regions = cloud.regions().into_iter();
    let regions = regions.map(|it| json!({"RegionId": it.id, "RegionName": it.id}));
    let regions: Vec<Value> = regions.collect();
    Ok(json!({"TotalCount": regions.len(), "DataList": regions}))
}

fn zones(call: &Call, cloud: &Cloud) -> Answer {
    let zones = cloud.zones(call.region).into_iter();
    let zones = zones.filter(|_| is_of_account(call));
    let zones =
        zones.map(|it| json!({"ZoneId": it, "LocalName": it, "ZoneType": "AvailabilityZone"}));
    Ok(json!({"ZoneList": zones.collect::<Vec<_>>()}))
}

fn vpcs(call: &Call, cloud: &Cloud) -> Answer {
    let vpcs = cloud.vpcs.iter().filter(|vpc| {
        // A VPC of a file is in each region.
        let here = vpc.region.is_empty() || call.is("RegionNo", &vpc.region);
        here && call.is("VpcId", &vpc.id) && call.is("VpcName", &vpc.meta.name)
    });
    let vpcs = vpcs.map(|vpc| {
        let region = match &*vpc.region {
            "" => call.region,
            region => region,
        };
        json!({"VpcId": vpc.id, "VpcName": vpc.meta.name, "RegionNo": region})
    });
    Ok(json!({"VpcList": vpcs.collect::<Vec<_>>()}))
}
