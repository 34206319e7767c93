//! Content that comes when the kernel has lost its patience, or nearly: no job's result counts then,
//! whatever the thread was doing meanwhile.

use super::{NEVER, Pod};
use crate::job::Digest;
use crate::paths::RootId;
use crate::wire::files::{Change, Entry, EntryKind, More};
use crate::wire::messages::{Stamp, ToPod};
use crate::workd::mirror::gate::Pass;
use crate::workd::mirror::{Command, Progress};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::watch;

pub(super) const CONTENT: &[u8] = b"an object";
const SHORT: Duration = Duration::from_millis(100);

/// Names a file whose content is not there.
pub(super) fn hollow(name: &str, content: &[u8], later: bool) -> Change {
    let what = EntryKind::File {
        digest: Digest::of(content),
        size_bytes: content.len() as u64,
    };
    let entry = Entry {
        what,
        mode: 0o644,
        mtime: Stamp {
            seconds: 7,
            nanoseconds: 8,
        },
        group: None,
    };
    Change {
        name: name.into(),
        entry: Some(entry),
        later,
    }
}

pub(super) fn list(changes: Vec<Change>, more: More) -> ToPod {
    ToPod::Changes {
        root: RootId(0),
        changes,
        more,
    }
}

pub(super) fn whole(content: &[u8]) -> ToPod {
    ToPod::Content {
        digest: Digest::of(content),
        packed: crate::wire::packed::pack(content).unwrap(),
        last: true,
    }
}

/// With a file `a.o`, and a kernel that has so much patience.
pub(super) fn pod(cache: &Path, (late_after, lost_after): (Duration, Duration)) -> Pod {
    let mut pod = Pod::open_with(cache, |mut leases| {
        leases.late_after = late_after;
        leases.lost_after = lost_after;
        Some(leases)
    });
    pod.take(list(vec![hollow("a.o", CONTENT, true)], More::Everything));
    pod
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
}

pub(super) fn enter(pod: &Pod) -> Pass {
    runtime().block_on(pod.gate.enter())
}

/// Somebody opens the file, of which the pod's part is not told yet.
fn open(pod: &Pod) -> (JoinHandle<Vec<u8>>, Command) {
    let path = pod.place.join("a.o");
    let reader = thread::spawn(move || std::fs::read(path).unwrap());
    loop {
        let told = pod.told.recv_timeout(Duration::from_secs(10)).unwrap();
        if matches!(told, Command::Opened(..)) {
            return (reader, told);
        }
    }
}

/// What a job is told at its end, once the thread has done what it was told before.
fn verdict(pod: &mut Pod, pass: &Pass) -> Option<Vec<Digest>> {
    thread::scope(|scope| {
        let end = scope.spawn(|| runtime().block_on(pass.end()).unwrap());
        while !end.is_finished() {
            pod.hear(Duration::from_millis(1));
        }
        end.join().unwrap()
    })
}

#[test]
fn content_that_comes_in_time_spoils_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let long = Duration::from_secs(40);
    let mut pod = pod(dir.path(), (long, long));
    let pass = enter(&pod);
    let (reader, told) = open(&pod);
    thread::sleep(SHORT);
    // Nobody needs to be asked.
    assert_eq!(runtime().block_on(pass.end()), Ok(None));
    pod.keeper.take(told, &NEVER).unwrap();
    pod.take(whole(CONTENT));
    assert_eq!(reader.join().unwrap(), CONTENT);
    assert_eq!(verdict(&mut pod, &pass), None);
}

#[test]
fn content_that_comes_too_late_has_the_jobs_run_again() {
    for is_known in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut pod = pod(dir.path(), (Duration::from_secs(30), SHORT));
        let pass = enter(&pod);
        let (reader, told) = open(&pod);
        if is_known {
            pod.keeper.take(told, &NEVER).unwrap();
        }
        thread::sleep(SHORT);
        // As after a long list, or with content that was long to write.
        pod.take(whole(CONTENT));
        reader.join().unwrap();
        assert_eq!(verdict(&mut pod, &pass), Some(Vec::new()), "{is_known}");
        drop(pass);
        pod.hear(Duration::from_millis(10));
        let pass = enter(&pod);
        assert_eq!(verdict(&mut pod, &pass), None, "the next try counts");
    }
}

