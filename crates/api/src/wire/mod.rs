//! The protocol: HTTP, signatures, nonces, rates, answers.
//!
//! [`Server`] listens, and passes whole requests on. [`verify`] finds out, without I/O and without a clock, what
//! is called and that it was signed with the secret of an access key. Then a call's nonce has to be new and
//! its key within its rate, and the [`Service`](crate::Service) is asked.
//!
//! # What is accepted
//! `GET` and `POST` to `/`, signed with ACS3-HMAC-SHA256 or RPC version 1 (HMAC-SHA1), dated within 15
//! minutes of now. Parameters are in the query or in a form, or in both; then the form's win. `Format` is
//! ignored: all answers are JSON. Security tokens are refused.
//!
//! # In which order is refused
//! Too large → malformed → key unknown → wrong signature → expired → nonce used → too many calls. So only who has
//! a key's secret can use up its nonces and its rate, and a call's nonce is used before it is carried out,
//! whatever becomes of it.
//!
//! # What a client cannot do
//! Have more than 1 MiB, 2,000 parameters or 128 KiB of head read; hold a connection without sending or reading;
//! hold more than its share of connections; have a call carried out twice, be it after kill -9 or
//! a loss of power; learn much from guessing: wrong calls have a rate of their own for each
//! address, above which the answer is always the same.
//!
//! What is no HTTP at all, or has a target longer than 64 KiB, is answered by the HTTP library with a status and
//! an empty body: nobody could be told more.

mod acs3;
mod call;
mod canonical;
mod certificate;
mod gate;
mod nonces;
mod refusal;
mod rpc;
mod server;
mod sign;
mod throttle;
mod time;

pub use call::{Call, MAX_BODY, Verified, verify};
pub use certificate::CertificateError;
pub use nonces::NoncesError;
pub use server::{Limits, Listen, Server, ServerError};
pub use sign::{Credentials, Signed, sign};
pub use throttle::Rate;
pub(crate) use time::parse as parse_time;
