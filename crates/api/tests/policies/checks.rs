//! Checks of policies, through the API.

use super::create;
use super::running::Shared;
use crate::common::{World, refused, text};
use crate::nat::*;
use serde_json::json;
use std::sync::Arc;

#[test]
fn checks_find_what_is_wrong_and_remember_what_became_of_it() {
    let mut world = World::new();
    let site = site(&world);
    world.run_firewalls(Box::new(Shared(Arc::default())));
    create(&world, &site, &[("Description", "all out")]);
    let hidden = create(
        &world,
        &site,
        &[("AclAction", "drop"), ("Source", "192.168.1.0/24")],
    );
    let check = world.cfw("CreateAclCheck", &[("AclType", "nat")]).unwrap();
    let tasks = check["TaskIds"].as_array().unwrap().clone();
    assert_eq!(tasks.len(), policy::review::Flaw::ALL.len());
    let records = || {
        let answer = world
            .cfw("DescribeAclChecks", &[("AclType", "nat")])
            .unwrap();
        answer["CheckRecords"]["Records"]
            .as_array()
            .unwrap()
            .clone()
    };
    let record = |name: &str| {
        let records = records();
        records
            .iter()
            .find(|it| it["CheckName"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(record("conflicting")["AclTotalCount"], 1);
    assert_eq!(record("default-not-deny")["AclTotalCount"], 1);
    let task = text(&record("conflicting"), "/TaskId");
    let shown = || {
        let params = [("TaskId", &*task), ("PageNo", "1"), ("PageSize", "10")];
        world.cfw("DescribeAclCheck", &params).unwrap()["CheckRecord"].clone()
    };
    let found = shown()["Acls"][0].clone();
    assert_eq!(text(&found, "/Acl/AclUuid"), hidden);
    assert_eq!(found["Acl"]["Order"], 2);
    assert_eq!(found["Acl"]["ApplicationName"], "ANY");
    assert_eq!(
        (&found["Firewall"], &found["AclStatus"]),
        (&json!(site.gateway), &json!("pending"))
    );
    let settle = |uuid: &str, status: &str| {
        let params = [("TaskId", &*task), ("Uuid", uuid), ("Status", status)];
        world.cfw("UpdateAclCheckDetailStatus", &params)
    };
    let settled = settle(&hidden, "ignored").unwrap()["CheckRecord"].clone();
    assert_eq!(text(&settled, "/Acls/0/Acl/AclUuid"), hidden);
    assert_eq!(settled["Acls"][0]["AclStatus"], "ignored");
    assert_eq!(settled["CheckName"], "conflicting");
    assert_eq!(settled["PolicyTotalCount"], 1);
    assert_eq!(refused(settle("none", "ignored")), "ErrorAclNotExist");
    assert_eq!(refused(settle(&hidden, "gone")), "InvalidParameter");
    assert_eq!(shown()["Acls"][0]["AclStatus"], "ignored");
    assert_eq!(record("conflicting")["AclPendingCount"], 0);
    // The same check again takes the place of the first.
    let again = [("AclType", "nat"), ("CheckNames.1", "conflicting")];
    world.cfw("CreateAclCheck", &again).unwrap();
    assert_eq!(records().len(), tasks.len());
    assert_eq!(record("conflicting")["AclPendingCount"], 1);
    let wrong = [("AclType", "nat"), ("CheckNames.1", "ugly")];
    assert_eq!(
        refused(world.cfw("CreateAclCheck", &wrong)),
        "InvalidParameter"
    );
    let quota = world.cfw("DescribeAclCheckQuota", &[]).unwrap();
    assert_eq!(quota["Quota"]["ConsumedQuota"], tasks.len());
}
