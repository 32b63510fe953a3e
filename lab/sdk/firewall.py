"""What the scenarios about Cloud Firewall have in common: clients, and a network."""

from dataclasses import dataclass

from alibabacloud_cloudfw20171207.client import Client as Cfw
from alibabacloud_ecs20140526 import models as ecs
from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_vpc20160428 import models as vpc
from alibabacloud_vpc20160428.client import Client as Vpc

from clients import body, client
from world import REGION, ZONE

v, e, c = client(Vpc), client(Ecs), client(Cfw)


@dataclass
class Network:
    """An instance in a vSwitch, and a NAT gateway without EIPs."""

    vpc: str
    table: str
    vswitch: str
    instance: str
    private: str
    gateway: str
    snat_table: str


def network():
    made = body(v.create_vpc(vpc.CreateVpcRequest(region_id=REGION, cidr_block="192.168.0.0/16", vpc_name="shop")))
    vswitch = body(v.create_vswitch(vpc.CreateVSwitchRequest(
        region_id=REGION, vpc_id=made.vpc_id, zone_id=ZONE, cidr_block="192.168.1.0/24"))).v_switch_id
    group = body(e.create_security_group(ecs.CreateSecurityGroupRequest(
        region_id=REGION, vpc_id=made.vpc_id, security_group_name="web"))).security_group_id
    instance = body(e.run_instances(ecs.RunInstancesRequest(
        region_id=REGION, image_id="netns", instance_type="ecs.netns", v_switch_id=vswitch, security_group_id=group,
        amount=1))).instance_id_sets.instance_id_set[0]
    gateway = body(v.create_nat_gateway(vpc.CreateNatGatewayRequest(
        region_id=REGION, vpc_id=made.vpc_id, v_switch_id=vswitch, nat_type="Enhanced", name="out")))
    shown = body(e.describe_instances(ecs.DescribeInstancesRequest(region_id=REGION, instance_ids=f'["{instance}"]')))
    return Network(
        vpc=made.vpc_id,
        table=made.route_table_id,
        vswitch=vswitch,
        instance=instance,
        private=shown.instances.instance[0].vpc_attributes.private_ip_address.ip_address[0],
        gateway=gateway.nat_gateway_id,
        snat_table=gateway.snat_table_ids.snat_table_id[0],
    )


def connect(made):
    """Gives the gateway an EIP and an SNAT entry; the EIP's identifier and address."""
    allocated = body(v.allocate_eip_address(vpc.AllocateEipAddressRequest(region_id=REGION)))
    v.associate_eip_address(vpc.AssociateEipAddressRequest(
        region_id=REGION, allocation_id=allocated.allocation_id, instance_id=made.gateway, instance_type="Nat"))
    v.create_snat_entry(vpc.CreateSnatEntryRequest(
        region_id=REGION, snat_table_id=made.snat_table, source_vswitch_id=made.vswitch, snat_ip=allocated.eip_address))
    return allocated.allocation_id, allocated.eip_address
