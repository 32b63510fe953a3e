//! `sluice ports`

use super::ask;
use crate::cli::Ports;
use crate::error::Error;
use crate::output::{
    self,
    table::{Column, Table},
    units::{bytes, count},
};
use crate::socket::protocol::{PortView, Request, Response};
use std::io::Write;

const COLUMNS: &[Column] = &[
    Column::Text("ID"),
    Column::Text("KIND"),
    Column::Text("ADDRESS"),
    Column::Text("DEVICE"),
    Column::Text("STATE"),
    Column::Text("HOOK"),
    Column::Text("MAC"),
    Column::Number("MTU"),
    Column::Number("RECEIVED"),
    Column::Number("SENT"),
    Column::Number("QUEUE FULL"),
    Column::Text("NAMESPACE"),
];

pub fn run(args: &Ports, out: &mut impl Write) -> Result<(), Error> {
    let ports = ask(
        &args.daemon.path(),
        &Request::Ports,
        |response| match response {
            Response::Ports { ports } => Ok(ports),
            other => Err(other),
        },
    )?;
    if args.json {
        output::json(out, &ports)
    } else {
        out.write_all(render(ports).as_bytes())
    }
    .map_err(Error::Output)
}

fn render(ports: Vec<PortView>) -> String {
    let mut table = Table::new(COLUMNS);
    for port in ports {
        table.row([
            port.id,
            port.kind,
            port.address.unwrap_or_default(),
            port.device,
            if port.up { "up" } else { "down" }.into(),
            port.hook,
            port.mac,
            port.mtu.to_string(),
            bytes(port.rx_bytes),
            bytes(port.tx_bytes),
            count(port.queue_full),
            port.namespace.unwrap_or_default(),
        ]);
    }
    table.part()
}
