//! A server that is killed: no call is carried out twice.

use crate::support::{Answer, Draft, KEY, Message, SECRET};
use api::wire::{Limits, Listen, Server};
use api::{ApiError, Request, Service};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Writes down what it carries out.
struct Record(std::path::PathBuf);

impl Service for Record {
    fn answer(&self, request: &Request) -> Result<Map<String, Value>, ApiError> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.0)
            .unwrap();
        let line = format!("{}\n", request.params.get("Number").unwrap());
        file.write_all(line.as_bytes()).unwrap();
        Ok(Map::new())
    }

    fn secret(&self, access_key_id: &str) -> Option<String> {
        (access_key_id == KEY).then(|| SECRET.into())
    }
}

/// Serves until it is killed.
#[test]
#[ignore = "runs in a process of its own"]
fn child() {
    let state = std::env::var_os("STATE").unwrap();
    let state = Path::new(&state);
    let listen = Listen {
        http: vec!["127.0.0.1:0".parse().unwrap()],
        limits: Limits {
            calls: api::wire::Rate {
                per_second: 1e6,
                burst: 1e6,
            },
            ..Limits::default()
        },
        ..Listen::default()
    };
    let service = Arc::new(Record(state.join("done")));
    let server = Server::start(&listen, state, service).unwrap();
    println!("\nlistening on {}", server.http()[0]);
    loop {
        std::thread::park();
    }
}

struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(state: &Path) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["restart::child", "--exact", "--ignored", "--nocapture"])
            .env("STATE", state)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("listening on ").map(str::to_owned)
        });
        // Its standard output has to stay open.
        std::thread::spawn(move || lines.for_each(drop));
        Process {
            child,
            address: address.unwrap(),
        }
    }

    /// None if the server dies meanwhile.
    fn send(&self, message: &Message) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(&message.bytes()).ok()?;
        Answer::read(&mut BufReader::new(stream))
    }
}

impl Drop for Process {
    /// kill -9.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn no_call_is_carried_out_twice_however_often_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut sent = Vec::new();
    for round in 0..8u64 {
        let process = Process::start(dir.path());
        // Everything that was ever sent comes again, acknowledged or not.
        for (message, known) in &mut sent {
            let answer = process.send(message).unwrap();
            match *known {
                true => assert_eq!(answer.error().1, "SignatureNonceUsed"),
                // The kill was before its nonce was written, or after.
                false => assert!(answer.status == 200 || answer.error().1 == "SignatureNonceUsed"),
            }
            *known = true;
        }
        let id = process.child.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100 + 37 * round));
            let kill = Command::new("kill").args(["-9", &id.to_string()]).status();
            assert!(kill.unwrap().success());
        });
        let new = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let process = &process;
                    scope.spawn(move || {
                        let mut sent = Vec::new();
                        loop {
                            let mut draft = Draft::new("Note", &[]);
                            draft.query = crate::support::pairs(&[("Number", &draft.nonce)]);
                            let message = draft.acs3();
                            let answer = process.send(&message);
                            let end = answer.is_none();
                            assert!(answer.is_none_or(|answer| answer.status == 200));
                            sent.push((message, !end));
                            if end {
                                return sent;
                            }
                        }
                    })
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.flatten().collect::<Vec<_>>()
        });
        killer.join().unwrap();
        assert!(new.len() > 20, "{}", new.len());
        // A quarter of them is enough to send again and again.
        sent.extend(
            new.into_iter()
                .enumerate()
                .filter_map(|(index, it)| (index % 4 == 0 || !it.1).then_some(it)),
        );
    }
    let done = std::fs::read_to_string(dir.path().join("done")).unwrap();
    let mut counts = BTreeMap::<_, usize>::new();
    for number in done.lines() {
        *counts.entry(number).or_default() += 1;
    }
    assert!(counts.len() > 200);
    assert!(counts.values().all(|count| *count == 1));
}
