//! HTTPS, with curl as a client that trusts nothing but the certificate it is given.

use crate::support::{Draft, Echo, Message, run, run_on};
use api::wire::{Limits, Listen, Server};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

fn curl(url: &str, message: &Message, options: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--noproxy",
            "*",
        ])
        .args(["--request", &message.method])
        .args(options)
        .arg(format!("{url}/?{}", message.query));
    for (name, value) in &message.headers {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    if !message.body.is_empty() {
        command.args(["--data-raw", str::from_utf8(&message.body).unwrap()]);
    }
    command.output().expect("curl is needed")
}

#[track_caller]
fn works(url: &str, options: &[&str]) {
    let mut draft = Draft::new("CreateVpc", &[("VpcName", "a b")]);
    draft.form = crate::support::pairs(&[("Description", "ü + 1")]);
    let mut again = draft.clone();
    again.nonce = crate::support::nonce();
    for message in [draft.acs3(), again.rpc(true)] {
        let output = curl(url, &message, options);
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        let json: serde_json::Value =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{why}"));
        assert_eq!(json["Params"]["VpcName"], "a b", "{said}");
        assert_eq!(json["Params"]["Description"], "ü + 1");
    }
}

#[test]
fn curl_calls_over_http() {
    let running = run(Limits::default());
    works(&format!("http://{}", running.server.http()[0]), &[]);
}

#[test]
fn curl_calls_over_https_and_trusts_our_certificate() {
    let running = run(Limits::default());
    let port = running.server.https()[0].port();
    let trusted = running.state.path().join("tls/certificate.pem");
    let trusted = trusted.to_str().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{port}");
        for version in ["--tlsv1.3", "--tls-max=1.2"] {
            // curl wants the value apart from the name.
            let version: Vec<_> = version.split('=').collect();
            works(
                &url,
                &[&["--ipv4", "--cacert", trusted], &version[..]].concat(),
            );
        }
        let output = curl(&url, &Draft::new("CreateVpc", &[]).acs3(), &["--ipv4"]);
        assert_eq!(output.status.code(), Some(60), "not trusted without");
    }
    assert!(running.service.calls.lock().unwrap().len() >= 8);

    // It stays the same for the next start.
    let fingerprint = running.server.fingerprint().unwrap().to_owned();
    running.server.stop(Duration::from_secs(5));
    let running = run_on(Limits::default(), running.state);
    assert_eq!(running.server.fingerprint(), Some(&*fingerprint));
    let url = format!("https://127.0.0.1:{}", running.server.https()[0].port());
    works(&url, &["--cacert", trusted]);
}

#[test]
fn a_given_certificate_is_taken() {
    let other = run(Limits::default());
    let tls = other.state.path().join("tls");
    let listen = |certificate: &str, key: &str| Listen {
        https: vec!["127.0.0.1:0".parse().unwrap()],
        certificate: Some((tls.join(certificate), tls.join(key))),
        ..Listen::default()
    };
    let state = tempfile::tempdir().unwrap();
    let start =
        |listen: &Listen, state: &Path| Server::start(listen, state, Arc::new(Echo::default()));
    let server = start(&listen("certificate.pem", "key.pem"), state.path()).unwrap();
    assert_eq!(server.fingerprint(), other.server.fingerprint());
    assert!(!state.path().join("tls").exists());
    let trusted = tls.join("certificate.pem");
    let url = format!("https://{}", server.https()[0]);
    works(&url, &["--cacert", trusted.to_str().unwrap()]);
    drop(server);
    let error = start(&listen("missing.pem", "key.pem"), state.path()).unwrap_err();
    assert!(error.to_string().contains("missing.pem"), "{error}");
}
