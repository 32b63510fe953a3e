//! The tables of what the daemon does beside moving packets.

use super::*;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

impl Builder {
    pub(super) fn services(&mut self, file: &schema::File) {
        if let Some(table) = &file.records {
            self.config.system.services.records = self.records(table);
        }
        if let Some(table) = &file.resolver {
            self.config.system.services.resolver = self.resolver(table);
        }
        if let Some(table) = &file.locations {
            let mut entry = Entry::named("locations".into(), table.span());
            let path = entry.need("path", &table.get_ref().path, absolute);
            self.config.system.services.locations = path;
            self.found.append(&mut entry.found);
        }
    }

    fn records(&mut self, table: &Spanned<schema::Records>) -> Records {
        let raw = table.get_ref();
        let mut entry = Entry::named("records".into(), table.span());
        let default = Records::default();
        let records = Records {
            enabled: raw.enabled.as_ref().map(|it| *it.get_ref()),
            directory: entry.read("directory", &raw.directory, absolute),
            max_size: within(&mut entry, "max_size", &raw.max_size, Records::MAX_SIZE)
                .unwrap_or(default.max_size),
            keep: within(&mut entry, "keep", &raw.keep, Records::KEEP).unwrap_or(default.keep),
        };
        self.found.append(&mut entry.found);
        records
    }

    fn resolver(&mut self, table: &Spanned<schema::Resolver>) -> Resolver {
        let raw = table.get_ref();
        let mut entry = Entry::named("resolver".into(), table.span());
        let default = Resolver::default();
        let resolver = Resolver {
            servers: entry
                .list("servers", &raw.servers, server)
                .unwrap_or_default(),
            min_ttl: within(&mut entry, "min_ttl", &raw.min_ttl, Resolver::TTL)
                .unwrap_or(default.min_ttl),
            max_ttl: within(&mut entry, "max_ttl", &raw.max_ttl, Resolver::TTL)
                .unwrap_or(default.max_ttl),
        };
        let start = entry.start;
        if resolver.servers.len() > Resolver::SERVERS {
            let most = Resolver::SERVERS;
            entry.fail(start, format!("there are more than {most} servers"));
        }
        if resolver.min_ttl > resolver.max_ttl {
            let (min, max) = (resolver.min_ttl, resolver.max_ttl);
            entry.fail(start, format!("min_ttl {min} is more than max_ttl {max}"));
        }
        self.found.append(&mut entry.found);
        resolver
    }
}

/// A number within bounds, if there is one.
fn within(
    entry: &mut Entry,
    key: &'static str,
    value: &Number,
    bounds: RangeInclusive<u32>,
) -> Option<u32> {
    let at = place(value)?;
    let number = entry.number(key, value, bounds.clone())?;
    if bounds.contains(&number) {
        return Some(number);
    }
    let fault = Fault::OutOfRange {
        what: key,
        value: number.into(),
        min: (*bounds.start()).into(),
        max: (*bounds.end()).into(),
    };
    entry.fail(at, fault);
    None
}

/// The path of a file or directory, from the root.
fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(format!("{} is no path that begins with `/`", quote(text))),
    }
}

/// The address of a name server, with a port if it is not 53.
fn server(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|it| SocketAddr::new(it, 53));
    let address = address.or_else(|_| text.parse());
    address.map_err(|_| {
        let text = quote(text);
        format!("{text} is no address of a name server, like 192.0.2.53 or 192.0.2.53:5353")
    })
}
