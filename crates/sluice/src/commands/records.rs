//! `sluice records`

use super::ask;
use crate::cli::records::Records;
use crate::error::Error;
use crate::output::table::{Column, Table};
use crate::output::units::{bytes, seconds};
use crate::socket::protocol::{Request, Response};
use records::Reader;
use serde_json::Value;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

const COLUMNS: &[Column] = &[
    Column::Text("TIME"),
    Column::Text("VERDICT"),
    Column::Text("PROTO"),
    Column::Text("FROM"),
    Column::Text("TO"),
    Column::Text("APP"),
    Column::Text("DOMAIN"),
    Column::Text("STATE"),
    Column::Text("DECIDED BY"),
    Column::Number("SENT"),
    Column::Number("RECEIVED"),
    Column::Text("TIME TAKEN"),
    Column::Text("END"),
];

/// How often it is looked for more.
const LOOK: Duration = Duration::from_millis(200);

pub fn run(args: &Records, out: &mut impl Write) -> Result<(), Error> {
    let directory = match &args.directory {
        Some(directory) => directory.clone(),
        None => directory(args)?,
    };
    let failed = || Error::io(format!("read records in {}", directory.display()));
    let wanted = |line: &[u8]| read(args, line);
    let (last, mut reader) = Reader::last(&directory, args.limit, wanted).map_err(failed())?;
    let mut out = BufWriter::new(out);
    let mut table = Table::new(COLUMNS);
    if last.is_empty() && !args.follow && !args.json {
        return writeln!(out, "No record to list.").map_err(Error::Output);
    }
    let mut print = |found: Vec<(Vec<u8>, Value)>| -> std::io::Result<()> {
        for (line, record) in found {
            match args.json {
                true => {
                    out.write_all(&line)?;
                    out.write_all(b"\n")?;
                }
                false => row(&mut table, &record),
            }
        }
        if !args.json {
            out.write_all(table.part().as_bytes())?;
        }
        out.flush()
    };
    print(last).map_err(Error::Output)?;
    if !args.follow {
        return Ok(());
    }
    loop {
        thread::sleep(LOOK);
        let mut found = Vec::new();
        reader
            .more(|line| found.extend(read(args, line)))
            .map_err(failed())?;
        if !found.is_empty() {
            print(found).map_err(Error::Output)?;
        }
    }
}

/// Where the running gateway writes its records.
fn directory(args: &Records) -> Result<PathBuf, Error> {
    let request = Request::Records;
    let status = ask(&args.daemon.path(), &request, |response| match response {
        Response::Records(status) => Ok(status),
        other => Err(other),
    })?;
    status.directory.ok_or_else(|| {
        let why = "no records are written: there is no firewall, or [records] says so. \
                   --directory names files of an earlier time";
        Error::Other(why.into())
    })
}

/// A line with its record, if it is one that is wanted.
fn read(args: &Records, line: &[u8]) -> Option<(Vec<u8>, Value)> {
    let record: Value = serde_json::from_slice(line).ok()?;
    let is = |name: &str, wanted: &Option<String>| {
        let given = wanted.as_ref().map(|it| Some(&**it));
        given.is_none_or(|wanted| record.get(name).and_then(Value::as_str) == wanted)
    };
    let domain = record.get("domain").and_then(Value::as_str);
    let pattern = args.domain.as_ref();
    let instance = is("instance", &args.instance) || is("eni", &args.instance);
    let address = args.address.map(|it| it.to_string());
    let address = address.is_none()
        || ["src", "dst", "nat_src", "nat_dst"]
            .iter()
            .any(|name| is(name, &address));
    let policy = args.policy.as_ref().is_none_or(|wanted| {
        let firewalls = record.get("firewalls").and_then(Value::as_array);
        firewalls.into_iter().flatten().any(|it| {
            let names = ["policy", "pre_policy"].map(|name| it.get(name).and_then(Value::as_str));
            names.contains(&Some(wanted))
        })
    });
    let wanted = is("app", &args.app.map(|it| it.to_string()))
        && pattern.is_none_or(|it| domain.is_some_and(|name| it.matches(name)))
        && is("result", &args.verdict.map(|it| it.word().to_owned()))
        && is("gateway", &args.gateway)
        && instance
        && address
        && policy;
    wanted.then(|| (line.to_owned(), record))
}

