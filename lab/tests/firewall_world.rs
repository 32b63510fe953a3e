//! What firewalls know of the world: names, threats, cloud services; and the firewalls before and behind the NAT firewall.

use lab::names::{self, Names, curl, dig};
use lab::servers::{Web, cannot_get, get};
use lab::site::{SERVER, SERVER_2};
use lab::{Gateway, Lab, Site, config, in_both_hooks, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;

fn firewall(site: &Site, keys: &str, policies: &[&str]) -> String {
    let policies: String = policies.iter().map(|it| config::policy(it)).collect();
    site.no_nat() + config::SHORT + config::SNAT + &config::firewall(keys) + &policies
}

in_both_hooks! {
    fn the_dns_firewall_refuses_names(hook) {
        let lab = Lab::new("fw-dns");
        let site = Site::new(&lab, hook);
        let policy = config::policy_of("dns", "domain = \"*.denied.test\"; action = \"drop\"");
        let gateway = site.gateway(&(site.standard() + &policy));
        let _dns = names::dns(&site.server, &[("allowed.test", SERVER), ("www.denied.test", SERVER)]);
        let instance = gateway.instance("web-1");
        assert_eq!(dig(&instance, SERVER, "allowed.test"), format!("NOERROR {SERVER}"));
        assert_eq!(dig(&instance, SERVER, "www.denied.test"), "REFUSED");
        assert_eq!(dig(&instance, SERVER, "WWW.Denied.TEST"), "REFUSED");
        let empty = "\n[dns_firewall]\nrefusal = \"empty\"\n";
        gateway.apply(&(site.standard() + &policy + empty));
        assert_eq!(dig(&instance, SERVER, "www.denied.test"), "NOERROR");
        assert_eq!(dig(&instance, SERVER, "allowed.test"), format!("NOERROR {SERVER}"));
        gateway.apply(&site.standard());
        assert_eq!(dig(&instance, SERVER, "www.denied.test"), format!("NOERROR {SERVER}"));
        assert!(gateway.stats().firewall.refused_names >= 3);
    }

    /// The names of policies by DNS: as our own resolver finds them, and as the client was answered.
    fn names_by_dns_are_addresses(hook) {
        let lab = Lab::new("fw-by-dns");
        let site = Site::new(&lab, hook);
        // The gateway's own way to the name server.
        site.gw.address("wan", "203.0.113.2/24");
        site.gw.default_route("203.0.113.1");
        let resolver = format!("\n[resolver]\nservers = [\"{SERVER}\"]\nmin_ttl = 1\n");
        let deny = "domain = \"denied.test\"; resolve = \"dns\"; action = \"drop\"";
        let shared = site.standard();
        let shared = shared.replace("device = \"wan\"\n", "device = \"wan\"\nmode = \"shared\"\n");
        let plain = shared + &config::firewall("") + &resolver;
        let _dns = names::dns(&site.server, &[("denied.test", SERVER_2), ("allowed.test", SERVER)]);
        let _web = Web::start(&site.server, &[80]);
        let gateway = site.gateway(&(plain.clone() + &config::policy(deny)));
        let instance = gateway.instance("web-1");
        let found = gateway.cli("intel --json --resolve denied.test").ok();
        assert!(found.contains(SERVER_2), "{found}");
        wait_for("the name to be in force", 5.0, || {
            !instance.run(&format!("curl -sS -m 1 http://{SERVER_2}/")).success()
        });
        assert!(get(&instance, &format!("http://{SERVER}/")).starts_with("server 80"));
        // A ping goes by addresses, too.
        instance.fails(&format!("ping -c 1 -W 1 {SERVER_2}"));
        instance.ok(&format!("ping -c 1 -W 2 {SERVER}"));
        // What only the client was answered: the gateway's own servers do not answer at all.
        let deaf = plain.replace(&format!("[\"{SERVER}\"]"), "[\"203.0.113.77\"]");
        gateway.apply(&(deaf + &config::policy(&deny.replace("denied.test", "*.test"))));
        assert!(get(&instance, &format!("http://{SERVER_2}/")).starts_with("server 80"));
        assert_eq!(dig(&instance, SERVER, "denied.test"), format!("NOERROR {SERVER_2}"));
        cannot_get(&instance, &format!("http://{SERVER_2}/"));
        // It was the answer of this client alone.
        let other = gateway.instance("web-2");
        assert!(get(&other, &format!("http://{SERVER_2}/")).starts_with("server 80"));
    }
}

#[test]
fn threats_are_dropped_by_address_and_by_name() {
    let lab = Lab::new("fw-threats");
    let site = Site::new(&lab, "tc");
    let list = site
        .gw
        .write("list", format!("# bad\n{SERVER_2}\nbad.test\nnonsense !\n"));
    let feed = format!(
        "\n[[threat_feed]]\nid = \"list\"\nlocation = \"{}\"\ncategory = \"IpOutThreatMining\"\n",
        list.display()
    );
    let threats = |action: &str| {
        let rule = format!("threats = {{ IpOutThreatMining = \"{action}\" }}");
        firewall(&site, &rule, &[]) + &feed
    };
    let gateway = site.gateway(&threats("drop"));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["good.test", "bad.test"]);
    let page = |name: &str, address: &str| instance.run(&curl("http", name, address, "")).success();
    wait_for("the list to be in force", 10.0, || {
        !page("good.test", SERVER_2)
    });
    assert!(page("good.test", SERVER));
    assert!(!page("bad.test", SERVER));
    let intel = |words: &str| -> Value {
        serde_json::from_str(&gateway.cli(&format!("intel --json {words}")).ok()).unwrap()
    };
    let told = intel("");
    assert_eq!(told["feeds"][0]["indicators"], 2, "{told}");
    assert_eq!(told["feeds"][0]["skipped"], 1, "{told}");
    let records = gateway.cli("records --json --verdict drop").ok();
    assert!(
        records.contains("\"threat\":\"IpOutThreatMining\""),
        "{records}"
    );
    // Only told.
    gateway.apply(&threats("alert"));
    assert!(page("good.test", SERVER_2) && page("bad.test", SERVER));
    wait_for("the records of alerts", 10.0, || {
        gateway
            .cli("records --json --verdict alert")
            .ok()
            .contains(SERVER_2)
    });
    // The last good list stays when there is none, and another one counts at once.
    gateway.apply(&threats("drop"));
    std::fs::remove_file(&list).unwrap();
    let told = intel("--refresh");
    assert!(told["feeds"][0]["error"].is_string(), "{told}");
    assert!(!page("good.test", SERVER_2));
    std::fs::write(&list, "192.0.2.1\n").unwrap();
    let told = intel("--refresh list");
    assert_eq!(told["feeds"][0]["indicators"], 1, "{told}");
    assert!(page("good.test", SERVER_2));
}

