//! What runs locally, when, how many at a time, and what is said of it.

use crate::support::{Farm, bin, text, wait_for, wait_for_end};
use crate::tool::{Process, gates, make_tool, wait_for_nothing_left};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::time::{Duration, Instant};

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

#[test]
fn without_a_hub_everything_runs_locally_and_in_silence() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int f(void) { return 1 / 0; }\n");
    for socket in ["absent.sock", "absent/hub.sock"] {
        let args = ["gcc", "-c", "a.c", "-o", "a.o"];
        let mut command = farm.command("cpods-cc");
        command
            .env("CPODS_HUB", farm.dir.path().join(socket))
            .args(args);
        let ours = command.output().unwrap();
        let object = farm.read("a.o");
        assert_eq!(text(&ours), text(&farm.bare(&args)));
        assert!(ours.status.success() && object == farm.read("a.o"));
        let refused = command.env("CPODS_FALLBACK", "0").output().unwrap();
        assert_eq!(refused.status.code(), Some(125));
        assert!(
            text(&refused).contains("no hub is running"),
            "{}",
            text(&refused)
        );
    }
}

#[test]
fn a_socket_that_nobody_serves_any_more_is_no_hub() {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    farm.schedd.kill();
    assert!(farm.hub_socket().exists(), "left by kill -9");
    let output = farm.bare(&["cpods-cc", "gcc", "-c", "a.c"]);
    assert_eq!(text(&output), "exit status: 0\n");
    // And a new hub takes its place.
    let _again = farm.start_schedd_again();
    farm.wait_up();
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}

#[test]
fn a_hub_without_a_fitting_pod_says_so_when_asked() {
    let farm = Farm::of(&[], &[]);
    farm.write("a.c", "int a;\n");
    let args = ["cpods-cc", "gcc", "-c", "a.c"];
    assert_eq!(text(&farm.bare(&args)), "exit status: 0\n");
    let refused = farm.cc(&args[1..]);
    assert_eq!(refused.status.code(), Some(125));
    let said = text(&refused);
    assert!(
        said.contains("gcc") && said.contains("0 of 0 pods"),
        "{said}"
    );
    assert_eq!(farm.status().unwrap()["local"][0]["jobs"], 2);
}

/// Whether a wrapper has become its tool; before that it waits for a slot.
fn stand(farm: &Farm) -> (usize, usize) {
    let wrappers = Process::all(&farm.tag());
    let waiting = wrappers
        .iter()
        .filter(|process| process.name() == "cpods-cc")
        .count();
    (gates(farm).len(), waiting)
}

/// Lets the jobs through one by one, and never sees more than `most` at once.
fn drain(farm: &Farm, jobs: &mut Vec<Child>, most: usize) {
    while !jobs.is_empty() {
        let running = most.min(jobs.len());
        wait_for("the slots to be full", || {
            (gates(farm).len() >= running).then_some(())
        });
        // Those that wait have every chance to go on, if nothing holds them.
        for _ in 0..20 {
            let (at_gate, waiting) = stand(farm);
            assert!(
                at_gate <= most,
                "{at_gate} jobs on {most} cores, {waiting} wait"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        gates(farm)[0].signal(Signal::USR1);
        wait_for("one job's end", || {
            let ended = jobs
                .iter_mut()
                .position(|job| job.try_wait().unwrap().is_some())?;
            let status = jobs.swap_remove(ended).wait().unwrap();
            assert!(status.success());
            Some(())
        });
    }
}

#[test]
fn local_runs_of_all_wrappers_are_never_more_than_cores() {
    let farm = Farm::without_hub();
    make_tool(&farm);
    farm.write("in", "slow\n");
    let tag = farm.tag();
    let mut jobs: Vec<_> = (0..cores() * 2 + 1)
        .map(|n| {
            let out = format!("out{n}");
            farm.command("cpods-cc")
                .args(["./tool", "gate", "in", &out, &tag])
                .spawn()
                .unwrap()
        })
        .collect();
    drain(&farm, &mut jobs, cores());
    wait_for_nothing_left(&farm);
}

#[test]
fn the_hubs_own_pod_and_local_runs_share_the_cores() {
    let farm = Farm::without_hub();
    make_tool(&farm);
    farm.write("in", "slow\n");
    // Half of the wrappers find the hub of `cpods run`, half find none and run locally.
    let script = "for n in 1 2 3; do \
         cpods-cc ./tool gate in remote$n $0 & \
         CPODS_HUB=/nonexistent cpods-cc ./tool gate in local$n $0 & \
         done; wait";
    let mut run = farm
        .command(bin("cpods"))
        .args(["run", "-q", "-j3", "--root"])
        .arg(&farm.root)
        .args(["--", "sh", "-c", script, &farm.tag()])
        .spawn()
        .unwrap();
    for _ in 0..6 {
        let most = cores();
        wait_for("a job", || (!gates(&farm).is_empty()).then_some(()));
        for _ in 0..20 {
            assert!(gates(&farm).len() <= most);
            std::thread::sleep(Duration::from_millis(5));
        }
        let gate = gates(&farm).remove(0);
        gate.signal(Signal::USR1);
        wait_for("its end", || {
            gates(&farm)
                .iter()
                .all(|other| other.pid != gate.pid)
                .then_some(())
        });
    }
    assert!(wait_for_end("cpods run", &mut run).success());
    for n in 1..=3 {
        assert_eq!(farm.read(&format!("remote{n}")), b"slow\n");
        assert_eq!(farm.read(&format!("local{n}")), b"slow\n");
    }
}

#[test]
fn a_wrapper_inside_a_local_tool_takes_no_second_slot() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    // A driver under the name of a known tool that calls the wrapper, to a depth above the cores.
    let driver =
        "#!/bin/sh\n[ $1 = 0 ] && exec gcc -c a.c -o nested.o\nexec cpods-cc ./gcc $(($1 - 1))\n";
    let path = farm.write("gcc", driver);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    let depth = (cores() + 2).to_string();
    let mut job = farm
        .command("cpods-cc")
        .args(["./gcc", &depth])
        .spawn()
        .unwrap();
    assert!(wait_for_end("nested wrappers", &mut job).success());
    assert!(farm.root.join("nested.o").exists());
}

#[test]
fn a_tool_that_the_hub_lacks_waits_and_is_then_refused_by_name() {
    let farm = Farm::of(&[("overlay", 1)], &["--patience", "1"]);
    farm.write("a.smt2", "(check-sat)\n");
    for fallback in ["0", "1"] {
        let mut command = farm.command("cpods-cc");
        let output = command
            .env("CPODS_FALLBACK", fallback)
            .args(["z3-77", "a.smt2"])
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(125));
        let said = text(&output);
        assert!(said.contains("z3-77") && said.contains("pod1"), "{said}");
    }
}