fn row(table: &mut Table, record: &Value) {
    let text = |name: &str| {
        let text = record.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let number = |name: &str| record.get(name).and_then(Value::as_u64).unwrap_or_default();
    let end = |address: &str, port: &str| match number(port) {
        0 => text(address),
        port => format!("{}:{port}", text(address)),
    };
    let firewalls = record.get("firewalls").and_then(Value::as_array);
    let decided: Vec<String> = firewalls.into_iter().flatten().map(decided).collect();
    let time = |name: &str| records::seconds(&text(name)).unwrap_or_default();
    let end_of_it = match &*text("kind") {
        "ongoing" => "goes on".to_owned(),
        "refused" => "refused".to_owned(),
        _ => text("close"),
    };
    table.row([
        text("time"),
        text("result"),
        text("protocol"),
        end("src", "src_port"),
        end("dst", "dst_port"),
        text("app"),
        text("domain"),
        text("state"),
        decided.join(", "),
        bytes(number("bytes_out")),
        bytes(number("bytes_in")),
        seconds(time("time").saturating_sub(time("start"))),
        end_of_it,
    ]);
}

/// What decided at a firewall: `nat accept default`, `nat drop policy deny-x`.
fn decided(firewall: &Value) -> String {
    let text = |name: &str| firewall.get(name).and_then(Value::as_str);
    let by = text("threat").or(text("policy")).or(text("pre_policy"));
    let words = [text("kind"), text("action"), text("by"), by];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    const LINE: &str = r#"{"time":"2026-11-29T22:06:41Z","start":"2026-11-29T22:05:40Z","kind":"ended",
        "result":"drop","protocol":"tcp","src":"192.168.1.10","src_port":40000,"dst":"198.51.100.7",
        "dst_port":443,"nat_src":"203.0.113.10","instance":"web-1","eni":"eni-7","gateway":"ngw","app":"HTTPS",
        "domain":"www.example.com","state":"success","firewalls":[{"kind":"nat","action":"drop","by":"policy",
        "policy":"deny","pre_policy":"first"}],"bytes_out":600,"bytes_in":500,"close":"refused"}"#;

    fn args(words: &str) -> Records {
        let line = format!("sluice records {words}");
        match Cli::try_parse_from(line.split_whitespace())
            .unwrap()
            .command
        {
            Command::Records(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_conditions_have_to_be_met() {
        for (words, wanted) in [
            ("", true),
            ("--app https", true),
            ("--app http", false),
            ("--domain *.example.com", true),
            ("--domain example.com", false),
            ("--verdict drop", true),
            ("--verdict allow", false),
            ("--instance web-1", true),
            ("--instance eni-7", true),
            ("--instance web-2", false),
            ("--gateway ngw", true),
            ("--policy first", true),
            ("--policy deny --app ssh", false),
            ("--policy other", false),
            ("--address 203.0.113.10", true),
            ("--address 203.0.113.11", false),
        ] {
            let found = read(&args(words), LINE.as_bytes()).is_some();
            assert_eq!(found, wanted, "{words}");
        }
        assert!(read(&args(""), b"torn {").is_none());
    }

    #[test]
    fn a_record_is_a_line() {
        let mut table = Table::new(COLUMNS);
        row(&mut table, &serde_json::from_str(LINE).unwrap());
        let text = table.part();
        let cells: Vec<&str> = text.lines().nth(1).unwrap().split("  ").collect();
        let cells: Vec<&str> = cells
            .iter()
            .map(|it| it.trim())
            .filter(|it| !it.is_empty())
            .collect();
        assert_eq!(
            cells,
            [
                "2026-11-29T22:06:41Z",
                "drop",
                "tcp",
                "192.168.1.10:40000",
                "198.51.100.7:443",
                "HTTPS",
                "www.example.com",
                "success",
                "nat drop policy deny",
                "600 B",
                "500 B",
                "1m01s",
                "refused"
            ]
        );
    }
}
