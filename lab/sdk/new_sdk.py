"""The DNAT scenario with the new Python SDKs.

  new_sdk.py [v3|v2]     signed with ACS3-HMAC-SHA256, or with HMAC-SHA1
"""

import sys

from alibabacloud_ecs20140526 import models as ecs
from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_vpc20160428 import models as vpc
from alibabacloud_vpc20160428.client import Client as Vpc
from alibabacloud_vpcpeer20220101 import models as peer
from alibabacloud_vpcpeer20220101.client import Client as Peer

from clients import body, client, refused
from world import REGION, ZONE, Web, fetch, fetch_from, same, show

SIGNATURE = {"v3": "ACS3-HMAC-SHA256", "v2": "v2"}[sys.argv[1] if len(sys.argv) > 1 else "v3"]

v, e, p = (client(kind, SIGNATURE) for kind in (Vpc, Ecs, Peer))

# A network.
made = body(v.create_vpc(vpc.CreateVpcRequest(
    region_id=REGION, cidr_block="192.168.0.0/16", vpc_name="sdk", description="new SDK + ü*~ /",
    tag=[vpc.CreateVpcRequestTag(key="env", value="test"), vpc.CreateVpcRequestTag(key="of", value="sdk")],
)))
VPC = made.vpc_id
show("vpc", VPC)
assert made.vrouter_id and made.route_table_id and made.request_id
shown = body(v.describe_vpcs(vpc.DescribeVpcsRequest(region_id=REGION, vpc_id=VPC)))
same(shown.total_count, 1, "VPCs")
one = shown.vpcs.vpc[0]
same((one.vpc_id, one.status, one.cidr_block), (VPC, "Available", "192.168.0.0/16"))
same(one.description, "new SDK + ü*~ /")
same({tag.key: tag.value for tag in one.tags.tag}, {"env": "test", "of": "sdk"})

VSWITCH = body(v.create_vswitch(vpc.CreateVSwitchRequest(
    region_id=REGION, vpc_id=VPC, zone_id=ZONE, cidr_block="192.168.1.0/24", v_switch_name="sdk",
))).v_switch_id
shown = body(v.describe_vswitches(vpc.DescribeVSwitchesRequest(region_id=REGION, vpc_id=VPC)))
same([it.v_switch_id for it in shown.v_switches.v_switch], [VSWITCH])
same(shown.v_switches.v_switch[0].route_table.route_table_type, "System")
refused("InvalidCidrBlock.Overlapped", v.create_vswitch, vpc.CreateVSwitchRequest(
    region_id=REGION, vpc_id=VPC, zone_id=ZONE, cidr_block="192.168.1.0/25"))

# An instance with a security group that lets HTTP in.
GROUP = body(e.create_security_group(ecs.CreateSecurityGroupRequest(
    region_id=REGION, vpc_id=VPC, security_group_name="web", description="HTTP",
))).security_group_id
INSTANCE = body(e.run_instances(ecs.RunInstancesRequest(
    region_id=REGION, image_id="netns", instance_type="ecs.netns", v_switch_id=VSWITCH,
    security_group_id=GROUP, instance_name="web", amount=1,
))).instance_id_sets.instance_id_set[0]
show("instance", INSTANCE)
shown = body(e.describe_instances(ecs.DescribeInstancesRequest(region_id=REGION, instance_ids=f'["{INSTANCE}"]')))
one = shown.instances.instance[0]
same((one.status, one.vpc_attributes.vpc_id, one.security_group_ids.security_group_id), ("Running", VPC, [GROUP]))
PRIVATE = one.vpc_attributes.private_ip_address.ip_address[0]
assert PRIVATE.startswith("192.168.1."), PRIVATE

