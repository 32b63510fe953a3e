//! The networks of cloud services, as their providers publish them.
//!
//! Providers write JSON, each in a shape of its own: a list of objects with a network, a service and a region (AWS, Google), a
//! list of services with a list of networks each (Azure), lists under the names of services (GitHub), lists of regions with
//! networks and tags (Oracle). All have in common that a network is a text, and that its service and region are texts beside it or
//! around it. So nothing is known of shapes here: whatever text is a network is one, and it is of the services and
//! regions that the objects around it name, by a text or by a key.

use super::{FeedError, MAX_NETWORKS, Sink, WIDEST, Why, lines};
use crate::threats::Indicator;
use ipnet::IpNet;
use model::{CloudService, FeedFormat};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{self, BufRead};
use std::net::IpAddr;

/// The most bytes of a text that is a network.
const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128".len();

/// Reads a list, and gives the networks of a service to `sink`.
pub(super) fn read(
    from: &mut impl BufRead,
    service: &CloudService,
    sink: &mut Sink,
) -> Result<(), FeedError> {
    if !matches!(first(from)?, Some(b'{' | b'[')) {
        if !service.services.is_empty() || !service.regions.is_empty() {
            return Err(FeedError::Unnamed);
        }
        return lines::read(from, FeedFormat::Plain, sink);
    }
    let mut walk = Walk {
        service,
        found: Vec::new(),
        failed: None,
    };
    let mut json = serde_json::Deserializer::from_reader(from);
    let mut around = Named::default();
    let node = Node {
        walk: &mut walk,
        around: &mut around,
    };
    let read = node.deserialize(&mut json).and_then(|()| json.end());
    if let Some(failed) = walk.failed {
        return Err(failed);
    }
    read.map_err(FeedError::Json)?;
    walk.name(0, around);
    for (number, it) in (1..).zip(&walk.found) {
        if !it.named.service || !it.named.region {
            continue;
        }
        match it.net {
            IpNet::V4(net) if net.prefix_len() < WIDEST => {
                sink.skip(number, Why::TooWide(net.to_string()));
            }
            IpNet::V4(net) => sink.found(Indicator::Net(net.trunc()), None)?,
            IpNet::V6(net) => sink.skip(number, Why::Ipv6(net.to_string())),
        }
    }
    match sink.report.indicators {
        0 => Err(FeedError::NoNetwork),
        _ => Ok(()),
    }
}

/// The first byte that is no space, behind what some editors put before all.
fn first(from: &mut impl BufRead) -> io::Result<Option<u8>> {
    if from.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
        from.consume("\u{feff}".len());
    }
    loop {
        let available = from.fill_buf()?;
        let spaces = available.iter().take_while(|it| it.is_ascii_whitespace());
        let spaces = spaces.count();
        match available.get(spaces) {
            Some(&byte) => return Ok(Some(byte)),
            None if available.is_empty() => return Ok(None),
            None => from.consume(spaces),
        }
    }
}

/// Whether a service and a region that are wanted have been named.
#[derive(Clone, Copy, Default)]
struct Named {
    service: bool,
    region: bool,
}

impl Named {
    fn and(&mut self, other: Named) {
        self.service |= other.service;
        self.region |= other.region;
    }
}

struct Network {
    net: IpNet,
    named: Named,
}

struct Walk<'a> {
    service: &'a CloudService,
    found: Vec<Network>,
    failed: Option<FeedError>,
}

impl Walk<'_> {
    /// What a text or a key names. Azure writes service and region as one, too: `Storage.WestEurope`.
    fn says(&self, text: &str) -> Named {
        let is = |wanted: &String| wanted.eq_ignore_ascii_case(text);
        let before = text.split('.').next().unwrap_or(text);
        let begins = |wanted: &String| wanted.eq_ignore_ascii_case(before);
        let services = &self.service.services;
        Named {
            service: services.iter().any(|it| is(it) || begins(it)),
            region: self.service.regions.iter().any(is),
        }
    }

    /// What is said of the networks from one on.
    fn name(&mut self, from: usize, named: Named) {
        if named.service || named.region {
            let all = self.found[from..].iter_mut();
            all.for_each(|it| it.named.and(named));
        }
    }

    /// Takes a network; whether there is room for it.
    fn take(&mut self, net: IpNet) -> bool {
        if self.found.len() as u64 == MAX_NETWORKS {
            self.failed = Some(FeedError::TooManyNetworks);
            return false;
        }
        let named = Named {
            service: self.service.services.is_empty(),
            region: self.service.regions.is_empty(),
        };
        self.found.push(Network { net, named });
        true
    }
}

/// A text that is a network or an address.
fn network(text: &str) -> Option<IpNet> {
    if text.len() > LONGEST {
        return None;
    }
    let net = text.parse().ok();
    net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Something within an object, of which texts beside it say more.
struct Node<'a, 'b> {
    walk: &'a mut Walk<'b>,
    around: &'a mut Named,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("networks")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Some(net) = network(text) else {
            self.around.and(self.walk.says(text));
            return Ok(());
        };
        match self.walk.take(net) {
            true => Ok(()),
            false => Err(E::custom("no more is read")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let walk = self.walk;
        let (start, mut around) = (walk.found.len(), Named::default());
        while let Some(key) = map.next_key::<String>()? {
            let within = walk.found.len();
            map.next_value_seed(Node {
                walk: &mut *walk,
                around: &mut around,
            })?;
            let named = walk.says(&key);
            walk.name(within, named);
        }
        walk.name(start, around);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        // Texts in a list are said beside it.
        loop {
            let node = Node {
                walk: &mut *self.walk,
                around: &mut *self.around,
            };
            if seq.next_element_seed(node)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}
