use super::*;
use std::fmt::Write;

/// What is in a list: indicators as text, with their category, and the lines that are skipped.
fn list(format: FeedFormat, text: &str) -> (Vec<String>, Vec<u64>) {
    let mut found = Vec::new();
    let report = read(text.as_bytes(), format, 0, &mut |indicator, category| {
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
        let read = read(bad.as_bytes(), FeedFormat::Stix, 0, &mut |_, _| {});
        assert!(matches!(read, Err(FeedError::Stix(_))), "{bad}");
    }
}

#[test]
fn stix_indicators_count_while_they_are_valid() {
    let indicator = |address: &str, more: &str| {
        format!(
            r#"{{"type": "indicator", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '{address}']"{more}}}"#
        )
    };
    let objects = [
        indicator("192.0.2.1", ""),
        indicator("192.0.2.2", r#", "valid_from": "2026-11-01T00:00:00Z""#),
        indicator(
            "192.0.2.3",
            r#", "valid_from": "2026-11-01T00:00:00.000Z", "valid_until": "2026-11-30T12:00:00.5Z""#,
        ),
        indicator(
            "192.0.2.4",
            r#", "valid_until": "2026-11-30T14:00:00+02:00", "revoked": true"#,
        ),
        indicator(
            "192.0.2.5",
            r#", "valid_from": "2026-12-01T00:00:00Z", "valid_until": null"#,
        ),
        // Never, and at no time.
        indicator(
            "192.0.2.6",
            r#", "valid_from": "2027-12-01T00:00:00Z", "valid_until": "2026-11-29T00:00:00Z""#,
        ),
        indicator("192.0.2.7", r#", "valid_until": "tomorrow""#),
        indicator("192.0.2.8", r#", "valid_until": "1815-06-18T00:00:00Z""#),
    ];
    let bundle = format!(
        r#"{{"type": "bundle", "objects": [{}]}}"#,
        objects.join(", ")
    );
    let at = |now: &str| {
        let now = model::text::moment(now).unwrap();
        let mut found = Vec::new();
        let each = &mut |it, _: Option<_>| match it {
            Indicator::Net(net) => found.push(net.addr().octets()[3]),
            other => panic!("{other:?}"),
        };
        let report = read(bundle.as_bytes(), FeedFormat::Stix, now, each).unwrap();
        let lines: Vec<u64> = report.first_skipped.iter().map(|it| it.line).collect();
        assert_eq!(lines, [7, 8]);
        assert_eq!(report.indicators, found.len() as u64);
        (found, report.changes)
    };
    let moment = model::text::moment;
    assert_eq!(
        at("2026-10-01T00:00:00Z"),
        (vec![1], moment("2026-11-01T00:00:00Z"))
    );
    assert_eq!(
        at("2026-11-01T00:00:00Z"),
        (vec![1, 2, 3], moment("2026-11-30T12:00:00Z"))
    );
    assert_eq!(at("2026-11-30T11:59:59Z").0, [1, 2, 3]);
    assert_eq!(
        at("2026-11-30T12:00:00Z"),
        (vec![1, 2], moment("2026-12-01T00:00:00Z"))
    );
    assert_eq!(at("2030-01-01T00:00:00Z"), (vec![1, 2, 5], None));
}

#[test]
fn what_is_wrong_is_counted_and_the_first_told() {
    let mut text = vec![b'x'; lines::LONGEST + 1];
    text.extend(b"\n\xff\xfe\n");
    text.extend("!\n".repeat(100).bytes());
    text.extend(b"192.0.2.1\n");
    let mut found = 0;
    let report = read(&text[..], FeedFormat::Plain, 0, &mut |_, _| found += 1).unwrap();
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
    let read = read(endless, FeedFormat::Plain, 0, &mut |_, _| {});
    assert!(matches!(read, Err(FeedError::TooLong)));
}

fn service(services: &[&str], regions: &[&str]) -> CloudService {
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    CloudService {
        location: "/ranges".into(),
        services: texts(services),
        regions: texts(regions),
        refresh: std::time::Duration::from_secs(60),
    }
}

/// The networks of a service in a list, and how many were skipped.
fn networks(text: &str, service: &CloudService) -> Result<(Vec<String>, u64), FeedError> {
    let mut found = Vec::new();
    let report = read_networks(text.as_bytes(), service, &mut |net| {
        found.push(net.to_string());
    })?;
    assert_eq!(report.indicators, found.len() as u64);
    Ok((found, report.skipped))
}

#[track_caller]
fn has(text: &str, services: &[&str], regions: &[&str], expected: &[&str]) {
    let (found, _) = networks(text, &service(services, regions)).unwrap();
    assert_eq!(found, expected, "{services:?} {regions:?}");
}

/// As `ip-ranges.json` has them.
const AMAZON: &str = r#"{
  "syncToken": "1764460987", "createDate": "2025-11-30-00-03-07",
  "prefixes": [
    {"ip_prefix": "3.4.12.4/32", "region": "eu-west-1", "service": "AMAZON", "network_border_group": "eu-west-1"},
    {"ip_prefix": "52.218.0.0/17", "region": "eu-west-1", "service": "S3", "network_border_group": "eu-west-1"},
    {"ip_prefix": "52.216.0.0/15", "region": "us-east-1", "service": "S3", "network_border_group": "us-east-1"},
    {"ip_prefix": "15.181.232.0/21", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1-iah-1"}
  ],
  "ipv6_prefixes": [
    {"ipv6_prefix": "2a05:d07a:a000::/40", "region": "eu-south-1", "service": "S3", "network_border_group": "eu-south-1"}
  ]
}"#;

#[test]
fn lists_of_a_network_with_its_service_and_region() {
    let s3 = ["52.218.0.0/17", "52.216.0.0/15"];
    has(AMAZON, &["S3"], &[], &s3);
    has(AMAZON, &["s3"], &["EU-West-1"], &s3[..1]);
    has(AMAZON, &["EC2"], &["us-east-1"], &["15.181.232.0/21"]);
    let us = ["52.216.0.0/15", "15.181.232.0/21"];
    has(AMAZON, &[], &["us-east-1"], &us);
    let europe = ["3.4.12.4/32", "52.218.0.0/17"];
    has(AMAZON, &["S3", "AMAZON"], &["eu-west-1"], &europe);
    // What is IPv6 is told, if it is wanted.
    assert_eq!(networks(AMAZON, &service(&["S3"], &[])).unwrap().1, 1);
    assert_eq!(networks(AMAZON, &service(&["EC2"], &[])).unwrap().1, 0);
    assert_eq!(networks(AMAZON, &service(&[], &[])).unwrap().0.len(), 4);
    // As `cloud.json` has them.
    let google = r#"{"syncToken": "1764428662563", "creationTime": "2025-11-29T07:04:22.563", "prefixes": [
        {"ipv4Prefix": "34.1.208.0/20", "service": "Google Cloud", "scope": "africa-south1"},
        {"ipv6Prefix": "2600:1900:8000::/44", "service": "Google Cloud", "scope": "africa-south1"},
        {"ipv4Prefix": "34.80.0.0/15", "service": "Google Cloud", "scope": "asia-east1"}]}"#;
    let all = ["34.1.208.0/20", "34.80.0.0/15"];
    has(google, &[], &[], &all);
    has(google, &["Google Cloud"], &["asia-east1"], &all[1..]);
}

#[test]
fn lists_of_services_with_their_networks() {
    // As the service tags of Azure are; what names the networks may stand before them or behind.
    let azure = r#"{"changeNumber": 367, "cloud": "Public", "values": [
      {"name": "Storage.WestEurope", "id": "Storage.WestEurope", "properties": {
        "changeNumber": 12, "region": "westeurope", "regionId": 18, "platform": "Azure", "systemService": "AzureStorage",
        "addressPrefixes": ["13.69.40.0/28", "2603:1020:206:1::/64"], "networkFeatures": ["API", "NSG", null]}},
      {"properties": {"addressPrefixes": ["13.69.64.208/28"], "region": "", "systemService": "AzureEventHub"},
        "name": "EventHub", "id": "EventHub"}]}"#;
    has(azure, &["Storage"], &[], &["13.69.40.0/28"]);
    has(
        azure,
        &["AzureStorage"],
        &["westeurope"],
        &["13.69.40.0/28"],
    );
    has(azure, &["Storage.WestEurope"], &[], &["13.69.40.0/28"]);
    has(azure, &["EventHub"], &[], &["13.69.64.208/28"]);
    has(
        azure,
        &["storage", "eventhub"],
        &[],
        &["13.69.40.0/28", "13.69.64.208/28"],
    );
    let nothing = networks(azure, &service(&["EventHub"], &["westeurope"]));
    assert!(matches!(nothing, Err(FeedError::NoNetwork)));
    // As `meta` of GitHub is: services are keys.
    let github = r#"{"verifiable_password_authentication": false,
        "ssh_key_fingerprints": {"SHA256_RSA": "uNiVztksCsDhcc0u9e8BrqhLbLgzvNJHJUZEh4vNB44"},
        "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"],
        "hooks": ["192.30.252.0/22", "2a0a:a440::/29"], "web": ["140.82.112.0/20", "20.201.28.151/32"],
        "domains": {"website": ["*.github.com"]}}"#;
    has(github, &["hooks"], &[], &["192.30.252.0/22"]);
    has(
        github,
        &["web"],
        &[],
        &["140.82.112.0/20", "20.201.28.151/32"],
    );
    // As Oracle's are: regions with networks, each with a list of what it is for.
    let oracle = r#"{"last_updated_timestamp": "2025-11-20T18:24:03.443190", "regions": [{"region": "us-phoenix-1",
        "cidrs": [{"cidr": "129.146.0.0/21", "tags": ["OCI"]}, {"cidr": "134.70.8.0/21", "tags": ["OSN", "OBJECT_STORAGE"]}]}]}"#;
    has(
        oracle,
        &["object_storage"],
        &["us-phoenix-1"],
        &["134.70.8.0/21"],
    );
    // As Microsoft 365 has them: no object around all.
    let office = r#"[{"id": 1, "serviceArea": "Exchange", "urls": ["outlook.office.com"], "ips": ["13.107.6.152/31"]},
        {"id": 11, "serviceArea": "Skype", "ips": ["52.112.0.0/14"], "tcpPorts": "443", "required": true}]"#;
    has(office, &["Skype"], &[], &["52.112.0.0/14"]);
}

