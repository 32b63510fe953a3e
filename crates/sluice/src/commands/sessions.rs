//! `sluice sessions`

use crate::cli::Sessions;
use crate::error::Error;
use crate::output::{
    table::{Column, Table},
    tuple,
    units::{bytes, count, plural, seconds},
};
use crate::socket::client::Client;
use crate::socket::protocol::{Request, Response, SessionQuery, SessionsEnd};
use engine::SessionView;
use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

const COLUMNS: &[Column] = &[
    Column::Text("PROTO"),
    Column::Text("DIR"),
    Column::Text("INSTANCE"),
    Column::Text("OPENED AS"),
    Column::Text("TRANSLATED TO"),
    Column::Text("BY"),
    Column::Text("STATE"),
    Column::Text("APP"),
    Column::Text("DOMAIN"),
    Column::Number("SENT"),
    Column::Number("RECEIVED"),
    Column::Number("PACKETS"),
    Column::Number("AGE"),
    Column::Number("IDLE"),
    Column::Text("PATH"),
];

pub fn run(args: &Sessions, out: &mut impl Write) -> Result<(), Error> {
    let query = SessionQuery {
        eni: args.eni.clone(),
        gateway: args.gateway.clone(),
        protocol: args.protocol,
        address: args.address,
        limit: (args.limit > 0).then_some(args.limit),
        sort: args.sort,
    };
    let Some(interval) = args.watch else {
        return list(args, &query, out);
    };
    let clear = io::stdout().is_terminal() && !args.json;
    loop {
        if clear {
            out.write_all(b"\x1b[H\x1b[2J").map_err(Error::Output)?;
        }
        list(args, &query, out)?;
        if !clear && !args.json {
            writeln!(out).map_err(Error::Output)?;
        }
        thread::sleep(Duration::from_secs(interval));
    }
}

/// Prints sessions as they come.
fn list(args: &Sessions, query: &SessionQuery, out: &mut impl Write) -> Result<(), Error> {
    let mut client = Client::connect(&args.daemon.path())?;
    let mut response = client.ask(&Request::Sessions(query.clone()))?;
    let mut printer = match args.json {
        true => Printer::Json { first: true },
        false => Printer::Table(Table::new(COLUMNS)),
    };
    loop {
        match response {
            Response::Sessions { sessions } => printer.page(sessions, out),
            Response::SessionsEnd(end) => {
                return printer
                    .end(end, out)
                    .and_then(|()| out.flush())
                    .map_err(Error::Output);
            }
            other => return Err(client.unexpected(&other).into()),
        }
        .map_err(Error::Output)?;
        response = client.next_response()?;
    }
}

enum Printer {
    Table(Table),
    Json { first: bool },
}

impl Printer {
    fn page(&mut self, sessions: Vec<SessionView>, out: &mut impl Write) -> io::Result<()> {
        match self {
            Printer::Table(table) => {
                for session in sessions {
                    row(table, session);
                }
                out.write_all(table.part().as_bytes())
            }
            Printer::Json { first } => {
                for session in sessions {
                    out.write_all(if *first { b"[\n" } else { b",\n" })?;
                    *first = false;
                    serde_json::to_writer(&mut *out, &session)?;
                }
                Ok(())
            }
        }
    }

    fn end(&mut self, end: SessionsEnd, out: &mut impl Write) -> io::Result<()> {
        match self {
            Printer::Table(_) if end.listed == 0 => {
                writeln!(
                    out,
                    "No session to list ({} in all).",
                    plural(end.live, "live session")
                )
            }
            Printer::Table(_) if end.more => writeln!(
                out,
                "{} listed, there are more ({} in all): see --limit.",
                count(end.listed),
                plural(end.live, "live session")
            ),
            Printer::Table(_) => Ok(()),
            Printer::Json { first: true } => writeln!(out, "[]"),
            Printer::Json { first: false } => writeln!(out, "\n]"),
        }
    }
}

