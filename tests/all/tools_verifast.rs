//! VeriFast's rule on a pod. There is no package, so that a stand-in is run that says how it was
//! called; the real program where `CPODS_TEST_VERIFAST` names one.

use crate::support::{Daemon, Farm, bin, text};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const STAND_IN: &str = "#!/bin/sh
echo \"stand-in for VeriFast: $*\"
for word; do case $word in -*) ;; *) [ -e \"$word\" ] || { echo \"no $word\"; exit 2; } ;; esac; done
grep -q unproved \"$word\" && { echo \"$word(1,1-2): Assertion might not hold.\"; exit 1; }
echo '0 errors found'
";

#[test]
fn a_stand_in_is_called_as_it_was_here() {
    let farm = Farm::of(&[], &[]);
    let tools = farm.dir.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let program = tools.join("verifast");
    std::fs::write(&program, STAND_IN).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    farm.write("good.c", "//@ good\n");
    farm.write("bad.c", "//@ unproved\n");
    // What the rule makes of it; where it runs is the same for every tool.
    let explained = |args: &[&str]| {
        let mut command = farm.command(bin("cpods"));
        command
            .args(["explain", "--json", "--", "verifast"])
            .args(args);
        let output = command.output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let remote = explained(&["-c", "-I", "inc", "-D", "X", "good.c"]);
    assert_eq!(remote["decision"], "remote", "{remote}");
    assert_eq!(explained(&["-help"])["decision"], "local");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    for (source, code) in [("good.c", 0), ("bad.c", 1), ("none.c", 2)] {
        let mut command = farm.command(bin("cpods-cc"));
        let output = command.args(["verifast", "-c", source]).env("PATH", &path);
        let output = output.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(
            text(&output).contains("stand-in for VeriFast: -c"),
            "{}",
            text(&output)
        );
    }
}

#[test]
fn a_hub_that_lacks_it_runs_it_on_the_pod_that_has_it() {
    // As on arm64, for which there is no VeriFast: neither hub nor first pod have it.
    let farm = Farm::without_hub();
    let tools = farm.dir.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let program = tools.join("verifast");
    std::fs::write(&program, STAND_IN).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    farm.write("good.c", "//@ good\n");
    farm.write("bad.c", "//@ unproved\n");
    let worker = |name: &str, tool: String| {
        let mut command = farm.command(bin("cpods-workd"));
        let at = |end: &str| farm.dir.path().join(format!("{name}.{end}"));
        std::fs::create_dir(at("run")).unwrap();
        command.args(["--name", name, "--slots", "1", "--tool", &tool]);
        command.arg("--system").arg(&tools);
        command
            .arg("--cache")
            .arg(at("cache"))
            .arg("--socket")
            .arg(at("sock"));
        command
            .env("XDG_RUNTIME_DIR", at("run"))
            .stderr(Stdio::null());
        Daemon::new(command.spawn().unwrap())
    };
    let _arm = worker("arm", "z3=/bin/true".into());
    let _box = worker("box", format!("verifast={}", program.display()));
    let mut hub = farm.command(bin("cpods-schedd"));
    hub.arg("--socket")
        .arg(farm.hub_socket())
        .stderr(Stdio::null());
    hub.arg("--root").arg(&farm.root);
    for name in ["arm", "box"] {
        let socket = farm.dir.path().join(format!("{name}.sock"));
        hub.arg("--pod")
            .arg(format!("{name}=unix:{}", socket.display()));
    }
    let _hub = Daemon::new(hub.spawn().unwrap());
    farm.wait_up();
    let verify = |source: &str| {
        let mut command = farm.command(bin("cpods-cc"));
        command.args(["verifast", "-c", source]).output().unwrap()
    };
    for (source, code, said) in [
        ("good.c", 0, "0 errors found"),
        ("bad.c", 1, "bad.c(1,1-2): Assertion might not hold."),
        ("none.c", 2, "no none.c"),
    ] {
        let output = verify(source);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(said), "{}", text(&output));
    }
    let status = farm.status().unwrap();
    let pods = status["pods"].as_array().unwrap();
    let finished: Vec<_> = pods.iter().map(|pod| pod["finished"].clone()).collect();
    assert_eq!(finished, [0, 3], "{status}");
    for (pod, tool) in pods.iter().zip(["z3", "verifast"]) {
        let tools = pod["tools"].as_array().unwrap();
        assert!(tools.len() == 1 && tools[0]["tool"] == tool, "{pod}");
    }
}

#[test]
fn the_real_program_verifies_a_file() {
    let Some(real) = std::env::var_os("CPODS_TEST_VERIFAST").map(PathBuf::from) else {
        eprintln!("left out: CPODS_TEST_VERIFAST names no program");
        return;
    };
    let farm = Farm::of(&[], &[]);
    farm.write(
        "good.c",
        "int f(int x)\n//@ requires true;\n//@ ensures result == x;\n{ return x; }\n",
    );
    farm.write(
        "bad.c",
        "int f(int x)\n//@ requires true;\n//@ ensures result == 1;\n{ return x; }\n",
    );
    for (source, code) in [("good.c", 0), ("bad.c", 1), ("none.c", 2)] {
        let mut command: Command = farm.command(bin("cpods-cc"));
        let output = command.arg(&real).args(["-c", source]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    }
}
