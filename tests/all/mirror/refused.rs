//! Files without content that a job does not wait for, and such whose content is gone once it waits.

use super::by_need::{is_hollow, write_shell};
use super::faults::noise;
use super::slow::Line;
use super::{Mirrored, start_hub, start_named};
use crate::support::{Farm, bin, text, wait_for, wait_for_answer};
use std::process::Stdio;
use std::sync::atomic::Ordering;

#[test]
fn a_job_that_takes_no_notice_of_a_refused_file_is_run_again() {
    let farm = Farm::without_hub();
    farm.write("one", noise(1, 200 << 10));
    write_shell(&farm);
    let pod = Mirrored::new(farm);
    let farm = &pod.farm;
    // The program itself is there in full by then.
    farm.cc_remote(&["./shell", "-c", ":"]);
    assert!(is_hollow(&pod.copy().join("one")));
    let times = || farm.log("pod1").matches("once more").count();
    let before = times();
    // Without content it says nothing and ends well.
    let script = "dd if=one iflag=nonblock bs=1M status=none 2>/dev/null | md5sum";
    let output = farm.cc_remote(&["./shell", "-c", script]);
    let here = farm.bare(&["sh", "-c", "md5sum <one"]);
    assert_eq!(text(&output), text(&here));
    assert_eq!(times(), before + 1);
    // What is there is there.
    farm.cc_remote(&["./shell", "-c", script]);
    assert_eq!(times(), before + 1);
}

#[test]
fn content_that_is_gone_while_a_job_waits_for_it_has_the_job_run_again() {
    const LARGE: usize = 24 << 20;
    let farm = Farm::without_hub();
    farm.write("large", noise(1, LARGE));
    write_shell(&farm);
    let _worker = start_named(&farm, "real");
    wait_for_answer("the worker", &farm.dir.path().join("real.sock"));
    let line = Line::start(&farm, "pod1", "real");
    let _hub = start_hub(&farm);
    farm.wait_up();
    farm.cc_remote(&["./shell", "-c", ":"]);
    let times = || farm.log("real").matches("once more").count();
    let (before, passed) = (times(), line.passed());
    line.most_bytes
        .store(passed + LARGE as u64 / 4, Ordering::Relaxed);
    let mut job = farm.command(bin("cpods-cc"));
    let job = job.args(["./shell", "-c", "md5sum large"]);
    let job = job.env("CPODS_FALLBACK", "0").stdout(Stdio::piped());
    let job = job.spawn().unwrap();
    wait_for("the content to be on its way", || {
        (line.passed() > passed + (2 << 20)).then_some(())
    });
    // The same file, so that its reader is at its end.
    farm.write("large", "short");
    line.most_bytes.store(u64::MAX, Ordering::Relaxed);
    let output = job.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(output.stdout, farm.bare(&["md5sum", "large"]).stdout);
    assert!(times() > before);
}
