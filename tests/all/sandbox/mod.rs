//! The worker's sandbox and views, by real jobs in a real worker. Run as root and as an ordinary
//! user: both must hold.

mod landlock;
mod life;
mod memory;
mod reach;
mod views;

use crate::pod::{Hub, Pod};
use cpods::wire::messages::ViewKind;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

pub(super) struct Place {
    pub(super) pod: Pod,
    _dir: TempDir,
    pub(super) root: PathBuf,
}

pub(super) fn place(options: &[&str]) -> Place {
    place_with(Pod::start(options))
}

pub(super) fn place_with(pod: Pod) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("project");
    fs::create_dir(&root).unwrap();
    Place {
        pod,
        _dir: dir,
        root,
    }
}

impl Place {
    pub(super) fn hub(&self) -> Hub {
        self.pod.hub(&[&self.root])
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Asks a worker of each view that has a sandbox.
pub(super) fn in_both_views(test: impl Fn(&Place, &mut Hub)) {
    for (view, kind) in [
        ("overlay", ViewKind::Overlay),
        ("rewrite", ViewKind::Rewrite),
    ] {
        let place = place(&["--view", view]);
        let mut hub = place.hub();
        assert_eq!(hub.offer.view, kind, "{}", hub.offer.view_why);
        test(&place, &mut hub);
    }
}

/// Processes of this machine with this word on their command line.
pub(super) fn running_with(word: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            line.split(|byte| *byte == 0)
                .any(|part| part == word.as_bytes())
        })
        .count()
}

/// Waits for what happens without an answer to wait for.
pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("never: {what}");
}
