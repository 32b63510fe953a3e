//! Lists of sessions, of which a gateway may have millions: they go to the client a page at a time.

use super::protocol::*;
use super::server::{Gateway, refusal, send};
use engine::SessionView;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

/// Lists sessions page by page: in no order as they come, or the greatest of all.
///
/// # Errors
/// If the client has gone, or does not read.
pub(super) fn list(
    out: &mut impl Write,
    gateway: &impl Gateway,
    query: &SessionQuery,
) -> io::Result<()> {
    let listed = match (query.sort, query.limit) {
        (None, limit) => stream_sessions(out, gateway, query, limit.unwrap_or(usize::MAX)),
        (Some(sort), Some(limit)) if limit <= MAX_SORTED => {
            match greatest_sessions(gateway, query, sort, limit) {
                Ok((sessions, more)) => {
                    let listed = sessions.len() as u64;
                    let mut sessions = sessions.into_iter();
                    loop {
                        let page: Vec<_> = sessions.by_ref().take(PAGE).collect();
                        if page.is_empty() {
                            break Ok(Ok((listed, more)));
                        }
                        send(out, &Response::Sessions { sessions: page })?;
                    }
                }
                Err(message) => Ok(Err(message)),
            }
        }
        (Some(_), _) => Ok(Err(format!(
            "a sorted list needs a limit from 1 to {MAX_SORTED}"
        ))),
    };
    let end = listed?.and_then(|(listed, more)| {
        let live = gateway.live_sessions()?;
        Ok(Response::SessionsEnd(SessionsEnd { listed, more, live }))
    });
    send(out, &end.unwrap_or_else(refusal))
}

/// How many sessions were listed and whether there are more.
type Listed = Result<(u64, bool), String>;

fn stream_sessions(
    out: &mut impl Write,
    gateway: &impl Gateway,
    query: &SessionQuery,
    limit: usize,
) -> io::Result<Listed> {
    let mut listed = 0;
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        let (mut sessions, next) = match gateway.sessions(at, query) {
            Ok(page) => page,
            Err(message) => return Ok(Err(message)),
        };
        let more = sessions.len() > limit - listed;
        sessions.truncate(limit - listed);
        listed += sessions.len();
        if !sessions.is_empty() {
            send(out, &Response::Sessions { sessions })?;
        }
        if more {
            return Ok(Ok((listed as u64, true)));
        }
        cursor = next;
    }
    Ok(Ok((listed as u64, false)))
}

/// The `limit` sessions that come first in an order, and whether there are more.
fn greatest_sessions(
    gateway: &impl Gateway,
    query: &SessionQuery,
    sort: Sort,
    limit: usize,
) -> Result<(Vec<SessionView>, bool), String> {
    /// Compares by its first field alone.
    struct Ranked(u64, SessionView);
    impl PartialEq for Ranked {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Ranked {}
    impl PartialOrd for Ranked {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Ranked {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }

    let mut best = BinaryHeap::new();
    let mut more = false;
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        let (sessions, next) = gateway.sessions(at, query)?;
        for session in sessions {
            best.push(Reverse(Ranked(sort.key(&session), session)));
            if best.len() > limit {
                best.pop();
                more = true;
            }
        }
        cursor = next;
    }
    let sorted = best.into_sorted_vec();
    Ok((
        sorted.into_iter().map(|Reverse(Ranked(_, s))| s).collect(),
        more,
    ))
}
