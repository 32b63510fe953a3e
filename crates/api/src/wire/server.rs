//! The listeners: HTTP and HTTPS, with everything bounded that a client could make large or slow.

use super::call::{self, Call, MAX_BODY};
use super::certificate::{self, CertificateError};
use super::gate::{self, Gate, Reply};
use super::nonces::{Nonces, NoncesError};
use super::refusal;
use super::throttle::Rate;
use crate::{ApiError, Service};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// The largest head of a request in bytes; hyper itself allows a target of 64 KiB.
const MAX_HEAD: usize = 128 << 10;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// Memory for all bodies together, in bytes.
const MAX_BODIES: usize = 64 * MAX_BODY;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Addresses for HTTP; port 0 takes a free one.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS.
    pub https: Vec<SocketAddr>,
    /// Files of certificate (with its chain) and private key in PEM. Without, a certificate of our own is made
    /// and kept in the state directory.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Further host names and addresses that our own certificate is made for.
    pub names: Vec<String>,
    /// What clients may do.
    pub limits: Limits,
}

/// What clients may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls of an access key. Whatever is said here, it is refused more than 262,144 in a quarter of an hour:
    /// so many nonces are remembered.
    pub calls: Rate,
    /// Calls from one address (a /64 of IPv6) that nobody signed, and that are answered with what is wrong.
    pub failures: Rate,
    /// Connections at the same time.
    pub connections: usize,
    /// Of these, from one address (a /64 of IPv6).
    pub connections_per_address: usize,
    /// Calls that are carried out at the same time; each takes a thread.
    pub workers: usize,
    /// For a TLS handshake, for the head of a request, and between requests.
    pub head_time: Duration,
    /// For the body of a request.
    pub body_time: Duration,
    /// During which a client may take nothing of its answer.
    pub write_time: Duration,
}

