//! The cloud API over durable state: what was acknowledged stays, and what is made takes effect at once.

use lab::servers::Web;
use lab::{Gateway, Lab, Site, config};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Kills the daemon again and again while networks are made: none that was acknowledged is lost, and none is half
/// made.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    let lab = Lab::new("acked");
    let site = Site::new(&lab, "auto");
    let mut gateway = site.gateway(&site.system());
    let create = gateway.cli_line("call vpc CreateVpc --CidrBlock 10.0.0.0/16");
    let script = lab.dir().join("create");
    fs::write(&script, format!("while {create}; do :; done\n")).unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..6 {
        let client = lab.spawn(&format!("sh {}", script.display()));
        std::thread::sleep(Duration::from_millis(300 + 130 * round));
        gateway.kill9();
        let told = client.wait(30.0).stdout;
        let ids = told.lines().filter(|line| line.contains("\"VpcId\""));
        acknowledged.extend(ids.filter_map(|line| Some(line.split('"').nth(3)?.to_owned())));
        gateway.run();

        let list = gateway.cli("vpc list --json").ok();
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        let there: BTreeSet<&str> = list.iter().filter_map(|it| it["VpcId"].as_str()).collect();
        for id in &acknowledged {
            assert!(there.contains(&**id), "{id} was acknowledged and is lost");
        }
        // At most one a round that was made and not acknowledged any more.
        assert!(
            there.len() <= acknowledged.len() + round as usize + 1,
            "{there:?}"
        );
        for vpc in &list {
            let tables = vpc["RouterTableIds"]["RouterTableIds"].as_array();
            assert_eq!(tables.map(Vec::len), Some(1), "{vpc:#}");
        }
    }
    assert!(acknowledged.len() >= 6, "{acknowledged:?}");
}

/// A security group's rule and an EIP's unbinding are in force when the call returns.
#[test]
fn a_change_is_in_force_when_the_call_returns() {
    let lab = Lab::new("at-once");
    let site = Site::new(&lab, "auto");
    let pool = "pool = [\"203.0.113.64/28\"]\n";
    let gateway = site.gateway(&(site.system() + pool));
    let call = |words: &str| -> Value {
        let told = gateway.cli(&format!("call {words}")).ok();
        serde_json::from_str(&told).unwrap()
    };
    let text = |answer: &Value, path: &str| match answer.pointer(path).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => panic!("{path}: {answer:#}"),
    };
    let vpc = text(&call("vpc CreateVpc --CidrBlock 192.168.0.0/16"), "/VpcId");
    let vswitch = format!(
        "vpc CreateVSwitch --VpcId {vpc} --ZoneId cn-hangzhou-h --CidrBlock 192.168.1.0/24"
    );
    let vswitch = text(&call(&vswitch), "/VSwitchId");
    let group = text(
        &call(&format!("ecs CreateSecurityGroup --VpcId {vpc}")),
        "/SecurityGroupId",
    );
    let run = format!(
        "ecs RunInstances --ImageId netns --InstanceType ecs.netns --VSwitchId {vswitch} --SecurityGroupId {group}"
    );
    let instance = text(&call(&run), "/InstanceIdSets/InstanceIdSet/0");
    let eip = call("vpc AllocateEipAddress");
    let (id, address) = (text(&eip, "/AllocationId"), text(&eip, "/EipAddress"));
    call(&format!(
        "vpc AssociateEipAddress --AllocationId {id} --InstanceId {instance}"
    ));

    let ping = format!("ping -c 1 -W 1 {address}");
    let rule = format!(
        "--SecurityGroupId {group} --IpProtocol ICMP --PortRange -1/-1 --SourceCidrIp 0.0.0.0/0"
    );
    for _ in 0..5 {
        site.client.fails(&ping);
        call(&format!("ecs AuthorizeSecurityGroup {rule}"));
        site.client.ok(&ping);
        call(&format!("vpc UnassociateEipAddress --AllocationId {id}"));
        site.client.fails(&ping);
        call(&format!(
            "vpc AssociateEipAddress --AllocationId {id} --InstanceId {instance}"
        ));
        site.client.ok(&ping);
        call(&format!("ecs RevokeSecurityGroup {rule}"));
    }
}

/// What is exported is what is in force, a backup of the running gateway brings it back, and both leave traffic alone.
#[test]
fn the_state_is_exported_backed_up_and_restored() {
    let lab = Lab::new("backup");
    let site = Site::new(&lab, "auto");
    let dnat = config::dnat("eip-1", "tcp", "80", "web-1", "80");
    let mut gateway = site.gateway(&(site.standard() + &dnat));
    let web = Web::start(&gateway.instance("web-1"), &[80]);
    let call = |gateway: &Gateway, words: &str| -> Value {
        let told = gateway.cli(&format!("call {words}")).ok();
        serde_json::from_str(&told).unwrap()
    };
    // A part that no file has named.
    let vpc = call(
        &gateway,
        "vpc CreateVpc --CidrBlock 10.0.0.0/16 --VpcName made",
    );
    let vpc = vpc["VpcId"].as_str().unwrap();

    let exported = gateway.cli("export").ok();
    assert!(
        exported.contains(vpc) && exported.contains("192.168.1.10"),
        "{exported}"
    );
    let changed = gateway.try_apply(&exported).unwrap();
    assert!(changed.contains("Nothing to change"), "{changed}");

    let copy = lab.dir().join("copy.db");
    let told = gateway.cli(&format!("backup {}", copy.display())).ok();
    assert!(told.contains("checked"), "{told}");
    let later = call(&gateway, "vpc CreateVpc --CidrBlock 10.1.0.0/16");
    let later = later["VpcId"].as_str().unwrap();
    let refused = gateway.restore(&copy).fails();
    assert!(refused.contains("runs already"), "{refused}");

    gateway.kill9();
    gateway.restore(&copy).ok();
    gateway.run();
    let list = gateway.cli("vpc list --json").ok();
    assert!(list.contains(vpc) && !list.contains(later), "{list}");
    site.client.ok("curl -sf --max-time 5 http://203.0.113.11/");
    drop(web);

    let garbage = lab.dir().join("garbage.db");
    fs::write(&garbage, "nothing of ours").unwrap();
    gateway.kill9();
    gateway.restore(&garbage).fails();
    gateway.run();
    assert!(gateway.cli("vpc list --json").ok().contains(vpc));
}
