//! The worker that a pod runs as a service: waited for, gone back to, and told where it is not used.

use super::{far, hub, hub_of};
use crate::sshd::{self, Sshd};
use crate::support::{Daemon, Farm, bin, text, wait_for, wait_for_end};
use crate::tool::{Process, make_tool, wait_for_gates};
use cpods::wire::frame::{Hello, PROTOCOL, Peer};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

fn socket(sshd: &Sshd) -> PathBuf {
    let folder = sshd.dir.join("run/cpods");
    fs::create_dir_all(&folder).unwrap();
    folder.join("workd.sock")
}

/// The service, with seven slots.
fn service(farm: &Farm, sshd: &Sshd) -> Daemon {
    let worker = farm
        .command(bin("cpods-workd"))
        .args(["--slots", "7", "--cache"])
        .arg(farm.dir.path().join("service"))
        .arg("--socket")
        .arg(socket(sshd))
        .env("XDG_RUNTIME_DIR", sshd.dir.join("run"))
        .stderr(std::process::Stdio::null())
        .spawn();
    Daemon::new(worker.unwrap())
}

/// As `systemctl --user enable` leaves it.
fn enable(sshd: &Sshd) {
    let wants = sshd.dir.join("etc/systemd/user/default.target.wants");
    fs::create_dir_all(&wants).unwrap();
    fs::write(wants.join("cpods-workd.service"), "").unwrap();
}

/// What the hub says of its pod: its worker, why not another, and its slots while it is up.
fn pod(farm: &Farm) -> (String, String, u64) {
    let status = farm.status().unwrap();
    let pod = &status["pods"][0];
    let text = |key: &str| pod[key].as_str().unwrap_or_default().to_owned();
    let slots = pod["slots"].as_u64().filter(|_| pod["up"] == true);
    (text("worker"), text("worker_why"), slots.unwrap_or(0))
}

fn wait_for_service(farm: &Farm) {
    wait_for("the service to serve", || {
        let (worker, why, slots) = pod(farm);
        (worker == "service" && why.is_empty() && slots == 7).then_some(())
    });
}

/// A service that speaks another version, until its socket is removed.
fn of_another_version(sshd: &Sshd) {
    let other = UnixListener::bind(socket(sshd)).unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let mut hello = Hello::ours(Peer::Pod);
            hello.version += 1;
            let _ = stream.unwrap().write_all(&hello.to_bytes());
        }
    });
}

#[test]
fn a_service_that_is_killed_is_waited_for() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    enable(&sshd);
    let first = service(&farm, &sshd);
    let _hub = hub(&farm, &sshd);
    wait_for_service(&farm);
    first.kill();
    // The hub is back before the service is, as it always is where systemd starts it again.
    let mut looks = 0;
    wait_for("the hub to be back", || {
        let all = Process::all(&farm.tag());
        let waits = |process: &Process| process.argv.iter().any(|word| word == "--meet");
        looks += usize::from(all.iter().any(waits));
        (looks > 10 || pod(&farm).0 == "sent").then_some(())
    });
    let _second = service(&farm, &sshd);
    wait_for("the pod to be up again", || {
        let (worker, _, slots) = pod(&farm);
        assert_ne!(worker, "sent");
        (slots > 0).then_some(())
    });
    wait_for_service(&farm);
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}

#[test]
fn a_service_that_does_not_come_is_told() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    enable(&sshd);
    let _hub = hub(&farm, &sshd);
    let (worker, why, _) = pod(&farm);
    assert_eq!(worker, "sent");
    assert!(why.contains("enabled and does not answer"), "{why}");
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}

#[test]
fn a_sent_worker_gives_way_to_the_service_after_its_jobs() {
    let (farm, sshd) = far();
    make_tool(&farm);
    farm.write("in", "slow\n");
    let _hub = hub(&farm, &sshd);
    let (worker, why, _) = pod(&farm);
    assert_eq!((worker.as_str(), why.as_str()), ("sent", ""));
    let mut job = farm
        .command(bin("cpods-cc"))
        .args(["./tool", "gate", "in", "out", &farm.tag()])
        .env("CPODS_FALLBACK", "0")
        .spawn()
        .unwrap();
    let gate = wait_for_gates(&farm, 1);
    let _service = service(&farm, &sshd);
    wait_for("the worker to take no more jobs", || {
        (pod(&farm).2 == 0).then_some(())
    });
    assert_eq!(pod(&farm).0, "sent", "its job is not ended");
    gate[0].signal(Signal::USR1);
    assert!(wait_for_end("the job", &mut job).success());
    assert_eq!(farm.read("out"), b"slow\n");
    wait_for_service(&farm);
    assert_eq!(farm.finished(), 1, "run once");
    farm.cc_remote(&["./tool", "filter", "in", "again"]);
}

#[test]
fn a_service_of_another_version_is_told_and_gone_back_to_once_it_is_upgraded() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    enable(&sshd);
    of_another_version(&sshd);
    let config = farm.dir.path().join("config/cpods/hub.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, super::POD).unwrap();
    let _hub = hub_of(&farm, &sshd, &config);
    let versions = format!(
        "its service speaks version {} of the protocol, this hub version {PROTOCOL}: run \
         `upgrade.yml`",
        PROTOCOL + 1
    );
    let is_told = || {
        let (worker, why, _) = pod(&farm);
        assert!(
            worker == "sent" && why.contains(&versions),
            "{worker}: {why}"
        );
    };
    is_told();
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    // Told anew with each connection, it would fill the journal.
    for ssh in super::processes(&farm, "ssh") {
        let _ = kill_process(ssh, Signal::KILL);
    }
    wait_for("the connection to be lost", || {
        (pod(&farm).2 == 0).then_some(())
    });
    farm.wait_up();
    is_told();
    let log = farm.log("far");
    let warned = log.lines().filter(|line| line.contains(&versions));
    let warned: Vec<_> = warned.collect();
    assert!(warned.len() == 1 && warned[0].contains("WARN"), "{log}");
    let mut doctor = farm.command(bin("cpods"));
    let output = doctor
        .env("CPODS_SSH", sshd.ssh())
        .env("CPODS_WORKERS", sshd::workers())
        .env("XDG_CONFIG_HOME", farm.dir.path().join("config"))
        .args(["doctor", "far"])
        .output();
    let said = text(&output.unwrap());
    let told = |line: &str| line.contains("WARN") && line.contains(&versions);
    assert!(said.lines().any(told), "{said}");

    fs::remove_file(socket(&sshd)).unwrap();
    let _service = service(&farm, &sshd);
    wait_for_service(&farm);
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}
