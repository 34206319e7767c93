//! `cpods run`, `slots`, `status` and `explain`.

use crate::project::Project;
use crate::support::{Farm, text, wait_for, wait_for_end};
use crate::tool::{make_tool, wait_for_gates};
use rustix::process::Signal;
use std::path::Path;
use std::process::{Command, Output};

/// `cpods run` with a hub of its own, in a farm's root.
fn run(farm: &Farm, options: &[&str], build: &[&str]) -> Output {
    let mut command = own_hub(farm);
    command
        .arg("--root")
        .arg(&farm.root)
        .args(options)
        .arg("--")
        .args(build);
    command.output().unwrap()
}

fn own_hub(farm: &Farm) -> Command {
    let mut command = farm.command("cpods");
    command.env_remove("CPODS_HUB").arg("run");
    command
}

#[test]
fn a_build_with_a_hub_of_its_own() {
    let farm = Farm::without_hub();
    for view in ["overlay", "rewrite"] {
        let link = "rule link\n  command = $cc $in -o $out\nbuild prog: link obj/f0.o main.o\n\
                    build main.o: cc main.c\n";
        let project = Project::of_c(&farm, view, Path::new("ninja"), "cc", 1, link);
        let main = "int f0(int x) { return x; }\nint main(void) { return f0(0); }\n";
        project.write(
            "main.c",
            main.replace("int f0(int x) { return x; }", "int f0(int);"),
        );
        let dir = project.dir.to_str().unwrap();
        let output = run(
            &farm,
            &["-j2", "--view", view],
            &["ninja", "-C", dir, "-j4"],
        );
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("cpods: 2 jobs on pods (0 failed), 1 local; "),
            "{said}"
        );
        assert!(
            said.contains("1 local: ") && said.contains("link"),
            "{said}"
        );
        assert!(said.contains("busy") && !said.contains("WARNING"), "{said}");
        project.assert_nothing_to_do();
        project.assert_objects_equal_local("cc", 1);
    }
    // Its private socket is gone with it.
    let left: Vec<_> = std::fs::read_dir(farm.dir.path().join("run/cpods"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("run-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_build_with_the_running_hub() {
    let farm = Farm::new();
    farm.write("a.c", "int a = 1;\n");
    farm.cc_remote(&["gcc", "-c", "a.c", "-o", "before.o"]);
    let output = farm.bare(&["cpods", "run", "--", "cpods-cc", "gcc", "-c", "a.c"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("cpods: 1 jobs on pods (0 failed), 0 local"),
        "{said}"
    );
    assert_eq!(farm.finished(), 2);
}

#[test]
fn the_builds_exit_code_is_passed_on() {
    let farm = Farm::without_hub();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let output = run(&farm, &["-q"], &["sh", "-c", script]);
        assert_eq!(text(&output), format!("exit status: {code}\n"));
    }
    let output = run(&farm, &[], &["no-such-build-tool"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(
        text(&output).contains("`no-such-build-tool`"),
        "{}",
        text(&output)
    );
    let plain = farm.write("plain", "no program");
    assert_eq!(
        run(&farm, &[], &[plain.to_str().unwrap()]).status.code(),
        Some(126)
    );
}

#[test]
fn a_missing_root_is_named() {
    let farm = Farm::without_hub();
    let plain = farm.write("plain", "no directory");
    for root in ["/no/such/root", plain.to_str().unwrap(), "/"] {
        let output = own_hub(&farm)
            .args(["--root", root, "--", "true"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(125), "{}", text(&output));
        assert!(text(&output).contains(root), "{}", text(&output));
        let output = farm.bare(&["cpods-schedd", "--root", root]);
        assert_eq!(output.status.code(), Some(125), "{}", text(&output));
        assert!(text(&output).contains(root), "{}", text(&output));
    }
}

#[test]
fn it_is_loud_when_no_pod_is_eligible() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let pod = format!("away=unix:{}", farm.dir.path().join("away.sock").display());
    let build = ["cpods-cc", "gcc", "-c", "a.c"];
    let output = run(&farm, &["--pod", &pod], &build);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("0 jobs on pods") && said.contains("1 local"),
        "{said}"
    );
    assert!(
        said.contains("0 of 1 pods eligible for `gcc`: `away`"),
        "{said}"
    );
    assert!(
        said.contains("WARNING: pod `away` is not in use: cannot connect"),
        "{said}"
    );
    assert!(said.contains("WARNING: no job ran on a pod"), "{said}");
}

#[test]
fn a_signal_reaches_the_build() {
    let farm = Farm::without_hub();
    let script = "trap 'echo caught; exit 3' TERM; echo ready > started; \
                  while :; do sleep 0.02; done";
    let mut command = own_hub(&farm);
    command
        .args(["-q", "--root"])
        .arg(&farm.root)
        .args(["--", "sh", "-c", script])
        .stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for("the build", || {
        farm.root.join("started").exists().then_some(())
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let ended = wait_for_end("cpods run", &mut child);
    assert_eq!(ended.code(), Some(3));
}

#[test]
fn a_terminal_shows_progress_in_its_last_row_and_gets_it_back() {
    let farm = Farm::without_hub();
    make_tool(&farm);
    farm.write("in", "slow\n");
    let seen = farm.dir.path().join("typescript");
    let build = format!("cpods-cc ./tool gate in out {}", farm.tag());
    let run = format!(
        "stty rows 24 cols 80; exec cpods run -j1 --root {} -- {build}",
        farm.root.display()
    );
    let mut command = farm.command("script");
    command
        .args(["-q", "-e", "-f", "-c", &run])
        .arg(&seen)
        .stdout(std::process::Stdio::null());
    let mut terminal = command.spawn().unwrap();
    let shown = || String::from_utf8_lossy(&std::fs::read(&seen).unwrap_or_default()).into_owned();
    wait_for("the job in the progress line", || {
        shown().contains("1 running").then_some(())
    });
    assert!(
        shown().contains("\x1b[1;23r"),
        "the last row is kept free: {:?}",
        shown()
    );
    assert!(shown().contains("\x1b[24;1H"), "{:?}", shown());
    wait_for_gates(&farm, 1)[0].signal(Signal::USR1);
    assert!(wait_for_end("cpods run on a terminal", &mut terminal).success());
    let shown = shown();
    let (_, after) = shown.rsplit_once("1 running").unwrap();
    let row_is_back = after
        .find("\x1b[r")
        .expect("the whole screen scrolls again");
    assert!(
        after[row_is_back..].contains("cpods: 1 jobs on pods"),
        "{after:?}"
    );
}

#[test]
fn slots_are_for_ninja() {
    let number = |output: Output| -> usize {
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let farm = Farm::of(&[("overlay", 3), ("overlay", 5)], &[]);
    let with_pods = number(farm.bare(&["cpods", "slots"]));
    farm.schedd.kill();
    let alone = number(farm.bare(&["cpods", "slots"]));
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(alone, cores + 2);
    assert!(
        with_pods >= alone + 8,
        "{with_pods} with 8 slots, {alone} alone"
    );
}

#[test]
fn nobody_need_read_all_of_it() {
    let farm = Farm::new();
    for command in ["cpods status", "cpods slots", "cpods explain gcc -c a.c"] {
        // Its reader is gone before it says anything.
        let script = format!("{{ sleep 0.2; {command}; echo $? >code; }} | true; cat code");
        let output = farm.bare(&["bash", "-c", &script]);
        let code = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // By SIGPIPE, and without a word.
        assert_eq!(code, "141", "{command}: {}", text(&output));
        assert_eq!(output.stderr, b"", "{command}: {}", text(&output));
    }
}

#[test]
fn status_for_people_and_programs() {
    let farm = Farm::with("overlay", 3);
    farm.write("a.c", "int a;\n");
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    let said = text(&farm.bare(&["cpods", "status"]));
    for part in [
        "pod1",
        "up",
        "of 3 slots",
        "1 done on pods",
        "gcc",
        farm.root.to_str().unwrap(),
    ] {
        assert!(said.contains(part), "`{part}`: {said}");
    }
    let status = farm.status().unwrap();
    let pod = &status["pods"][0];
    assert_eq!(
        (&pod["name"], &pod["slots"], &pod["view"]),
        (&"pod1".into(), &3.into(), &"overlay".into())
    );
    assert_eq!(status["roots"][0], farm.root.to_str().unwrap());
    let tools = pod["tools"].as_array().unwrap();
    assert!(
        tools
            .iter()
            .any(|tool| tool["program"] == "gcc" && tool["tool"] == "gcc")
    );
    farm.workds[0].kill();
    wait_for("the loss of the pod", || {
        let said = text(&farm.bare(&["cpods", "status"]));
        (said.contains("down") && said.contains("connect")).then_some(())
    });
    farm.schedd.kill();
    let output = farm.bare(&["cpods", "status"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output).contains("no hub is running"),
        "{}",
        text(&output)
    );
}

#[test]
fn explain_gives_the_decision_roles_inputs_and_outputs() {
    let farm = Farm::without_hub();
    farm.write("src/a.c", "int a;\n");
    let root = farm.root.to_str().unwrap();
    let explain = |words: &[&str]| {
        let output = farm.bare(&[&["cpods", "explain", "--root", root][..], words].concat());
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let compile = [
        "--", "gcc", "-Iinc", "-MD", "-MF", "a.d", "-c", "src/a.c", "-o", "a.o",
    ];
    let said = explain(&compile);
    for part in [
        "remote", "src/a.c", "a.o", "a.d", "inc", "input", "output", "depfile", "search",
    ] {
        assert!(said.contains(part), "`{part}`: {said}");
    }
    let json = explain(&[&["--json"], &compile[..]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json.to_string().contains("src/a.c"), "{json}");
    let local = explain(&["--", "gcc", "a.o", "-o", "a"]);
    assert!(local.contains("local") && local.contains("link"), "{local}");
}
