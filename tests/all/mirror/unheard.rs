//! A hub to which the kernel gives no inotify, or too little of it.

use super::{cache, copies, same, start_worker};
use crate::support::{Daemon, Farm, bin};
use std::fs;
use std::process::Command;

/// A hub in a user namespace that has no more of this than so much.
fn start_hub_with_few(farm: &Farm, limit: &str, count: u32) -> Daemon {
    let config = farm.dir.path().join("hub.toml");
    let pod = farm.pod_socket();
    let pod = pod.display();
    let pod = format!("[[pods]]\nname = \"pod1\"\nunix = \"{pod}\"\nfiles = \"mirror\"\n");
    fs::write(&config, pod).unwrap();
    let log = fs::File::create(farm.dir.path().join("schedd.log")).unwrap();
    let script = format!("echo {count} >/proc/sys/user/{limit} && exec \"$@\"");
    let hub = farm
        .command("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &script, "sh"])
        .arg(bin("cpods-schedd"))
        .args(["--log", "debug", "--socket"])
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root)
        .arg("--config")
        .arg(config)
        .stderr(log)
        .spawn();
    Daemon::new(hub.unwrap())
}

fn walks_and_says_so_once(limit: &str, count: u32, why: &str) {
    let mut unshare = Command::new("unshare");
    let unshare = unshare.args(["--user", "--map-root-user", "true"]).output();
    if !unshare.is_ok_and(|output| output.status.success()) {
        println!("no user namespaces here");
        return;
    }
    let farm = Farm::without_hub();
    for dir in ["a", "b/c", "b/d", "e"] {
        farm.write(&format!("{dir}/a.h"), "int a = 0;\n");
    }
    let _worker = start_worker(&farm);
    let _hub = start_hub_with_few(&farm, limit, count);
    farm.wait_up();
    for round in 1..6_u32 {
        let line = format!("int a = {};\n", 70_000 + round);
        farm.write("b/d/a.h", &line);
        farm.write("main.c", "#include \"b/d/a.h\"\n");
        farm.cc_remote(&["gcc", "-c", "main.c", "-o", "main.o"]);
        let object = farm.read("main.o");
        let value = (70_000 + round).to_le_bytes();
        assert!(object.windows(4).any(|bytes| bytes == value), "{round}");
    }
    fs::rename(farm.root.join("b"), farm.root.join("f")).unwrap();
    same(&farm, &copies(&cache(&farm, "pod1")), "after all");
    let log = farm.log("schedd");
    let root = farm.root.display();
    let said = format!("root `{root}` is walked before each job: ");
    assert_eq!(log.matches(&said).count(), 1, "{log}");
    assert!(log.contains(why), "{log}");
}

#[test]
fn watches_that_are_used_up() {
    let why = "the user's inotify watches are used up (fs.inotify.max_user_watches)";
    walks_and_says_so_once("max_inotify_watches", 3, why);
}

#[test]
fn no_instance_of_inotify() {
    let why = "there is no inotify (fs.inotify.max_user_instances)";
    walks_and_says_so_once("max_inotify_instances", 0, why);
}
