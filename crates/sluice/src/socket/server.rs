//! The gateway's side of the control socket.

use super::line::{LineError, LineReader};
use super::protocol::*;
use super::sessions;
use engine::{SessionView, TraceView};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Clients served at once; others wait until one leaves.
const MAX_CLIENTS: usize = 64;

/// How long a client may take for a request, idle time before it included.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// How long a client may leave a response unread.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// What answers requests. Errors are sentences for people.
pub trait Gateway: Send + Sync + 'static {
    /// Who this is.
    fn version(&self) -> VersionView;
    /// Changes the configuration in the name of a user of this machine, all of it or nothing; only says what would
    /// change if `check`.
    fn apply(&self, uid: u32, text: &str, check: bool) -> Result<Applied, String>;
    /// At most [`PAGE`] sessions from `cursor` on (0: the first), and the cursor of the next page. A
    /// page with fewer sessions, even none, need not be the last.
    fn sessions(&self, cursor: u32, query: &SessionQuery) -> Result<SessionPage, String>;
    /// How many sessions there are.
    fn live_sessions(&self) -> Result<u64, String>;
    /// The interfaces.
    fn ports(&self) -> Result<Vec<PortView>, String>;
    /// The counters.
    fn stats(&self) -> Result<StatsReport, String>;
    /// What would happen to a packet.
    fn trace(&self, query: &TraceQuery) -> Result<TraceView, String>;
    /// What has become of records of sessions.
    fn records(&self) -> RecordsView;
    /// What firewalls go by beside policies; fetches a threat list first, or all.
    fn intel(&self, refresh: Option<&str>) -> Result<IntelView, String>;
    /// Asks the name servers for a name.
    fn resolve(&self, name: &str) -> Result<NameView, String>;
    /// Calls an operation of the cloud API in the name of a user of this machine.
    fn call(
        &self,
        uid: u32,
        version: String,
        action: String,
        params: Vec<(String, String)>,
    ) -> Result<serde_json::Map<String, serde_json::Value>, String>;
    /// The configuration as a file.
    fn export(&self) -> Result<String, String>;
    /// Copies the database, and says how large the copy is.
    fn backup(&self, path: &Path) -> Result<u64, String>;
    /// The network namespace of an instance.
    fn namespace(&self, instance: &str) -> Result<String, String>;
}

/// Some sessions, and the cursor of the next ones if there may be more.
pub type SessionPage = (Vec<SessionView>, Option<u32>);

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("a gateway answers on {} already: stop it first, or give this one another --socket", .0.display())]
    InUse(PathBuf),
    /// Something that is not ours is in the way.
    #[error("{} exists and is not a socket: move it away, or give another --socket", .0.display())]
    NotASocket(PathBuf),
    /// The operating system said no.
    #[error("cannot open the control socket {}: {error}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

/// The open socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
}

