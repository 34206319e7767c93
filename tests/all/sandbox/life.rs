//! How jobs, sessions and the worker end.

use super::{eventually, in_both_views, place, running_with};
use crate::pod::GCC;
use cpods::job::{Digest, Ending, Role};
use cpods::wire::blocking::Frame;
use cpods::wire::messages::{FromPod, ToPod, ViewKind};
use std::fs;
use std::io::{Read, Write};

#[test]
fn what_a_tool_leaves_behind_is_killed() {
    in_both_views(|place, hub| {
        let script = "(trap '' TERM HUP; sleep 300) & (setsid sleep 300 &) ; echo done";
        let answer = hub.sh(&place.root, script);
        assert_eq!(answer.ok().stdout, "done\n");
    });
}

#[test]
fn cancelling_ends_everything() {
    let place = place(&[]);
    let mut hub = place.hub();
    // The job's marker is seen among the host's processes while it runs, and not after.
    let marker = format!("{}", 1_000_000 + std::process::id());
    let script = "trap '' TERM INT; setsid sh -c 'sleep 300; :' $0 & echo on; sleep 300; :";
    let spec = hub.script(&place.root, script).arg(&marker);
    let job = hub.start(&spec);
    loop {
        if let Frame::Data(..) = hub.connection.frame().unwrap() {
            break;
        }
    }
    assert!(running_with(&marker) > 0);
    hub.connection.send(None, &ToPod::Cancel { job }).unwrap();
    let answer = hub.wait(job).unwrap();
    assert_eq!(answer.end, Some(FromPod::Cancelled { job }));
    assert_eq!(running_with(&marker), 0);
    // The slot is free again.
    hub.sh(&place.root, "true").ok();
}

#[test]
fn what_has_no_slot_yet_is_taken_back() {
    let place = place(&["--slots", "1"]);
    let mut hub = place.hub();
    let begun = hub.script(&place.root, "echo on; sleep 300; :");
    let begun = hub.start(&begun);
    while !matches!(hub.connection.frame().unwrap(), Frame::Data(..)) {}
    let waits = hub.script(&place.root, "echo never");
    let waits = hub.start(&waits);
    for job in [begun, waits] {
        hub.connection.send(None, &ToPod::Recall { job }).unwrap();
    }
    // What has begun goes on, so that nothing else is told.
    let told = hub.connection.frame().unwrap().message::<FromPod>();
    assert_eq!(told.unwrap(), FromPod::Cancelled { job: waits });
    let job = begun;
    hub.connection.send(None, &ToPod::Cancel { job }).unwrap();
    let answer = hub.wait(job).unwrap();
    assert_eq!(answer.end, Some(FromPod::Cancelled { job }));
}

/// As when it was replaced while the job was on its way, or waited for a slot.
#[test]
fn a_tool_that_is_not_the_chosen_one_runs_nothing() {
    let place = place(&[]);
    let mut hub = place.hub();
    let spec = hub.script(&place.root, "echo wrong > f");
    let job = hub.start_by(&spec, Some(Digest::of(b"the tool of before")));
    let answer = hub.wait(job).unwrap();
    let declined =
        matches!(&answer.end, Some(FromPod::Declined { why, .. }) if why.contains("`sh`"));
    assert!(declined, "{answer:?}");
    hub.run(&spec).ok();
}

#[test]
fn a_lost_hub_ends_its_jobs_and_leaves_nothing() {
    for scratch in ["memory", "disk"] {
        let place = place(&["--scratch", scratch]);
        let mut hub = place.hub();
        let marker = format!("{}", 2_000_000 + std::process::id());
        let spec = hub
            .script(&place.root, "echo on; sleep 300; :")
            .arg(&marker);
        hub.start(&spec);
        loop {
            if let Frame::Data(..) = hub.connection.frame().unwrap() {
                break;
            }
        }
        assert!(running_with(&marker) > 0);
        drop(hub);
        let work = place.pod.cache.path().join("cache/work");
        eventually("the job is gone", || running_with(&marker) == 0);
        eventually("its files are gone", || {
            fs::read_dir(&work).unwrap().next().is_none()
        });
    }
}

#[test]
fn slots_hold_across_hubs() {
    let place = place(&["--slots", "1"]);
    let (mut one, mut two) = (place.hub(), place.hub());
    let first = one.script(&place.root, "echo on; sleep 0.5; date +%s%N");
    let first = one.start(&first);
    loop {
        if let Frame::Data(..) = one.connection.frame().unwrap() {
            break;
        }
    }
    let second = two.sh(&place.root, "date +%s%N");
    let first = one.wait(first).unwrap();
    let time = |text: &str| text.trim().parse::<u64>().unwrap();
    assert!(time(&first.stdout) < time(&second.stdout));
}

