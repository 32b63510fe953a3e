//! Lists of threat indicators: fetched on their schedule, kept on disk, told as one table.
//!
//! What was fetched and can be read is put into a file of the state directory, and from there the table is built. So a
//! list that cannot be had, or has become nonsense, leaves the last good one in force, also after a restart; and
//! only the table is in memory.
//!
//! Reading a list and building the table may take seconds. Nobody waits for that: it is done on copies of what is to be
//! done ([`prepare`], [`Plan`]), and only its outcome is taken in.

use crate::state::hash;
use model::ThreatFeed;
use policy::{Threats, feed};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    pub feed: ThreatFeed,
    /// Its indicators that are in force.
    pub indicators: u64,
    /// Its lines that could not be read.
    pub skipped: u64,
    /// When the one in force was fetched.
    pub at: Option<SystemTime>,
    /// Why it was not fetched the last time, if it was not.
    pub error: Option<String>,
    /// When it is fetched next; `None`: at once.
    due: Option<Instant>,
}

/// All lists of a gateway.
pub struct Feeds {
    directory: PathBuf,
    feeds: BTreeMap<String, Feed>,
    /// Whether the table is not what the files are.
    stale: bool,
    /// Whether a table is being built.
    building: bool,
}

/// A list that was fetched and can be read.
pub enum Prepared {
    /// It is the one that is kept.
    Same,
    /// It is another, in a file beside that.
    New(NamedTempFile),
}

/// What a table is built of: lists with their files.
pub struct Plan(Vec<(ThreatFeed, PathBuf)>);

/// What became of a list while a table was built; `None` if there is no file of it.
pub struct Outcome(
    ThreatFeed,
    Option<Result<(feed::Report, Option<SystemTime>), String>>,
);

impl Feeds {
    /// With files in a directory, which is made when it is needed.
    pub fn new(directory: PathBuf) -> Feeds {
        Feeds {
            directory,
            feeds: BTreeMap::new(),
            // The lists that are built in.
            stale: true,
            building: false,
        }
    }

    /// Goes on with these lists; whether they are others than before.
    pub fn keep(&mut self, wanted: &[ThreatFeed]) -> bool {
        let before = self.feeds.len();
        let ids = |id: &String| wanted.iter().any(|it| it.id == *id);
        self.feeds.retain(|id, _| ids(id));
        let mut changed = self.feeds.len() < before;
        for feed in wanted {
            match self.feeds.get(&feed.id) {
                Some(known) if known.feed == *feed => continue,
                // What is in the file was read as something else, or somewhere else.
                Some(known) if differs(&known.feed, feed) => self.forget(feed),
                _ => {}
            }
            changed = true;
            let new = Feed {
                feed: feed.clone(),
                indicators: 0,
                skipped: 0,
                at: None,
                error: None,
                due: None,
            };
            self.feeds.insert(feed.id.clone(), new);
        }
        self.stale |= changed;
        changed
    }

    fn forget(&self, feed: &ThreatFeed) {
        // If it is not there, there is nothing to forget.
        let _ = fs::remove_file(self.path(feed));
    }

    /// The lists and what became of them.
    pub fn all(&self) -> Vec<Feed> {
        self.feeds.values().cloned().collect()
    }

    /// Fetches a list at once, or all; how many these are.
    pub fn refresh(&mut self, id: Option<&str>) -> usize {
        let wanted = |feed: &&mut Feed| id.is_none_or(|id| id == feed.feed.id);
        let feeds = self.feeds.values_mut().filter(wanted);
        feeds.map(|feed| feed.due = None).count()
    }

    /// Whether something is still to be fetched or built.
    pub fn busy(&self) -> bool {
        self.stale || self.building || self.due().is_some()
    }

