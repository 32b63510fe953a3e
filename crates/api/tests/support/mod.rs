//! A client written apart from the code under test: it signs by the published rules, with the hash functions of
//! another library, and speaks HTTP over a plain socket.
#![allow(dead_code)]

use api::wire::{Limits, Listen, Server};
use api::{ApiError, Request, Service};
use base64::Engine;
use ring::{digest, hmac};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

pub const KEY: &str = "LTAI5tExampleExampleExam";
pub const SECRET: &str = "a secret of thirty characters!";

/// Percent-encoding by RFC 3986, section 2.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(*byte as char);
            }
            other => out += &format!("%{other:02X}"),
        }
    }
    out
}

pub fn joined(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = pairs.to_vec();
    pairs.sort();
    let pairs = pairs.iter();
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The time `seconds` after 1970 as in a call.
pub fn stamp(seconds: u64) -> String {
    // Counted day by day: slow, simple, and not how the code under test does it.
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut month) = (1970, 1);
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if days < length {
            break;
        }
        days -= length;
        month += 1;
        if month == 13 {
            (year, month) = (year + 1, 1);
        }
    }
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// A nonce that no other test uses.
pub fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    format!("{:024x}{count:08x}", time.unwrap().as_nanos())
}

/// An HTTP request.
#[derive(Clone, Debug)]
pub struct Message {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn bytes(&self) -> Vec<u8> {
        let question = if self.query.is_empty() { "" } else { "?" };
        let mut text = format!(
            "{} {}{question}{} HTTP/1.1\r\n",
            self.method, self.path, self.query
        );
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() || self.method == "POST" {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }

    pub fn header(&mut self, name: &str) -> &mut String {
        let mut headers = self.headers.iter_mut();
        &mut headers.find(|(other, _)| other == name).unwrap().1
    }
}

pub fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

/// What is called, and how it is signed.
#[derive(Clone, Debug)]
pub struct Draft {
    pub method: String,
    pub host: String,
    pub version: String,
    pub action: String,
    pub query: Vec<(String, String)>,
    pub form: Vec<(String, String)>,
    pub key: String,
    pub secret: String,
    pub nonce: String,
    pub time: u64,
}

impl Draft {
    pub fn new(action: &str, query: &[(&str, &str)]) -> Draft {
        Draft {
            method: "POST".into(),
            host: "127.0.0.1:8080".into(),
            version: "2016-04-28".into(),
            action: action.into(),
            query: pairs(query),
            form: Vec::new(),
            key: KEY.into(),
            secret: SECRET.into(),
            nonce: nonce(),
            time: now(),
        }
    }

    /// Signed with ACS3-HMAC-SHA256.
    pub fn acs3(&self) -> Message {
        let body = joined(&self.form).into_bytes();
        let hash = hex(digest::digest(&digest::SHA256, &body).as_ref());
        let mut headers = pairs(&[
            ("host", &self.host),
            ("x-acs-action", &self.action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &stamp(self.time)),
            ("x-acs-signature-nonce", &self.nonce),
            ("x-acs-version", &self.version),
        ]);
        if !body.is_empty() {
            let form = "application/x-www-form-urlencoded";
            headers.insert(0, ("content-type".into(), form.into()));
        }
        let query = joined(&self.query);
        let mut canonical = format!("{}\n/\n{query}\n", self.method);
        let names: Vec<_> = headers.iter().map(|(name, _)| name.clone()).collect();
        for (name, value) in &headers {
            canonical += &format!("{name}:{value}\n");
        }
        let names = names.join(";");
        canonical += &format!("\n{names}\n{hash}");
        let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hmac::sign(&key, format!("ACS3-HMAC-SHA256\n{canonical}").as_bytes());
        let authorization = format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={}",
            self.key,
            hex(signature.as_ref())
        );
        headers.push(("authorization".into(), authorization));
        Message {
            method: self.method.clone(),
            path: "/".into(),
            query,
            headers,
            body,
        }
    }

