//! What `sluice trace` says is what happens.

use lab::servers::Web;
use lab::site::{CLIENT, OTHER, SERVER};
use lab::{Host, Lab, Site, config};

/// The steps of a trace as text, a line each.
fn text(trace: &engine::TraceView) -> String {
    let lines = trace.steps.iter().map(|step| {
        format!(
            "{} {} {}\n",
            step.step,
            step.resource.as_deref().unwrap_or("-"),
            step.result
        )
    });
    lines.collect::<String>() + &trace.verdict
}

#[test]
fn a_trace_tells_what_a_packet_meets() {
    let lab = Lab::new("trace");
    let site = Site::new(&lab, "auto");
    let more = r#"
[[route_table]]
vpc = "vpc"
system = true
route = [{ destination = "198.18.0.0/15", blackhole = true }]

[[security_group]]
id = "sg-tight"
vpc = "vpc"
rule = [
    { direction = "egress", policy = "drop", protocol = "tcp", ports = 81, cidr = "0.0.0.0/0" },
    { direction = "ingress", policy = "drop", cidr = "198.51.100.21/32" },
    { direction = "ingress", protocol = "tcp", ports = 80, priority = 2, cidr = "0.0.0.0/0" },
]
"#;
    let config = site.no_nat()
        + &config::snat("two", "vswitch = \"vsw-2\"", "[\"eip-2\"]")
        + &config::dnat("eip-1", "tcp", "\"8080-8081\"", "tight", "\"80-81\"")
        + more
        + &config::instance("tight", "vsw-2", "192.168.2.20").replace("\"sg\"", "\"sg-tight\"");
    let gateway = site.gateway(&config);
    let [web_1, web_2, tight] = ["web-1", "web-2", "tight"].map(|id| gateway.instance(id));
    let _outside = Web::start(&site.server, &[80, 81]);
    let _inside = Web::start(&tight, &[80, 81]);

    let sg = "security_group_out";
    // From whom, to where as a trace and as a client have it; what becomes of it; what is in the trace.
    let cases: [(&str, &Host, String, String, &str, &[&str]); 9] = [
        (
            "web-2",
            &web_2,
            format!("{SERVER}:80/tcp"),
            format!("{SERVER}:80"),
            "forwarded",
            &[
                "security group out",
                "vpc/system",
                "ngw",
                "snat two 192.168.2.10 leaves as 203.0.113.12",
            ],
        ),
        (
            "web-1",
            &web_1,
            format!("{SERVER}:80/tcp"),
            format!("{SERVER}:80"),
            "no_snat",
            &["no SNAT entry covers 192.168.1.10"],
        ),
        (
            "tight",
            &tight,
            format!("{SERVER}:81/tcp"),
            format!("{SERVER}:81"),
            sg,
            &["sg-tight"],
        ),
        (
            "tight",
            &tight,
            format!("{SERVER}:80/tcp"),
            format!("{SERVER}:80"),
            "forwarded",
            &["snat two"],
        ),
        (
            "web-2",
            &web_2,
            "198.18.0.1:80/tcp".into(),
            "198.18.0.1:80".into(),
            "blackhole",
            &["vpc/system 198.18.0.1 into a blackhole"],
        ),
        (
            "web-2",
            &web_2,
            "eip-1:8080/tcp".into(),
            "203.0.113.11:8080".into(),
            "forwarded",
            &["snat two", "to 192.168.2.20:80", "sg-tight"],
        ),
        (
            CLIENT,
            &site.client,
            "eip-1:8080/tcp".into(),
            "203.0.113.11:8080".into(),
            "forwarded",
            &["to 192.168.2.20:80", "sg-tight"],
        ),
        (
            OTHER,
            &site.other,
            "eip-1:8080/tcp".into(),
            "203.0.113.11:8080".into(),
            "security_group_in",
            &["sg-tight"],
        ),
        (
            CLIENT,
            &site.client,
            "eip-1:8090/tcp".into(),
            "203.0.113.11:8090".into(),
            "not_mapped",
            &["nothing takes tcp port 8090"],
        ),
    ];
    for (from, host, to, address, verdict, parts) in cases {
        let trace = gateway.trace(from, &to);
        let text = text(&trace);
        assert_eq!(trace.verdict, verdict, "{from} to {to}:\n{text}");
        for part in parts {
            assert!(
                text.contains(part),
                "{from} to {to}: no `{part}` in\n{text}"
            );
        }
        // For people, the same.
        let printed = gateway
            .cli(&format!("trace --from {from} --to {to}"))
            .stdout;
        assert!(printed.contains(verdict), "{printed}");

        // And so it is.
        let before = gateway.drops(verdict);
        let answer = host.run(&format!("curl -sS -m 1 http://{address}/"));
        assert_eq!(
            answer.success(),
            verdict == "forwarded",
            "{from} to {to}: {answer}\n{text}"
        );
        if verdict == "forwarded" {
            let translated = trace.translated.unwrap();
            let seen_as = translated.src.to_string();
            assert!(
                answer.stdout.ends_with(&format!(" {seen_as}\n")),
                "{seen_as}: {answer}"
            );
        } else {
            assert!(
                gateway.drops(verdict) > before,
                "{from} to {to}: not counted as {verdict}"
            );
        }
    }
    // A trace is a thought: it opens nothing.
    let sessions = gateway.sessions().len();
    for _ in 0..20 {
        gateway.trace("web-2", &format!("{SERVER}:443/tcp"));
    }
    assert_eq!(gateway.sessions().len(), sessions);
    for (from, to) in [
        ("nobody", "198.51.100.10:80/tcp"),
        ("web-1", "nobody:80/tcp"),
    ] {
        let message = gateway
            .cli(&format!("trace --from {from} --to {to}"))
            .fails();
        assert!(message.contains("nobody"), "{message}");
    }
}
