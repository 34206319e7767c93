//! What a job sees and how what it wrote is read.

use super::{in_both_views, place};
use crate::pod::{ABSENT, GCC, Pod};
use cpods::job::{Ending, Role, Written};
use cpods::wire::messages::FromPod;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

#[test]
fn runs_and_says_how_it_ended() {
    in_both_views(|place, hub| {
        let answer = hub.sh(&place.root, "echo out; echo err >&2; exit 3");
        assert_eq!(answer.ending(), Ending::Exited(3));
        assert_eq!((&*answer.stdout, &*answer.stderr), ("out\n", "err\n"));
        let answer = hub.sh(&place.root, "kill -ABRT $$");
        assert_eq!(answer.ending(), Ending::Signalled(6));
        let answer = hub.sh(&place.root, "kill -TERM $$; sleep 5");
        assert_eq!(answer.ending(), Ending::Signalled(15));
        let answer = hub.sh(&place.root, "read x || echo nothing; test $$ != 1; echo $?");
        assert_eq!(answer.stdout, "nothing\n0\n");
    });
}

#[test]
fn compiles_as_locally_in_the_overlay() {
    let place = place(&["--view", "overlay"]);
    place.write("inc/a.h", "#define A 42\n");
    place.write(
        "src/a.c",
        "#include \"a.h\"\n#include <stdio.h>\nint f(void){return printf(\"%d %s\",A,__FILE__);}\n",
    );
    fs::create_dir(place.root.join("obj")).unwrap();
    let mut hub = place.hub();
    let words = [
        "-g", "-O2", "-Iinc", "-MD", "-MF", "obj/a.d", "-c", "src/a.c", "-o", "obj/a.o",
    ];
    let mut spec = hub.job(GCC, "gcc", &place.root);
    for word in words {
        spec = spec.arg(word);
    }
    let spec = spec
        .output(Role::Output, "obj/a.o")
        .output(Role::Depfile, "obj/a.d");
    let answer = hub.run(&spec);
    assert_eq!(answer.ok().names(), ["a.d", "a.o"]);
    assert!(
        !place.root.join("obj/a.o").exists(),
        "the job wrote into the files"
    );
    let local = Command::new("gcc")
        .args(words)
        .current_dir(&place.root)
        .env("PWD", &place.root)
        .status();
    assert!(local.unwrap().success());
    for name in ["obj/a.o", "obj/a.d"] {
        let path = place.root.join(name);
        let (what, content) = &answer.wrote[&path];
        assert!(fs::read(&path).unwrap() == *content, "{name} differs");
        assert!(
            matches!(what, Written::File { mode: 0o644, .. }),
            "{what:?}"
        );
    }
    // Written again with what is there: as the job was to write it, it comes all the same.
    assert_eq!(hub.run(&spec).ok().names(), ["a.d", "a.o"]);
}

#[test]
fn compiles_in_the_rewrite_view() {
    let place = place(&["--view", "rewrite"]);
    place.write("inc/a.h", "#define A 42\n");
    place.write(
        "src/a.c",
        "#include \"a.h\"\n#warning seen\nint f(void){return A;}\n",
    );
    fs::create_dir(place.root.join("obj")).unwrap();
    let mut hub = place.hub();
    let source = place.root.join("src/a.c");
    let map = cpods::job::Arg::text("-ffile-prefix-map={mount:0}={root:0}");
    let mut spec = hub
        .job(GCC, "gcc", &place.root)
        .arg("-g")
        .arg("-I")
        .path(Role::SearchDir, "inc")
        .arg("-MD")
        .arg("-MF")
        .path(Role::Depfile, "obj/a.d")
        .arg("-c")
        .path(Role::Input, source.to_str().unwrap())
        .arg("-o")
        .path(Role::Output, "obj/a.o");
    spec.task.job.rewrite_args = vec![map];
    let answer = hub.run(&spec);
    assert_eq!(answer.ok().names(), ["a.d", "a.o"]);
    assert!(!answer.stderr.contains("/cpods"), "{}", answer.stderr);
    let at = format!("{}:2:2: warning", source.display());
    assert!(answer.stderr.contains(&at), "{}", answer.stderr);
    let local = Command::new("gcc")
        .args(["-g", "-I", "inc", "-MD", "-MF", "obj/a.d", "-c"])
        .arg(&source)
        .args(["-o", "obj/a.o"])
        .current_dir(&place.root)
        .env("PWD", &place.root)
        .output();
    let local = local.unwrap();
    assert_eq!(String::from_utf8_lossy(&local.stderr), answer.stderr);
    for name in ["obj/a.o", "obj/a.d"] {
        let path = place.root.join(name);
        assert!(
            fs::read(&path).unwrap() == answer.wrote[&path].1,
            "{name} differs"
        );
    }
}