#[test]
fn a_full_disk_is_a_fault_of_the_pod() {
    let place = place(&[]);
    let mut hub = place.hub();
    let answer = hub.sh(
        &place.root,
        "echo 'ld: final link failed: No space left on device' >&2; exit 1",
    );
    assert!(
        matches!(answer.end, Some(FromPod::Fault { .. })),
        "{answer:?}"
    );
}

#[test]
fn broken_frames_cost_only_their_sender() {
    let place = place(&[]);
    let mut hub = place.hub();
    let hello = cpods::wire::frame::Hello::ours(cpods::wire::frame::Peer::Hub).to_bytes();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[hello.as_slice(), &[0xff; 32]].concat(),
        &[hello.as_slice(), &[9, 0, 0, 0, 0, 77, 1, 2, 3, 4, 5, 6, 7]].concat(),
        &hello[..7],
    ] {
        let mut stream = place.pod.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        // Dropped: the stream ends, with an error or without.
        let _ = stream.read_to_end(&mut rest);
    }
    hub.sh(&place.root, "true").ok();
}

#[test]
fn stops_at_sigterm_with_its_jobs() {
    let mut place = place(&[]);
    let mut hub = place.hub();
    let marker = format!("{}", 3_000_000 + std::process::id());
    let spec = hub
        .script(&place.root, "echo on; sleep 300; :")
        .arg(&marker);
    hub.start(&spec);
    loop {
        if let Frame::Data(..) = hub.connection.frame().unwrap() {
            break;
        }
    }
    let pid = rustix::process::Pid::from_child(&place.pod.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(place.pod.child.wait().unwrap().success());
    assert_eq!(running_with(&marker), 0);
    assert!(!place.pod.socket.exists());
}

#[test]
fn without_a_sandbox_jobs_still_end_whole() {
    let place = place(&["--unsandboxed"]);
    place.write("a.c", "int f(void){return 1;}\n");
    let mut hub = place.hub();
    assert_eq!(hub.offer.view, ViewKind::Rewrite);
    let compile = hub
        .job(GCC, "gcc", &place.root)
        .arg("-c")
        .path(Role::Input, "a.c")
        .arg("-o")
        .path(Role::Output, "a.o");
    assert_eq!(hub.run(&compile).ok().names(), ["a.o"]);
    assert!(!place.root.join("a.o").exists());
    let marker = format!("{}", 4_000_000 + std::process::id());
    let left = "trap '' TERM; setsid sh -c 'sleep 300; :' $0 & sh -c 'sleep 300; :' $0 & echo on";
    let spec = hub.script(&place.root, left).arg(&marker);
    assert_eq!(hub.run(&spec).ok().stdout, "on\n");
    assert_eq!(running_with(&marker), 0);
    let spec = hub
        .script(&place.root, &format!("{left}; wait"))
        .arg(&marker);
    let job = hub.start(&spec);
    loop {
        if let Frame::Data(..) = hub.connection.frame().unwrap() {
            break;
        }
    }
    hub.connection.send(None, &ToPod::Cancel { job }).unwrap();
    let answer = hub.wait(job).unwrap();
    assert_eq!(answer.end, Some(FromPod::Cancelled { job }));
    assert_eq!(running_with(&marker), 0);
}

#[test]
fn looks_again_at_sighup() {
    let place = place(&[]);
    let mut hub = place.hub();
    let pid = rustix::process::Pid::from_child(&place.pod.child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    for _ in 0..5 {
        hub.sh(&place.root, "true").ok();
    }
}

/// An upgrade of packages may tell a worker to look again at any moment, its first one too.
#[test]
fn a_sighup_at_its_start_does_not_end_it() {
    let place = place(&[]);
    drop(place.pod.connect());
    let pid = rustix::process::Pid::from_child(&place.pod.child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    place.hub().sh(&place.root, "true").ok();
}

#[test]
fn many_jobs_at_once() {
    let place = place(&["--slots", "3"]);
    let mut hub = place.hub();
    let jobs: Vec<_> = (0..40)
        .map(|n| {
            let spec = hub.script(&place.root, &format!("echo {n}; echo {n} > f{n}; exit {n}"));
            hub.start(&spec)
        })
        .collect();
    let answers = hub.wait_all(&jobs).unwrap();
    for (n, job) in (0_u8..).zip(&jobs) {
        let answer = &answers[&job.0];
        assert_eq!(answer.ending(), Ending::Exited(n));
        assert_eq!(answer.stdout, format!("{n}\n"));
        assert_eq!(answer.names(), [format!("f{n}")]);
    }
}
