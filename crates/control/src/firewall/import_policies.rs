//! What a configuration file says of policies and address books.

use super::books::AddressBook;
use super::policies::FiledPolicy;
use super::settings::ThreatFeed;
use crate::draft::Draft;
use hashbrown::{HashMap, HashSet};
use model::{BookContent, Config, Detail, FirewallSettings, Id, Kind, PolicyScope};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Draft {
    pub(super) fn import_policies(&mut self, config: &Config) {
        let firewalls = &config.firewalls;
        let border = &firewalls.border;
        let named =
            border.settings != FirewallSettings::default() || !border.strict_eips.is_empty();
        self.change_shared(|had| {
            if named || had.border_of_file {
                had.border = border.settings.clone();
                had.strict_eips = border.strict_eips.clone();
            }
            had.border_of_file = named;
            let named = firewalls.dns != model::DnsFirewall::default();
            if named || had.dns_of_file {
                had.dns_refusal = firewalls.dns.refusal;
                had.dns_default = firewalls.dns.default_action;
            }
            had.dns_of_file = named;
        });
        for scope in self.scopes(config) {
            self.import_list(&scope, config);
        }
        self.import_books(config);
        self.import_feeds(config);
    }

    /// The firewalls that have policies, or that the file gives some.
    fn scopes(&self, config: &Config) -> Vec<PolicyScope> {
        let had = self.policies.lists().map(|it| it.scope());
        let lists = config.firewalls.policies.iter();
        let all: HashSet<&PolicyScope> = had.chain(lists.map(|it| &it.scope)).collect();
        all.into_iter().cloned().collect()
    }

    /// Those of the file in its order, and behind them those that were made otherwise.
    fn import_list(&mut self, scope: &PolicyScope, config: &Config) {
        let lists = &config.firewalls.policies;
        let list = lists.iter().find(|it| it.scope == *scope);
        let had = self.policies_of(scope);
        let by_id: HashMap<&str, &FiledPolicy> =
            had.iter().map(|it| (&*it.policy.id, *it)).collect();
        let named = list.map_or(&[][..], |it| &it.policies);
        let filed = named.iter().map(|policy| match by_id.get(&*policy.id) {
            Some(had) if had.policy == *policy => FiledPolicy {
                of_file: true,
                ..(*had).clone()
            },
            had => FiledPolicy {
                policy: Arc::clone(policy),
                created: had.map_or(self.now, |it| it.created),
                modified: had.map_or(0, |_| self.now),
                of_file: true,
            },
        });
        let mut policies: Vec<FiledPolicy> = filed.collect();
        if had.iter().any(|it| !it.of_file) {
            let named: HashSet<&str> = named.iter().map(|it| &*it.id).collect();
            let others = had.into_iter();
            let others = others.filter(|it| !it.of_file && !named.contains(&*it.policy.id));
            policies.extend(others.cloned());
        }
        drop(by_id);
        self.policies.set(scope, policies);
    }

    fn import_books(&mut self, config: &Config) {
        let books = &config.firewalls.books;
        let kept: HashSet<&str> = books.iter().map(|it| &*it.id).collect();
        let gone = self.books.iter();
        // Those of cloud services nobody else can delete.
        let gone =
            gone.filter(|it| (it.meta.of_file || it.is_of_cloud()) && !kept.contains(&*it.id));
        let gone: Vec<Id> = gone.map(|it| it.id.clone()).collect();
        let used: HashSet<Id> = match gone.is_empty() {
            true => HashSet::new(),
            false => self.users_of_books().into_keys().map(Id::from).collect(),
        };
        for id in gone {
            match self.books.get_mut(&id) {
                // What policies of the API use stays, and is not the file's any more.
                Some(book) if used.contains(&id) => book.meta.of_file = false,
                _ => drop(self.books.remove(&id)),
            }
        }
        for book in books {
            let had = self.books.get(&book.id);
            let says = config.details.of(Kind::AddressBook, &book.id);
            let mut meta = self.filed(had.map(|it| &it.meta), says);
            meta.name.clone_from(&book.name);
            let record = match had {
                // The file says what was in it at some time: it goes on following its tags, or assets.
                Some(had) if had.is_following() && is_tagged(&book.content) => AddressBook {
                    meta,
                    ..had.clone()
                },
                Some(had) if *had.content == *book.content => AddressBook {
                    meta,
                    tags: None,
                    assets: None,
                    ..had.clone()
                },
                had => AddressBook {
                    id: book.id.clone(),
                    meta,
                    content: Arc::clone(&book.content),
                    notes: BTreeMap::new(),
                    tags: None,
                    assets: None,
                    modified: had.map_or(0, |_| self.now),
                },
            };
            if self.books.get(&record.id) != Some(&record) {
                self.books.put(record);
            }
        }
    }

    fn import_feeds(&mut self, config: &Config) {
        let feeds = &config.firewalls.feeds;
        let kept: HashSet<&str> = feeds.iter().map(|it| &*it.id).collect();
        let gone = self.feeds.iter();
        let gone = gone.filter(|it| it.meta.of_file && !kept.contains(&*it.id));
        let gone: Vec<Id> = gone.map(|it| it.id.clone()).collect();
        gone.iter().for_each(|it| drop(self.feeds.remove(it)));
        for feed in feeds {
            let had = self.feeds.get(&feed.id);
            let record = ThreatFeed {
                id: feed.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), &Detail::default()),
                location: feed.location.clone(),
                category: feed.category.clone(),
                format: feed.format,
                refresh: feed.refresh,
            };
            self.feeds.put(record);
        }
    }

    /// Lets go of what policies and settings name and is not there.
    pub(super) fn let_go_of_policies(&mut self) {
        let gone = self.policies.lists().map(|it| it.scope().clone());
        let gone = gone.filter(|scope| match scope {
            PolicyScope::NatGateway(id) => !self.nat_gateways.contains(id),
            _ => false,
        });
        let gone: Vec<PolicyScope> = gone.collect();
        gone.iter().for_each(|it| self.policies.clear(it));
        let eips = self.eips.clone();
        self.change_shared(|it| it.strict_eips.retain(|it| eips.contains(it)));
    }
}

fn is_tagged(content: &BookContent) -> bool {
    matches!(content, BookContent::Tag(_))
}
