//! Calls over real connections.

use crate::support::{Answer, Draft, Echo, KEY, Message, run};
use api::wire::{Limits, Listen, Rate, Server, ServerError};
use serde_json::json;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn both_signatures_in_query_and_form_reach_the_service() {
    let running = run(Limits::default());
    let mut draft = Draft::new(
        "CreateVpc",
        &[("RegionId", "cn-hangzhou"), ("A", "ü *+&=/")],
    );
    draft.form = crate::support::pairs(&[("B", "1 2"), ("Tag.1.Key", "")]);
    let mut sent = Vec::new();
    for method in ["GET", "POST"] {
        draft.method = method.into();
        for way in 0..3 {
            draft.nonce = crate::support::nonce();
            let message = match way {
                0 => draft.acs3(),
                1 => draft.rpc(false),
                _ => draft.rpc(true),
            };
            let answer = running.send(&message);
            assert_eq!(answer.status, 200, "{answer:?}");
            let json = answer.json();
            assert_eq!(json["Action"], "CreateVpc");
            assert_eq!(json["Version"], "2016-04-28");
            assert_eq!(json["Caller"], KEY);
            assert_eq!(json["Address"], "127.0.0.1");
            let params =
                json!({"RegionId": "cn-hangzhou", "A": "ü *+&=/", "B": "1 2", "Tag.1.Key": ""});
            assert_eq!(json["Params"], params);
            sent.push(json["RequestId"].clone());
        }
    }
    let calls = running.service.calls.lock().unwrap();
    let seen: Vec<_> = calls.iter().map(|call| json!(call.id)).collect();
    assert_eq!(seen, sent);
}

#[test]
fn any_host_will_do_as_long_as_it_is_the_signed_one() {
    let running = run(Limits::default());
    for host in [
        "http://127.0.0.1:8080",
        "vpc.cn-hangzhou.example.com",
        "a b",
        "[::1]:1",
        "",
    ] {
        let mut draft = Draft::new("DescribeVpcs", &[]);
        draft.host = host.into();
        let answer = running.send(&draft.acs3());
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
        draft.nonce = crate::support::nonce();
        let mut message = draft.acs3();
        *message.header("host") = "other".into();
        let answer = running.send(&message);
        assert_eq!(answer.error(), (400, "SignatureDoesNotMatch".into()));
        assert_eq!(answer.json()["HostId"], "other");
    }
}

