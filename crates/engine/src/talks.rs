//! DNS over TCP: the messages in segments.
//!
//! Nothing passes that was not looked at: what comes too early is dropped, and comes again. What comes again must be what
//! came before, until the other end has acknowledged it: it may be what arrives first.

use crate::curtain::Segment;
use crate::heard::Ear;
use crate::sessions::{SessionIx, Way};
use crate::wire::Ipv4;
use flow::reason::Reason;
use hashbrown::HashMap;
use inspect::dns;

/// The most bytes of a question that are put together; one that is longer is not a question of any client.
const MOST_QUESTION: usize = 2_048;
/// The most bytes of an answer that are put together (RFC 1035, section 4.2.2).
const MOST_ANSWER: usize = 65_537;
/// The most bytes of questions that are remembered until they are acknowledged.
const MOST_SAID: usize = 16 << 10;
/// Bytes that are kept of all.
const MOST_BYTES: usize = 16 << 20;

/// What has come of all connections.
#[derive(Debug, Default)]
pub(crate) struct Talks {
    by_session: HashMap<SessionIx, Talk>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Talk {
    /// The number of its opener's first byte, if its SYN was seen.
    begins: Option<u32>,
    /// What its opener sends.
    questions: Half,
    answers: Half,
    /// Which of the questions arrive.
    ear: Ear,
    /// The last bytes of the questions, which are not acknowledged.
    said: Vec<u8>,
    /// What it says is too long for what DNS has to say.
    foreign: bool,
}

#[derive(Debug, Default)]
struct Half {
    /// The sequence number of the next byte, once one is known.
    next: Option<u32>,
    /// What has come of a message that is not whole.
    bytes: Vec<u8>,
}

impl Talk {
    fn len(&self) -> usize {
        self.questions.bytes.len() + self.answers.bytes.len() + self.said.len()
    }

    /// The other end has all before this number.
    fn acknowledge(&mut self, number: u32) {
        let since = self.questions.next.unwrap_or(number);
        let begin = since.wrapping_sub(self.said.len() as u32);
        let heard = number.wrapping_sub(begin) as i32;
        let heard = usize::try_from(heard).unwrap_or(0);
        self.said.drain(..heard.min(self.said.len()));
    }

    /// Whether a segment that comes again says something else than before.
    fn contradicts(&self, next: u32, segment: &Segment) -> bool {
        let begin = next.wrapping_sub(self.said.len() as u32);
        // What is acknowledged already nobody takes.
        let skip = usize::try_from(begin.wrapping_sub(segment.seq) as i32).unwrap_or(0);
        let at = usize::try_from(segment.seq.wrapping_sub(begin) as i32).unwrap_or(0);
        let again = segment.payload.get(skip..).unwrap_or_default();
        !self.said.get(at..).unwrap_or_default().starts_with(again)
    }
}

impl Talks {
    /// Forgets a session.
    pub fn remove(&mut self, ix: SessionIx) {
        if let Some(talk) = self.by_session.remove(&ix) {
            self.bytes -= talk.len();
        }
    }

    /// Whether something else is spoken than DNS.
    pub fn is_foreign(&self, ix: SessionIx) -> bool {
        self.by_session.get(&ix).is_some_and(|talk| talk.foreign)
    }

    /// Takes a segment and gives the messages that are whole with it. An error is one that must not go on, since its
    /// receiver does not take it, what comes before it is missing, or it belongs to no message.
    pub fn take(
        &mut self,
        ix: SessionIx,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        segment: &Segment,
        inside: bool,
    ) -> Result<Vec<Vec<u8>>, Reason> {
        let room = MOST_BYTES.saturating_sub(self.bytes);
        let talk = self.by_session.entry(ix).or_default();
        let before = talk.len();
        let taken = talk.take(way, frame, packet, segment, inside, room);
        self.bytes = self.bytes + talk.len() - before;
        taken
    }

    /// Checks the books.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self, is_watched: impl Fn(SessionIx) -> bool) {
        assert!(self.by_session.keys().all(|&ix| is_watched(ix)));
        let bytes: usize = self.by_session.values().map(Talk::len).sum();
        assert_eq!(bytes, self.bytes);
    }
}

impl Talk {
    fn take(
        &mut self,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        segment: &Segment,
        inside: bool,
        room: usize,
    ) -> Result<Vec<Vec<u8>>, Reason> {
        if way == Way::Original && segment.flags & 0x02 != 0 {
            let begins = Some(segment.seq.wrapping_add(1));
            // Who begins anew has said nothing yet: it would be forgotten.
            if self.begins != begins && self.questions.next != self.begins {
                return Err(Reason::Malformed);
            }
            if self.begins != begins {
                *self = Talk {
                    begins,
                    ..Talk::default()
                };
                self.questions.next = begins;
            }
        }
        let next = [&self.questions, &self.answers].map(|half| half.next.unwrap_or(0));
        if !self.ear.takes(way, frame, packet, segment, next, inside) {
            return Err(Reason::Malformed);
        }
        let reply = way == Way::Reply;
        if reply && segment.flags & 0x10 != 0 {
            self.acknowledge(segment.ack);
        }
        let half = match way {
            Way::Original => &mut self.questions,
            Way::Reply => &mut self.answers,
        };
        if reply && segment.flags & 0x02 != 0 {
            half.next = Some(segment.seq.wrapping_add(1));
        }
        let next = *half.next.get_or_insert(segment.seq);
        let payload = segment.payload;
        if payload.is_empty() {
            return Ok(Vec::new());
        }
        let end = segment.seq.wrapping_add(payload.len() as u32);
        if self.foreign {
            return Err(Reason::DnsFirewall);
        }
        if segment.seq != next {
            // What was seen already may pass again, what is to come later will be sent again.
            return match () {
                () if end.wrapping_sub(next) as i32 > 0 => Err(Reason::DnsFirewall),
                () if !reply && self.contradicts(next, segment) => Err(Reason::Malformed),
                () => Ok(Vec::new()),
            };
        }
        let all = [&half.bytes, payload].concat();
        let (messages, taken) = dns::split(&all);
        let rest = all.get(taken..).unwrap_or_default();
        let most = if reply { MOST_ANSWER } else { MOST_QUESTION };
        self.foreign |= rest.len() > most;
        let said = self.said.len() + payload.len();
        if self.foreign || !reply && said > MOST_SAID || 2 * payload.len() > room {
            return Err(Reason::DnsFirewall);
        }
        half.bytes = rest.to_vec();
        half.next = Some(end);
        if !reply {
            self.said.extend_from_slice(payload);
        }
        Ok(messages.into_iter().map(<[u8]>::to_vec).collect())
    }
}