#[test]
fn a_job_that_ends_while_the_thread_is_busy_waits_for_its_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = pod(dir.path(), (SHORT, SHORT * 2));
    let pass = enter(&pod);
    let (reader, told) = open(&pod);
    thread::sleep(SHORT * 3);
    thread::scope(|scope| {
        let end = scope.spawn(|| runtime().block_on(pass.end()).unwrap());
        thread::sleep(SHORT);
        assert!(!end.is_finished(), "nobody knows whether it counts");
        // However late that is heard: it says since when.
        pod.keeper.take(told, &NEVER).unwrap();
        while !end.is_finished() {
            pod.hear(Duration::from_millis(1));
        }
        assert_eq!(end.join().unwrap(), Some(vec![Digest::of(CONTENT)]));
    });
    drop(pass);
    pod.hear(Duration::from_millis(10));
    // Nobody of a job waits there any more.
    assert_eq!(reader.join().unwrap(), [0; CONTENT.len()]);
}

#[test]
fn one_who_keeps_a_file_open_does_not_end_the_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let long = Duration::from_secs(40);
    let mut pod = pod(dir.path(), (long, long));
    let path = pod.place.join("a.o");
    let at = path.clone();
    let looks = thread::spawn(move || std::fs::File::open(at).unwrap());
    while !matches!(pod.told.recv().unwrap(), Command::Opened(..)) {}
    pod.keeper
        .take(Command::Look(Instant::now()), &NEVER)
        .unwrap();
    let digest = Digest::of(CONTENT);
    pod.take(ToPod::Gone { digest });
    let looks = looks.join().unwrap();
    // With that jobs may run again.
    pod.take(list(Vec::new(), More::Nothing));
    let _pass = enter(&pod);
    let (there, his) = (path.metadata().unwrap(), looks.metadata().unwrap());
    assert_ne!(there.ino(), his.ino());
    let of = |it: &std::fs::Metadata| (it.len(), it.mode(), it.mtime(), it.mtime_nsec());
    assert_eq!(of(&there), of(&his));
    let (reader, told) = open(&pod);
    pod.keeper.take(told, &NEVER).unwrap();
    pod.take(whole(CONTENT));
    assert_eq!(reader.join().unwrap(), CONTENT);
}

#[test]
fn what_the_thread_has_to_do_hides_from_it_nobody_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(dir.path(), (SHORT, Duration::from_secs(40)));
    let pass = enter(&pod);
    let path = pod.place.join("a.o");
    let reader = thread::spawn(move || std::fs::read(path).unwrap());
    let Pod {
        mut keeper,
        commands,
        told,
        gate,
        asks,
        ..
    } = pod;
    let (progress, _) = watch::channel(Progress::default());
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    // There is always one more.
    let more = commands.clone();
    commands.send(Command::Used(Vec::new())).unwrap();
    let runs = |keeper: &mut super::Keeper| {
        keeper.run(&told, &progress, &stop, |_| {
            if began.elapsed() > Duration::from_secs(20) {
                stop.store(true, Ordering::Relaxed);
            }
            more.send(Command::Used(Vec::new())).unwrap();
        })
    };
    let late = thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let late = runtime().block_on(pass.spoiled());
            drop(pass);
            stop.store(true, Ordering::Relaxed);
            late
        });
        runs(&mut keeper).unwrap_err();
        let is_heard = began.elapsed() < Duration::from_secs(20);
        gate.spoil(Vec::new());
        is_heard.then(|| waits.join().unwrap())
    });
    assert_eq!(late, Some(vec![Digest::of(CONTENT)]));
    drop((keeper, asks));
    reader.join().unwrap();
}
