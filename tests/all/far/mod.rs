//! Pods that are reached by ssh, with the files over sshfs.

mod begins;
mod faults;
mod service;
mod tools;

use crate::sshd::{self, Sshd};
use crate::support::{Daemon, Farm, bin, text, wait_for, wait_for_answer};
use cpods::wire::frame::{Hello, Peer};
use rustix::process::Pid;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// A root, no hub yet, and an sshd.
fn far() -> (Farm, Sshd) {
    let farm = Farm::without_hub();
    let sshd = Sshd::start(farm.dir.path());
    (farm, sshd)
}

/// The pod as it is configured for these tests.
const POD: &str = "[[pods]]\nname = \"far\"\nfiles = \"sshfs\"\n";

/// Runs a script under `cpods run`, with jobs on the pod or nowhere.
fn on_pod(farm: &Farm, sshd: &Sshd, more: &[&str], script: &str) -> std::process::Output {
    let folder = farm.dir.path().join("config");
    fs::create_dir_all(folder.join("cpods")).unwrap();
    fs::write(folder.join("cpods/hub.toml"), POD).unwrap();
    sshd::run(farm, sshd)
        .env("XDG_CONFIG_HOME", folder)
        .args(more)
        .args(["--", "sh", "-e", "-c", script])
        .env("CPODS_FALLBACK", "0")
        .output()
        .unwrap()
}

/// A hub of this farm's with the pod `far`, until dropped.
fn hub(farm: &Farm, sshd: &Sshd) -> Daemon {
    let config = farm.dir.path().join("far.toml");
    fs::write(&config, POD).unwrap();
    hub_of(farm, sshd, &config)
}

/// A hub with this configuration file.
fn hub_of(farm: &Farm, sshd: &Sshd, config: &Path) -> Daemon {
    start_hub(farm, sshd, &["--config".as_ref(), config.as_os_str()])
}

fn start_hub(farm: &Farm, sshd: &Sshd, args: &[&OsStr]) -> Daemon {
    let daemon = begin_hub(farm, sshd, args);
    farm.wait_up();
    daemon
}

/// One that may have no pod yet.
fn begin_hub(farm: &Farm, sshd: &Sshd, args: &[&OsStr]) -> Daemon {
    let log = fs::File::create(farm.dir.path().join("far.log")).unwrap();
    let child = farm
        .command(bin("cpods-schedd"))
        .env("CPODS_SSH", sshd.ssh())
        .env("CPODS_WORKERS", sshd::workers())
        .args(["--log", "debug", "--socket"])
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root)
        .args(args)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Daemon::new(child)
}

/// Processes of this test whose command line begins with this program.
fn processes(farm: &Farm, program: &str) -> Vec<Pid> {
    let tag = farm.tag();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let words = fs::read(process.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).into_owned();
        let name = words.split('\0').next()?.rsplit('/').next()?;
        (name == program && words.contains(&tag)).then(|| Pid::from_raw(pid))?
    })
    .collect()
}

fn mounts(farm: &Farm) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours = table.lines().filter(|line| line.contains(&farm.tag()));
    ours.map(ToOwned::to_owned).collect()
}

/// Until nothing of a pod is left but its cache folder.
fn wait_for_nothing_left(farm: &Farm, sshd: &Sshd) {
    wait_for("mounts to go", || mounts(farm).is_empty().then_some(()));
    wait_for("sshfs to go", || {
        processes(farm, "sshfs").is_empty().then_some(())
    });
    let work = sshd.cache().join("work");
    wait_for("sessions' directories to go", || {
        let left = fs::read_dir(&work).map_or(0, Iterator::count);
        (left == 0).then_some(())
    });
}

