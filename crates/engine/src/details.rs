//! What sessions have told besides application and domain, for records: kept beside them while records are made, in
//! bounded memory.

use crate::engine::Core;
use crate::record::Details;
use crate::sessions::{SessionIx, Way};
use crate::snapshot::Snapshot;
use crate::watch::{JudgedIx, Watch};
use inspect::dns::Message;
use std::sync::Arc;

/// Bytes that all of it may take. What finds no room is left out of its session's record.
const MOST_BYTES: usize = 64 << 20;
/// Addresses of an answer that are kept.
const MOST_ANSWERS: usize = 8;

impl Details {
    /// What an inspection has found.
    pub(crate) fn of(details: inspect::Details) -> Details {
        Details {
            request: details.request,
            host: details.host,
            alpn: details.alpn,
            version: details.version,
            certificate: details.certificate,
            ..Details::default()
        }
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.request, &self.host, &self.alpn, &self.version];
        let texts = texts.into_iter().flatten().chain(&self.certificate);
        let answers = size_of_val(&*self.answers);
        size_of::<Details>()
            + answers
            + texts
                .map(|it| size_of::<Arc<str>>() + it.len())
                .sum::<usize>()
    }
}

impl Watch {
    /// Keeps what a session has told, instead of what it had told before.
    pub fn keep_details(&mut self, ix: JudgedIx, details: Details) {
        let kept = &mut self.get_mut(ix).details;
        let before = kept.take().map_or(0, |it| it.bytes());
        self.details_bytes -= before;
        let bytes = details.bytes();
        if details != Details::default() && self.details_bytes + bytes <= MOST_BYTES {
            self.get_mut(ix).details = Some(Arc::new(details));
            self.details_bytes += bytes;
        }
    }
}

impl Core {
    /// Puts down what an inspection has found, if somebody wants to know.
    pub(crate) fn note_details(&mut self, s: &Snapshot, ix: JudgedIx, details: inspect::Details) {
        if s.records.is_some() {
            self.watch.keep_details(ix, Details::of(details));
        }
    }

    /// Puts down what a session was answered that asks for names; of several questions the last counts.
    pub(crate) fn note_answer(&mut self, s: &Snapshot, ix: SessionIx, way: Way, answer: &Message) {
        let Some(judged) = self.sessions.session(ix).judged else {
            return;
        };
        let asked = self.watch.get(judged).domain.as_deref();
        if s.records.is_none() || way != Way::Reply || asked != Some(&*answer.question.name) {
            return;
        }
        let addresses = answer.addresses.iter().map(|it| it.address);
        let details = Details {
            code: Some(answer.code),
            answers: addresses.take(MOST_ANSWERS).collect(),
            ..Details::default()
        };
        self.watch.keep_details(judged, details);
    }
}
