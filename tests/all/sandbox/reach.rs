//! What a job must not reach: the pod's own files, sockets and network, other jobs, privileges.

use super::{Place, in_both_views, place};
use crate::pod::{Answer, Hub};
use cpods::wire::blocking::Frame;
use cpods::wire::messages::{FromPod, ToPod};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

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

pub(super) fn python(hub: &mut Hub, place: &Place, code: &str) -> Answer {
    let script = format!("exec python3 -c \"import socket,os,ctypes;{code}\"");
    hub.sh(&place.root, &script)
}

#[track_caller]
pub(super) fn refused(hub: &mut Hub, place: &Place, code: &str, errors: &[&str]) {
    let answer = python(hub, place, code);
    assert!(!answer.succeeded(), "{code}: {answer:?}");
    let said = errors.iter().any(|error| answer.stderr.contains(error));
    assert!(said, "{code}: {answer:?}");
}

pub(super) fn home() -> PathBuf {
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
fn there_is_no_way_up_from_a_jobs_root() {
    in_both_views(|place, hub| {
        let top = hub.sh(&place.root, "ls -A /").ok().stdout.clone();
        for up in [
            "/..",
            "/../../..",
            "/proc/self/root/..",
            "/proc/self/cwd/../../../../../..",
        ] {
            let answer = hub.sh(&place.root, &format!("ls -A {up}"));
            assert_eq!(answer.ok().stdout, top, "{up}");
        }
        // Mounts beside the view are not even told, be it of the job or of its init.
        let place_of = "cut -d ' ' -f 5 /proc/self/mountinfo /proc/1/mountinfo";
        let seen = hub.sh(&place.root, place_of).ok().stdout.clone();
        assert!(seen.lines().any(|line| line == "/proc"), "{seen}");
        for beside in ["/own", "/scratch", "/warm", "/view"] {
            assert!(!seen.lines().any(|line| line.starts_with(beside)), "{seen}");
        }
        // Nor is a descriptor left that leads there.
        let descriptors = hub
            .sh(&place.root, "readlink /proc/self/fd/*; true")
            .ok()
            .stdout
            .clone();
        assert!(descriptors.lines().all(|line| line != "/"), "{descriptors}");
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
        // A second name for what is shown read-only would be one that can be written.
        for file in ["/usr/bin/env", "/etc/passwd", "/proc/self/maps"] {
            let answer = hub.sh(
                &place.root,
                &format!("ln {file} \"${{TMPDIR:-/tmp}}/name\""),
            );
            assert!(!answer.succeeded(), "{file}: {answer:?}");
        }
        let script = "echo x > /tmp/left && echo x > /dev/shm/left && echo x > /dev/null";
        assert!(hub.sh(&place.root, script).ok().wrote.is_empty());
        let answer = hub.sh(&place.root, "cat /tmp/left || cat /dev/shm/left");
        assert!(!answer.succeeded(), "the next job sees it: {answer:?}");
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
            Frame::Data(job, _, bytes) => {
                assert_eq!(job, second.0);
                assert!(!String::from_utf8_lossy(bytes).contains("mark"));
            }
            message @ Frame::Message(_) => {
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
