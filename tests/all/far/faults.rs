//! Everything on the way to a pod, killed and frozen.

use super::{far, hub, mounts, processes, wait_for_nothing_left};
use crate::support::{Farm, bin, text, wait_for, wait_for_end};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Kills what `victims` finds, again and again, while jobs run; all of them end well.
fn survives(victims: impl Fn(&Farm) -> Vec<Pid>) {
    let (farm, sshd) = far();
    let count = 12;
    for n in 0..count {
        farm.write(
            &format!("f{n}.c"),
            format!("#include <stdio.h>\nint f{n};\n"),
        );
    }
    let hub = hub(&farm, &sshd);
    for round in 0..5 {
        let mut jobs: Vec<_> = (0..count)
            .map(|n| {
                let (source, object) = (format!("f{n}.c"), format!("f{n}.o"));
                let mut job = farm.command(bin("cpods-cc"));
                job.args(["gcc", "-c", &source, "-o", &object])
                    .spawn()
                    .unwrap()
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(7 * (round + 1)));
        let found = wait_for("somebody to kill", || {
            Some(victims(&farm)).filter(|found| !found.is_empty())
        });
        for pid in found {
            let _ = kill_process(pid, Signal::KILL);
        }
        for job in &mut jobs {
            let ended = wait_for_end("a job", job);
            assert!(ended.success(), "round {round}: {ended}");
        }
        for n in 0..count {
            let (source, object) = (format!("f{n}.c"), format!("f{n}.o"));
            let ours = farm.read(&object);
            fs::remove_file(farm.root.join(&object)).unwrap();
            assert!(
                farm.bare(&["gcc", "-c", &source, "-o", &object])
                    .status
                    .success()
            );
            assert!(
                farm.read(&object) == ours,
                "round {round}: {object} differs"
            );
        }
        farm.wait_up();
    }
    hub.signal(Signal::TERM);
    assert!(hub.wait().success());
    wait_for_nothing_left(&farm, &sshd);
}

#[test]
fn killed_ssh() {
    survives(|farm| processes(farm, "ssh"));
}

#[test]
fn killed_sshfs() {
    survives(|farm| processes(farm, "sshfs"));
}

#[test]
fn killed_sftp_server() {
    survives(|farm| processes(farm, "bwrap"));
}

#[test]
fn killed_worker() {
    survives(|farm| {
        // The program itself lies in this test's own folder, so no other test's worker is meant.
        let place = farm.dir.path().join("sshd/cache/cpods/bin");
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|process| {
            let pid: i32 = process.file_name().to_str()?.parse().ok()?;
            let exe = fs::read_link(process.path().join("exe")).ok()?;
            let words = fs::read(process.path().join("cmdline")).ok()?;
            let is_worker = words
                .split(|byte| *byte == 0)
                .any(|word| word == b"--stdio");
            (exe.starts_with(&place) && is_worker).then(|| Pid::from_raw(pid))?
        })
        .collect()
    });
}

#[test]
fn a_killed_hub_leaves_nothing_on_its_pod() {
    let (farm, sshd) = far();
    let hub = hub(&farm, &sshd);
    assert!(!mounts(&farm).is_empty());
    hub.kill();
    wait_for_nothing_left(&farm, &sshd);
    wait_for("the server's jail to go", || {
        processes(&farm, "bwrap").is_empty().then_some(())
    });
}

#[test]
fn a_stalled_mount_is_noticed_and_cleared() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    let _hub = hub(&farm, &sshd);
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    let frozen = processes(&farm, "sshfs");
    assert_eq!(frozen.len(), 1);
    kill_process(frozen[0], Signal::STOP).unwrap();
    // Begun in the stalled mount, ended elsewhere.
    let output = farm
        .command(bin("cpods-cc"))
        .args(["gcc", "-c", "a.c", "-o", "b.o"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(farm.read("a.o") == farm.read("b.o"));
    wait_for("the frozen sshfs to go", || {
        (!processes(&farm, "sshfs").contains(&frozen[0])).then_some(())
    });
    farm.wait_up();
    farm.cc_remote(&["gcc", "-c", "a.c", "-o", "c.o"]);
}
