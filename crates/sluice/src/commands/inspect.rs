//! `sluice inspect`

use crate::cli::Inspect;
use crate::error::Error;
use crate::output::{
    table::{Column, Table},
    units::count,
};
use inspect::Limits;
use inspect::capture::{Capture, Flow};
use serde::Serialize;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const COLUMNS: &[Column] = &[
    Column::Text("PROTO"),
    Column::Text("CLIENT"),
    Column::Text("SERVER"),
    Column::Text("APPLICATION"),
    Column::Text("DOMAIN"),
    Column::Text("STATE"),
    Column::Number("NEEDED"),
    Column::Number("PACKETS"),
];

/// A flow, as it is printed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    proto: &'static str,
    client: IpAddr,
    client_port: u16,
    server: IpAddr,
    server_port: u16,
    application: Option<&'static str>,
    domain: Option<&'a str>,
    state: &'static str,
    packets_needed: Option<u64>,
    packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
}

impl<'a> Line<'a> {
    fn of(flow: &'a Flow) -> Line<'a> {
        let identity = flow.identity();
        let details = identity.map(|identity| &identity.details);
        Line {
            proto: flow.protocol.name(),
            client: flow.client.0,
            client_port: flow.client.1,
            server: flow.server.0,
            server_port: flow.server.1,
            application: flow.application().map(|app| app.name()),
            domain: flow.domain(),
            state: flow.state(),
            packets_needed: flow.packets_needed,
            packets: flow.packets,
            query: flow.query(),
            request: details.and_then(|it| it.request.as_deref()),
            alpn: details.and_then(|it| it.alpn.as_deref()),
            version: details.and_then(|it| it.version.as_deref()),
            certificate: details.map_or(Vec::new(), |it| {
                it.certificate.iter().map(|name| &**name).collect()
            }),
            hidden: identity.is_some_and(|identity| identity.hidden),
        }
    }
}

pub fn run(args: &Inspect, out: &mut impl Write) -> Result<(), Error> {
    let capture = match args.capture.as_os_str() {
        name if name == "-" => read("standard input", io::stdin(), args)?,
        _ => {
            let name = args.capture.display().to_string();
            let file =
                open(&args.capture).map_err(|error| Error::Other(format!("{name}: {error}")))?;
            read(&name, file, args)?
        }
    };
    if capture.truncated {
        eprintln!(
            "The capture ends within packet {}.",
            count(capture.packets + 1)
        );
    }
    let text = match args.json || !args.table && !io::stdout().is_terminal() {
        true => json(&capture.flows)?,
        false => render(&capture),
    };
    out.write_all(text.as_bytes()).map_err(Error::Output)
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    }
}

fn read(name: &str, from: impl Read + Send, args: &Inspect) -> Result<Capture, Error> {
    let limits = Limits {
        packets: args.packets,
        bytes: args.bytes,
        time: Duration::from_secs(args.seconds),
    };
    Capture::read(from, limits).map_err(|error| Error::Other(format!("{name}: {error}")))
}

/// A line of JSON for each flow.
fn json(flows: &[Flow]) -> Result<String, Error> {
    let mut text = String::new();
    for flow in flows {
        text +=
            &serde_json::to_string(&Line::of(flow)).map_err(|error| Error::Output(error.into()))?;
        text.push('\n');
    }
    Ok(text)
}

fn render(capture: &Capture) -> String {
    let mut table = Table::new(COLUMNS);
    let end = |(address, port): (IpAddr, u16)| match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    };
    let mut known = 0;
    for flow in &capture.flows {
        known += u64::from(flow.identity().is_some());
        table.row([
            flow.protocol.name().into(),
            end(flow.client),
            end(flow.server),
            flow.application()
                .map_or(String::new(), |app| app.name().into()),
            flow.domain().or(flow.query()).unwrap_or_default().into(),
            flow.state().into(),
            flow.packets_needed.map_or(String::new(), count),
            count(flow.packets),
        ]);
    }
    let flows = capture.flows.len() as u64;
    let packets = count(capture.packets);
    let summary = format!(
        "{packets} packets, {} flows, {} identified\n",
        count(flows),
        count(known)
    );
    match table.is_empty() {
        true => summary,
        false => table.part() + "\n" + &summary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::PathBuf;

    /// A request over Ethernet and IPv4, as tcpdump keeps it: one packet.
    fn capture() -> Vec<u8> {
        let payload = b"GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
        let mut packet = [&[2; 12][..], &[8, 0, 0x45, 0, 0, 40 + payload.len() as u8]].concat();
        packet.extend([0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7]);
        packet.extend([
            0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0,
        ]);
        packet.extend(payload);
        let len = (packet.len() as u32).to_le_bytes();
        let header = [
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0,
        ];
        [&header[..], &[0; 8], &len, &len, &packet].concat()
    }

    fn args(json: bool, directory: &tempfile::TempDir, bytes: &[u8]) -> Inspect {
        let path = directory.path().join("a.pcap");
        std::fs::write(&path, bytes).unwrap();
        Inspect {
            capture: path,
            json,
            table: !json,
            packets: 24,
            bytes: 32_768,
            seconds: 5,
        }
    }

    #[test]
    fn a_flow_is_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        run(&args(true, &directory, &capture()), &mut out).unwrap();
        let line: Value = serde_json::from_slice(&out).unwrap();
        let expected = json!({
            "proto": "TCP", "client": "192.0.2.1", "client_port": 40_000,
            "server": "198.51.100.7", "server_port": 80, "application": "HTTP",
            "domain": "www.example.com", "state": "identified", "packets_needed": 1, "packets": 1,
            "request": "GET /a",
        });
        assert_eq!(line, expected);

        let mut out = Vec::new();
        run(&args(false, &directory, &capture()), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        let expected = [
            "TCP",
            "192.0.2.1:40000",
            "198.51.100.7:80",
            "HTTP",
            "www.example.com",
            "identified",
            "1",
            "1",
        ];
        assert_eq!(row, expected, "{text}");
        assert!(
            text.ends_with("\n1 packets, 1 flows, 1 identified\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_capture_is_said_so() {
        let directory = tempfile::tempdir().unwrap();
        let error = |bytes: &[u8]| {
            let error = run(&args(true, &directory, bytes), &mut Vec::new()).unwrap_err();
            error.to_string()
        };
        assert!(error(b"").ends_with("a.pcap: the file is empty"));
        assert!(
            error(b"hello, world, this is a text and no capture")
                .ends_with("neither pcap nor pcapng")
        );
        let mut radio = capture();
        radio[20] = 127;
        assert!(error(&radio).contains("link layer (type 127)"));
        let missing = Inspect {
            capture: PathBuf::from("/nonexistent.pcap"),
            ..args(true, &directory, b"")
        };
        let error = run(&missing, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent.pcap: "), "{error}");
    }
}
