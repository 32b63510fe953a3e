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
    let [storage, queues] =
        [("storage", "S3"), ("queues", "SQS")].map(|(book, name)| service(book, &list, &[name]));
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
