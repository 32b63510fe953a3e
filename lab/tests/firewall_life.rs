//! The life of a NAT firewall on the command line, with a client that notices nothing of it.

use lab::servers::get;
use lab::site::SERVER;
use lab::{Lab, Site, config};
use nix::sys::signal::Signal;

/// A cell of a table's only row, by the header over it.
fn cell(table: &str, header: &str) -> String {
    let mut lines = table.lines();
    let (head, row) = (lines.next().unwrap(), lines.next().unwrap());
    let start = head
        .find(header)
        .unwrap_or_else(|| panic!("{header}: {table}"));
    row[start..].split_whitespace().next().unwrap().into()
}

#[test]
fn a_firewall_is_made_switched_changed_and_deleted() {
    let lab = Lab::new("fw-life");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&site.standard());
    let _web = lab::servers::Web::start(&site.server, &[80]);
    let instance = gateway.instance("web-1");
    let asks = || get(&instance, &format!("http://{SERVER}/"));
    let answer = asks();

    let table = gateway.cli("firewall precheck ngw --inbound").ok();
    assert!(
        table.contains("SnatEntry") && table.contains("can have a firewall"),
        "{table}"
    );
    gateway
        .cli("firewall create --nat-gateway-id ngw --proxy-name shop_fw --inbound true")
        .ok();
    let list = gateway.cli("firewall list").ok();
    let id = cell(&list, "ID");
    assert_eq!(cell(&list, "STATUS"), "normal");
    assert_eq!(cell(&list, "NAT GATEWAY"), "ngw");
    assert_eq!(asks(), answer);
    let none = gateway.cli(&format!("firewall bypass {id}")).ok();
    assert!(none.contains("Nothing goes around"), "{none}");

    // An export says it, and is applied as it is.
    let text = gateway.cli("export").ok();
    assert!(
        text.contains("[[nat_firewall]]") && text.contains(&id),
        "{text}"
    );
    let file = site.gw.write("exported.toml", &text);
    gateway.cli(&format!("apply {}", file.display())).ok();
    assert_eq!(cell(&gateway.cli("firewall list").ok(), "STATUS"), "normal");

    gateway
        .cli(&format!("firewall modify {id} --strict-mode 1"))
        .ok();
    assert_eq!(cell(&gateway.cli("firewall list").ok(), "MODE"), "strict");
    for (to, status) in [("off", "closed"), ("on", "normal")] {
        gateway.cli(&format!("firewall switch {id} {to}")).ok();
        assert_eq!(cell(&gateway.cli("firewall list").ok(), "STATUS"), status);
        assert_eq!(asks(), answer);
    }

    gateway.cli("firewall protect --all").ok();
    let assets = gateway.cli("firewall assets").ok();
    assert!(
        assets.contains("yes") && !assets.contains(" no"),
        "{assets}"
    );
    gateway.cli("firewall unprotect 203.0.113.11").ok();
    let assets = gateway.cli("firewall assets").ok();
    assert_eq!(assets.matches(" no").count(), 1, "{assets}");
    gateway.cli("firewall protect 192.0.2.99").fails();

    // What was bought ends: the daemon notices by itself, and the client does not.
    gateway
        .cli("firewall license --expires 2020-01-01T00:00:00Z")
        .ok();
    let list = gateway.cli("firewall list --json").ok();
    assert_eq!(list.trim(), "[]");
    assert_eq!(asks(), answer);
    let message = gateway
        .cli("firewall create --nat-gateway-id ngw --inbound true")
        .fails();
    assert!(message.contains("Renew"), "{message}");
    gateway.cli("firewall license --expires never").ok();
    gateway
        .cli("firewall create --nat-gateway-id ngw --inbound true")
        .ok();
    let id = cell(&gateway.cli("firewall list").ok(), "ID");
    gateway.cli(&format!("firewall delete {id}")).ok();
    gateway.cli(&format!("firewall show {id}")).fails();
    assert_eq!(asks(), answer);
}

/// Hits are kept over restarts: a kill does not lose what an earlier daemon has counted.
#[test]
fn the_counters_of_policies_outlive_the_daemon() {
    let lab = Lab::new("fw-hits");
    let site = Site::new(&lab, "auto");
    let policy = config::policy("protocol = \"tcp\"; action = \"accept\"");
    let mut gateway = site.gateway(&(site.standard() + &config::firewall("") + &policy));
    let _web = lab::servers::Web::start(&site.server, &[80]);
    let instance = gateway.instance("web-1");
    let asks = || get(&instance, &format!("http://{SERVER}/"));
    let hits = |gateway: &lab::Gateway| cell(&gateway.cli("policy list ngw").ok(), "HITS");
    asks();
    assert_eq!(hits(&gateway), "1");
    for (n, signal) in (2..).zip([Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM]) {
        gateway.restart(signal);
        assert_eq!(hits(&gateway), (n - 1).to_string(), "{signal}");
        asks();
        assert_eq!(hits(&gateway), n.to_string());
        // What a kill would lose is written.
        gateway.restart(Signal::SIGTERM);
    }
}
