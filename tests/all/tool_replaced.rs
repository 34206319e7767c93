//! A tool of a pod is replaced while a job runs: what was made with parts of both is no result.

use crate::support::{Daemon, Farm, bin, wait_for, wait_for_end};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

const TOY: &str = r#"
summary = "a tool of two parts"
programs = ["toy"]

[probe]
version = ["--version"]
program = true

[operands]
value = "input"

[[flags]]
names = ["-o"]
attach = "either"
value = "output"
"#;

fn script(path: &Path, body: &str) {
    // By another name first: a tool that is read while it is written is nobody's subject here.
    let new = path.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{body}")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, path).unwrap();
}

/// The tool in this folder: its second part, which says so, is begun once `go` is there.
fn toy(bin: &Path, version: u32, says: &str) {
    fs::create_dir_all(bin).unwrap();
    script(&bin.join("part"), &format!("echo {says}\n"));
    script(
        &bin.join("toy"),
        &format!(
            "[ \"$1\" = --version ] && echo toy {version} && exit\n\
             while [ ! -e {0}/go ]; do sleep 0.02; done\n{0}/part >\"$3\"\n",
            bin.display()
        ),
    );
}

#[test]
fn what_two_tools_made_is_no_result() {
    let farm = Farm::without_hub();
    let dir = farm.dir.path();
    fs::create_dir(dir.join("rules")).unwrap();
    fs::write(dir.join("rules/toy.toml"), TOY).unwrap();
    // (Below /tmp, though jobs have one of their own.)
    let outside = tempfile::tempdir_in("/tmp").unwrap();
    let (here, there) = (dir.join("here"), outside.path().join("there"));
    toy(&here, 1, "right");
    fs::write(here.join("go"), "").unwrap();
    toy(&there, 1, "right");
    let path = |folder: &Path| format!("{}:/usr/bin:/bin", folder.display());
    fs::write(
        dir.join("pod.toml"),
        format!(
            "rules = \"{}/rules\"\nsystem = [\"{}\"]\n",
            dir.display(),
            there.display()
        ),
    )
    .unwrap();
    fs::write(dir.join("hub.toml"), "[tools.toy]\nmatch = \"version\"\n").unwrap();
    let log = |name: &str| File::create(dir.join(name)).unwrap();
    let worker = farm
        .command(bin("cpods-workd"))
        .env("PATH", path(&there))
        .arg("--socket")
        .arg(farm.pod_socket())
        .arg("--cache")
        .arg(dir.join("cache"))
        .arg("--config")
        .arg(dir.join("pod.toml"))
        .stderr(log("pod1.log"))
        .spawn();
    let _worker = Daemon::new(worker.unwrap());
    let hub = farm
        .command(bin("cpods-schedd"))
        .env("PATH", path(&here))
        .env("CPODS_RULES", dir.join("rules"))
        .arg("--socket")
        .arg(farm.hub_socket())
        .arg("--config")
        .arg(dir.join("hub.toml"))
        .arg("--root")
        .arg(&farm.root)
        .arg("--pod")
        .arg(format!("pod1=unix:{}", farm.pod_socket().display()))
        .stderr(log("schedd.log"))
        .spawn();
    let _hub = Daemon::new(hub.unwrap());
    wait_for("the toy to be offered", || {
        let pod = farm.status()?["pods"][0].clone();
        let tools = pod["tools"].as_array()?.clone();
        tools.iter().any(|tool| tool["tool"] == "toy").then_some(())
    });
    farm.write("a", "");
    let mut job = farm
        .command(bin("cpods-cc"))
        .env("PATH", path(&here))
        .env("CPODS_RULES", dir.join("rules"))
        .env("CPODS_LOG", dir.join("cc.log"))
        .args(["toy", "a", "-o", "out"])
        .stdout(Stdio::null())
        .stderr(log("cc.err"))
        .spawn()
        .unwrap();
    let tool = there.join("toy").into_os_string().into_encoded_bytes();
    wait_for("the tool to run on the pod", || {
        let mut commands = fs::read_dir("/proc").unwrap().flatten();
        let runs = |line: Vec<u8>| {
            let mut words = line.split(|byte| *byte == 0);
            words.any(|word| word == tool) && words.any(|word| word == b"-o")
        };
        commands
            .any(|process| fs::read(process.path().join("cmdline")).is_ok_and(runs))
            .then_some(())
    });
    // Its first part is the old one's.
    toy(&there, 2, "wrong");
    fs::write(there.join("go"), "").unwrap();
    let end = wait_for_end("the job", &mut job);
    let said = fs::read_to_string(dir.join("cc.log")).unwrap();
    assert!(end.success(), "{said}");
    assert_eq!(farm.read("out"), b"right\n", "{said}");
    let worker = fs::read_to_string(dir.join("pod1.log")).unwrap();
    assert!(worker.contains("changed while the job ran"), "{worker}");
    // It is back, with what it has now.
    wait_for("the pod to offer the new toy", || {
        let pod = farm.status()?["pods"][0].clone();
        (pod["up"] == true && pod["slots"] != 0).then_some(())
    });
}
