//! What lists that are fetched again and again are for, and the tables that are made of them.

use crate::state::hash;
use ipnet::Ipv4Net;
use model::{BookContent, CloudService, Config, Id, ThreatFeed};
use policy::feed::{self, FeedError, Report};
use policy::{CloudServices, Indicator, Threats, World};
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// What a list is for: there is a table of each kind. Policies may allow by services, so that their table is built first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Cloud services.
    Services,
    /// Threats.
    Threats,
}

/// A list that is fetched again and again.
#[derive(Clone, Debug, PartialEq)]
pub enum List {
    /// The networks of a cloud service, for an address book.
    Service(Id, CloudService),
    /// Threat indicators.
    Threats(ThreatFeed),
}

impl List {
    /// The lists of a configuration.
    pub fn of(config: &Config) -> Vec<List> {
        let feeds = config.firewalls.feeds.iter().cloned().map(List::Threats);
        let books = config.firewalls.books.iter();
        let services = books.filter_map(|book| match &*book.content {
            BookContent::Cloud(service) => Some(List::Service(book.id.clone(), service.clone())),
            _ => None,
        });
        services.chain(feeds).collect()
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        match self {
            List::Service(..) => Kind::Services,
            List::Threats(_) => Kind::Threats,
        }
    }

    /// Its identifier: that of the address book, if it is for one.
    pub fn id(&self) -> &Id {
        match self {
            List::Service(book, _) => book,
            List::Threats(feed) => &feed.id,
        }
    }

    /// What no other list has.
    pub fn key(&self) -> (Kind, Id) {
        (self.kind(), self.id().clone())
    }

    /// A path or an address.
    pub fn location(&self) -> &str {
        match self {
            List::Service(_, service) => &service.location,
            List::Threats(feed) => &feed.location,
        }
    }

    /// How often it is fetched.
    pub fn refresh(&self) -> Duration {
        match self {
            List::Service(_, service) => service.refresh,
            List::Threats(feed) => feed.refresh,
        }
    }

    /// The name of the file that it is kept in.
    pub fn file(&self) -> String {
        // An identifier may have a `/` in it.
        match self {
            List::Service(book, _) => format!("{}.cloud", hash(book)),
            List::Threats(feed) => hash(&feed.id),
        }
    }

    /// Whether what is kept of this one is what the other has.
    pub fn is_same_content(&self, other: &List) -> bool {
        let same = match (self, other) {
            (List::Threats(a), List::Threats(b)) => a.format == b.format,
            // What is wanted of it is looked for in what is kept.
            _ => self.kind() == other.kind(),
        };
        same && self.location() == other.location()
    }

    /// Reads it, to see whether it can be read; at a time in seconds since 1970.
    ///
    /// # Errors
    /// If it cannot.
    pub fn look(&self, content: &[u8], now: u64) -> Result<Report, FeedError> {
        match self {
            List::Service(_, service) => feed::read_networks(content, service, &mut |_| ()),
            List::Threats(feed) => feed::read(content, feed.format, now, &mut |_, _| ()),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            List::Service(book, _) => write!(f, "the cloud service of the address book {book}"),
            List::Threats(feed) => write!(f, "the threat list {}", feed.id),
        }
    }
}

/// What is in the lists of a kind.
pub enum Table {
    /// Networks by address book.
    Services(Vec<(Id, Vec<Ipv4Net>)>),
    /// Indicators with their categories.
    Threats(Vec<(Indicator, Arc<str>)>),
}

impl Kind {
    /// What is known without any list.
    pub fn table(self) -> Table {
        match self {
            Kind::Services => Table::Services(Vec::new()),
            Kind::Threats => {
                let builtin = policy::test_indicators();
                Table::Threats(builtin.map(|(it, of)| (it, of.into())).collect())
            }
        }
    }
}

impl Table {
    /// Adds what is in a list of its kind and valid at this time; nothing if it cannot be read to its end.
    ///
    /// # Errors
    /// If it cannot.
    pub fn add(&mut self, list: &List, from: impl Read, now: u64) -> Result<Report, FeedError> {
        match (self, list) {
            (Table::Services(all), List::Service(book, service)) => {
                let mut networks = Vec::new();
                let read = feed::read_networks(from, service, &mut |it| networks.push(it))?;
                all.push((book.clone(), networks));
                Ok(read)
            }
            (Table::Threats(all), List::Threats(feed)) => {
                let category: Arc<str> = feed.category.as_str().into();
                let before = all.len();
                let read = feed::read(from, feed.format, now, &mut |it, of| {
                    all.push((it, of.map_or_else(|| Arc::clone(&category), Arc::from)));
                });
                if read.is_err() {
                    all.truncate(before);
                }
                read
            }
            _ => Ok(Report::default()),
        }
    }

    /// Has a world know it instead of what it knew of its kind.
    pub fn tell(self) -> impl FnOnce(&mut World) {
        // Made before the world is held.
        let (mut services, mut threats) = (None, None);
        match self {
            Table::Services(all) => services = Some(Arc::new(CloudServices::new(all))),
            Table::Threats(all) => threats = Some(Arc::new(Threats::new(all))),
        }
        move |world| {
            world.services = services.unwrap_or_else(|| Arc::clone(&world.services));
            world.threats = threats.unwrap_or_else(|| Arc::clone(&world.threats));
        }
    }
}
