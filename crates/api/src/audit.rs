//! What the audit trail says of a call.

use crate::access::{is_identifier, named};
use crate::spec::{Operation, Product};
use crate::{Params, Principal, Request};
use control::Cloud;
use control::audit::{Actor, Event};
use control::records::Seconds;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The most bytes of a call's parameters that are kept: what is longer is cut off.
const MAX_PARAMS: usize = 16 << 10;

/// The most resources that an event names.
const MAX_RESOURCES: usize = 64;

/// Parts of the names of parameters that hold secrets, in small letters.
const SECRET: &[&str] = &["password", "secret", "privatekey", "userdata"];

/// The event of a call that is answered.
pub(crate) fn event(
    cloud: &Cloud,
    request: &Request,
    product: &Product,
    operation: &Operation,
    now: Seconds,
) -> Event {
    let (actor, address) = match &request.caller.principal {
        Principal::Local { uid } => (Actor::Local { uid: *uid }, String::new()),
        Principal::Key(id) => {
            let key = cloud.access_keys.get(id);
            let user = key.and_then(|it| cloud.users.get(&it.user));
            let actor = Actor::Key {
                key: id.clone(),
                user: user.map(|it| it.id.clone()).unwrap_or_default(),
                number: user.map(|it| it.number.clone()).unwrap_or_default(),
            };
            (actor, request.caller.address.to_string())
        }
    };
    let names = ["UserName", "PolicyName", "AclUuid", "GroupUuid"];
    let names = names.iter().filter_map(|it| request.params.get(it));
    let mut resources: Vec<String> = names.map(|it| it.chars().take(128).collect()).collect();
    for id in named(request, operation, true) {
        add(&mut resources, &id);
    }
    let operation = [&*product.product, &product.version, &request.action];
    Event {
        address,
        user_agent: request.caller.user_agent.clone(),
        params: params(&request.params),
        resources,
        ..Event::new(request.id.clone(), now, actor, operation)
    }
}

/// Adds the resources that an answer names: those that were made.
pub(crate) fn add_made(event: &mut Event, answer: &Map<String, Value>) {
    for (name, value) in answer {
        let of_ids = is_identifier(name) || name.ends_with("IdSet") || name.ends_with("Uuid");
        match value {
            Value::String(id) if of_ids => add(&mut event.resources, id),
            Value::Array(list) => {
                for value in list {
                    match value {
                        Value::String(id) if of_ids => add(&mut event.resources, id),
                        Value::Object(fields) => add_made(event, fields),
                        _ => {}
                    }
                }
            }
            Value::Object(fields) => add_made(event, fields),
            _ => {}
        }
    }
}

fn add(resources: &mut Vec<String>, id: &str) {
    let known = resources.iter().any(|it| it == id);
    if !known && !id.is_empty() && id.len() <= 128 && resources.len() < MAX_RESOURCES {
        resources.push(id.to_owned());
    }
}

/// The parameters without secrets, and cut off where they are too long.
fn params(params: &Params) -> BTreeMap<String, String> {
    let mut left = MAX_PARAMS;
    let mut kept = BTreeMap::new();
    for (name, value) in params.iter() {
        let small = name.to_lowercase();
        let value = match SECRET.iter().any(|it| small.contains(it)) {
            true => "***",
            false => value,
        };
        let Some(room) = left.checked_sub(name.len() + 8) else {
            kept.insert("…".into(), "…".into());
            break;
        };
        let cut = &value[..value.floor_char_boundary(room)];
        left = room - cut.len();
        let cut = match cut.len() < value.len() {
            true => format!("{cut}…"),
            false => cut.to_owned(),
        };
        kept.insert(name.to_owned(), cut);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_kept_without_secrets_and_within_bounds() {
        let given: Params = [
            ("VpcName", "shop"),
            ("Password", "1234"),
            ("UserData", "c2VjcmV0"),
            ("SystemDisk.SecretKey", "x"),
        ]
        .into_iter()
        .collect();
        let kept = params(&given);
        assert_eq!(kept["VpcName"], "shop");
        for name in ["Password", "UserData", "SystemDisk.SecretKey"] {
            assert_eq!(kept[name], "***");
        }
        let long = "ü".repeat(MAX_PARAMS);
        let given: Params = [("A", &*long), ("B", "b")].into_iter().collect();
        let kept = params(&given);
        assert!(kept["A"].len() < MAX_PARAMS && kept["A"].ends_with('…'));
        assert_eq!(kept["…"], "…");
        let many: Params = (0..2_000)
            .map(|n| (format!("Name.{n}"), "x".repeat(500)))
            .collect();
        let size: usize = params(&many).iter().map(|(a, b)| a.len() + b.len()).sum();
        assert!(size < MAX_PARAMS + 16, "{size}");
    }

    #[test]
    fn what_was_made_is_found_in_the_answer() {
        let cloud = Cloud::default();
        let (product, operation) =
            crate::spec::operation("2016-04-28", "CreateNatGateway").unwrap();
        let request = Request {
            id: "R".into(),
            version: "2016-04-28".into(),
            action: "CreateNatGateway".into(),
            params: [("VpcId", "vpc-1"), ("RegionId", "r")]
                .into_iter()
                .collect(),
            caller: crate::Caller {
                principal: Principal::Key("LTAIx".into()),
                address: [192, 0, 2, 7].into(),
                user_agent: "test".into(),
            },
        };
        let mut event = event(&cloud, &request, product, operation, 1);
        let answer = json!({
            "NatGatewayId": "ngw-1", "SnatTableIds": {"SnatTableId": ["stb-1"]},
            "InstanceIdSets": {"InstanceIdSet": ["i-1"]}, "List": [{"VpcId": "vpc-1"}],
            "AccessKeySecret": "secret"
        });
        add_made(&mut event, answer.as_object().unwrap());
        let mut resources = event.resources;
        resources.sort();
        assert_eq!(resources, ["i-1", "ngw-1", "stb-1", "vpc-1"]);
        assert_eq!(event.address, "192.0.2.7");
    }
}