    /// A list that has to be fetched now.
    pub fn due(&self) -> Option<ThreatFeed> {
        let now = Instant::now();
        let due = |it: &&Feed| it.due.is_none_or(|due| due <= now);
        self.feeds.values().find(due).map(|it| it.feed.clone())
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

    /// Takes in what became of fetching a list.
    pub fn fetched(&mut self, feed: &ThreatFeed, result: Result<Prepared, String>) {
        // It may be another one meanwhile.
        if self.feeds.get(&feed.id).is_none_or(|it| it.feed != *feed) {
            return;
        }
        let result = result.and_then(|it| {
            let kept = self.write(feed, it);
            kept.map_err(|error| not_kept(&self.directory, &error))
        });
        let Some(known) = self.feeds.get_mut(&feed.id) else {
            return;
        };
        match result {
            Ok(changed) => {
                known.error = None;
                known.due = Some(Instant::now() + feed.refresh);
                known.at = Some(SystemTime::now());
                self.stale |= changed;
            }
            Err(error) => {
                let (id, place) = (&feed.id, &feed.location);
                tracing::warn!("the threat list {id} stays as it is: {place}: {error}");
                known.error = Some(error);
                known.due = Some(Instant::now() + RETRY.min(feed.refresh));
            }
        }
    }

    /// Puts a list into its file; whether it is another than before.
    fn write(&self, feed: &ThreatFeed, prepared: Prepared) -> io::Result<bool> {
        let path = self.path(feed);
        match prepared {
            // Its age is told by the file.
            Prepared::Same => File::open(&path)?
                .set_modified(SystemTime::now())
                .map(|()| false),
            Prepared::New(file) => Ok(file.persist(path).map(|_| true)?),
        }
    }

    fn path(&self, feed: &ThreatFeed) -> PathBuf {
        file_of(&self.directory, feed)
    }

    /// What a table of all lists is to be built of, if it is another than before. Its outcome is to be
    /// [taken in](Feeds::built).
    pub fn plan(&mut self) -> Option<Plan> {
        if !std::mem::take(&mut self.stale) {
            return None;
        }
        self.tidy();
        self.building = true;
        let feeds = self.feeds.values();
        Some(Plan(
            feeds
                .map(|it| (it.feed.clone(), self.path(&it.feed)))
                .collect(),
        ))
    }

    /// Takes in what became of lists while a table was built.
    pub fn built(&mut self, outcomes: Vec<Outcome>) {
        self.building = false;
        for Outcome(feed, read) in outcomes {
            let known = self.feeds.get_mut(&feed.id);
            let Some(known) = known.filter(|it| it.feed == feed) else {
                continue;
            };
            match read {
                None => {}
                Some(Ok((report, at))) => {
                    known.indicators = report.indicators;
                    known.skipped = report.skipped;
                    known.at = at;
                }
                // It was read to its end once: the disk fails.
                Some(Err(error)) => known.error = Some(error),
            }
        }
    }

    /// Removes the files of lists that there are no more.
    fn tidy(&self) {
        let wanted: Vec<PathBuf> = self.feeds.values().map(|it| self.path(&it.feed)).collect();
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
    /// Builds the table.
    pub fn build(self) -> (Threats, Vec<Outcome>) {
        let builtin = policy::test_indicators();
        let mut all: Vec<(_, Arc<str>)> = builtin.map(|(it, of)| (it, of.into())).collect();
        let mut outcomes = Vec::with_capacity(self.0.len());
        for (feed, path) in self.0 {
            let Ok(file) = File::open(&path) else {
                outcomes.push(Outcome(feed, None));
                continue;
            };
            let at = file.metadata().and_then(|it| it.modified());
            let category: Arc<str> = feed.category.as_str().into();
            let before = all.len();
            let read = feed::read(BufReader::new(file), feed.format, &mut |it, of| {
                all.push((it, of.map_or_else(|| Arc::clone(&category), Arc::from)));
            });
            if read.is_err() {
                all.truncate(before);
            }
            let read = read.map(|report| (report, at.ok()));
            outcomes.push(Outcome(feed, Some(read.map_err(|it| it.to_string()))));
        }
        (Threats::new(all), outcomes)
    }
}

/// Reads a list that was fetched, and puts it beside the one that is kept in a directory.
///
/// # Errors
/// If it cannot be read, or there is nothing but nonsense in it.
pub fn prepare(directory: &Path, feed: &ThreatFeed, content: &[u8]) -> Result<Prepared, String> {
    let report = feed::read(content, feed.format, &mut |_, _| ());
    let report = report.map_err(|error| error.to_string())?;
    if let (0, Some(first)) = (report.indicators, report.first_skipped.first()) {
        return Err(format!(
            "there is no indicator in it; line {}: {}",
            first.line, first.why
        ));
    }
    let write = || {
        if fs::read(file_of(directory, feed)).is_ok_and(|before| before == content) {
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

/// The file of a list.
fn file_of(directory: &Path, feed: &ThreatFeed) -> PathBuf {
    // An identifier may have a `/` in it.
    directory.join(hash(&feed.id))
}

/// Whether the same content would be something else.
fn differs(one: &ThreatFeed, other: &ThreatFeed) -> bool {
    one.location != other.location || one.format != other.format
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
mod tests {
    use super::*;
    use model::FeedFormat;
    use std::net::Ipv4Addr;

    const BAD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

    fn feed(location: &Path) -> ThreatFeed {
        ThreatFeed {
            id: "list".into(),
            location: location.display().to_string(),
            category: "IpOutThreatMining".into(),
            format: FeedFormat::Plain,
            refresh: Duration::from_secs(60),
        }
    }

    /// Fetches what is due, and builds the table.
    fn run(feeds: &mut Feeds) -> Option<Threats> {
        while let Some(due) = feeds.due() {
            let fetched = fetch(&due.location);
            let prepared = fetched.and_then(|it| prepare(feeds.directory(), &due, &it));
            feeds.fetched(&due, prepared);
        }
        rebuilt(feeds)
    }

    fn rebuilt(feeds: &mut Feeds) -> Option<Threats> {
        let (table, outcomes) = feeds.plan()?.build();
        assert!(feeds.busy());
        feeds.built(outcomes);
        Some(table)
    }

    #[test]
    fn the_last_good_list_stays_in_force_also_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (state, list) = (dir.path().join("feeds"), dir.path().join("list"));
        fs::write(&list, "# bad\n198.51.100.66\nnonsense !\n").unwrap();
        let mut feeds = Feeds::new(state.clone());
        assert!(feeds.keep(&[feed(&list)]));
        assert!(!feeds.keep(&[feed(&list)]));
        let table = run(&mut feeds).unwrap();
        assert_eq!(table.find_address(BAD), Some("IpOutThreatMining"));
        let told = &feeds.all()[0];
        assert_eq!((told.indicators, told.skipped), (1, 1));
        assert!(told.at.is_some() && told.error.is_none());
        // The same again changes nothing; nonsense and nothing at all neither.
        for content in [Some("198.51.100.66\n"), Some("<html>gone</html>\n"), None] {
            match content {
                Some(content) => fs::write(&list, content).unwrap(),
                None => fs::remove_file(&list).unwrap(),
            }
            assert_eq!(feeds.refresh(Some("list")), 1);
            if let Some(table) = run(&mut feeds) {
                assert_eq!(table.find_address(BAD), Some("IpOutThreatMining"));
            }
        }
        assert!(feeds.all()[0].error.is_some());
        let mut next = Feeds::new(state.clone());
        next.keep(&[feed(&list)]);
        let table = rebuilt(&mut next).unwrap();
        assert_eq!(table.find_address(BAD), Some("IpOutThreatMining"));
        // A list that is not wanted any more leaves nothing behind.
        assert!(next.keep(&[]));
        assert_eq!(rebuilt(&mut next).unwrap().find_address(BAD), None);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    /// A list that is another one when it has been fetched leaves nothing behind, nor does what is built meanwhile count.
    #[test]
    fn what_is_not_wanted_any_more_when_it_is_there_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (state, list) = (dir.path().join("feeds"), dir.path().join("list"));
        let mut feeds = Feeds::new(state.clone());
        let (old, new) = (feed(&list), feed(&dir.path().join("other")));
        feeds.keep(std::slice::from_ref(&old));
        let prepared = prepare(&state, &old, b"198.51.100.66\n");
        feeds.fetched(&old, prepared);
        let (before, outcomes) = feeds.plan().unwrap().build();
        assert!(before.find_address(BAD).is_some());
        let late = prepare(&state, &old, b"198.51.100.66\n198.51.100.67\n");
        feeds.keep(std::slice::from_ref(&new));
        feeds.built(outcomes);
        feeds.fetched(&old, late);
        assert_eq!(feeds.due(), Some(new));
        assert_eq!(feeds.all()[0].indicators, 0);
        let after = rebuilt(&mut feeds).unwrap();
        assert_eq!(after.find_address(BAD), None);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    #[test]
    fn lists_come_over_http_too_and_errors_are_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for answer in [
                "200 OK\r\nContent-Length: 14\r\n\r\n198.51.100.66\n",
                "503 Busy\r\nContent-Length: 0\r\n\r\n",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).unwrap();
                write!(stream, "HTTP/1.1 {answer}").unwrap();
            }
        });
        let location = format!("http://{address}/list");
        assert_eq!(fetch(&location).unwrap(), b"198.51.100.66\n");
        assert!(fetch(&location).unwrap_err().contains("503"));
        server.join().unwrap();
        assert!(fetch("/nonexistent/list").is_err());
    }
}
