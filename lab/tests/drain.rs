//! SNAT entries that are changed in place under open connections.

use lab::servers::{Web, cannot_get, get};
use lab::site::SERVER;
use lab::sockets::{TcpEcho, is_alive, tcp};
use lab::{Gateway, Lab, Site, config, in_both_hooks, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long sessions drain here, unless a call says otherwise.
const DRAIN: u64 = 12;

/// The answer to a call.
fn call(gateway: &Gateway, words: &str) -> Value {
    serde_json::from_str(&gateway.cli(&format!("call vpc {words}")).ok()).unwrap()
}

/// The words that name the only SNAT entry.
fn entry(gateway: &Gateway) -> String {
    let entries = call(gateway, "DescribeSnatTableEntries");
    let one = &entries["SnatTableEntries"]["SnatTableEntry"][0];
    let table = one["SnatTableId"].as_str().unwrap();
    format!("--SnatTableId {table} --SnatEntryId snat")
}

/// How long the session to a port drains. The engine's seconds do not begin when those of the clock do, so it may be
/// one more than was said.
fn drains(gateway: &Gateway, port: u16) -> Option<u64> {
    let sessions = gateway.sessions_of("tcp", port);
    assert_eq!(sessions.len(), 1, "{sessions:#?}");
    sessions[0].drains
}

in_both_hooks! {
    fn an_open_connection_goes_on_until_it_has_drained(hook) {
        let lab = Lab::new(&format!("drain-{hook}"));
        let site = Site::new(&lab, hook);
        let with = |source: &str| {
            let keys = format!("drain_seconds = {DRAIN}\n");
            site.no_nat() + &keys + &config::snat("snat", source, "[\"eip-1\"]")
        };
        let mut gateway = site.gateway(&with("vpc = true"));
        let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
        let web = Web::start(&site.server, &[80]);
        let content = web.publish("slow", 2_000_000);
        let stream = tcp(&web_1, &format!("{SERVER}:7001")).unwrap();
        assert!(is_alive(&stream));
        let fetched = web_1.file("slow");
        let slow = web_1.spawn(&format!(
            "curl -sS -m 60 --limit-rate 400k -o {} http://{SERVER}/files/slow",
            fetched.display()
        ));
        wait_for("the download to be under way", 5.0, || {
            std::fs::metadata(&fetched).is_ok_and(|it| it.len() > 0)
        });

        // The entry is for the other vSwitch now.
        gateway.apply(&with("source = \"192.168.2.0/24\""));
        let since = Instant::now();
        let left = drains(&gateway, 7001).expect("it drains");
        assert!(left <= DRAIN + 1, "{left}");
        assert!(gateway.cli("sessions").ok().contains("(drains for "));
        assert!(is_alive(&stream));
        // New ones are not for the first one any more.
        cannot_get(&web_1, &format!("http://{SERVER}/"));
        assert!(gateway.drops("no_snat") > 0);
        let page = get(&web_2, &format!("http://{SERVER}/"));
        assert_eq!(page, "server 80 203.0.113.11\n");
        // The daemon that comes next lets them go on for as long as was said.
        gateway.restart(Signal::SIGKILL);
        let left = drains(&gateway, 7001).expect("it drains");
        assert!(left <= DRAIN + 1 - since.elapsed().as_secs().min(DRAIN), "{left}");
        assert!(is_alive(&stream));
        slow.wait(60.0).ok();
        assert!(std::fs::read(&fetched).unwrap() == content);
        // Then it is over, and both are told: one by a reset, the other by silence.
        wait_for("the connection to drain", 30.0, || {
            gateway.sessions_of("tcp", 7001).is_empty()
        });
        assert!(since.elapsed() >= Duration::from_secs(DRAIN - 1), "{:?}", since.elapsed());
        assert!(!is_alive(&stream));
        assert!(gateway.stats().drained >= 1);
    }

    fn an_eip_is_taken_out_of_a_pool(hook) {
        let lab = Lab::new(&format!("drain-eip-{hook}"));
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&site.standard());
        let web_1 = gateway.instance("web-1");
        let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
        let _web = Web::start(&site.server, &[80]);
        let stream = tcp(&web_1, &format!("{SERVER}:7001")).unwrap();
        assert!(is_alive(&stream));
        let entry = entry(&gateway);
        call(&gateway, &format!("ModifySnatEntry {entry} --SnatIp 203.0.113.12 --DrainSeconds 3600"));
        let left = drains(&gateway, 7001).expect("it drains");
        assert!((3000..=3601).contains(&left), "{left}");
        let shown = call(&gateway, "DescribeSnatTableEntries");
        let shown = &shown["SnatTableEntries"]["SnatTableEntry"][0]["Drains"]["Drain"];
        assert_eq!(shown[0]["SnatIp"], "203.0.113.11", "{shown:#}");
        for _ in 0..3 {
            let page = get(&web_1, &format!("http://{SERVER}/"));
            assert_eq!(page, "server 80 203.0.113.12\n");
            assert!(is_alive(&stream));
        }
        // It is put back, and taken out for good.
        call(&gateway, &format!("ModifySnatEntry {entry} --SnatIp 203.0.113.11,203.0.113.12"));
        assert_eq!(drains(&gateway, 7001), None);
        call(&gateway, &format!("ModifySnatEntry {entry} --SnatIp 203.0.113.12"));
        assert!(drains(&gateway, 7001).is_some());
        assert!(is_alive(&stream));
        call(&gateway, &format!("ModifySnatEntry {entry} --DrainSeconds 0"));
        assert!(gateway.sessions_of("tcp", 7001).is_empty());
        assert!(!is_alive(&stream));
    }
}
