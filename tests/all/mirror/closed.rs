//! Files whose content no mirror can have: how they look there, and where jobs that need them run.

use super::Mirrored;
use super::by_need::write_shell;
use super::faults::noise;
use crate::support::{Daemon, Farm, bin, text, wait_for_end};
use crate::tool::make_tool;
use std::fs;
use std::process::{Output, Stdio};
use std::time::Duration;

/// More than is copied.
const HUGE: u64 = 300 << 20;

fn with_huge() -> Mirrored {
    let farm = Farm::without_hub();
    let huge = fs::File::create(farm.root.join("huge")).unwrap();
    huge.set_len(HUGE).unwrap();
    write_shell(&farm);
    farm.write("size.sh", "wc -c <$1\n");
    Mirrored::new(farm)
}

/// Runs a job where it can be.
fn anywhere(farm: &Farm, argv: &[&str]) -> Output {
    let mut job = farm.command(bin("cpods-cc"));
    let output = job.args(argv).output().unwrap();
    assert!(output.status.success(), "{argv:?}: {}", text(&output));
    output
}

#[test]
fn a_large_file_has_its_size_there() {
    let pod = with_huge();
    let script = "test -s huge && test ! -e absent && find . -name huge -size +200M -printf %s";
    let output = pod.farm.cc_remote(&["./shell", "-c", script]);
    assert_eq!(output.stdout, HUGE.to_string().as_bytes());
    let copy = fs::metadata(pod.copy().join("huge")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::blocks(&copy), 0);
    // And after it changed.
    let huge = pod.farm.root.join("huge");
    let huge = fs::File::options().write(true).open(huge).unwrap();
    huge.set_len(HUGE + 7).unwrap();
    let output = pod.farm.cc_remote(&["./shell", "-c", script]);
    assert_eq!(output.stdout, (HUGE + 7).to_string().as_bytes());
}

#[test]
fn jobs_that_need_a_large_file_run_here() {
    let pod = with_huge();
    let size = format!("{HUGE}\n").into_bytes();
    let before = pod.farm.finished();
    for _ in 0..20 {
        let output = anywhere(&pod.farm, &["./shell", "size.sh", "huge"]);
        assert_eq!(output.stdout, size);
    }
    assert_eq!(pod.farm.finished(), before, "its command line names it");
    let status = pod.farm.status().unwrap();
    let why = "declined: an input is too large to be copied";
    let local = status["local"].as_array().unwrap().iter();
    let jobs = local
        .filter(|it| it["why"].as_str().unwrap().ends_with(why))
        .map(|it| &it["jobs"]);
    assert_eq!(jobs.collect::<Vec<_>>(), [20], "{status}");
    // One of which only the job knows.
    let output = anywhere(&pod.farm, &["./shell", "-c", "wc -c <huge"]);
    assert_eq!(output.stdout, size);
    assert_eq!(pod.farm.finished(), before + 1, "the pod is none the worse");
}

#[test]
fn a_file_that_never_rests_is_opened_and_all_goes_on() {
    let farm = Farm::without_hub();
    make_tool(&farm);
    write_shell(&farm);
    farm.write("large.db", noise(1, 5 << 20));
    let mut scribble = farm.command(farm.root.join("tool"));
    let scribble = scribble.args(["scribble", "large.db"]).spawn();
    let scribble = Daemon::new(scribble.unwrap());
    let pod = Mirrored::new(farm);
    let farm = &pod.farm;
    let mut job = farm.command(bin("cpods-cc"));
    job.args(["./shell", "-c", "wc -c <large.db"])
        .stdout(Stdio::piped());
    let mut job = job.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    for round in 0..20 {
        farm.write("a.c", format!("int a = {round};\n"));
        // With no fallback.
        let output = farm.cc(&["gcc", "-c", "a.c", "-o", "a.o"]);
        assert!(output.status.success(), "{}", text(&output));
    }
    assert!(wait_for_end("the job that opened it", &mut job).success());
    let output = job.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"5242880\n");
    let log = farm.log("schedd");
    let tries = log.matches("`large.db` was opened").count();
    assert!((1..=3).contains(&tries), "{tries}");
    assert!(log.contains("is never at rest: jobs that need it run here"));
    // Also those that name it.
    let before = farm.finished();
    let script = "for i; do wc -c <$i; done";
    farm.write("sizes.sh", script);
    let output = anywhere(farm, &["./shell", "sizes.sh", "large.db"]);
    assert_eq!(output.stdout, b"5242880\n");
    assert_eq!(farm.finished(), before);
    drop(scribble);
}
