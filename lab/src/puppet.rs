//! A TCP client whose segments are made by hand: any bytes in any order, as no kernel sends them.

use crate::host::Host;
use crate::raw::{self, Packet};
use crate::sockets::retry;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connection, from a host whose kernel knows nothing of it.
#[derive(Debug)]
pub struct Puppet {
    host: Host,
    from: SocketAddrV4,
    to: SocketAddrV4,
    socket: Socket,
    /// The number of the first byte that it sends.
    first: u32,
    /// The number of the next byte that it expects.
    expected: u32,
    received: Vec<u8>,
    /// The other end has said goodbye: in peace or not.
    ended: Option<End>,
}

/// How the other end ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Fin,
    /// With a reset.
    Reset,
}

impl Puppet {
    /// Opens a connection; `None` if nobody answers or it is refused. Everything that the host's kernel would say about
    /// it is dropped.
    pub fn connect(host: &Host, from: &str, to: &str) -> Option<Puppet> {
        let (from, to): (SocketAddrV4, SocketAddrV4) = (from.parse().unwrap(), to.parse().unwrap());
        host.ok("nft add table ip puppet");
        host.ok("nft 'add chain ip puppet out { type filter hook output priority 0; }'");
        let port = from.port();
        host.ok(&format!(
            "nft add rule ip puppet out tcp sport {port} tcp flags \\& rst == rst drop"
        ));
        let socket = host.inside(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)));
        let socket = socket.unwrap();
        let step = Some(Duration::from_millis(50));
        socket.set_read_timeout(step).unwrap();
        let mut puppet = Puppet {
            host: host.clone(),
            from,
            to,
            socket,
            first: 1_000_001,
            expected: 0,
            received: Vec::new(),
            ended: None,
        };
        let syn = Packet::tcp(from, to, puppet.first - 1, 0, SYN);
        raw::send(host, [&syn.whole()]);
        let deadline = Instant::now() + PATIENCE;
        while puppet.expected == 0 && puppet.ended.is_none() && Instant::now() < deadline {
            puppet.listen();
        }
        (puppet.expected != 0).then(|| {
            puppet.acknowledge();
            puppet
        })
    }

    /// Sends these parts of a stream, in this order: where each begins, and its bytes.
    pub fn send<'a>(&self, parts: impl IntoIterator<Item = (usize, &'a [u8])>) {
        let segments = parts.into_iter().map(|(at, bytes)| {
            let seq = self.first.wrapping_add(at as u32);
            Packet::tcp_with(self.from, self.to, seq, self.expected, ACK | 8, bytes).whole()
        });
        let segments: Vec<Vec<u8>> = segments.collect();
        raw::send(&self.host, &segments);
    }

    /// What was received, when something was, or the other end has ended it, or a while has passed.
    pub fn receive(&mut self) -> (Vec<u8>, Option<End>) {
        let deadline = Instant::now() + PATIENCE;
        while self.received.is_empty() && self.ended.is_none() && Instant::now() < deadline {
            self.listen();
        }
        (std::mem::take(&mut self.received), self.ended)
    }

    fn acknowledge(&self) {
        let ack = Packet::tcp(self.from, self.to, self.first, self.expected, ACK);
        raw::send(&self.host, [&ack.whole()]);
    }

    /// Takes a packet, if one comes soon.
    fn listen(&mut self) {
        let mut buffer = [0; 65536];
        let Ok(length) = retry(|| (&self.socket).read(&mut buffer)) else {
            return;
        };
        let packet = &buffer[..length];
        let header = usize::from(packet[0] & 15) * 4;
        let (ip, segment) = packet.split_at(header);
        let two = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let ours = ip[12..16] == self.to.ip().octets()
            && (two(0), two(2)) == (self.to.port(), self.from.port());
        if !ours {
            return;
        }
        let seq = u32::from_be_bytes(segment[4..8].try_into().unwrap());
        let flags = segment[13];
        let data = &segment[usize::from(segment[12] >> 4) * 4..];
        if flags & RST != 0 {
            self.ended = Some(End::Reset);
        } else if flags & SYN != 0 {
            self.expected = seq.wrapping_add(1);
        } else if seq == self.expected && (!data.is_empty() || flags & FIN != 0) {
            self.received.extend(data);
            self.expected = seq.wrapping_add(data.len() as u32);
            if flags & FIN != 0 {
                self.expected = self.expected.wrapping_add(1);
                self.ended = Some(End::Fin);
            }
            self.acknowledge();
        }
    }
}
