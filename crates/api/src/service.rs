//! From a call to its answer: dispatch, checks, dry runs, client tokens.

use crate::call::{Answer, Call};
use crate::firewall::{Firewalls, Idle};
use crate::keys::Sealer;
use crate::ops::{self, Handler};
use crate::spec::{self, Operation, Product, invalid, missing, parse_bool};
use crate::trace::Tracer;
use crate::{ApiError, Request, Service, access, audit, new_request_id};
use control::audit::{Actor, Event};
use control::records::{Seconds, Token};
use control::{Control, Draft, Metering, Refusal};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long the answer to a call with a client token is kept: a day.
const TOKEN_LIFE: Seconds = 24 * 60 * 60;

/// The cloud: answers calls out of the control plane's records and by changing them.
pub struct Cloud {
    control: Arc<Control>,
    sealer: Sealer,
    metering: Option<Arc<Metering>>,
    tracer: Option<Box<dyn Tracer>>,
    firewalls: Box<dyn Firewalls>,
}

impl Cloud {
    /// The cloud over a control plane; the secrets of its access keys are sealed with `sealer`.
    pub fn new(control: Arc<Control>, sealer: Sealer) -> Cloud {
        Cloud {
            control,
            sealer,
            metering: None,
            tracer: None,
            firewalls: Box::new(Idle),
        }
    }

    /// The same, with what tells what has gone by.
    #[must_use]
    pub fn metered(self, metering: Arc<Metering>) -> Cloud {
        Cloud {
            metering: Some(metering),
            ..self
        }
    }

    /// The same, with what answers `TraceFlow`.
    #[must_use]
    pub fn with_tracer(self, tracer: Box<dyn Tracer>) -> Cloud {
        Cloud {
            tracer: Some(tracer),
            ..self
        }
    }

    /// The same, with the firewalls that run.
    #[must_use]
    pub fn with_firewalls(self, firewalls: Box<dyn Firewalls>) -> Cloud {
        Cloud { firewalls, ..self }
    }

    /// The firewalls that run.
    pub(crate) fn firewalls(&self) -> &dyn Firewalls {
        &*self.firewalls
    }

    /// What follows packets, if there is a data path.
    pub(crate) fn tracer(&self) -> Option<&dyn Tracer> {
        self.tracer.as_deref()
    }

    /// What tells what has gone by.
    ///
    /// # Errors
    /// If nothing is metered.
    pub(crate) fn metering(&self) -> Result<&Metering, ApiError> {
        let none = || {
            let why = "Nothing is metered here.";
            ApiError::bad("OperationUnsupported.Metering", why)
        };
        self.metering.as_deref().ok_or_else(none)
    }

    /// What seals secrets.
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The control plane under it.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Makes the first access key, if there is none yet: its identifier and secret. It is the account's own, which
    /// may do everything.
    ///
    /// # Errors
    /// If it cannot be made durable.
    pub fn first_key(&self) -> Result<Option<(String, String)>, ApiError> {
        if !self.control.cloud().access_keys.is_empty() {
            return Ok(None);
        }
        let now = now();
        let made = self.control.change(now, |draft| {
            let (id, secret) = self.sealer.create(draft, "")?;
            let operation = ["Ram", "2015-05-01", "CreateAccessKey"];
            let mut event = Event::new(new_request_id()?, now, Actor::Start, operation);
            event.resources.push(id.clone());
            draft.put_on_record(event);
            Ok((id, secret))
        });
        Ok(Some(made?))
    }
}

