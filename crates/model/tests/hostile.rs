//! Whatever a file says, reading it ends with a right configuration or with lines that are there.

use model::file::parse;
use model::validate::check;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const EXAMPLE: &str = include_str!("../../../docs/example.toml");

/// What every result has to be.
fn sane(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(config) => prop_assert_eq!(check(&config), []),
        Err(error) => {
            let last = text.split('\n').count();
            prop_assert!(!error.lines.is_empty() && error.lines.len() <= 20);
            prop_assert!(error.lines.iter().all(|it| (1..=last).contains(&it.line)));
            prop_assert!(error.lines.is_sorted_by_key(|it| it.line));
            prop_assert!(error.lines.iter().all(|it| !it.message.contains('\n')));
            let lines = error.lines.len() + usize::from(error.more > 0);
            prop_assert_eq!(error.to_string().lines().count(), lines);
        }
    }
    Ok(())
}

/// A change to a text.
#[derive(Clone, Debug)]
enum Change {
    /// Without a line.
    Remove(Index),
    /// With a line twice, the second time elsewhere.
    Copy(Index, Index),
    /// Two lines change places.
    Swap(Index, Index),
    /// A line's value becomes that of another line.
    Take(Index, Index),
    /// A line's value becomes something else.
    Set(Index, String),
    /// A character of the file becomes another.
    Spoil(Index, char),
    /// The file ends early.
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let values = [
        "\"\"",
        "\"a\"",
        "-1",
        "0",
        "1",
        "65536",
        "9223372036854775807",
        "1e400",
        "true",
        "false",
        "[]",
        "{}",
        "\"0.0.0.0/0\"",
        "\"255.255.255.255\"",
        "\"0.0.0.0\"",
        "\"0.0.0.0/32\"",
        "\"192.168.1.253\"",
        "\"65535-1\"",
        "\"1-65535\"",
        "65535",
        "\"any\"",
        "\"udp\"",
        "\"device\"",
        "[\"eip-1\", \"eip-1\"]",
        "[\"10.20.0.0/16\", \"0.0.0.0/0\"]",
        "\"vpc-lab/system\"",
        "\"\\u0000\"",
        "1979-05-27",
    ];
    let at = any::<Index>;
    let value = select(values.map(String::from).to_vec());
    prop_oneof![
        1 => at().prop_map(Change::Remove),
        1 => (at(), at()).prop_map(|(from, to)| Change::Copy(from, to)),
        1 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        4 => (at(), at()).prop_map(|(to, from)| Change::Take(to, from)),
        4 => (at(), value).prop_map(|(to, value)| Change::Set(to, value)),
        1 => (at(), any::<char>()).prop_map(|(to, new)| Change::Spoil(to, new)),
        1 => at().prop_map(Change::Cut),
    ]
}

fn apply(text: &str, change: &Change) -> String {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    let valued: Vec<usize> = (0..lines.len())
        .filter(|&n| lines[n].contains(" = "))
        .collect();
    if valued.is_empty() {
        return text.into();
    }
    let set = |line: &mut String, value: &str| {
        if let Some((key, _)) = line.split_once(" = ") {
            *line = format!("{key} = {value}");
        }
    };
    match change {
        Change::Remove(n) => {
            lines.remove(n.index(lines.len()));
        }
        Change::Copy(from, to) => {
            let line = lines[from.index(lines.len())].clone();
            lines.insert(to.index(lines.len()), line);
        }
        Change::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        Change::Take(to, from) => {
            let from = &lines[*from.get(&valued)];
            let value = from.split_once(" = ").map(|(_, value)| value.to_string());
            set(&mut lines[*to.get(&valued)], &value.unwrap_or_default());
        }
        Change::Set(to, value) => set(&mut lines[*to.get(&valued)], value),
        Change::Spoil(at, new) => {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            chars[at] = *new;
            return chars.into_iter().collect();
        }
        Change::Cut(at) => {
            let count = text.chars().count();
            return text.chars().take(at.index(count)).collect();
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text(text in any::<String>()) {
        sane(&text)?;
    }

    #[test]
    fn any_text_that_looks_like_it(
        text in "(\\[{1,2}(vpc|eni|eip|nat_gateway|nat_gateway.snat|system)\\]{1,2}\n|(id|cidr|vpc|eips|mtu) = (\"[a-z0-9./]{0,9}\"|[0-9-]{1,3}|\\[\\])\n){0,12}"
    ) {
        sane(&text)?;
    }

    #[test]
    fn the_example_with_changes(changes in prop::collection::vec(change(), 1..6)) {
        let text = changes.iter().fold(EXAMPLE.to_string(), |text, it| apply(&text, it));
        sane(&text)?;
    }
}

/// Deep nesting ends in an error, not in a stack overflow.
#[test]
fn deep_nesting() {
    let text = format!("[[vpc]]\nid = {}", "[".repeat(100_000));
    assert_eq!(parse(&text).unwrap_err().lines.len(), 1);
}

/// Ten thousand interfaces, entries and rules, half of them wrong, in seconds.
#[test]
fn large_files() {
    let mut text = String::from(
        "[[uplink]]\nid = 'wan'\ndevice = 'eth1'\n[[vpc]]\nid = 'v'\ncidr = '10.0.0.0/8'\n\
         [[vswitch]]\nid = 's'\nvpc = 'v'\ncidr = '10.1.0.0/16'\n",
    );
    for n in 0..10_000 {
        let (high, low) = (n / 200, n % 200 + 1);
        let wrong = n % 2;
        text += &format!(
            "[[instance]]\nid = 'i-{n}'\nvswitch = 's'\naddress = '10.{wrong}.{high}.{low}'\n"
        );
        text += &format!("[[eip]]\nid = 'e-{n}'\naddress = '203.0.{high}.{low}'\n");
    }
    text += "[[nat_gateway]]\nid = 'g'\nvpc = 'v'\neips = [";
    for n in 0..10_000 {
        text += &format!("'e-{n}',");
    }
    text += "]\n";
    for n in 0..10_000 {
        text += &format!(
            "[[nat_gateway.dnat]]\neip = 'e-{n}'\nprotocol = 'tcp'\nexternal_port = 80\ninstance = 'i-{n}'\n"
        );
    }
    let start = std::time::Instant::now();
    let error = parse(&text).unwrap_err();
    assert_eq!(error.more, 5000 - 20);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
