//! Sessions of captures are called what they are.
//!
//! The captures and their labels lie beside the repository, or where SLUICE_CAPTURES says. Labels that are held for
//! wrong are in `captures/wrong.jsonl`, each with the reason.

use inspect::Limits;
use inspect::capture::{Capture, Flow};
use model::App;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What a flow is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
struct Key {
    capture: String,
    proto: String,
    client: IpAddr,
    client_port: u16,
    server: IpAddr,
    server_port: u16,
}

#[derive(Debug, Deserialize)]
struct Label {
    #[serde(flatten)]
    key: Key,
    application: String,
    domain: Option<String>,
}

/// A label that is held for wrong.
#[derive(Debug, Deserialize)]
struct Wrong {
    #[serde(flatten)]
    key: Key,
    why: String,
}

impl Key {
    fn of(capture: &str, flow: &Flow) -> Key {
        Key {
            capture: capture.into(),
            proto: flow.protocol.name().into(),
            client: flow.client.0,
            client_port: flow.client.1,
            server: flow.server.0,
            server_port: flow.server.1,
        }
    }
}

fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Vec<T> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

/// The directory of the captures, if there is one.
fn captures() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let given = std::env::var_os("SLUICE_CAPTURES").map(PathBuf::from);
    Some(given.unwrap_or(beside)).filter(|path| path.join("expected.jsonl").is_file())
}

fn read(path: &Path) -> Vec<Flow> {
    let file = File::open(path).unwrap();
    let capture = Capture::read(file, Limits::default());
    capture
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .flows
}

#[test]
fn labelled_captures_are_read_right() {
    let Some(directory) = captures() else {
        eprintln!("no captures: only those of this repository are looked at");
        return;
    };
    let labels: Vec<Label> = lines(&directory.join("expected.jsonl"));
    let wrong: Vec<Wrong> = lines(&root().join("wrong.jsonl"));
    assert!(wrong.iter().all(|wrong| wrong.why.len() > 20));
    let wrong: HashSet<Key> = wrong.into_iter().map(|wrong| wrong.key).collect();

    let mut flows: HashMap<Key, Flow> = HashMap::new();
    let names: HashSet<&str> = labels.iter().map(|label| &*label.key.capture).collect();
    let mut empty = HashSet::new();
    for name in names {
        let path = directory.join(name);
        if fs::metadata(&path).unwrap().len() == 0 {
            empty.insert(name);
            continue;
        }
        flows.extend(
            read(&path)
                .into_iter()
                .map(|flow| (Key::of(name, &flow), flow)),
        );
    }

    let (mut ours, mut right, mut others, mut false_alarms) = (0, 0, 0, 0);
    let mut seen: BTreeMap<App, usize> = BTreeMap::new();
    for label in &labels {
        if empty.contains(&*label.key.capture) {
            continue;
        }
        let flow = flows.get(&label.key);
        let application = flow.and_then(Flow::application);
        let held_wrong = wrong.contains(&label.key);
        let agrees = if label.application == "Other" {
            others += usize::from(!held_wrong);
            false_alarms += usize::from(!held_wrong && application.is_some());
            application.is_none()
        } else {
            let named = application.is_some_and(|app| app.name() == label.application);
            let domain = flow.and_then(Flow::domain);
            let agrees = named && domain == label.domain.as_deref();
            ours += usize::from(!held_wrong);
            right += usize::from(!held_wrong && agrees);
            agrees
        };
        if agrees {
            assert!(
                !held_wrong,
                "held for wrong, but it agrees: {:?}",
                label.key
            );
            *seen.entry(application.unwrap_or(App::Dns)).or_default() += 1;
        } else {
            let found = flow.map(|flow| (flow.state(), application, flow.domain()));
            eprintln!("{label:?}: {found:?}");
        }
    }
    eprintln!("{right} of {ours} agree, {false_alarms} false alarms in {others}");
    assert!(ours > 200 && others > 50 && seen.len() > 10, "{seen:?}");
    assert!(right * 100 >= ours * 95, "{right} of {ours} agree");
    assert!(false_alarms * 100 <= others, "{false_alarms} of {others}");
}
