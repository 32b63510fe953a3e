//! Lists of threat indicators, and of the networks of cloud services: fetched on their schedule, kept on disk, told as one
//! table of each kind.
//!
//! What was fetched and can be read is put into a file of the state directory, and from there the table is built. So a
//! list that cannot be had, or has become nonsense, leaves the last good one in force, also after a restart; and
//! only the tables are in memory.
//!
//! Reading a list and building a table may take seconds. Nobody waits for that: it is done on copies of what is to be
//! done ([`prepare`], [`Plan`]), and only its outcome is taken in.

use super::lists::{Kind, List, Table};
use policy::feed;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tempfile::NamedTempFile;

/// The largest list in bytes.
const MAX_SIZE: u64 = 256 << 20;
/// How long fetching a list may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait after a failure, if the list is not fetched more often.
const RETRY: Duration = Duration::from_secs(60);

/// A list, and what became of it.
#[derive(Clone, Debug)]
pub struct Feed {
    /// What the configuration says.
    pub list: List,
    /// Its indicators or networks that are in force.
    pub indicators: u64,
    /// Its lines that could not be read.
    pub skipped: u64,
    /// When the one in force was fetched.
    pub at: Option<SystemTime>,
    /// Why it was not fetched the last time, if it was not.
    pub error: Option<String>,
    /// When something in it begins or ceases to be valid, in seconds since 1970.
    changes: Option<u64>,
    /// When it is fetched next; `None`: at once.
    due: Option<Instant>,
}

/// All lists of a gateway.
pub struct Feeds {
    directory: PathBuf,
    feeds: BTreeMap<(Kind, String), Feed>,
    /// Which tables are not what the files are.
    stale: BTreeSet<Kind>,
    /// Whether a table is being built.
    building: bool,
    /// Whether there may be files of lists that are wanted no more. Before it is known which are, none is removed.
    untidy: bool,
}

/// A list that was fetched and can be read.
pub enum Prepared {
    /// It is the one that is kept.
    Same,
    /// It is another, in a file beside that.
    New(NamedTempFile),
}

/// What a table is built of: lists with their files.
pub struct Plan(Kind, Vec<(List, PathBuf)>);

/// What became of a list while a table was built; `None` if there is no file of it.
pub struct Outcome(
    List,
    Option<Result<(feed::Report, Option<SystemTime>), String>>,
);

impl Feeds {
    /// With files in a directory, which is made when it is needed.
    pub fn new(directory: PathBuf) -> Feeds {
        Feeds {
            directory,
            feeds: BTreeMap::new(),
            // There are threats that are built in.
            stale: [Kind::Threats].into(),
            building: false,
            untidy: false,
        }
    }

    /// Goes on with these lists; whether they are others than before.
    pub fn keep(&mut self, wanted: &[List]) -> bool {
        self.untidy = true;
        let mut stale = BTreeSet::new();
        let keys: BTreeSet<_> = wanted.iter().map(List::key).collect();
        self.feeds.retain(|key, _| {
            let kept = keys.contains(key);
            if !kept {
                stale.insert(key.0);
            }
            kept
        });
        for list in wanted {
            match self.feeds.get(&list.key()) {
                Some(known) if known.list == *list => continue,
                // What is in the file was read as something else, or somewhere else.
                Some(known) if !known.list.is_same_content(list) => self.forget(list),
                _ => {}
            }
            stale.insert(list.kind());
            let new = Feed {
                list: list.clone(),
                indicators: 0,
                skipped: 0,
                at: None,
                error: None,
                changes: None,
                due: None,
            };
            self.feeds.insert(list.key(), new);
        }
        let changed = !stale.is_empty();
        self.stale.append(&mut stale);
        changed
    }

    fn forget(&self, list: &List) {
        // If it is not there, there is nothing to forget.
        let _ = fs::remove_file(self.path(list));
    }

    /// The lists and what became of them.
    pub fn all(&self) -> Vec<Feed> {
        self.feeds.values().cloned().collect()
    }

    /// Fetches a list at once, or all, and with it the others that are in the same place; how many these are.
    pub fn refresh(&mut self, id: Option<&str>) -> usize {
        let wanted = |feed: &&Feed| id.is_none_or(|id| id == feed.list.id());
        let wanted = self.feeds.values().filter(wanted);
        let places: BTreeSet<String> = wanted.map(|it| it.list.location().to_owned()).collect();
        let feeds = self.feeds.values_mut();
        let feeds = feeds.filter(|it| places.contains(it.list.location()));
        feeds.map(|feed| feed.due = None).count()
    }

    /// Whether something is still to be fetched or built.
    pub fn busy(&self) -> bool {
        !self.stale.is_empty() || self.building || !self.due().is_empty()
    }

    /// Lists that have to be fetched now, and are in one place: to fetch once does for all of them.
    pub fn due(&self) -> Vec<List> {
        let now = Instant::now();
        let due = self
            .feeds
            .values()
            .filter(|it| it.due.is_none_or(|due| due <= now));
        let mut lists: Vec<List> = due.map(|it| it.list.clone()).collect();
        if let Some(place) = lists.first().map(|it| it.location().to_owned()) {
            lists.retain(|it| it.location() == place);
        }
        lists
    }

    /// How long until the next one has to be.
    pub fn idle(&self) -> Option<Duration> {
        let now = Instant::now();
        let due = self.feeds.values().map(|it| it.due.unwrap_or(now));
        due.min().map(|it| it.saturating_duration_since(now))
    }

