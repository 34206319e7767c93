//! A pod without user namespaces: the rewrite view inside Landlock.

use super::reach::{home, python, refused};
use super::{Place, eventually, place_with, running_with};
use crate::pod::{GCC, Hub, Pod};
use cpods::job::{Arg, Role};
use cpods::wire::blocking::Frame;
use cpods::wire::messages::{FromPod, ToPod, ViewKind};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

/// A pod that offers this view; none, after saying so, where the kernel has no Landlock.
fn confined() -> Option<(Place, Hub)> {
    let place = place_with(Pod::start_without_namespaces(&[]));
    let hub = place.hub();
    let why = &hub.offer.view_why;
    if hub.offer.view == ViewKind::None && why.contains("no Landlock") {
        println!("skipped: {why}");
        return None;
    }
    assert_eq!(hub.offer.view, ViewKind::Rewrite, "{why}");
    Some((place, hub))
}

/// Whether this kernel's Landlock refuses it, by what the pod says.
fn refuses(hub: &Hub, what: &str) -> bool {
    let why = hub.offer.view_why.split(';').next().unwrap();
    let refuses = !why.contains(what);
    if !refuses {
        println!("skipped: {why}");
    }
    refuses
}

#[test]
fn compiles_and_says_why_no_better_view_works() {
    let Some((place, mut hub)) = confined() else {
        return;
    };
    let why = &hub.offer.view_why;
    assert!(why.starts_with("in Landlock"), "{why}");
    assert!(why.contains("overlay with scratch in memory"), "{why}");
    assert!(
        why.contains("make a user namespace: No space left"),
        "{why}"
    );
    place.write("inc/a.h", "#define A 42\n");
    place.write(
        "src/a.c",
        "#include <stdio.h>\n#include \"a.h\"\n#warning seen\nint f(void){return puts(__FILE__)+A;}\n",
    );
    fs::create_dir(place.root.join("obj")).unwrap();
    let source = place.root.join("src/a.c");
    let mut spec = hub
        .job(GCC, "gcc", &place.root)
        .arg("-g")
        .arg("-O2")
        .arg("-I")
        .path(Role::SearchDir, "inc")
        .arg("-MD")
        .arg("-MF")
        .path(Role::Depfile, "obj/a.d")
        .arg("-c")
        .path(Role::Input, source.to_str().unwrap())
        .arg("-o")
        .path(Role::Output, "obj/a.o");
    let map = Arg::text("-ffile-prefix-map={mount:0}={root:0}");
    spec.task.job.rewrite_args = vec![map];
    let answer = hub.run(&spec);
    assert_eq!(answer.ok().names(), ["a.d", "a.o"]);
    let local = Command::new("gcc")
        .args(["-g", "-O2", "-I", "inc", "-MD", "-MF", "obj/a.d", "-c"])
        .arg(&source)
        .args(["-o", "obj/a.o"])
        .current_dir(&place.root)
        .env("PWD", &place.root)
        .output();
    let local = String::from_utf8(local.unwrap().stderr).unwrap();
    assert_eq!(local, answer.stderr);
    for name in ["obj/a.o", "obj/a.d"] {
        let path = place.root.join(name);
        let (here, there) = (fs::read(&path).unwrap(), &answer.wrote[&path].1);
        // Where the lines of a depfile are broken depends on how long the pod's paths are.
        let same = if name.ends_with(".d") {
            words(&here) == words(there)
        } else {
            here == *there
        };
        assert!(same, "{name} differs");
    }
}

fn words(text: &[u8]) -> Vec<&str> {
    let text = std::str::from_utf8(text).unwrap();
    let words = text.split_whitespace();
    words.filter(|word| *word != "\\").collect()
}