impl Service for Cloud {
    fn answer(&self, request: &Request) -> Result<Map<String, Value>, ApiError> {
        let (product, operation) = spec::operation(&request.version, &request.action)?;
        let handler = ops::find(&request.version, &request.action).ok_or_else(|| {
            ApiError::not_found(
                "InvalidAction.NotFound",
                format!(
                    "Specified api is not found: {} is not supported.",
                    request.action
                ),
            )
        })?;
        let spread = match operation.spread(&request.params) {
            Cow::Borrowed(_) => None,
            Cow::Owned(params) => Some(Request {
                params,
                ..request.clone()
            }),
        };
        let request = spread.as_ref().unwrap_or(request);
        match handler {
            Handler::Query(query) => self.ask(request, product, operation, |call, cloud| {
                query(call, cloud)
            }),
            Handler::Ask(ask) => self.ask(request, product, operation, |call, _| ask(call, self)),
            Handler::Change(change) => self.change(request, product, operation, change),
            Handler::Act(act) => {
                let act = |call: &Call, draft: &mut Draft| act(call, draft, self);
                self.change(request, product, operation, act)
            }
            Handler::Seal(change) => {
                let change = |call: &Call, draft: &mut Draft| change(call, draft, &self.sealer);
                self.change(request, product, operation, change)
            }
        }
    }

    fn secret(&self, access_key_id: &str) -> Option<String> {
        let cloud = self.control.cloud();
        let key = cloud.access_keys.get(access_key_id)?;
        key.enabled.then(|| self.sealer.unseal(key))?
    }
}

impl Cloud {
    /// Answers what changes nothing.
    fn ask(
        &self,
        request: &Request,
        product: &'static Product,
        operation: &Operation,
        ask: impl FnOnce(&Call, &control::Cloud) -> Answer,
    ) -> Result<Map<String, Value>, ApiError> {
        let cloud = self.control.cloud();
        access::check(&cloud, request, &product.product, operation, false)?;
        operation.check(&request.params)?;
        let region = region(&cloud, request, product)?;
        let call = Call {
            params: &request.params,
            caller: &request.caller,
            region: &region,
        };
        let dry_run = call.flag("DryRun")? == Some(true);
        let answer = ask(&call, &cloud)?;
        match dry_run {
            true => Err(Refusal::dry_run().into()),
            false => completed(operation, request, answer),
        }
    }

    /// Takes a change through, and puts it on record, refused or not.
    fn change(
        &self,
        request: &Request,
        product: &'static Product,
        operation: &Operation,
        change: impl FnOnce(&Call, &mut Draft) -> Answer,
    ) -> Result<Map<String, Value>, ApiError> {
        let now = now();
        let event = audit::event(&self.control.cloud(), request, product, operation, now);
        let answer = self.control.change(now, |draft| {
            let answer = perform(request, product, operation, draft, change)?;
            let mut event = event.clone();
            audit::add_made(&mut event, &answer);
            draft.put_on_record(event);
            Ok(answer)
        });
        if let Err(refusal) = &answer
            && refusal.is_dry_run()
            && operation.response.iter().any(|it| it.name == "DryRun")
        {
            return completed(operation, request, json!({"DryRun": true}));
        }
        answer.map_err(|refusal| {
            // A dry run changes nothing, whatever comes of it.
            let dry_run = request.params.get("DryRun").and_then(parse_bool) == Some(true);
            if !dry_run && let Err(error) = self.control.record(&event.refused(&refusal)) {
                tracing::error!("call {}: {error}", request.id);
            }
            refusal.into()
        })
    }
}