# A NAT gateway with an EIP, SNAT and DNAT.
gateway = body(v.create_nat_gateway(vpc.CreateNatGatewayRequest(
    region_id=REGION, vpc_id=VPC, v_switch_id=VSWITCH, nat_type="Enhanced", network_type="internet", name="sdk",
    eip_bind_mode="MULTI_BINDED", internet_charge_type="PayByLcu", icmp_reply_enabled=True, client_token="ngw-" + VPC,
)))
GATEWAY, STB, FTB = gateway.nat_gateway_id, gateway.snat_table_ids.snat_table_id[0], gateway.forward_table_ids.forward_table_id[0]
again = body(v.create_nat_gateway(vpc.CreateNatGatewayRequest(
    region_id=REGION, vpc_id=VPC, v_switch_id=VSWITCH, nat_type="Enhanced", network_type="internet", name="sdk",
    eip_bind_mode="MULTI_BINDED", internet_charge_type="PayByLcu", icmp_reply_enabled=True, client_token="ngw-" + VPC,
)))
same(again.nat_gateway_id, GATEWAY, "the same token again")
allocated = body(v.allocate_eip_address(vpc.AllocateEipAddressRequest(region_id=REGION, bandwidth="100", name="sdk")))
EIP, ADDRESS = allocated.allocation_id, allocated.eip_address
show("eip", ADDRESS)
v.associate_eip_address(vpc.AssociateEipAddressRequest(
    region_id=REGION, allocation_id=EIP, instance_id=GATEWAY, instance_type="Nat"))
shown = body(v.describe_eip_addresses(vpc.DescribeEipAddressesRequest(region_id=REGION, allocation_id=EIP)))
one = shown.eip_addresses.eip_address[0]
same((one.status, one.ip_address, one.instance_id, one.instance_type), ("InUse", ADDRESS, GATEWAY, "Nat"))

SNAT = body(v.create_snat_entry(vpc.CreateSnatEntryRequest(
    region_id=REGION, snat_table_id=STB, source_vswitch_id=VSWITCH, snat_ip=ADDRESS, snat_entry_name="sdk",
))).snat_entry_id
shown = body(v.describe_snat_table_entries(vpc.DescribeSnatTableEntriesRequest(region_id=REGION, snat_table_id=STB)))
one = shown.snat_table_entries.snat_table_entry[0]
same((one.snat_entry_id, one.snat_ip, one.source_vswitch_id, one.status), (SNAT, ADDRESS, VSWITCH, "Available"))

DNAT = body(v.create_forward_entry(vpc.CreateForwardEntryRequest(
    region_id=REGION, forward_table_id=FTB, external_ip=ADDRESS, external_port="8080",
    internal_ip=PRIVATE, internal_port="80", ip_protocol="tcp", forward_entry_name="web",
))).forward_entry_id
shown = body(v.describe_forward_table_entries(vpc.DescribeForwardTableEntriesRequest(region_id=REGION, forward_table_id=FTB)))
one = shown.forward_table_entries.forward_table_entry[0]
same((one.forward_entry_id, one.external_port, one.internal_port, one.ip_protocol), (DNAT, "8080", "80", "tcp"))
shown = body(v.describe_nat_gateways(vpc.DescribeNatGatewaysRequest(region_id=REGION, nat_gateway_id=GATEWAY)))
one = shown.nat_gateways.nat_gateway[0]
same((one.status, one.vpc_id, one.ip_lists.ip_list[0].using_status), ("Available", VPC, "UsedByForwardSnatTable"))
same(one.nat_gateway_private_info.vswitch_id, VSWITCH)
shown = body(v.get_nat_gateway_attribute(vpc.GetNatGatewayAttributeRequest(region_id=REGION, nat_gateway_id=GATEWAY)))
same((shown.snat_table.snat_table_id, shown.forward_table.forward_entry_count), (STB, 1))
routes = body(v.describe_route_entry_list(vpc.DescribeRouteEntryListRequest(
    region_id=REGION, route_table_id=made.route_table_id, destination_cidr_block="0.0.0.0/0")))
same(routes.route_entrys.route_entry[0].next_hops.next_hop[0].next_hop_id, GATEWAY)

# Real requests: the security group keeps them out, then lets them in.
with Web(INSTANCE):
    url = f"http://{ADDRESS}:8080/"
    same(fetch(url), None, "before the security group allows it")
    e.authorize_security_group(ecs.AuthorizeSecurityGroupRequest(
        region_id=REGION, security_group_id=GROUP, permissions=[ecs.AuthorizeSecurityGroupRequestPermissions(
            ip_protocol="TCP", port_range="80/80", source_cidr_ip="0.0.0.0/0", policy="accept", priority="1",
        )]))
    shown = body(e.describe_security_group_attribute(ecs.DescribeSecurityGroupAttributeRequest(
        region_id=REGION, security_group_id=GROUP, direction="ingress")))
    same(shown.permissions.permission[0].port_range, "80/80")
    same(fetch(url), INSTANCE, "through the DNAT entry")
    v.modify_forward_entry(vpc.ModifyForwardEntryRequest(
        region_id=REGION, forward_table_id=FTB, forward_entry_id=DNAT, external_port="9090"))
    same(fetch(url), None, "the old port")
    same(fetch(f"http://{ADDRESS}:9090/"), INSTANCE, "the new port")

