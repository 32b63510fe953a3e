"""The policies of the other firewalls, and all else of Cloud Firewall, with its new Python SDK.

Together with cfw_sdk.py it calls each operation that the API has.
"""

import json
import re
import time
from pathlib import Path

from alibabacloud_cloudfw20171207 import models as cfw

from clients import body, refused
from firewall import c, connect, network
from world import REGION, ZONE, Site, fetch_from, same, show

made = network()
_, ADDRESS = connect(made)
ALLOWED = "www.allowed.example"


def firewall():
    """A NAT firewall with the vSwitch that it makes itself."""
    route = cfw.CreateSecurityProxyRequestNatRouteEntryList(
        destination_cidr="0.0.0.0/0", next_hop_id=made.gateway, next_hop_type="NatGateway", route_table_id=made.table)
    return body(c.create_security_proxy(cfw.CreateSecurityProxyRequest(
        firewall_switch="open", nat_gateway_id=made.gateway, proxy_name="shop_firewall", region_no=REGION,
        vpc_id=made.vpc, nat_route_entry_list=[route]))).proxy_id


# What there is to protect, and what was bought.
places = body(c.describe_region_info(cfw.DescribeRegionInfoRequest(source_code="yundun"))).data_list
assert REGION in [it.region_id for it in places], places
zones = body(c.describe_vpc_zone(cfw.DescribeVpcZoneRequest(region_no=REGION))).zone_list
assert ZONE in [it.zone_id for it in zones], zones
only, = body(c.describe_vpc_list_lite(cfw.DescribeVpcListLiteRequest(region_no=REGION))).vpc_list
same((only.vpc_id, only.vpc_name), (made.vpc, "shop"))
same(body(c.describe_postpay_user_nat_status(cfw.DescribePostpayUserNatStatusRequest())).status, "open")
c.update_postpay_user_nat_status(cfw.UpdatePostpayUserNatStatusRequest(operate="open"))
page = body(c.describe_nat_acl_page_status(cfw.DescribeNatAclPageStatusRequest()))
same((page.nat_acl_page_enable, page.detail), (False, "proxy_not_exist"))


def vswitches():
    return body(c.describe_firewall_vswitch_resources(cfw.DescribeFirewallVswitchResourcesRequest(
        firewall_type="nat", region_no=REGION, vpc_id=made.vpc))).vswitch_list


only, = vswitches()
same((only.vswitch_id, only.status, only.firewall_list), (made.vswitch, "unavailable", []), "it has an instance")
PROXY = firewall()
used = {it.vswitch_id: [its.firewall_id for its in it.firewall_list] for it in vswitches()}
same(sorted(used.values()), [[], [PROXY]], "the vSwitch that the firewall has made is its own")
task = body(c.describe_firewall_task(cfw.DescribeFirewallTaskRequest(child_instance_id=PROXY)))
same((task.is_found, task.task_status), (True, "finished"))
same(body(c.describe_nat_acl_page_status(cfw.DescribeNatAclPageStatusRequest())).nat_acl_page_enable, True)
show("firewall", PROXY)

# Each EIP by itself, by its kind, by its region, and all.
body(c.create_instance_sync_task(cfw.CreateInstanceSyncTaskRequest()))


def status():
    only, = body(c.describe_asset_list(cfw.DescribeAssetListRequest(current_page="1", page_size="10"))).assets
    return only.protect_status


for request in (dict(ipaddr_list=[ADDRESS]), dict(resource_type_list=["NatEIP"]), dict(region_list=[REGION])):
    c.put_enable_fw_switch(cfw.PutEnableFwSwitchRequest(**request))
    same(status(), "open", request)
    c.put_disable_fw_switch(cfw.PutDisableFwSwitchRequest(**request))
    same(status(), "closed", request)
