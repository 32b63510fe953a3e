//! Policies, address books, threats and the Internet border on the command line, with what they do to real traffic.

use lab::names::{self, Names, curl, dig};
use lab::site::SERVER;
use lab::{Gateway, Host, Lab, Site, config};
use serde_json::Value;

/// Whether a page of a name comes.
fn comes(host: &Host, name: &str) -> bool {
    host.run(&curl("http", name, SERVER, "-m 3")).success()
}

fn json(gateway: &Gateway, words: &str) -> Value {
    serde_json::from_str(&gateway.cli(words).ok()).unwrap()
}

/// A field of each object of a list.
fn each(list: &Value, field: &str) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    let text = |it: &Value| match &it[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    list.map(text).collect()
}

/// Makes something, and gives its identifier.
#[track_caller]
fn made(gateway: &Gateway, words: &str, field: &str) -> String {
    let made = json(gateway, words);
    made[field]
        .as_str()
        .unwrap_or_else(|| panic!("{made}"))
        .into()
}

#[test]
fn policies_are_made_moved_looked_over_and_kept() {
    let lab = Lab::new("fw-cli");
    let site = Site::new(&lab, "auto");
    let gateway = &site.gateway(&(site.standard() + config::SHORT + &config::firewall("")));
    let [one, two] = ["web-1", "web-2"].map(|it| gateway.instance(it));
    let _server = Names::start(&site.server, &["allowed.test", "other.test"]);
    let ok = |words: &str| gateway.cli(words).ok();
    let orders = || each(&json(gateway, "policy list --json ngw"), "AclUuid");

    let list = "--address-list '192.168.1.10 the first'";
    let book =
        format!("book create --group-type ip --group-name clients --description some {list}");
    let book = made(gateway, &book, "GroupUuid");
    let of_book = "--source clients --source-type group --proto TCP --dest-port 80";
    let deny = format!("policy create ngw --acl-action drop {of_book} --description 'no pages'");
    let deny = made(gateway, &deny, "AclUuid");
    assert!(!comes(&one, "allowed.test"));
    assert!(comes(&two, "allowed.test"));
    let allow = "policy create ngw --acl-action accept --destination '*.test' --application-name-list HTTP --new-order 1";
    let allow = made(gateway, allow, "AclUuid");
    assert_eq!(orders(), [&*allow, &*deny]);
    assert!(comes(&one, "allowed.test"));
    let table = ok("policy list");
    for part in ["*.test", "book clients", "no pages", "HTTP"] {
        assert!(table.contains(part), "{part}: {table}");
    }

    // In its place, in its words, in its book.
    ok(&format!("policy move {deny} 1"));
    assert_eq!(orders(), [&*deny, &*allow]);
    assert!(!comes(&one, "allowed.test"));
    ok(&format!("policy modify {deny} --release false"));
    assert!(comes(&one, "allowed.test"));
    ok(&format!("policy modify {deny} --release true"));
    assert!(!comes(&one, "allowed.test"));
    ok(&format!(
        "book modify {book} --modify-mode Cover --address-list 192.168.2.10"
    ));
    assert!(comes(&one, "allowed.test"));
    assert!(!comes(&two, "allowed.test"));
    let shown = json(gateway, &format!("book show {book}"));
    assert_eq!(shown["ReferenceCount"], 1, "{shown}");
    let refused = gateway.cli(&format!("book delete {book}")).fails();
    assert!(refused.contains("ErrorAddressBookReferenced"), "{refused}");
    assert!(ok("book list").contains("clients"));

    // Hits.
    let hits = || json(gateway, &format!("policy show {deny}"))["HitTimes"].as_u64();
    assert!(hits() >= Some(3), "{:?}", hits());
    ok(&format!("policy reset {deny}"));
    assert_eq!(hits(), Some(0));

    // What is wrong with them.
    let again = format!("policy create ngw --acl-action accept {of_book}");
    let again = made(gateway, &again, "AclUuid");
    let found = json(gateway, "policy check --json nat");
    let found: Vec<(String, String)> = each(&found, "Policy")
        .into_iter()
        .zip(each(&found, "Flaw"))
        .collect();
    assert!(
        found.contains(&(again.clone(), "conflicting".into())),
        "{found:?}"
    );
    assert!(ok("policy check").contains("conflicting"));

    // All that there was comes back.
    let time = ok("policy backup before").trim().to_owned();
    ok(&format!("policy delete {deny} {allow} {again}"));
    assert_eq!(orders(), [""; 0]);
    assert!(comes(&two, "allowed.test"));
    let kept = json(gateway, "policy backups --json");
    assert_eq!(
        (each(&kept, "BackUpTime"), each(&kept, "AclCount")),
        (vec![time.clone()], vec!["3".into()])
    );
    ok(&format!("policy restore {time}"));
    assert_eq!(orders(), [deny, allow, again]);
    assert!(!comes(&two, "allowed.test"));
    ok(&format!("policy delete-backup {time}"));
    gateway.cli(&format!("policy restore {time}")).fails();
    let apps = json(gateway, "policy apps --json");
    assert!(
        each(&apps, "AppName").contains(&"HTTPS".to_owned()),
        "{apps}"
    );
    gateway
        .cli("policy create ngw --acl-action perhaps")
        .fails();
    gateway.cli("policy show nothing").fails();
}