/// An answer with all the fields that SDKs expect.
fn completed(
    operation: &Operation,
    request: &Request,
    answer: Value,
) -> Result<Map<String, Value>, ApiError> {
    let mut fields = match answer {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    operation.complete(&mut fields).map_err(|why| {
        let action = &request.action;
        tracing::error!("the answer to {action} is not as its SDKs expect it: {why}");
        ApiError::internal(format!("The answer cannot be given: {why}."))
    })?;
    Ok(fields)
}

/// Performs a change on a draft, or repeats the answer to the same call with the same client token. A change that
/// cannot be answered is not made.
fn perform(
    request: &Request,
    product: &'static Product,
    operation: &Operation,
    draft: &mut Draft,
    change: impl FnOnce(&Call, &mut Draft) -> Answer,
) -> Result<Map<String, Value>, ApiError> {
    let now = draft.now;
    access::check(draft, request, &product.product, operation, true)?;
    operation.check(&request.params)?;
    let region = region(draft, request, product)?;
    in_their_region(draft, request)?;
    let call = Call {
        params: &request.params,
        caller: &request.caller,
        region: &region,
    };
    let token = token(&call, request, operation)?;
    if let Some((id, parameters)) = &token
        && let Some(known) = draft
            .tokens
            .get(id)
            .filter(|it| it.created + TOKEN_LIFE > now)
    {
        return completed(operation, request, repeat(known, parameters)?);
    }
    draft.dry_run = call.flag("DryRun")? == Some(true);
    let answer = change(&call, draft)?;
    if let Some((id, parameters)) = token {
        forget_tokens(draft, now);
        draft.tokens.put(Token {
            id,
            parameters,
            answer: answer.to_string(),
            created: now,
        });
    }
    completed(operation, request, answer)
}

/// Operations refuse with the API's error; the control plane carries it through as its own.
impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal {
            status: error.status,
            code: error.code,
            message: error.message,
        }
    }
}

/// The region that a call is for: the first one, if it does not say, or if its product is in no region.
fn region(
    cloud: &control::Cloud,
    request: &Request,
    product: &Product,
) -> Result<String, ApiError> {
    let regions = cloud.regions();
    // Cloud Firewall has a name of its own for it.
    let given = request.params.get("RegionId");
    let given = given.or_else(|| request.params.get("RegionNo"));
    match given.filter(|_| !product.is_global()) {
        None => Ok(regions.first().map(|it| it.id.clone()).unwrap_or_default()),
        Some(region) if regions.iter().any(|it| it.id == region) => Ok(region.to_owned()),
        Some(region) => {
            let known: Vec<&str> = regions.iter().map(|it| &*it.id).collect();
            let why = format!(
                "There is no region {region:?} here, but {}.",
                known.join(", ")
            );
            Err(ApiError::not_found("InvalidRegionId.NotFound", why))
        }
    }
}

/// A region has its own VPCs and vSwitches: a change that says for which region it is does not find others'.
fn in_their_region(cloud: &control::Cloud, request: &Request) -> Result<(), ApiError> {
    let param = |name| request.params.get(name);
    let Some(region) = param("RegionId").or_else(|| param("RegionNo")) else {
        return Ok(());
    };
    let vpc_of = |name| {
        let vswitch = cloud.vswitches.get(param(name)?);
        vswitch.map(|it| &*it.vpc)
    };
    let named = [
        ("VpcId", param("VpcId")),
        ("VSwitchId", vpc_of("VSwitchId")),
        ("VswitchId", vpc_of("VswitchId")),
    ];
    for (name, vpc) in named {
        let vpc = vpc.and_then(|id| cloud.vpcs.get(id));
        // A VPC of a file is in each.
        let elsewhere = |it: &&control::records::Vpc| !it.region.is_empty() && it.region != region;
        if let Some(vpc) = vpc.filter(elsewhere) {
            let id = param(name).unwrap_or_default();
            let why = format!("{id} is not in {region}, but in {}.", vpc.region);
            return Err(ApiError::not_found(format!("Invalid{name}.NotFound"), why));
        }
    }
    Ok(())
}

/// The record's name of a call's client token, and the hash of what the call says. Operations that know no client
/// tokens pass one over: their answers may hold secrets, which are not to be kept.
fn token(
    call: &Call,
    request: &Request,
    operation: &Operation,
) -> Result<Option<(String, String)>, ApiError> {
    let known = operation.request.iter().any(|it| it.name == "ClientToken");
    let Some(token) = call.text("ClientToken").filter(|_| known) else {
        return Ok(None);
    };
    if token.len() > 64 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "A client token has 1 to 64 ASCII characters without spaces.";
        return Err(invalid("ClientToken", why));
    }
    let mut hash = Sha256::new();
    for (name, value) in request.params.iter() {
        for text in [name, value] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
    }
    let parameters = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let id = format!(
        "{}/{}/{token}",
        request.caller.principal.name(),
        request.action
    );
    Ok(Some((id, parameters)))
}