c.put_enable_all_fw_switch(cfw.PutEnableAllFwSwitchRequest())
same(status(), "open")
c.put_disable_all_fw_switch(cfw.PutDisableAllFwSwitchRequest())
same(status(), "closed")
c.set_auto_protect_new_assets(cfw.SetAutoProtectNewAssetsRequest(auto_protect=True))
assets = body(c.describe_asset_statistic(cfw.DescribeAssetStatisticRequest()))
same((assets.auto_resource_enable, assets.resource_spec_statistic.ip_num_used), (True, 0))
c.set_auto_protect_new_assets(cfw.SetAutoProtectNewAssetsRequest(auto_protect=False))


def border(action, order, **more):
    fields = {
        "direction": "out", "acl_action": action, "description": action, "source": "0.0.0.0/0", "source_type": "net",
        "destination": "0.0.0.0/0", "destination_type": "net", "proto": "TCP", "dest_port": "80/80",
        "application_name_list": ["ANY"], "new_order": str(order), "release": "true", "ip_version": "4",
    }
    fields.update(more)
    return body(c.add_control_policy(cfw.AddControlPolicyRequest(**fields))).acl_uuid


def of_border(**more):
    told = body(c.describe_control_policy(cfw.DescribeControlPolicyRequest(
        current_page="1", page_size="50", direction="out", **more)))
    same(told.total_count, str(len(told.policys)))
    return told.policys


