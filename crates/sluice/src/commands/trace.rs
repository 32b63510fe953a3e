//! `sluice trace`

use super::ask;
use crate::cli::Trace;
use crate::error::Error;
use crate::output::{
    self,
    table::{Column, Table},
};
use crate::socket::protocol::{Request, Response, TraceQuery};
use engine::TraceView;
use model::text::protocol_name;
use std::io::Write;

const COLUMNS: &[Column] = &[
    Column::Text("STEP"),
    Column::Text("RESOURCE"),
    Column::Text("RESULT"),
];

pub fn run(args: &Trace, out: &mut impl Write) -> Result<(), Error> {
    let request = Request::Trace(TraceQuery {
        from: args.from.host.clone(),
        from_port: args.from.port,
        to: args.to.host.clone(),
        to_port: args.to.port,
        protocol: args.to.protocol,
        app: args.app,
        domain: match &args.domain {
            None => None,
            Some(name) => {
                let name = model::domain::normalise(name);
                Some(name.map_err(|error| Error::Other(error.to_string()))?)
            }
        },
    });
    let trace = ask(&args.daemon.path(), &request, |response| match response {
        Response::Trace(trace) => Ok(trace),
        other => Err(other),
    })?;
    if args.json {
        output::json(out, &trace)
    } else {
        out.write_all(render(trace, args.to.protocol).as_bytes())
    }
    .map_err(Error::Output)
}

fn render(trace: TraceView, protocol: u8) -> String {
    let mut table = Table::new(COLUMNS);
    for step in trace.steps {
        table.row([step.step, step.resource.unwrap_or_default(), step.result]);
    }
    let mut text = table.part() + "\n";
    text += &match trace.translated {
        Some(tuple) => {
            let tuple = output::tuple(&tuple, &protocol_name(protocol));
            format!("{}: arrives as {tuple}\n", trace.verdict)
        }
        None if trace.verdict == "forwarded" => "forwarded\n".to_owned(),
        None => format!("dropped: {}\n", trace.verdict),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{StepView, TupleView};
    use model::text::TCP;
    use std::net::Ipv4Addr;

    fn step(step: &str, resource: Option<&str>, result: &str) -> StepView {
        StepView {
            step: step.into(),
            resource: resource.map(Into::into),
            result: result.into(),
        }
    }

    #[test]
    fn steps_are_lines_and_the_verdict_ends_them() {
        let mut trace = TraceView {
            steps: vec![
                step(
                    "port",
                    Some("web-1"),
                    "source address is the interface's own",
                ),
                step("egress", None, "uplink"),
            ],
            verdict: "forwarded".into(),
            translated: Some(TupleView {
                src: Ipv4Addr::new(203, 0, 113, 10),
                src_port: 1024,
                dst: Ipv4Addr::new(198, 51, 100, 7),
                dst_port: 443,
            }),
        };
        assert_eq!(
            render(trace.clone(), TCP),
            "STEP    RESOURCE  RESULT\n\
             port    web-1     source address is the interface's own\n\
             egress  -         uplink\n\
             \n\
             forwarded: arrives as 203.0.113.10:1024 > 198.51.100.7:443\n"
        );
        trace.verdict = "no_route".into();
        trace.translated = None;
        assert!(render(trace, TCP).ends_with("\n\ndropped: no_route\n"));
    }
}
