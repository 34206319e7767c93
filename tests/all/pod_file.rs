//! `pod.toml`: a pod whose own file says what it offers, and when.

use crate::support::{Daemon, Farm, bin, text, wait_for};
use std::fs::{self, File, FileTimes};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// A hub with one pod, whose worker is told nothing but its file.
struct Pod {
    farm: Farm,
    _worker: Daemon,
    _hub: Daemon,
}

fn config(farm: &Farm, content: &str) -> PathBuf {
    let path = farm.dir.path().join("pod.toml");
    fs::write(&path, content).unwrap();
    path
}

fn workd(farm: &Farm) -> Command {
    let mut worker = farm.command(bin("cpods-workd"));
    worker
        .arg("--socket")
        .arg(farm.pod_socket())
        .arg("--cache")
        .arg(farm.dir.path().join("cache"))
        .arg("--config")
        .arg(farm.dir.path().join("pod.toml"))
        .stdout(Stdio::null())
        .stderr(File::create(farm.dir.path().join("pod1.log")).unwrap());
    worker
}

impl Pod {
    fn start(farm: Farm, more: &[&str]) -> Self {
        let worker = Daemon::new(workd(&farm).args(more).spawn().unwrap());
        let log = File::create(farm.dir.path().join("schedd.log")).unwrap();
        let hub = farm
            .command(bin("cpods-schedd"))
            .arg("--socket")
            .arg(farm.hub_socket())
            .arg("--root")
            .arg(&farm.root)
            .args(["--patience", "0", "--pod"])
            .arg(format!("pod1=unix:{}", farm.pod_socket().display()))
            .stderr(log)
            .spawn()
            .unwrap();
        let _hub = Daemon::new(hub);
        Self {
            farm,
            _worker: worker,
            _hub,
        }
    }

    /// Until the hub has its offer; what the hub says of it then.
    fn offered(&self) -> serde_json::Value {
        wait_for("an offer", || {
            let pod = self.farm.status()?["pods"][0].clone();
            (pod["machine"] != "").then_some(pod)
        })
    }
}

fn tools(pod: &serde_json::Value) -> Vec<&str> {
    let tools = pod["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["tool"].as_str().unwrap()).collect()
}

#[test]
fn a_pod_offers_what_its_file_says() {
    let farm = Farm::without_hub();
    config(&farm, "slots = 3\nnice = 7\nwithhold = [\"clang\"]\n");
    farm.write("a.c", "int a;\n");
    farm.write(
        "nice.c",
        "#include <stdio.h>\n#include <sys/resource.h>\n\
         int main(void) { printf(\"nice %d\\n\", getpriority(PRIO_PROCESS, 0)); }\n",
    );
    assert!(farm.bare(&["gcc", "nice.c", "-o", "nice"]).status.success());
    let pod = Pod::start(farm, &[]);
    let offered = pod.offered();
    assert_eq!(offered["up"], true, "{offered}");
    assert_eq!(offered["slots"], 3);
    let tools = tools(&offered);
    assert!(
        tools.contains(&"gcc") && !tools.contains(&"clang"),
        "{tools:?}"
    );
    pod.farm.cc_remote(&["gcc", "-c", "a.c"]);
    let said = pod.farm.cc_remote(&["./nice"]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "nice 7\n");
}

#[test]
fn what_is_withheld_is_not_used() {
    let farm = Farm::without_hub();
    config(
        &farm,
        "withhold = [\"gcc\"]\nslots = 3\nview = \"rewrite\"\n",
    );
    farm.write("a.c", "int a;\n");
    // The command line wins.
    let pod = Pod::start(farm, &["--slots", "2"]);
    let offered = pod.offered();
    assert_eq!(
        (&offered["slots"], &offered["view"]),
        (&2.into(), &"rewrite".into())
    );
    let offers = tools(&offered);
    assert!(!offers.is_empty() && !offers.contains(&"gcc"), "{offers:?}");
    let refused = pod.farm.cc(&["gcc", "-c", "a.c"]);
    assert_eq!(refused.status.code(), Some(125), "{}", text(&refused));
    assert!(
        text(&refused).contains("offers no gcc"),
        "{}",
        text(&refused)
    );
    assert_eq!(pod.farm.finished(), 0);
}

#[test]
fn a_person_comes_first() {
    let farm = Farm::without_hub();
    config(&farm, "hours = \"idle\"\n");
    farm.write("a.c", "int a;\n");
    let terminals = farm.dir.path().join("dev");
    fs::create_dir_all(terminals.join("pts")).unwrap();
    let terminal = File::create(terminals.join("pts/0")).unwrap();
    let typed = |ago: Duration| {
        let then = SystemTime::now() - ago;
        let times = FileTimes::new().set_accessed(then).set_modified(then);
        terminal.set_times(times).unwrap();
    };
    typed(Duration::ZERO);
    let pod = Pod::start(farm, &["--terminals", terminals.to_str().unwrap()]);
    let offered = pod.offered();
    assert_eq!(
        (&offered["up"], &offered["slots"]),
        (&false.into(), &0.into())
    );
    let shown = pod
        .farm
        .command(bin("cpods"))
        .arg("status")
        .output()
        .unwrap();
    assert!(
        text(&shown).contains("in use by a person"),
        "{}",
        text(&shown)
    );
    let refused = pod.farm.cc(&["gcc", "-c", "a.c"]);
    assert_eq!(refused.status.code(), Some(125), "{}", text(&refused));
    typed(Duration::from_secs(600));
    pod.farm.wait_up();
    pod.farm.cc_remote(&["gcc", "-c", "a.c"]);
    typed(Duration::ZERO);
    wait_for("the pod to stand back", || {
        let pod = pod.farm.status()?["pods"][0].clone();
        (pod["up"] == false && pod["why"] == "takes no jobs: in use by a person").then_some(())
    });
}

#[test]
fn a_wrong_file_is_told_by_line_and_key() {
    let farm = Farm::without_hub();
    let path = config(&farm, "slots = 2\nnice = 40\n");
    let worker = farm
        .command(bin("cpods-workd"))
        .arg("--stdio")
        .arg("--config")
        .arg(&path)
        .output()
        .unwrap();
    let said = text(&worker);
    let told = format!("{}:2: `nice` must be 0 to 19", path.display());
    assert!(!worker.status.success() && said.contains(&told), "{said}");
}
