//! The tests' own tool (`tool.c`), and a look at the processes of this machine.
//!
//! The tool is an executable inside the root, so it runs on pods under the rule for such. Its trick
//! `gate` waits for a signal, which holds a job in its middle for as long as a test wants.

use crate::support::{Farm, PATIENCE, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Compiles the tool to `tool` in the farm's root.
pub(crate) fn make_tool(farm: &Farm) {
    let built = farm.root.join("tool");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/tool.c");
    let status = Command::new("gcc")
        .arg("-O1")
        .arg(source)
        .arg("-o")
        .arg(built)
        .status();
    assert!(status.unwrap().success());
}

/// One process that has to do with a test.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) argv: Vec<String>,
}

impl Process {
    /// All that name `tag` in their arguments. Those of a sandbox are seen too, from outside.
    pub(crate) fn all(tag: &str) -> Vec<Self> {
        let dirs = fs::read_dir("/proc").unwrap().flatten();
        dirs.filter_map(|dir| {
            let pid = dir.file_name().to_str()?.parse().ok()?;
            let line = fs::read(dir.path().join("cmdline")).ok()?;
            let words = line.split(|byte| *byte == 0);
            let argv: Vec<_> = words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            argv.iter()
                .any(|word| word.contains(tag))
                .then_some(Self { pid, argv })
        })
        .collect()
    }

    /// The processes below this one, at any depth: a sandbox's have names of their own.
    pub(crate) fn below(pid: u32) -> Vec<Self> {
        let everyone = Self::all("");
        let mut found: Vec<Self> = Vec::new();
        let mut parents = vec![i32::try_from(pid).unwrap()];
        while let Some(parent) = parents.pop() {
            for child in everyone
                .iter()
                .filter(|process| process.parent() == Some(parent))
            {
                parents.push(child.pid);
                found.push(child.clone());
            }
        }
        found
    }

    fn parent(&self) -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    }

    /// Whether it is still there, with the same command line.
    fn lives(&self) -> bool {
        Self::all("")
            .iter()
            .any(|other| (other.pid, &other.argv) == (self.pid, &self.argv))
    }

    /// The name of the program it runs.
    pub(crate) fn name(&self) -> &str {
        self.argv[0].rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended since.
        let _ = kill_process(Pid::from_raw(self.pid).unwrap(), signal);
    }

    /// Whether it catches SIGUSR1: before that, the signal would kill it.
    fn is_gate(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = line
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0);
        self.name() == "tool" && mask & 1 << (Signal::USR1.as_raw() - 1) != 0
    }
}

/// Tools that stand at their gate.
pub(crate) fn gates(farm: &Farm) -> Vec<Process> {
    let mut all = Process::all(&farm.tag());
    all.retain(Process::is_gate);
    all
}

/// Until so many tools stand at their gate.
pub(crate) fn wait_for_gates(farm: &Farm, count: usize) -> Vec<Process> {
    wait_for(&format!("{count} jobs in their middle"), || {
        Some(gates(farm)).filter(|found| found.len() == count)
    })
}

/// Lets every tool through that comes to its gate, until `done` gives something.
pub(crate) fn release_until<T>(farm: &Farm, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    wait_for(what, || {
        gates(farm)
            .iter()
            .for_each(|gate| gate.signal(Signal::USR1));
        done()
    })
}

/// Until all of these have ended.
pub(crate) fn wait_until_gone(processes: &[Process]) {
    wait_for(&format!("the end of {processes:?}"), || {
        processes
            .iter()
            .all(|process| !process.lives())
            .then_some(())
    });
}

/// Until no process but the farm's daemons has to do with this test.
pub(crate) fn wait_for_nothing_left(farm: &Farm) {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut left = Process::all(&farm.tag());
        left.retain(|process| !matches!(process.name(), "cpods-schedd" | "cpods-workd"));
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "still there: {left:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
