"""The DNAT scenario with the old Python SDK: signature version 1 (HMAC-SHA1), raw requests."""

import json

from aliyunsdkcore.acs_exception.exceptions import ClientException, ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from aliyunsdkvpc.request.v20160428.CreateVpcRequest import CreateVpcRequest
from aliyunsdkvpc.request.v20160428.DescribeVpcsRequest import DescribeVpcsRequest

from world import ENDPOINT, KEY, REGION, SECRET, ZONE, Web, fetch, same, show

client = AcsClient(KEY, SECRET, REGION)


def send(request):
    request.set_endpoint(ENDPOINT)
    return json.loads(client.do_action_with_exception(request))


def call(version, action, in_form=False, **params):
    request = CommonRequest(version=version, action_name=action, product="Any")
    request.set_method("POST")
    request.set_protocol_type("http")
    for name, value in {"RegionId": REGION, **params}.items():
        name = name.replace("__", ".")
        (request.add_body_params if in_form else request.add_query_param)(name, value)
    request.set_domain(ENDPOINT)
    return json.loads(client.do_action_with_exception(request))


def vpc(action, **params):
    return call("2016-04-28", action, **params)


def ecs(action, **params):
    return call("2014-05-26", action, **params)


request = CreateVpcRequest()
request.set_CidrBlock("172.16.0.0/12")
request.set_VpcName("core")
made = send(request)
VPC = made["VpcId"]
show("vpc", VPC)
request = DescribeVpcsRequest()
request.set_VpcId(VPC)
same(send(request)["Vpcs"]["Vpc"][0]["CidrBlock"], "172.16.0.0/12")
VSWITCH = vpc("CreateVSwitch", VpcId=VPC, ZoneId=ZONE, CidrBlock="172.16.1.0/24", in_form=True)["VSwitchId"]
GROUP = ecs("CreateSecurityGroup", VpcId=VPC, SecurityGroupName="core")["SecurityGroupId"]
ecs("AuthorizeSecurityGroup", SecurityGroupId=GROUP, IpProtocol="tcp", PortRange="80/80", SourceCidrIp="0.0.0.0/0")
INSTANCE = ecs("RunInstances", VSwitchId=VSWITCH, SecurityGroupId=GROUP, ImageId="netns", InstanceType="ecs.netns")
INSTANCE = INSTANCE["InstanceIdSets"]["InstanceIdSet"][0]
show("instance", INSTANCE)
shown = ecs("DescribeInstances", InstanceIds=json.dumps([INSTANCE]))["Instances"]["Instance"][0]
PRIVATE = shown["VpcAttributes"]["PrivateIpAddress"]["IpAddress"][0]
gateway = vpc("CreateNatGateway", VpcId=VPC, VSwitchId=VSWITCH, NatType="Enhanced", in_form=True)
GATEWAY, FTB, STB = gateway["NatGatewayId"], gateway["ForwardTableIds"]["ForwardTableId"][0], gateway["SnatTableIds"]["SnatTableId"][0]
eip = vpc("AllocateEipAddress")
vpc("AssociateEipAddress", AllocationId=eip["AllocationId"], InstanceId=GATEWAY, InstanceType="Nat")
snat = vpc("CreateSnatEntry", SnatTableId=STB, SourceCIDR="172.16.0.0/12", SnatIp=eip["EipAddress"])["SnatEntryId"]
dnat = vpc("CreateForwardEntry", ForwardTableId=FTB, ExternalIp=eip["EipAddress"], ExternalPort="80",
           InternalIp=PRIVATE, InternalPort="80", IpProtocol="TCP", in_form=True)["ForwardEntryId"]
with Web(INSTANCE):
    same(fetch(f"http://{eip['EipAddress']}/"), INSTANCE, "through the DNAT entry")
shown = vpc("DescribeForwardTableEntries", ForwardTableId=FTB)["ForwardTableEntries"]["ForwardTableEntry"]
same([it["ForwardEntryId"] for it in shown], [dnat])

# Errors as this SDK tells them apart.
try:
    vpc("DeleteVpc", VpcId=VPC)
    raise AssertionError("a VPC in use was deleted")
except (ClientException, ServerException) as error:
    assert error.get_error_code().startswith("DependencyViolation"), error
stranger = AcsClient(KEY, SECRET + "x", REGION)
try:
    request = DescribeVpcsRequest()
    request.set_endpoint(ENDPOINT)
    stranger.do_action_with_exception(request)
    raise AssertionError("a wrong secret was accepted")
except (ClientException, ServerException) as error:
    same(error.get_error_code(), "InvalidAccessKeySecret")

vpc("DeleteNatGateway", NatGatewayId=GATEWAY, Force="true")
vpc("ReleaseEipAddress", AllocationId=eip["AllocationId"])
ecs("StopInstance", InstanceId=INSTANCE)
ecs("DeleteInstance", InstanceId=INSTANCE)
ecs("DeleteSecurityGroup", SecurityGroupId=GROUP)
vpc("DeleteVSwitch", VSwitchId=VSWITCH)
vpc("DeleteVpc", VpcId=VPC)
same(vpc("DescribeVpcs", VpcId=VPC)["TotalCount"], 0)
show("done")
