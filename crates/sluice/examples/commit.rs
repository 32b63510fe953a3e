//! Where the time of a commit of many policies goes: what `sluice apply` and the daemon do with a file, without the socket
//! and without packets; and what one policy more costs then, and a change of something else.
//!
//! `cargo run --release -p sluice --example commit [POLICIES...]`. With `read`, `first` or `more` in front, only that is
//! done, once, for a profiler.

use control::firewall::policy::Order;
use control::{Control, DataPlane, StartError};
use engine::{Link, PortRef, Snapshot};
use model::{Config, PolicyScope};
use sluice::changes;
use sluice::socket::protocol::Request;
use sluice::state::hash;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{List, Outcome, Page, Range, Revision, Sqlite, Store, Txn, Watch};

type Failure = Box<dyn std::error::Error>;

/// Compiles what it is told, as the data path does, and moves nothing.
#[derive(Clone, Default)]
struct Compiler(Arc<Mutex<(Option<Snapshot>, Duration)>>);

impl DataPlane for Compiler {
    fn apply(&self, config: &Config) -> Result<(), String> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = Instant::now();
        let built = Snapshot::build_after(config, &links(config), last.0.as_ref());
        last.1 = begin.elapsed();
        last.0 = Some(built.map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// A store that tells how long its last transaction took.
struct Timed(Sqlite, Arc<Mutex<Duration>>);

impl Store for Timed {
    fn list(&self, list: &List) -> Result<Page, store::Error> {
        self.0.list(list)
    }

    fn transact(&self, txn: Txn) -> Result<Outcome, store::Error> {
        let begin = Instant::now();
        let outcome = self.0.transact(txn);
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = begin.elapsed();
        outcome
    }

    fn watch(&self, range: Range, from: Revision) -> Result<Box<dyn Watch>, store::Error> {
        self.0.watch(range, from)
    }

    fn revision(&self) -> Result<Revision, store::Error> {
        self.0.revision()
    }

    fn compact(&self, revision: Revision) -> Result<(), store::Error> {
        self.0.compact(revision)
    }
}

/// An interface for each that the configuration wants.
fn links(config: &Config) -> Vec<Link> {
    let enis = config.enis.iter().map(|it| PortRef::Eni(it.id.clone()));
    let uplinks = config.uplinks.iter();
    let ports = enis.chain(uplinks.map(|it| PortRef::Uplink(it.id.clone())));
    let link = |(n, port): (u16, PortRef)| Link {
        zone: match port {
            PortRef::Eni(_) => n,
            PortRef::Uplink(_) => engine::UPLINK_ZONE,
        },
        port,
        ifindex: n.into(),
        mac: [2, 0, 0, 0, 0, n as u8],
        station: None,
        mtu: 1500,
        peer: false,
    };
    (2..).zip(ports).map(link).collect()
}

/// A file with so many policies of a NAT gateway, in part with books and domains.
fn file(many: usize) -> String {
    let mut text = String::from(
        "[[uplink]]\nid = \"wan\"\ndevice = \"eth1\"\naddress = \"203.0.113.2/24\"\n\
         [[vpc]]\nid = \"v\"\ncidr = \"10.0.0.0/8\"\n[[vswitch]]\nid = \"vsw\"\nvpc = \"v\"\ncidr = \"10.0.0.0/16\"\n\
         [[instance]]\nid = \"lan\"\nvswitch = \"vsw\"\naddress = \"10.0.0.2\"\n\
         [[eip]]\nid = \"e\"\naddress = \"203.0.113.10\"\n\
         [[nat_gateway]]\nid = \"n\"\nvpc = \"v\"\neips = [\"e\"]\nsnat = [{ vpc = true, eips = [\"e\"] }]\n\
         [[nat_firewall]]\nid = \"fw\"\nnat_gateway = \"n\"\n",
    );
    for n in 0..100 {
        text += &format!(
            "[[address_book]]\nid = \"b{n}\"\nip = [\"192.0.{n}.0/24\", \"198.51.{n}.0/24\"]\n"
        );
    }
    for n in 0..many {
        let to = match n % 3 {
            0 => format!(
                "destination_book = \"b{}\"\nports = {}",
                n % 100,
                1 + n % 65_535
            ),
            1 => format!("domain = \"d{n}.example\"\napplications = [\"HTTPS\"]"),
            _ => format!("destination = \"203.{}.{}.0/24\"", n / 256 % 256, n % 256),
        };
        text += &format!(
            "[[policy]]\nfirewall = \"n\"\nid = \"p{n}\"\nsource = \"10.{}.{}.0/24\"\n{to}\nprotocol = \"tcp\"\n\
             action = \"accept\"\n",
            n / 256 % 256,
            n % 256
        );
    }
    text
}

/// A gateway without policies, and what it works with.
struct Site {
    control: Control,
    compiler: Compiler,
    written: Arc<Mutex<Duration>>,
    scope: PolicyScope,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Result<Site, Failure> {
        let dir = tempfile::tempdir()?;
        let written = Arc::default();
        let store = Sqlite::open(dir.path().join("state.db"))?;
        let store = Arc::new(Timed(store, Arc::clone(&written)));
        let compiler = Compiler::default();
        let plane = compiler.clone();
        let first = |_: &mut control::Draft| Ok::<(), StartError>(());
        let control = Control::start(store, 1, first, |_| Ok(Box::new(plane)))?;
        let site = Site {
            control,
            compiler,
            written,
            scope: PolicyScope::NatGateway("n".into()),
            _dir: dir,
        };
        site.take(&model::file::parse(&file(0))?)?;
        Ok(site)
    }

    /// As the daemon takes a file in; the resources that have changed.
    fn take(&self, config: &Config) -> Result<usize, Failure> {
        let old = self.control.cloud().file();
        let told = self.control.change(2, |draft| {
            draft.import(config)?;
            Ok(changes::between(&old, &draft.file()))
        })?;
        Ok(told
            .iter()
            .map(|it| it.added.len() + it.changed.len())
            .sum())
    }

    /// Puts a policy in the middle.
    fn one_more(&self, like: &model::ControlPolicy) -> Result<(), Failure> {
        self.control.change(3, |draft| {
            let many = draft.policies.get(&self.scope).map_or(0, |it| it.len());
            draft.create_policy(&self.scope, Order::At(many / 2), like.clone())
        })?;
        Ok(())
    }

    /// Gives a VPC another name.
    fn rename(&self, name: String) -> Result<(), Failure> {
        self.control.change(4, |draft| {
            let vpc = draft.vpcs.get_mut("v");
            vpc.into_iter()
                .for_each(|it| it.meta.name.clone_from(&name));
            Ok(())
        })?;
        Ok(())
    }

    /// What compiling took the last time, and writing.
    fn parts(&self) -> [Duration; 2] {
        let compiled = self.compiler.0.lock();
        let written = self.written.lock();
        [
            compiled.unwrap_or_else(PoisonError::into_inner).1,
            *written.unwrap_or_else(PoisonError::into_inner),
        ]
    }
}

/// The best of several times.
fn best<T>(
    times: usize,
    mut work: impl FnMut() -> Result<T, Failure>,
) -> Result<(Duration, T), Failure> {
    let mut once = || {
        let begin = Instant::now();
        let done = work()?;
        Ok::<_, Failure>((begin.elapsed(), done))
    };
    let mut best = once()?;
    for _ in 1..times {
        let again = once()?;
        if again.0 < best.0 {
            best = again;
        }
    }
    Ok(best)
}

fn tell(many: usize) -> Result<(), Failure> {
    let text = file(many);
    println!("{many} policies, {} KiB", text.len() >> 10);
    let (read, config) = best(3, || Ok(model::file::parse(&text)?))?;
    let (hashed, _) = best(3, || Ok(hash(&text)))?;
    let request = Request::Apply { text, check: false };
    let (asked, _) = best(3, || {
        let line = serde_json::to_vec(&request)?;
        Ok(serde_json::from_slice::<Request>(&line)?)
    })?;
    println!("  read {read:.1?}, named by its hash {hashed:.1?}, through the socket {asked:.1?}");
    let mut taken = Vec::new();
    let mut site = Site::new()?;
    for _ in 0..3 {
        site = Site::new()?;
        let begin = Instant::now();
        site.take(&config)?;
        taken.push((begin.elapsed(), site.parts()));
    }
    let (taken, [compiled, written]) = taken.into_iter().min().unwrap_or_default();
    println!("  taken {taken:.1?}: compiled {compiled:.1?}, written {written:.1?}");
    let (again, _) = best(3, || site.take(&config))?;
    let like = config.firewalls.policies(&site.scope)[0].as_ref().clone();
    let (more, ()) = best(10, || site.one_more(&like))?;
    let [compiled, written] = site.parts();
    println!(
        "  the same again {again:.1?}; one more {more:.1?}: compiled {compiled:.1?}, written {written:.1?}"
    );
    let mut names = (0..).map(|n| format!("v{n}"));
    let (other, ()) = best(10, || site.rename(names.next().unwrap_or_default()))?;
    println!("  a change elsewhere {other:.1?}");
    Ok(())
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let sizes = words.iter().filter_map(|it| it.parse().ok());
    let sizes: Vec<usize> = sizes.collect();
    let many = sizes.first().copied().unwrap_or(10_000);
    match words.first().map(String::as_str) {
        Some("read") => drop(black_box(model::file::parse(&file(many))?)),
        Some("first") => drop(Site::new()?.take(&model::file::parse(&file(many))?)?),
        Some("more") => {
            let site = Site::new()?;
            let config = model::file::parse(&file(many))?;
            site.take(&config)?;
            for _ in 0..20 {
                site.one_more(&config.firewalls.policies(&site.scope)[0])?;
            }
        }
        _ if sizes.is_empty() => [10_000, 100_000].into_iter().try_for_each(tell)?,
        _ => sizes.into_iter().try_for_each(tell)?,
    }
    Ok(())
}
