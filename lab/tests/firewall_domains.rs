//! The NAT firewall tells sessions apart by what they say: applications and domains, with real clients and servers.

use lab::names::{self, Names, curl};
use lab::quic::Web3;
use lab::servers::{Ssh, get};
use lab::site::SERVER;
use lab::{Host, Lab, Site, config, in_both_hooks, wait_for};

const ALLOWED: &str = "allowed.test";
const DENIED: &str = "denied.test";

/// Everything may go out but what these policies say; or the other way round, if the last of them denies the rest.
fn with(site: &Site, mode: &str, policies: &[&str]) -> String {
    let policies: String = policies.iter().map(|it| config::policy(it)).collect();
    site.no_nat()
        + config::SHORT
        + config::SNAT
        + &config::firewall(&format!("mode = \"{mode}\""))
        + &policies
}

/// Whether a page comes, and is the one of that name.
fn comes(host: &Host, scheme: &str, name: &str, more: &str) -> bool {
    let output = host.run(&curl(scheme, name, SERVER, more));
    assert_eq!(output.success(), !output.stdout.is_empty(), "{output}");
    assert!(
        output.stdout.is_empty() || output.stdout.starts_with(name),
        "{output}"
    );
    output.success()
}

/// The ways of asking for a page: scheme and more words for curl.
const WAYS: [(&str, &str); 4] = [
    ("http", ""),
    ("https", "--http1.1 --tls-max 1.2"),
    ("https", "--http1.1 --tlsv1.3"),
    ("https", "--http2 --tlsv1.3"),
];

in_both_hooks! {
    /// Several names on one address: HTTP, TLS 1.2, TLS 1.3, HTTP/2.
    fn names_on_one_address_are_told_apart(hook) {
        let lab = Lab::new("fw-names");
        let site = Site::new(&lab, hook);
        let deny = "domain = \"denied.test\"; protocol = \"tcp\"; applications = [\"HTTP\", \"HTTPS\"]; action = \"drop\"";
        let gateway = site.gateway(&with(&site, "loose", &[deny]));
        let _server = Names::start(&site.server, &[ALLOWED, DENIED]);
        let instance = gateway.instance("web-1");
        for (scheme, more) in WAYS {
            assert!(comes(&instance, scheme, ALLOWED, more), "{scheme} {more}");
            assert!(!comes(&instance, scheme, DENIED, more), "{scheme} {more}");
        }
        // The same rule turned round: one name, and nothing else.
        let allow = "domain = \"allowed.test\"; protocol = \"tcp\"; action = \"accept\"";
        for mode in ["loose", "strict"] {
            gateway.apply(&with(&site, mode, &[allow, "action = \"drop\""]));
            for (scheme, more) in WAYS {
                assert!(comes(&instance, scheme, ALLOWED, more), "{mode} {scheme} {more}");
                assert!(!comes(&instance, scheme, DENIED, more), "{mode} {scheme} {more}");
            }
        }
        // With the firewall off, all goes.
        gateway.apply(&site.standard());
        assert!(comes(&instance, "https", DENIED, ""));
    }

    fn http_3_is_told_by_its_name(hook) {
        let lab = Lab::new("fw-quic");
        let site = Site::new(&lab, hook);
        let deny = "domain = \"denied.test\"; protocol = \"udp\"; applications = [\"QUIC\"]; action = \"drop\"";
        let gateway = site.gateway(&with(&site, "loose", &[deny]));
        let server = Web3::start(&site.server, &[ALLOWED, DENIED]);
        let instance = gateway.instance("web-1");
        let page = server.get(&instance, ALLOWED, SERVER).unwrap();
        assert_eq!(page, "allowed.test HTTP/3\n");
        assert!(server.get(&instance, DENIED, SERVER).is_err());
    }
}

#[test]
fn wildcards_books_and_certificates_without_a_name() {
    let lab = Lab::new("fw-wild");
    let site = Site::new(&lab, "tc");
    let book =
        "\n[[address_book]]\nid = \"sites\"\ndomains = [\"*.shop.test\", \"allowed.test\"]\n";
    let allow =
        "destination_book = \"sites\"; protocol = \"tcp\"; ports = 443; action = \"accept\"";
    let config = with(&site, "strict", &[allow, "action = \"drop\""]) + book;
    let gateway = site.gateway(&config);
    let _server = Names::start(
        &site.server,
        &[ALLOWED, DENIED, "www.shop.test", "shop.test"],
    );
    let instance = gateway.instance("web-1");
    assert!(comes(&instance, "https", ALLOWED, ""));
    assert!(comes(&instance, "https", "www.shop.test", ""));
    assert!(!comes(&instance, "https", "shop.test", ""));
    assert!(!comes(&instance, "https", DENIED, ""));
    // A client that tells a name, and one that tells none.
    let s_client = |more: &str| {
        let line = format!("timeout 8 openssl s_client -connect {SERVER}:443 {more} </dev/null");
        instance.run(&line).stdout.contains("BEGIN CERTIFICATE")
    };
    assert!(s_client("-servername www.shop.test"));
    assert!(!s_client("-servername denied.test"));
    assert!(!s_client("-noservername"));
}