fn row(table: &mut Table, session: SessionView) {
    let translated = match session.translated == session.original {
        true => String::new(),
        false => tuple(&session.translated, &session.protocol),
    };
    let state = state(&session);
    table.row([
        session.protocol.clone(),
        session.direction,
        session.eni,
        tuple(&session.original, &session.protocol),
        translated,
        session.entry.unwrap_or_default(),
        state,
        session.app.unwrap_or_default(),
        match session.domain {
            Some(outer) if session.hidden => format!("{outer} (outer)"),
            domain => domain.unwrap_or_default(),
        },
        bytes(session.bytes_out),
        bytes(session.bytes_in),
        count(session.packets_out.saturating_add(session.packets_in)),
        seconds(session.age),
        seconds(session.idle),
        if session.offloaded { "kernel" } else { "slow" }.into(),
    ]);
}

/// The state of the protocol, what firewalls make of it, and when it has drained.
fn state(session: &SessionView) -> String {
    let drains = session.drains;
    let drains = drains.map(|left| format!("drains for {}", seconds(left)));
    let more: Vec<String> = session.firewall.iter().cloned().chain(drains).collect();
    match more.is_empty() {
        true => session.state.clone(),
        false => format!("{} ({})", session.state, more.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::TupleView;

    fn session(protocol: &str) -> SessionView {
        let original = TupleView {
            src: "192.168.1.10".parse().unwrap(),
            src_port: 40_000,
            dst: "198.51.100.7".parse().unwrap(),
            dst_port: 443,
        };
        SessionView {
            firewall: None,
            app: Some("HTTPS".into()),
            domain: Some("www.example.com".into()),
            hidden: false,
            protocol: protocol.into(),
            direction: "out".into(),
            vpc: "vpc".into(),
            eni: "web-1".into(),
            gateway: Some("ngw".into()),
            entry: Some("snat".into()),
            translated: TupleView {
                src: "203.0.113.10".parse().unwrap(),
                ..original.clone()
            },
            original,
            state: "established".into(),
            packets_out: 1_000,
            bytes_out: 60_000,
            packets_in: 2_000,
            bytes_in: 3_000_000,
            age: 61,
            idle: 0,
            expires: 900,
            drains: None,
            offloaded: true,
        }
    }

    fn end(listed: u64, more: bool) -> SessionsEnd {
        SessionsEnd {
            listed,
            more,
            live: 2_000_000,
        }
    }

    #[test]
    fn a_session_is_a_line() {
        let mut out = Vec::new();
        let mut printer = Printer::Table(Table::new(COLUMNS));
        printer.page(vec![session("tcp")], &mut out).unwrap();
        printer.end(end(1, false), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("PROTO  DIR  INSTANCE  OPENED AS"));
        let cells: Vec<&str> = lines[1]
            .split("  ")
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        assert_eq!(
            cells,
            [
                "tcp",
                "out",
                "web-1",
                "192.168.1.10:40000 > 198.51.100.7:443",
                "203.0.113.10:40000 > 198.51.100.7:443",
                "snat",
                "established",
                "HTTPS",
                "www.example.com",
                "60.0 kB",
                "3.0 MB",
                "3,000",
                "1m01s",
                "0s",
                "kernel"
            ]
        );
    }

    #[test]
    fn what_was_not_listed_is_told() {
        let mut out = Vec::new();
        let mut printer = Printer::Table(Table::new(COLUMNS));
        printer.end(end(100, true), &mut out).unwrap();
        printer.end(end(0, false), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "100 listed, there are more (2,000,000 live sessions in all): see --limit.\n\
             No session to list (2,000,000 live sessions in all).\n"
        );
    }

    #[test]
    fn json_is_one_array_however_many_pages_there_are() {
        for pages in [vec![], vec![1], vec![2, 1]] {
            let mut out = Vec::new();
            let mut printer = Printer::Json { first: true };
            for page in &pages {
                printer.page(vec![session("udp"); *page], &mut out).unwrap();
            }
            printer.end(end(0, false), &mut out).unwrap();
            let parsed: Vec<SessionView> = serde_json::from_slice(&out).unwrap();
            assert_eq!(parsed.len(), pages.iter().sum::<usize>());
            assert!(parsed.iter().all(|it| *it == session("udp")));
        }
    }
}
