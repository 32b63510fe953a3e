//! What a commit costs, beside what the disk takes for one.
//!
//!     cargo run --release -p store --example commit [DIRECTORY]
//!
//! Each transaction replaces one of 1,000 values of 500 bytes; the bare write puts as many bytes at the end
//! of a file and calls `fdatasync`. Both are on the file system of the directory: the present one unless given.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use store::{Error, List, Op, Sqlite, Store, Txn};

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(5);
const KEYS: u64 = 1_000;
const VALUE: [u8; 500] = [b'x'; 500];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    let directory = tempfile::Builder::new()
        .prefix("commit")
        .tempdir_in(directory)?;

    println!(
        "{:<40} {:>10} {:>10} {:>10} {:>10}",
        "", "per second", "p50", "p99", "worst"
    );
    print("bare write and fdatasync", bare(directory.path())?);

    let store = Sqlite::open(directory.path().join("state.db"))?;
    for n in 0..KEYS {
        store.transact(Txn::new().then(Op::put(key(n), VALUE)))?;
    }
    print("transactions, one thread", measure(|n| commit(&store, n))?);

    let many = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|t| {
                let store = &store;
                scope.spawn(move || measure(|n| commit(store, n * 4 + t)))
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().map_err(|_| "a thread failed"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let all: Result<Vec<Vec<Duration>>, Error> = many.into_iter().collect();
    print("transactions, four threads", all?.concat());

    print("get", measure(|n| store.get(&key(n % KEYS)).map(drop))?);
    print(
        "list of 100",
        measure(|n| {
            store
                .list(&List::prefix("").after(key(n % 900)).limit(100))
                .map(drop)
        })?,
    );
    let reads = thread::scope(|scope| {
        let writer = scope.spawn(|| measure(|n| commit(&store, n)));
        let reads = measure(|n| store.get(&key(n % KEYS)).map(drop));
        writer
            .join()
            .map_err(|_| "a thread failed")
            .map(|written| written.and(reads))
    })??;
    print("get while another thread commits", reads);
    Ok(())
}

fn key(n: u64) -> String {
    format!("resource/{n:06}")
}

fn commit(store: &Sqlite, n: u64) -> Result<(), Error> {
    store
        .transact(Txn::new().then(Op::put(key(n % KEYS), VALUE)))
        .map(drop)
}

fn bare(directory: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::create(directory.join("bare"))?;
    measure(|_| {
        file.write_all(&VALUE)?;
        file.sync_data()
    })
}

/// How long each call took.
fn measure<E>(mut call: impl FnMut(u64) -> Result<(), E>) -> Result<Vec<Duration>, E> {
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < TIME {
        let before = Instant::now();
        call(times.len() as u64)?;
        times.push(before.elapsed());
    }
    Ok(times)
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let rate = times.len() as f64 / TIME.as_secs_f64();
    let micros = |part: f64| {
        let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        format!(
            "{:.0} µs",
            times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e6
        )
    };
    println!(
        "{what:<40} {rate:>10.0} {:>10} {:>10} {:>10}",
        micros(0.5),
        micros(0.99),
        micros(1.0)
    );
}
