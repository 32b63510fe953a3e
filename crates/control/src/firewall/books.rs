//! Address books.

use super::policies::shared;
use super::policy::capitalised;
use crate::cloud::{Cloud, found};
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::{Eip, EipBinding, Eni, Instance, Meta, Seconds, record};
use crate::refusal::{Refusal, Result};
use crate::table::Record;
use model::{BookContent, Id};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// An address book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressBook {
    /// Identifier.
    pub id: Id,
    /// Name and the like.
    #[serde(default)]
    pub meta: Meta,
    /// What is in it. Of a book that follows tags or assets [`Cloud::content`] tells.
    #[serde(with = "shared")]
    pub content: Arc<BookContent>,
    /// Notes on entries, by their texts.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
    /// The tags that it follows.
    #[serde(default)]
    pub tags: Option<TagRule>,
    /// The EIPs that it follows.
    #[serde(default)]
    pub assets: Option<AssetRule>,
    /// When it was changed last; 0: never.
    #[serde(default)]
    pub modified: Seconds,
}
record!(AddressBook, "address-book");

/// Which instances are in a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRule {
    /// Tags: key and value; an empty value is any.
    pub tags: Vec<(String, String)>,
    /// Whether instances have all of them, or one of them.
    pub all: bool,
    /// Whether instances that get the tags later are in it, too.
    pub auto: bool,
    /// The instances that had the tags when the book was changed last: those that are in it if it is not `auto`.
    pub members: Vec<Id>,
}

/// Which EIPs are in a book, as they are now: those of certain kinds, by region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetRule(pub Vec<(String, Vec<AssetKind>)>);

/// What an EIP is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssetKind {
    /// Nothing.
    Eip,
    /// An instance.
    Ecs,
    /// A network interface.
    Eni,
    /// A NAT gateway.
    Nat,
}

impl AssetKind {
    /// All of them.
    pub const ALL: [AssetKind; 4] = [
        AssetKind::Eip,
        AssetKind::Ecs,
        AssetKind::Eni,
        AssetKind::Nat,
    ];

    /// That of an EIP.
    pub fn of(eip: &Eip) -> AssetKind {
        match &eip.binding {
            None => AssetKind::Eip,
            Some(EipBinding::Instance(_)) => AssetKind::Ecs,
            Some(EipBinding::Eni(_)) => AssetKind::Eni,
            Some(EipBinding::NatGateway(_)) => AssetKind::Nat,
        }
    }

    /// The cloud's word for it.
    pub fn name(self) -> &'static str {
        match self {
            AssetKind::Eip => "EIP",
            AssetKind::Ecs => "EcsEIP",
            AssetKind::Eni => "EniEIP",
            AssetKind::Nat => "NatEIP",
        }
    }
}

/// What a book follows, instead of having a list of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follows {
    /// The instances with certain tags.
    Tags(TagRule),
    /// EIPs of certain kinds.
    Assets(AssetRule),
}

/// What is to be another of a book; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct BookChange {
    /// Its name.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What is in it.
    pub content: Option<(BookContent, BTreeMap<String, String>)>,
    /// What it follows.
    pub follows: Option<Follows>,
}

impl AddressBook {
    /// Whether it has no list of its own.
    pub fn is_following(&self) -> bool {
        self.tags.is_some() || self.assets.is_some()
    }

    /// Whether it is of a cloud service: the operator's, who alone says which there are.
    pub fn is_of_cloud(&self) -> bool {
        matches!(*self.content, BookContent::Cloud(_))
    }

    /// Whether it holds ports.
    pub fn is_of_ports(&self) -> bool {
        matches!(*self.content, BookContent::Port(_))
    }

    /// How many entries it has; tags and kinds of assets count.
    pub fn entries(&self) -> usize {
        match (&self.tags, &self.assets) {
            (Some(rule), _) => rule.tags.len(),
            (_, Some(rule)) => rule.0.iter().map(|(_, kinds)| kinds.len()).sum(),
            _ => self.content.len(),
        }
    }
}

