//! The cloud API over durable state: what was acknowledged stays, and what is made takes effect at once.

use lab::{Lab, Site};
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
