//! Tells a pod that fails from a tool that fails, by looking at the pod after each job.

use super::warden::proto::Room;
use crate::job::Ending;
use std::cell::Cell;
use std::path::Path;

/// With less room than this a file may have been cut short without the tool's noticing.
const LEAST_BYTES: u64 = 1 << 20;
const LEAST_INODES: u64 = 16;
/// How much of the end of a failing tool's stderr is looked at.
pub(crate) const TAIL_BYTES: usize = 4 << 10;

/// What the C library says for errors that a tool meets only on a pod in trouble: a full disk, and
/// a file of a foreign user in an overlay.
const TROUBLE: &[&str] = &[
    "No space left on device",
    "Disk quota exceeded",
    "Value too large for defined data type",
    "Stale file handle",
    "Transport endpoint is not connected",
    "Input/output error",
];

/// What of the pod's health is remembered from job to job.
#[derive(Debug, Default)]
pub(crate) struct Health {
    oom_kills: Cell<u64>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            oom_kills: Cell::new(oom_kills()),
        }
    }

    /// What is wrong with the pod, if that may be why a job ended as it did.
    pub(crate) fn fault(&self, ending: Ending, room: &[Room; 2], stderr: &[u8]) -> Option<String> {
        for (room, place) in room.iter().zip(["scratch", "/tmp"]) {
            if room.free_bytes < LEAST_BYTES {
                return Some(format!("{place} is full: {} bytes left", room.free_bytes));
            }
            if let Some(inodes) = room.free_inodes.filter(|count| *count < LEAST_INODES) {
                return Some(format!("{place} is full: {inodes} inodes left"));
            }
        }
        if ending.is_success() {
            return None;
        }
        let kills = oom_kills();
        if self.oom_kills.replace(kills) < kills {
            return Some("the pod ran out of memory and killed a process".into());
        }
        let stderr = String::from_utf8_lossy(stderr);
        let said = TROUBLE.iter().find(|text| stderr.contains(**text))?;
        Some(format!("the tool met `{said}`"))
    }
}

/// For want of inodes the kernel says "No space left on device", too, and whoever looks at the disk finds
/// space: what failed in a folder, and what its disk has no more.
pub(crate) fn with_inodes(why: String, folder: &Path) -> String {
    let disk = rustix::fs::statvfs(folder).ok();
    // (Some file systems count none.)
    let left = disk.filter(|disk| disk.f_files > 0);
    name_inodes(why, left.map(|disk| disk.f_favail))
}

fn name_inodes(why: String, left: Option<u64>) -> String {
    match left.filter(|left| *left < LEAST_INODES) {
        Some(left) => format!("{why}; {left} inodes left"),
        None => why,
    }
}

/// How often the kernel has killed for want of memory since it was started.
fn oom_kills() -> u64 {
    let counters = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_inodes_that_are_used_up() {
        let said = |left| name_inodes("No space left on device".into(), left);
        assert_eq!(said(Some(0)), "No space left on device; 0 inodes left");
        assert_eq!(said(Some(LEAST_INODES)), "No space left on device");
        assert_eq!(said(None), "No space left on device");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(with_inodes("broken".into(), dir.path()), "broken");
    }

    #[test]
    fn tells_pod_from_tool() {
        let health = Health::new();
        let ample = Room {
            free_bytes: 1 << 30,
            free_inodes: None,
        };
        let full = Room {
            free_bytes: 10,
            ..ample
        };
        let no_inodes = Room {
            free_inodes: Some(0),
            ..ample
        };
        let (good, bad) = (Ending::Exited(0), Ending::Exited(1));
        assert_eq!(health.fault(good, &[ample, ample], b""), None);
        assert_eq!(health.fault(bad, &[ample, ample], b"a.c:1: error"), None);
        assert!(health.fault(good, &[full, ample], b"").is_some());
        assert!(health.fault(good, &[ample, no_inodes], b"").is_some());
        let stderr = b"as: a.o: No space left on device\n";
        assert!(health.fault(bad, &[ample, ample], stderr).is_some());
        assert_eq!(health.fault(good, &[ample, ample], stderr), None);
    }
}
