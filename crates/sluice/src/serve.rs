//! `sluice serve` and `sluice down`: the gateway's life.

use crate::cli::{Api, Down, Serve};
use crate::error::Error;
use crate::gateway::Daemon;
use crate::socket::server::Server;
use crate::socket::socket_path;
use crate::state::{StateDir, read_config};
use model::Config;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// Runs the gateway until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start, or cannot remove what it should.
pub fn serve(args: &Serve) -> Result<(), Error> {
    // First of all: threads stay in the namespace that they were started in.
    if let Some(name) = &args.netns {
        datapath::netns::enter(name)?;
    }
    log();
    // A signal while it starts waits until it has started: nothing is left half made.
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Error::io("handle signals"))?;

    let file = read_config(&args.config)?;
    let config = parse(&args.config, &file)?;
    let name = config.system.name.clone();
    let state = StateDir::open(&args.state, &name)?;
    let gateway = Arc::new(Daemon::start(state, &args.config, &file, config)?);
    let socket = args.socket.clone().unwrap_or_else(|| socket_path(&name));
    // The control socket last: who gets an answer there finds all of it running.
    let api = serve_api(&args.api, &gateway).inspect_err(|_| gateway.give_up())?;
    let server = Server::start(&socket, gateway.clone()).inspect_err(|_| gateway.give_up())?;
    tracing::info!("gateway {name} runs; control socket {}", socket.display());
    notify(NotifyState::Ready);

    if let Some(signal) = signals.forever().next() {
        let signal = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
        tracing::info!("{signal}: the gateway stops");
    }
    notify(NotifyState::Stopping);
    drop((server, api));
    gateway.stop(args.remove_on_exit)?;
    match args.remove_on_exit {
        true => tracing::info!("everything was removed"),
        false => tracing::info!("established sessions go on in the kernel"),
    }
    Ok(())
}

/// Serves the cloud API, if it is to be served anywhere.
fn serve_api(args: &Api, gateway: &Daemon) -> Result<Option<api::wire::Server>, Error> {
    if args.http.is_empty() && args.https.is_empty() {
        return Ok(None);
    }
    let dir = gateway.state().api_dir()?;
    let cloud = gateway.cloud();
    let certificate = args.certificate.clone().zip(args.private_key.clone());
    let listen = api::wire::Listen {
        http: args.http.clone(),
        https: args.https.clone(),
        certificate,
        ..api::wire::Listen::default()
    };
    let server = api::wire::Server::start(&listen, &dir, cloud.clone())?;
    // Only now: who could not start has been shown no key.
    let first = cloud
        .first_key()
        .map_err(|error| Error::Other(error.message))?;
    if let Some((id, secret)) = first {
        // Not to the log: it is kept, and read by others.
        println!("The first access key; its secret is not shown again:\n  {id}\n  {secret}");
    }
    Ok(Some(server))
}

/// Removes what a stopped gateway has left in the kernel.
///
/// # Errors
/// If it runs, or something cannot be removed.
pub fn down(args: &Down) -> Result<(), Error> {
    log();
    let config = parse(&args.config, &read_config(&args.config)?)?;
    let name = &config.system.name;
    let _locked = StateDir::open(&args.state, name)?;
    Ok(datapath::remove(name, args.netns.as_deref())?)
}

fn parse(path: &Path, text: &str) -> Result<Config, Error> {
    model::file::parse(text).map_err(|error| Error::Config {
        path: path.to_owned(),
        error,
    })
}

/// Logs to standard error: what `RUST_LOG` says, else what matters to whoever runs the gateway. The
/// journal has times of its own.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        format.without_time().init();
    } else {
        format.init();
    }
}

/// Tells the service manager, if there is one.
fn notify(state: NotifyState) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