#[test]
fn the_upper_layer_is_read_right() {
    let place = place(&["--view", "overlay"]);
    for (name, content) in [
        ("gone", "x"),
        ("dir/a", "a"),
        ("dir/b", "b"),
        ("dir/sub/c", "c"),
        ("tree/deep/d", "d"),
        ("same", "same"),
        ("touched", "t"),
        ("turned/file", "f"),
        ("mode", "m"),
        ("scratch.tmp", "s"),
    ] {
        place.write(name, content);
    }
    symlink("same", place.root.join("link")).unwrap();
    let mut hub = place.hub();
    let mut spec = hub.script(
        &place.root,
        "rm gone && rm -r dir && mkdir dir && echo new > dir/a && rm -r tree \
         && exec 3<>same && exec 3>&- && touch touched && rm -r turned && echo n > turned \
         && chmod 755 mode && mkdir -p made/deep && ln -s ../x made/l && ln -sf other link \
         && mkfifo pipe && echo x > suid && chmod 6755 suid && echo y > never && chmod 000 never \
         && mkdir locked && echo z > locked/f && chmod 0 locked && echo > a.tmp && echo > scratch.tmp",
    );
    spec.task.job.scratch = vec!["*.tmp".into()];
    let answer = hub.run(&spec);
    let found: Vec<_> = answer
        .ok()
        .wrote
        .iter()
        .map(|(path, (what, content))| {
            let name = path.strip_prefix(&place.root).unwrap().to_str().unwrap();
            let what = match what {
                Written::File { mode, .. } => {
                    format!("{mode:o} {}", String::from_utf8_lossy(content).trim())
                }
                Written::Symlink { target } => format!("-> {}", target.display()),
                Written::Directory { mode } => format!("{mode:o}/"),
                Written::Removed => "removed".into(),
            };
            format!("{name}: {what}")
        })
        .collect();
    assert_eq!(
        found,
        [
            "dir: 755/",
            "dir/a: 644 new",
            "dir/b: removed",
            "dir/sub: removed",
            "dir/sub/c: removed",
            "gone: removed",
            "link: -> other",
            "locked: 0/",
            "locked/f: 644 z",
            "made: 755/",
            "made/deep: 755/",
            "made/l: -> ../x",
            "mode: 755 m",
            "never: 0 y",
            "suid: 755 x",
            "touched: 644 t",
            "tree: removed",
            "tree/deep: removed",
            "tree/deep/d: removed",
            "turned: 644 n",
            "turned/file: removed",
        ]
    );
    // The files themselves are as they were.
    assert_eq!(fs::read_to_string(place.root.join("dir/b")).unwrap(), "b");
    assert!(place.root.join("gone").exists());
}

#[test]
fn large_output_arrives_whole() {
    in_both_views(|place, hub| {
        let script = "i=0; while [ $i -lt 3000 ]; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done";
        let answer = hub.sh(&place.root, script);
        assert_eq!(answer.ok().stdout.lines().count(), 3000);
        assert!(
            answer
                .stdout
                .ends_with("2999 0123456789012345678901234567890123456789\n")
        );
        let spec = hub
            .script(&place.root, "head -c 3000000 /dev/zero > \"$0\"")
            .path(Role::Output, "big");
        let answer = hub.run(&spec);
        assert_eq!(
            answer.ok().wrote[&place.root.join("big")].1.len(),
            3_000_000
        );
    });
}

#[test]
fn odd_roots_work() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let pod = Pod::start(&["--view", "overlay"]);
    for name in ["a,b:c d\\e'f", "plain", ",", "lowerdir=x,upperdir=y"] {
        let root = dir.join(name);
        fs::create_dir(&root).unwrap();
        fs::write(root.join("in"), name).unwrap();
        let mut hub = pod.hub(&[&root]);
        let answer = hub.sh(&root, "cat in; cat in > out; pwd");
        let wanted = format!("{name}{}\n", root.display());
        assert_eq!(answer.ok().stdout, wanted);
        assert_eq!(answer.wrote[&root.join("out")].1, name.as_bytes());
    }
    // Two roots at once, one of which the job does not name.
    let (one, two) = (dir.join("plain"), dir.join(","));
    let mut hub = pod.hub(&[&one, &two]);
    let answer = hub.sh(&one, "cat ../,/in; ! echo x > ../,/in");
    assert_eq!(answer.ok().stdout, ",");
}

