//! The files: pcap and pcapng.

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use std::io::{self, Read};
use std::time::Duration;

/// What is read at a time; it grows with the blocks, up to a limit.
const BUFFER: usize = 1 << 16;
const MAX_BUFFER: usize = 1 << 24;

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is empty.
    #[error("the file is empty")]
    Empty,
    /// It does not begin as captures do.
    #[error("the file is no capture: it is neither pcap nor pcapng")]
    NotACapture,
    /// It is broken; so many packets were read before.
    #[error("the capture is broken after packet {0}")]
    Broken(u64),
    /// Its packets have a link layer that is not known.
    #[error(
        "the capture's link layer (type {0}) is not known: Ethernet, Linux cooked, loopback, PPP and raw IP are"
    )]
    LinkLayer(i32),
    /// It cannot be read.
    #[error("the capture cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A packet as it was captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub link: i32,
    pub time: Duration,
    pub bytes: &'a [u8],
}

/// How the reading went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub packets: u64,
    pub truncated: bool,
}

/// An interface of a pcapng section.
#[derive(Clone, Copy)]
struct Interface {
    link: i32,
    snaplen: u32,
    /// Units of time in a second, and what is to be added in seconds.
    resolution: u64,
    offset: i64,
}

/// Reads a file, packet by packet.
pub(super) fn packets(
    from: impl Read + Send,
    mut each: impl FnMut(Packet),
) -> Result<Reading, Error> {
    let mut from = Kept { from, error: None };
    let mut reading = Reading::default();
    let read = read(&mut from, &mut reading, &mut each);
    match from.error {
        Some(error) => Err(error.into()),
        None => read.map(|()| reading),
    }
}

/// Keeps the error that the parser does not pass on.
struct Kept<R> {
    from: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.from.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(io::Error::new(error.kind(), error.to_string()));
                    return Err(error);
                }
                read => return read,
            }
        }
    }
}

fn read<R: Read + Send>(
    from: &mut Kept<R>,
    reading: &mut Reading,
    each: &mut impl FnMut(Packet),
) -> Result<(), Error> {
    let mut reader = match create_reader(BUFFER, from) {
        Ok(reader) => reader,
        Err(PcapError::Eof) => return Err(Error::Empty),
        Err(_) => return Err(Error::NotACapture),
    };
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut legacy = None;
    let mut buffer = BUFFER;
    loop {
        let len = match reader.next() {
            Ok((len, block)) => {
                if let Some(packet) = packet(&block, &mut interfaces, &mut legacy)? {
                    reading.packets += 1;
                    each(packet);
                }
                len
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall) => {
                let before = reader.data().len();
                let refilled = reader.refill().is_ok();
                let full = reader.data().len() == before && !reader.reader_exhausted();
                if full {
                    buffer *= 2;
                }
                if !refilled || buffer > MAX_BUFFER || full && !reader.grow(buffer) {
                    return Err(Error::Broken(reading.packets));
                }
                continue;
            }
            Err(PcapError::UnexpectedEof) => {
                reading.truncated = true;
                return Ok(());
            }
            Err(_) => return Err(Error::Broken(reading.packets)),
        };
        reader.consume(len);
    }
}

/// The packet in a block, if there is one.
fn packet<'a>(
    block: &'a PcapBlockOwned,
    interfaces: &mut Vec<Interface>,
    legacy: &mut Option<(i32, u32)>,
) -> Result<Option<Packet<'a>>, Error> {
    let (interface, high, low, bytes) = match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let Linktype(link) = header.network;
            let unit = if header.is_nanosecond_precision() {
                1
            } else {
                1_000
            };
            // The upper bits tell of frame check sequences.
            *legacy = Some((known(link & 0xffff)?, unit));
            return Ok(None);
        }
        PcapBlockOwned::Legacy(packet) => {
            let Some((link, unit)) = *legacy else {
                return Ok(None);
            };
            let nanoseconds = u64::from(packet.ts_usec) * u64::from(unit);
            let time = Duration::from_secs(packet.ts_sec.into());
            return Ok(Some(Packet {
                link,
                time: time + Duration::from_nanos(nanoseconds),
                bytes: packet.data,
            }));
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            return Ok(None);
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            let Linktype(link) = interface.linktype;
            interfaces.push(Interface {
                link,
                snaplen: interface.snaplen,
                resolution: interface.ts_resolution().unwrap_or(1_000_000).max(1),
                offset: interface.ts_offset(),
            });
            return Ok(None);
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let len = (packet.caplen as usize).min(packet.data.len());
            (
                packet.if_id as usize,
                packet.ts_high,
                packet.ts_low,
                &packet.data[..len],
            )
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let most = interfaces.first().map_or(0, |it| it.snaplen);
            let most = if most == 0 { u32::MAX } else { most };
            let len = packet.origlen.min(most) as usize;
            (0, 0, 0, &packet.data[..len.min(packet.data.len())])
        }
        PcapBlockOwned::NG(_) => return Ok(None),
    };
    let Some(interface) = interfaces.get(interface) else {
        return Ok(None);
    };
    let units = u64::from(high) << 32 | u64::from(low);
    let seconds = (units / interface.resolution).saturating_add_signed(interface.offset);
    let rest =
        u128::from(units % interface.resolution) * 1_000_000_000 / u128::from(interface.resolution);
    Ok(Some(Packet {
        link: known(interface.link)?,
        time: Duration::from_secs(seconds).saturating_add(Duration::from_nanos(rest as u64)),
        bytes,
    }))
}

fn known(link: i32) -> Result<i32, Error> {
    match super::link::is_known(link) {
        true => Ok(link),
        false => Err(Error::LinkLayer(link)),
    }
}
