//! Each operation of Cloud Firewall by its table: there is none that is not answered, an answer has each field that SDKs
//! look for, and what must be given is asked for.

use crate::common::firewall::{Site, site};
use crate::common::text;
use api::spec::{Field, Operation, Product, Type, products};
use serde_json::Value;
use std::collections::BTreeSet;

fn cloudfw() -> &'static Product {
    let mut products = products().iter();
    products.find(|it| it.product == "Cloudfw").unwrap()
}

/// That an answer has all fields, each of its type.
fn complete(fields: &[Field], answer: &Value, path: &str) {
    let names: BTreeSet<&str> = fields.iter().map(|it| &*it.name).collect();
    let object = answer
        .as_object()
        .unwrap_or_else(|| panic!("{path} is no object"));
    // The identifier of a request is added by what answers HTTP.
    let found: BTreeSet<&str> = object.keys().map(|it| &**it).chain(["RequestId"]).collect();
    let wanted: BTreeSet<&str> = names.into_iter().chain(["RequestId"]).collect();
    assert_eq!(found, wanted, "{path}");
    for field in fields.iter().filter(|it| object.contains_key(&it.name)) {
        let (value, path) = (&object[&field.name], format!("{path}.{}", field.name));
        let each = |of: fn(&Value) -> bool| value.as_array().is_some_and(|it| it.iter().all(of));
        let fits = match field.kind {
            Type::Text => value.is_string(),
            Type::Int => value.is_i64() || value.is_u64(),
            Type::Float => value.is_number(),
            Type::Bool => value.is_boolean(),
            Type::Texts => each(Value::is_string),
            Type::Ints => each(|it| it.is_i64() || it.is_u64()),
            Type::Map => value.is_object(),
            Type::Maps => each(Value::is_object),
            Type::Object => {
                complete(&field.fields, value, &path);
                true
            }
            Type::Objects => {
                let objects = value.as_array().into_iter().flatten();
                objects.for_each(|it| complete(&field.fields, it, &path));
                value.is_array()
            }
        };
        assert!(fits, "{path} is {value}");
    }
}

struct Tour {
    site: Site,
    left: BTreeSet<&'static str>,
}

impl Tour {
    /// Calls an operation, and before that without each parameter that must be given.
    #[track_caller]
    fn call(&mut self, action: &str, params: &[(&str, &str)]) -> Value {
        let operation: &Operation = &cloudfw().operations[action];
        self.left.remove(action);
        for required in operation.request.iter().filter(|it| it.required) {
            let its = |name: &str| {
                let rest = name.strip_prefix(&*required.name);
                rest.is_some_and(|it| it.is_empty() || it.starts_with('.'))
            };
            let fewer: Vec<_> = params.iter().copied().filter(|it| !its(it.0)).collect();
            assert_ne!(
                fewer.len(),
                params.len(),
                "{action} is called without {}",
                required.name
            );
            let refused = self.site.cfw(action, &fewer).unwrap_err();
            assert_eq!(
                refused.code, "MissingParameter",
                "{action} without {}",
                required.name
            );
            assert!(
                refused.message.contains(&required.name),
                "{}",
                refused.message
            );
        }
        let answer = self.site.cfw(action, params);
        let answer = answer.unwrap_or_else(|error| panic!("{action}: {error:?}"));
        complete(&operation.response, &answer, action);
        answer
    }
}

