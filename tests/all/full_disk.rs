//! Hazard: a pod's full disk looks like a failing tool. Here it is really full.

use crate::support::{Daemon, Farm, bin, text, wait_for};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system, gone at the end.
struct Small(PathBuf);

impl Small {
    /// None where nothing may be mounted.
    fn mount(place: &Path) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=256m", "tmpfs"])
            .arg(place);
        let output = mount.output().ok()?;
        output.status.success().then(|| Self(place.into()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_is_the_pods_fault_and_not_the_tools() {
    let farm = Farm::with("overlay", 1);
    farm.workds[0].kill();
    let cache = farm.dir.path().join("pod1.cache");
    let Some(_small) = Small::mount(&cache) else {
        assert!(!rustix::process::geteuid().is_root(), "root may mount");
        return;
    };
    let mut command = Command::new(bin("cpods-workd"));
    command
        .arg("--socket")
        .arg(farm.pod_socket())
        .arg("--cache")
        .arg(&cache);
    command.args([
        "--name",
        "pod1",
        "--slots",
        "1",
        "--scratch",
        "disk",
        "--log",
        "off",
    ]);
    let _workd = Daemon::new(command.stdin(Stdio::null()).spawn().unwrap());
    farm.write("small.c", "int a;\n");
    wait_for("a job on the small pod", || {
        let before = farm.finished();
        farm.command("cpods-cc")
            .args(["gcc", "-c", "small.c", "-o", "small.o"])
            .output()
            .unwrap();
        (farm.finished() > before).then_some(())
    });

    farm.write("big.c", "char big[300 << 20] = {1};\n");
    let mut command = farm.command("cpods-cc");
    let output = command
        .args(["gcc", "-c", "big.c", "-o", "big.o"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(output.stderr.is_empty(), "{}", text(&output));
    let size = std::fs::metadata(farm.root.join("big.o")).unwrap().len();
    assert!(size > 300 << 20, "{size} bytes");
    let status = farm.status().unwrap();
    let why = status["pods"][0]["why"].as_str().unwrap();
    assert!(why.contains("rest") || why.contains("trial"), "{why}");
    assert_eq!(status["failed"], 0);
}
