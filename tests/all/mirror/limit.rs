//! A pod whose mirrors may hold only so much.

use super::by_need::{is_hollow, write_shell};
use super::faults::noise;
use super::{cache, copies, start_hub, start_with};
use crate::support::{Daemon, Farm, wait_for};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const LARGE_BYTES: usize = 2 << 20;

/// A pod of which the mirrors may take so much, and its hub.
fn start(farm: &Farm, gib: f64) -> (Daemon, Daemon) {
    start_as(farm, &format!("mirror_gib = {gib}\n"))
}

/// A pod with this file, and its hub.
fn start_as(farm: &Farm, text: &str) -> (Daemon, Daemon) {
    let file = farm.dir.path().join("pod.toml");
    fs::write(&file, text).unwrap();
    let worker = start_with(farm, "pod1", &["--config", file.to_str().unwrap()]);
    let hub = start_hub(farm);
    farm.wait_up();
    (worker, hub)
}

fn copy(farm: &Farm) -> PathBuf {
    copies(&cache(farm, "pod1")).remove(0)
}

/// What files of a directory take on the disk.
fn disk_bytes(dir: &Path) -> u64 {
    let found = walkdir::WalkDir::new(dir).into_iter().flatten();
    let found = found.filter_map(|entry| entry.metadata().ok());
    found
        .filter(fs::Metadata::is_file)
        .map(|found| found.blocks() * 512)
        .sum()
}

fn shell(farm: &Farm, script: &str) -> Vec<u8> {
    farm.cc_remote(&["./shell", "-c", script]).stdout
}

#[test]
fn a_pod_keeps_to_its_limit() {
    const LIMIT: u64 = 8 << 20;
    let farm = Farm::without_hub();
    for n in 0..8 {
        farm.write(&format!("f{n}"), noise(n, LARGE_BYTES));
    }
    write_shell(&farm);
    let (_worker, _hub) = start(&farm, LIMIT as f64 / f64::from(1 << 30));
    let copy = copy(&farm);
    for n in (0..8).chain([7, 0, 1, 0]) {
        let content = shell(&farm, &format!("cat f{n}"));
        assert!(content == noise(n, LARGE_BYTES), "f{n}");
        wait_for("content to go", || {
            (disk_bytes(&copy) <= LIMIT).then_some(())
        });
    }
    let whole = (0..8).filter(|n| !is_hollow(&copy.join(format!("f{n}"))));
    let whole: Vec<u64> = whole.collect();
    // The shell is one of the inputs each time, so that it stays.
    assert!(!is_hollow(&copy.join("shell")));
    assert_eq!(whole, [0, 1, 7]);
    let here = farm.root.join("f3").metadata().unwrap();
    let there = copy.join("f3").metadata().unwrap();
    let of = |it: &fs::Metadata| (it.len(), it.mode(), it.mtime(), it.mtime_nsec());
    assert_eq!(of(&here), of(&there));
}

#[test]
fn a_job_keeps_what_it_has_open_or_mapped() {
    let farm = Farm::without_hub();
    for n in 0..6 {
        farm.write(&format!("f{n}"), noise(n, LARGE_BYTES));
    }
    write_shell(&farm);
    // The job is not to run twice, as one does that may have been refused a file.
    let rules = farm.dir.path().join("rules");
    fs::create_dir(&rules).unwrap();
    let rule = include_str!("../../../ninja-rules/exec.toml");
    let rule = format!("{rule}\n[pod]\nwaits = true\n");
    fs::write(rules.join("exec.toml"), rule).unwrap();
    let rules = rules.display();
    let pod = format!("mirror_gib = 0.004\nrules = \"{rules}\"\n");
    let (_worker, _hub) = start_as(&farm, &pod);
    let copy = copy(&farm);
    shell(&farm, "cat f0 >/dev/null");
    assert!(!is_hollow(&copy.join("f0")));
    // It is there whole, so that nobody hears that this job opens it; all else is more than may be.
    let script = "import mmap, sys, hashlib
file = open('f0', 'rb')
again = open('f0', 'rb')
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
for name in ('f1', 'f2', 'f3', 'f4', 'f5'):
    open(name, 'rb').read()
sys.stdout.buffer.write(mapped[:])
sys.stdout.buffer.write(again.read())
sys.stdout.buffer.write(open('f0', 'rb').read())
";
    farm.write("job.py", script);
    let content = shell(&farm, "exec python3 job.py");
    assert!(content == noise(0, LARGE_BYTES).repeat(3));
    // Which is said not before all has gone that no job here is known to have used.
    let log = farm.log("pod1");
    assert!(log.contains("larger than it may be"), "{log}");
    assert!(is_hollow(&copy.join("f0")));
}

#[test]
fn with_hardly_any_room_all_is_right() {
    let farm = Farm::without_hub();
    let source = |n: u32| {
        let mut text = format!("int f{n}(void) {{ return {n}; }}\n");
        for line in 0..10_000 {
            writeln!(text, "/* line {line} that makes it large */").unwrap();
        }
        text
    };
    for n in 0..4 {
        farm.write(&format!("s{n}.c"), source(n));
    }
    let (_worker, hub) = start(&farm, 0.0);
    let copy = copy(&farm);
    let compile = |n: u32| {
        let (from, to) = (format!("s{n}.c"), format!("s{n}.o"));
        let compile = ["gcc", "-g", "-c", &from, "-o", &to];
        farm.cc_remote(&compile);
        let object = farm.read(&to);
        assert!(farm.bare(&compile).status.success());
        assert!(object == farm.read(&to), "{from}");
        wait_for("the input to go", || {
            is_hollow(&copy.join(&from)).then_some(())
        });
    };
    for n in [0, 1, 2, 3, 0, 1] {
        compile(n);
    }
    // The hub knew each time that it was gone, and sent it along with the job; or it had to go anew
    // before the job came, and came once more.
    // And after both met anew.
    drop(hub);
    let _hub = start_hub(&farm);
    farm.wait_up();
    farm.write("s2.c", source(7));
    for n in [2, 3, 2] {
        compile(n);
    }
    assert_eq!(
        farm.log("pod1").matches("larger than it may be").count(),
        2,
        "said once by each session"
    );
}

#[test]
fn copies_that_nobody_uses_go_when_a_worker_starts() {
    let farm = Farm::without_hub();
    let mirrors = cache(&farm, "pod1").join("mirror");
    for name in ["aa.1", "bb.1"] {
        fs::create_dir_all(mirrors.join(name).join("root/files")).unwrap();
        fs::write(mirrors.join(name).join("root/files/x"), noise(1, 4 << 20)).unwrap();
    }
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 30);
    let old = fs::File::open(mirrors.join("bb.1")).unwrap();
    old.set_modified(long_ago).unwrap();
    farm.write("a.c", "int a;\n");
    let (_worker, _hub) = start(&farm, 0.006);
    wait_for("the oldest to go", || {
        (!mirrors.join("bb.1").exists()).then_some(())
    });
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    assert!(mirrors.join("aa.1").exists());
}
