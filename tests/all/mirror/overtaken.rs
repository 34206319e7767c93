//! Files of a job that somebody changes while it runs: nothing old goes over them.

use super::Mirrored;
use super::faults::noise;
use crate::support::{Farm, bin, wait_for, wait_for_end};
use crate::tool::{gates, make_tool};
use rustix::process::Signal;
use std::fs;

/// What the job opens to change it.
const HELD: [&str; 9] = [
    "saved",
    "edited",
    "large",
    "gone",
    "dir/inside",
    "mapped",
    "mapped-saved",
    "mapped-gone",
    "dir/swapped/x",
];

fn prepare(farm: &Farm) {
    make_tool(farm);
    for name in HELD {
        farm.write(name, format!("old {name}"));
    }
    farm.write("large", noise(1, 300 << 10));
    farm.write("other/x", "of another directory");
}

/// Runs the job, and changes its files before it ends; `seen` waits until they are seen there.
fn hold(farm: &Farm, held: &[&str], seen: impl FnOnce()) {
    let mut job = farm.command(bin("cpods-cc"));
    job.arg(farm.root.join("tool")).arg("hold").args(held);
    let mut job = job.env("CPODS_FALLBACK", "0").spawn().unwrap();
    let gate = wait_for("the job to have opened its files", || {
        gates(farm).into_iter().next()
    });
    let save = |name: &str, content: Vec<u8>| {
        let aside = farm.write("aside", content);
        fs::rename(aside, farm.root.join(name)).unwrap();
    };
    for name in ["saved", "mapped-saved"] {
        save(name, b"the user's".into());
    }
    save("large", noise(2, 300 << 10));
    farm.write("edited", "the user's, in place");
    fs::remove_file(farm.root.join("gone")).unwrap();
    fs::remove_file(farm.root.join("mapped-gone")).unwrap();
    fs::remove_file(farm.root.join("dir/inside")).unwrap();
    if held.contains(&"dir/swapped/x") {
        fs::rename(farm.root.join("dir/swapped"), farm.root.join("was")).unwrap();
        fs::rename(farm.root.join("other"), farm.root.join("dir/swapped")).unwrap();
    }
    seen();
    gate.signal(Signal::USR1);
    assert!(wait_for_end("the job", &mut job).success());
    assert_eq!(farm.read("saved"), b"the user's");
    assert_eq!(farm.read("mapped-saved"), b"the user's");
    assert_eq!(farm.read("edited"), b"the user's, in place");
    assert!(farm.read("large") == noise(2, 300 << 10));
    for name in ["gone", "mapped-gone", "dir/inside"] {
        assert!(!farm.root.join(name).exists(), "{name}");
    }
    assert_eq!(farm.read("mapped"), b"Jld mapped", "that is the job's");
}

#[test]
fn what_a_job_copied_up_does_not_go_over_an_edit() {
    let farm = Farm::without_hub();
    prepare(&farm);
    let pod = Mirrored::new(farm);
    hold(&pod.farm, &HELD, || {
        let copy = pod.copy();
        let read = |name: &str| fs::read(copy.join(name)).unwrap_or_default();
        wait_for("the pod to be told", || {
            let told = read("saved") == b"the user's"
                && read("edited") == b"the user's, in place"
                && read("dir/swapped/x") == b"of another directory"
                && !copy.join("dir/inside").exists();
            told.then_some(())
        });
    });
    assert_eq!(pod.farm.read("dir/swapped/x"), b"of another directory");
    assert_eq!(pod.farm.finished(), 1);
}

#[test]
fn nor_where_the_pod_has_the_hubs_own_files() {
    let farm = Farm::new();
    prepare(&farm);
    hold(&farm, &HELD[..HELD.len() - 1], || ());
    assert_eq!(farm.finished(), 1);
}

#[test]
fn nor_before_the_pod_is_told() {
    let farm = Farm::without_hub();
    prepare(&farm);
    let pod = Mirrored::new(farm);
    hold(&pod.farm, &HELD[..HELD.len() - 1], || ());
}

#[test]
fn what_a_job_moves_and_touches_comes_all_the_same() {
    let farm = Farm::without_hub();
    for name in ["from", "over", "old", "copied", "linked"] {
        farm.write(name, name);
    }
    super::by_need::write_shell(&farm);
    let pod = Mirrored::new(farm);
    let time = |name: &str| {
        let found = fs::metadata(pod.farm.root.join(name)).unwrap();
        found.modified().unwrap()
    };
    let before = time("old");
    let script = "touch -d 2001-02-03 old; cp -p old copied; ln linked twin";
    pod.farm.cc_remote(&["./shell", "-c", script]);
    assert_eq!(pod.farm.read("copied"), b"old");
    assert!(time("old") > before, "it carries the time of its job");
    assert_eq!(pod.farm.read("twin"), b"linked");
    pod.farm
        .cc_remote(&["./shell", "-c", "mv from to; mv over old"]);
    assert_eq!(pod.farm.read("to"), b"from");
    assert_eq!(pod.farm.read("old"), b"over");
    assert!(!pod.farm.root.join("from").exists() && !pod.farm.root.join("over").exists());
}
