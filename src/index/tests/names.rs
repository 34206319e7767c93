//! Names of all sorts, and what cannot be looked into.

use super::*;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;

#[test]
fn names_are_bytes() {
    let mut space = Space::new();
    let names: [&[u8]; 8] = [
        b"not\xff utf-8",
        b"new\nline",
        b" ",
        b"#12x",
        b"#12",
        b"a-b",
        b"-",
        b"\\040",
    ];
    fs::create_dir(space.at("a")).unwrap();
    for name in names {
        let dir = space.at("a").join(OsStr::from_bytes(name));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(OsStr::from_bytes(name)), name).unwrap();
        fs::write(space.at("").join(OsStr::from_bytes(name)), name).unwrap();
    }
    space.settle();
    assert_eq!(space.index.len(), 2 + 3 * names.len());
    for name in names {
        fs::write(space.at("").join(OsStr::from_bytes(name)), "again").unwrap();
    }
    space.settle();
    fs::remove_dir_all(space.at("a")).unwrap();
    space.settle();
    assert_eq!(space.index.len(), 1 + names.len());
}

#[test]
fn neither_files_nor_directories() {
    let mut space = Space::new();
    let mode = rustix::fs::Mode::from(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, space.at("pipe"), fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(space.at("socket")).unwrap();
    space.settle();
    assert_eq!(space.kind("pipe"), Some(&Kind::Other));
    assert_eq!(space.kind("socket"), Some(&Kind::Other));
    fs::remove_file(space.at("pipe")).unwrap();
    fs::write(space.at("pipe"), "now a file").unwrap();
    space.settle();
}

#[test]
fn what_is_left_out_is_closed_whatever_stands_there() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("keys/deep")).unwrap();
    fs::write(root.join("keys/deep/key"), "").unwrap();
    fs::write(root.join("a.c"), "").unwrap();
    let globs = ["root/keys/", "**/*.secret"].map(str::to_owned).to_vec();
    let leave_out = super::super::LeaveOut::new(&root, &[(dir.path().to_owned(), globs)]);
    let options = Options {
        leave_out: leave_out.unwrap(),
        ..Options::default()
    };
    let mut index = Index::open(&root, options.clone()).unwrap();
    index.settle().unwrap();
    let names = |index: &Index| {
        let names = index.entries().map(|(path, _)| path.to_vec());
        names.collect::<Vec<_>>()
    };
    let closed = |index: &Index, name: &str, is_dir| {
        let entry = index.get(name.as_bytes()).unwrap();
        assert_eq!(entry.kind, Kind::Unreadable { is_dir }, "{name}");
        assert_eq!(
            (entry.mode, entry.mtime),
            (0, super::super::Time::default())
        );
    };
    assert_eq!(
        names(&index),
        [&b""[..], b"a.c", b"keys"],
        "not what is below"
    );
    closed(&index, "keys", true);
    let before = index.generation();
    fs::write(root.join("keys/other"), "").unwrap();
    fs::create_dir(root.join("keys/dir")).unwrap();
    fs::set_permissions(root.join("keys"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(index.settle().unwrap(), before);
    // One that comes later, and is written to all the time.
    fs::write(root.join("x.secret"), "").unwrap();
    let temporary = crate::cc::temporary_of(&root.join("a.o"));
    fs::write(&temporary, "").unwrap();
    index.settle().unwrap();
    assert_eq!(names(&index), [&b""[..], b"a.c", b"keys", b"x.secret"]);
    closed(&index, "x.secret", false);
    // The directory they came into has a new time, and nothing else is told.
    let changes = index.changes_since(before).unwrap();
    let changes = changes.map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(changes, [&b""[..], b"x.secret"]);
    let before = index.generation();
    for _ in 0..3 {
        fs::write(root.join("x.secret"), "more").unwrap();
        assert_eq!(index.settle().unwrap(), before);
    }
    fs::rename(&temporary, root.join("a.o")).unwrap();
    fs::rename(root.join("keys"), root.join("locks")).unwrap();
    index.settle().unwrap();
    assert!(index.get(b"a.o").is_some() && index.get(b"locks/deep/key").is_some());
    assert!(index.get(b"keys").is_none());
    fs::rename(root.join("locks"), root.join("keys")).unwrap();
    // What a link leads to counts, not its name.
    std::os::unix::fs::symlink("a.c", root.join("l.secret")).unwrap();
    fs::rename(root.join("x.secret"), root.join("x.c")).unwrap();
    index.settle().unwrap();
    closed(&index, "keys", true);
    assert!(index.get(b"locks").is_none() && index.get(b"keys/deep").is_none());
    assert!(matches!(
        index.get(b"l.secret").unwrap().kind,
        Kind::Link { .. }
    ));
    assert!(index.get(b"x.secret").is_none() && index.get(b"x.c").unwrap().digest().is_some());
    fs::remove_dir_all(root.join("keys")).unwrap();
    fs::write(root.join("keys"), "a file").unwrap();
    index.settle().unwrap();
    closed(&index, "keys", false);
    let mut fresh = Index::open(&root, options).unwrap();
    fresh.settle().unwrap();
    assert!(
        fresh.entries().eq(index.entries()),
        "as a fresh walk has it"
    );
}

/// Runs in a thread that may only do what an ordinary user may.
fn as_nobody(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: changes this thread's own credentials and no memory.
            unsafe { libc::setfsuid(65_534) };
            work();
        });
        thread.join().unwrap();
    });
}

