"""Users, keys, policies and the audit trail, with the new Python SDKs of RAM and ActionTrail."""

import json

from alibabacloud_actiontrail20200706 import models as trail
from alibabacloud_actiontrail20200706.client import Client as Trail
from alibabacloud_ram20150501 import models as ram
from alibabacloud_ram20150501.client import Client as Ram
from alibabacloud_tea_openapi.models import Config
from alibabacloud_vpc20160428 import models as vpc
from alibabacloud_vpc20160428.client import Client as Vpc

from world import ENDPOINT, KEY, REGION, SECRET


def client(kind, key=KEY, secret=SECRET):
    return kind(
        Config(access_key_id=key, access_key_secret=secret, region_id=REGION, endpoint=ENDPOINT, protocol="HTTP")
    )


def refused(code, status, call, request):
    try:
        call(request)
    except Exception as error:
        assert (error.code, error.status_code) == (code, status), error
        return
    raise AssertionError(f"{code} was expected")


r, v, t = client(Ram), client(Vpc), client(Trail)

own, other = (
    v.create_vpc(vpc.CreateVpcRequest(region_id=REGION, cidr_block="10.0.0.0/8")).body.vpc_id for _ in range(2)
)
user = r.create_user(ram.CreateUserRequest(user_name="alice", display_name="Alice")).body.user
assert user.user_name == "alice" and user.user_id and user.create_date, user
document = {
    "Version": "1",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": f"acs:vpc:*:*:vpc/{own}"}],
}
made = ram.CreatePolicyRequest(policy_name="one-vpc", policy_document=json.dumps(document))
assert r.create_policy(made).body.policy.policy_type == "Custom"
named = {"policy_type": "Custom", "policy_name": "one-vpc"}
r.attach_policy_to_user(ram.AttachPolicyToUserRequest(user_name="alice", **named))
key = r.create_access_key(ram.CreateAccessKeyRequest(user_name="alice")).body.access_key
assert key.status == "Active" and key.access_key_secret, key

# What the policy allows, and what it does not.
alice = client(Vpc, key.access_key_id, key.access_key_secret)
seen = alice.describe_vpcs(vpc.DescribeVpcsRequest(region_id=REGION, vpc_id=own)).body
assert [it.vpc_id for it in seen.vpcs.vpc] == [own], seen
refused("Forbidden.RAM", 403, alice.describe_vpcs, vpc.DescribeVpcsRequest(region_id=REGION))
refused("Forbidden.RAM", 403, alice.delete_vpc, vpc.DeleteVpcRequest(region_id=REGION, vpc_id=other))
alices = client(Ram, key.access_key_id, key.access_key_secret)
refused("NoPermission", 403, alices.list_users, ram.ListUsersRequest())

# What there is.
users = r.list_users(ram.ListUsersRequest()).body
assert users.users.user[0].user_name == "alice" and users.is_truncated is False, users
policies = r.list_policies(ram.ListPoliciesRequest()).body.policies.policy
assert {"AdministratorAccess", "ReadOnlyAccess", "one-vpc"} <= {it.policy_name for it in policies}
attached = r.list_policies_for_user(ram.ListPoliciesForUserRequest(user_name="alice")).body
assert attached.policies.policy[0].policy_name == "one-vpc", attached
policy = r.get_policy(ram.GetPolicyRequest(**named)).body
assert json.loads(policy.default_policy_version.policy_document) == document, policy
entities = r.list_entities_for_policy(ram.ListEntitiesForPolicyRequest(**named)).body
assert entities.users.user[0].user_name == "alice", entities
keys = r.list_access_keys(ram.ListAccessKeysRequest(user_name="alice")).body.access_keys.access_key
assert [it.access_key_id for it in keys] == [key.access_key_id], keys

# And away with it; the last key of an administrator stays.
its = {"user_name": "alice", "user_access_key_id": key.access_key_id}
r.update_access_key(ram.UpdateAccessKeyRequest(status="Inactive", **its))
ask = vpc.DescribeVpcsRequest(region_id=REGION, vpc_id=own)
refused("InvalidAccessKeyId.NotFound", 404, alice.describe_vpcs, ask)
last = ram.DeleteAccessKeyRequest(user_access_key_id=KEY)
refused("DeleteConflict.LastAdministrator", 409, r.delete_access_key, last)
refused("DeleteConflict.User.AccessKey", 409, r.delete_user, ram.DeleteUserRequest(user_name="alice"))
r.delete_access_key(ram.DeleteAccessKeyRequest(**its))
r.detach_policy_from_user(ram.DetachPolicyFromUserRequest(user_name="alice", **named))
r.delete_policy(ram.DeletePolicyRequest(policy_name="one-vpc"))
r.delete_user(ram.DeleteUserRequest(user_name="alice"))

# All of that is in the trail.
by_alice = [trail.LookupEventsRequestLookupAttribute(key="User", value="alice")]
events = t.lookup_events(trail.LookupEventsRequest(lookup_attribute=by_alice)).body.events
assert [it["eventName"] for it in events] == ["DeleteVpc"], events
assert events[0]["errorCode"] == "Forbidden.RAM" and events[0]["sourceIpAddress"] == "127.0.0.1", events
page = t.lookup_events(trail.LookupEventsRequest(max_results="3")).body
assert [it["eventName"] for it in page.events] == ["DeleteUser", "DeletePolicy", "DetachPolicyFromUser"], page
assert page.next_token, page
print("done")