#[test]
fn the_border_the_dns_firewall_and_threats_have_commands() {
    let lab = Lab::new("fw-cli-border");
    let site = Site::new(&lab, "auto");
    let gateway = &site.gateway(&(site.standard() + config::SHORT + &config::firewall("")));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["allowed.test", "other.test"]);
    let _dns = names::dns(
        &site.server,
        &[("www.ads.test", SERVER), ("allowed.test", SERVER)],
    );
    let ok = |words: &str| gateway.cli(words).ok();
    let firewalls = json(gateway, "firewall list --json");
    let firewall = &each(&firewalls, "ProxyId")[0];

    // The border sees the EIP.
    let deny = "policy create border-out --acl-action drop --source 203.0.113.11 --destination other.test --application-name-list HTTP";
    let deny = made(gateway, deny, "AclUuid");
    assert!(comes(&instance, "other.test"));
    ok("firewall protect 203.0.113.11");
    assert!(!comes(&instance, "other.test") && comes(&instance, "allowed.test"));
    assert_eq!(ok("firewall mode").trim(), "loose");
    ok("firewall mode strict 203.0.113.11");
    assert_eq!(ok("firewall mode").trim(), "loose, strict for 203.0.113.11");
    ok("firewall mode loose");
    assert_eq!(ok("firewall mode").trim(), "loose");
    ok("firewall default --border drop");
    assert!(!comes(&instance, "allowed.test"));
    ok("firewall default --border accept");
    assert!(comes(&instance, "allowed.test"));
    let first = made(
        gateway,
        "policy create border-out --acl-action accept",
        "AclUuid",
    );
    ok(&format!("policy move {first} 1"));
    assert!(comes(&instance, "other.test"));
    ok(&format!("policy delete {first} {deny}"));
    let automatic = |to: &str| ok(&format!("firewall auto-protect {to}"));
    automatic("on");
    automatic("off");

    // Names that are asked for.
    let ads = made(
        gateway,
        "policy create dns --acl-action drop --destination '*.ads.test'",
        "AclUuid",
    );
    assert_eq!(dig(&instance, SERVER, "www.ads.test"), "REFUSED");
    assert_eq!(
        dig(&instance, SERVER, "allowed.test"),
        format!("NOERROR {SERVER}")
    );
    ok(&format!("policy modify {ads} --release false"));
    assert_eq!(
        dig(&instance, SERVER, "www.ads.test"),
        format!("NOERROR {SERVER}")
    );
    ok(&format!("policy delete {ads}"));
    ok("firewall default --dns drop");

    // A category of threats: at the border and for all, and for one firewall alone. Nobody is at that address.
    let tor = |more: &str| {
        let list = json(gateway, &format!("intel list --json {more}"));
        let list = list.as_array().unwrap().clone();
        let tor = list
            .into_iter()
            .find(|it| it["CategoryId"] == "IpOutThreatTorExit");
        let tor = tor.unwrap();
        (tor["EnableStatus"] == 1).then(|| tor["Action"].as_str().unwrap().to_owned())
    };
    let dropped = || {
        let before = gateway.drops("threat");
        instance.run("timeout 2 bash -c 'echo > /dev/udp/192.0.2.240/9'");
        gateway.drops("threat") > before
    };
    assert!(!dropped());
    ok("intel set IpOutThreatTorExit drop");
    assert_eq!(tor(""), Some("drop".into()));
    assert!(dropped());
    ok("firewall unprotect 203.0.113.11");
    ok(&format!(
        "intel set IpOutThreatTorExit alert --firewall {firewall}"
    ));
    assert_eq!(tor(&format!("--firewall {firewall}")), Some("alert".into()));
    assert!(!dropped());
    ok(&format!(
        "intel set IpOutThreatTorExit off --firewall {firewall}"
    ));
    assert!(dropped());
    ok("intel set IpOutThreatTorExit off");
    assert_eq!(tor(""), None);
    assert!(!dropped());
    gateway.cli("intel set Unheard drop").fails();
}
