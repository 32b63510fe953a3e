//! From an HTTP request to its answer: who calls, is it new, is it not too often, and then the service.

use super::call::{self, Call, Verified};
use super::nonces::{Nonces, Rejected};
use super::refusal::{self, Body, Refusal};
use super::throttle::{Rate, Throttle};
use crate::{ApiError, Caller, Principal, Request, Service, new_request_id};
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The most sources of failed calls that are told apart.
const MAX_SOURCES: usize = 4_096;

/// The most access keys with a rate of their own; all have a secret, so nobody else makes more of them.
const MAX_KEYS: usize = 65_536;

/// The longest name of a client that is kept, in bytes.
const MAX_USER_AGENT: usize = 256;

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
    /// The call's id.
    pub request_id: String,
    /// How long the client should wait before it tries again.
    pub wait: Option<Duration>,
    /// Whether to end the connection: its client sends nothing but failures.
    pub close: bool,
}

/// What stands before a service.
pub struct Gate {
    service: Arc<dyn Service>,
    nonces: Nonces,
    keys: Mutex<Throttle<String>>,
    failures: Mutex<Throttle<IpAddr>>,
}

impl Gate {
    /// Lets each access key call at the rate `calls`, and tells clients what is wrong with calls that
    /// nobody signed at the rate `failures` for each source address.
    pub fn new(service: Arc<dyn Service>, nonces: Nonces, calls: Rate, failures: Rate) -> Gate {
        let now = Instant::now();
        Gate {
            service,
            nonces,
            keys: Mutex::new(Throttle::new(calls, MAX_KEYS, now)),
            failures: Mutex::new(Throttle::new(failures, MAX_SOURCES, now)),
        }
    }

    /// Answers a call. Blocks as long as the service does.
    pub fn answer(&self, call: &Call, address: IpAddr) -> Reply {
        let host = header(call, "host");
        let id = match new_request_id() {
            Ok(id) => id,
            Err(error) => return failed(&error.into(), String::new(), &host),
        };
        let verified = call::verify(call, |key| self.service.secret(key), seconds());
        let verified = match verified {
            Ok(verified) => verified,
            Err(error) => return self.refuse(error, address, id, &host),
        };
        match self.carry_out(verified, call, address, &id) {
            Ok(mut answer) => {
                answer.insert("RequestId".into(), Value::String(id.clone()));
                Reply {
                    status: 200,
                    body: Value::Object(answer).to_string().into_bytes(),
                    request_id: id,
                    wait: None,
                    close: false,
                }
            }
            Err(refusal) => {
                if refusal.error.status >= 500 {
                    tracing::error!("call {id}: {}", refusal.error);
                }
                failed(&refusal, id, &host)
            }
        }
    }

    fn carry_out(
        &self,
        call: Verified,
        parts: &Call,
        address: IpAddr,
        id: &str,
    ) -> Result<Map<String, Value>, Refusal> {
        let key = &call.access_key_id;
        let accepted = self.nonces.accept(key, &call.nonce, call.time, seconds());
        accepted.map_err(|rejected| match rejected {
            Rejected::Used => refusal::nonce_used().into(),
            Rejected::Expired => refusal::expired().into(),
            Rejected::Full(wait) => refusal::throttled(wait),
            Rejected::Unwritten(error) => Refusal::from(ApiError::internal(format!(
                "the call cannot be recorded: {error}"
            ))),
        })?;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = keys.take(key.clone(), Instant::now());
        drop(keys);
        taken.map_err(refusal::throttled)?;
        let request = Request {
            id: id.to_owned(),
            version: call.version,
            action: call.action,
            params: call.params,
            caller: Caller {
                principal: Principal::Key(call.access_key_id),
                address,
                user_agent: header(parts, "user-agent"),
            },
        };
        Ok(self.service.answer(&request)?)
    }

    /// Refuses what never became a call.
    pub fn reject(&self, error: ApiError, host: &str, address: IpAddr) -> Reply {
        match new_request_id() {
            Ok(id) => self.refuse(error, address, id, host),
            Err(error) => failed(&error.into(), String::new(), host),
        }
    }

    /// Refuses somebody who has not proven to have a key. Those who do so often learn nothing more.
    fn refuse(&self, error: ApiError, address: IpAddr, id: String, host: &str) -> Reply {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = failures.take(source(address), Instant::now());
        drop(failures);
        match taken {
            Ok(()) => {
                tracing::info!("call {id} from {address} refused: {}", error.code);
                failed(&error.into(), id, host)
            }
            Err(wait) => Reply {
                close: true,
                ..failed(&refusal::throttled(wait), id, host)
            },
        }
    }

    /// What is answered when there is no answer.
    pub fn broken() -> Reply {
        let id = new_request_id().unwrap_or_default();
        tracing::error!("call {id}: the operation panicked");
        let error =
            ApiError::internal("The request processing has failed due to an error of ours.");
        failed(&error.into(), id, "")
    }
}

/// An error's answer.
fn failed(refusal: &Refusal, request_id: String, host: &str) -> Reply {
    let recommend = match (refusal.wait, refusal.error.status) {
        (Some(wait), _) => format!("Try again in {} ms.", millis(wait)),
        (None, 500..) => "Look for this request in the gateway's log.".into(),
        (None, _) => String::new(),
    };
    let body = Body {
        recommend: &recommend,
        message: &refusal.error.message,
        request_id: &request_id,
        host_id: host,
        code: &refusal.error.code,
    };
    Reply {
        status: refusal.error.status,
        // A structure of texts can always be written.
        body: serde_json::to_vec(&body).unwrap_or_default(),
        request_id,
        wait: refusal.wait,
        close: false,
    }
}

/// Whole milliseconds, at least one: none would mean that there is nothing to wait for.
pub(super) fn millis(wait: Duration) -> u64 {
    let millis = wait.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}

fn header(call: &Call, name: &str) -> String {
    let value = call.headers.iter().find(|(other, _)| *other == name);
    let value = value.map_or(&[][..], |(_, value)| value.trim_ascii());
    let mut text = String::from_utf8_lossy(value).into_owned();
    text.truncate(text.floor_char_boundary(MAX_USER_AGENT));
    text
}

/// Whom an address stands for: a client has a whole /64 of IPv6.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
