//! Whether a person uses this machine: told from its terminals, as w(1) does.
//!
//! The kernel keeps, to within 8 s, when a terminal was last read from or written to. What nobody
//! typed into and nothing printed on for some minutes is taken for left.

use super::worker::Worker;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// A terminal that was quiet for so long is left.
const LEFT_AFTER: Duration = Duration::from_secs(5 * 60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What hubs are told while it is so.
pub(super) const IN_USE: &str = "in use by a person";

/// Whether somebody is there, by when a terminal was used last. A time to come, after the clock was
/// set back, counts by its distance, too.
fn is_in_use(last: Option<SystemTime>, now: SystemTime) -> bool {
    last.is_some_and(|last| {
        let quiet = now.duration_since(last);
        quiet.unwrap_or_else(|ahead| ahead.duration()) < LEFT_AFTER
    })
}

/// When any of the terminals in a directory of devices was used last; none without terminals.
fn last_use(devices: &Path) -> Option<SystemTime> {
    terminals(devices)
        .iter()
        .filter_map(|path| path.metadata().ok())
        .flat_map(|meta| [Metadata::accessed, Metadata::modified].map(|time| time(&meta).ok()))
        .flatten()
        .max()
}

/// `tty0`, `tty1`, ..., and all pseudo-terminals.
fn terminals(devices: &Path) -> Vec<PathBuf> {
    let listed = |dir: &Path, fits: fn(&str) -> bool| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_str().is_some_and(fits))
            .map(|entry| entry.path())
            .collect()
    };
    let numbered = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let console = |name: &str| {
        name.strip_prefix("tty")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut found = listed(devices, console);
    // Not `ptmx`, which every program that opens a terminal touches.
    found.extend(listed(&devices.join("pts"), numbered));
    found
}

/// Tells whether somebody uses the terminals in this directory of devices.
pub(super) fn watched(devices: PathBuf) -> super::worker::IsInUse {
    Rc::new(move || is_in_use(last_use(&devices), SystemTime::now()))
}

/// Looks again and again, until the worker ends.
pub(super) async fn keep(worker: Rc<Worker>) {
    if worker.config.in_use.is_none() {
        return;
    }
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        worker.look_who_is_there();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, FileTimes};

    #[test]
    fn five_quiet_minutes_are_enough() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
        let minute = Duration::from_secs(60);
        assert!(!is_in_use(None, now));
        for (last, in_use) in [
            (now, true),
            (now - 4 * minute, true),
            (now - LEFT_AFTER, false),
            (now - 60 * minute, false),
            (now + minute, true),
            (now + 60 * minute, false),
        ] {
            assert_eq!(is_in_use(Some(last), now), in_use, "{last:?}");
        }
    }

    #[test]
    fn the_newest_time_of_any_terminal_counts() {
        let dir = tempfile::tempdir().unwrap();
        let devices = dir.path();
        assert_eq!(last_use(devices), None);
        fs::create_dir(devices.join("pts")).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let make = |name: &str, read: u64, written: u64| {
            let file = File::create(devices.join(name)).unwrap();
            let times = FileTimes::new().set_accessed(at(read));
            file.set_times(times.set_modified(at(written))).unwrap();
        };
        for other in ["tty", "ttyS0", "null", "pts/ptmx"] {
            make(other, 900, 900);
        }
        assert_eq!(last_use(devices), None);
        make("tty1", 100, 200);
        assert_eq!(last_use(devices), Some(at(200)));
        make("pts/3", 300, 250);
        assert_eq!(last_use(devices), Some(at(300)));
    }
}
