//! A call whose sender is known.

use crate::{ApiError, Params};
use serde_json::Value;
use std::net::IpAddr;

/// Who calls, as far as it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Whoever has the secret of this access key.
    Key(String),
    /// A process of this machine that may open the gateway's control socket: it may do everything.
    Local {
        /// The number of its user.
        uid: u32,
    },
}

impl Principal {
    /// A name that no other has.
    pub fn name(&self) -> String {
        match self {
            Principal::Key(id) => id.clone(),
            // No access key has a colon in its identifier.
            Principal::Local { uid } => format!("local:{uid}"),
        }
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// Where the call came from.
    pub address: IpAddr,
    /// What the client says that it is, at most 256 bytes.
    pub user_agent: String,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the call in the answer and in the audit trail: an upper-case UUID.
    pub id: String,
    /// The product's API version, e.g. `2016-04-28`.
    pub version: String,
    /// The operation, e.g. `CreateVpc`.
    pub action: String,
    /// Its parameters; those of the protocol itself (signature, nonce …) are not among them.
    pub params: Params,
    /// Who calls.
    pub caller: Caller,
}

/// What answers calls.
pub trait Service: Send + Sync + 'static {
    /// The answer's fields; `RequestId` is added to them.
    ///
    /// # Errors
    /// What the client is told instead.
    fn answer(&self, request: &Request) -> Result<serde_json::Map<String, Value>, ApiError>;

    /// The secret of an access key, if there is such a key and it is enabled.
    fn secret(&self, access_key_id: &str) -> Option<String>;
}

/// A new call's identifier: a random UUID (RFC 9562, version 4), in upper case.
///
/// # Errors
/// If the system gives no random numbers.
pub fn new_request_id() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| ApiError::internal(format!("there are no random numbers: {error}")))?;
    let random = u128::from_be_bytes(bytes);
    let id = random & !(0xf << 76 | 3 << 62) | 4 << 76 | 2 << 62;
    Ok(format!(
        "{:08X}-{:04X}-{:04X}-{:04X}-{:012X}",
        id >> 96,
        id >> 80 & 0xffff,
        id >> 64 & 0xffff,
        id >> 48 & 0xffff,
        id & 0xffff_ffff_ffff
    ))
}