#[test]
fn every_error_has_its_form() {
    let running = run(Limits {
        failures: Rate {
            per_second: 1e6,
            burst: 1e6,
        },
        ..Limits::default()
    });
    let draft = || Draft::new("DescribeVpcs", &[]);
    let refused = |message: &Message, status: u16, code: &str, text: &str| {
        let answer = running.send(message);
        assert_eq!(answer.error(), (status, code.into()), "{answer:?}");
        let message = answer.json()["Message"].as_str().unwrap().to_owned();
        assert!(message.contains(text), "{message}");
    };

    for name in [
        "Action",
        "Version",
        "AccessKeyId",
        "Signature",
        "SignatureMethod",
        "SignatureNonce",
        "Timestamp",
    ] {
        let mut message = draft().rpc(false);
        let pairs = message.query.split('&');
        let pairs: Vec<_> = pairs
            .filter(|it| it.split('=').next() != Some(name))
            .collect();
        message.query = pairs.join("&");
        let text = format!("parameter \"{name}\" that is mandatory");
        refused(&message, 400, "MissingParameter", &text);
    }
    let mut message = draft().acs3();
    message.headers.retain(|(name, _)| name != "authorization");
    refused(&message, 400, "MissingParameter", "\"Authorization\"");
    for name in [
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-version",
    ] {
        let mut message = draft().acs3();
        message.headers.retain(|(other, _)| other != name);
        let text = format!("parameter \"{name}\" that is mandatory");
        refused(&message, 400, "MissingParameter", &text);
    }

    let with = |change: fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        [draft.acs3(), {
            draft.nonce += "1";
            draft.rpc(false)
        }]
    };
    for message in with(|it| it.key = "LTAIunknown".into()) {
        refused(&message, 404, "InvalidAccessKeyId.NotFound", "not found");
    }
    for message in with(|it| (it.key, it.secret) = ("empty".into(), String::new())) {
        refused(&message, 404, "InvalidAccessKeyId.NotFound", "not found");
    }
    for message in with(|it| it.secret = "wrong".into()) {
        let text = "calculation. server string to sign is:";
        refused(&message, 400, "SignatureDoesNotMatch", text);
    }
    for message in with(|it| it.time -= 910) {
        refused(&message, 400, "InvalidTimeStamp.Expired", "15 minutes");
    }
    for message in with(|it| it.time += 910) {
        refused(&message, 400, "InvalidTimeStamp.Expired", "15 minutes");
    }
    for message in with(|it| it.action = "No such thing".into()) {
        refused(&message, 404, "InvalidAction.NotFound", "No such thing");
    }
    for message in with(|it| it.version = "1/2".into()) {
        refused(&message, 404, "InvalidVersion", "1/2");
    }
    for message in with(|it| it.nonce = "n".repeat(257)) {
        refused(&message, 400, "InvalidParameter", "256 bytes");
    }

    let mut message = draft().acs3();
    *message.header("x-acs-date") = "Sat, 21 Nov 2026 19:08:37 GMT".into();
    refused(&message, 400, "InvalidTimeStamp.Format", "x-acs-date");
    let mut message = draft().rpc(false);
    message.query = message.query.replace("Timestamp=20", "Timestamp=x");
    refused(&message, 400, "InvalidTimeStamp.Format", "Timestamp");

    // Signature methods.
    for scheme in [
        "ACS3-HMAC-SM3",
        "ACS3-RSA-SHA256",
        "Basic",
        "acs3-hmac-sha256",
    ] {
        let mut message = draft().acs3();
        let authorization = message.header("authorization");
        *authorization = authorization.replace("ACS3-HMAC-SHA256", scheme);
        refused(&message, 400, "UnsupportedSignatureMethod", scheme);
    }
    for (from, to) in [
        ("SignatureMethod=HMAC-SHA1", "SignatureMethod=HMAC-SHA256"),
        ("SignatureVersion=1.0", "SignatureVersion=2.0"),
        ("SignatureType=", "SignatureType=BEARERTOKEN"),
    ] {
        let mut message = draft().rpc(false);
        message.query = message.query.replace(from, to);
        refused(
            &message,
            400,
            "UnsupportedSignatureMethod",
            to.split('=').nth(1).unwrap(),
        );
    }
    let mut message = draft().acs3();
    message
        .headers
        .push(("x-acs-security-token".into(), "CAIS".into()));
    refused(&message, 400, "InvalidSecurityToken.NotSupported", "STS");
    let mut with_token = draft();
    with_token.query = crate::support::pairs(&[("SecurityToken", "CAIS")]);
    refused(
        &with_token.rpc(false),
        400,
        "InvalidSecurityToken.NotSupported",
        "STS",
    );

    // What has to be signed.
    for (name, value) in [
        ("x-acs-parent", "1"),
        ("x-acs-credentials-provider", "static_ak"),
    ] {
        let mut message = draft().acs3();
        message.headers.push((name.into(), value.into()));
        refused(&message, 400, "IncompleteSignature", name);
    }
    let mut message = draft().acs3();
    let authorization = message.header("authorization");
    *authorization = authorization.replace("=host;", "=");
    refused(&message, 400, "IncompleteSignature", "host");
    for (from, to) in [
        ("host;", "host;host;"),
        ("host;", "host;nothing;"),
        ("Credential=", "Credentials="),
        (",SignedHeaders=", ",Credential=a,SignedHeaders="),
        (" Credential", "Credential"),
    ] {
        let mut message = draft().acs3();
        let authorization = message.header("authorization");
        *authorization = authorization.replace(from, to);
        let code = match to {
            "Credential" => "UnsupportedSignatureMethod",
            _ => "IncompleteSignature",
        };
        refused(&message, 400, code, "");
    }
    for name in ["x-acs-action", "host", "authorization"] {
        let mut message = draft().acs3();
        let again = (name.into(), message.header(name).clone());
        message.headers.push(again);
        refused(&message, 400, "InvalidParameter", "twice");
    }

    // Form.
    for query in ["a=1&a=2", "a=%", "a=%fe", "=1"] {
        let mut message = draft().rpc(false);
        message.query += &format!("&{query}");
        refused(&message, 400, "InvalidParameter", "");
    }
    let mut message = draft().acs3();
    message.body = b"x=1".to_vec();
    refused(&message, 400, "InvalidParameter", "x-acs-content-sha256");
    let mut message = draft().rpc(false);
    message.body = b"{}".to_vec();
    refused(
        &message,
        415,
        "UnsupportedContentType",
        "x-www-form-urlencoded",
    );
    message
        .headers
        .push(("content-type".into(), "application/json".into()));
    refused(&message, 415, "UnsupportedContentType", "json");

    // Target.
    let mut message = draft().rpc(false);
    message.path = "/api/index.html".into();
    refused(
        &message,
        404,
        "InvalidPath.NotFound",
        "path of every call is /",
    );
    message.path = "/".into();
    message.method = "DELETE".into();
    refused(&message, 405, "UnsupportedHTTPMethod", "GET or POST");

    // The service's own.
    refused(
        &Draft::new("Refuse", &[]).acs3(),
        404,
        "InvalidVpcId.NotFound",
        "no such VPC",
    );
    refused(
        &Draft::new("Fail", &[]).acs3(),
        500,
        "InternalError",
        "disk is full",
    );
    refused(
        &Draft::new("Panic", &[]).acs3(),
        500,
        "InternalError",
        "error of ours",
    );
    assert_eq!(running.send(&draft().acs3()).status, 200, "and it goes on");
}

