//! How jobs end under a real Ninja: interrupted, by odd exit codes, with children left behind, and
//! beside an edit of what they read.

use crate::project::{Project, ninjas};
use crate::support::{Farm, text, wait_for_end};
use crate::tool::{make_tool, release_until, wait_for_gates, wait_for_nothing_left};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;

fn each(test: impl Fn(&Farm, &std::path::Path, &str)) {
    let farm = Farm::new();
    make_tool(&farm);
    for (number, ninja) in ninjas().iter().enumerate() {
        test(&farm, ninja, &format!("p{number}"));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn gate_edge(number: usize) -> String {
    format!("build out{number}: tool in{number}\n  trick = gate in{number} out{number}\n")
}

#[test]
fn ctrl_c_and_a_rebuild_at_once_leave_nothing_stale() {
    each(|farm, ninja, name| {
        for sent in [Signal::INT, Signal::TERM] {
            let name = format!("{name}-{}", sent.as_raw());
            let edges: String = (0..2).map(gate_edge).collect();
            let project = Project::of_c(farm, &name, ninja, "cc", 4, &edges);
            for n in 0..2 {
                project.write(&format!("in{n}"), "slow first\n");
            }
            let mut build = project.start(&["-j4", "out0", "out1"]);
            wait_for_gates(farm, 2);
            signal(&build, sent);
            assert!(!wait_for_end("the interrupted Ninja", &mut build).success());
            assert!(project.said().contains("interrupted"), "{}", project.said());
            // At once, before the pod can have killed what it ran.
            for n in 0..2 {
                project.write(&format!("in{n}"), format!("quick {n}\n"));
            }
            project.build(&["-j4"]);
            wait_for_nothing_left(farm);
            for n in 0..2 {
                let out = project.read(&format!("out{n}"));
                assert_eq!(String::from_utf8(out).unwrap(), format!("quick {n}\n"));
            }
            project.assert_nothing_to_do();
            project.assert_no_temporaries();
            project.assert_objects_equal_local("cc", 4);
        }
    });
}

#[test]
fn an_interrupted_compile_leaves_no_output() {
    each(|farm, ninja, name| {
        let project = Project::new(farm, name, ninja, "build heavy.o: cc heavy.c\n");
        // Far longer in the compiler than it takes to be interrupted.
        let heavy: String = (0..40_000)
            .map(|n| format!("int f{n}(int x) {{ return x * {n} + x / ({n} + 1); }}\n"))
            .collect();
        project.write("heavy.c", heavy);
        let mut build = project.start(&[]);
        crate::support::wait_for("the compiler on the pod", || {
            let all = crate::tool::Process::all("heavy.c");
            all.iter()
                .any(|process| process.name() == "cc1")
                .then_some(())
        });
        signal(&build, Signal::INT);
        assert!(!wait_for_end("the interrupted Ninja", &mut build).success());
        assert!(!project.exists("heavy.o"));
        project.assert_no_temporaries();
        project.write("heavy.c", "int light;\n");
        assert_eq!(project.build(&[]), 1);
        wait_for_nothing_left(farm);
        let ours = project.read("heavy.o");
        assert!(
            farm.command_in(&project.dir, "gcc")
                .args(["-g", "-O1", "-Iinc", "-c", "heavy.c", "-o", "heavy.o"])
                .status()
                .unwrap()
                .success()
        );
        assert!(ours == project.read("heavy.o"));
    });
}

#[test]
fn a_child_left_behind_does_not_stall_the_edge() {
    each(|farm, ninja, name| {
        let edge = "build out: tool\n  trick = leave out\n";
        let project = Project::new(farm, name, ninja, edge);
        let mut build = project.start(&[]);
        assert!(wait_for_end("an edge whose tool left a child", &mut build).success());
        assert_eq!(project.read("out"), b"left\n");
        wait_for_nothing_left(farm);
    });
}

#[test]
fn exit_130_and_deadly_signals_do_not_end_the_build() {
    each(|farm, ninja, name| {
        for (trick, code) in [("exit 130", None), ("die 6", None), ("exit 7", Some("7"))] {
            let name = format!("{name}-{}", trick.replace(' ', "-"));
            let edges = format!(
                "build bad: tool\n  trick = {trick}\nbuild good: tool in\n  trick = gate in good\n"
            );
            let project = Project::new(farm, &name, ninja, &edges);
            project.write("in", "quick\n");
            let before = farm.finished();
            let output = project.command().args(["-k0", "-j1"]).output().unwrap();
            let said = text(&output);
            assert!(
                !output.status.success() && output.status.code() != Some(130),
                "{said}"
            );
            assert!(
                said.contains("FAILED: bad") || said.contains("FAILED: [code="),
                "{said}"
            );
            assert!(!said.contains("interrupted"), "{said}");
            assert_eq!(
                project.read("good"),
                b"quick\n",
                "{trick}: the build went on"
            );
            assert!(farm.finished() > before);
            if let Some(code) = code {
                let output = farm.cc(&["./tool", "exit", code]);
                assert_eq!(text(&output), text(&farm.bare(&["./tool", "exit", code])));
            }
        }
    });
}

#[test]
fn an_input_edited_while_its_job_runs_is_built_again() {
    each(|farm, ninja, name| {
        let project = Project::new(farm, name, ninja, &gate_edge(0));
        project.write("in0", "slow first\n");
        let mut build = project.start(&[]);
        wait_for_gates(farm, 1);
        project.write("in0", "second\n");
        let ended = release_until(farm, "the build", || build.try_wait().unwrap());
        assert!(ended.success(), "{}", project.said());
        assert_eq!(project.read("out0"), b"slow first\n");
        assert_eq!(project.build(&[]), 1, "the edit was lost");
        assert_eq!(project.read("out0"), b"second\n");
        project.assert_nothing_to_do();
    });
}
