//! Plain sockets on hosts.

use crate::host::Host;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long reading from a socket may take.
const PATIENCE: Duration = Duration::from_secs(2);

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address} on a host that speaks IPv4 only"),
    }
}

/// A UDP socket of a host, bound to `address` (`0.0.0.0:0` is any). Reading from it ends after 2 s.
#[track_caller]
pub fn udp(host: &Host, address: &str) -> UdpSocket {
    let socket = host.inside(|| UdpSocket::bind(address)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Tries a system call again that a signal has interrupted: the end of another test's program, say.
pub fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// What comes next on a socket, and from where. `None` if nothing comes in time.
pub fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddrV4)> {
    let mut buffer = vec![0; 65536];
    let (length, from) = retry(|| socket.recv_from(&mut buffer)).ok()?;
    buffer.truncate(length);
    Some((buffer, v4(from)))
}

/// Sends a datagram and waits for an answer with the same content. The first may get lost.
pub fn echoes(socket: &UdpSocket, to: &str, data: &[u8]) -> bool {
    socket.send_to(data, to).unwrap();
    receive(socket).is_some_and(|(answer, _)| answer == data)
}

/// A thread that serves a host until this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    /// Calls `step` again and again; it must not take long.
    pub(crate) fn start(mut step: impl FnMut() + Send + 'static) -> Service {
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let work = move || {
            while !stopped.load(Ordering::Relaxed) {
                step();
            }
        };
        Service {
            stop,
            thread: Some(thread::spawn(work)),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A UDP server that sends back what it gets.
#[derive(Debug)]
pub struct UdpEcho {
    seen: Arc<Mutex<Vec<SocketAddrV4>>>,
    _service: Service,
}

impl UdpEcho {
    /// Starts one on an address of a host.
    pub fn start(host: &Host, address: &str) -> UdpEcho {
        let socket = udp(host, address);
        let short = Some(Duration::from_millis(50));
        socket.set_read_timeout(short).unwrap();
        let seen = Arc::<Mutex<Vec<SocketAddrV4>>>::default();
        let log = seen.clone();
        let mut buffer = vec![0; 65536];
        let step = move || {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                log.lock().unwrap().push(v4(from));
                let _ = socket.send_to(&buffer[..length], from);
            }
        };
        UdpEcho {
            seen,
            _service: Service::start(step),
        }
    }

    /// Where datagrams came from, in order.
    pub fn seen(&self) -> Vec<SocketAddrV4> {
        self.seen.lock().unwrap().clone()
    }

    /// Where datagrams came from, each once.
    pub fn peers(&self) -> BTreeSet<SocketAddrV4> {
        self.seen().into_iter().collect()
    }
}

/// A TCP server that sends back what it gets.
#[derive(Debug)]
pub struct TcpEcho {
    _service: Service,
}

impl TcpEcho {
    /// Starts one on an address of a host.
    pub fn start(host: &Host, address: &str) -> TcpEcho {
        let listener = host.inside(|| TcpListener::bind(address)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut streams: Vec<TcpStream> = Vec::new();
        let step = move || {
            thread::sleep(Duration::from_millis(2));
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).unwrap();
                streams.push(stream);
            }
            streams.retain_mut(echo);
        };
        TcpEcho {
            _service: Service::start(step),
        }
    }
}

/// Sends back what is there; whether the connection goes on.
fn echo(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(length) => stream.write_all(&buffer[..length]).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Opens a TCP connection from a host, within 2 s. Reading from it ends after 2 s.
pub fn tcp(host: &Host, to: &str) -> io::Result<TcpStream> {
    let to = to.parse().unwrap();
    let stream = host.inside(|| TcpStream::connect_timeout(&to, PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends something over a connection to a [`TcpEcho`] and waits for it to come back.
pub fn is_alive(mut stream: &TcpStream) -> bool {
    let mut buffer = [0; 4];
    stream.write_all(b"ping").is_ok()
        && stream.read_exact(&mut buffer).is_ok()
        && buffer == *b"ping"
}