# A second VPC, peered with the first: its instance asks the first one's, directly.
other = body(v.create_vpc(vpc.CreateVpcRequest(region_id=REGION, cidr_block="10.0.0.0/16", vpc_name="office")))
OFFICE_SWITCH = body(v.create_vswitch(vpc.CreateVSwitchRequest(
    region_id=REGION, vpc_id=other.vpc_id, zone_id=ZONE, cidr_block="10.0.1.0/24"))).v_switch_id
OFFICE_GROUP = body(e.create_security_group(ecs.CreateSecurityGroupRequest(
    region_id=REGION, vpc_id=other.vpc_id, security_group_name="office"))).security_group_id
OFFICE = body(e.run_instances(ecs.RunInstancesRequest(
    region_id=REGION, image_id="netns", instance_type="ecs.netns", v_switch_id=OFFICE_SWITCH,
    security_group_id=OFFICE_GROUP, amount=1))).instance_id_sets.instance_id_set[0]
PEERING = body(p.create_vpc_peer_connection(peer.CreateVpcPeerConnectionRequest(
    region_id=REGION, vpc_id=VPC, accepting_vpc_id=other.vpc_id, accepting_region_id=REGION,
    accepting_ali_uid=1210123456123456, name="office",
    tag=[peer.CreateVpcPeerConnectionRequestTag(key="of", value="sdk")]))).instance_id
show("peering", PEERING)
one = body(p.get_vpc_peer_connection_attribute(peer.GetVpcPeerConnectionAttributeRequest(instance_id=PEERING)))
same((one.status, one.name, one.bandwidth, one.biz_status), ("Activated", "office", -1, "Normal"))
same((one.vpc.vpc_id, one.vpc.ipv_4cidrs), (VPC, ["192.168.0.0/16"]))
same((one.accepting_vpc.vpc_id, one.accepting_vpc.ipv_4cidrs), (other.vpc_id, ["10.0.0.0/16"]))
same([(tag.key, tag.value) for tag in one.tags], [("of", "sdk")])
shown = body(p.list_vpc_peer_connections(peer.ListVpcPeerConnectionsRequest(
    region_id=REGION, vpc_id=[other.vpc_id, "vpc-none"], max_results=10)))
same((shown.total_count, [it.instance_id for it in shown.vpc_peer_connects]), (1, [PEERING]))
same(shown.vpc_peer_connects[0].accepting_owner_uid, 1210123456123456)
refused("IncorrectStatus.VpcPeer", p.accept_vpc_peer_connection, peer.AcceptVpcPeerConnectionRequest(instance_id=PEERING))
e.authorize_security_group(ecs.AuthorizeSecurityGroupRequest(
    region_id=REGION, security_group_id=GROUP, permissions=[ecs.AuthorizeSecurityGroupRequestPermissions(
        ip_protocol="TCP", port_range="80/80", source_cidr_ip="0.0.0.0/0")]))
