//! Series: what was written is there after a kill, and what is old goes.

use store::{Batch, Error, Series};

fn point(series: &str, time: u64, value: &str) -> (String, u64, String) {
    (series.into(), time, value.into())
}

fn written(points: &[(&str, u64, &str)]) -> Batch {
    Batch {
        points: points.iter().map(|(s, t, v)| point(s, *t, v)).collect(),
        ..Batch::default()
    }
}

#[test]
fn points_are_kept_replaced_and_read_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.db");
    let series = Series::open(&path).unwrap();
    let points = [
        ("a", 1, "x"),
        ("a", 3, "y"),
        ("b", 2, "z"),
        ("a", 5, "w"),
        ("a", 1, "v"),
    ];
    series.write(&written(&points)).unwrap();
    drop(series);
    let series = Series::open(&path).unwrap();
    let read = |name, from, to, most| {
        let points = series.points(name, from..to, most).unwrap();
        points
            .into_iter()
            .map(|(time, value)| format!("{time}{value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(read("a", 0, u64::MAX, 10), ["1v", "3y", "5w"]);
    assert_eq!(read("a", 1, 5, 10), ["1v", "3y"]);
    assert_eq!(read("a", 0, 9, 1), ["1v"]);
    assert_eq!(read("c", 0, 9, 9), [""; 0]);
    assert_eq!(series.names("").unwrap(), ["a", "b"]);
}

#[test]
fn what_is_old_goes_and_with_it_what_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let series = Series::open(dir.path().join("usage.db")).unwrap();
    let points = [
        ("m/a", 1, ""),
        ("m/a", 9, ""),
        ("m/b", 1, ""),
        ("h/a", 1, ""),
        ("m%", 1, ""),
    ];
    series.write(&written(&points)).unwrap();
    let prune = Batch {
        prune: vec![("m/".into(), 9)],
        ..Batch::default()
    };
    series.write(&prune).unwrap();
    assert_eq!(series.names("").unwrap(), ["h/a", "m%", "m/a"]);
    assert_eq!(
        series.points("m/a", 0..99, 9).unwrap(),
        [(9, String::new())]
    );
}

#[test]
fn notes_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.db");
    let series = Series::open(&path).unwrap();
    let notes = |notes: &[(&str, Option<&str>)]| Batch {
        notes: notes
            .iter()
            .map(|(n, v)| ((*n).into(), v.map(Into::into)))
            .collect(),
        ..Batch::default()
    };
    series
        .write(&notes(&[("a", Some("1")), ("b", Some("2"))]))
        .unwrap();
    series
        .write(&notes(&[("a", Some("3")), ("b", None), ("c", None)]))
        .unwrap();
    drop(series);
    let all = Series::open(&path).unwrap().notes().unwrap();
    assert_eq!(
        all.into_iter().collect::<Vec<_>>(),
        [("a".into(), "3".into())]
    );
}

#[test]
fn what_is_not_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    drop(store::Sqlite::open(&path).unwrap());
    assert!(matches!(Series::open(&path), Err(Error::NotAStore { .. })));
    let path = dir.path().join("usage.db");
    let first = Series::open(&path).unwrap();
    assert!(matches!(Series::open(&path), Err(Error::Locked { .. })));
    drop(first);
    assert!(matches!(
        store::Sqlite::open(&path),
        Err(Error::NotAStore { .. })
    ));
    std::fs::write(dir.path().join("text"), [b'x'; 4096]).unwrap();
    assert!(matches!(
        Series::open(dir.path().join("text")),
        Err(Error::Damaged { .. })
    ));
}

#[test]
fn one_that_is_damaged_is_put_aside_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.db");
    let aside = dir.path().join("usage.db.damaged");
    let note = |value: &str| Batch {
        notes: vec![("a".into(), Some(value.into()))],
        ..Batch::default()
    };
    let (series, wrong) = Series::open_or_begin_anew(&path).unwrap();
    assert!(wrong.is_none());
    series.write(&note("1")).unwrap();
    drop(series);
    for text in ["first", "second"] {
        std::fs::write(&path, text.repeat(1000)).unwrap();
        std::fs::write(dir.path().join("usage.db-wal"), text).unwrap();
        assert!(matches!(Series::open(&path), Err(Error::Damaged { .. })));
        let (series, wrong) = Series::open_or_begin_anew(&path).unwrap();
        assert!(matches!(wrong, Some(Error::Damaged { .. })));
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), text.repeat(1000));
        assert!(matches!(Series::open(&path), Err(Error::Locked { .. })));
        assert!(series.notes().unwrap().is_empty());
        series.write(&note(text)).unwrap();
        drop(series);
        let (series, wrong) = Series::open_or_begin_anew(&path).unwrap();
        assert!(wrong.is_none());
        let notes: Vec<_> = series.notes().unwrap().into_iter().collect();
        assert_eq!(notes, [("a".to_owned(), text.to_owned())]);
    }
    // What is another's is left alone.
    let other = dir.path().join("state.db");
    drop(store::Sqlite::open(&other).unwrap());
    let refused = Series::open_or_begin_anew(&other);
    assert!(matches!(refused, Err(Error::NotAStore { .. })));
}