#[test]
fn a_tool_that_the_hub_lacks_runs_once_a_pod_offers_it() {
    let farm = Farm::of(&[("overlay", 1)], &[]);
    make_tool(&farm);
    farm.write("a.c", "int a;\n");
    // The wrapper's PATH holds no compiler at all; the pod's does.
    let mut command = farm.command(bin("cpods-cc"));
    command
        .env("PATH", "/nonexistent")
        .args(["gcc", "-c", "a.c", "-o", "a.o"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let object = farm.read("a.o");
    assert!(
        farm.bare(&["gcc", "-c", "a.c", "-o", "a.o"])
            .status
            .success()
    );
    assert!(object == farm.read("a.o"));
    assert_eq!(farm.finished(), 1);
}

/// A compilation by a wrapper on whose machine there is no compiler.
fn lacking(farm: &Farm) -> Child {
    let mut command = farm.command(bin("cpods-cc"));
    command
        .env("PATH", "/nonexistent")
        .args(["gcc", "-c", "a.c", "-o", "a.o"]);
    command.spawn().unwrap()
}

/// Longer than a hub is waited for where the tool is there.
const LONG: Duration = Duration::from_millis(4500);

#[test]
fn a_tool_that_only_pods_have_waits_for_a_hub_that_is_away() {
    let farm = Farm::of(&[("overlay", 1)], &[]);
    farm.write("a.c", "int a;\n");
    farm.schedd.kill();
    let mut job = lacking(&farm);
    std::thread::sleep(LONG);
    assert!(job.try_wait().unwrap().is_none(), "it waits");
    let _again = farm.start_schedd_again();
    assert!(wait_for_end("the job", &mut job).success());
    assert!(farm.root.join("a.o").exists());
}

#[test]
fn a_tool_that_only_pods_have_waits_for_a_hub_that_stops_in_mid_job() {
    let farm = Farm::of(&[("overlay", 1)], &[]);
    farm.write("a.c", "int a;\n");
    farm.workds[0].signal(Signal::STOP);
    let mut job = lacking(&farm);
    wait_for("the job to be placed", || {
        (farm.status()?["running"] == 1).then_some(())
    });
    farm.schedd.signal(Signal::TERM);
    assert!(farm.schedd.wait().success());
    assert!(!farm.hub_socket().exists());
    farm.workds[0].signal(Signal::CONT);
    std::thread::sleep(LONG);
    assert!(job.try_wait().unwrap().is_none(), "it waits");
    let _again = farm.start_schedd_again();
    assert!(wait_for_end("the job", &mut job).success());
    assert!(farm.root.join("a.o").exists());
}

#[test]
fn a_tool_that_is_nowhere_is_waited_for_only_where_there_is_a_hub() {
    let farm = Farm::without_hub();
    farm.write("a.smt2", "(check-sat)\n");
    let config = farm.dir.path().join("config");
    let run = || {
        let mut command = farm.command("cpods-cc");
        let command = command.env_remove("CPODS_HUB");
        let command = command.env("XDG_CONFIG_HOME", &config);
        let command = command.env("CPODS_PATIENCE", "2").args(["z3-77", "a.smt2"]);
        let begun = Instant::now();
        (command.output().unwrap(), begun.elapsed())
    };
    let (none, took) = run();
    assert_eq!(none.status.code(), Some(127), "{}", text(&none));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let wants = config.join("systemd/user/default.target.wants");
    std::fs::create_dir_all(&wants).unwrap();
    std::fs::write(wants.join("cpods-schedd.service"), "").unwrap();
    let (away, took) = run();
    assert_eq!(away.status.code(), Some(125), "{}", text(&away));
    assert!(took >= Duration::from_secs(2), "{took:?}");
    let said = text(&away);
    assert!(
        said.contains("`z3-77`") && said.contains("no hub is running"),
        "{said}"
    );
}

#[test]
fn a_stopped_hub_does_not_stop_the_build() {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    farm.schedd.signal(Signal::STOP);
    let mut job = farm
        .command("cpods-cc")
        .args(["gcc", "-c", "a.c"])
        .spawn()
        .unwrap();
    assert!(wait_for_end("a job beside a stopped hub", &mut job).success());
    assert!(farm.root.join("a.o").exists());
}
