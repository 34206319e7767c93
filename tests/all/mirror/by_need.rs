//! Content that comes to a mirror only when somebody opens it.

use super::faults::noise;
use super::{
    Mirrored, cache, copies, start_hub, start_hub_of, start_named, start_with, start_worker,
};
use crate::support::{Farm, bin, text, wait_for, wait_for_end};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// A header of more than a megabyte.
pub(super) fn large_header(value: u32) -> String {
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
pub(super) fn is_hollow(path: &Path) -> bool {
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
    // It waited, and had not to be run twice for that.
    assert!(!pod.farm.log("pod1").contains("once more"));
    // What was opened once goes along from then on.
    pod.farm.write("inc/large.h", large_header(3));
    pod.settle();
    wait_for("the new content", || (!is_hollow(&large)).then_some(()));
    assert!(is_hollow(&other));
}

#[test]
fn a_pod_in_use_is_told_before_its_next_job_asks() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let pod = Mirrored::new(farm);
    pod.farm.cc_remote(&["gcc", "-c", "a.c"]);
    pod.farm.write("inc/small.h", "#define A 1\n");
    let copy = pod.copy().join("inc/small.h");
    let there = wait_for("the header", || fs::read(&copy).ok());
    assert_eq!(there, b"#define A 1\n");
    // And of what it lacks, as with a job, only that it is there.
    pod.farm.write("inc/large.h", large_header(1));
    let copy = pod.copy().join("inc/large.h");
    wait_for("the large one", || copy.exists().then_some(()));
    assert!(is_hollow(&copy));
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
    for round in 1..4 {
        farm.write("large.h", large_header(round));
        let mut job = farm.command(bin("cpods-cc"));
        let mut job = job.args(compile).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(u64::from(round) * 20));
        worker.kill();
        worker = start_worker(&farm);
        assert!(wait_for_end("a job", &mut job).success());
        let object = farm.read("main.o");
        assert!(farm.bare(&compile).status.success());
        assert!(object == farm.read("main.o"), "round {round}");
        farm.wait_up();
    }
}

/// A shell of the root's own, large enough to come by need.
pub(super) fn write_shell(farm: &Farm) {
    let mut program = fs::read("/bin/sh").unwrap();
    program.resize(1 << 20, 0);
    let path = farm.write("shell", program);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn whatever_a_job_does_with_such_a_file_is_right() {
    let farm = Farm::without_hub();
    let names = ["one", "two", "three", "four", "five", "six"];
    let content = |n: usize| noise(n as u64, 200 << 10);
    for (n, name) in names.iter().enumerate() {
        farm.write(name, content(n));
    }
    fs::hard_link(farm.root.join("one"), farm.root.join("one.twin")).unwrap();
    write_shell(&farm);
    let pod = Mirrored::new(farm);
    let farm = &pod.farm;
    let script = "cat one; cp two copy; ln three twin; mv four moved; : >five; chmod 600 six; \
                  cat one.twin";
    let output = farm.cc_remote(&["./shell", "-c", script]);
    assert!(output.stdout == [content(0), content(0)].concat());
    for (n, name) in [
        (1, "two"),
        (1, "copy"),
        (2, "three"),
        (2, "twin"),
        (3, "moved"),
        (5, "six"),
    ] {
        assert!(farm.read(name) == content(n), "{name}");
    }
    assert!(!farm.root.join("four").exists() && farm.read("five").is_empty());
    assert_eq!(
        fs::metadata(farm.root.join("six")).unwrap().mode() & 0o777,
        0o600
    );
}

#[test]
fn content_that_is_late_has_the_job_run_again() {
    let farm = Farm::without_hub();
    farm.write("main.c", "asm(\".incbin \\\"large\\\"\");\n");
    farm.write("large", noise(1, 40 << 20));
    let _worker = start_with(&farm, "pod1", &["--late-ms", "20"]);
    let _hub = start_hub(&farm);
    farm.wait_up();
    let compile = ["gcc", "-c", "main.c", "-o", "main.o"];
    farm.cc_remote(&compile);
    let object = farm.read("main.o");
    assert!(farm.bare(&compile).status.success());
    assert!(object == farm.read("main.o"));
    let log = farm.log("pod1");
    assert!(
        log.contains("jobs are run again") && log.contains("once more"),
        "{log}"
    );
    assert!(!log.contains("a hub was dropped"), "{log}");
}

#[test]
fn a_file_that_changes_before_it_is_opened_is_seen_as_it_is() {
    let farm = Farm::without_hub();
    farm.write("one", noise(1, 200 << 10));
    write_shell(&farm);
    let pod = Mirrored::new(farm);
    let farm = &pod.farm;
    let script = "sleep 3; cat one";
    let mut job = farm.command(bin("cpods-cc"));
    let job = job
        .env("CPODS_FALLBACK", "0")
        .args(["./shell", "-c", script]);
    let job = job.stdout(std::process::Stdio::piped()).spawn().unwrap();
    wait_for("the job to run", || {
        let status = farm.status()?;
        (status["running"] == 1).then_some(())
    });
    farm.write("one", noise(2, 200 << 10));
    let output = job.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let is = [1, 2].map(|seed| output.stdout == noise(seed, 200 << 10));
    assert!(is[1], "{is:?}, {} bytes", output.stdout.len());
}

#[test]
fn a_file_is_mapped_before_its_content_is_there() {
    let farm = Farm::without_hub();
    farm.write("one", noise(1, 3 << 20));
    write_shell(&farm);
    let pod = Mirrored::new(farm);
    let farm = &pod.farm;
    let script = "python3 -c \"import mmap, sys
file = open('one', 'rb')
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
sys.stdout.buffer.write(mapped[-5:] + mapped[:])\"";
    assert!(is_hollow(&pod.copy().join("one")));
    let output = farm.cc_remote(&["./shell", "-c", script]);
    let content = noise(1, 3 << 20);
    assert!(output.stdout == [&content[content.len() - 5..], &content[..]].concat());
}

#[test]
fn what_jobs_opened_is_known_to_the_next_hub() {
    let farm = Farm::without_hub();
    farm.write("large.h", large_header(1));
    farm.write("other.h", large_header(2));
    farm.write(
        "main.c",
        "#include \"large.h\"\nint f(void) { return VALUE; }\n",
    );
    let _worker = start_worker(&farm);
    let hub = start_hub(&farm);
    farm.wait_up();
    let compile = ["gcc", "-g", "-c", "main.c", "-o", "main.o"];
    farm.cc_remote(&compile);
    let opened = || farm.log("schedd").matches("`large.h` was opened").count();
    assert_eq!(opened(), 1);
    let root = blake3::hash(farm.root.as_os_str().as_bytes()).to_hex();
    let names = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache/cpods/index");
    let names = names.join(format!("{}.opened", &root[..16]));
    wait_for("the name to be written down", || {
        (fs::read(&names).ok()? == b"large.h").then_some(())
    });
    drop(hub);
    // A pod that never had it, of a hub that never saw a job.
    let _second = start_named(&farm, "pod2");
    let _hub = start_hub_of(&farm, &["pod2"], "hub.sock");
    farm.wait_up();
    let copy = copies(&cache(&farm, "pod2")).remove(0);
    wait_for("the content", || {
        (!is_hollow(&copy.join("large.h"))).then_some(())
    });
    assert!(is_hollow(&copy.join("other.h")));
    farm.cc_remote(&compile);
    assert_eq!(opened(), 1, "it was sent along");
    let object = farm.read("main.o");
    assert!(farm.bare(&compile).status.success());
    assert!(object == farm.read("main.o"));
}