#[test]
fn a_pod_needs_nothing_but_sshd_sshfs_and_the_tool() {
    let (farm, sshd) = far();
    farm.write("inc/a.h", "#define A 3\n");
    farm.write(
        "a.c",
        "#include \"a.h\"\n#include <stdio.h>\nint f(void) { return A; }\n",
    );
    let compile = ["gcc", "-g", "-Iinc", "-MD", "-c", "a.c", "-o", "a.o"];
    assert!(farm.bare(&compile).status.success());
    let (object, depfile) = (farm.read("a.o"), farm.read("a.d"));
    let script = format!("rm -f a.o a.d; cpods-cc {}", compile.join(" "));
    for (more, sends) in [(&["--log", "info"][..], true), (&["--log", "info"], false)] {
        let output = on_pod(&farm, &sshd, more, &script);
        assert!(output.status.success(), "{}", text(&output));
        let said = text(&output);
        assert!(
            said.contains("cpods: 1 jobs on pods (0 failed), 0 local"),
            "{said}"
        );
        assert_eq!(
            said.contains("sending the"),
            sends,
            "once, by digest: {said}"
        );
        assert!(farm.read("a.o") == object, "the same object");
        assert!(farm.read("a.d") == depfile, "the same depfile");
        wait_for_nothing_left(&farm, &sshd);
    }
    assert!(processes(&farm, "bwrap").is_empty());
    let kept: Vec<_> = fs::read_dir(sshd.dir.join("cache"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(
        kept.len(),
        1,
        "only the cache folder is left on the pod: {kept:?}"
    );
}

#[test]
fn the_rewrite_view_maps_all_paths_back() {
    let (farm, sshd) = far();
    farm.write("inc/a.h", "#define A 3\n#warning look\n");
    let file = farm.write(
        "a.c",
        "#include \"a.h\"\nconst char *f(void) { return __FILE__; }\n",
    );
    let file = file.display().to_string();
    let compile = ["gcc", "-g", "-Iinc", "-MD", "-c", &file, "-o", "a.o"];
    let bare = farm.bare(&compile);
    let (object, depfile) = (farm.read("a.o"), farm.read("a.d"));
    let script = format!("rm -f a.o a.d; cpods-cc {}", compile.join(" "));
    let output = on_pod(&farm, &sshd, &["-q", "--view", "rewrite"], &script);
    assert!(output.status.success(), "{}", text(&output));
    assert!(farm.read("a.o") == object, "the same object");
    assert!(farm.read("a.d") == depfile, "the same depfile");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&bare.stderr)
    );
}

#[test]
fn a_greeting_shell_does_no_harm() {
    let (farm, sshd) = far();
    let greeter = farm.dir.path().join("greeter");
    fs::write(
        &greeter,
        "#!/bin/sh\necho Welcome.\necho\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
    )
    .unwrap();
    fs::set_permissions(&greeter, fs::Permissions::from_mode(0o755)).unwrap();
    let key = sshd.dir.join("key.pub");
    let line = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("command=\"{}\" {line}", greeter.display())).unwrap();
    farm.write("a.c", "int a;\n");
    // sshfs cannot be told from its greeting, so the files must come another way.
    let config = farm.dir.path().join("hub.toml");
    let pod = "[[pods]]\nname = \"far\"\nfiles = \"shared\"\n";
    fs::write(&config, pod).unwrap();
    let _hub = hub_of(&farm, &sshd, &config);
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}

#[test]
fn what_ssh_refuses_is_told_plainly() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    let known = sshd.dir.join("known");
    let right = fs::read_to_string(&known).unwrap();
    let other = fs::read_to_string(sshd.dir.join("key.pub")).unwrap();
    let changed = format!("[127.0.0.1]:{} {other}", sshd.port);
    for (hosts, key_mode, told) in [
        (
            changed.as_str(),
            0o600,
            "its host key is not the one that is known",
        ),
        ("", 0o600, "its host key is not known; connect once by hand"),
        (&right, 0o000, "Permission denied"),
    ] {
        fs::write(&known, hosts).unwrap();
        let key = sshd.dir.join("key");
        let kept = farm.dir.path().join("kept");
        if key_mode == 0 {
            fs::rename(&key, &kept).unwrap();
        }
        let output = sshd::run(&farm, &sshd)
            .args(["--", "cpods-cc", "gcc", "-c", "a.c"])
            .output()
            .unwrap();
        let said = text(&output);
        assert!(output.status.success(), "it falls back: {said}");
        assert!(
            said.contains("pod `far` is not in use") && said.contains(told),
            "{said}"
        );
        if key_mode == 0 {
            fs::rename(&kept, &key).unwrap();
        }
    }
}