impl Draft {
    /// Makes an address book.
    ///
    /// # Errors
    /// If the name is taken, it holds too much, or there are too many.
    pub fn create_book(
        &mut self,
        meta: Meta,
        content: BookContent,
        notes: BTreeMap<String, String>,
        follows: Option<Follows>,
    ) -> Result<Id> {
        self.free_name(&meta.name, None)?;
        self.room_for(Quota::AddressBooks, "There are", self.books.len())?;
        let mut book = AddressBook {
            id: self.new_uuid()?,
            meta,
            content: Arc::new(content),
            notes,
            tags: None,
            assets: None,
            modified: 0,
        };
        self.have_follow(&mut book, follows);
        self.check_book(&book)?;
        let id = book.id.clone();
        self.books.put(book);
        Ok(id)
    }

    /// Changes an address book; all policies that use it follow.
    ///
    /// # Errors
    /// If it does not exist, is of a cloud service, the name is taken, or it would hold too much.
    pub fn modify_book(&mut self, id: &str, change: BookChange) -> Result<()> {
        let mut book = self.book_to_change(id)?.clone();
        if let Some(name) = change.name {
            self.free_name(&name, Some(id))?;
            book.meta.name = name;
        }
        book.meta.description = change.description.unwrap_or(book.meta.description);
        if let Some((content, notes)) = change.content {
            book.content = Arc::new(content);
            book.notes = notes;
        }
        self.have_follow(&mut book, change.follows);
        book.modified = self.now;
        self.check_book(&book)?;
        self.books.put(book);
        Ok(())
    }

    /// Deletes an address book.
    ///
    /// # Errors
    /// If it does not exist, is of a cloud service, or policies use it.
    pub fn delete_book(&mut self, id: &str) -> Result<()> {
        let book = self.book_to_change(id)?;
        let users = self.users_of_books();
        if let Some(count) = users.get(id) {
            let why = format!(
                "{count} policies use the address book {:?}: change or delete them first.",
                book.meta.name
            );
            return Err(Refusal::bad("ErrorAddressBookReferenced", why));
        }
        self.books.remove(id);
        Ok(())
    }

    /// The book with a name. Those of threat intelligence come into being when they are named first.
    ///
    /// # Errors
    /// `ErrorAddressBookNotExist`.
    pub fn book_to_use(&mut self, name: &str) -> Result<Id> {
        let known = policy::CATEGORIES.iter().find(|it| it.id == name);
        if let (Err(_), Some(category)) = (self.book_named(name), known) {
            let meta = self.meta(category.id, category.description);
            self.books.put(threat_book(category.id, meta));
        }
        self.book_named(name).map(|it| it.id.clone())
    }

    /// A book that may be changed: it is not of a cloud service.
    ///
    /// # Errors
    /// If it does not exist, or is of a cloud service.
    pub fn book_to_change(&self, id: &str) -> Result<&AddressBook> {
        let book = self.address_book(id)?;
        if !book.is_of_cloud() {
            return Ok(book);
        }
        let why = format!(
            "The address book {:?} is of a cloud service: only the operator's configuration changes it.",
            book.meta.name
        );
        Err(Refusal::bad("InvalidParameter", why))
    }

    fn have_follow(&self, book: &mut AddressBook, follows: Option<Follows>) {
        match follows {
            None => {}
            Some(Follows::Tags(rule)) => book.tags = Some(self.with_members(rule)),
            Some(Follows::Assets(rule)) => book.assets = Some(rule),
        }
    }

    fn with_members(&self, rule: TagRule) -> TagRule {
        let members = self.instances.iter().filter(|it| rule.matches(it));
        let members = members.map(|it| it.id.clone()).collect();
        TagRule { members, ..rule }
    }

    fn free_name(&self, name: &str, own: Option<&str>) -> Result<()> {
        let taken = |it: &AddressBook| it.meta.name == name && Some(&*it.id) != own;
        if self.books.find(taken).is_none() {
            return Ok(());
        }
        let why = format!("There is another address book {name:?}.");
        Err(Refusal::bad("ErrorAddressBookNameExist", why))
    }

