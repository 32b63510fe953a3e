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
mod tests {
    use super::*;
    use model::{CloudService, FeedFormat, ThreatFeed};
    use policy::{Threats, World};
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    /// 2026-11-30.
    const NOW: u64 = 1_796_000_000;
    const BAD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

    fn feed(location: &Path) -> List {
        List::Threats(ThreatFeed {
            id: "list".into(),
            location: location.display().to_string(),
            category: "IpOutThreatMining".into(),
            format: FeedFormat::Plain,
            refresh: Duration::from_secs(60),
        })
    }

    fn service(book: &str, location: &Path, services: &[&str]) -> List {
        let service = CloudService {
            location: location.display().to_string(),
            services: services.iter().map(ToString::to_string).collect(),
            regions: Vec::new(),
            refresh: Duration::from_secs(60),
        };
        List::Service(book.into(), service)
    }

    /// Fetches what is due, and builds the tables; how often something was fetched.
    fn follow(feeds: &mut Feeds, world: &mut World) -> usize {
        follow_at(feeds, world, NOW)
    }

    fn follow_at(feeds: &mut Feeds, world: &mut World, now: u64) -> usize {
        let mut times = 0;
        loop {
            let due = feeds.due();
            let Some(first) = due.first() else { break };
            times += 1;
            let fetched = fetch(first.location());
            for list in &due {
                let content = fetched.as_ref().map_err(String::clone);
                let prepared = content.and_then(|it| prepare(feeds.directory(), list, it, now));
                feeds.fetched(list, prepared, now);
            }
        }
        build_at(feeds, world, now);
        times
    }

    /// Builds the tables that are not what the files are.
    fn build(feeds: &mut Feeds, world: &mut World) {
        build_at(feeds, world, NOW);
    }

    fn build_at(feeds: &mut Feeds, world: &mut World, now: u64) {
        while let Some(plan) = feeds.plan() {
            let (table, outcomes) = plan.build(now);
            assert!(feeds.busy());
            feeds.built(outcomes);
            table.tell()(world);
        }
    }

    fn run(feeds: &mut Feeds) -> Option<Arc<Threats>> {
        let mut world = World::default();
        follow(feeds, &mut world);
        (!world.threats.is_empty()).then_some(world.threats)
    }

