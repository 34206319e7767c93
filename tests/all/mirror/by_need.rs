//! Content that comes to a mirror only when somebody opens it.

use super::{Mirrored, start_hub, start_worker};
use crate::support::{Farm, wait_for};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A header of more than a megabyte.
fn large_header(value: u32) -> String {
    let mut text = format!("#define VALUE {value}\n");
    for line in 0..20_000 {
        writeln!(
            text,
            "/* line {line} of a header that nobody reads to its end */"
        )
        .unwrap();
    }
    text
}

/// Whether a file of the copy is there without its content.
fn is_hollow(path: &Path) -> bool {
    let found = fs::metadata(path).unwrap();
    found.len() > 0 && found.blocks() == 0
}

#[test]
fn a_large_header_comes_when_it_is_opened() {
    let farm = Farm::without_hub();
    farm.write("inc/large.h", large_header(1));
    farm.write("inc/other.h", large_header(2));
    farm.write(
        "main.c",
        "#include \"inc/large.h\"\nint f(void) { return VALUE; }\n",
    );
    let pod = Mirrored::new(farm);
    pod.settle();
    let (large, other) = (
        pod.copy().join("inc/large.h"),
        pod.copy().join("inc/other.h"),
    );
    assert!(is_hollow(&large) && is_hollow(&other));
    let here = fs::metadata(pod.farm.root.join("inc/large.h")).unwrap();
    let same_stat = |when: &str| {
        let there = fs::metadata(&large).unwrap();
        let of = |it: &fs::Metadata| (it.len(), it.mode(), it.mtime(), it.mtime_nsec());
        assert_eq!(of(&here), of(&there), "{when}");
    };
    same_stat("hollow");
    let compile = ["gcc", "-g", "-c", "main.c", "-o", "main.o"];
    pod.farm.cc_remote(&compile);
    let object = pod.farm.read("main.o");
    assert!(pod.farm.bare(&compile).status.success());
    assert!(object == pod.farm.read("main.o"));
    assert!(!is_hollow(&large) && is_hollow(&other));
    same_stat("filled");
    // What was opened once goes along from then on.
    pod.farm.write("inc/large.h", large_header(3));
    pod.settle();
    wait_for("the new content", || (!is_hollow(&large)).then_some(()));
    assert!(is_hollow(&other));
}

#[test]
fn killed_while_a_job_waits_for_content_nothing_wrong_comes_back() {
    let farm = Farm::without_hub();
    farm.write(
        "main.c",
        "#include \"large.h\"\nint f(void) { return VALUE; }\n",
    );
    farm.write("large.h", large_header(0));
    let mut worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    let compile = ["gcc", "-g", "-c", "main.c", "-o", "main.o"];
    for round in 1..8 {
        farm.write("large.h", large_header(round));
        let mut job = farm.command(crate::support::bin("cpods-cc"));
        let mut job = job.args(compile).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(u64::from(round) * 7));
        worker.kill();
        worker = start_worker(&farm);
        assert!(crate::support::wait_for_end("a job", &mut job).success());
        let object = farm.read("main.o");
        assert!(farm.bare(&compile).status.success());
        assert!(object == farm.read("main.o"), "round {round}");
        farm.wait_up();
    }
}