    fn check_book(&self, book: &AddressBook) -> Result<()> {
        if let Some(fault) = book.content.fault() {
            let why = capitalised(&fault.to_string());
            return Err(Refusal::bad("ErrorParametersAddressList", why));
        }
        let quota = match book.is_of_ports() {
            true => Quota::BookPorts,
            false => Quota::BookEntries,
        };
        let many = book.entries();
        if many > self.limit(quota) as usize {
            let whose = format!("The address book {:?} would have", book.meta.name);
            self.room_for(quota, &whose, many)?;
        }
        Ok(())
    }
}

impl TagRule {
    fn matches(&self, instance: &Instance) -> bool {
        let tags = &instance.meta.tags;
        let has = |(key, value): &(String, String)| {
            let had = tags.get(key);
            had.is_some_and(|had| value.is_empty() || had == value)
        };
        match self.all {
            true => !self.tags.is_empty() && self.tags.iter().all(has),
            false => self.tags.iter().any(has),
        }
    }
}

/// A book of threat intelligence.
pub(super) fn threat_book(category: &str, meta: Meta) -> AddressBook {
    AddressBook {
        id: category.into(),
        meta,
        content: Arc::new(BookContent::Threat(category.into())),
        notes: BTreeMap::new(),
        tags: None,
        assets: None,
        modified: 0,
    }
}

impl Cloud {
    /// An address book.
    ///
    /// # Errors
    /// `ErrorAddressBookNotExist`.
    pub fn address_book(&self, id: &str) -> Result<&AddressBook> {
        found(&self.books, id, "address book", "ErrorAddressBookNotExist")
    }

    /// The address book with a name; an identifier is taken for one, too.
    ///
    /// # Errors
    /// `ErrorAddressBookNotExist`.
    pub fn book_named(&self, name: &str) -> Result<&AddressBook> {
        let named = self.books.find(|it| it.meta.name == name);
        named.map_or_else(|| self.address_book(name), Ok)
    }

    /// What is in a book now.
    pub fn content(&self, book: &AddressBook) -> Arc<BookContent> {
        match (&book.tags, &book.assets) {
            (Some(rule), _) => Arc::new(BookContent::Tag(self.tagged(rule))),
            (_, Some(rule)) => Arc::new(BookContent::Tag(self.assets(rule))),
            _ => Arc::clone(&book.content),
        }
    }

    /// How many entries are in a book now.
    pub fn addresses_in(&self, book: &AddressBook) -> usize {
        match book.is_following() {
            false => book.content.len(),
            true => self.content(book).len(),
        }
    }

    /// The EIPs of certain kinds, in their order.
    fn assets(&self, rule: &AssetRule) -> Vec<Ipv4Addr> {
        let is_meant = |eip: &&Eip| {
            let kind = AssetKind::of(eip);
            rule.0.iter().any(|(region, kinds)| {
                kinds.contains(&kind) && (eip.region.is_empty() || eip.region == *region)
            })
        };
        let eips = self.eips.iter().filter(is_meant);
        let addresses: BTreeSet<Ipv4Addr> = eips.map(|it| it.address).collect();
        addresses.into_iter().collect()
    }

    /// The addresses of the instances with certain tags, in their order.
    fn tagged(&self, rule: &TagRule) -> Vec<Ipv4Addr> {
        let members: BTreeSet<&str> = match rule.auto {
            true => {
                let members = self.instances.iter().filter(|it| rule.matches(it));
                members.map(|it| &*it.id).collect()
            }
            false => rule.members.iter().map(|it| &**it).collect(),
        };
        if members.is_empty() {
            return Vec::new();
        }
        let of_member = |eni: &&Eni| {
            let instance = eni.instance.as_deref();
            instance.is_some_and(|it| members.contains(it))
        };
        let enis = self.enis.iter().filter(of_member);
        let addresses = enis.flat_map(|it| [it.address].into_iter().chain(it.secondary.clone()));
        let addresses: BTreeSet<Ipv4Addr> = addresses.collect();
        addresses.into_iter().collect()
    }

    /// How many policies use each book that any uses.
    pub fn users_of_books(&self) -> BTreeMap<&str, usize> {
        let mut users = BTreeMap::new();
        for list in self.policies.lists() {
            for policy in list.policies().iter() {
                for (_, id) in policy.books().into_iter().flatten() {
                    *users.entry(&**id).or_default() += 1;
                }
            }
        }
        users
    }
}
