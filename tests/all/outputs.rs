//! What a job writes comes to the hub as the bare tool would have written it.

use crate::project::all_files;
use crate::support::{Farm, bin, text, wait_for_end};
use crate::tool::make_tool;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const COMPILE: [&str; 5] = ["gcc", "-c", "a.c", "-o", "a.o"];

/// Everything below a directory: kind, mode, content or target.
fn picture(dir: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(dir).sort_by_file_name();
    let entries = walk
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.depth() > 0);
    entries
        .map(|entry| {
            let below = entry
                .path()
                .strip_prefix(dir)
                .unwrap()
                .display()
                .to_string();
            let mode = entry.metadata().unwrap().mode() & 0o7777;
            if entry.path_is_symlink() {
                format!(
                    "{below} -> {}",
                    fs::read_link(entry.path()).unwrap().display()
                )
            } else if entry.file_type().is_dir() {
                format!("{below}/ {mode:o}")
            } else {
                let content = blake3::hash(&fs::read(entry.path()).unwrap());
                format!("{below} {mode:o} {content}")
            }
        })
        .collect()
}

#[test]
fn directories_links_modes_and_removals() {
    all_changes_come_back(&Farm::new());
}

/// Lets a job on the farm's pod make, change, rename and remove all kinds of things.
pub(crate) fn all_changes_come_back(farm: &Farm) {
    make_tool(farm);
    let mut pictures = Vec::new();
    for dir in ["ours", "bare"] {
        for name in ["old/file", "old/moved", "old/stays", "gone/a", "gone/b"] {
            farm.write(&format!("{dir}/{name}"), name);
        }
        let mut command = farm.command_in(
            &farm.root.join(dir),
            if dir == "ours" { "cpods-cc" } else { "../tool" },
        );
        if dir == "ours" {
            command.env("CPODS_FALLBACK", "0").arg("../tool");
        }
        let output = command.arg("tree").output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        pictures.push(picture(&farm.root.join(dir)));
    }
    assert_eq!(farm.finished(), 1);
    // A pod gives nobody a setuid file: that bit alone may differ.
    let bare: Vec<_> = pictures[1]
        .iter()
        .map(|line| line.replace(" 4755 ", " 755 "))
        .collect();
    assert!(bare != pictures[1], "the tool makes a setuid file");
    assert_eq!(pictures[0], bare);
}