    /// Signed with HMAC-SHA1, the protocol's parameters in the query or in the form.
    pub fn rpc(&self, in_form: bool) -> Message {
        let mut own = pairs(&[
            ("AccessKeyId", &self.key),
            ("Action", &self.action),
            ("Format", "JSON"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", &self.nonce),
            ("SignatureType", ""),
            ("SignatureVersion", "1.0"),
            ("Timestamp", &stamp(self.time)),
            ("Version", &self.version),
        ]);
        let all = [&own[..], &self.query, &self.form].concat();
        let text = format!("{}&%2F&{}", self.method, encoded(&joined(&all)));
        let key = format!("{}&", self.secret);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
        let signature = hmac::sign(&key, text.as_bytes());
        let signature = base64::prelude::BASE64_STANDARD.encode(signature);
        own.push(("Signature".into(), signature));
        let (mut query, mut form) = (self.query.clone(), self.form.clone());
        match in_form {
            true => form.extend(own),
            false => query.extend(own),
        }
        let mut headers = pairs(&[("host", &self.host)]);
        if !form.is_empty() {
            let form = "application/x-www-form-urlencoded; charset=utf-8";
            headers.push(("content-type".into(), form.into()));
        }
        Message {
            method: self.method.clone(),
            path: "/".into(),
            query: joined(&query),
            headers,
            body: joined(&form).into_bytes(),
        }
    }
}

/// A service that tells back what it was asked.
#[derive(Default)]
pub struct Echo {
    pub calls: Mutex<Vec<Request>>,
}

impl Service for Echo {
    fn answer(&self, request: &Request) -> Result<Map<String, Value>, ApiError> {
        self.calls.lock().unwrap().push(request.clone());
        match &*request.action {
            "Refuse" => Err(ApiError::not_found(
                "InvalidVpcId.NotFound",
                "There is no such VPC.",
            )),
            "Fail" => Err(ApiError::internal("The disk is full.")),
            "Panic" => panic!("as asked for"),
            "Sleep" => {
                let millis = request.params.get("Millis").unwrap().parse().unwrap();
                std::thread::sleep(Duration::from_millis(millis));
                Ok(Map::new())
            }
            "Large" => {
                let size = request.params.get("Size").unwrap().parse().unwrap();
                Ok(Map::from_iter([("Text".into(), json!("x".repeat(size)))]))
            }
            _ => {
                let params: Map<_, _> = request
                    .params
                    .iter()
                    .map(|(name, value)| (name.into(), json!(value)))
                    .collect();
                let Value::Object(answer) = json!({
                    "Action": request.action,
                    "Version": request.version,
                    "Params": params,
                    "Caller": request.caller.principal.name(),
                    "Address": request.caller.address.to_string(),
                    "UserAgent": request.caller.user_agent,
                }) else {
                    unreachable!();
                };
                Ok(answer)
            }
        }
    }

    fn secret(&self, access_key_id: &str) -> Option<String> {
        match access_key_id {
            KEY => Some(SECRET.into()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }
}

/// A server and its directory.
pub struct Running {
    pub server: Server,
    pub service: Arc<Echo>,
    pub state: tempfile::TempDir,
}

pub fn run(limits: Limits) -> Running {
    run_on(limits, tempfile::tempdir().unwrap())
}

pub fn run_on(limits: Limits, state: tempfile::TempDir) -> Running {
    let service = Arc::new(Echo::default());
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listen = Listen {
        http: vec![loopback],
        https: vec![loopback],
        limits,
        ..Listen::default()
    };
    Running {
        server: Server::start(&listen, state.path(), service.clone()).unwrap(),
        service,
        state,
    }
}

impl Running {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.http()[0]).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    pub fn send(&self, message: &Message) -> Answer {
        self.send_bytes(&message.bytes())
    }

    pub fn send_bytes(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may refuse before it has read everything.
        let _ = stream.write_all(bytes);
        Answer::read(&mut BufReader::new(stream)).unwrap()
    }
}

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// None if the connection ends before one has come.
    pub fn read(from: &mut impl BufRead) -> Option<Answer> {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let status = line.strip_prefix("HTTP/1.1 ").unwrap()[..3]
            .parse()
            .unwrap();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                assert_eq!(line, "\r\n");
                break;
            };
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer.header("content-length").unwrap().parse().unwrap();
        answer.body = vec![0; length];
        from.read_exact(&mut answer.body).unwrap();
        Some(answer)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map(|(_, value)| &**value)
    }

    /// The body, if everything is as it has to be in every answer.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        let id = json["RequestId"].as_str().unwrap();
        assert_eq!(self.header("x-acs-request-id"), Some(id));
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(
            id.chars()
                .all(|it| it == '-' || it.is_ascii_digit() || ('A'..='F').contains(&it))
        );
        json
    }

    /// Status and code, if it is an error.
    #[track_caller]
    pub fn error(&self) -> (u16, String) {
        let json = self.json();
        let text = str::from_utf8(&self.body).unwrap();
        let mut from = 0;
        for name in ["Recommend", "Message", "RequestId", "HostId", "Code"] {
            assert!(json[name].is_string(), "{name} in {text}");
            // In the order of the real service.
            from += text[from..].find(&format!("\"{name}\":")).unwrap();
        }
        assert_eq!(json.as_object().unwrap().len(), 5);
        (self.status, json["Code"].as_str().unwrap().to_owned())
    }
}
