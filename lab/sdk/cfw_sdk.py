"""The life of a NAT firewall with the new Python SDK of Cloud Firewall.

  cfw_sdk.py             what the API says and does
  cfw_sdk.py enforced    and what it lets through: real requests
"""

import sys

from alibabacloud_cloudfw20171207 import models as cfw
from alibabacloud_vpc20160428 import models as vpc

from clients import body, refused
from firewall import c, connect, network, v
from world import REGION, Site, fetch_from, records, same, show

ENFORCED = sys.argv[1:] == ["enforced"]

made = network()
VPC, TABLE, INSTANCE, PRIVATE = made.vpc, made.table, made.instance, made.private
GATEWAY, STB = made.gateway, made.snat_table


def precheck():
    started = body(c.create_nat_firewall_pre_check(cfw.CreateNatFirewallPreCheckRequest(
        nat_gateway_id=GATEWAY, region_no=REGION, vpc_id=VPC)))
    assert started.pre_check_id, started
    told = body(c.describe_nat_firewall_precheck_detail(cfw.DescribeNatFirewallPrecheckDetailRequest(
        nat_gateway_id=GATEWAY, region_no=REGION)))
    assert told.is_found, told
    detail = told.precheck_detail
    items = [item for group in detail.precheck_entity_groups for item in group.precheck_entities]
    for item in items:
        assert item.info and (item.suggestion or item.status == "passed"), item
    same(sum(group.failed_count for group in detail.precheck_entity_groups), sum(it.status == "failed" for it in items))
    return detail.precheck_status, [item.name for item in items if item.status == "failed"]


# Without EIP and SNAT entry the gateway is not ready.
same(precheck(), ("failed", ["EipCount", "SnatEntry"]))
_, ADDRESS = connect(made)
same(precheck(), ("passed", []))
resources = body(c.describe_security_proxy_resources(cfw.DescribeSecurityProxyResourcesRequest(nat_gateway_id=GATEWAY)))
ready = resources.resource_list[0].vpc_list[0].nat_gateways[0]
same((ready.nat_gateway_id, ready.status), (GATEWAY, "available"))
quota = body(c.describe_nat_firewall_quota(cfw.DescribeNatFirewallQuotaRequest()))
same((quota.used_count, quota.unprotected_count), (0, 1))
bought = body(c.describe_user_buy_version(cfw.DescribeUserBuyVersionRequest()))
same((bought.user_status, bought.instance_status), (True, "normal"))


def default_route(table):
    routes = body(v.describe_route_entry_list(vpc.DescribeRouteEntryListRequest(
        region_id=REGION, route_table_id=table, destination_cidr_block="0.0.0.0/0")))
    hop = routes.route_entrys.route_entry[0].next_hops.next_hop[0]
    return hop.next_hop_type, hop.next_hop_id


def listed(status):
    told = body(c.describe_nat_firewall_list(cfw.DescribeNatFirewallListRequest(
        region_no=REGION, status=status, page_no=1, page_size=50)))
    same(told.total_count, len(told.nat_firewall_list))
    return told.nat_firewall_list


def decided(record):
    """What became of a session, which policy it met first and which decided, and what it was found to be."""
    only, = record["firewalls"]
    same((only["kind"], only["id"], record["instance"], record["gateway"]), ("nat", PROXY, INSTANCE, GATEWAY))
    return (record["kind"], record["result"], only["by"], only.get("pre_policy"), only.get("policy"), record["state"],
            record.get("app"), record.get("domain"))


