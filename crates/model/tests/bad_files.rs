//! Files that are wrong. Each line of `bad/*.toml` that is to blame says so in a comment: `#! message`,
//! several times if there are several errors. Nothing else may be complained about.

use model::file::{Line, parse};

/// What the comments of a file say.
fn expected(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for message in line.split("#! ").skip(1) {
            lines.push(Line {
                line: n + 1,
                message: message.trim_end().into(),
            });
        }
    }
    lines
}

fn show(lines: &[Line]) -> String {
    let line = |Line { line, message }: &Line| format!("line {line}: {message}\n");
    lines.iter().map(line).collect()
}

fn check(text: &str) {
    let expected = expected(text);
    assert!(!expected.is_empty(), "a bad file says what is bad");
    let error = parse(text).expect_err("it is bad");
    assert_eq!(error.more, 0, "{error}");
    let mut found = error.lines.clone();
    found.sort();
    let mut sorted = expected.clone();
    sorted.sort();
    assert!(
        found == sorted,
        "expected\n{}\nfound\n{}",
        show(&sorted),
        show(&found)
    );
    assert!(error.lines.is_sorted_by_key(|line| line.line));
}

macro_rules! bad_files {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            check(include_str!(concat!("bad/", stringify!($name), ".toml")));
        })+

        #[test]
        fn all_files_are_tested() {
            let listed = [$(concat!(stringify!($name), ".toml")),+];
            let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad");
            for file in std::fs::read_dir(directory).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                assert!(listed.contains(&name.as_str()), "{name} is not tested");
            }
        }
    };
}

bad_files! { bandwidth cloud_books details dnat eips identifiers instances nat_firewalls nat_ips networks peerings policies quotas routes security snat system uplinkless uplinks values vpc_nat }

/// The text, the line and the message of errors that end the reading.
const SYNTAX: &[(&str, usize, &str)] = &[
    (
        "[[vpc]]\nid = 'a",
        2,
        "invalid literal string, expected `'`",
    ),
    (
        "\n[[vpc]\nid = 'a'",
        2,
        "unclosed array table, expected `]`",
    ),
    ("[[vpc]]\nid = 'a'\nid = 'b'", 3, "duplicate key"),
    (
        "[[vpc]]\nid = 'a'\r\n# é\r\nlabel = 'b'",
        4,
        "unknown key `label`, expected one of `id`, `cidr`, `secondary_cidrs`, `name`, `description`, `tags`, `resource_group`, `region`, \
         `user_cidrs`",
    ),
    (
        "[[security_group]]\n[[security_group.rule]]\nport = 80",
        3,
        "unknown key `port`, expected one of `direction`, `policy`, `priority`, `protocol`, `ports`, `cidr`, `group`, `description`",
    ),
    (
        "[system]\n\n[[vpn]]",
        3,
        "unknown key `vpn`, expected one of `system`, `quotas`, `records`, `resolver`, `locations`, `region`, `uplink`, `vpc`, `vswitch`, `route_table`, \
         `security_group`, `instance`, `eni`, `eip`, `bandwidth_package`, `nat_gateway`, `nat_ip`, `nat_ip_cidr`, `peering`, `nat_firewall`, `firewall_license`, \
         `address_book`, `policy`, `border_firewall`, `dns_firewall`, `threat_feed`",
    ),
    (
        "[[vpc]]\nid = 5",
        2,
        "invalid type: integer `5`, expected a string",
    ),
    (
        "[[instance]]\nmtu = '1500'",
        2,
        "invalid type: string \"1500\", expected a number",
    ),
    (
        "[[eip]]\nid = ['a']",
        2,
        "invalid type: list, expected a string",
    ),
    (
        "[[nat_gateway]]\neips = [\n  'a',\n  7,\n]",
        4,
        "invalid type: integer `7`, expected a string",
    ),
    (
        "[[nat_gateway]]\neips = 'a'",
        2,
        "invalid type: string \"a\", expected a list",
    ),
    (
        "[[nat_gateway]]\nsnat_ports = 1.5",
        2,
        "invalid type: floating point `1.5`, expected a number or a string",
    ),
    (
        "\u{feff}# first\n[vpc]\nid = 'a'",
        2,
        "there can be several of these: write [[vpc]] instead of [vpc]",
    ),
];

#[test]
fn syntax() {
    for &(text, line, message) in SYNTAX {
        let error = parse(text).unwrap_err();
        let message = message.to_string();
        assert_eq!(error.lines, [Line { line, message }], "{text}");
        assert_eq!(error.more, 0);
    }
}

#[test]
fn at_most_twenty_are_told() {
    let mut text = String::new();
    for n in 0..25 {
        text += &format!("[[vpc]]\nid = 'vpc-{n}'\n");
    }
    let error = parse(&text).unwrap_err();
    assert_eq!(error.lines.len(), 20);
    assert_eq!(error.more, 5);
    let lines: Vec<String> = error.to_string().lines().map(String::from).collect();
    assert_eq!(lines.len(), 21);
    assert_eq!(lines[0], "line 1: VPC \"vpc-0\": cidr is missing");
    assert_eq!(lines[20], "and 5 more");
}

#[test]
fn a_vpc_with_too_many_blocks_is_not_expanded() {
    let blocks: Vec<String> = (0..64).map(|n| format!("'10.{n}.0.0/16'")).collect();
    let text = format!(
        "\n[[vpc]]\nid = 'v'\ncidr = '192.168.0.0/16'\nsecondary_cidrs = [{}]\n\
         [[nat_gateway]]\nid = 'n'\nvpc = 'v'\n[[nat_gateway.snat]]\nvpc = true\n",
        blocks.join(",")
    );
    let expected = "line 2: VPC \"v\": 65 address blocks: a VPC has 1 to 64";
    assert_eq!(parse(&text).unwrap_err().to_string(), expected);
}
