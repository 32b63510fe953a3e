//! What would happen to a packet: the program's own `TraceFlow`.

use super::Handler;
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::service::Cloud;
use crate::spec::{invalid, missing, shown};
use crate::trace::Flow;
use model::text::{ICMP, TCP, UDP, protocol_name, protocol_number};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[("TraceFlow", Handler::Ask(trace))];

fn port(call: &Call, name: &str) -> Result<Option<u16>, ApiError> {
    let Some(port) = call.int(name)? else {
        return Ok(None);
    };
    match u16::try_from(port) {
        Ok(port @ 1..) => Ok(Some(port)),
        _ => Err(invalid(
            name,
            format!("{port} is not a port: 1 to 65535 are."),
        )),
    }
}

/// The protocol by name or number; if none is named, TCP if there is a port, else ICMP echo.
fn protocol(call: &Call, port: Option<u16>) -> Result<u8, ApiError> {
    let Some(text) = call.text("IpProtocol") else {
        return Ok(if port.is_some() { TCP } else { ICMP });
    };
    let known = protocol_number(&text.to_ascii_lowercase()).or_else(|| text.parse().ok());
    known.ok_or_else(|| {
        let why = format!(
            "{} is not a protocol: TCP, UDP, ICMP, GRE and numbers from 0 to 255 are.",
            shown(text)
        );
        invalid("IpProtocol", why)
    })
}

fn flow(call: &Call) -> Result<Flow, ApiError> {
    let to_port = port(call, "DestinationPort")?;
    let protocol = protocol(call, to_port)?;
    match (protocol, to_port) {
        (TCP | UDP, None) => return Err(missing("DestinationPort")),
        (TCP | UDP, Some(_)) | (_, None) => {}
        (_, Some(_)) => {
            let why = format!("{} has no ports.", protocol_name(protocol));
            return Err(invalid("DestinationPort", why));
        }
    }
    Ok(Flow {
        from: call.need("Source")?.into(),
        from_port: port(call, "SourcePort")?,
        to: call.need("Destination")?.into(),
        to_port,
        protocol,
    })
}

fn trace(call: &Call, service: &Cloud) -> Answer {
    let flow = flow(call)?;
    let tracer = service.tracer().ok_or_else(|| {
        let why = "There is no data path here that could be asked.";
        ApiError::bad("OperationUnsupported.TraceFlow", why)
    })?;
    let trace = tracer.trace(&flow);
    let trace = trace.map_err(|why| {
        let why = format!("The packet cannot be traced: {why}.");
        ApiError::bad("OperationFailed.TraceFlow", why)
    })?;
    let steps = trace.steps.iter().map(|step| {
        json!({
            "Step": step.step,
            "Resource": step.resource.as_deref().unwrap_or_default(),
            "Result": step.result,
        })
    });
    let mut answer = json!({
        "Steps": {"Step": steps.collect::<Vec<Value>>()},
        "Forwarded": trace.forwarded,
        "Verdict": trace.verdict,
        "IpProtocol": protocol_name(flow.protocol).to_uppercase(),
    });
    if let (Value::Object(fields), Some((source, destination))) = (&mut answer, trace.arrives_as) {
        fields.insert("SourceIp".into(), json!(source.ip().to_string()));
        fields.insert("SourcePort".into(), json!(source.port()));
        fields.insert("DestinationIp".into(), json!(destination.ip().to_string()));
        fields.insert("DestinationPort".into(), json!(destination.port()));
    }
    Ok(answer)
}
