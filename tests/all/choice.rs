//! How a pod comes to the files where nobody said so, and what is told of its mirror.

use crate::sshd::{self, Sshd};
use crate::support::{Daemon, Farm, bin, text, wait_for};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A hub whose file says this, with a pod `far` that is reached by ssh, until dropped.
fn hub(farm: &Farm, sshd: &Sshd, config: &str) -> Daemon {
    let file = farm.dir.path().join("hub.toml");
    fs::write(&file, config).unwrap();
    let log = fs::File::create(farm.dir.path().join("far.log")).unwrap();
    let child = farm
        .command(bin("cpods-schedd"))
        .env("CPODS_SSH", sshd.ssh())
        .env("CPODS_WORKERS", sshd::workers())
        .args(["--log", "debug", "--socket"])
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root)
        .arg("--config")
        .arg(file)
        .stderr(log)
        .spawn();
    let hub = Daemon::new(child.unwrap());
    farm.wait_up();
    hub
}

fn far() -> (Farm, Sshd) {
    let farm = Farm::without_hub();
    farm.write("a.h", "#define A 3\n");
    farm.write("a.c", "#include \"a.h\"\nint a[A];\n");
    let sshd = Sshd::start(farm.dir.path());
    (farm, sshd)
}

fn pod(farm: &Farm) -> Value {
    farm.status().unwrap()["pods"][0].clone()
}

/// Compiles on the pod, as it does here.
fn compiles(farm: &Farm) {
    let compile = ["gcc", "-g", "-c", "a.c", "-o", "a.o"];
    farm.cc_remote(&compile);
    let there = farm.read("a.o");
    assert!(farm.bare(&compile).status.success());
    assert!(farm.read("a.o") == there);
}

/// The pod's login shell does this before each command.
fn before_each_command(farm: &Farm, sshd: &Sshd, script: &str) {
    let shell = farm.dir.path().join("login-shell");
    let text = format!("#!/bin/sh\n{script}\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n");
    fs::write(&shell, text).unwrap();
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    let key = sshd.dir.join("key.pub");
    let line = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("command=\"{}\" {line}", shell.display())).unwrap();
}

#[test]
fn a_pod_gets_a_mirror_where_it_can_have_one() {
    let (farm, sshd) = far();
    for (config, files, why) in [
        ("[[pods]]\nname = \"far\"\n", "mirror", ""),
        (
            "mirror_gib = 0\n[[pods]]\nname = \"far\"\n",
            "sshfs",
            "no mirror: the roots hold more than 0 GiB (`mirror_gib` in hub.toml)",
        ),
        (
            "mirror_gib = 0\n[[pods]]\nname = \"far\"\nfiles = \"mirror\"\n",
            "mirror",
            "as configured, though it may be slow or leave files out: the roots hold",
        ),
        ("[[pods]]\nname = \"far\"\nfiles = \"sshfs\"\n", "sshfs", ""),
        (
            "[[pods]]\nname = \"far\"\nview = \"rewrite\"\n",
            "sshfs",
            "no mirror: its view is `rewrite`, as configured",
        ),
    ] {
        let _hub = hub(&farm, &sshd, config);
        compiles(&farm);
        let pod = pod(&farm);
        assert_eq!(pod["files"], files, "{config}");
        let told = pod["files_why"].as_str().unwrap();
        assert!(
            told.starts_with(why) && told.is_empty() == why.is_empty(),
            "{config}: {told}"
        );
        assert_eq!(pod["mirror"].is_null(), files != "mirror");
        let output = farm.command(bin("cpods")).arg("status").output().unwrap();
        let said = text(&output);
        assert!(
            said.contains(&format!("files {files}")) && said.contains(why),
            "{said}"
        );
    }
}

#[test]
fn a_pod_without_the_overlay_view_is_sent_no_copy() {
    let (farm, sshd) = far();
    // Too much to be sent before the pod has said what it can.
    farm.write("data", vec![7; 5 << 20]);
    let config = farm.dir.path().join("pod-config");
    fs::create_dir_all(config.join("cpods")).unwrap();
    fs::write(config.join("cpods/pod.toml"), "view = \"rewrite\"\n").unwrap();
    let set = format!("export XDG_CONFIG_HOME={}", config.display());
    before_each_command(&farm, &sshd, &set);
    let _hub = hub(&farm, &sshd, "[[pods]]\nname = \"far\"\n");
    compiles(&farm);
    let pod = pod(&farm);
    assert_eq!(
        (&pod["files"], &pod["view"]),
        (&"sshfs".into(), &"rewrite".into())
    );
    let why = pod["files_why"].as_str().unwrap();
    assert!(why.starts_with("no mirror: its view is `rewrite`"), "{why}");
}

