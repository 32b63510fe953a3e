//! What it costs to keep policies: taking over a file, and one change beside many.
//!
//! `cargo run --release -p control --example policies`

use control::firewall::policy::Order;
use control::records::System;
use control::{Control, DataPlane, StartError};
use model::{Config, PolicyScope};
use std::sync::Arc;
use std::time::Instant;
use store::Sqlite;

/// A data path that takes everything at once.
struct Anything;

impl DataPlane for Anything {
    fn apply(&self, _: &Config) -> Result<(), String> {
        Ok(())
    }
}

/// A file with so many policies of a NAT gateway, in part with books and domains.
fn file(many: usize) -> String {
    let mut text = String::from(
        "[[uplink]]\nid = \"wan\"\ndevice = \"eth1\"\n[[vpc]]\nid = \"v\"\ncidr = \"10.0.0.0/8\"\n\
         [[nat_gateway]]\nid = \"n\"\nvpc = \"v\"\n",
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scope = PolicyScope::NatGateway("n".into());
    for many in [10, 1_000, 10_000, 100_000] {
        let dir = tempfile::tempdir()?;
        let store = Arc::new(Sqlite::open(dir.path().join("state.db"))?);
        let first = |_: &mut control::Draft| Ok::<(), StartError>(());
        let control = Control::start(store, 1, first, |_| Ok(Box::new(Anything)))?;
        let text = file(many);
        let begin = Instant::now();
        let config = model::file::parse(&text)?;
        let read = begin.elapsed();
        let begin = Instant::now();
        control.change(2, |draft| draft.import(&config))?;
        let applied = begin.elapsed();
        let begin = Instant::now();
        control.change(3, |draft| draft.import(&config))?;
        let again = begin.elapsed();
        let one = config.firewalls.policies(&scope)[0].as_ref().clone();
        let begin = Instant::now();
        for _ in 0..10 {
            let one = one.clone();
            control.change(4, |draft| {
                draft.create_policy(&scope, Order::At(many / 2), one)
            })?;
        }
        let change = begin.elapsed() / 10;
        let begin = Instant::now();
        for n in 0..10 {
            control.change(5, |draft| {
                let mut system = draft.system.get(System::ID).cloned();
                if let Some(system) = &mut system {
                    system.name = format!("s{n}");
                }
                system.into_iter().for_each(|it| draft.system.put(it));
                Ok(())
            })?;
        }
        let other = begin.elapsed() / 10;
        println!(
            "{many:>7} policies: file read {read:.1?}, applied {applied:.1?}, the same again {again:.1?}, \
             one more {change:.1?}, a change elsewhere {other:.1?}"
        );
    }
    Ok(())
}
