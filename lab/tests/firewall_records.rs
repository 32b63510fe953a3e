//! Records of what firewalls see, where there is no room for them; and where addresses are.

use lab::names::{self, Names, curl, dig};
use lab::servers::{Web, get};
use lab::site::SERVER;
use lab::{Lab, Site, config, locations, wait_for};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn firewall(site: &Site, keys: &str, policies: &[&str]) -> String {
    let policies: String = policies.iter().map(|it| config::policy(it)).collect();
    site.no_nat() + config::SHORT + config::SNAT + &config::firewall(keys) + &policies
}

/// A small file system in memory.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Small {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=700");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]);
        assert!(mount.arg(at).status().unwrap().success());
        Small(at.into())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_records_counts_them_and_nothing_else() {
    let lab = Lab::new("fw-disk");
    let site = Site::new(&lab, "tc");
    let disk = Small::mount(&site.gw.file("disk"), "256k");
    let rest = disk.0.join("rest");
    std::fs::write(&rest, vec![0; 200 << 10]).unwrap();
    let to = format!("\n[records]\ndirectory = \"{}\"\n", disk.0.display());
    let deny = "protocol = \"udp\"; ports = 9; action = \"drop\"";
    let gateway = site.gateway(&(firewall(&site, "", &[deny]) + &to));
    let instance = gateway.instance("web-1");
    let _web = Web::start(&site.server, &[80]);
    let knock = |times: u32| {
        let line = format!("for i in $(seq {times}); do echo > /dev/udp/{SERVER}/9; done");
        instance.run(&format!("bash -c '{line}' 2>/dev/null"));
    };
    wait_for("the first records", 10.0, || {
        knock(1);
        gateway.stats().records.written > 0
    });
    wait_for("the disk to be full", 30.0, || {
        knock(100);
        gateway.stats().records.failed > 0
    });
    let page = || get(&instance, &format!("http://{SERVER}/"));
    assert!(page().starts_with("server 80"));
    let written = gateway.stats().records.written;
    // There is room again: those to come are written, each in a line of its own.
    std::fs::remove_file(&rest).unwrap();
    wait_for("records to be written again", 30.0, || {
        knock(1);
        gateway.stats().records.written > written
    });
    let text = gateway.cli("records --json --limit 100000").ok();
    let whole = |line: &str| serde_json::from_str::<Value>(line).is_ok();
    assert!(text.lines().count() as u64 > written && text.lines().all(whole));
    assert!(page().starts_with("server 80"));
}

#[test]
fn policies_go_by_where_addresses_are() {
    let lab = Lab::new("fw-places");
    let site = Site::new(&lab, "tc");
    let net = "198.51.100.0".parse().unwrap();
    let table = site.gw.write("places.mmdb", locations::table(net, "NZ"));
    let places = format!("\n[locations]\npath = \"{}\"\n", table.display());
    let deny = "destination_location = [\"NZ\"]; action = \"drop\"";
    let gateway = site.gateway(&(firewall(&site, "", &[deny]) + &places));
    let instance = gateway.instance("web-1");
    let _web = Web::start(&site.server, &[80]);
    let comes = || {
        let output = instance.run(&format!("curl -sS -m 1 http://{SERVER}/"));
        output.success()
    };
    wait_for("the table to be in force", 10.0, || !comes());
    // The router is somewhere else.
    instance.ok("ping -c 1 -W 2 203.0.113.1");
    // Another table is read when it is there.
    std::fs::write(&table, locations::table(net, "AU")).unwrap();
    wait_for("the other table", 30.0, comes);
    std::fs::write(&table, b"no table").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert!(comes(), "the last good one stays");
}

/// What sessions tell besides their application and domain.
#[test]
fn records_tell_requests_certificates_and_answers() {
    let lab = Lab::new("fw-details");
    let site = Site::new(&lab, "tc");
    let by_name = "protocol = \"tcp\"; domain = \"denied.test\"; action = \"drop\"";
    let border = "\n[border_firewall]\neips = [\"eip-1\"]\n";
    let names = config::policy_of("dns", "domain = \"*.denied.test\"; action = \"drop\"");
    let config = firewall(&site, "", &[by_name]) + border + &names;
    let gateway = site.gateway(&config);
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["allowed.test", "denied.test"]);
    let _dns = names::dns(&site.server, &[("allowed.test", SERVER)]);
    for (scheme, more) in [
        ("http", ""),
        ("https", "--tls-max 1.2"),
        ("https", "--tlsv1.3"),
    ] {
        let output = instance.run(&curl(scheme, "allowed.test", SERVER, more));
        assert!(output.success(), "{output}");
    }
    dig(&instance, SERVER, "allowed.test");
    assert_eq!(dig(&instance, SERVER, "www.denied.test"), "REFUSED");
    let lines = || -> Vec<Value> {
        let text = gateway.cli("records --json --limit 100").ok();
        let lines = text.lines().map(|it| serde_json::from_str(it).unwrap());
        lines.filter(|it: &Value| it["kind"] != "ongoing").collect()
    };
    wait_for("five records", 30.0, || lines().len() >= 5);
    let lines = lines();
    let find = |key: &str, value: &str| {
        let found = lines.iter().find(|it| it[key] == value);
        found.unwrap_or_else(|| panic!("no {key} {value}: {lines:#?}"))
    };
    assert_eq!(find("app", "HTTP")["request"], "GET /");
    let old = find("version", "TLS 1.2");
    assert_eq!(old["certificate"][0], "allowed.test", "{old}");
    assert_eq!(old["alpn"], "h2", "{old}");
    let new = find("version", "TLS 1.3");
    assert_eq!(new["certificate"], Value::Null, "{new}");
    // The border and the NAT firewall have both been asked.
    let kinds = new["firewalls"].as_array().unwrap();
    assert_eq!(
        [&kinds[0]["kind"], &kinds[1]["kind"]],
        ["border_out", "nat"]
    );
    let answered = find("domain", "allowed.test");
    assert!(answered["app"].is_string());
    let asked = lines
        .iter()
        .find(|it| it["app"] == "DNS" && it["domain"] == "allowed.test")
        .expect("what was asked");
    assert_eq!(asked["answers"][0], SERVER, "{asked}");
    let refused = find("domain", "www.denied.test");
    assert_eq!(
        (&refused["kind"], &refused["result"]),
        (&"refused".into(), &"drop".into())
    );
}