#[test]
fn a_program_in_a_root_and_a_script_run() {
    let Some((place, mut hub)) = confined() else {
        return;
    };
    place.write("tool", "#!/bin/sh\necho \"ran $1\" | cat\n");
    fs::set_permissions(place.root.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let script = "./tool here; echo x > /dev/null; head -c1 /dev/zero | wc -c; \
        test -n \"$(cat /proc/self/comm)\"; cp tool \"$TMPDIR/x\" && \"$TMPDIR/x\" there; \
        cd \"$TMPDIR\" && mkdir a b && mv x a && ln a/x b/y && rm a/x && rmdir a && ls b";
    let answer = hub.sh(&place.root, script);
    assert_eq!(answer.ok().stdout, "ran here\n1\nran there\ny\n");
}

#[test]
fn what_is_outside_cannot_be_read() {
    let Some((place, mut hub)) = confined() else {
        return;
    };
    let secrets = [home(), "/tmp".into(), place.root.join("..")].map(|dir| {
        let secret = tempfile::tempdir_in(dir).unwrap();
        fs::write(secret.path().join("key"), "secret").unwrap();
        secret
    });
    let cache = place.pod.cache.path().display();
    let mut scripts: Vec<String> = [
        "cat /etc/shadow",
        "cat /etc/ssh/*",
        "ls /root/ /home /run /var/log /sys /tmp /dev/shm /dev",
        "cat /proc/1/environ /proc/$PPID/environ /proc/$PPID/mem",
        "readlink /proc/$PPID/fd/* /proc/$PPID/cwd /proc/$PPID/root /proc/$PPID/exe",
        "ls /proc/$PPID/cwd/ /proc/$PPID/root/",
        "cat /dev/kmsg /dev/mem /dev/vda /dev/sda /proc/kcore",
    ]
    .map(String::from)
    .into();
    scripts.push(format!("cat {cache}/cache/work/*/outside"));
    scripts.push(format!("ls {cache} {cache}/cache/work"));
    for secret in &secrets {
        let key = secret.path().join("key");
        scripts.push(format!("cat '{}'", key.display()));
        // Another name, of the job's own, is none.
        let key = key.display();
        scripts.push(format!("cd \"$TMPDIR\"; ln -s '{key}' l; cat l"));
        scripts.push(format!("cd \"$TMPDIR\"; ln '{key}' h; cat h"));
        scripts.push(format!("cd \"$TMPDIR\"; mv '{key}' m; cat m"));
    }
    for script in scripts {
        let answer = hub.sh(&place.root, &script);
        assert!(!answer.succeeded(), "{script}: {answer:?}");
        assert_eq!(answer.stdout, "", "{script}");
    }
    for secret in &secrets {
        assert!(secret.path().join("key").exists());
    }
}

#[test]
fn what_is_outside_cannot_be_written() {
    let Some((place, mut hub)) = confined() else {
        return;
    };
    place.write("in", "kept");
    let theirs = tempfile::tempdir_in(home()).unwrap();
    let (root, home) = (place.root.display(), theirs.path().display());
    let cache = place.pod.cache.path().display();
    for file in [
        format!("{root}/in"),
        format!("{root}/new"),
        format!("{root}/../new"),
        format!("{home}/new"),
        format!("{cache}/new"),
        format!("/tmp/cpods-test-{}", std::process::id()),
        format!("/dev/shm/cpods-test-{}", std::process::id()),
        "/usr/cpods-test".into(),
        "/etc/passwd".into(),
        "/proc/self/oom_score_adj".into(),
    ] {
        let answer = hub.sh(&place.root, &format!("echo 1 >> '{file}'"));
        assert!(!answer.succeeded(), "{file}: {answer:?}");
    }
    for script in [
        "rm in",
        "mv in other",
        "mkdir dir",
        "ln -s in link",
        "ln in \"$TMPDIR/in\"",
        "mkfifo pipe",
        "mknod \"$TMPDIR/gone\" c 0 0",
    ] {
        let answer = hub.sh(&place.root, script);
        assert!(!answer.succeeded(), "{script}: {answer:?}");
    }
    refused(
        &mut hub,
        &place,
        "os.truncate('in',0)",
        &["PermissionError"],
    );
    assert_eq!(fs::read_to_string(place.root.join("in")).unwrap(), "kept");
    assert_eq!(fs::read_dir(&place.root).unwrap().count(), 1);
    assert_eq!(fs::read_dir(theirs.path()).unwrap().count(), 0);
}

#[test]
fn sockets_and_signals_stay_inside() {
    let Some((place, mut hub)) = confined() else {
        return;
    };
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    if refuses(&hub, "TCP") {
        let connect = format!("socket.create_connection(('127.0.0.1',{port}),2)");
        refused(&mut hub, &place, &connect, &["PermissionError"]);
        let bind = "socket.create_server(('127.0.0.1',0))";
        refused(&mut hub, &place, bind, &["PermissionError"]);
    }
    if refuses(&hub, "abstract sockets") {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("cpods-landlock-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let connect = format!("s=socket.socket(socket.AF_UNIX);s.connect('\\0{name}')");
        refused(&mut hub, &place, &connect, &["PermissionError"]);
        // The init is the tool's parent.
        let answer = hub.sh(&place.root, "kill -9 $PPID");
        assert!(!answer.succeeded(), "{answer:?}");
        let own = "sleep 60 & kill $!; wait $!; test $? = 143";
        hub.sh(&place.root, own).ok();
    }
    // Its own sockets work, as tools have them between their parts.
    let own = "os.chdir(os.environ['TMPDIR']);s=socket.socket(socket.AF_UNIX);s.bind('s');\
        s.listen();c=socket.socket(socket.AF_UNIX);c.connect('s');print('joined')";
    let answer = python(&mut hub, &place, own);
    assert_eq!(answer.ok().stdout, "joined\n");
}

#[test]
fn no_privilege_can_be_had() {
    let Some((place, mut hub)) = confined() else {
        return;
    };
    let answer = hub.sh(
        &place.root,
        "grep -E '^(CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status",
    );
    assert_eq!(answer.ok().stdout.lines().count(), 5);
    for line in answer.stdout.lines() {
        let value = line.split_whitespace().last().unwrap();
        let wanted = if line.starts_with("NoNewPrivs") {
            "1"
        } else {
            "0000000000000000"
        };
        assert_eq!(value, wanted, "{line}");
    }
    for script in [
        "unshare -Ur true",
        "mount -t tmpfs none /mnt",
        "umount /tmp",
    ] {
        let answer = hub.sh(&place.root, script);
        assert!(!answer.succeeded(), "{script}: {answer:?}");
    }
}

/// Whether anything below the pod's cache folder has this name.
fn is_kept(place: &Place, name: &str) -> bool {
    let found = walkdir::WalkDir::new(place.pod.cache.path()).into_iter();
    found.flatten().any(|entry| entry.file_name() == name)
}

#[test]
fn nothing_of_a_job_is_left() {
    let Some((place, mut hub)) = confined() else {
        return;
    };
    let marker = format!("{}", 5_000_000 + std::process::id());
    let left = "trap '' TERM; touch \"$TMPDIR/$0\"; setsid sh -c 'sleep 300; :' $0 & echo on";
    let spec = hub.script(&place.root, left).arg(&marker);
    assert_eq!(hub.run(&spec).ok().stdout, "on\n");
    assert_eq!(running_with(&marker), 0);
    eventually("its scratch is gone", || !is_kept(&place, &marker));

    let spec = hub.script(&place.root, &format!("{left}; wait"));
    let job = hub.start(&spec.arg(&marker));
    loop {
        if let Frame::Data(..) = hub.connection.frame().unwrap() {
            break;
        }
    }
    assert!(running_with(&marker) > 0);
    assert!(is_kept(&place, &marker));
    hub.connection.send(None, &ToPod::Cancel { job }).unwrap();
    let answer = hub.wait(job).unwrap();
    assert_eq!(answer.end, Some(FromPod::Cancelled { job }));
    assert_eq!(running_with(&marker), 0);
    eventually("its scratch is gone", || !is_kept(&place, &marker));
}

#[test]
fn a_view_that_cannot_prove_itself_is_not_offered() {
    // Jobs may read all of it, so the worker's own cache folder, too.
    let shown = std::env::temp_dir();
    let options = ["--system", shown.to_str().unwrap()];
    let place = place_with(Pod::start_without_namespaces(&options));
    let hub = place.hub();
    let why = &hub.offer.view_why;
    assert_eq!(hub.offer.view, ViewKind::None, "{why}");
    assert!(
        why.contains("every job may read") || why.contains("no Landlock"),
        "{why}"
    );
    // Who wants the overlay gets nothing less.
    let place = place_with(Pod::start_without_namespaces(&["--view", "overlay"]));
    let hub = place.hub();
    let why = &hub.offer.view_why;
    assert_eq!(hub.offer.view, ViewKind::None, "{why}");
    assert!(!why.contains("andlock"), "{why}");
}