#[test]
fn a_nonce_is_used_up_by_its_owner_only_and_once() {
    let running = run(Limits::default());
    let draft = Draft::new("DescribeVpcs", &[]);
    let forged = Draft {
        secret: "guessed".into(),
        ..draft.clone()
    };
    for _ in 0..3 {
        let answer = running.send(&forged.acs3());
        assert_eq!(answer.error().1, "SignatureDoesNotMatch");
    }
    assert_eq!(running.send(&draft.acs3()).status, 200);
    let used = (400, "SignatureNonceUsed".to_owned());
    assert_eq!(running.send(&draft.acs3()).error(), used);
    assert_eq!(
        running.send(&draft.rpc(true)).error(),
        used,
        "signed in whatever way"
    );
    let mut later = draft.clone();
    later.time += 1;
    assert_eq!(running.send(&later.acs3()).error(), used);
    assert_eq!(running.service.calls.lock().unwrap().len(), 1);
    // Also if the call failed.
    let draft = Draft::new("Refuse", &[]);
    assert_eq!(
        running.send(&draft.acs3()).error().1,
        "InvalidVpcId.NotFound"
    );
    assert_eq!(running.send(&draft.acs3()).error(), used);
}

#[test]
fn who_calls_too_often_is_told_when_to_come_back() {
    let running = run(Limits {
        calls: Rate {
            per_second: 2.0,
            burst: 3.0,
        },
        ..Limits::default()
    });
    let send = || running.send(&Draft::new("DescribeVpcs", &[]).acs3());
    for _ in 0..3 {
        assert_eq!(send().status, 200);
    }
    let answer = send();
    assert_eq!(answer.error(), (400, "Throttling.User".into()));
    let wait: u64 = answer.header("x-acs-retry-after").unwrap().parse().unwrap();
    assert!((1..=500).contains(&wait), "{wait}");
    std::thread::sleep(Duration::from_millis(wait));
    assert_eq!(send().status, 200);
}

#[test]
fn guesses_are_throttled_and_real_calls_are_not() {
    let running = run(Limits {
        failures: Rate {
            per_second: 0.001,
            burst: 5.0,
        },
        ..Limits::default()
    });
    let guess = Draft {
        secret: "guessed".into(),
        ..Draft::new("DescribeVpcs", &[])
    };
    for _ in 0..5 {
        assert_eq!(
            running.send(&guess.acs3()).error().1,
            "SignatureDoesNotMatch"
        );
    }
    let answer = running.send(&guess.acs3());
    assert_eq!(answer.error().1, "Throttling.User");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(
        running.send(&Draft::new("DescribeVpcs", &[]).acs3()).status,
        200
    );
}