#[test]
fn applications_are_told_apart_whatever_port_they_use() {
    let lab = Lab::new("fw-apps");
    let site = Site::new(&lab, "tc");
    let gateway = site.gateway(&with(&site, "loose", &[]));
    let instance = gateway.instance("web-1");
    let _redis = names::redis(&site.server);
    let _mysql = names::mysql(&site.server);
    let _smtp = names::smtp(&site.server, &["mail.test"]);
    let _dns = names::dns(&site.server, &[("a.test", "192.0.2.1")]);
    let ssh = Ssh::start(&site.server);
    let tries = [
        ("SSH", format!("{} echo hello", ssh.client(SERVER)), "hello"),
        (
            "Redis",
            format!("timeout 8 redis-cli -h {SERVER} ping"),
            "PONG",
        ),
        (
            "MySQL",
            format!("timeout 8 mariadb --skip-ssl -h {SERVER} -u x -py -e 'select version()' 2>&1"),
            "MariaDB",
        ),
        (
            "SMTP",
            format!(
                "timeout 8 openssl s_client -connect {SERVER}:25 -starttls smtp -servername mail.test </dev/null 2>/dev/null"
            ),
            "BEGIN CERTIFICATE",
        ),
        (
            "DNS",
            format!("dig +tcp +short +time=3 +tries=1 @{SERVER} a.test"),
            "192.0.2.1",
        ),
        (
            "DNS",
            format!("dig +short +time=3 +tries=1 @{SERVER} a.test"),
            "192.0.2.1",
        ),
    ];
    let works = |line: &str, sign: &str| instance.run(line).stdout.contains(sign);
    for (app, line, sign) in &tries {
        assert!(works(line, sign), "{app}: {line}");
    }
    for (n, (app, line, sign)) in tries.iter().enumerate() {
        // The last of them goes over UDP.
        let over = if n + 1 < tries.len() { "tcp" } else { "udp" };
        let of_app = format!("protocol = \"{over}\"; applications = [\"{app}\"]");
        let deny = format!("{of_app}; action = \"drop\"");
        for mode in ["loose", "strict"] {
            gateway.apply(&with(&site, mode, &[&deny]));
            assert!(!works(line, sign), "{mode}: denied {app}: {line}");
        }
        let allow = format!("{of_app}; action = \"accept\"");
        gateway.apply(&with(&site, "strict", &[&allow, "action = \"drop\""]));
        assert!(works(line, sign), "allowed {app}: {line}");
        let other = "protocol = \"tcp\"; applications = [\"HTTP\"]; action = \"accept\"";
        gateway.apply(&with(&site, "strict", &[other, "action = \"drop\""]));
        assert!(!works(line, sign), "not allowed {app}: {line}");
    }
    // By the name that is told after STARTTLS.
    let (_, mail, sign) = &tries[3];
    let by_name = "domain = \"mail.test\"; protocol = \"tcp\"; applications = [\"SMTP\", \"SMTPS\"]; action = \"drop\"";
    gateway.apply(&with(&site, "loose", &[by_name]));
    assert!(!works(mail, sign));
    assert!(works(
        &mail.replace("-servername mail.test", "-servername other.test"),
        sign
    ));
}

in_both_hooks! {
    /// The documented example: a policy denies a domain, and somebody opens a bare connection with telnet.
    fn a_bare_telnet_passes_in_loose_mode_and_not_in_strict_mode(hook) {
        let lab = Lab::new("fw-telnet");
        let site = Site::new(&lab, hook);
        let deny = "domain = \"denied.test\"; protocol = \"tcp\"; ports = 443; applications = [\"HTTPS\"]; action = \"drop\"";
        let gateway = site.gateway(&with(&site, "loose", &[deny]));
        let _server = Names::start(&site.server, &[ALLOWED, DENIED]);
        let instance = gateway.instance("web-1");
        let telnet = format!("sleep 8 | timeout 9 telnet {SERVER} 443");
        // It connects, and stays connected though nothing is said for longer than is waited for it.
        let output = instance.run(&telnet);
        assert!(output.stdout.contains("Connected to"), "{output}");
        assert!(!output.stdout.contains("closed by foreign host"), "{output}");
        // A record of the one or the other state, and how it came to its end.
        let recorded = |state: &str, how: &str| {
            let text = gateway.cli("records --json --limit 100").ok();
            let state = format!("\"state\":\"{state}\"");
            text.lines().any(|it| it.contains("\"dst_port\":443") && it.contains(&state) && it.contains(how))
        };
        wait_for("the record of it", 10.0, || recorded("no_payload", "\"by\":\"unidentified\""));
        // One that says what nobody knows.
        let nonsense = format!("(sleep 1; echo nonsense; sleep 1) | timeout 9 telnet {SERVER} 443");
        instance.run(&nonsense);
        wait_for("the record of it", 10.0, || recorded("unknown_loose", "\"unknown\":\"not_recognised\""));
        // With a policy below that denies everything.
        gateway.apply(&with(&site, "strict", &[deny, "action = \"drop\""]));
        let output = instance.run(&telnet);
        let ended = !output.stdout.contains("Connected to")
            || format!("{}{}", output.stdout, output.stderr).contains("closed by foreign host");
        assert!(ended, "{output}");
        wait_for("the record of it", 10.0, || recorded("no_payload", "\"close\":\"refused\""));
        instance.run(&nonsense);
        wait_for("the record of it", 10.0, || recorded("unknown_strict", "\"close\":\"refused\""));
        // A client that says something else passes neither.
        assert!(!comes(&instance, "https", ALLOWED, ""));
        gateway.apply(&with(&site, "strict", &[deny]));
        assert!(comes(&instance, "https", ALLOWED, ""));
        assert!(!comes(&instance, "https", DENIED, ""));
        assert_eq!(get(&instance, &format!("-k https://{SERVER}/")), "allowed.test HTTP/2.0\n");
    }
}