#[test]
fn every_operation_is_answered_as_its_table_says() {
    let site = site(1);
    let (vpc, gateway, table) = (site.vpc.clone(), site.gateway.clone(), site.table.clone());
    let (_, address) = site.eips[0].clone();
    let left = cloudfw().operations.keys().map(|it| &**it).collect();
    let mut tour = Tour { site, left };
    let region = ("RegionNo", "cn-hangzhou");
    let of_gateway = ("NatGatewayId", &*gateway);
    let page = [("CurrentPage", "1"), ("PageSize", "10")];
    let page_no = [("PageNo", "1"), ("PageSize", "10")];

    // What there is, what was bought, what can be.
    for action in [
        "DescribeUserBuyVersion",
        "DescribeFirewallLicense",
        "DescribePostpayUserNatStatus",
        "DescribeSecurityProxyResources",
        "DescribeNatFirewallQuota",
        "DescribeAssetStatistic",
        "DescribeVpcListLite",
        "DescribeThreatIntelligenceSwitch",
        "DescribePolicyAdvancedConfig",
        "DescribeFirewallDefaults",
        "CreateInstanceSyncTask",
        "CreateNatFirewallSyncTask",
    ] {
        tour.call(action, &[]);
    }
    tour.call("UpdatePostpayUserNatStatus", &[("Operate", "open")]);
    tour.call("ModifyFirewallLicense", &[("Firewalls", "3")]);
    tour.call("ModifyFirewallDefaults", &[("DnsAction", "accept")]);
    tour.call("DescribeRegionInfo", &[("SourceCode", "yundun")]);
    tour.call("DescribeVpcZone", &[region, ("VpcId", &vpc)]);
    let vswitches = [region, ("VpcId", &*vpc), ("FirewallType", "nat")];
    tour.call("DescribeFirewallVswitchResources", &vswitches);
    let precheck = [region, ("VpcId", &*vpc), of_gateway];
    tour.call("CreateNatFirewallPreCheck", &precheck);
    tour.call("DescribeNatFirewallPrecheckDetail", &precheck);

    // The firewall of a gateway.
    let made = tour.call(
        "CreateSecurityProxy",
        &[
            region,
            of_gateway,
            ("VpcId", &vpc),
            ("ProxyName", "shop_firewall"),
            ("NatRouteEntryList.1.RouteTableId", &table),
            ("NatRouteEntryList.1.DestinationCidr", "0.0.0.0/0"),
            ("NatRouteEntryList.1.NextHopType", "NatGateway"),
            ("NatRouteEntryList.1.NextHopId", &gateway),
        ],
    );
    let proxy = text(&made, "/ProxyId");
    for action in [
        "DescribeNatFirewallList",
        "DescribeSecurityProxy",
        "DescribeCreatedNatFirewall",
        "DescribeNatAclPageStatus",
        "DescribeFirewallVSwitch",
        "DescribeNatFirewallAclGroupList",
    ] {
        let told = tour.call(action, &[]);
        let lists = told
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_array);
        lists.for_each(|it| assert_ne!(it.len(), 0, "{action} tells of the firewall: {told}"));
    }
    tour.call("DescribeFirewallTask", &[("ChildInstanceId", &proxy)]);
    tour.call("DescribeNatFirewallBypass", &[of_gateway]);
    let off = [("ProxyId", &*proxy), ("Switch", "close")];
    tour.call("SwitchSecurityProxy", &off);
    let name = [("ProxyId", &*proxy), ("ProxyName", "another_name")];
    tour.call("UpdateSecurityProxy", &name);

    // Address books.
    let book = [
        ("GroupType", "ip"),
        ("GroupName", "office"),
        ("Description", "The office"),
        ("AddressList", "192.0.2.0/24 office"),
    ];
    let uuid = text(&tour.call("AddAddressBook", &book), "/GroupUuid");
    tour.call("DescribeAddressBook", &[]);
    let more = [
        ("GroupUuid", &*uuid),
        ("GroupName", "office"),
        ("Description", "The office"),
        ("AddressList", "198.51.100.7"),
    ];
    tour.call("ModifyAddressBook", &more);

    // The policies of each firewall.
    let says = [
        ("AclAction", "drop"),
        ("Description", "a policy"),
        ("Source", "10.0.0.0/8"),
        ("SourceType", "net"),
        ("Direction", "out"),
    ];
    let about = [
        ("Destination", "198.51.100.0/24"),
        ("DestinationType", "net"),
        ("Proto", "TCP"),
        ("DestPort", "80/80"),
        ("ApplicationNameList.1", "ANY"),
        ("NewOrder", "-1"),
    ];
    let direction = ("Direction", "out");
    let policy = [&says[..], &about, &[of_gateway]].concat();
    let [one, two, three] = [(); 3].map(|()| {
        let made = tour.call("CreateNatFirewallControlPolicy", &policy);
        text(&made, "/AclUuid")
    });
    let told = tour.call("DescribeNatFirewallControlPolicy", &[of_gateway, direction]);
    assert_eq!(told["Policys"].as_array().unwrap().len(), 3);
    tour.call(
        "DescribeNatFirewallPolicyPriorUsed",
        &[of_gateway, direction],
    );
    let change = [of_gateway, ("AclUuid", &*one), ("AclAction", "log")];
    tour.call("ModifyNatFirewallControlPolicy", &change);
    let first = [of_gateway, ("AclUuid", &*two), ("NewOrder", "1")];
    tour.call("ModifyNatFirewallControlPolicyPosition", &first);
    tour.call("ResetNatFirewallRuleHitCount", &[("AclUuid", &one)]);

    let policy = [&says[..], &about].concat();
    let border = text(&tour.call("AddControlPolicy", &policy), "/AclUuid");
    tour.call("DescribeControlPolicy", &[&page[..], &[direction]].concat());
    tour.call("DescribePolicyPriorUsed", &[direction]);
    tour.call("DescribeAclRuleCount", &[]);
    tour.call(
        "ModifyControlPolicy",
        &[("AclUuid", &border), ("AclAction", "log")],
    );
    let moved = [direction, ("OldOrder", "1"), ("NewOrder", "1")];
    tour.call("ModifyControlPolicyPosition", &moved);
    tour.call(
        "ModifyControlPolicyPriority",
        &[("AclUuid", &border), ("Order", "1")],
    );
    tour.call("ResetRuleHitCount", &[("AclUuid", &border)]);

    let question = [
        ("Destination", "*.ads.example"),
        ("DestinationType", "domain"),
        ("IpVersion", "4"),
        ("Priority", "1"),
        ("Release", "true"),
    ];
    let question = [&says[..], &question].concat();
    let dns = text(&tour.call("AddDnsFirewallPolicy", &question), "/AclUuid");
    tour.call("DescribeDnsFirewallPolicy", &page);
    tour.call(
        "ModifyDnsFirewallPolicy",
        &[("AclUuid", &dns), ("AclAction", "log")],
    );
    tour.call("DescribeDomainResolve", &[("Domain", "www.example.com")]);
    tour.call(
        "AddDomainResolveRealtimeTask",
        &[("DomainName", "www.example.com")],
    );
    let resolved = [("Domain", "www.example.com")];
    tour.call("DescribeControlPolicyDomainResolve", &resolved);
    let apps = [&page_no[..], &[("AclType", "All")]].concat();
    tour.call("DescribeAclApps", &apps);
    tour.call("ModifyPolicyAdvancedConfig", &[("InternetSwitch", "on")]);
    let category = [
        ("CategoryList.1.CategoryId", "IpOutThreatTorExit"),
        ("CategoryList.1.EnableStatus", "1"),
    ];
    tour.call("ModifyThreatIntelligenceSwitch", &category);

    // Checks and backups.
    tour.call("CreateAclCheck", &[("AclType", "nat")]);
    let checks = tour.call("DescribeAclChecks", &[("AclType", "nat")]);
    let checks = checks["CheckRecords"]["Records"].as_array().unwrap();
    let found = checks.iter().find(|it| it["CheckName"] == "duplicate");
    let task = text(found.unwrap(), "/TaskId");
    let check = [&page_no[..], &[("TaskId", &*task)]].concat();
    let told = tour.call("DescribeAclCheck", &check);
    let found = text(&told, "/CheckRecord/Acls/0/Acl/AclUuid");
    let status = [("TaskId", &*task), ("Uuid", &*found), ("Status", "ignored")];
    tour.call("UpdateAclCheckDetailStatus", &status);
    tour.call("DescribeAclCheckQuota", &[]);
    let time = ("BackUpTime", "1700000000");
    tour.call("AddAclBackupData", &[time]);
    tour.call("DescribeAclBackupList", &page);
    tour.call("UseAclBackupData", &[time]);
    tour.call("DeleteAclBackupData", &[time]);

    // The Internet border.
    tour.call("SetAutoProtectNewAssets", &[("AutoProtect", "true")]);
    let its = [("IpaddrList.1", &*address)];
    tour.call("PutEnableFwSwitch", &its);
    tour.call("PutDisableFwSwitch", &its);
    tour.call("PutEnableAllFwSwitch", &[]);
    tour.call("PutDisableAllFwSwitch", &[]);
    tour.call("DescribeAssetList", &page);

    // And back.
    let single = [of_gateway, direction, ("AclUuid", &*one)];
    tour.call("DeleteNatFirewallControlPolicy", &single);
    let batch = [
        of_gateway,
        ("AclUuidList.1", &*two),
        ("AclUuidList.2", &three),
    ];
    tour.call("DeleteNatFirewallControlPolicyBatch", &batch);
    tour.call("DeleteControlPolicy", &[("AclUuid", &border)]);
    tour.call("DeleteDnsFirewallPolicy", &[("AclUuid", &dns)]);
    tour.call("DeleteAddressBook", &[("GroupUuid", &uuid)]);
    tour.call("DeleteSecurityProxy", &[("ProxyId", &proxy)]);
    assert_eq!(
        tour.left,
        BTreeSet::new(),
        "operations that nobody has called"
    );
}