    /// Where lists are kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes in what became of fetching a list, at a time in seconds since 1970.
    pub fn fetched(&mut self, list: &List, result: Result<Prepared, String>, now: u64) {
        // It may be another one meanwhile.
        let known = self.feeds.get(&list.key());
        if known.is_none_or(|it| it.list != *list) {
            return;
        }
        let result = result.and_then(|it| {
            let kept = self.write(list, it);
            kept.map_err(|error| not_kept(&self.directory, &error))
        });
        let Some(known) = self.feeds.get_mut(&list.key()) else {
            return;
        };
        // Also of one that is as before something may be valid now that was not, or the other way.
        let mut stale = known.changes.is_some_and(|at| at <= now);
        match result {
            Ok(changed) => {
                known.error = None;
                known.due = Some(Instant::now() + list.refresh());
                known.at = Some(SystemTime::now());
                stale |= changed;
            }
            Err(error) => {
                tracing::warn!("{list} stays as it is: {}: {error}", list.location());
                known.error = Some(error);
                known.due = Some(Instant::now() + RETRY.min(list.refresh()));
            }
        }
        if stale {
            self.stale.insert(list.kind());
        }
    }

    /// Puts a list into its file; whether it is another than before.
    fn write(&self, list: &List, prepared: Prepared) -> io::Result<bool> {
        let path = self.path(list);
        match prepared {
            // Its age is told by the file.
            Prepared::Same => File::open(&path)?
                .set_modified(SystemTime::now())
                .map(|()| false),
            Prepared::New(file) => Ok(file.persist(path).map(|_| true)?),
        }
    }

    fn path(&self, list: &List) -> PathBuf {
        self.directory.join(list.file())
    }

    /// What a table of all lists of a kind is to be built of, if it is another than before. Its outcome is to be
    /// [taken in](Feeds::built).
    pub fn plan(&mut self) -> Option<Plan> {
        let kind = self.stale.pop_first()?;
        if std::mem::take(&mut self.untidy) {
            self.tidy();
        }
        self.building = true;
        let lists = self.feeds.values().map(|it| &it.list);
        let lists = lists.filter(|it| it.kind() == kind);
        let lists = lists.map(|it| (it.clone(), self.path(it)));
        Some(Plan(kind, lists.collect()))
    }

    /// Takes in what became of lists while a table was built.
    pub fn built(&mut self, outcomes: Vec<Outcome>) {
        self.building = false;
        for Outcome(list, read) in outcomes {
            let known = self.feeds.get_mut(&list.key());
            let Some(known) = known.filter(|it| it.list == list) else {
                continue;
            };
            match read {
                None => {}
                Some(Ok((report, at))) => {
                    known.indicators = report.indicators;
                    known.skipped = report.skipped;
                    known.changes = report.changes;
                    known.at = at;
                }
                // It was read to its end once: the disk fails, or something else in it is wanted now.
                Some(Err(error)) => known.error = Some(error),
            }
        }
    }

    /// Removes the files of lists that there are no more.
    fn tidy(&self) {
        let wanted: Vec<PathBuf> = self.feeds.values().map(|it| self.path(&it.list)).collect();
        for entry in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            if !wanted.contains(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Plan {
    /// Builds the table of what is valid at this time, in seconds since 1970.
    pub fn build(self, now: u64) -> (Table, Vec<Outcome>) {
        let mut table = self.0.table();
        let mut outcomes = Vec::with_capacity(self.1.len());
        for (list, path) in self.1 {
            let Ok(file) = File::open(&path) else {
                outcomes.push(Outcome(list, None));
                continue;
            };
            let at = file.metadata().and_then(|it| it.modified());
            let read = table.add(&list, BufReader::new(file), now);
            let read = read.map(|report| (report, at.ok()));
            outcomes.push(Outcome(list, Some(read.map_err(|it| it.to_string()))));
        }
        (table, outcomes)
    }
}

/// Reads a list that was fetched, and puts it beside the one that is kept in a directory.
///
/// # Errors
/// If it cannot be read, or there is nothing but nonsense in it.
pub fn prepare(
    directory: &Path,
    list: &List,
    content: &[u8],
    now: u64,
) -> Result<Prepared, String> {
    let report = list.look(content, now).map_err(|error| error.to_string())?;
    if let (0, Some(first)) = (report.indicators, report.first_skipped.first()) {
        let (line, why) = (first.line, &first.why);
        return Err(format!("there is nothing in it; line {line}: {why}"));
    }
    let write = || {
        let kept = fs::read(directory.join(list.file()));
        if kept.is_ok_and(|before| before == content) {
            return Ok(Prepared::Same);
        }
        fs::create_dir_all(directory)?;
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(content)?;
        Ok(Prepared::New(file))
    };
    write().map_err(|error: io::Error| not_kept(directory, &error))
}

fn not_kept(directory: &Path, error: &io::Error) -> String {
    format!("it cannot be kept in {}: {error}", directory.display())
}

/// Fetches a list from a file or the network.
///
/// # Errors
/// If it cannot be had, or is larger than 256 MiB.
pub fn fetch(location: &str) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let size = match location.split_once("://") {
        Some(("http" | "https", _)) => {
            let agent = ureq::Agent::config_builder()
                .timeout_global(Some(PATIENCE))
                .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
                .build()
                .new_agent();
            let answer = agent.get(location).call();
            let mut answer = answer.map_err(|error| error.to_string())?;
            let body = answer.body_mut().as_reader();
            body.take(MAX_SIZE + 1).read_to_end(&mut content)
        }
        _ => {
            let path = Path::new(location.strip_prefix("file://").unwrap_or(location));
            let file = File::open(path);
            file.and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut content))
        }
    };
    let size = size.map_err(|error| error.to_string())?;
    match size as u64 > MAX_SIZE {
        true => Err(format!("it is larger than {} MiB", MAX_SIZE >> 20)),
        false => Ok(content),
    }
}

#[cfg(test)]
mod tests;
