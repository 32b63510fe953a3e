//! Asks name servers for the IPv4 addresses of a name: by UDP, and by TCP what does not fit there.

use inspect::dns::{Message, Question};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long a server is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often all servers are asked.
const ROUNDS: usize = 2;
/// Addresses of a name that count at once.
pub const MOST: usize = 500;

/// The type of records with IPv4 addresses.
const A: u16 = 1;
const NO_ERROR: u8 = 0;
const NO_SUCH_DOMAIN: u8 = 3;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its addresses, as many as are read of an answer; none, if there are none or no such name.
    pub addresses: Vec<Ipv4Addr>,
    /// For how many seconds; of no addresses 0.
    pub ttl: u32,
}

/// Why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nobody to ask.
    #[error("there is no name server: /etc/resolv.conf names none, and neither does [resolver]")]
    NoServers,
    /// No server has answered with something of use; the last one's trouble.
    #[error("{server}: {what}")]
    Failed {
        /// The server.
        server: SocketAddr,
        /// What it answered, or why it did not.
        what: String,
    },
}

/// Asks the servers, one after the other, and all of them again.
///
/// # Errors
/// If none of them says what the name stands for.
pub fn lookup(servers: &[SocketAddr], name: &str) -> Result<Answer, LookupError> {
    let mut failed = LookupError::NoServers;
    for server in (0..ROUNDS).flat_map(|_| servers) {
        match ask(*server, name) {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                failed = LookupError::Failed {
                    server: *server,
                    what: match error.kind() {
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer".into(),
                        _ => error.to_string(),
                    },
                };
            }
        }
    }
    Err(failed)
}

fn ask(server: SocketAddr, name: &str) -> io::Result<Answer> {
    let (id, query) = query(name)?;
    let fits = |message: &Message| {
        let Question { name: asked, kind } = &message.question;
        message.response && message.id == id && *kind == A && *asked == name
    };
    let message = by_udp(server, &query, fits)?;
    let message = match message.truncated {
        true => by_tcp(server, &query, fits)?,
        false => message,
    };
    let v4 = message.addresses.iter().filter_map(|it| match it.address {
        IpAddr::V4(address) => Some((address, it.ttl)),
        IpAddr::V6(_) => None,
    });
    let (addresses, ttls): (Vec<Ipv4Addr>, Vec<u32>) = v4.take(MOST).unzip();
    match message.code {
        NO_ERROR | NO_SUCH_DOMAIN => Ok(Answer {
            ttl: ttls.into_iter().min().unwrap_or(0),
            addresses,
        }),
        code => Err(io::Error::other(format!("it answers with error {code}"))),
    }
}

/// A question for the addresses of a name, and the number that its answer has.
fn query(name: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    // One question, recursion desired.
    let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok();
        let length = length.filter(|length| (1..=63).contains(length));
        query.push(length.ok_or_else(|| io::Error::other("this is no name"))?);
        query.extend(label.bytes());
    }
    query.extend([0, 0, A as u8, 0, 1]);
    Ok((u16::from_be_bytes(id), query))
}

fn by_udp(
    server: SocketAddr,
    query: &[u8],
    fits: impl Fn(&Message) -> bool,
) -> io::Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Another port for each question, and none but the server is heard.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        if let Some(message) = Message::parse(&buffer[..length]).filter(&fits) {
            return Ok(message);
        }
    }
}

fn by_tcp(
    server: SocketAddr,
    query: &[u8],
    fits: impl Fn(&Message) -> bool,
) -> io::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // A name is at most 253 bytes long, and with it a query.
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend(query);
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    let message = Message::parse(&answer).filter(fits);
    message.ok_or_else(|| io::Error::other("its answer makes no sense"))
}

/// The servers that a text in the form of `/etc/resolv.conf` names.
pub fn servers(resolv_conf: &str) -> Vec<SocketAddr> {
    let words = resolv_conf.lines().map(str::split_whitespace);
    let servers = words.filter_map(|mut words| match words.next() {
        Some("nameserver") => words.next()?.parse::<IpAddr>().ok(),
        _ => None,
    });
    servers.take(3).map(|it| SocketAddr::new(it, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// An answer to a query: code, flag of truncation, and addresses with their time.
    fn answer(query: &[u8], code: u8, truncated: bool, addresses: &[([u8; 4], u32)]) -> Vec<u8> {
        let mut answer = query.to_vec();
        answer[2] = 0x81 | if truncated { 2 } else { 0 };
        answer[3] = 0x80 | code;
        answer[7] = addresses.len() as u8;
        for (address, ttl) in addresses {
            answer.extend([0xc0, 12, 0, 1, 0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address);
        }
        answer
    }

    /// A server that answers so many queries by UDP as it is told.
    fn server(
        answers: usize,
        reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (SocketAddr, thread::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE * 3)).unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 512];
            for _ in 0..answers {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                for answer in reply(&buffer[..length]) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        (address, thread)
    }

    #[test]
    fn an_answer_to_another_question_is_no_answer() {
        let (address, thread) = server(1, |query| {
            let mut forged = answer(query, 0, false, &[([6, 6, 6, 6], 1)]);
            forged[0] ^= 1;
            let right = answer(
                query,
                0,
                false,
                &[([192, 0, 2, 1], 60), ([192, 0, 2, 2], 30)],
            );
            vec![b"nonsense".to_vec(), forged, right]
        });
        let found = lookup(&[address], "www.example.com").unwrap();
        let addresses: [Ipv4Addr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(found.addresses, addresses);
        assert_eq!(found.ttl, 30);
        thread.join().unwrap();
    }

    #[test]
    fn the_next_server_is_asked_if_one_is_of_no_use_and_no_such_name_is_an_answer() {
        let (broken, first) = server(1, |query| vec![answer(query, 2, false, &[])]);
        let (right, second) = server(1, |query| vec![answer(query, 3, false, &[])]);
        let found = lookup(&[broken, right], "none.example.com").unwrap();
        assert_eq!((found.addresses.len(), found.ttl), (0, 0));
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(lookup(&[], "a.test"), Err(LookupError::NoServers));
        assert!(lookup(&[right], "a..test").is_err());
    }

    #[test]
    fn what_does_not_fit_into_a_datagram_is_asked_for_by_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let short = answer(&buffer[..length], 0, true, &[]);
            socket.send_to(&short, from).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let length = stream.read(&mut buffer).unwrap();
            let many: Vec<_> = (0..200u8).map(|n| ([192, 0, 2, n], 60)).collect();
            let long = answer(&buffer[2..length], 0, false, &many);
            stream
                .write_all(&(long.len() as u16).to_be_bytes())
                .unwrap();
            stream.write_all(&long).unwrap();
        });
        let found = lookup(&[address], "many.example.com").unwrap();
        assert_eq!(found.addresses.len(), 200);
        thread.join().unwrap();
    }

    #[test]
    fn servers_are_read_as_the_c_library_reads_them() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n\
                    nameserver\t2001:db8::1 x\nnameserver bad\nnameserver\n";
        let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }
}
