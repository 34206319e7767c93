//! A pod that runs out of memory: that is the pod's fault, never the tool's failure.

use super::place_with;
use crate::pod::{Pod, WORKD};
use cpods::wire::messages::FromPod;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the worker and all its jobs may have; ample for both.
const LIMIT: &str = "201326592";

/// A control group with little memory, gone with this.
struct Group(PathBuf);

impl Group {
    /// In whichever version of control groups this machine has with memory, if this user may.
    fn new() -> Option<Self> {
        for (top, limit) in [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ] {
            // Refused where it is not needed, too; whether there is a limit to set will tell.
            let _ = fs::write(Path::new(top).join("cgroup.subtree_control"), "+memory");
            let dir = Path::new(top).join(format!("cpods-test-{}", std::process::id()));
            if fs::create_dir(&dir).is_err() {
                continue;
            }
            let group = Self(dir);
            if group.0.join(limit).exists() && fs::write(group.0.join(limit), LIMIT).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "the kernel counts kills for the whole machine, so that other tests' workers see it too"]
fn a_job_killed_for_want_of_memory_is_a_fault_of_the_pod() {
    let Some(group) = Group::new() else {
        println!("skipped: no control group with a memory limit can be made here");
        return;
    };
    let mut command = Command::new("sh");
    let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    command.args(["-c", script]).arg(&group.0).arg(WORKD);
    let place = place_with(Pod::start_by(command, &[]));
    let mut hub = place.hub();
    // tail keeps all of it, as no line ends; its exit code is what the shell gives.
    let answer = hub.sh(&place.root, "head -c 1G /dev/zero | tail -n 1");
    let Some(FromPod::Fault { why, .. }) = &answer.end else {
        panic!("{answer:?}");
    };
    assert!(why.contains("out of memory"), "{why}");
    // The worker lives on, and a tool that fails by itself is told from that.
    let answer = hub.sh(&place.root, "exit 7");
    assert_eq!(answer.ending(), cpods::job::Ending::Exited(7));
    drop((hub, place));
}
