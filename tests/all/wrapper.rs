//! The wrapper as it is called: by prefix, by symlink, beside ccache.

use crate::support::{Farm, bin, text};
use crate::tool::make_tool;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

const COMPILE: [&str; 5] = ["gcc", "-c", "a.c", "-o", "a.o"];

fn farm() -> Farm {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    farm
}

/// A folder outside the root with a masquerade in it.
fn masquerade(farm: &Farm, name: &str) -> PathBuf {
    let dir = farm.dir.path().join("masquerade");
    fs::create_dir_all(&dir).unwrap();
    symlink(bin("cpods-cc"), dir.join(name)).unwrap();
    dir
}

fn first_in_path(command: &mut Command, dir: &std::path::Path) {
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", dir.display()));
}

#[test]
fn a_masquerade_runs_the_real_compiler_on_the_pod() {
    let farm = farm();
    let dir = masquerade(&farm, "gcc");
    let mut command = farm.command("gcc");
    first_in_path(&mut command, &dir);
    // By PATH, since the wrapper looks for its own name there.
    let output = command
        .args(&COMPILE[1..])
        .env("CPODS_FALLBACK", "0")
        .output()
        .unwrap();
    assert_eq!(text(&output), "exit status: 0\n");
    assert_eq!(farm.finished(), 1);
    let mut local = farm.command("gcc");
    first_in_path(&mut local, &dir);
    let output = local.args(["--version"]).output().unwrap();
    assert_eq!(text(&output), text(&farm.bare(&["gcc", "--version"])));
    // The prefix form before the masquerade ends at the real compiler, too.
    let mut both = farm.command("cpods-cc");
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    both.env(
        "PATH",
        format!("{}:{path}", bin("cpods-cc").parent().unwrap().display()),
    );
    let output = both
        .args(COMPILE)
        .env("CPODS_FALLBACK", "0")
        .output()
        .unwrap();
    assert_eq!(text(&output), "exit status: 0\n");
    assert_eq!(farm.finished(), 2);
}

#[test]
fn a_masquerade_with_nothing_behind_it_is_an_error() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let dir = masquerade(&farm, "gcc");
    for disable in ["0", "1"] {
        let mut command = farm.command(dir.join("gcc"));
        command
            .env("PATH", &dir)
            .env("CPODS_DISABLE", disable)
            // Where one is named, it would be waited for.
            .env_remove("CPODS_HUB")
            .args(&COMPILE[1..]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(127), "{}", text(&output));
        assert!(text(&output).contains("`gcc`"), "{}", text(&output));
    }
}

#[test]
fn a_script_around_the_wrapper_in_the_tools_place_is_an_error() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let script = farm.write("bin/gcc", "#!/bin/sh\nexec cpods-cc gcc \"$@\"\n");
    fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = farm.command("cpods-cc");
    let path = format!("{}:{}", farm.root.join("bin").display(), "/usr/bin:/bin");
    let wrapper = bin("cpods-cc");
    command.env(
        "PATH",
        format!("{path}:{}", wrapper.parent().unwrap().display()),
    );
    let output = command.args(COMPILE).output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    assert!(
        text(&output).contains("`gcc` leads back to this wrapper"),
        "{}",
        text(&output)
    );
}

#[test]
fn behind_ccache() {
    let farm = farm();
    let compile = || {
        let mut command = farm.command("ccache");
        command
            .args(COMPILE)
            .env("CCACHE_PREFIX", "cpods-cc")
            .env("CPODS_FALLBACK", "0");
        command.env("CCACHE_DIR", farm.dir.path().join("ccache"));
        command.output().unwrap()
    };
    assert_eq!(text(&compile()), "exit status: 0\n");
    let ran = farm.finished();
    assert!(ran >= 1, "a miss compiles on the pod");
    let object = farm.read("a.o");
    fs::remove_file(farm.root.join("a.o")).unwrap();
    assert_eq!(text(&compile()), "exit status: 0\n");
    assert_eq!(farm.finished(), ran, "a hit runs nothing");
    assert!(object == farm.read("a.o"));
    assert!(farm.bare(&COMPILE).status.success());
    assert!(object == farm.read("a.o"));
}