with Web(INSTANCE):
    url = f"http://{PRIVATE}/"
    same(fetch_from(OFFICE, url), None, "before there are routes")
    for table, block in ((other.route_table_id, "192.168.0.0/16"), (made.route_table_id, "10.0.0.0/16")):
        v.create_route_entry(vpc.CreateRouteEntryRequest(
            region_id=REGION, route_table_id=table, destination_cidr_block=block,
            next_hop_type="VpcPeer", next_hop_id=PEERING))
    routes = body(v.describe_route_entry_list(vpc.DescribeRouteEntryListRequest(
        region_id=REGION, route_table_id=other.route_table_id, next_hop_type="VpcPeer")))
    same(routes.route_entrys.route_entry[0].next_hops.next_hop[0].next_hop_id, PEERING)
    same(fetch_from(OFFICE, url), INSTANCE, "across the peering")
    # Through a VPC NAT gateway the office is seen as one address, and the web is called by another one.
    EDGE = body(v.create_vswitch(vpc.CreateVSwitchRequest(
        region_id=REGION, vpc_id=other.vpc_id, zone_id=ZONE, cidr_block="10.0.2.0/24"))).v_switch_id
    beyond = body(v.create_route_table(vpc.CreateRouteTableRequest(region_id=REGION, vpc_id=other.vpc_id))).route_table_id
    v.associate_route_table(vpc.AssociateRouteTableRequest(region_id=REGION, route_table_id=beyond, v_switch_id=EDGE))
    v.create_route_entry(vpc.CreateRouteEntryRequest(
        region_id=REGION, route_table_id=beyond, destination_cidr_block="192.168.0.0/16",
        next_hop_type="VpcPeer", next_hop_id=PEERING))
    private = body(v.create_nat_gateway(vpc.CreateNatGatewayRequest(
        region_id=REGION, vpc_id=other.vpc_id, v_switch_id=EDGE, nat_type="Enhanced", network_type="intranet")))
    made_ip = body(v.create_nat_ip(vpc.CreateNatIpRequest(
        region_id=REGION, nat_gateway_id=private.nat_gateway_id, nat_ip_cidr="10.0.2.0/24", nat_ip="10.0.2.77", nat_ip_name="one")))
    same(made_ip.nat_ip, "10.0.2.77")
    ips = body(v.list_nat_ips(vpc.ListNatIpsRequest(region_id=REGION, nat_gateway_id=private.nat_gateway_id)))
    same(sorted((it.nat_ip, it.is_default, it.nat_ip_status) for it in ips.nat_ips),
         [("10.0.2.1", True, "Available"), ("10.0.2.77", False, "Available")])
    blocks = body(v.list_nat_ip_cidrs(vpc.ListNatIpCidrsRequest(region_id=REGION, nat_gateway_id=private.nat_gateway_id)))
    same([(it.nat_ip_cidr, it.is_default) for it in blocks.nat_ip_cidrs], [("10.0.2.0/24", True)])
    v.create_snat_entry(vpc.CreateSnatEntryRequest(
        region_id=REGION, snat_table_id=private.snat_table_ids.snat_table_id[0], source_vswitch_id=OFFICE_SWITCH, snat_ip="10.0.2.77"))
    routes = body(v.describe_route_entry_list(vpc.DescribeRouteEntryListRequest(
        region_id=REGION, route_table_id=other.route_table_id, next_hop_type="VpcPeer"))).route_entrys.route_entry
    v.modify_route_entry(vpc.ModifyRouteEntryRequest(
        region_id=REGION, route_entry_id=routes[0].route_entry_id, new_next_hop_type="NatGateway",
        new_next_hop_id=private.nat_gateway_id))
    # From now on the web server knows nobody but the NAT IP.
    e.revoke_security_group(ecs.RevokeSecurityGroupRequest(
        region_id=REGION, security_group_id=GROUP, permissions=[ecs.RevokeSecurityGroupRequestPermissions(
            ip_protocol="TCP", port_range="80/80", source_cidr_ip="0.0.0.0/0", policy="accept", priority="1")]))
    same(fetch_from(OFFICE, url), None, "before the group knows the NAT IP")
    e.authorize_security_group(ecs.AuthorizeSecurityGroupRequest(
        region_id=REGION, security_group_id=GROUP, permissions=[ecs.AuthorizeSecurityGroupRequestPermissions(
            ip_protocol="TCP", port_range="80/80", source_cidr_ip="10.0.2.77/32")]))
    same(fetch_from(OFFICE, url), INSTANCE, "as the NAT IP")
    refused("DependencyViolation.SnatEntry", v.delete_nat_ip, vpc.DeleteNatIpRequest(
        region_id=REGION, nat_ip_id=made_ip.nat_ip_id))
    v.modify_route_entry(vpc.ModifyRouteEntryRequest(
        region_id=REGION, route_entry_id=routes[0].route_entry_id, new_next_hop_type="VpcPeer", new_next_hop_id=PEERING))
    v.delete_nat_gateway(vpc.DeleteNatGatewayRequest(region_id=REGION, nat_gateway_id=private.nat_gateway_id, force=True))
    v.delete_vswitch(vpc.DeleteVSwitchRequest(region_id=REGION, v_switch_id=EDGE))
    e.authorize_security_group(ecs.AuthorizeSecurityGroupRequest(
        region_id=REGION, security_group_id=GROUP, permissions=[ecs.AuthorizeSecurityGroupRequestPermissions(
            ip_protocol="TCP", port_range="80/80", source_cidr_ip="0.0.0.0/0")]))
    same(fetch_from(OFFICE, url), INSTANCE, "across the peering again")
    p.modify_vpc_peer_connection(peer.ModifyVpcPeerConnectionRequest(instance_id=PEERING, name="renamed"))
    one = body(p.get_vpc_peer_connection_attribute(peer.GetVpcPeerConnectionAttributeRequest(instance_id=PEERING)))
    same(one.name, "renamed")
    refused("OperationDenied.RouteEntryExist", p.delete_vpc_peer_connection,
            peer.DeleteVpcPeerConnectionRequest(instance_id=PEERING))
    p.delete_vpc_peer_connection(peer.DeleteVpcPeerConnectionRequest(instance_id=PEERING, force=True))
    same(fetch_from(OFFICE, url), None, "after the peering")
