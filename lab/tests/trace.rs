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

    // A trace from `from` to a port of `to` has these parts and this verdict, and so does a request from
    // `host`.
    let case =
        |from: &str, host: &Host, [to, address]: [&str; 2], verdict: &str, parts: &[&str]| {
            let trace = gateway.trace(from, &format!("{to}/tcp"));
            let text = text(&trace);
            assert_eq!(trace.verdict, verdict, "{from} to {to}:\n{text}");
            for part in parts {
                assert!(
                    text.contains(part),
                    "{from} to {to}: no `{part}` in\n{text}"
                );
            }
            // For people, the same.
            let printed = gateway.cli(&format!("trace --from {from} --to {to}/tcp"));
            assert!(printed.stdout.contains(verdict), "{printed}");

            // And so it is.
            let before = gateway.drops(verdict);
            let answer = host.run(&format!("curl -sS -m 1 http://{address}/"));
            let forwarded = verdict == "forwarded";
            assert_eq!(
                answer.success(),
                forwarded,
                "{from} to {to}: {answer}\n{text}"
            );
            if forwarded {
                let seen_as = trace.translated.unwrap().src;
                let page = &answer.stdout;
                assert!(
                    page.ends_with(&format!(" {seen_as}\n")),
                    "{seen_as}: {page}"
                );
            } else {
                assert!(
                    gateway.drops(verdict) > before,
                    "{from} to {to}: not counted as {verdict}"
                );
            }
        };
    let server = |port: &str| format!("{SERVER}:{port}");
    let (open, shut) = (server("80"), server("81"));
    let mapped = ["eip-1:8080", "203.0.113.11:8080"];
    let (inward, hole) = (
        "to 192.168.2.20:80",
        "vpc/system 198.18.0.1 into a blackhole",
    );
    let as_eip = "snat two 192.168.2.10 leaves as 203.0.113.12";
    let no_entry = "no SNAT entry covers 192.168.1.10";
    let out = ["security group out", "vpc/system", "ngw", as_eip];
    case("web-2", &web_2, [&open, &open], "forwarded", &out);
    case("web-1", &web_1, [&open, &open], "no_snat", &[no_entry]);
    case(
        "tight",
        &tight,
        [&shut, &shut],
        "security_group_out",
        &["sg-tight"],
    );
    case("tight", &tight, [&open, &open], "forwarded", &["snat two"]);
    case("web-2", &web_2, ["198.18.0.1:80"; 2], "blackhole", &[hole]);
    case(
        "web-2",
        &web_2,
        mapped,
        "forwarded",
        &["snat two", inward, "sg-tight"],
    );
    case(
        CLIENT,
        &site.client,
        mapped,
        "forwarded",
        &[inward, "sg-tight"],
    );
    case(
        OTHER,
        &site.other,
        mapped,
        "security_group_in",
        &["sg-tight"],
    );
    let unmapped = ["eip-1:8090", "203.0.113.11:8090"];
    let nothing = "nothing takes tcp port 8090";
    case(CLIENT, &site.client, unmapped, "not_mapped", &[nothing]);

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