fn repeat(known: &Token, parameters: &str) -> Result<Value, Refusal> {
    if known.parameters != parameters {
        return Err(Refusal::bad(
            "IdempotentParameterMismatch",
            "The client token was used with other parameters: take a new token for another call.",
        ));
    }
    serde_json::from_str(&known.answer)
        .map_err(|error| Refusal::internal(format!("The recorded answer cannot be read: {error}.")))
}

fn forget_tokens(draft: &mut Draft, now: Seconds) {
    let old = draft
        .tokens
        .iter()
        .filter(|it| it.created + TOKEN_LIFE <= now);
    let old: Vec<String> = old.map(|it| it.id.clone()).collect();
    for id in old {
        draft.tokens.remove(&id);
    }
}

/// Seconds since 1970; 0 if the clock stands before.
pub(crate) fn now() -> Seconds {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |it| it.as_secs())
}

/// Exactly one of two parameters must be given.
pub(crate) fn one_of<'a>(
    call: &Call<'a>,
    a: &'static str,
    b: &'static str,
) -> Result<(Option<&'a str>, Option<&'a str>), ApiError> {
    match (call.text(a), call.text(b)) {
        (None, None) => Err(missing(a)),
        (Some(_), Some(_)) => Err(invalid(b, format!("Give {a} or {b}, not both."))),
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Caller, Principal};
    use control::{DataPlane, StartError};

    struct Anything;

    impl DataPlane for Anything {
        fn apply(&self, _: &model::Config) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn a_change_whose_answer_cannot_be_given_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let store = store::Sqlite::open(dir.path().join("state.db")).unwrap();
        let first = |_: &mut Draft| Ok::<_, StartError>(());
        let control = Control::start(Arc::new(store), 1, first, |_| Ok(Box::new(Anything)));
        let sealer = Sealer::open(&dir.path().join("key")).unwrap();
        let cloud = Cloud::new(Arc::new(control.unwrap()), sealer);
        let (product, operation) = spec::operation("2016-04-28", "CreateVpc").unwrap();
        let request = Request {
            id: "R".into(),
            version: "2016-04-28".into(),
            action: "CreateVpc".into(),
            params: [("RegionId", "cn-hangzhou"), ("ClientToken", "t")]
                .into_iter()
                .collect(),
            caller: Caller {
                principal: Principal::Local { uid: 0 },
                address: [127, 0, 0, 1].into(),
                user_agent: String::new(),
            },
        };
        let call = |answer: Value| {
            cloud.change(&request, product, operation, |_, draft| {
                draft.tokens.put(Token {
                    id: "made".into(),
                    parameters: String::new(),
                    answer: String::new(),
                    created: now(),
                });
                Ok(answer)
            })
        };
        let before = cloud.control.cloud();

        let refused = call(json!({"VpcId": "vpc-1", "Odd": 1})).unwrap_err();
        assert_eq!((refused.status, &*refused.code), (500, "InternalError"));
        assert_eq!(cloud.control.cloud(), before);

        let fields = call(json!({"VpcId": "vpc-1"})).unwrap();
        assert_eq!(fields["VpcId"], "vpc-1");
        assert_eq!(fields["VRouterId"], "", "what was not said is empty");
        assert_eq!(cloud.control.cloud().tokens.iter().count(), 2);
        // The token's answer is completed as the first one was.
        assert_eq!(call(json!({"Odd": 1})).unwrap(), fields);

        let events = cloud.control.events(None, true, 10).unwrap().events;
        let codes: Vec<&str> = events.iter().map(|(_, it)| &*it.code).collect();
        assert_eq!(codes, ["InternalError", "", ""]);
        assert_eq!(events[1].1.resources, ["vpc-1"]);
    }
}
