//! `sluice quotas`

use super::call::{self, Params};
use crate::cli::Quotas;
use crate::error::Error;
use crate::output::{
    self,
    table::{Column, Table},
    units::count,
};
use serde_json::Value;
use std::io::Write;

const COLUMNS: &[Column] = &[
    Column::Text("QUOTA"),
    Column::Number("USED"),
    Column::Number("LIMIT"),
    Column::Number("DEFAULT"),
    Column::Number("CLOUD"),
    Column::Text("MOST USED BY"),
];

pub fn run(args: &Quotas, out: &mut impl Write) -> Result<(), Error> {
    let product = call::product("vpc")?;
    let mut answer = call::call(
        &args.daemon.find()?,
        product,
        "DescribeQuotas",
        Params::new(),
    )?;
    let quotas = answer.remove("Quotas").unwrap_or_default();
    match args.json {
        true => output::json(out, &quotas),
        false => out.write_all(render(&quotas).as_bytes()),
    }
    .map_err(Error::Output)
}

fn render(quotas: &Value) -> String {
    let mut table = Table::new(COLUMNS);
    for quota in quotas.as_array().into_iter().flatten() {
        let number = |name: &str| count(quota[name].as_u64().unwrap_or(0));
        let text = |name: &str| quota[name].as_str().unwrap_or_default().to_owned();
        table.row([
            text("Name"),
            number("Used"),
            number("Limit"),
            number("DefaultLimit"),
            number("CloudLimit"),
            text("UsedBy"),
        ]);
    }
    table.part()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_quota_is_a_row() {
        let quota = json!({
            "Name": "eips", "Used": 7, "Limit": 50, "DefaultLimit": 10_000, "CloudLimit": 20,
            "UsedBy": "",
        });
        let text = render(&json!([quota]));
        let words: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words, ["eips", "7", "50", "10,000", "20", "-"], "{text}");
    }
}
