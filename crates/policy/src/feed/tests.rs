use super::*;
use std::fmt::Write;

/// What is in a list: indicators as text, with their category, and the lines that are skipped.
fn list(format: FeedFormat, text: &str) -> (Vec<String>, Vec<u64>) {
    let mut found = Vec::new();
    let report = read(text.as_bytes(), format, &mut |indicator, category| {
        let mut text = match indicator {
            Indicator::Net(net) => net.to_string(),
            Indicator::Domain(name) => name,
            Indicator::Host(name) => format!("={name}"),
        };
        if let Some(category) = category {
            write!(text, " {category}").unwrap();
        }
        found.push(text);
    });
    let report = report.unwrap();
    assert_eq!(report.indicators, found.len() as u64);
    assert_eq!(report.skipped, report.first_skipped.len() as u64);
    let lines = report.first_skipped.iter().map(|it| it.line).collect();
    (found, lines)
}

#[test]
fn plain_lists() {
    let (found, skipped) = list(
        FeedFormat::Plain,
        "\u{feff}# A list\n\
         192.0.2.1\r\n\
         198.51.100.0/24 ; SBL1\n\
         203.0.113.0/24;SBL2\n\
         \n\
         // more\n\
         Evil.Example # comment\n\
         *.bad.test\n\
         .worse.test\n\
         http://user@www.page.test:8080/path?q#f\n\
         192.0.2.9:4444\n\
         evil[.]test\n\
         not an indicator\n\
         2001:db8::1\n\
         com\n\
         *.com\n\
         0.0.0.0/0\n\
         999.1.2.3\n\
         192.0.2.4",
    );
    let expected = [
        "192.0.2.1/32",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "evil.example",
        "bad.test",
        "worse.test",
        "www.page.test",
        "192.0.2.9/32",
        "evil.test",
        "192.0.2.4/32",
    ];
    assert_eq!(found, expected);
    assert_eq!(skipped, [13, 14, 15, 16, 17, 18]);
}

#[test]
fn hosts_files_mean_a_name_alone() {
    let (found, skipped) = list(
        FeedFormat::Hosts,
        "127.0.0.1 localhost localhost.localdomain\n\
         ::1 ip6-localhost\n\
         0.0.0.0 0.0.0.0\n\
         0.0.0.0 ads.test tracker.test # both\n\
         what.test\n",
    );
    assert_eq!(found, ["=ads.test", "=tracker.test"]);
    assert_eq!(skipped, [5]);
}

#[test]
fn tables_with_quotes_and_comments() {
    let (found, skipped) = list(
        FeedFormat::Csv,
        "first_seen,dst_ip,malware\n\
         # comment, 192.0.2.1\n\
         \"2026-01-01 00:00:00\",\"192.0.2.2\",\"a \"\"b\"\", c\"\n\
         2026-01-01,http://x.test/a,IpOutThreatC2\n\
         iPoUtThReAtToReXiT, 192.0.2.3\n\
         \"unfinished,192.0.2.4\n\
         nothing,here\n",
    );
    let expected = [
        "192.0.2.2/32",
        "x.test IpOutThreatC2",
        "192.0.2.3/32 IpOutThreatTorExit",
    ];
    assert_eq!(found, expected);
    assert_eq!(skipped, [6, 7]);
}

#[test]
fn tables_with_semicolons_and_tabs() {
    let (found, skipped) = list(
        FeedFormat::Csv,
        "\"first seen\";\"address\"\n\
         \"2026-01-01\";\"192.0.2.2\";\"a; b\"\n\
         2026-01-01;192.0.2.3\n\
         \"2026-01-01\"\t\"x.test\"\n",
    );
    assert_eq!(found, ["192.0.2.2/32", "192.0.2.3/32", "x.test"]);
    assert_eq!(skipped, [0; 0]);
}

#[test]
fn stix_bundles() {
    let bundle = |patterns: &[&str]| {
        let mut objects = vec![serde_json::json!({"type": "identity", "name": "x"})];
        for pattern in patterns {
            objects.push(serde_json::json!({
                "type": "indicator", "spec_version": "2.1", "pattern_type": "stix",
                "pattern": pattern, "indicator_types": ["malicious-activity"], "labels": ["IpOutThreatC2"],
                "extensions": {"a": [1, {"b": null}]}
            }));
        }
        serde_json::json!({"type": "bundle", "id": "bundle--1", "objects": objects}).to_string()
    };
    let (found, skipped) = list(
        FeedFormat::Stix,
        &bundle(&[
            "[ipv4-addr:value = '192.0.2.1']",
            "[ipv4-addr:value ISSUBSET '198.51.100.0/24']",
            "[domain-name:value='evil.test' OR domain-name:value = 'bad.test']",
            "[url:value = 'https://page.test/it\\'s'] OR [domain-name:value IN ('a.test','b.test')]",
            "[ipv4-addr:value = '192.0.2.2' AND domain-name:value = 'both.test']",
            "[file:hashes.MD5 = 'x']",
            "[ipv4-addr:value = '192.0.2.3'] REPEATS 5 TIMES",
            "[NOT ipv4-addr:value = '192.0.2.3']",
            "[ipv4-addr:value = '192.0.2.3",
            "",
        ]),
    );
    let expected = [
        "192.0.2.1/32",
        "198.51.100.0/24",
        "evil.test",
        "bad.test",
        "page.test",
        "a.test",
        "b.test",
    ];
    let expected = expected.map(|it| format!("{it} IpOutThreatC2"));
    assert_eq!(found, expected);
    assert_eq!(skipped, [6, 7, 8, 9, 10, 11]);
    for bad in [
        "",
        "[]",
        "{\"objects\": []}",
        "{\"type\": \"bundle\", \"objects\": [",
        "{\"type\":\"bundle\",\"objects\":[]} x",
    ] {
        let read = read(bad.as_bytes(), FeedFormat::Stix, &mut |_, _| {});
        assert!(matches!(read, Err(FeedError::Stix(_))), "{bad}");
    }
}

#[test]
fn what_is_wrong_is_counted_and_the_first_told() {
    let mut text = vec![b'x'; lines::LONGEST + 1];
    text.extend(b"\n\xff\xfe\n");
    text.extend("!\n".repeat(100).bytes());
    text.extend(b"192.0.2.1\n");
    let mut found = 0;
    let report = read(&text[..], FeedFormat::Plain, &mut |_, _| found += 1).unwrap();
    assert_eq!((found, report.indicators, report.skipped), (1, 1, 102));
    assert_eq!(report.first_skipped.len(), TOLD);
    assert_eq!(report.first_skipped[0].why, Why::TooLong);
    assert_eq!(report.first_skipped[1].why, Why::NotText);
    assert!(
        report.first_skipped[2]
            .why
            .to_string()
            .starts_with("\"!\" is no IPv4")
    );
}

#[test]
fn a_list_has_an_end() {
    let endless = io::repeat(b'x');
    let read = read(endless, FeedFormat::Plain, &mut |_, _| {});
    assert!(matches!(read, Err(FeedError::TooLong)));
}
