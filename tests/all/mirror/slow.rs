//! A mirror at the end of a slow line.

use super::by_need::write_shell;
use super::faults::noise;
use super::{start_hub, start_named};
use crate::support::{Farm, bin, wait_for, wait_for_answer};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// From hub to pod.
#[derive(Debug)]
pub(super) struct Line {
    passed_bytes: AtomicU64,
    /// No more passes.
    pub(super) most_bytes: AtomicU64,
}

impl Line {
    pub(super) fn start(farm: &Farm, from: &str, to: &str) -> Arc<Self> {
        let at = |name: &str| farm.dir.path().join(format!("{name}.sock"));
        let (listener, to) = (UnixListener::bind(at(from)).unwrap(), at(to));
        let line = Arc::new(Self {
            passed_bytes: AtomicU64::new(0),
            most_bytes: AtomicU64::new(u64::MAX),
        });
        let own = Arc::clone(&line);
        thread::spawn(move || {
            for hub in listener.incoming().flatten() {
                let Ok(pod) = UnixStream::connect(&to) else {
                    continue;
                };
                let (mut back, mut out) = (pod.try_clone().unwrap(), hub.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut back, &mut out));
                let line = Arc::clone(&own);
                thread::spawn(move || line.trickle(hub, pod));
            }
        });
        line
    }

    fn trickle(&self, mut from: UnixStream, mut to: UnixStream) {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length) = from.read(&mut piece) {
            while self.passed() >= self.most_bytes.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            if length == 0 || to.write_all(&piece[..length]).is_err() {
                return;
            }
            self.passed_bytes
                .fetch_add(length as u64, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(4));
        }
    }

    pub(super) fn passed(&self) -> u64 {
        self.passed_bytes.load(Ordering::Relaxed)
    }
}

#[test]
fn a_job_does_not_wait_for_what_another_needs() {
    const LARGE: usize = 120 << 20;
    let farm = Farm::without_hub();
    farm.write("large", noise(1, LARGE));
    farm.write("small.c", "int small;\n");
    write_shell(&farm);
    let _worker = start_named(&farm, "real");
    wait_for_answer("the worker", &farm.dir.path().join("real.sock"));
    let line = Line::start(&farm, "pod1", "real");
    let _hub = start_hub(&farm);
    farm.wait_up();
    farm.cc_remote(&["gcc", "-c", "small.c", "-o", "first.o"]);
    farm.cc_remote(&["./shell", "-c", ":"]);
    let before = line.passed();
    // The content does not all pass before the small job has ended.
    let most = before + (LARGE as u64) * 3 / 4;
    line.most_bytes.store(most, Ordering::Relaxed);
    let mut large = farm.command(bin("cpods-cc"));
    let large = large.args(["./shell", "-c", "md5sum large"]);
    let large = large.env("CPODS_FALLBACK", "0").stdout(Stdio::piped());
    let mut large = large.spawn().unwrap();
    wait_for("the content to be on its way", || {
        (line.passed() > before + (2 << 20)).then_some(())
    });
    farm.cc_remote(&["gcc", "-c", "small.c", "-o", "small.o"]);
    assert!(large.try_wait().unwrap().is_none());
    assert!(line.passed() < before + LARGE as u64);
    line.most_bytes.store(u64::MAX, Ordering::Relaxed);
    let output = large.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, farm.bare(&["md5sum", "large"]).stdout);
    assert!(line.passed() > before + LARGE as u64);
    assert!(farm.read("first.o") == farm.read("small.o"));
}
