//! Where the records of sessions go: to the files that the configuration in force names.

use engine::record::Record;
use model::Config;
use records::{Counters, Limits, Line, Recorder, Writer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Takes the records of a running gateway, whatever its configuration is at the moment.
pub struct Recording {
    /// The directory, if the configuration names none.
    default: PathBuf,
    /// Only ever held for a moment: the thread that moves packets takes it for each record.
    recorder: Arc<Mutex<Option<Recorder<Record>>>>,
    open: Mutex<Open>,
}

/// What is open, and what has become of records.
#[derive(Default)]
struct Open {
    to: Option<(PathBuf, Limits)>,
    writer: Option<Writer>,
    /// The counters of all writers that there were.
    counters: Vec<Arc<Counters>>,
}

/// What has become of records since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Where they are, if they are written.
    pub directory: Option<PathBuf>,
    /// Records that are in the files.
    pub written: u64,
    /// Records that were lost since they came faster than they could be written.
    pub overrun: u64,
    /// Records that were lost since they could not be written.
    pub failed: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recording {
    /// Records of a gateway with this state directory, which go nowhere at first.
    pub fn new(state: &Path) -> Recording {
        Recording {
            default: state.join("records"),
            recorder: Arc::default(),
            open: Mutex::default(),
        }
    }

    /// What the data path hands records to.
    pub fn recorder(&self) -> datapath::Recorder {
        let recorder = Arc::clone(&self.recorder);
        Box::new(move |record| {
            if let Some(recorder) = &*lock(&recorder) {
                recorder.record(record);
            }
        })
    }

    /// Goes on as a configuration says. What cannot be opened is told in the log: nothing else depends on it.
    pub fn configure(&self, config: &Config) {
        let settings = &config.system.services.records;
        let directory = settings.directory.as_ref().unwrap_or(&self.default);
        let limits = Limits {
            max_size: u64::from(settings.max_size) << 20,
            keep: settings.keep,
        };
        let wanted = config.records().then(|| (directory.clone(), limits));
        let mut open = lock(&self.open);
        if open.to == wanted {
            return;
        }
        self.close(&mut open);
        let Some((directory, limits)) = wanted else {
            return;
        };
        let line =
            |record: &Record, to: &mut Vec<u8>| serde_json::to_writer(to, &Line::new(record));
        match Writer::start(&directory, limits, line) {
            Ok((recorder, writer)) => {
                *lock(&self.recorder) = Some(recorder);
                open.counters.push(writer.counters());
                open.writer = Some(writer);
                open.to = Some((directory, limits));
            }
            Err(error) => {
                let directory = directory.display();
                tracing::error!("session records cannot be written to {directory}: {error}");
            }
        }
    }

    fn close(&self, open: &mut Open) {
        *lock(&self.recorder) = None;
        open.to = None;
        if let Some(writer) = open.writer.take() {
            writer.finish();
        }
    }

    /// What has become of records.
    pub fn recorded(&self) -> Recorded {
        let open = lock(&self.open);
        let sum = |count: fn(&Counters) -> u64| open.counters.iter().map(|it| count(it)).sum();
        Recorded {
            directory: open.to.as_ref().map(|(directory, _)| directory.clone()),
            written: sum(Counters::written),
            overrun: sum(Counters::overrun),
            failed: sum(Counters::failed),
        }
    }

    /// Writes what waits, and ends.
    pub fn stop(&self) {
        self.close(&mut lock(&self.open));
    }
}
