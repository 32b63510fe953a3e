//! Streams that are joined in the middle: what some of their segments begin with.

use crate::reassembly::Half;
use crate::recognise::Match;
use crate::stream::side;
use crate::{From, http, tls};
use model::App;

/// The most segments of either end that are looked at.
const MAX_BORDERS: usize = 32;

/// Where segments begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Borders {
    seqs: [Vec<u32>; 2],
}

impl Borders {
    pub fn add(&mut self, from: From, seq: u32) {
        let seqs = &mut self.seqs[side(from)];
        if seqs.len() < MAX_BORDERS && !seqs.contains(&seq) {
            seqs.push(seq);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.seqs.iter().map(Vec::len).sum()
    }

    /// Looks for a record of TLS, a request or an answer of HTTP.
    pub fn look(&self, halves: &[Half; 2], port: u16, closed: bool) -> Match {
        let mut answered = false;
        for (half, seqs) in halves.iter().zip(&self.seqs) {
            for seq in seqs {
                let Some(bytes) = half.since(*seq).filter(|bytes| !bytes.is_empty()) else {
                    continue;
                };
                if tls::midstream(bytes, closed) == Some(true) {
                    return Match::yes(App::tls(port));
                }
                if let found @ Match::Yes(_) = http::request(bytes, false) {
                    return found;
                }
                answered |= http::is_answer(bytes);
            }
        }
        match answered {
            // The next request may name the host.
            true if !closed => Match::App(App::Http),
            true => Match::yes(App::Http),
            false if !closed => Match::More,
            false => Match::No,
        }
    }
}
