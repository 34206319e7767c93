//! Daemons and wrappers that die, hang or are stopped in the middle of a real build.
//!
//! A job that stands at its gate (see `tool.rs`) keeps the build in its middle until the fault has
//! happened, so that nothing here depends on time.

use crate::project::Project;
use crate::support::{Farm, text, wait_for, wait_for_end};
use crate::tool::{
    Process, gates, make_tool, release_until, wait_for_gates, wait_for_nothing_left,
    wait_until_gone,
};
use rustix::process::Signal;
use std::path::Path;
use std::process::Child;

const SOURCES: usize = 60;

/// A project of many compiles and one job that waits at its gate.
fn project(farm: &Farm) -> Project<'_> {
    make_tool(farm);
    let edge = "build gated: tool in\n  trick = gate in gated\n";
    let project = Project::of_c(farm, "p", Path::new("ninja"), "cc", SOURCES, edge);
    project.write("in", "slow\n");
    project
}

/// Starts the build and waits until it is in its middle.
fn start(project: &Project<'_>) -> Child {
    let farm = project.farm;
    let build = project.start(&["-j8", "-k0"]);
    wait_for_gates(farm, 1);
    wait_for("some objects", || (farm.finished() >= 5).then_some(()));
    build
}

/// Lets the build end, and checks what it made.
fn succeed(project: &Project<'_>, build: &mut Child) {
    let ended = release_until(project.farm, "the build", || build.try_wait().unwrap());
    assert!(ended.success(), "{}", project.said());
    let chatter = project.said().lines().any(|line| line.starts_with("cpods"));
    assert!(!chatter, "not silent: {}", project.said());
    check(project);
}

fn check(project: &Project<'_>) {
    project.assert_nothing_to_do();
    project.assert_objects_equal_local("cc", SOURCES);
    project.assert_no_temporaries();
    assert_eq!(project.read("gated"), b"slow\n");
    wait_for_nothing_left(project.farm);
}

#[test]
fn a_killed_worker_that_comes_back() {
    let farm = Farm::new();
    let project = project(&farm);
    let mut build = start(&project);
    let below = Process::below(farm.workds[0].pid());
    assert!(below.len() > 1, "the job and its sandbox");
    farm.workds[0].kill();
    wait_until_gone(&below);
    let _again = farm.start_workd_again();
    succeed(&project, &mut build);
}

#[test]
fn a_killed_worker_that_stays_away() {
    let farm = Farm::new();
    let project = project(&farm);
    let mut build = start(&project);
    farm.workds[0].kill();
    succeed(&project, &mut build);
    assert_eq!(farm.status().unwrap()["pods"][0]["up"], false);
}

#[test]
fn a_killed_scheduler_that_comes_back() {
    let farm = Farm::new();
    let project = project(&farm);
    let mut build = start(&project);
    farm.schedd.kill();
    let _again = farm.start_schedd_again();
    succeed(&project, &mut build);
    // It is the new one that was used, and the pod joined it by itself.
    farm.wait_up();
    farm.cc_remote(&["gcc", "-c", "p/src/f0.c", "-Ip/inc", "-o", "again.o"]);
}

#[test]
fn a_killed_scheduler_that_stays_away() {
    let farm = Farm::new();
    let project = project(&farm);
    let mut build = start(&project);
    farm.schedd.kill();
    succeed(&project, &mut build);
}

#[test]
fn a_killed_wrapper_fails_its_edge_alone() {
    let farm = Farm::new();
    let project = project(&farm);
    let mut build = start(&project);
    let wrapper = Process::all(&farm.tag())
        .into_iter()
        .find(|process| {
            process.name() == "cpods-cc" && process.argv.iter().any(|word| word == "gate")
        })
        .expect("the wrapper of the waiting job");
    wrapper.signal(Signal::KILL);
    // Its job goes with it; nobody lets it through.
    wait_for("the job to be killed", || {
        gates(&farm).is_empty().then_some(())
    });
    let ended = wait_for_end("the build", &mut build);
    assert_eq!(ended.code(), Some(1));
    assert_eq!(
        project.said().matches("FAILED: ").count(),
        1,
        "{}",
        project.said()
    );
    assert!(!project.exists("gated"));
    project.write("in", "quick\n");
    assert_eq!(project.build(&[]), 1);
    assert_eq!(project.read("gated"), b"quick\n");
    project.write("in", "slow\n");
    let mut build = project.start(&[]);
    succeed(&project, &mut build);
}

#[test]
fn a_stopped_worker_is_noticed_and_its_jobs_move() {
    let farm = Farm::of(&[("overlay", 1), ("overlay", 1)], &[]);
    make_tool(&farm);
    farm.write("in", "slow\n");
    let tag = farm.tag();
    let start = || {
        farm.command("cpods-cc")
            .args(["./tool", "gate", "in", "out", &tag])
            .spawn()
    };
    let mut job = start().unwrap();
    let first = wait_for_gates(&farm, 1).remove(0);
    let status = farm.status().unwrap();
    let stopped = (0..2).find(|n| status["pods"][n]["running"] == 1).unwrap();
    farm.workds[stopped].signal(Signal::STOP);
    let second = wait_for("the job on the other pod", || {
        gates(&farm).into_iter().find(|gate| gate.pid != first.pid)
    });
    second.signal(Signal::USR1);
    assert!(wait_for_end("the job", &mut job).success());
    assert_eq!(farm.read("out"), b"slow\n");
    // What the lost pod does later counts for nothing.
    farm.write("out", "newer\n");
    farm.workds[stopped].signal(Signal::CONT);
    farm.wait_up();
    wait_for_nothing_left(&farm);
    assert_eq!(farm.read("out"), b"newer\n");
}

#[test]
fn sigterm_ends_both_daemons_cleanly() {
    for first in ["cpods-workd", "cpods-schedd"] {
        let farm = Farm::new();
        make_tool(&farm);
        farm.write("in", "slow\n");
        let tag = farm.tag();
        let mut job = farm
            .command("cpods-cc")
            .args(["./tool", "gate", "in", "out", &tag])
            .spawn()
            .unwrap();
        wait_for_gates(&farm, 1);
        let below = Process::below(farm.workds[0].pid());
        assert!(below.len() > 1, "the job and its sandbox");
        let worker_first = first == "cpods-workd";
        for is_worker in [worker_first, !worker_first] {
            let daemon = if is_worker {
                &farm.workds[0]
            } else {
                &farm.schedd
            };
            daemon.signal(Signal::TERM);
            let ended = daemon.wait();
            assert_eq!(ended.code(), Some(0), "worker: {is_worker}");
        }
        wait_until_gone(&below);
        assert!(!farm.hub_socket().exists() && !farm.pod_socket().exists());
        // The job goes on here, in its own words: there is nobody else.
        let ended = release_until(&farm, "the job", || job.try_wait().unwrap());
        assert!(ended.success());
        assert_eq!(farm.read("out"), b"slow\n");
        wait_for_nothing_left(&farm);
        let left = Process::all(&farm.tag());
        assert!(left.is_empty(), "{left:?}");
        assert!(text(&farm.bare(&["cpods", "status"])).contains("hub.sock"));
    }
}