#[test]
fn declines_what_it_cannot_run() {
    let place = place(&["--view", "overlay"]);
    let mut hub = place.hub();
    let spec = hub.job(ABSENT, "absent", &place.root);
    let answer = hub.run(&spec);
    assert!(
        matches!(answer.end, Some(FromPod::Declined { .. })),
        "{answer:?}"
    );
    let mut spec = hub.script(&place.root, "true");
    let at = hub.roots.locate(&place.root, Path::new("none")).unwrap();
    spec.task.job.program = cpods::job::Program::InRoot(vec![cpods::job::Piece::Path {
        at,
        role: Role::Input,
        text: "./none".into(),
    }]);
    let answer = hub.run(&spec);
    assert!(
        matches!(answer.end, Some(FromPod::Declined { .. })),
        "{answer:?}"
    );
    place.write("none", "#!/bin/sh\necho own \"$0\"\n");
    fs::set_permissions(place.root.join("none"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(hub.run(&spec).ok().stdout, "own ./none\n");
}

#[test]
fn foreign_directories_are_declined() {
    if !rustix::process::geteuid().is_root() {
        return foreign_directories_as_user();
    }
    let place = place(&["--view", "overlay"]);
    fs::create_dir(place.root.join("theirs")).unwrap();
    std::os::unix::fs::chown(place.root.join("theirs"), Some(12345), Some(0)).unwrap();
    fs::create_dir(place.root.join("group")).unwrap();
    std::os::unix::fs::chown(place.root.join("group"), None, Some(12345)).unwrap();
    let mut hub = place.hub();
    for name in ["theirs/a", "group/a"] {
        let spec = hub.script(&place.root, "true").output(Role::Output, name);
        let answer = hub.run(&spec);
        assert!(
            matches!(answer.end, Some(FromPod::Declined { .. })),
            "{answer:?}"
        );
    }
}

/// An ordinary user has no directory of another's to write to but /tmp itself.
fn foreign_directories_as_user() {
    let pod = Pod::start(&["--view", "overlay"]);
    let mut hub = pod.hub(&[Path::new("/usr/share")]);
    let spec = hub
        .script(Path::new("/usr/share"), "true")
        .output(Role::Output, "a");
    let answer = hub.run(&spec);
    assert!(
        matches!(answer.end, Some(FromPod::Declined { .. })),
        "{answer:?}"
    );
}

#[test]
fn surroundings_travel() {
    in_both_views(|place, hub| {
        let mut spec = hub.script(&place.root, "umask; ulimit -Sn; echo \"$X:$PWD:$HOME\"");
        spec.task.surroundings.umask = 0o027;
        spec.task.surroundings.limits = vec![(7, 99)];
        let text = cpods::job::Piece::Text("y z".into());
        spec.task.job.env = vec![("X".into(), vec![text])];
        let answer = hub.run(&spec);
        let pwd = place.root.display();
        assert_eq!(answer.ok().stdout, format!("0027\n99\ny z:{pwd}:\n"));
    });
}

#[test]
fn a_pwd_through_symlinks_holds() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let root = dir.join("data/project");
    fs::create_dir_all(&root).unwrap();
    symlink("data", dir.join("home")).unwrap();
    let pod = Pod::start(&["--view", "overlay"]);
    let mut hub = pod.hub(&[&root]);
    let pwd = dir.join("home/project");
    for _ in 0..2 {
        let mut spec = hub.script(&root, "echo $PWD; cd \"$PWD\" && pwd -P; echo x > out");
        spec.task.surroundings.pwd = Some(pwd.as_path().into());
        let link = (dir.join("home").as_path().into(), "data".into());
        spec.task.surroundings.pwd_links = vec![link];
        let answer = hub.run(&spec);
        let wanted = format!("{}\n{}\n", pwd.display(), root.display());
        assert_eq!(answer.ok().stdout, wanted);
        assert_eq!(answer.names(), ["out"]);
    }
}