#[test]
fn a_changed_header_is_seen_at_once() {
    let (farm, sshd) = far();
    farm.write("a.c", "#include \"a.h\"\nint main(void) { return A; }\n");
    farm.write("a.h", "#define A 10\n");
    let _hub = hub(&farm, &sshd);
    let rounds = if std::env::var_os("CPODS_SOAK").is_some() {
        500
    } else {
        24
    };
    for round in 0..rounds {
        // The same size, within the same second, each time by another way.
        let code = 10 + round % 90;
        let content = format!("#define A {code}\n");
        match round % 4 {
            0 => drop(farm.write("a.h", content)),
            1 => {
                let new = farm.write("a.new", content);
                fs::rename(new, farm.root.join("a.h")).unwrap();
            }
            2 => {
                let script = format!("echo '#define A {code}' > a.h");
                assert!(farm.bare(&["sh", "-c", &script]).status.success());
            }
            _ => {
                // Written by a job on the pod itself.
                farm.write("gen.c", format!("#define STEP {code}\n"));
                farm.cc_remote(&["gcc", "-E", "-P", "-dD", "gen.c", "-o", "gen.i"]);
                let made = String::from_utf8(farm.read("gen.i")).unwrap();
                let line = made.lines().find(|line| line.contains("STEP")).unwrap();
                farm.write("a.h", line.replace("STEP", "A") + "\n");
            }
        }
        farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
        assert!(farm.bare(&["gcc", "a.o", "-o", "a"]).status.success());
        let ran = farm.bare(&["./a"]);
        assert_eq!(ran.status.code(), Some(code), "round {round}");
    }
}

#[test]
fn all_changes_come_back_from_a_mount() {
    let (farm, sshd) = far();
    let _hub = hub(&farm, &sshd);
    crate::outputs::all_changes_come_back(&farm);
}

#[test]
fn links_of_all_kinds_lead_where_they_lead_here() {
    let (farm, sshd) = far();
    farm.write("real/one.h", "#define ONE 1\n");
    farm.write("real/two.h", "#define TWO 2\n");
    let absolute = farm.root.join("real");
    for (link, target) in [
        ("absolute", absolute.as_path()),
        ("deep/up", Path::new("../real")),
        ("chain", Path::new("deep/up")),
    ] {
        let link = farm.root.join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
    }
    farm.write(
        "a.c",
        "#include \"one.h\"\n#include \"two.h\"\nint a[ONE + TWO];\n",
    );
    let _hub = hub(&farm, &sshd);
    for dir in ["absolute", "deep/up", "chain"] {
        let compile = ["gcc", "-g", "-I", dir, "-MD", "-c", "a.c", "-o", "a.o"];
        farm.cc_remote(&compile);
        let ours = (farm.read("a.o"), farm.read("a.d"));
        assert!(farm.bare(&compile).status.success());
        assert!(ours == (farm.read("a.o"), farm.read("a.d")), "{dir}");
    }
}

