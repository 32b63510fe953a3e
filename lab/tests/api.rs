//! The cloud API over durable state: what was acknowledged stays, and what is made takes effect at once.

use lab::servers::Web;
use lab::{Gateway, Lab, Site, binary, config};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
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

/// The commands work on a gateway elsewhere, over HTTP and over HTTPS with its own certificate.
#[test]
fn the_commands_reach_a_gateway_by_a_profile() {
    let lab = Lab::new("profile");
    let site = Site::new(&lab, "auto");
    let listen = "--api 8080 --api-https 8443";
    let gateway = Gateway::start_with(&lab, &site.gw, &site.system(), listen);
    let (id, secret) = gateway.first_key();
    let state = fs::read_dir(lab.dir().join("state")).unwrap();
    let state = state.map(|it| it.unwrap().path()).next().unwrap();
    let profiles = lab.dir().join("profiles.toml");
    let key = format!(
        "access_key_id = \"{id}\"\naccess_key_secret = \"{secret}\"\nregion = \"cn-hangzhou\"\n"
    );
    let certificate = state.join("api/tls/certificate.pem");
    let certificate = format!("certificate = \"{}\"\n", certificate.display());
    let sealed = "[profile.sealed]\nendpoint = \"https://localhost:8443\"\n";
    let text = format!(
        "default = \"plain\"\n\
         [profile.plain]\nendpoint = \"http://127.0.0.1:8080\"\n{key}\
         {sealed}{key}{certificate}\
         [profile.unknown]\nendpoint = \"https://localhost:8443\"\n{key}\
         [profile.false]\nendpoint = \"http://127.0.0.1:8080\"\naccess_key_id = \"{id}\"\naccess_key_secret = \"x\"\n"
    );
    fs::write(&profiles, text).unwrap();
    fs::set_permissions(&profiles, fs::Permissions::from_mode(0o600)).unwrap();
    let clean =
        "env -u http_proxy -u HTTP_PROXY -u https_proxy -u HTTPS_PROXY -u ALL_PROXY -u all_proxy";
    let run = |words: &str| {
        let (sluice, profiles) = (binary().display(), profiles.display());
        site.gw.run(&format!(
            "{clean} SLUICE_PROFILES={profiles} {sluice} {words}"
        ))
    };
    let made = run("vpc create --cidr-block 10.0.0.0/16").ok();
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["VpcId"].as_str().unwrap();
    let list = run("vpc list --profile sealed --json").ok();
    assert!(list.contains(id), "{list}");
    // Who does not know the certificate does not send anything.
    let refused = run("vpc list --profile unknown").fails();
    assert!(
        refused.contains("cannot call https://localhost:8443"),
        "{refused}"
    );
    let refused = run("vpc list --profile false").fails();
    assert!(refused.contains("SignatureDoesNotMatch"), "{refused}");
    run(&format!("vpc delete {id} --profile sealed")).ok();
    assert!(!gateway.cli("vpc list").ok().contains(id));
}