impl Default for Listen {
    /// On no address.
    fn default() -> Listen {
        Listen {
            http: Vec::new(),
            https: Vec::new(),
            certificate: None,
            names: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            calls: Rate {
                per_second: 200.0,
                burst: 400.0,
            },
            failures: Rate {
                per_second: 5.0,
                burst: 50.0,
            },
            connections: 512,
            connections_per_address: 128,
            workers: 16,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(15),
            write_time: Duration::from_secs(30),
        }
    }
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No listener on an address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        error: io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No record of accepted calls.
    #[error(transparent)]
    Nonces(#[from] NoncesError),
    /// No threads.
    #[error("cannot start the threads of the API: {0}")]
    Threads(io::Error),
    /// A limit that lets nobody in.
    #[error("the limit {0} of the API must be at least 1 (rates: more than 0)")]
    Limit(&'static str),
}

/// The API, served. Dropping it cuts all connections off, and waits for the operations that are under way.
#[derive(Debug)]
pub struct Server {
    http: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    fingerprint: Option<String>,
    stop: watch::Sender<bool>,
    runtime: Runtime,
}

impl Server {
    /// Serves a service. `state` is the API's directory: there are its nonces and its own certificate.
    ///
    /// # Errors
    /// If it cannot listen, or its files cannot be used.
    pub fn start(
        listen: &Listen,
        state: &Path,
        service: Arc<dyn Service>,
    ) -> Result<Server, ServerError> {
        let limits = listen.limits;
        limits.check()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let nonces = Nonces::open(&state.join("nonces"), now)?;
        let (tls, fingerprint) = match listen.https.is_empty() {
            true => (None, None),
            false => {
                let (tls, fingerprint) = tls(listen, state)?;
                (Some(tls), Some(fingerprint))
            }
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(limits.workers)
            .thread_name("api")
            .enable_io()
            .enable_time()
            .build()
            .map_err(ServerError::Threads)?;
        let shared = Arc::new(Shared {
            gate: Gate::new(service, nonces, limits.calls, limits.failures),
            connections: Arc::new(Semaphore::new(limits.connections)),
            bodies: Arc::new(Semaphore::new(MAX_BODIES)),
            addresses: Mutex::new(HashMap::new()),
            limits,
        });
        let stop = watch::Sender::new(false);
        let listen_on = |addresses: &[SocketAddr], tls: Option<TlsAcceptor>| {
            let mut bound = Vec::new();
            for &address in addresses {
                let error = |error| ServerError::Listen { address, error };
                let listener = runtime
                    .block_on(TcpListener::bind(address))
                    .map_err(error)?;
                bound.push(listener.local_addr().map_err(error)?);
                let accepting = accept(listener, tls.clone(), shared.clone(), stop.subscribe());
                runtime.spawn(accepting);
            }
            Ok::<_, ServerError>(bound)
        };
        let http = listen_on(&listen.http, None)?;
        let https = listen_on(&listen.https, tls)?;
        for address in &http {
            tracing::info!("the API listens on http://{address}");
        }
        for address in &https {
            let fingerprint = fingerprint.as_deref().unwrap_or_default();
            tracing::info!(
                "the API listens on https://{address}, certificate SHA-256 {fingerprint}"
            );
        }
        Ok(Server {
            http,
            https,
            fingerprint,
            stop,
            runtime,
        })
    }

    /// Where it listens for HTTP.
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Where it listens for HTTPS.
    pub fn https(&self) -> &[SocketAddr] {
        &self.https
    }

    /// SHA-256 of the certificate in hexadecimal, if it listens for HTTPS.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Takes no more calls and waits for the answers to those that have come, at most for `grace`.
    pub fn stop(self, grace: Duration) {
        self.stop.send_replace(true);
        let begin = Instant::now();
        let ended = self
            .runtime
            .block_on(async { timeout(grace, self.stop.closed()).await });
        if ended.is_err() {
            tracing::warn!("API calls were cut off: they took longer than {grace:?} to end");
        }
        // A client may have gone while its operation is still under way.
        self.runtime
            .shutdown_timeout(grace.saturating_sub(begin.elapsed()));
    }
}

impl Limits {
    fn check(&self) -> Result<(), ServerError> {
        for (name, limit) in [
            ("connections", self.connections),
            ("connections_per_address", self.connections_per_address),
            ("workers", self.workers),
        ] {
            if !(1..=1 << 20).contains(&limit) {
                return Err(ServerError::Limit(name));
            }
        }
        for (name, rate) in [("calls", self.calls), ("failures", self.failures)] {
            let sound = rate.per_second > 0.0 && rate.burst >= 1.0;
            if !sound || !rate.per_second.is_finite() || !rate.burst.is_finite() {
                return Err(ServerError::Limit(name));
            }
        }
        Ok(())
    }
}

fn tls(listen: &Listen, state: &Path) -> Result<(TlsAcceptor, String), ServerError> {
    let (certificate, key) = match &listen.certificate {
        Some(given) => given.clone(),
        None => {
            let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).into();
            let addresses = listen.https.iter().map(SocketAddr::ip);
            names.extend(
                addresses
                    .filter(|ip| !ip.is_unspecified())
                    .map(|ip| ip.to_string()),
            );
            names.extend(listen.names.iter().cloned());
            names.sort_unstable();
            names.dedup();
            certificate::own(&state.join("tls"), names)?
        }
    };
    let (config, fingerprint) = certificate::load(&certificate, &key)?;
    Ok((config.into(), fingerprint))
}

/// What all connections share.
struct Shared {
    gate: Gate,
    connections: Arc<Semaphore>,
    /// Bytes of bodies.
    bodies: Arc<Semaphore>,
    /// Connections from each source.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    limits: Limits,
}

/// A place among the connections of its source.
struct Place {
    shared: Arc<Shared>,
    source: IpAddr,
}

impl Place {
    fn take(shared: &Arc<Shared>, address: IpAddr) -> Option<Place> {
        let source = gate::source(address);
        let mut addresses = shared
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(source).or_default();
        if *count >= shared.limits.connections_per_address {
            return None;
        }
        *count += 1;
        Some(Place {
            shared: shared.clone(),
            source,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let addresses = self.shared.addresses.lock();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.source);
            }
        }
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, address) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) => {
                // Most likely there are no file descriptors left.
                tracing::warn!("cannot accept a connection: {error}");
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Some(place) = Place::take(&shared, address) else {
            tracing::debug!("too many connections from {address}");
            continue;
        };
        // With no permit left, further clients wait in the kernel's queue.
        let permit = tokio::select! {
            permit = shared.connections.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection(stream, tls, &place, address, stop).await {
                tracing::debug!("connection from {address}: {error}");
            }
        });
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    place: &Place,
    address: IpAddr,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    match tls {
        None => serve(stream, place, address, stop).await,
        Some(tls) => {
            let handshake = timeout(place.shared.limits.head_time, tls.accept(stream));
            let stream = tokio::select! {
                stream = handshake => stream??,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            serve(stream, place, address, stop).await
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    place: &Place,
    address: IpAddr,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let shared = &place.shared;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(shared.limits.write_time));
    let service = service_fn(|request| async {
        let reply = answer(shared.clone(), request, address).await;
        Ok::<_, Infallible>(response(reply))
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head_time)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>, address: IpAddr) -> Reply {
    let (head, body) = request.into_parts();
    let host = head.headers.get(header::HOST);
    let host = host.map_or(&[][..], HeaderValue::as_bytes);
    let host = String::from_utf8_lossy(&host[..host.len().min(256)]).into_owned();
    let read = match call::check_target(head.method.as_str(), head.uri.path()) {
        Ok(()) => read(&shared, body).await,
        Err(error) => Err(error),
    };
    // Reading the clock and the nonces, and above all the service, blocks.
    let answering = tokio::task::spawn_blocking(move || {
        let (body, _permit) = match read {
            Ok(read) => read,
            Err(error) => return shared.gate.reject(error, &host, address),
        };
        let headers = pairs(&head.headers);
        let call = Call {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or(""),
            headers: &headers,
            body: &body,
        };
        shared.gate.answer(&call, address)
    });
    answering.await.unwrap_or_else(|_| Gate::broken())
}

fn pairs(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// Reads a body, and takes its share of the memory for bodies.
async fn read(
    shared: &Shared,
    mut body: Incoming,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), ApiError> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(call::too_large());
    }
    let reading = async {
        let (mut bytes, mut permit) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                refusal::invalid_parameter(format!("The body cannot be read: {error}."))
            })?;
            // Trailers say nothing to us.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > MAX_BODY {
                return Err(call::too_large());
            }
            let share = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let Ok(more) = shared.bodies.clone().try_acquire_many_owned(share) else {
                return Err(refusal::unavailable(
                    "Too many large calls are under way: try again later.",
                ));
            };
            match &mut permit {
                Some(permit) => permit.merge(more),
                None => permit = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, permit))
    };
    let time = shared.limits.body_time;
    timeout(time, reading).await.unwrap_or_else(|_| {
        Err(ApiError::new(
            408,
            "RequestTimeout",
            format!("The body did not come within {time:?}."),
        ))
    })
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-acs-request-id");
    const RETRY_AFTER: HeaderName = HeaderName::from_static("x-acs-retry-after");
    let mut response = Response::new(Full::new(reply.body.into()));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(reply.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(wait) = reply.wait {
        headers.insert(RETRY_AFTER, gate::millis(wait).into());
    }
    if reply.status == 405 {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    if reply.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