/// As a provider publishes its services.
fn ranges(storage: &str, queues: &str) -> String {
    let one = |service: &str, address: &str| {
        format!(r#"{{"ip_prefix": "{address}/32", "region": "eu-1", "service": "{service}"}}"#)
    };
    let both = [one("STORAGE", storage), one("QUEUES", queues)].join(", ");
    format!(r#"{{"syncToken": "1", "prefixes": [{both}], "ipv6_prefixes": []}}"#)
}

#[test]
fn policies_by_a_cloud_service_follow_the_list_of_its_provider() {
    let lab = Lab::new("fw-cloud");
    let site = Site::new(&lab, "tc");
    let list = site.gw.write("ranges.json", ranges(SERVER, SERVER_2));
    let book = |id: &str, services: &str| {
        format!(
            "\n[[address_book]]\nid = \"{id}\"\ncloud = \"{}\"\nservices = [\"{services}\"]\n",
            list.display()
        )
    };
    let books = book("storage", "Storage") + &book("queues", "Queues");
    let allow =
        |id: &str| format!("destination_book = \"{id}\"; protocol = \"tcp\"; action = \"accept\"");
    let by = |id: &str| firewall(&site, "default_action = \"drop\"", &[&allow(id)]);
    let mut gateway = site.gateway(&(by("storage") + &books));
    let instance = gateway.instance("web-1");
    let _web = Web::start(&site.server, &[80]);
    let comes = |address: &str| {
        let curl = format!("curl -sS -m 2 http://{address}/");
        instance.run(&curl).success()
    };
    wait_for("the list to be in force", 10.0, || comes(SERVER));
    assert!(!comes(SERVER_2));
    let intel = |gateway: &Gateway, words: &str| -> Value {
        let told = gateway.cli(&format!("intel --json {words}")).ok();
        let told: Value = serde_json::from_str(&told).unwrap();
        told["services"].clone()
    };
    let told = intel(&gateway, "");
    assert_eq!(
        (&told[1]["book"], &told[1]["networks"]),
        (&"storage".into(), &1.into()),
        "{told}"
    );
    let shown = gateway.cli("book show storage").ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["AddressList"][0], format!("{SERVER}/32"), "{shown}");
    assert_eq!(
        (&shown["GroupType"], &shown["ReferenceCount"]),
        (&"allCloud".into(), &1.into())
    );
    let table = gateway.cli("book list").ok();
    assert!(
        table.contains("storage") && table.contains("queues"),
        "{table}"
    );

    // The list changes on disk: what is allowed is another thing, and what was ends.
    let mut held = instance.inside(|| TcpStream::connect((SERVER, 80)).unwrap());
    std::fs::write(&list, ranges(SERVER_2, SERVER)).unwrap();
    let told = intel(&gateway, "--refresh storage");
    assert_eq!(told[1]["error"], Value::Null, "{told}");
    assert!(!comes(SERVER) && comes(SERVER_2));
    wait_for("what was allowed to end", 10.0, || {
        held.write_all(b"x").is_err()
    });

    // The last good list stays, also over a restart, and as long as policies use the book it is there.
    for bad in ["{\"prefixes\": [", "<html></html>", "{}"] {
        std::fs::write(&list, bad).unwrap();
        let told = intel(&gateway, "--refresh");
        assert!(
            told[0]["error"].is_string() && told[1]["error"].is_string(),
            "{bad}: {told}"
        );
        assert!(!comes(SERVER) && comes(SERVER_2), "{bad}");
    }
    std::fs::remove_file(&list).unwrap();
    gateway.restart(Signal::SIGTERM);
    wait_for("the list to be in force again", 10.0, || comes(SERVER_2));
    assert!(!comes(SERVER));
    let error = gateway.try_apply(&by("storage")).unwrap_err();
    assert!(
        error.contains("there is no address book \"storage\""),
        "{error}"
    );
    let udp = (by("storage") + &books).replace("protocol = \"tcp\"", "protocol = \"udp\"");
    let error = gateway.try_apply(&udp).unwrap_err();
    assert!(error.contains("a policy about one is about TCP"), "{error}");
    // Another service of the same list, which is not there any more, but was kept.
    gateway.apply(&(by("queues") + &books));
    assert!(comes(SERVER) && !comes(SERVER_2));
    let file = gateway.cli("export").ok();
    assert!(file.contains("services = [\"Queues\"]"), "{file}");
    gateway.apply(&file);
    assert!(comes(SERVER) && !comes(SERVER_2));
}

#[test]
fn a_name_that_does_not_stand_for_its_address_is_told_or_dropped() {
    let lab = Lab::new("fw-spoof");
    let site = Site::new(&lab, "tc");
    site.gw.address("wan", "203.0.113.2/24");
    site.gw.default_route("203.0.113.1");
    let check = |what: &str| {
        let config = firewall(&site, &format!("name_check = \"{what}\""), &[]);
        let shared = "device = \"wan\"\nmode = \"shared\"\n";
        config.replace("device = \"wan\"\n", shared)
            + &format!("\n[resolver]\nservers = [\"{SERVER}\"]\n")
    };
    let gateway = site.gateway(&check("drop"));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["real.test", "other.test"]);
    let _dns = names::dns(
        &site.server,
        &[("real.test", SERVER), ("other.test", SERVER_2)],
    );
    // What the client was answered is what names are checked against.
    assert_eq!(
        dig(&instance, SERVER, "real.test"),
        format!("NOERROR {SERVER}")
    );
    assert_eq!(
        dig(&instance, SERVER, "other.test"),
        format!("NOERROR {SERVER_2}")
    );
    let page = |name: &str| instance.run(&curl("https", name, SERVER, "")).success();
    assert!(page("real.test"));
    wait_for("the name to be known", 10.0, || !page("other.test"));
    assert!(page("real.test"));
    gateway.apply(&check("report"));
    assert!(page("other.test"));
    wait_for("the report", 10.0, || {
        let records = gateway.cli("records --json --verdict alert").ok();
        records.contains("other.test") && records.contains("\"name_check\":\"report\"")
    });
}