#[test]
fn before_a_ccache_masquerade() {
    let farm = farm();
    let dir = farm.dir.path().join("ccaches");
    fs::create_dir(&dir).unwrap();
    let found = farm.bare(&["sh", "-c", "command -v ccache"]);
    let ccache = String::from_utf8(found.stdout).unwrap();
    symlink(ccache.trim(), dir.join("gcc")).unwrap();
    let mut command = farm.command(bin("cpods-cc"));
    first_in_path(&mut command, &dir);
    command.env("CCACHE_DIR", farm.dir.path().join("ccache"));
    let output = command
        .args(COMPILE)
        .env("CPODS_FALLBACK", "0")
        .output()
        .unwrap();
    // The pod must not be asked for a ccache of its own, which it would not share.
    assert_eq!(text(&output), "exit status: 0\n");
    assert_eq!(farm.finished(), 1);
    assert!(!farm.dir.path().join("ccache").exists());
}

#[test]
fn disabled_means_as_if_it_were_not_there() {
    let farm = farm();
    let mut command = farm.command("cpods-cc");
    command
        .env("CPODS_DISABLE", "1")
        .env("CPODS_FALLBACK", "0")
        .args(COMPILE);
    assert_eq!(text(&command.output().unwrap()), "exit status: 0\n");
    let status = farm.status().unwrap();
    assert_eq!(
        (&status["finished"], &status["local"]),
        (&0.into(), &serde_json::json!([]))
    );
}

#[test]
fn commands_that_cannot_be_run() {
    for farm in [Farm::new(), Farm::without_hub()] {
        let plain = farm.write("plain", "no program");
        let not_found = farm.bare(&["cpods-cc", "no-such-program-anywhere"]);
        assert_eq!(not_found.status.code(), Some(127), "{}", text(&not_found));
        assert!(text(&not_found).contains("no-such-program-anywhere"));
        let not_executable = farm.bare(&["cpods-cc", plain.to_str().unwrap()]);
        assert_eq!(
            not_executable.status.code(),
            Some(126),
            "{}",
            text(&not_executable)
        );
        assert!(text(&not_executable).contains("plain"));
        let nothing = farm.bare(&["cpods-cc"]);
        assert_eq!(nothing.status.code(), Some(125));
    }
}

#[test]
fn exit_codes_and_signals_pass_through() {
    let farm = Farm::new();
    make_tool(&farm);
    for (trick, code) in [
        ("exit", 0),
        ("exit", 3),
        ("exit", 100),
        ("exit", 125),
        ("exit", 255),
    ] {
        let output = farm.cc(&["./tool", trick, &code.to_string()]);
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(
            (&output.stdout[..], &output.stderr[..]),
            (&b"to stdout\n"[..], &b"to stderr\n"[..])
        );
    }
    assert_eq!(farm.finished(), 5);
    // A death by a signal is tried once more, locally; then the shell sees the bare tool's end.
    let ours = farm.bare(&["sh", "-c", "cpods-cc ./tool die 6; echo $?"]);
    assert!(text(&ours).contains("134"), "{}", text(&ours));
}

#[test]
fn it_says_what_it_did_when_asked() {
    let farm = farm();
    let log = farm.dir.path().join("cc.log");
    let run = |args: &[&str]| {
        let mut command = farm.command("cpods-cc");
        command
            .env("CPODS_VERBOSE", "1")
            .env("CPODS_LOG", &log)
            .args(args);
        text(&command.output().unwrap())
    };
    assert!(run(&COMPILE).contains("cpods-cc: remote: gcc"));
    assert!(run(&["gcc", "--version"]).contains("cpods-cc: local: gcc: "));
    let link = run(&["gcc", "a.o", "-shared", "-o", "a.so"]);
    assert!(
        link.contains("cpods-cc: local: gcc: ") && link.contains("link"),
        "{link}"
    );
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.lines().count(), 3, "{log}");
    assert!(log.lines().next().unwrap().contains("remote: gcc"), "{log}");
}

#[test]
fn the_wrapper_holds_none_of_the_daemons_libraries() {
    let symbols = |program: &str| {
        let output = Command::new("nm")
            .arg("-C")
            .arg(bin(program))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (wrapper, daemon) = (symbols("cpods-cc"), symbols("cpods-schedd"));
    for library in [
        "tokio::",
        "clap_builder::",
        "tracing_core::",
        "tracing_subscriber::",
    ] {
        assert!(
            daemon.contains(library),
            "`{library}` is no longer the name to look for"
        );
        let held: Vec<_> = wrapper
            .lines()
            .filter(|line| line.contains(library))
            .collect();
        assert!(held.is_empty(), "{:?}", &held[..held.len().min(5)]);
    }
    assert!(
        wrapper.contains("cpods::cc"),
        "symbols are there to be found"
    );
}
