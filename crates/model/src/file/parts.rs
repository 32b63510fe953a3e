//! Files with many policies, read in parts.
//!
//! Who reads a text as one gets a tree of all of it, with where each value stands: many times the size of the text, and much
//! more than a processor's caches. So the tables of policies, of which there may be 100,000, are taken out and read some hundreds at
//! a time, on several processors, and what comes before and behind them is read without them. Nobody asks then where
//! anything stands, since a text that is not as plain as that is read as one after all, and so is one in which something
//! is wrong.

use super::build::{self, FilePolicy};
use super::schema;
use crate::Config;
use std::thread;

/// Policies in a part.
const PART: usize = 256;
/// Processors that read.
const READERS: usize = 4;

/// A text, taken apart.
#[derive(Debug, Default, PartialEq)]
struct Parts<'a> {
    /// Tables of policies, in their order.
    policies: Vec<&'a str>,
    /// Everything else.
    rest: String,
}

/// Reads a configuration with tables of policies, if nothing is wrong with it.
pub fn read(text: &str) -> Option<Config> {
    let parts = split(text)?;
    let file: schema::File = toml::from_str(&parts.rest).ok()?;
    // A list of policies and tables of them do not go together.
    if file.policy.is_some() {
        return None;
    }
    build::build_plain(&file, read_policies(&parts.policies)?)
}

/// A text without its tables of policies, if it has some that can be taken out.
pub fn without_policies(text: &str) -> Option<String> {
    split(text).map(|parts| parts.rest)
}

/// Takes a text apart; `None` if it has no tables of policies, or if that is not as simple as looking at how its lines
/// begin. What looks like a table at the beginning of a line and is none does not survive being read in parts.
fn split(text: &str) -> Option<Parts<'_>> {
    // Within texts of several lines there may be everything.
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut parts = Parts::default();
    // The part that is open: where it begins, and how many policies it has.
    let (mut begin, mut many) = (0, 0);
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let start = end;
        end += line.len();
        if !line.starts_with('[') || many > 0 && line.starts_with("[policy.") {
            continue;
        }
        let policy = line.starts_with("[[policy]]");
        if policy && (1..PART).contains(&many) {
            many += 1;
        } else if policy || many > 0 {
            parts.close(&text[begin..start], many);
            (begin, many) = (start, usize::from(policy));
        }
    }
    parts.close(&text[begin..], many);
    (!parts.policies.is_empty()).then_some(parts)
}

impl<'a> Parts<'a> {
    fn close(&mut self, part: &'a str, policies: usize) {
        match policies {
            0 => self.rest.push_str(part),
            _ => self.policies.push(part),
        }
    }
}

/// Reads parts, each processor as many as another.
fn read_policies(parts: &[&str]) -> Option<Vec<FilePolicy>> {
    let readers = thread::available_parallelism().map_or(1, |it| it.get().min(READERS));
    let each = parts.len().div_ceil(readers).max(1);
    let (first, others) = parts.split_at(each.min(parts.len()));
    thread::scope(|scope| {
        let read = |parts| thread::Builder::new().spawn_scoped(scope, move || read_some(parts));
        let others = others.chunks(each).map(|parts| read(parts).ok());
        let others: Vec<_> = others.collect::<Option<_>>()?;
        let mut policies = read_some(first)?;
        for other in others {
            policies.extend(other.join().ok()??);
        }
        Some(policies)
    })
}

fn read_some(parts: &[&str]) -> Option<Vec<FilePolicy>> {
    let mut policies = Vec::with_capacity(parts.len() * PART);
    for part in parts {
        let file: schema::PolicyFile = toml::from_str(part).ok()?;
        build::read_policies(&file.policy, &mut policies)?;
    }
    Some(policies)
}

#[cfg(test)]
mod tests {
    use super::super::{parse, read_whole};
    use super::*;
    use proptest::prelude::*;

    const SITE: &str = "[[uplink]]\nid = \"wan\"\ndevice = \"eth1\"\n[[vpc]]\nid = \"v\"\ncidr = \"10.0.0.0/8\"\n\
        [[nat_gateway]]\nid = \"n\"\nvpc = \"v\"\n";

    /// Many policies, half of them with identifiers, and other tables among them.
    fn many() -> String {
        let mut text = SITE.to_owned();
        for n in 0..5 * PART {
            text += "[[policy]]\nfirewall = \"n\"\nprotocol = \"tcp\"\naction = \"drop\"\n";
            text += &match n % 4 {
                0 => format!("id = \"p{n}\"\ndestination = \"192.0.2.{}\"\n", n % 256),
                1 => format!(
                    "destination_book = \"b{}\"\nports = {}\n",
                    n % 100,
                    1 + n % 7
                ),
                2 => format!(
                    "id = \"p{n}\"\ndomain = \"d{n}.example\"\napplications = [\n\"HTTPS\",\n]\n"
                ),
                _ => "[policy.validity]\nrepeat = \"daily\"\nstart = \"08:00\"\nend = \"18:00\"\n"
                    .into(),
            };
            if n < 100 {
                text += &format!("[[address_book]]\nid = \"b{n}\"\nip = [\"198.51.100.{n}\"]\n");
            }
        }
        text
    }

