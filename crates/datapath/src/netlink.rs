//! A conversation with the kernel over rtnetlink (RFC 3549): one request, its answers, in order.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlaBuffer, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;

/// `NLMSGERR_ATTR_MSG`: the kernel's own words on an error.
const ERROR_TEXT: u16 = 1;
/// Bytes of the request's header that come back before the attributes of an error.
const ECHOED_HEADER: usize = 16;

/// A socket of rtnetlink. It speaks of the network namespace that it was opened in.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the current thread's network namespace.
    pub fn open() -> io::Result<Netlink> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Netlink {
            socket,
            sequence: 0,
        })
    }

    /// Asks for a change, or for one object: gives what comes back before the acknowledgement.
    /// `flags` are added to `NLM_F_REQUEST | NLM_F_ACK`.
    pub fn request(&mut self, message: Message, flags: u16) -> io::Result<Vec<Message>> {
        let (answers, _) = self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        Ok(answers)
    }

    /// Asks for all objects of a kind. A list that changed while it was read is read again.
    pub fn dump(&mut self, message: Message) -> io::Result<Vec<Message>> {
        for _ in 0..16 {
            let (answers, torn) = self.exchange(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if !torn {
                return Ok(answers);
            }
        }
        Err(io::Error::other(
            "the list changes faster than it can be read",
        ))
    }

    fn exchange(&mut self, message: Message, flags: u16) -> io::Result<(Vec<Message>, bool)> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut answers = Vec::new();
        let mut torn = false;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let answer = NetlinkMessage::<Message>::deserialize(rest).map_err(malformed)?;
                // Messages are padded to four bytes.
                let len = (answer.header.length as usize).next_multiple_of(4).max(4);
                rest = rest.get(len..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                torn |= answer.header.flags & NLM_F_DUMP_INTR != 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => answers.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(explained(error.to_io(), &error.header));
                    }
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => {
                        return Ok((answers, torn));
                    }
                    NetlinkPayload::Overrun(_) => return Err(malformed("overrun")),
                    _ => {}
                }
            }
        }
    }
}

fn malformed(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("rtnetlink: {error}"))
}

/// The error with the kernel's own words, if it gave any. The error code stays the source's, so that
/// callers can tell errors apart by [`errno`].
fn explained(error: io::Error, echo: &[u8]) -> io::Error {
    let attributes = echo.get(ECHOED_HEADER..).unwrap_or_default();
    let text = NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == ERROR_TEXT)
        .map(|attribute| {
            let text = String::from_utf8_lossy(attribute.value());
            text.trim_end_matches('\0').to_owned()
        });
    match text {
        Some(text) => io::Error::new(error.kind(), Explained { text, error }),
        None => error,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{text} ({error})")]
struct Explained {
    text: String,
    error: io::Error,
}

/// The error number of an error, also of one with the kernel's words on it.
pub(crate) fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let explained = error.get_ref()?.downcast_ref::<Explained>()?;
        explained.error.raw_os_error()
    })
}