/// What stands at `a.o`, or in `a.c`, before a compile: a name, the jobs that go to a pod, and how
/// it is made.
type Before = (&'static str, u64, fn(&Path));

const BEFORE: [Before; 8] = [
    ("nothing", 1, |_| ()),
    ("a file", 1, |dir| old(&dir.join("a.o"), 0o644)),
    ("an executable file", 1, |dir| old(&dir.join("a.o"), 0o755)),
    ("a read-only file", 1, |dir| old(&dir.join("a.o"), 0o444)),
    ("a symlink", 1, |dir| {
        old(&dir.join("target"), 0o644);
        symlink("target", dir.join("a.o")).unwrap();
    }),
    // Which of two things the tool does with such a link, only the tool knows.
    ("a dangling symlink", 0, |dir| {
        symlink("nowhere", dir.join("a.o")).unwrap()
    }),
    ("a hard link", 1, |dir| {
        old(&dir.join("other"), 0o644);
        fs::hard_link(dir.join("other"), dir.join("a.o")).unwrap();
    }),
    ("a file, and an error in the source", 1, |dir| {
        old(&dir.join("a.o"), 0o644);
        fs::write(dir.join("a.c"), "int a = nothing;\n").unwrap();
    }),
];

fn old(path: &Path, mode: u32) {
    fs::write(path, "old").unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn over_whatever_stood_there_as_the_bare_tool() {
    for view in ["overlay", "rewrite"] {
        let farm = Farm::with(view, 1);
        for (number, (name, jobs, prepare)) in BEFORE.iter().enumerate() {
            let before = farm.finished();
            // Names of one length, since objects and messages hold them.
            let [ours, bare] = ["cpods-cc", "gcc"].map(|program| {
                let dir = farm.root.join(format!("{number}{}", program.len()));
                fs::create_dir(&dir).unwrap();
                fs::write(dir.join("a.c"), "int a;\n").unwrap();
                prepare(&dir);
                let mut command = farm.command_in(&dir, program);
                let words = if program == "gcc" {
                    &COMPILE[1..]
                } else {
                    &COMPILE[..]
                };
                let output = command
                    .env("CPODS_FALLBACK", "0")
                    .args(words)
                    .output()
                    .unwrap();
                let links = fs::metadata(dir.join("a.o")).map(|found| found.nlink());
                (text(&output), picture(&dir), links.ok())
            });
            assert_eq!(ours, bare, "{view}: over {name}");
            assert_eq!(farm.finished(), before + jobs, "{view}: over {name}");
        }
    }
}

#[test]
fn over_a_directory() {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    fs::create_dir(farm.root.join("a.o")).unwrap();
    let ours = farm.bare(&["cpods-cc", "gcc", "-c", "a.c", "-o", "a.o"]);
    let bare = farm.bare(&COMPILE);
    assert_eq!(text(&ours), text(&bare));
    assert!(!ours.status.success() && farm.root.join("a.o").is_dir());
}

#[test]
fn into_a_missing_directory_fails_in_the_tools_words() {
    for view in ["overlay", "rewrite"] {
        let farm = Farm::with(view, 1);
        farm.write("a.c", "int a;\n");
        let ours = farm.bare(&["cpods-cc", "gcc", "-c", "a.c", "-o", "none/a.o"]);
        let bare = farm.bare(&["gcc", "-c", "a.c", "-o", "none/a.o"]);
        assert_eq!(text(&ours), text(&bare), "{view}");
        assert!(!farm.root.join("none").exists());
    }
}

#[test]
fn what_a_killed_wrapper_left_is_swept_by_the_next() {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    farm.write("a.o", "old");
    let left = cpods::cc::temporary_of(&farm.root.join("a.o"));
    fs::write(&left, "half").unwrap();
    farm.cc_remote(&COMPILE);
    let names: Vec<_> = fs::read_dir(&farm.root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(farm.read("a.o").starts_with(b"\x7fELF"));
}

#[test]
fn a_large_output_arrives_whole() {
    let farm = Farm::new();
    make_tool(&farm);
    farm.cc_remote(&["./tool", "big", "ours", "50"]);
    assert!(farm.bare(&["./tool", "big", "bare", "50"]).status.success());
    let (ours, bare) = (farm.read("ours"), farm.read("bare"));
    assert_eq!(ours.len(), 50 << 20);
    assert!(blake3::hash(&ours) == blake3::hash(&bare));
}

#[test]
fn two_jobs_that_write_one_output_leave_one_of_them_whole() {
    let farm = Farm::new();
    make_tool(&farm);
    for _ in 0..5 {
        let start = |letter: &str| {
            let mut command = farm.command(bin("cpods-cc"));
            command
                .env("CPODS_FALLBACK", "0")
                .args(["./tool", "fill", "out", letter]);
            command.spawn().unwrap()
        };
        for mut job in [start("a"), start("b"), start("c")] {
            assert!(wait_for_end("a job", &mut job).success());
        }
        let out = farm.read("out");
        assert_eq!(out.len(), 1 << 20);
        assert!(out.iter().all(|byte| *byte == out[0]), "a mixture");
        let left = all_files(&farm.root);
        assert!(
            left.iter()
                .all(|path| !path.display().to_string().contains(".cpods-"))
        );
    }
    assert_eq!(farm.finished(), 15);
}

#[test]
fn dev_null_stays_a_device_and_its_job_local() {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    symlink("/dev/null", farm.root.join("null")).unwrap();
    for out in ["/dev/null", "null"] {
        let output = farm.bare(&["cpods-cc", "gcc", "-c", "a.c", "-o", out]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(
            fs::metadata("/dev/null")
                .unwrap()
                .file_type()
                .is_char_device()
        );
    }
    assert!(farm.root.join("null").is_symlink());
    assert_eq!(farm.finished(), 0);
}