    #[test]
    fn many_policies_are_read_as_few_are() {
        let text = many();
        let config = read(&text).expect("nothing is wrong with it");
        assert_eq!(config.firewalls.policies[0].policies.len(), 5 * PART);
        assert_eq!(read_whole(&text), Ok(config));
        let name = |text: &str| super::super::system_name(text);
        assert_eq!(name(&text).as_deref(), Some("sluice"));
        let named = text + "[system]\nname = \"other\"\n";
        assert_eq!(name(&named).as_deref(), Some("other"));
        assert_eq!(name("[system]\nname = \"few\"").as_deref(), Some("few"));
        assert_eq!(name("[system"), None);
    }

    #[test]
    fn what_is_wrong_among_many_is_told_with_its_line() {
        let text = many();
        let last = text.rfind("domain").expect("a domain");
        let line = text[..last].lines().count();
        let wrong = text[..last].to_owned() + "domian" + &text[last + "domain".len()..];
        assert_eq!(read(&wrong), None);
        let error = parse(&wrong).expect_err("a key that there is not");
        assert_eq!(error.lines[0].line, line + 1);
        let twice = text.replace("id = \"p1026\"", "id = \"p2\"");
        let error = parse(&twice).expect_err("an identifier that there is twice");
        let told = error.to_string();
        assert!(told.contains("p2") && told.starts_with("line "), "{told}");
    }

    /// Lines of files and of what is none.
    fn line() -> impl Strategy<Value = &'static str> {
        const STRANGE: &[&str] = &[
            "destination_book = \"b\"",
            "applications = [",
            "]",
            "\"HTTP\",",
            "[\"a\"],",
            "# [[policy]]",
            "",
            "  [[policy]]",
            "[ [policy]]",
            "[policy]",
            "[[policy]] # x",
            "[[policy]]x",
            "policy = []",
            "policy.x = 1",
            "pool = [",
            "description = \"\"\"",
            "description = '''",
            "\"\"\"",
            "'''",
            "[dns_firewall]",
            "[[policy.x]]",
            "validity = { repeat = \"daily\", start = \"08:00\", end = \"18:00\" }",
            "id = \"p\"",
            "[nat_gateway.timeouts]\nudp = 30",
            "[[nat_gateway.snat]]\nvpc = true",
        ];
        prop_oneof![
            4 => Just("[[policy]]"),
            4 => Just("firewall = \"n\"\naction = \"drop\""),
            2 => Just("[policy.validity]\nrepeat = \"daily\"\nstart = \"08:00\"\nend = \"18:00\""),
            2 => Just("[[address_book]]\nid = \"b\"\nip = [\"198.51.100.1\"]"),
            3 => proptest::sample::select(STRANGE),
        ]
    }

    proptest! {
        #[test]
        fn what_is_read_in_parts_is_what_is_read_as_one(
            lines in proptest::collection::vec(line(), 0..14), first in any::<bool>()
        ) {
            let lines = lines.join("\n");
            let text = match first {
                true => format!("{SITE}{lines}"),
                false => format!("{lines}\n{SITE}"),
            };
            if let Some(config) = read(&text) {
                prop_assert_eq!(read_whole(&text), Ok(config));
            }
        }
    }

    #[test]
    fn tables_of_policies_are_taken_out() {
        let text = "a = 1\n[[policy]]\nb = 2\n[policy.validity]\nc = 3\n[[eip]]\nd = 4\n[eip.x]\n[[policy]]\n";
        let first = "[[policy]]\nb = 2\n[policy.validity]\nc = 3\n";
        let parts = Parts {
            policies: vec![first, "[[policy]]\n"],
            rest: "a = 1\n[[eip]]\nd = 4\n[eip.x]\n".into(),
        };
        assert_eq!(split(text), Some(parts));
        let many = "[[policy]]\n".repeat(2 * PART + 1);
        let parts = split(&many).expect("parts");
        let lines: Vec<usize> = parts.policies.iter().map(|it| it.lines().count()).collect();
        assert_eq!(lines, [PART, PART, 1]);
        assert_eq!(split("[[eip]]\n"), None);
        assert_eq!(split("[[policy]]\na = \"\"\"\n[[eip]]\n\"\"\"\n"), None);
    }
}