#[test]
fn other_file_systems_below_a_root_are_mounted_and_not_copied() {
    let (farm, sshd) = far();
    fs::create_dir(farm.root.join("sub")).unwrap();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(farm.root.join("sub"));
    if !mount.output().is_ok_and(|output| output.status.success()) {
        assert!(!rustix::process::geteuid().is_root(), "root may mount");
        return;
    }
    let told = {
        let _hub = hub(&farm, &sshd, "[[pods]]\nname = \"far\"\n");
        pod(&farm)
    };
    let root = farm.root.display();
    let left_out = {
        let config = format!(
            "roots = [{{ path = \"{root}\", leave_out = [\"sub\"] }}]\n[[pods]]\nname = \"far\"\n"
        );
        let _hub = hub(&farm, &sshd, &config);
        pod(&farm)
    };
    let umount = Command::new("umount")
        .arg("--lazy")
        .arg(farm.root.join("sub"))
        .output();
    assert!(umount.unwrap().status.success());
    assert_eq!(told["files"], "sshfs");
    let why = told["files_why"].as_str().unwrap();
    assert!(why.contains("mounted at `sub` in root"), "{why}");
    assert_eq!(left_out["files"], "mirror", "{left_out}");
}

#[test]
fn a_pod_whose_disk_is_too_small_for_a_copy_mounts() {
    let (farm, sshd) = far();
    let cache = sshd.dir.join("cache");
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=200m", "tmpfs"])
        .arg(&cache);
    if !mount.output().is_ok_and(|output| output.status.success()) {
        assert!(!rustix::process::geteuid().is_root(), "root may mount");
        return;
    }
    // Small ones go along unasked.
    for number in 0..2000_u64 {
        let mut noise = vec![0; 128 << 10];
        let mut seed = blake3::Hasher::new();
        seed.update(&number.to_le_bytes());
        seed.finalize_xof().fill(&mut noise);
        farm.write(&format!("noise{number}"), noise);
    }
    let hub = hub(&farm, &sshd, "[[pods]]\nname = \"far\"\n");
    let mounts = |told: Value| (told["files"] == "sshfs" && told["up"] == true).then_some(told);
    let pod = wait_for("the pod to mount", || mounts(pod(&farm)));
    // What changes from then on it is not told, as one with a copy would be.
    farm.write("a.h", "#define A 4\n");
    let ran = farm.cc(&["gcc", "-c", "a.c"]);
    let log = farm.log("far");
    drop(hub);
    let umount = Command::new("umount").arg("--lazy").arg(&cache).output();
    assert!(umount.unwrap().status.success());
    assert!(ran.status.success(), "{}", text(&ran));
    assert!(!log.contains("the peer closed the connection"), "{log}");
    let why = pod["files_why"].as_str().unwrap();
    // Told by the mirror, or by the trial of its view if that came later.
    assert!(
        why.starts_with("no mirror: it ") && why.contains("No space left"),
        "{why}"
    );
}

#[test]
fn what_was_sent_is_told_in_figures_and_job_by_job() {
    let (farm, sshd) = far();
    farm.write("data", vec![7; 1 << 20]);
    let _hub = hub(&farm, &sshd, "[[pods]]\nname = \"far\"\n");
    farm.wait_up();
    let at_first = pod(&farm)["mirror"].clone();
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    let before = pod(&farm)["mirror"].clone();
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap();
    assert!(number(&before, "sent_bytes") < 20_000, "packed: {before}");
    // The object came from the pod, and is not sent there.
    farm.write("new.h", format!("/*{}*/\n", "x".repeat(9_000)));
    farm.write("a.c", "#include \"a.h\"\n#include \"new.h\"\nint a[A];\n");
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    let after = pod(&farm)["mirror"].clone();
    let grown = |name: &str| number(&after, name) - number(&before, name);
    let header = 9_005;
    assert!(
        (header..header + 100).contains(&grown("content_bytes")),
        "{before} {after}"
    );
    assert!(grown("sent_bytes") < 1_000, "{before} {after}");
    let saved = number(&after, "saved_bytes") - number(&at_first, "saved_bytes");
    assert!(saved > 500, "the object: {at_first} {after}");
    let status = wait_for("the index to be counted", || {
        let status = farm.status()?;
        (status["indexes"][0]["files"] == 5).then_some(status)
    });
    let index = &status["indexes"][0];
    assert!(
        number(index, "bytes") > 1 << 20 && number(index, "generation") > 5,
        "{index}"
    );
    assert_eq!(index["scanned_why"], "", "{index}");

    let explain = |args: &[&str]| {
        let mut command = farm.command(bin("cpods"));
        let output = command
            .args(["explain", "--last"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = explain(&[]);
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0].ends_with("pod far: without a job, told of 4 changes"),
        "{said}"
    );
    let jobs = lines
        .iter()
        .filter(|it| it.contains("gcc, on pod far: ran "));
    assert_eq!(jobs.count(), 2, "{said}");
    let entries: Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    let entries = entries.as_array().unwrap();
    let job = entries.iter().rfind(|it| it["program"] == "gcc").unwrap();
    assert_eq!(
        (&job["program"], &job["pod"]),
        (&"gcc".into(), &"far".into())
    );
    assert!(job["there_seconds"].as_f64().unwrap() >= job["ran_seconds"].as_f64().unwrap());
    // With the job, or just before it.
    let sent = |name: &str| {
        let mut all = entries.iter().flat_map(|it| it["sent"].as_array().unwrap());
        let found = all.rfind(|sent| sent["name"] == name);
        found.map(|sent| sent["why"].as_str().unwrap().to_owned())
    };
    assert_eq!(sent("new.h").as_deref(), Some("changed"), "{entries:?}");
    assert_eq!(sent("a.c").as_deref(), Some("changed"), "{entries:?}");
    assert_eq!(sent("a.o"), None, "{entries:?}");
}
