//! `sluice usage`

use super::call::{self, Params};
use crate::cli::Usage;
use crate::error::Error;
use crate::output::{
    self,
    table::{Column, Table},
    units::{bytes, count},
};
use serde_json::{Map, Value, json};
use std::io::Write;

/// A page of the operations.
const PAGE: &str = "1000";

/// What is metered: the operation, the parameter that names one, the columns.
type Kind = (&'static str, &'static str, &'static [Column]);

const GATEWAYS: Kind = (
    "DescribeNatGatewayUsage",
    "NatGatewayId",
    &columns("NAT GATEWAY"),
);
const EIPS: Kind = ("DescribeEipUsage", "AllocationId", &columns("EIP"));
const NAT_IPS: Kind = ("DescribeNatIpUsage", "NatIpId", &columns("NAT IP"));

/// One of them, by the hour.
const HOURS: Kind = ("", "StartTime", &columns("HOUR (UTC)"));

/// The columns of a table whose first one says whose use it is, or of when.
const fn columns(first: &'static str) -> [Column; 11] {
    [
        Column::Text(first),
        Column::Number("BYTES IN"),
        Column::Number("BYTES OUT"),
        Column::Number("PACKETS IN"),
        Column::Number("PACKETS OUT"),
        Column::Number("SESSIONS"),
        Column::Number("AT ONCE"),
        Column::Number("MBIT/S IN"),
        Column::Number("MBIT/S OUT"),
        Column::Number("NEW/S"),
        Column::Number("UNITS"),
    ]
}

pub fn run(args: &Usage, out: &mut impl Write) -> Result<(), Error> {
    let read = |(action, name, _): Kind, id: Option<&String>| {
        let mut params = Params::new();
        params.extend(id.map(|id| (name.to_owned(), id.clone())));
        let all = if id.is_none() { "Total" } else { "Hour" };
        params.push(("Granularity".into(), all.into()));
        let ends = [("StartTime", &args.from), ("EndTime", &args.to)];
        for (name, time) in ends {
            params.extend(time.clone().map(|time| (name.to_owned(), time)));
        }
        rows(args, action, params)
    };
    let one = [
        (GATEWAYS, &args.gateway),
        (EIPS, &args.eip),
        (NAT_IPS, &args.nat_ip),
    ];
    let (json, text) = match one.into_iter().find(|(_, id)| id.is_some()) {
        None => {
            let (gateways, eips) = (read(GATEWAYS, None)?, read(EIPS, None)?);
            let nat_ips = read(NAT_IPS, None)?;
            let mut text = vec![render(GATEWAYS, &gateways), render(EIPS, &eips)];
            if !nat_ips.is_empty() {
                text.push(render(NAT_IPS, &nat_ips));
            }
            let json = json!({"gateways": gateways, "eips": eips, "nat_ips": nat_ips});
            (json, text.join("\n"))
        }
        Some((of, id)) => {
            let hours = read(of, id.as_ref())?;
            let text = render(HOURS, &hours);
            (json!(hours), text)
        }
    };
    match args.json {
        true => output::json(out, &json),
        false => out.write_all(text.as_bytes()),
    }
    .map_err(Error::Output)
}

/// All rows, page by page.
fn rows(args: &Usage, action: &str, params: Params) -> Result<Vec<Value>, Error> {
    let product = call::product("vpc")?;
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let mut params = params.clone();
        params.push(("MaxResults".into(), PAGE.into()));
        if !token.is_empty() {
            params.push(("NextToken".into(), token));
        }
        let mut answer: Map<String, Value> =
            call::call(&args.daemon.find()?, product, action, params)?;
        if let Some(Value::Array(more)) = answer.remove("Usages") {
            rows.extend(more);
        }
        token = match answer.remove("NextToken") {
            Some(Value::String(token)) if !token.is_empty() => token,
            _ => return Ok(rows),
        };
    }
}

fn render((_, name, columns): Kind, rows: &[Value]) -> String {
    let mut table = Table::new(columns);
    for row in rows {
        let number = |name: &str| row[name].as_u64().unwrap_or(0);
        let rate = |name: &str| format!("{:.3}", number(name) as f64 / 1e6);
        let float = |name: &str| format!("{:.3}", row[name].as_f64().unwrap_or(0.0));
        table.row_of(vec![
            row[name].as_str().unwrap_or_default().to_owned(),
            bytes(number("BytesIn")),
            bytes(number("BytesOut")),
            count(number("PacketsIn")),
            count(number("PacketsOut")),
            count(number("NewSessions")),
            count(number("PeakSessions")),
            rate("PeakBpsIn"),
            rate("PeakBpsOut"),
            float("PeakNewSessionRate"),
            float("CapacityUnits"),
        ]);
    }
    table.part()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_units() {
        let row = json!({
            "NatGatewayId": "ngw-1", "BytesIn": 1_500_000, "BytesOut": 2_000, "PacketsIn": 1_000,
            "PacketsOut": 7, "NewSessions": 3, "PeakSessions": 2, "PeakBpsIn": 200_000,
            "PeakBpsOut": 0, "PeakNewSessionRate": 0.05, "CapacityUnits": 0.0015,
        });
        let text = render(GATEWAYS, &[row]);
        let line = text.lines().last().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = "ngw-1 1.5 MB 2.0 kB 1,000 7 3 2 0.200 0.000 0.050 0.002";
        assert_eq!(words, line.split(' ').collect::<Vec<_>>(), "{text}");
    }
}
