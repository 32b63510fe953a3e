//! HTTP/3 over QUIC: a server with names, and a client; and what a client of TLS begins with.

use crate::host::Host;
use bytes::{Buf, Bytes};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(4);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A web server that speaks HTTP/3 only. Every page says `NAME HTTP/3`.
#[derive(Debug)]
pub struct Web3 {
    certificate: CertificateDer<'static>,
    _runtime: Runtime,
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

impl Web3 {
    /// Starts one on port 443 of a host.
    pub fn start(host: &Host, names: &[&str]) -> Web3 {
        let names: Vec<String> = names.iter().map(|&it| it.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config = QuicServerConfig::try_from(tls).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(config));
        let socket = host.inside(|| UdpSocket::bind("0.0.0.0:443")).unwrap();
        let runtime = runtime();
        let _inside = runtime.enter();
        let endpoint = Endpoint::new(
            EndpointConfig::default(),
            Some(config),
            socket,
            Arc::new(TokioRuntime),
        );
        let endpoint = endpoint.unwrap();
        runtime.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async {
                    // Who closes a connection ends it with an error, too.
                    if let Err(error) = serve(incoming).await {
                        println!("HTTP/3 server: {error}");
                    }
                });
            }
        });
        drop(_inside);
        Web3 {
            certificate,
            _runtime: runtime,
        }
    }

    /// Fetches a page of a name from the server at `address`, on another host.
    ///
    /// # Errors
    /// If it does not come in time.
    pub fn get(&self, host: &Host, name: &str, address: &str) -> Result<String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        let socket = host.inside(|| UdpSocket::bind("0.0.0.0:0"))?;
        let to: SocketAddr = format!("{address}:443").parse()?;
        let name = name.to_owned();
        runtime().block_on(async move {
            let mut endpoint = Endpoint::new(
                EndpointConfig::default(),
                None,
                socket,
                Arc::new(TokioRuntime),
            )?;
            endpoint.set_default_client_config(config);
            tokio::time::timeout(PATIENCE, fetch(endpoint, to, name)).await?
        })
    }
}

/// What a client of TLS says first to a server of a name.
pub fn hello(name: &str) -> Vec<u8> {
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(tls), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

async fn serve(incoming: quinn::Incoming) -> Result<()> {
    let connection = h3_quinn::Connection::new(incoming.await?);
    let mut connection = h3::server::Connection::new(connection).await?;
    while let Some(request) = connection.accept().await? {
        let (request, mut stream) = request.resolve_request().await?;
        let name = request.uri().host().unwrap_or_default().to_owned();
        stream.send_response(http::Response::new(())).await?;
        let page = Bytes::from(format!("{name} HTTP/3\n"));
        stream.send_data(page).await?;
        stream.finish().await?;
    }
    Ok(())
}

async fn fetch(endpoint: Endpoint, to: SocketAddr, name: String) -> Result<String> {
    let connection = endpoint.connect(to, &name)?.await?;
    let connection = h3_quinn::Connection::new(connection);
    let (mut driver, mut requests) = h3::client::new(connection).await?;
    let driver = tokio::spawn(async move { driver.wait_idle().await });
    let request = http::Request::get(format!("https://{name}/")).body(())?;
    let mut stream = requests.send_request(request).await?;
    stream.finish().await?;
    stream.recv_response().await?;
    let mut page = Vec::new();
    while let Some(mut part) = stream.recv_data().await? {
        let length = part.remaining();
        page.extend_from_slice(&part.copy_to_bytes(length));
    }
    driver.abort();
    Ok(String::from_utf8(page)?)
}