with Site("198.51.100.20") as site:

    def passes(name=None):
        answer = fetch_from(made.instance, site.url(name))
        assert answer in (None, site.answer), answer
        return answer is not None

    # The Internet border: it sees the EIP, and refuses what the NAT firewall lets pass.
    DROP = border("drop", 1, source=f"{ADDRESS}/32")
    ALLOW = border("accept", 1, destination="*.allowed.example", destination_type="domain",
                   application_name_list=["HTTP"], domain_resolve_type="FQDN")
    first, second = of_border()
    same((first.acl_uuid, first.order, first.application_name_list, first.domain_resolve_type),
         (ALLOW, 1, ["HTTP"], "FQDN"))
    same((second.acl_uuid, second.order, second.source, second.dest_port), (DROP, 2, f"{ADDRESS}/32", "80/80"))
    used = body(c.describe_policy_prior_used(cfw.DescribePolicyPriorUsedRequest(direction="out", ip_version="4")))
    same((used.start, used.end), (1, 2))
    same((passes(), passes(ALLOWED)), (True, True), "the EIP is not protected")
    c.put_enable_fw_switch(cfw.PutEnableFwSwitchRequest(ipaddr_list=[ADDRESS]))
    same((passes(), passes(ALLOWED)), (False, True))
    assert {it.acl_uuid: it.hit_times for it in of_border()}[DROP] > 0
    c.reset_rule_hit_count(cfw.ResetRuleHitCountRequest(acl_uuid=DROP))
    same([it.hit_times for it in of_border(acl_uuid=DROP)], [0])
    c.modify_control_policy_position(cfw.ModifyControlPolicyPositionRequest(
        direction="out", old_order="2", new_order="1"))
    same(passes(ALLOWED), False, "what is now the first drops it")
    c.modify_control_policy_priority(cfw.ModifyControlPolicyPriorityRequest(acl_uuid=ALLOW, order="1"))
    same(passes(ALLOWED), True)
    # Not today: a policy of other days.
    today = (int(time.strftime("%w", time.gmtime())), int(time.strftime("%w", time.gmtime(time.time() + 3600))))
    others = [day for day in range(7) if day not in today]
    c.modify_control_policy(cfw.ModifyControlPolicyRequest(
        acl_uuid=DROP, direction="out", repeat_type="Weekly", repeat_days=others, repeat_start_time="00:00",
        repeat_end_time="23:30", start_time=1767225600, end_time=4070908800))
    told, = of_border(acl_uuid=DROP)
    same((told.repeat_type, told.repeat_days, told.repeat_end_time), ("Weekly", others, "23:30"))
    same(passes(), True, "on other days only")
    c.modify_control_policy(cfw.ModifyControlPolicyRequest(acl_uuid=DROP, direction="out", repeat_type="Permanent"))
    same(passes(), False)

    # The engine mode: of one EIP, and of all.
    c.modify_policy_advanced_config(cfw.ModifyPolicyAdvancedConfigRequest(internet_switch="on", eips=[ADDRESS]))
    c.modify_policy_advanced_config(cfw.ModifyPolicyAdvancedConfigRequest(internet_switch="on"))
    same(body(c.describe_policy_advanced_config(cfw.DescribePolicyAdvancedConfigRequest())).internet_switch, "on")
    c.modify_policy_advanced_config(cfw.ModifyPolicyAdvancedConfigRequest(internet_switch="off"))

    # Backups have the policies of all firewalls.
    now = str(int(time.time()))
    c.add_acl_backup_data(cfw.AddAclBackupDataRequest(back_up_time=now, description="before"))
    kept, = body(c.describe_acl_backup_list(cfw.DescribeAclBackupListRequest(current_page="1", page_size="10"))).backups
    same((str(kept.back_up_time), kept.description, kept.acl_count), (now, "before", 2))
    for acl in (DROP, ALLOW):
        c.delete_control_policy(cfw.DeleteControlPolicyRequest(acl_uuid=acl, direction="out"))
    same((of_border(), passes()), ([], True))
    c.use_acl_backup_data(cfw.UseAclBackupDataRequest(back_up_time=now))
    same(([it.acl_uuid for it in of_border()], passes()), ([ALLOW, DROP], False))
    c.delete_acl_backup_data(cfw.DeleteAclBackupDataRequest(back_up_time=now))
    refused("ErrorAclBackupNotExist", c.use_acl_backup_data, cfw.UseAclBackupDataRequest(back_up_time=now))
    for acl in (DROP, ALLOW):
        c.delete_control_policy(cfw.DeleteControlPolicyRequest(acl_uuid=acl, direction="out"))
    same(passes(), True)

    # Threats, by category.
    def threats():
        told = body(c.describe_threat_intelligence_switch()).category_list
        return {it.category_id: (it.action, it.enable_status) for it in told}

    category = sorted(threats())[0]
    c.modify_threat_intelligence_switch(cfw.ModifyThreatIntelligenceSwitchRequest(
        category_list=[cfw.ModifyThreatIntelligenceSwitchRequestCategoryList(
            category_id=category, action="drop", enable_status="1")]))
    same(threats()[category], ("drop", 1))

    # Several policies of the NAT gateway go at once.
    def nat(action, **more):
        fields = {
            "nat_gateway_id": made.gateway, "direction": "out", "acl_action": action, "description": action,
            "source": "192.168.0.0/16", "source_type": "net", "destination": "198.51.100.0/24",
            "destination_type": "net", "proto": "TCP", "dest_port": "80", "dest_port_type": "port",
            "application_name_list": ["ANY"], "new_order": "-1",
        }
        fields.update(more)
        request = cfw.CreateNatFirewallControlPolicyRequest(**fields)
        return body(c.create_nat_firewall_control_policy(request)).acl_uuid

    MINE = [nat("drop"), nat("accept"), nat("drop", destination="api.partner.example", destination_type="domain",
                                             domain_resolve_type=1)]
    same(passes(), False)
    groups = body(c.describe_nat_firewall_acl_group_list(cfw.DescribeNatFirewallAclGroupListRequest())).nat_firewalls
    same([(it.nat_gateway_id, it.acl_rule_count) for it in groups], [(made.gateway, 3)])
    counts = body(c.describe_acl_rule_count(cfw.DescribeAclRuleCountRequest()))
    same((counts.nat_out_acl_count, counts.internet_out_acl_count, counts.total_acl_count), (3, 0, 3))

    # What is wrong with them.
    tasks = body(c.create_acl_check(cfw.CreateAclCheckRequest(acl_type="nat", check_names=["conflicting"]))).task_ids
    same(len(tasks), 1)
    checks = body(c.describe_acl_checks(cfw.DescribeAclChecksRequest(acl_type="nat"))).check_records.records
    same([(it.task_id, it.check_status, it.acl_pending_count) for it in checks], [(tasks[0], "finished", 1)])

    def found():
        told = body(c.describe_acl_check(cfw.DescribeAclCheckRequest(task_id=tasks[0], page_no=1, page_size=10)))
        return [(it.acl.acl_uuid, it.acl_status) for it in told.check_record.acls]

    same(found(), [(MINE[1], "pending")])
    changed = body(c.update_acl_check_detail_status(cfw.UpdateAclCheckDetailStatusRequest(
        task_id=tasks[0], uuid=MINE[1], status="ignored")))
    same([(it.acl.acl_uuid, it.acl_status) for it in changed.check_record.acls], [(MINE[1], "ignored")])
    same(found(), [(MINE[1], "ignored")])
    assert body(c.describe_acl_check_quota(cfw.DescribeAclCheckQuotaRequest())).quota.consumed_quota >= 1

    # Names that policies go by the addresses of: nobody answers here.
    c.add_domain_resolve_realtime_task(cfw.AddDomainResolveRealtimeTaskRequest(domain_name="api.partner.example"))
    told = body(c.describe_domain_resolve(cfw.DescribeDomainResolveRequest(domain="api.partner.example")))
    same(told.resolve_result.ip_addrs, "")
    told = body(c.describe_control_policy_domain_resolve(cfw.DescribeControlPolicyDomainResolveRequest(
        firewall_type="nat")))
    same([it.domain for it in told.resolve_result], ["api.partner.example"])

    c.delete_nat_firewall_control_policy_batch(cfw.DeleteNatFirewallControlPolicyBatchRequest(
        nat_gateway_id=made.gateway, direction="out", acl_uuid_list=MINE))
    same(passes(), True)