#[test]
fn what_may_not_be_read_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    fs::write(root.join("dir/sub/file"), "").unwrap();
    fs::write(root.join("file"), "").unwrap();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(dir.path(), 0o755);
    set(&root.join("file"), 0);
    as_nobody(|| {
        let mut index = Index::open(&root, Options::default()).unwrap();
        index.settle().unwrap();
        if fs::File::open(root.join("file")).is_ok() {
            eprintln!("skipped: this process may read everything");
            return;
        }
        let unreadable = |is_dir| Some(Kind::Unreadable { is_dir });
        let kind = |index: &Index, path: &str| {
            let entry = index.get(path.as_bytes());
            entry.map(|entry| entry.kind.clone())
        };
        assert_eq!(kind(&index, "file"), unreadable(false));
        let before = index.generation();
        // The owner's doing: whoever looks cannot.
        std::thread::scope(|scope| _ = scope.spawn(|| as_root(|| set(&root.join("dir"), 0))));
        index.settle().unwrap();
        assert_eq!(kind(&index, "dir"), unreadable(true));
        assert_eq!(kind(&index, "dir/sub"), None);
        let hidden = index.generation();
        assert!(hidden > before);
        as_root(|| fs::write(root.join("other"), "").unwrap());
        index.settle().unwrap();
        assert_eq!(kind(&index, "dir"), unreadable(true));
        assert_eq!(
            index.generation(),
            hidden + 2,
            "the new file and the root's time"
        );
        as_root(|| {
            set(&root.join("dir"), 0o755);
            set(&root.join("file"), 0o644);
        });
        index.settle().unwrap();
        assert_eq!(told(&index), seen(&root));
        as_root(|| fs::write(root.join("dir/sub/file"), "new").unwrap());
        index.settle().unwrap();
        assert_eq!(told(&index), seen(&root));
    });
}

/// In the midst of `as_nobody`.
fn as_root(work: impl FnOnce() + Send) {
    // SAFETY: gives up the thread's own borrowed identity and touches no memory.
    unsafe { libc::setfsuid(libc::geteuid()) };
    work();
    // SAFETY: as above.
    unsafe { libc::setfsuid(65_534) };
}

#[test]
fn another_file_system_is_noted_and_not_entered() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("root");
    fs::create_dir_all(root.join("mnt/own")).unwrap();
    fs::write(root.join("mnt/own/file"), "").unwrap();
    fs::write(root.join("bound"), "").unwrap();
    std::thread::scope(|scope| _ = scope.spawn(|| mounts_come_and_go(&root)));
}

fn mounts_come_and_go(root: &Path) {
    use rustix::mount;
    // SAFETY: other threads share neither memory nor descriptors less than before.
    let unshared = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
    if let Err(error) = unshared {
        return eprintln!("skipped: no mount namespace to be had: {error}");
    }
    let private = mount::MountPropagationFlags::PRIVATE | mount::MountPropagationFlags::REC;
    mount::mount_change("/", private).unwrap();
    let mut index = Index::open(root, Options::default()).unwrap();
    index.settle().unwrap();
    assert!(index.get(b"mnt/own/file").is_some());
    let before = index.generation();
    let flags = mount::MountFlags::empty();
    mount::mount("none", root.join("mnt"), "tmpfs", flags, None).unwrap();
    fs::write(root.join("mnt/other"), "").unwrap();
    mount::mount_bind("/etc/hostname", root.join("bound")).unwrap();
    assert!(index.settle().unwrap() > before);
    let kind = |index: &Index, path: &str| index.get(path.as_bytes()).unwrap().kind.clone();
    assert_eq!(kind(&index, "mnt"), Kind::Other);
    assert_eq!(kind(&index, "bound"), Kind::Other);
    assert_eq!(index.len(), 3);
    let unmount = mount::UnmountFlags::empty();
    mount::unmount(root.join("bound"), unmount).unwrap();
    mount::unmount(root.join("mnt"), unmount).unwrap();
    index.settle().unwrap();
    assert_eq!(told(&index), seen(root));
    assert!(index.get(b"mnt/own/file").is_some());
}