BEFORE = default_route(TABLE)
same(BEFORE, ("NatGateway", GATEWAY))
with Site("198.51.100.20") as site:
    same(fetch_from(INSTANCE, site.url()), site.answer, "before there is a firewall")

    # It is made, as Terraform does, with the routes that it is to divert.
    request = cfw.CreateSecurityProxyRequest(
        firewall_switch="close", nat_gateway_id=GATEWAY, proxy_name="shop_firewall", region_no=REGION, vpc_id=VPC,
        strict_mode=0, vswitch_auto="true", vswitch_cidr="192.168.200.0/28",
        nat_route_entry_list=[cfw.CreateSecurityProxyRequestNatRouteEntryList(
            destination_cidr="0.0.0.0/0", next_hop_id=GATEWAY, next_hop_type="NatGateway", route_table_id=TABLE)])
    PROXY = body(c.create_security_proxy(request)).proxy_id
    show("firewall", PROXY)
    refused("ErrorNatFirewallExists", c.create_security_proxy, request)
    one, = listed("closed")
    same((one.proxy_id, one.proxy_name, one.strict_mode), (PROXY, "shop_firewall", 0))
    same((one.nat_gateway_id, one.nat_gateway_name, one.vpc_id, one.vpc_name), (GATEWAY, "out", VPC, "shop"))
    route, = one.nat_route_entry_list
    same((route.route_table_id, route.destination_cidr, route.next_hop_id, route.next_hop_type),
         (TABLE, "0.0.0.0/0", GATEWAY, "NatGateway"))
    same(default_route(TABLE), BEFORE, "while it is off")
    same(default_route(one.proxy_route_table_id), BEFORE, "the firewall's own table")

    # On, with the mode changed.
    c.switch_security_proxy(cfw.SwitchSecurityProxyRequest(proxy_id=PROXY, switch="open"))
    c.update_security_proxy(cfw.UpdateSecurityProxyRequest(proxy_id=PROXY, proxy_name="renamed", strict_mode=1))
    one, = listed("normal")
    same((one.proxy_name, one.strict_mode, one.error_detail), ("renamed", 1, ""))
    same(default_route(TABLE), ("NetworkInterface", one.proxy_network_interface_id))
    own, = body(c.describe_firewall_vswitch(cfw.DescribeFirewallVSwitchRequest(firewall_id=PROXY))).vswitch_list
    same((own.vswitch_id, own.cidr_block), (one.proxy_vswitch_id, "192.168.200.0/28"))
    old, = body(c.describe_security_proxy(cfw.DescribeSecurityProxyRequest(proxy_id=PROXY))).proxy_list
    same((old.status, old.snat_ip_list, old.v_switch_id), ("normal", [ADDRESS], one.proxy_vswitch_id))
    created, = body(c.describe_created_nat_firewall(cfw.DescribeCreatedNatFirewallRequest())).created_nat_firewalls
    same((created.nat_firewall_id, created.nat_gateway_id), (PROXY, GATEWAY))
    body(c.create_nat_firewall_sync_task(cfw.CreateNatFirewallSyncTaskRequest()))
    entries = body(v.describe_snat_table_entries(vpc.DescribeSnatTableEntriesRequest(
        region_id=REGION, snat_table_id=STB))).snat_table_entries.snat_table_entry
    same(len(entries), 2, "an SNAT entry for its EIP")
    its, = [entry for entry in entries if entry.snat_entry_name == "Cloud_Firewall_SNAT"]
    refused("OperationDenied.NatFirewall", v.delete_snat_entry, vpc.DeleteSnatEntryRequest(
        region_id=REGION, snat_table_id=STB, snat_entry_id=its.snat_entry_id))
    refused("OperationDenied.NatFirewall", v.delete_vswitch, vpc.DeleteVSwitchRequest(
        region_id=REGION, v_switch_id=one.proxy_vswitch_id))
    same(fetch_from(INSTANCE, site.url()), site.answer, "without policies all is allowed")

    # Address books and policies.
    def book(kind, name, entries):
        return body(c.add_address_book(cfw.AddAddressBookRequest(
            group_type=kind, group_name=name, description=name, address_list=entries))).group_uuid

    BOOK = book("ip", "office", f"{PRIVATE}/32 the instance")
    PORTS = book("port", "web", "80 HTTP,8080/8090")
    told = body(c.describe_address_book(cfw.DescribeAddressBookRequest(group_uuid=BOOK))).acls[0]
    same((told.group_name, told.address_list, told.reference_count), ("office", [f"{PRIVATE}/32"], 0))
    c.modify_address_book(cfw.ModifyAddressBookRequest(
        group_uuid=BOOK, group_name="office", description="changed", address_list="192.168.77.0/24",
        modify_mode="Append"))
    told = body(c.describe_address_book(cfw.DescribeAddressBookRequest(group_uuid=BOOK))).acls[0]
    same(sorted(told.address_list), sorted([f"{PRIVATE}/32", "192.168.77.0/24"]))

    def policy(action, order, **more):
        fields = {
            "nat_gateway_id": GATEWAY, "direction": "out", "acl_action": action, "description": action,
            "source": "192.168.0.0/16", "source_type": "net", "destination": "0.0.0.0/0", "destination_type": "net",
            "proto": "TCP", "dest_port": "0/0", "dest_port_type": "port", "application_name_list": ["ANY"],
            "new_order": str(order), "release": "true", "ip_version": "4",
        }
        fields.update(more)
        return body(c.create_nat_firewall_control_policy(cfw.CreateNatFirewallControlPolicyRequest(**fields))).acl_uuid

    def policies(**more):
        told = body(c.describe_nat_firewall_control_policy(cfw.DescribeNatFirewallControlPolicyRequest(
            nat_gateway_id=GATEWAY, direction="out", current_page="1", page_size="50", **more)))
        same(told.total_count, str(len(told.policys)))
        return told.policys

    # By a book and a port: refused. By a domain: that one goes, in front of it.
    DROP = policy("drop", 1, source="office", source_type="group", dest_port="", dest_port_type="group",
                  dest_port_group="web")
    ALLOW = policy("accept", 1, destination="*.allowed.example", destination_type="domain",
                   dest_port="80/80", application_name_list=["HTTP"], domain_resolve_type=0)
    same([(it.acl_uuid, it.order) for it in policies()], [(ALLOW, 1), (DROP, 2)])
    first, second = policies()
    same((first.destination, first.destination_type, first.application_name_list, first.domain_resolve_type),
         ("*.allowed.example", "domain", ["HTTP"], 0))
    same((second.source, second.source_type, second.dest_port_group, second.nat_gateway_id),
         ("office", "group", "web", GATEWAY))
    same(sorted(second.source_group_cidrs), sorted([f"{PRIVATE}/32", "192.168.77.0/24"]))
    used = body(c.describe_nat_firewall_policy_prior_used(cfw.DescribeNatFirewallPolicyPriorUsedRequest(
        nat_gateway_id=GATEWAY, direction="out", ip_version="4")))
    same((used.start, used.end), (1, 2))
    told = body(c.describe_address_book(cfw.DescribeAddressBookRequest(group_uuid=BOOK))).acls[0]
    same(told.reference_count, 1)
    if ENFORCED:
        same(fetch_from(INSTANCE, site.url()), None, "refused by the port")
        same(fetch_from(INSTANCE, site.url("www.allowed.example")), site.answer, "allowed by the domain")
        hits = {it.acl_uuid: it.hit_times for it in policies()}
        assert hits[DROP] > 0 and hits[ALLOW] > 0, hits

    # The other order: nothing gets to the second.
    c.modify_nat_firewall_control_policy_position(cfw.ModifyNatFirewallControlPolicyPositionRequest(
        nat_gateway_id=GATEWAY, acl_uuid=DROP, direction="out", new_order=1))
    same([it.acl_uuid for it in policies()], [DROP, ALLOW])
    if ENFORCED:
        same(fetch_from(INSTANCE, site.url("www.allowed.example")), None, "refused by what is now the first")

    # What is changed or not released refuses nothing.
    c.modify_nat_firewall_control_policy(cfw.ModifyNatFirewallControlPolicyRequest(
        nat_gateway_id=GATEWAY, acl_uuid=DROP, direction="out", acl_action="log", release="false"))
    same([(it.acl_action, it.release) for it in policies(acl_uuid=DROP)], [("log", "false")])
    same(fetch_from(INSTANCE, site.url()), site.answer, "what is not released refuses nothing")
    c.reset_nat_firewall_rule_hit_count(cfw.ResetNatFirewallRuleHitCountRequest(
        nat_gateway_id=GATEWAY, acl_uuid=DROP))
    same([it.hit_times for it in policies(acl_uuid=DROP)], [0])
    for acl in (DROP, ALLOW):
        c.delete_nat_firewall_control_policy(cfw.DeleteNatFirewallControlPolicyRequest(
            nat_gateway_id=GATEWAY, acl_uuid=acl, direction="out"))
    same(policies(), [])
    for uuid in (BOOK, PORTS):
        c.delete_address_book(cfw.DeleteAddressBookRequest(group_uuid=uuid))

    # The Internet border, for the EIP.
    def asset():
        told = body(c.describe_asset_list(cfw.DescribeAssetListRequest(
            current_page="1", page_size="10", search_item=ADDRESS)))
        only, = told.assets
        return only.internet_address, only.resource_type, only.bind_instance_id, only.protect_status

    same(asset(), (ADDRESS, "NatEIP", GATEWAY, "closed"))
    answer = body(c.put_enable_fw_switch(cfw.PutEnableFwSwitchRequest(ipaddr_list=[ADDRESS])))
    same(answer.abnormal_resource_status_list, [])
    same(asset(), (ADDRESS, "NatEIP", GATEWAY, "open"))
    c.put_disable_all_fw_switch(cfw.PutDisableAllFwSwitchRequest())
    same(asset(), (ADDRESS, "NatEIP", GATEWAY, "closed"))

    # What was put down of the requests so far.
    free = ("ended", "allow", "default", None, None, "none", None, None)
    decisions = [
        free,
        # It met the policy with the domain first, told none, and went on to the next one.
        ("ended", "drop", "policy", ALLOW, DROP, "success", "HTTP", None),
        ("ended", "allow", "policy", ALLOW, ALLOW, "success", "HTTP", "www.allowed.example"),
        # Refused by addresses and port: nothing was to be found out.
        ("refused", "drop", "policy", None, DROP, "policy_discard", None, None),
        # The policy with the domain was the only one.
        ("ended", "allow", "default", ALLOW, None, "success", "HTTP", None),
    ]
    if ENFORCED:
        told = records(len(decisions), site.address)
        same(sorted(map(decided, told), key=str), sorted(decisions, key=str), "the records")
        assert all(it["packets_out"] > 0 and it["nat_src"] == ADDRESS for it in told), told

    # Off and on again and deleted while it is on: the route is as it was.
    for to, status in (("close", "closed"), ("open", "normal")):
        c.switch_security_proxy(cfw.SwitchSecurityProxyRequest(proxy_id=PROXY, switch=to))
        same([it.proxy_id for it in listed(status)], [PROXY])
        same(fetch_from(INSTANCE, site.url()), site.answer, f"{status}")
    if ENFORCED:
        # What goes past it while it is off is not put down.
        told = records(len(decisions) + 1, site.address)
        same(sorted(map(decided, told), key=str), sorted([*decisions, free], key=str), "the records after it was off")

    # A book of a cloud service is the operator's: policies name it, and nobody changes it.
    if ENFORCED:
        only, = body(c.describe_address_book(cfw.DescribeAddressBookRequest(group_type="allCloud", query="site"))).acls
        same((only.group_name, only.group_type, only.address_list, only.reference_count),
             ("site", "allCloud", ["198.51.100.20/32"], 0))
        SERVICE = policy("drop", 1, destination="site", destination_type="group")
        same(fetch_from(INSTANCE, site.url()), None, "refused by the cloud service")
        only, = body(c.describe_address_book(cfw.DescribeAddressBookRequest(group_type="allCloud"))).acls
        same(only.reference_count, 1)
        shown, = policies(acl_uuid=SERVICE)
        same((shown.destination, shown.destination_type, shown.destination_group_type), ("site", "group", "allCloud"))
        refused("InvalidParameter", c.delete_address_book, cfw.DeleteAddressBookRequest(group_uuid=only.group_uuid))
        refused("InvalidParameter", c.modify_address_book, cfw.ModifyAddressBookRequest(
            group_uuid=only.group_uuid, group_name="site", description="mine", address_list="192.0.2.1"))
        c.delete_nat_firewall_control_policy(cfw.DeleteNatFirewallControlPolicyRequest(
            nat_gateway_id=GATEWAY, acl_uuid=SERVICE, direction="out"))

    c.delete_security_proxy(cfw.DeleteSecurityProxyRequest(proxy_id=PROXY))
    same(listed(None), [])
    same(default_route(TABLE), BEFORE, "after it")
    same(fetch_from(INSTANCE, site.url()), site.answer, "after it")
refused("ErrorNatFirewallNotFound", c.delete_security_proxy, cfw.DeleteSecurityProxyRequest(proxy_id=PROXY))
same(precheck(), ("passed", []))

print("done")
