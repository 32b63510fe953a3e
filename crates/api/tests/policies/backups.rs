//! Backups of policies, through the API.

use super::{create, order, told};
use crate::common::{World, refused};
use crate::nat::*;
use model::PolicyScope;

#[test]
fn backups_bring_back_the_policies_of_all_firewalls() {
    let world = World::new();
    let site = site(&world);
    create(&world, &site, &[("Description", "kept")]);
    let params = [("BackUpTime", "1700000000"), ("Description", "before")];
    world.cfw("AddAclBackupData", &params).unwrap();
    let again = world.cfw("AddAclBackupData", &params);
    assert_eq!(refused(again), "ErrorAclBackupExist");
    create(
        &world,
        &site,
        &[("Description", "later"), ("NewOrder", "1")],
    );
    let dns = [
        ("AclAction", "drop"),
        ("Description", "d"),
        ("DestinationType", "domain"),
        ("Destination", "d.example"),
        ("IpVersion", "4"),
        ("Priority", "1"),
        ("Release", "true"),
        ("Source", "0.0.0.0/0"),
        ("SourceType", "net"),
    ];
    world.cfw("AddDnsFirewallPolicy", &dns).unwrap();
    let pages = [("CurrentPage", "1"), ("PageSize", "10")];
    let world = world.restart();
    let list = world.cfw("DescribeAclBackupList", &pages).unwrap();
    assert_eq!(list["Backups"][0]["BackUpTime"], 1_700_000_000);
    assert_eq!(list["Backups"][0]["AclCount"], 1);
    let time = [("BackUpTime", "1700000000")];
    world.cfw("UseAclBackupData", &time).unwrap();
    assert_eq!(order(&world, &site), ["kept"]);
    assert!(told(&world, &PolicyScope::Dns).is_empty());
    world.cfw("DeleteAclBackupData", &time).unwrap();
    assert!(!world.stored().contains("/sluice/policy-backup"));
    let gone = world.cfw("UseAclBackupData", &time);
    assert_eq!(refused(gone), "ErrorAclBackupNotExist");
}