#[test]
fn the_border_comes_first_and_what_it_refuses_is_its_own() {
    let lab = Lab::new("fw-border");
    let site = Site::new(&lab, "tc");
    let border = "\n[border_firewall]\neips = [\"eip-1\"]\n".to_owned();
    let out = config::policy_of(
        "border-out",
        "protocol = \"tcp\"; domain = \"denied.test\"; action = \"drop\"",
    );
    let within = config::policy_of(
        "border-in",
        "protocol = \"tcp\"; ports = 9000; action = \"drop\"",
    );
    let dnat = config::dnat("eip-1", "tcp", "\"9000-9001\"", "web-1", "\"9000-9001\"");
    let gateway = site.gateway(&(site.standard() + &dnat + &border + &out + &within));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["allowed.test", "denied.test"]);
    assert!(
        instance
            .run(&curl("https", "allowed.test", SERVER, ""))
            .success()
    );
    assert!(
        !instance
            .run(&curl("https", "denied.test", SERVER, ""))
            .success()
    );
    let _web = Web::start(&instance, &[9000, 9001]);
    assert!(get(&site.client, "http://203.0.113.11:9001/").starts_with("web-1 9001"));
    let before = gateway.drops("border_firewall");
    cannot_get(&site.client, "http://203.0.113.11:9000/");
    assert!(gateway.drops("border_firewall") > before);
    assert!(gateway.stats().firewall.refused_first > 0);
    // A ping is answered by the EIP itself, unless the border refuses it.
    site.client.ok("ping -c 1 -W 2 203.0.113.11");
    let no_ping = config::policy_of("border-in", "protocol = \"icmp\"; action = \"drop\"");
    gateway.apply(&(site.standard() + &dnat + &border + &out + &within + &no_ping));
    site.client.fails("ping -c 1 -W 1 203.0.113.11");
    wait_for("the records of the border", 10.0, || {
        let records = gateway.cli("records --json --verdict drop").ok();
        let said = |protocol: &str, by: &str| {
            let by = format!("\"kind\":\"{by}\",\"action\":\"drop\"");
            let protocol = format!("\"protocol\":\"{protocol}\"");
            records
                .lines()
                .any(|it| it.contains(&protocol) && it.contains(&by))
        };
        said("tcp", "border_out") && said("tcp", "border_in") && said("icmp", "border_in")
    });
}

