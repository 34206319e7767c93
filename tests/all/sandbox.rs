//! The worker's sandbox and views, by real jobs in a real worker. Run as root and as an ordinary
//! user: both must hold.

use crate::pod::{ABSENT, GCC, Hub, Pod};
use cpods::job::{Ending, Role, Written};
use cpods::wire::messages::{FromPod, ToPod, ViewKind};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

struct Place {
    pod: Pod,
    _dir: TempDir,
    root: PathBuf,
}

fn place(options: &[&str]) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("project");
    fs::create_dir(&root).unwrap();
    Place {
        pod: Pod::start(options),
        _dir: dir,
        root,
    }
}

impl Place {
    fn hub(&self) -> Hub {
        self.pod.hub(&[&self.root])
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Asks a worker of each view that has a sandbox.
fn in_both_views(test: impl Fn(&Place, &mut Hub)) {
    for (view, kind) in [
        ("overlay", ViewKind::Overlay),
        ("rewrite", ViewKind::Rewrite),
    ] {
        let place = place(&["--view", view]);
        let mut hub = place.hub();
        assert_eq!(hub.offer.view, kind, "{}", hub.offer.view_why);
        test(&place, &mut hub);
    }
}

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
fn host_sockets_are_out_of_reach() {
    let home = tempfile::tempdir_in(home()).unwrap();
    let tmp = tempfile::tempdir_in("/tmp").unwrap();
    let sockets = [home.path().join("s"), tmp.path().join("s")];
    let _listeners = sockets.each_ref().map(|path| {
        let listener = UnixListener::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        listener
    });
    let name = format!("cpods-test-{}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt;
        std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap()
    };
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    in_both_views(|place, hub| {
        for socket in &sockets {
            let code = format!(
                "s=socket.socket(socket.AF_UNIX);s.connect('{}')",
                socket.display()
            );
            refused(hub, place, &code, &["FileNotFoundError"]);
        }
        let code = format!("s=socket.socket(socket.AF_UNIX);s.connect('\\0{name}')");
        refused(hub, place, &code, &["ConnectionRefusedError"]);
        let code = format!("socket.create_connection(('127.0.0.1',{port}),2)");
        refused(hub, place, &code, &["ConnectionRefusedError"]);
        let code = "socket.create_connection(('192.0.2.1',80),2)";
        refused(hub, place, code, &["OSError: [Errno 101]"]);
        // The loopback is the job's own, and it works.
        let own = "s=socket.create_server(('127.0.0.1',0));\
            socket.create_connection(s.getsockname()[:2],2);print('joined')";
        let answer = python(hub, place, own);
        assert_eq!(answer.ok().stdout, "joined\n");
    });
}

fn python(hub: &mut Hub, place: &Place, code: &str) -> crate::pod::Answer {
    let script = format!("exec python3 -c \"import socket,os,ctypes;{code}\"");
    hub.sh(&place.root, &script)
}

#[track_caller]
fn refused(hub: &mut Hub, place: &Place, code: &str, errors: &[&str]) {
    let answer = python(hub, place, code);
    assert!(!answer.succeeded(), "{code}: {answer:?}");
    let said = errors.iter().any(|error| answer.stderr.contains(error));
    assert!(said, "{code}: {answer:?}");
}

fn home() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    home.filter(|home| tempfile::tempdir_in(home).is_ok())
        .unwrap_or_else(|| "/var/tmp".into())
}

#[test]
fn the_pods_own_files_are_out_of_reach() {
    let secret = tempfile::tempdir_in(home()).unwrap();
    fs::write(secret.path().join("key"), "secret").unwrap();
    in_both_views(|place, hub| {
        let home = format!("cat '{}/key'", secret.path().display());
        for script in [
            &home,
            "cat /etc/shadow",
            "cat /etc/ssh/*",
            "ls /root/* /root/.ssh",
            "ls /home/*",
            "ls /var/tmp/* /run/* /var/log/*",
            "ls /.host/*",
            "ls /proc/1/root/ /proc/1/cwd/; readlink /proc/1/fd/* /proc/1/root /proc/1/exe",
            "cat /proc/1/environ /proc/1/mem",
            "ls /sys/*",
            "cat /dev/kmsg /dev/mem /dev/vda /dev/sda",
        ] {
            let answer = hub.sh(&place.root, script);
            assert!(!answer.succeeded(), "{script}: {answer:?}");
            assert_eq!(answer.stdout, "", "{script}");
        }
        // Nothing of where the pod keeps its scratch or the hub's neighbours is left mounted.
        let answer = hub.sh(&place.root, "ls -A / /tmp /dev; cat /proc/mounts");
        for word in ["home", ".host/", "vda1", "run"] {
            let found = answer.ok().stdout.lines().any(|line| line == word);
            assert!(!found, "{word}: {}", answer.stdout);
        }
    });
}

#[test]
fn nothing_outside_the_view_can_be_written() {
    in_both_views(|place, hub| {
        for file in [
            "/x",
            "/usr/x",
            "/etc/x",
            "/etc/passwd",
            "/bin/x",
            "/dev/x",
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/hostname",
            "/proc/sysrq-trigger",
            "/proc/self/oom_score_adj",
            "/proc/sys/user/max_user_namespaces",
        ] {
            let answer = hub.sh(&place.root, &format!("echo 1 >> {file}"));
            assert!(!answer.succeeded(), "{file}: {answer:?}");
        }
        let answer = hub.sh(
            &place.root,
            "echo x > /tmp/a && echo x > /dev/shm/b && echo x > /dev/null",
        );
        assert!(answer.ok().wrote.is_empty());
        // The next job sees neither.
        let answer = hub.sh(&place.root, "ls -A /tmp /dev/shm");
        assert!(
            !answer.stdout.contains('a') && !answer.stdout.contains("\nb"),
            "{answer:?}"
        );
        assert!(!Path::new("/usr/x").exists());
    });
}

#[test]
fn no_capability_can_be_had() {
    in_both_views(|place, hub| {
        let answer = hub.sh(&place.root, "grep -E '^(Cap|NoNewPrivs)' /proc/self/status");
        for line in answer.ok().stdout.lines() {
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
            "unshare -m true",
            "unshare -n true",
            "mount -t tmpfs none /tmp",
            "umount /proc",
            "chroot / true",
            "hostname pod",
            "mknod /tmp/null c 1 3",
            "ip link set lo down",
        ] {
            let answer = hub.sh(&place.root, script);
            assert!(!answer.succeeded(), "{script}: {answer:?}");
        }
        // A setuid program runs, but as nobody else.
        let answer = hub.sh(
            &place.root,
            "id -u; cp /usr/bin/id /tmp/id; chmod 4755 /tmp/id; /tmp/id -u",
        );
        let ids: Vec<_> = answer.ok().stdout.lines().collect();
        assert_eq!(ids[0], ids[1]);
        let answer = hub.sh(
            &place.root,
            "mount | grep -c nosuid; su -c true root < /dev/null",
        );
        if ids[0] != "0" {
            assert!(!answer.succeeded(), "{answer:?}");
        }
        let nested = "l=ctypes.CDLL(None,use_errno=True);\
            r=l.unshare(0x10000000);print(r,ctypes.get_errno())";
        assert_eq!(python(hub, place, nested).ok().stdout, "-1 28\n");
    });
}

#[test]
fn jobs_do_not_see_each_other() {
    let place = place(&["--slots", "2"]);
    let mut hub = place.hub();
    let hidden = hub.script(
        &place.root,
        "echo s > /tmp/mark; echo s > mark; sleep 60 & wait",
    );
    let first = hub.start(&hidden);
    let seen = hub.script(
        &place.root,
        "sleep 0.3; ls /tmp; ls; ls -d /proc/[0-9]* | wc -l; kill -9 -1; pgrep sleep",
    );
    let second = hub.start(&seen);
    let mut answer = None;
    // The first goes on; only the second ends by itself.
    while answer.is_none() {
        let frame = hub.connection.frame().unwrap();
        match frame {
            cpods::wire::blocking::Frame::Data(job, _, bytes) => {
                assert_eq!(job, second.0);
                assert!(!String::from_utf8_lossy(bytes).contains("mark"));
            }
            message @ cpods::wire::blocking::Frame::Message(_) => {
                if let FromPod::Finished { job, finished } = message.message().unwrap() {
                    assert_eq!(job, second);
                    answer = Some(finished);
                }
            }
        }
    }
    let cancel = ToPod::Cancel { job: first };
    hub.connection.send(None, &cancel).unwrap();
    let answer = hub.wait(first).unwrap();
    assert_eq!(answer.end, Some(FromPod::Cancelled { job: first }));
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
        if let cpods::wire::blocking::Frame::Data(..) = hub.connection.frame().unwrap() {
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

/// Processes of this machine with this word on their command line.
fn running_with(word: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            line.split(|byte| *byte == 0)
                .any(|part| part == word.as_bytes())
        })
        .count()
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
            if let cpods::wire::blocking::Frame::Data(..) = hub.connection.frame().unwrap() {
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

/// Waits for what happens without an answer to wait for.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("never: {what}");
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
fn slots_hold_across_hubs() {
    let place = place(&["--slots", "1"]);
    let (mut one, mut two) = (place.hub(), place.hub());
    let first = one.script(&place.root, "echo on; sleep 0.5; date +%s%N");
    let first = one.start(&first);
    loop {
        if let cpods::wire::blocking::Frame::Data(..) = one.connection.frame().unwrap() {
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
        use std::io::Write;
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
        if let cpods::wire::blocking::Frame::Data(..) = hub.connection.frame().unwrap() {
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
        let answer = hub.run(&spec);
        let wanted = format!("{}\n{}\n", pwd.display(), root.display());
        assert_eq!(answer.ok().stdout, wanted);
        assert_eq!(answer.names(), ["out"]);
    }
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
        if let cpods::wire::blocking::Frame::Data(..) = hub.connection.frame().unwrap() {
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