    fn rebuilt(feeds: &mut Feeds) -> Option<Arc<Threats>> {
        let mut world = World::default();
        build(feeds, &mut world);
        (!world.threats.is_empty()).then_some(world.threats)
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
        // There is a table before it is known which lists there are.
        let mut next = Feeds::new(state.clone());
        assert_eq!(rebuilt(&mut next).unwrap().find_address(BAD), None);
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
        let prepared = prepare(&state, &old, b"198.51.100.66\n", NOW);
        feeds.fetched(&old, prepared, NOW);
        let (before, outcomes) = feeds.plan().unwrap().build(NOW);
        let mut world = World::default();
        before.tell()(&mut world);
        assert!(world.threats.find_address(BAD).is_some());
        let late = prepare(&state, &old, b"198.51.100.66\n198.51.100.67\n", NOW);
        feeds.keep(std::slice::from_ref(&new));
        feeds.built(outcomes);
        feeds.fetched(&old, late, NOW);
        assert_eq!(feeds.due(), [new]);
        assert_eq!(feeds.all()[0].indicators, 0);
        let after = rebuilt(&mut feeds).unwrap();
        assert_eq!(after.find_address(BAD), None);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    /// What ceases to be valid is out of the table at the next refresh, also of a list that cannot be had any more.
    #[test]
    fn indicators_are_in_the_table_while_they_are_valid() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let List::Threats(mut bundle) = feed(&path) else {
            unreachable!()
        };
        bundle.format = FeedFormat::Stix;
        let until = records::rfc3339(NOW + 10);
        let text = format!(
            r#"{{"type": "bundle", "objects": [{{"type": "indicator", "valid_until": "{until}",
                "pattern": "[ipv4-addr:value = '{BAD}']"}}]}}"#
        );
        fs::write(&path, text).unwrap();
        let mut feeds = Feeds::new(dir.path().join("feeds"));
        let mut world = World::default();
        feeds.keep(&[List::Threats(bundle)]);
        follow(&mut feeds, &mut world);
        let mut knows_at = |now| {
            feeds.refresh(None);
            follow_at(&mut feeds, &mut world, now);
            world.threats.find_address(BAD).is_some()
        };
        assert!(knows_at(NOW + 9));
        // The list is gone, and what is kept of it is over.
        fs::remove_file(&path).unwrap();
        assert!(!knows_at(NOW + 10));
    }

    const RANGES: &str = r#"{"prefixes": [
        {"ip_prefix": "198.51.100.0/25", "service": "S3", "region": "eu"},
        {"ip_prefix": "198.51.100.64/26", "service": "SQS", "region": "eu"}]}"#;

    /// One list for several books, that is fetched once; each book has its own part of it, and the last good one of it stays.
    #[test]
    fn books_of_cloud_services_have_their_parts_of_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let (state, list) = (dir.path().join("feeds"), dir.path().join("ranges.json"));
        fs::write(&list, RANGES).unwrap();
        let [storage, queues] = [("storage", "S3"), ("queues", "SQS")]
            .map(|(book, name)| service(book, &list, &[name]));
        // A threat list has the name of a book, and is another list.
        let mut feeds = Feeds::new(state.clone());
        let mut world = World::default();
        let List::Threats(mut named_alike) = feed(&dir.path().join("bad")) else {
            unreachable!()
        };
        named_alike.id = "queues".into();
        fs::write(&named_alike.location, "198.51.100.66\n").unwrap();
        let wanted = [storage.clone(), queues.clone(), List::Threats(named_alike)];
        assert!(feeds.keep(&wanted));
        assert_eq!(follow(&mut feeds, &mut world), 2);
        let books = |world: &World| {
            let mut books = Vec::new();
            let each = &mut |it: &str| books.push(it.to_owned());
            world.services.find(BAD, each);
            books.join(" ")
        };
        assert_eq!(books(&world), "queues storage");
        assert_eq!(world.threats.find_address(BAD), Some("IpOutThreatMining"));
        // What was fetched is nonsense, has no part of one book, or is not there.
        let (error, moved) = (r#"{"message": "slow down"}"#, RANGES.replace("SQS", "X"));
        for (content, troubled) in [
            (Some(error), 2),
            (Some("{"), 2),
            (Some(&moved), 1),
            (None, 2),
        ] {
            match content {
                Some(content) => fs::write(&list, content).unwrap(),
                None => fs::remove_file(&list).unwrap(),
            }
            feeds.refresh(None);
            follow(&mut feeds, &mut world);
            assert_eq!(books(&world), "queues storage", "{content:?}");
            let trouble = feeds.all().into_iter().filter(|it| it.error.is_some());
            assert_eq!(trouble.count(), troubled, "{content:?}");
        }
        // After a restart, too; and what is wanted of it may be something else before it is there again.
        let mut next = Feeds::new(state.clone());
        let mut world = World::default();
        let both = service("storage", &list, &["X", "S3"]);
        next.keep(&[both.clone(), queues.clone()]);
        build(&mut next, &mut world);
        assert_eq!(books(&world), "queues storage");
        next.keep(&[service("storage", &list, &["SQS"]), queues.clone()]);
        follow(&mut next, &mut world);
        assert_eq!(books(&world), "queues");
        // A change on disk is a change in force; one book more or less leaves the others.
        fs::write(&list, RANGES.replace(".64/26", ".0/26")).unwrap();
        next.keep(&[both, queues]);
        next.refresh(Some("queues"));
        assert_eq!(follow(&mut next, &mut world), 1);
        assert_eq!(books(&world), "storage");
        next.keep(&[]);
        follow(&mut next, &mut world);
        assert_eq!(books(&world), "");
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