#[test]
fn the_user_agent_is_kept_short() {
    let running = run(Limits::default());
    for (agent, kept) in [
        ("curl/8", 6),
        (&"x".repeat(300), 256),
        (&"ü".repeat(300), 256),
    ] {
        let mut message = Draft::new("DescribeVpcs", &[]).acs3();
        message.headers.push(("user-agent".into(), agent.into()));
        let json = running.send(&message).json();
        assert_eq!(json["UserAgent"].as_str().unwrap().len(), kept);
    }
}

#[test]
fn connections_are_kept_and_calls_can_follow_each_other() {
    let running = run(Limits::default());
    let mut stream = running.connect();
    for _ in 0..3 {
        stream
            .write_all(&Draft::new("DescribeVpcs", &[]).acs3().bytes())
            .unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        assert_eq!(Answer::read(&mut reader).unwrap().status, 200);
    }
    let bytes: Vec<u8> = (0..10)
        .flat_map(|_| Draft::new("DescribeVpcs", &[]).rpc(true).bytes())
        .collect();
    stream.write_all(&bytes).unwrap();
    let mut reader = BufReader::new(stream);
    for _ in 0..10 {
        assert_eq!(Answer::read(&mut reader).unwrap().status, 200);
    }
}

#[test]
fn calls_go_on_beside_slow_ones() {
    let running = run(Limits {
        workers: 2,
        ..Limits::default()
    });
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let draft = Draft::new("Sleep", &[("Millis", "1000")]);
                assert_eq!(running.send(&draft.acs3()).status, 200);
            });
        }
    });
    let time = begin.elapsed();
    assert!(
        time >= Duration::from_secs(2),
        "no more than the workers: {time:?}"
    );
    assert!(
        time < Duration::from_millis(3_900),
        "two at a time: {time:?}"
    );
}

#[test]
fn a_stop_waits_for_the_calls_that_have_come() {
    let running = run(Limits::default());
    let mut idle = running.connect();
    let mut busy = running.connect();
    let draft = Draft::new("Sleep", &[("Millis", "500")]);
    busy.write_all(&draft.acs3().bytes()).unwrap();
    while running.service.calls.lock().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let address = running.server.http()[0];
    let begin = Instant::now();
    running.server.stop(Duration::from_secs(30));
    assert!(begin.elapsed() < Duration::from_secs(10));
    let answer = Answer::read(&mut BufReader::new(busy)).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "closed");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let running = run(Limits::default());
    let mut busy = running.connect();
    let draft = Draft::new("Sleep", &[("Millis", "3000")]);
    busy.write_all(&draft.acs3().bytes()).unwrap();
    while running.service.calls.lock().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let begin = Instant::now();
    running.server.stop(Duration::from_millis(200));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[test]
fn limits_that_let_nobody_in_are_refused() {
    let none = Rate {
        per_second: 0.0,
        burst: 1.0,
    };
    let default = Limits::default();
    for limits in [
        Limits {
            workers: 0,
            ..default
        },
        Limits {
            connections: 0,
            ..default
        },
        Limits {
            connections_per_address: 0,
            ..default
        },
        Limits {
            calls: none,
            ..default
        },
        Limits {
            failures: Rate {
                per_second: f64::NAN,
                burst: 1.0,
            },
            ..default
        },
    ] {
        let listen = Listen {
            limits,
            ..Listen::default()
        };
        let state = tempfile::tempdir().unwrap();
        let error = Server::start(&listen, state.path(), Arc::new(Echo::default())).unwrap_err();
        assert!(matches!(error, ServerError::Limit(_)), "{error}");
    }
}

#[test]
fn a_taken_address_is_an_error() {
    let running = run(Limits::default());
    let listen = Listen {
        http: running.server.http().to_vec(),
        ..Listen::default()
    };
    let state = tempfile::tempdir().unwrap();
    let error = Server::start(&listen, state.path(), Arc::new(Echo::default())).unwrap_err();
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&running.server.http()[0].to_string())
    );
}