impl Server {
    /// Opens the socket, readable and writable by its owner only, and answers on threads of its own. The
    /// socket of a daemon that is gone is replaced.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn start(path: &Path, gateway: Arc<impl Gateway>) -> Result<Server, SocketError> {
        let io = |error| SocketError::Io {
            path: path.to_owned(),
            error,
        };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(io)?;
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => return Err(SocketError::InUse(path.to_owned())),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    use std::os::unix::fs::FileTypeExt;
                    let kind = fs::symlink_metadata(path).map_err(io)?.file_type();
                    if !kind.is_socket() {
                        return Err(SocketError::NotASocket(path.to_owned()));
                    }
                }
                Err(error) => return Err(io(error)),
            },
        }
        // Under another name first, so that nobody can connect before the mode is right.
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let _ = fs::remove_file(&temporary);
        let listener = UnixListener::bind(&temporary).map_err(io)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&temporary, path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&temporary);
            })
            .map_err(io)?;
        thread::Builder::new()
            .name("control".into())
            .spawn(move || accept(&listener, &gateway))
            .map_err(io)?;
        Ok(Server {
            path: path.to_owned(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// How many clients there are.
#[derive(Default)]
struct Clients {
    count: Mutex<usize>,
    left: Condvar,
}

impl Clients {
    fn enter(self: &Arc<Self>) -> Seat {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count >= MAX_CLIENTS {
            count = self
                .left
                .wait(count)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *count += 1;
        Seat(self.clone())
    }
}

/// One client's place among [`MAX_CLIENTS`].
struct Seat(Arc<Clients>);

impl Drop for Seat {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}

fn accept(listener: &UnixListener, gateway: &Arc<impl Gateway>) {
    let clients = Arc::<Clients>::default();
    loop {
        let seat = clients.enter();
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most likely out of file descriptors: that passes.
                tracing::warn!("control socket: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let gateway = gateway.clone();
        let client = thread::Builder::new().name("client".into());
        if let Err(error) = client.spawn(move || {
            if let Err(error) = serve(stream, &*gateway) {
                tracing::debug!("control client: {error}");
            }
            drop(seat);
        }) {
            tracing::warn!("control socket: cannot serve a client: {error}");
        }
    }
}

fn serve(stream: UnixStream, gateway: &impl Gateway) -> Result<(), LineError> {
    let uid = getsockopt(&stream, PeerCredentials)
        .map_err(io::Error::from)?
        .uid();
    stream.set_write_timeout(Some(WRITE_TIME))?;
    let mut out = BufWriter::with_capacity(64 << 10, stream.try_clone()?);
    let mut lines = LineReader::new(stream, MAX_REQUEST);
    loop {
        let line = match lines.next(REQUEST_TIME) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error @ (LineError::TooLong(_) | LineError::Torn)) => {
                send(&mut out, &refusal(error.to_string()))?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        match serde_json::from_slice(&line) {
            Ok(request) => answer(&mut out, gateway, uid, request)?,
            Err(error) => send(&mut out, &refusal(format!("this is no request: {error}")))?,
        }
    }
}

/// What a client is told that cannot have what it asked for.
pub(super) fn refusal(message: String) -> Response {
    Response::Error { message }
}

/// Writes a response as one line.
///
/// # Errors
/// If the client has gone, or does not read.
pub(super) fn send(out: &mut impl Write, response: &Response) -> io::Result<()> {
    serde_json::to_writer(&mut *out, response)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn answer(
    out: &mut impl Write,
    gateway: &impl Gateway,
    uid: u32,
    request: Request,
) -> io::Result<()> {
    let response = match request {
        Request::Version => Ok(Response::Version(gateway.version())),
        Request::Apply { text, check } => gateway.apply(uid, &text, check).map(Response::Applied),
        Request::Sessions(query) => return sessions::list(out, gateway, &query),
        Request::Ports => gateway.ports().map(|ports| Response::Ports { ports }),
        Request::Stats => gateway.stats().map(|stats| Response::Stats(stats.into())),
        Request::Trace(query) => gateway.trace(&query).map(Response::Trace),
        Request::Records => Ok(Response::Records(gateway.records())),
        Request::Intel { refresh } => gateway
            .intel(refresh.as_deref())
            .map(|it| Response::Intel(it.into())),
        Request::Resolve { name } => gateway.resolve(&name).map(Response::Resolved),
        Request::Call {
            version,
            action,
            params,
        } => gateway
            .call(uid, version, action, params)
            .map(|answer| Response::Answer { answer }),
        Request::Export => gateway.export().map(|text| Response::Exported { text }),
        Request::Backup { path } => gateway
            .backup(&path)
            .map(|bytes| Response::BackedUp { bytes }),
        Request::Namespace { instance } => gateway
            .namespace(&instance)
            .map(|namespace| Response::Namespace { namespace }),
    };
    send(out, &response.unwrap_or_else(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::client::{Client, ClientError};
    use crate::target::Host;
    use engine::TupleView;
    use std::cmp::Reverse;
    use std::io::Read;
    use std::net::{Ipv4Addr, Shutdown};
    use std::time::Instant;
    use tempfile::TempDir;

    /// A gateway with sessions of 0, 1, 2 … bytes.
    struct Fake {
        sessions: u32,
    }

    fn session(n: u32) -> SessionView {
        let tuple = TupleView {
            src: Ipv4Addr::from(n),
            src_port: 1,
            dst: Ipv4Addr::new(198, 51, 100, 7),
            dst_port: 443,
        };
        SessionView {
            firewall: None,
            app: None,
            domain: None,
            hidden: false,
            protocol: "tcp".into(),
            direction: "out".into(),
            vpc: "vpc".into(),
            eni: format!("web-{}", n % 2),
            gateway: None,
            entry: None,
            original: tuple.clone(),
            translated: tuple,
            state: "established".into(),
            packets_out: 0,
            bytes_out: n.into(),
            packets_in: 0,
            bytes_in: 0,
            age: u64::from(n) * 7 % 1_000,
            idle: 0,
            expires: 900,
            drains: None,
            offloaded: true,
        }
    }

    impl Gateway for Fake {
        fn call(
            &self,
            _: u32,
            _: String,
            action: String,
            _: Vec<(String, String)>,
        ) -> Result<serde_json::Map<String, serde_json::Value>, String> {
            Err(format!("InvalidAction.NotFound: {action}"))
        }

        fn version(&self) -> VersionView {
            VersionView {
                name: "fake".into(),
                version: "0".into(),
                pid: 1,
                uptime: 2,
            }
        }
        fn apply(&self, _: u32, text: &str, check: bool) -> Result<Applied, String> {
            match text {
                "" => Err("line 1: there is nothing".into()),
                _ => Ok(Applied {
                    check,
                    changes: vec![],
                    notes: vec![],
                    micros: text.len() as u64,
                }),
            }
        }
        fn sessions(&self, cursor: u32, query: &SessionQuery) -> Result<SessionPage, String> {
            let end = (cursor + 400).min(self.sessions);
            let page = (cursor..end).map(session);
            let page = page.filter(|s| query.eni.as_ref().is_none_or(|eni| s.eni == *eni));
            Ok((page.collect(), (end < self.sessions).then_some(end)))
        }
        fn live_sessions(&self) -> Result<u64, String> {
            Ok(self.sessions.into())
        }
        fn ports(&self) -> Result<Vec<PortView>, String> {
            Ok(vec![])
        }
        fn stats(&self) -> Result<StatsReport, String> {
            Ok(StatsReport::default())
        }
        fn records(&self) -> RecordsView {
            RecordsView::default()
        }
        fn intel(&self, _: Option<&str>) -> Result<IntelView, String> {
            Ok(IntelView::default())
        }
        fn resolve(&self, name: &str) -> Result<NameView, String> {
            Err(format!("{name}: no answer"))
        }
        fn trace(&self, query: &TraceQuery) -> Result<TraceView, String> {
            match &query.to {
                Host::Address(_) => Ok(TraceView {
                    steps: vec![],
                    verdict: "forwarded".into(),
                    translated: None,
                }),
                Host::Name(name) => Err(format!("there is no {name}")),
            }
        }
        fn export(&self) -> Result<String, String> {
            Ok("[system]\n".into())
        }
        fn backup(&self, path: &Path) -> Result<u64, String> {
            Err(format!("{} is full", path.display()))
        }
        fn namespace(&self, instance: &str) -> Result<String, String> {
            Ok(format!("gw-{instance}"))
        }
    }

    fn start(sessions: u32) -> (TempDir, PathBuf, Server) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/gw.sock");
        let server = Server::start(&path, Arc::new(Fake { sessions })).unwrap();
        (dir, path, server)
    }

    /// All sessions that a query lists, and its end.
    fn list(path: &Path, query: SessionQuery) -> Result<(Vec<SessionView>, SessionsEnd), String> {
        let mut client = Client::connect(path).unwrap();
        let mut listed = Vec::new();
        let mut response = client.ask(&Request::Sessions(query));
        loop {
            match response {
                Ok(Response::Sessions { sessions }) => {
                    assert!(!sessions.is_empty() && sessions.len() <= PAGE);
                    listed.extend(sessions);
                }
                Ok(Response::SessionsEnd(end)) => return Ok((listed, end)),
                Err(ClientError::Refused(message)) => return Err(message),
                other => panic!("{other:?}"),
            }
            response = client.next_response();
        }
    }

    #[test]
    fn one_client_asks_many_things() {
        let (_dir, path, _server) = start(3);
        let mut client = Client::connect(&path).unwrap();
        assert!(matches!(client.ask(&Request::Version), Ok(Response::Version(v)) if v.pid == 1));
        assert!(matches!(
            client.ask(&Request::Stats),
            Ok(Response::Stats(_))
        ));
        assert!(matches!(
            client.ask(&Request::Ports),
            Ok(Response::Ports { .. })
        ));
        let apply = |text: &str| Request::Apply {
            text: text.into(),
            check: false,
        };
        let refused = client.ask(&apply("")).unwrap_err();
        assert_eq!(refused.to_string(), "line 1: there is nothing");
        let large = "x".repeat(crate::state::MAX_CONFIG as usize);
        match client.ask(&apply(&large)) {
            Ok(Response::Applied(applied)) => assert_eq!(applied.micros, large.len() as u64),
            other => panic!("{other:?}"),
        }
        let instance = "web-1".to_owned();
        match client.ask(&Request::Namespace { instance }) {
            Ok(Response::Namespace { namespace }) => assert_eq!(namespace, "gw-web-1"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sessions_come_in_pages_up_to_the_limit() {
        let (_dir, path, _server) = start(2_500);
        let query = |limit| SessionQuery {
            limit,
            ..SessionQuery::default()
        };
        for (limit, listed, more) in [
            (None, 2_500, false),
            (Some(0), 0, true),
            (Some(1), 1, true),
            (Some(400), 400, true),
            (Some(2_499), 2_499, true),
            (Some(2_500), 2_500, false),
            (Some(9_999), 2_500, false),
        ] {
            let (sessions, end) = list(&path, query(limit)).unwrap();
            assert_eq!(sessions.len(), listed, "{limit:?}");
            assert_eq!((end.listed, end.live), (listed as u64, 2_500));
            assert_eq!(end.more, more, "{limit:?}");
        }
        let odd = SessionQuery {
            eni: Some("web-1".into()),
            ..query(None)
        };
        assert_eq!(list(&path, odd).unwrap().0.len(), 1_250);
    }

    #[test]
    fn sorted_sessions_are_the_greatest_of_all() {
        let (_dir, path, _server) = start(2_500);
        let query = |sort, limit| SessionQuery {
            sort: Some(sort),
            limit,
            ..SessionQuery::default()
        };
        let (sessions, end) = list(&path, query(Sort::Bytes, Some(3))).unwrap();
        let bytes: Vec<u64> = sessions.iter().map(|s| s.bytes_out).collect();
        assert_eq!(bytes, [2_499, 2_498, 2_497]);
        assert!(end.more);
        let (sessions, end) = list(&path, query(Sort::Age, Some(2_500))).unwrap();
        assert!(sessions.is_sorted_by_key(|s| Reverse(s.age)));
        assert_eq!((sessions.len(), end.more), (2_500, false));
        for limit in [None, Some(MAX_SORTED + 1)] {
            let message = list(&path, query(Sort::Idle, limit)).unwrap_err();
            assert!(message.contains("10000"), "{message}");
        }
    }

    #[test]
    fn bad_lines_get_an_error_and_the_next_line_an_answer() {
        let (_dir, path, _server) = start(0);
        let mut stream = UnixStream::connect(&path).unwrap();
        let mut lines = LineReader::new(stream.try_clone().unwrap(), MAX_RESPONSE);
        let mut deep = b"[".repeat(100_000);
        deep.push(b'\n');
        for bad in [
            b"\n".as_slice(),
            b"GET / HTTP/1.1\r\n",
            b"\xff\xfe\n",
            b"{\"request\":\"reboot\"}\n",
            b"{\"request\":\"trace\",\"from\":\"a b\",\"to\":\"c\",\"protocol\":6}\n",
            &deep,
        ] {
            stream.write_all(bad).unwrap();
            let line = lines.next(REQUEST_TIME).unwrap().unwrap();
            match serde_json::from_slice(&line).unwrap() {
                Response::Error { message } => {
                    assert!(message.starts_with("this is no request: "), "{message}");
                }
                other => panic!("{other:?}"),
            }
        }
        stream.write_all(b"{\"request\":\"stats\"}\n").unwrap();
        let line = lines.next(REQUEST_TIME).unwrap().unwrap();
        assert!(line.starts_with(b"{\"response\":\"stats\""));
    }

    #[test]
    fn endless_and_torn_lines_end_with_an_error() {
        let (_dir, path, _server) = start(0);
        for (bytes, part) in [
            (vec![b'x'; MAX_REQUEST], "longer than"),
            (b"{\"requ".to_vec(), "middle of a line"),
        ] {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains(part), "{answer}");
        }
    }

    #[test]
    fn many_clients_are_served_and_a_reader_that_sleeps_holds_up_nobody() {
        let (_dir, path, _server) = start(100_000);
        let mut sleeper = UnixStream::connect(&path).unwrap();
        sleeper.write_all(b"{\"request\":\"sessions\"}\n").unwrap();
        let begin = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 * MAX_CLIENTS {
                scope.spawn(|| {
                    let mut client = Client::connect(&path).unwrap();
                    assert!(matches!(
                        client.ask(&Request::Stats),
                        Ok(Response::Stats(_))
                    ));
                });
            }
        });
        assert!(begin.elapsed() < WRITE_TIME);
    }

    #[test]
    fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
        let (_dir, path, server) = start(0);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "a temporary name is left over");
        drop(server);
        assert!(!path.exists());
        assert!(matches!(
            Client::connect(&path),
            Err(ClientError::NotRunning(_))
        ));
    }

    #[test]
    fn a_live_socket_is_respected_and_a_stale_one_replaced() {
        let (dir, path, _server) = start(0);
        let fake = || Arc::new(Fake { sessions: 0 });
        assert!(matches!(
            Server::start(&path, fake()),
            Err(SocketError::InUse(_))
        ));
        let stale = dir.path().join("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        assert!(matches!(
            Client::connect(&stale),
            Err(ClientError::NotRunning(_))
        ));
        let _server = Server::start(&stale, fake()).unwrap();
        assert!(Client::connect(&stale).is_ok());
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(
            Server::start(&file, fake()),
            Err(SocketError::NotASocket(_))
        ));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }
}