#[test]
fn records_say_it_all_and_outlive_the_daemon() {
    let lab = Lab::new("fw-records");
    let site = Site::new(&lab, "tc");
    let deny =
        "id = \"no-denied\"; protocol = \"tcp\"; domain = \"denied.test\"; action = \"drop\"";
    let mut gateway = site.gateway(&firewall(&site, "", &[deny]));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["allowed.test", "denied.test"]);
    assert!(
        instance
            .run(&curl("https", "allowed.test", SERVER, ""))
            .success()
    );
    assert!(
        !instance
            .run(&curl("https", "denied.test", SERVER, ""))
            .success()
    );
    let records = |words: &str| -> Vec<Value> {
        let text = gateway.cli(&format!("records --json {words}")).ok();
        text.lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect()
    };
    wait_for("both records", 30.0, || {
        records("--domain *.test")
            .iter()
            .filter(|it| it["kind"] == "ended")
            .count()
            == 2
    });
    let dropped = records("--verdict drop");
    let [record] = &dropped[..] else {
        panic!("{dropped:?}")
    };
    for (name, value) in [
        ("protocol", "tcp"),
        ("direction", "out"),
        ("src", "192.168.1.10"),
        ("dst", SERVER),
        ("nat_src", "203.0.113.11"),
        ("vpc", "vpc"),
        ("vswitch", "vsw-1"),
        ("instance", "web-1"),
        ("gateway", "ngw"),
        ("eip", "eip-1"),
        ("entry", "snat"),
        ("app", "HTTPS"),
        ("domain", "denied.test"),
        ("state", "success"),
        ("close", "refused"),
    ] {
        assert_eq!(record[name], value, "{name}: {record}");
    }
    let firewall = &record["firewalls"][0];
    assert_eq!(firewall["policy"], "no-denied", "{record}");
    assert_eq!(firewall["action"], "drop", "{record}");
    assert!(record["packets_out"].as_u64() >= Some(2), "{record}");
    let table = gateway.cli("records --verdict drop").ok();
    assert!(table.contains("nat drop policy no-denied"), "{table}");
    let written = gateway.stats().records.written;
    assert!(written >= 2);
    gateway.kill9();
    gateway.run();
    let text = gateway.cli("records --json --domain denied.test").ok();
    assert_eq!(text.lines().count(), 1, "{text}");
}