shown = body(p.list_vpc_peer_connections(peer.ListVpcPeerConnectionsRequest(region_id=REGION)))
same((shown.total_count, shown.vpc_peer_connects), (0, []))
v.delete_route_table(vpc.DeleteRouteTableRequest(region_id=REGION, route_table_id=beyond))
e.delete_instance(ecs.DeleteInstanceRequest(instance_id=OFFICE, force=True))
e.delete_security_group(ecs.DeleteSecurityGroupRequest(region_id=REGION, security_group_id=OFFICE_GROUP))
v.delete_vswitch(vpc.DeleteVSwitchRequest(region_id=REGION, v_switch_id=OFFICE_SWITCH))
v.delete_vpc(vpc.DeleteVpcRequest(region_id=REGION, vpc_id=other.vpc_id))

# What is in use cannot go, then all goes.
refused("DryRunOperation", v.create_vpc, vpc.CreateVpcRequest(region_id=REGION, cidr_block="10.0.0.0/16", dry_run=True))
refused("InvalidVpcId.NotFound", v.delete_vpc, vpc.DeleteVpcRequest(region_id=REGION, vpc_id="vpc-none"))
try:
    v.delete_vswitch(vpc.DeleteVSwitchRequest(region_id=REGION, v_switch_id=VSWITCH))
    raise AssertionError("a vSwitch in use was deleted")
except Exception as error:
    assert getattr(error, "code", "").startswith("DependencyViolation"), error
v.delete_forward_entry(vpc.DeleteForwardEntryRequest(region_id=REGION, forward_table_id=FTB, forward_entry_id=DNAT))
v.delete_snat_entry(vpc.DeleteSnatEntryRequest(region_id=REGION, snat_table_id=STB, snat_entry_id=SNAT))
v.unassociate_eip_address(vpc.UnassociateEipAddressRequest(
    region_id=REGION, allocation_id=EIP, instance_id=GATEWAY, instance_type="Nat"))
v.release_eip_address(vpc.ReleaseEipAddressRequest(region_id=REGION, allocation_id=EIP))
v.delete_nat_gateway(vpc.DeleteNatGatewayRequest(region_id=REGION, nat_gateway_id=GATEWAY))
e.delete_instance(ecs.DeleteInstanceRequest(instance_id=INSTANCE, force=True))
e.delete_security_group(ecs.DeleteSecurityGroupRequest(region_id=REGION, security_group_id=GROUP))
v.delete_vswitch(vpc.DeleteVSwitchRequest(region_id=REGION, v_switch_id=VSWITCH))
v.delete_vpc(vpc.DeleteVpcRequest(region_id=REGION, vpc_id=VPC))
same(body(v.describe_vpcs(vpc.DescribeVpcsRequest(region_id=REGION, vpc_id=VPC))).total_count, 0, "VPCs left")
same(body(v.describe_nat_gateways(vpc.DescribeNatGatewaysRequest(region_id=REGION, vpc_id=VPC))).total_count, 0, "gateways left")
show("done")