#[test]
fn a_directory_of_somebody_elses_is_not_written_from_a_pod() {
    if !rustix::process::geteuid().is_root() {
        println!("left out: needs root, to give a directory away");
        return;
    }
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    fs::create_dir(farm.root.join("theirs")).unwrap();
    std::os::unix::fs::chown(farm.root.join("theirs"), Some(12345), Some(12345)).unwrap();
    let _hub = hub(&farm, &sshd);
    let output = farm
        .command(bin("cpods-cc"))
        .args(["gcc", "-c", "a.c", "-o", "theirs/a.o"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let status = farm.status().unwrap();
    assert_eq!(status["finished"], 0);
    let why = status["local"][0]["why"].as_str().unwrap();
    assert!(why.contains("belongs to user"), "{why}");
    assert_eq!(status["pods"][0]["up"], true, "the pod is well");
}

#[test]
fn pods_are_taken_out_of_use_and_back() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    let _hub = hub(&farm, &sshd);
    let ask = |words: &[&str]| farm.command(bin("cpods")).args(words).output().unwrap();
    assert!(ask(&["unmount", "far"]).status.success());
    wait_for_nothing_left(&farm, &sshd);
    let status = farm.status().unwrap();
    assert_eq!(status["pods"][0]["why"], "taken out of use");
    assert!(ask(&["mount", "far"]).status.success());
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    let unknown = ask(&["mount", "no-such-pod"]);
    assert!(!unknown.status.success() && text(&unknown).contains("`no-such-pod`"));
}

#[test]
fn the_hubs_files_are_served_in_a_jail() {
    let (farm, sshd) = far();
    farm.write("in.txt", "inside\n");
    farm.write("keys/secret", "left out\n");
    fs::write(farm.dir.path().join("outside"), "x").unwrap();
    for (name, target) in [
        ("up", "../outside"),
        ("away", "/etc/passwd"),
        ("abs", "/root"),
    ] {
        std::os::unix::fs::symlink(target, farm.root.join(name)).unwrap();
    }
    let config = farm.dir.path().join("hub.toml");
    let file = format!(
        "roots = [{{ path = \"{}\", leave_out = [\"keys\"] }}]\n{POD}",
        farm.root.display()
    );
    fs::write(&config, file).unwrap();
    let _hub = hub_of(&farm, &sshd, &config);
    let jail = processes(&farm, "bwrap");
    let words = fs::read(format!("/proc/{}/cmdline", jail[0].as_raw_nonzero())).unwrap();
    let words: Vec<_> = words
        .split(|byte| *byte == 0)
        .filter(|w| !w.is_empty())
        .collect();
    let words: Vec<_> = words
        .iter()
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect();
    let probe = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sftp_probe.py");
    let output = Command::new("python3")
        .arg(probe)
        .args(["--shown", "/0", "--file", "in.txt", "--expect-root"])
        .arg(&farm.root)
        .arg("--")
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    // What is left out is refused, not absent: the job is run again here, where it is.
    farm.write("a.c", "#include \"keys/secret.h\"\nint a = A;\n");
    farm.write("keys/secret.h", "#define A 1\n");
    let output = farm
        .command(bin("cpods-cc"))
        .args(["gcc", "-c", "a.c"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(farm.finished(), 1, "the pod tried");
}

#[test]
fn a_worker_of_the_pods_own_is_bridged_to() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    fs::create_dir(sshd.dir.join("run/cpods")).unwrap();
    let socket = sshd.dir.join("run/cpods/workd.sock");
    let worker = farm
        .command(bin("cpods-workd"))
        .args(["--slots", "7", "--cache"])
        .arg(farm.dir.path().join("service"))
        .arg("--socket")
        .arg(&socket)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _worker = Daemon::new(worker);
    wait_for_answer("the worker", &socket);
    let _hub = hub(&farm, &sshd);
    assert_eq!(farm.status().unwrap()["pods"][0]["slots"], 7);
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}

#[test]
fn a_service_that_was_killed_or_is_of_another_version_is_passed_over() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    fs::create_dir(sshd.dir.join("run/cpods")).unwrap();
    let socket = sshd.dir.join("run/cpods/workd.sock");
    // Left by one that was killed.
    drop(UnixListener::bind(&socket).unwrap());
    {
        let _hub = hub(&farm, &sshd);
        farm.cc_remote(&["gcc", "-c", "a.c"]);
    }
    fs::remove_file(&socket).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let mut hello = Hello::ours(Peer::Pod);
            hello.version += 1;
            let _ = stream.unwrap().write_all(&hello.to_bytes());
        }
    });
    let _hub = hub(&farm, &sshd);
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}

#[test]
fn jobs_without_namespaces_work_over_a_mount() {
    let (farm, sshd) = far();
    farm.write("inc/a.h", "#define A 3\n");
    farm.write("a.c", "#include \"a.h\"\nint f(void) { return A; }\n");
    let compile = ["gcc", "-O2", "-Iinc", "-c", "a.c", "-o", "a.o"];
    assert!(farm.bare(&compile).status.success());
    let object = farm.read("a.o");
    let config = farm.dir.path().join("hub.toml");
    fs::write(
        &config,
        "[[pods]]\nname = \"far\"\nfiles = \"sshfs\"\nunsandboxed = true\n",
    )
    .unwrap();
    let _hub = hub_of(&farm, &sshd, &config);
    assert_eq!(farm.status().unwrap()["pods"][0]["view"], "rewrite");
    for _ in 0..5 {
        fs::remove_file(farm.root.join("a.o")).unwrap();
        farm.cc_remote(&compile);
        assert!(farm.read("a.o") == object);
    }
}

#[test]
fn a_directory_of_the_systems_that_nobody_compared_stays_here() {
    let (farm, sshd) = far();
    farm.write("a.c", "#include <stdio.h>\nint a;\n");
    let _hub = hub(&farm, &sshd);
    // Below what the compiler searches anyway, which its identity covers.
    farm.cc_remote(&["gcc", "-I/usr/include/net", "-c", "a.c"]);
    let output = farm.cc(&["gcc", "-I/usr/share", "-c", "a.c"]);
    assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("searches `/usr/share`"), "{said}");
}