#[test]
fn lists_of_a_network_a_line_and_what_is_no_network() {
    let plain = "# ours\n100.64.0.0/10\n\n100.100.2.136 # resolver\n";
    has(plain, &[], &[], &["100.64.0.0/10", "100.100.2.136/32"]);
    let unnamed = networks(plain, &service(&["S3"], &[]));
    assert!(matches!(unnamed, Err(FeedError::Unnamed)));
    // Nothing is none, and no mistake.
    has("", &[], &[], &[]);
    has(" \n# none yet\n", &[], &[], &[]);
    let mixed = "storage.example\n2001:db8::/32\n0.0.0.0/0\n192.0.2.1\n";
    let (found, skipped) = networks(mixed, &service(&[], &[])).unwrap();
    assert_eq!((found, skipped), (vec!["192.0.2.1/32".to_owned()], 3));
    let wide = "\u{feff} {\"all\": [\"0.0.0.0/0\", \"192.0.2.1\", \"192.0.2.77/24\"]}";
    let (found, skipped) = networks(wide, &service(&[], &[])).unwrap();
    assert_eq!(
        (found.join(" "), skipped),
        ("192.0.2.1/32 192.0.2.0/24".to_owned(), 1)
    );
}

#[test]
fn json_that_is_none_or_has_nothing_is_no_list() {
    let read = |text: &str| networks(text, &service(&[], &[]));
    for cut in [0, 1, 20] {
        let part = &AMAZON[..AMAZON.len() - 1 - cut];
        assert!(matches!(read(part), Err(FeedError::Json(_))), "{cut}");
    }
    for bad in ["{", "[1,]", "{\"a\": 192.0.2.1}", "[] x"] {
        assert!(matches!(read(bad), Err(FeedError::Json(_))), "{bad}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(read(&deep), Err(FeedError::Json(_))));
    for empty in [
        "{}",
        "[]",
        r#"{"error": "not found"}"#,
        r#"["2001:db8::/32"]"#,
    ] {
        assert!(matches!(read(empty), Err(FeedError::NoNetwork)), "{empty}");
    }
    let many = vec!["\"192.0.2.1\""; MAX_NETWORKS as usize + 1].join(",");
    let many = read(&format!("[{many}]"));
    assert!(matches!(many, Err(FeedError::TooManyNetworks)));
}