# The DNS firewall.
DNS = body(c.add_dns_firewall_policy(cfw.AddDnsFirewallPolicyRequest(
    acl_action="drop", description="ads", destination="*.ads.example", destination_type="domain", direction="out",
    ip_version="4", priority="1", release="true", source="192.168.0.0/16", source_type="net"))).acl_uuid
c.modify_dns_firewall_policy(cfw.ModifyDnsFirewallPolicyRequest(acl_uuid=DNS, description="advertisements"))


def of_dns():
    return body(c.describe_dns_firewall_policy(cfw.DescribeDnsFirewallPolicyRequest(
        current_page="1", page_size="10"))).policys


only, = of_dns()
same((only.acl_uuid, only.priority, only.destination, only.source, only.description),
     (DNS, 1, "*.ads.example", "192.168.0.0/16", "advertisements"))
c.delete_dns_firewall_policy(cfw.DeleteDnsFirewallPolicyRequest(acl_uuid=DNS))
same(of_dns(), [])

# What policies can name.
apps = body(c.describe_acl_apps(cfw.DescribeAclAppsRequest(acl_type="NAT", page_no=1, page_size=50))).acl_apps
names = {it.app_name: (it.protocols, it.support_fqdn) for it in apps}
same((names["HTTPS"], names["SSH"]), ((["TCP"], 1), (["TCP"], 0)))
c.delete_security_proxy(cfw.DeleteSecurityProxyRequest(proxy_id=PROXY))

# Nothing was forgotten.
here = Path(__file__).parent
operations = json.loads((here / "../../crates/api/spec/cloudfw.json").read_text())["operations"]
called = "".join((here / it).read_text() for it in ("cfw_sdk.py", "cfw_policies_sdk.py"))
called = set(re.findall(r"\bc\.(\w+)\(", called))


def method(operation):
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", operation).lower()
    return words.replace("v_switch", "vswitch")


same(sorted(it for it in operations if method(it) not in called), [], "operations that were not called")
print("done")
