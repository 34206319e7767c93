//! Pods that keep a copy of the hub's files.

mod by_need;
mod closed;
mod faults;
mod left_out;
mod limit;
mod many;
mod near;
mod overtaken;
mod refused;
mod slow;
mod stale;
mod told;
mod unheard;

use crate::sshd::{self, Sshd};
use crate::support::{Daemon, Farm, bin, text, wait_for};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A hub with one pod whose files are a mirror, reached through a socket.
struct Mirrored {
    farm: Farm,
    worker: Daemon,
    hub: Option<Daemon>,
}

fn start_worker(farm: &Farm) -> Daemon {
    start_named(farm, "pod1")
}

fn start_named(farm: &Farm, name: &str) -> Daemon {
    start_with(farm, name, &[])
}

/// One with more arguments.
fn start_with(farm: &Farm, name: &str, more: &[&str]) -> Daemon {
    let log = fs::File::options()
        .append(true)
        .create(true)
        .open(farm.dir.path().join(format!("{name}.log")))
        .unwrap();
    let worker = farm
        .command(bin("cpods-workd"))
        .arg("--socket")
        .arg(farm.dir.path().join(format!("{name}.sock")))
        .arg("--cache")
        .arg(cache(farm, name))
        .args(["--slots", "4", "--log", "debug"])
        .args(more)
        .stderr(log)
        .spawn();
    Daemon::new(worker.unwrap())
}

/// Where a pod keeps its things.
fn cache(farm: &Farm, name: &str) -> PathBuf {
    farm.dir.path().join(format!("{name}.cache"))
}

fn start_hub(farm: &Farm) -> Daemon {
    start_hub_of(farm, &["pod1"], "hub.sock")
}

fn start_hub_of(farm: &Farm, pods: &[&str], socket: &str) -> Daemon {
    let pods: Vec<_> = pods.iter().map(|name| (*name, String::new())).collect();
    start_hub_with(farm, &pods, socket)
}

/// With more lines for each pod.
fn start_hub_with(farm: &Farm, pods: &[(&str, String)], socket: &str) -> Daemon {
    let config = farm.dir.path().join("hub.toml");
    let pods = pods.iter().map(|(name, more)| {
        let pod = farm.dir.path().join(format!("{name}.sock"));
        let pod = pod.display();
        format!("[[pods]]\nname = \"{name}\"\nunix = \"{pod}\"\nfiles = \"mirror\"\n{more}")
    });
    fs::write(&config, pods.collect::<String>()).unwrap();
    let log = fs::File::options()
        .append(true)
        .create(true)
        .open(farm.dir.path().join("schedd.log"))
        .unwrap();
    let hub = farm
        .command(bin("cpods-schedd"))
        .args(["--log", "debug", "--socket"])
        .arg(farm.dir.path().join(socket))
        .arg("--root")
        .arg(&farm.root)
        .arg("--config")
        .arg(config)
        .stderr(log)
        .spawn();
    Daemon::new(hub.unwrap())
}

/// The copies of the one root that a pod has, of all hubs.
fn copies(cache: &Path) -> Vec<PathBuf> {
    let mirrors = fs::read_dir(cache.join("mirror")).unwrap().flatten();
    let places = mirrors.flat_map(|mirror| fs::read_dir(mirror.path()).unwrap().flatten());
    let places = places.map(|place| place.path().join("files"));
    places.filter(|path| path.is_dir()).collect()
}

/// The copies are what the root is, once a job has been told of everything.
fn same(farm: &Farm, copies: &[PathBuf], when: &str) {
    let names = ["settle.c", "settle.o"];
    let without = |dir: &Path| {
        let lines = listing(dir).into_iter();
        let lines = lines.filter(|line| !names.iter().any(|name| line.starts_with(name)));
        lines.collect::<Vec<_>>()
    };
    farm.write("settle.c", "int settle;\n");
    farm.cc_remote(&["gcc", "-c", "settle.c"]);
    assert!(!copies.is_empty());
    let here = without(&farm.root);
    for copy in copies {
        let there = without(copy);
        let differs = here.iter().zip(&there).find(|(here, there)| here != there);
        assert_eq!(differs, None, "{when}");
        assert_eq!(here.len(), there.len(), "{when}");
    }
}

impl Mirrored {
    fn new(farm: Farm) -> Self {
        let worker = start_worker(&farm);
        let hub = Some(start_hub(&farm));
        farm.wait_up();
        Self { farm, worker, hub }
    }

    /// The copy on the pod.
    fn copy(&self) -> PathBuf {
        copies(&cache(&self.farm, "pod1")).remove(0)
    }

    /// Has the hub tell the pod of everything up to now.
    fn settle(&self) {
        self.farm.write("settle.c", "int settle;\n");
        self.farm.cc_remote(&["gcc", "-c", "settle.c"]);
    }
}

/// Everything below a directory: kind, mode, time, content.
fn listing(dir: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(dir).min_depth(1).sort_by_file_name();
    let lines = walk.into_iter().map(|entry| {
        let entry = entry.unwrap();
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let name = path.strip_prefix(dir).unwrap().display().to_string();
        let kind = if meta.is_symlink() {
            format!("-> {}", fs::read_link(path).unwrap().display())
        } else if meta.is_dir() {
            "dir".into()
        } else {
            let content = blake3::hash(&fs::read(path).unwrap());
            format!("{:o} {} {content}", meta.mode(), meta.nlink())
        };
        format!("{name} {}.{:09} {kind}", meta.mtime(), meta.mtime_nsec())
    });
    lines.collect()
}

#[test]
fn a_job_sees_what_the_hub_has_and_nothing_old() {
    let farm = Farm::without_hub();
    farm.write("inc/a.h", "#define A 3\n");
    farm.write("a.c", "#include \"a.h\"\nint f(void) { return A; }\n");
    let compile = ["gcc", "-g", "-Iinc", "-MD", "-c", "a.c", "-o", "a.o"];
    assert!(farm.bare(&compile).status.success());
    let expected = (farm.read("a.o"), farm.read("a.d"));
    let pod = Mirrored::new(farm);
    let farm = &pod.farm;
    farm.cc_remote(&compile);
    assert!(
        expected == (farm.read("a.o"), farm.read("a.d")),
        "the same object"
    );
    for round in 0..30 {
        // Of one size, within one tick of the clock.
        farm.write("inc/a.h", format!("#define A {}\n", 10 + round));
        farm.cc_remote(&compile);
        let object = farm.read("a.o");
        assert!(farm.bare(&compile).status.success());
        assert!(object == farm.read("a.o"), "round {round}");
        // A header that comes earlier on the way, and goes again.
        farm.write("a.h", "#define A 99\n");
        farm.cc_remote(&compile);
        let object = farm.read("a.o");
        assert!(farm.bare(&compile).status.success());
        assert!(object == farm.read("a.o"), "round {round}, nearer header");
        fs::remove_file(farm.root.join("a.h")).unwrap();
    }
}

#[test]
fn the_copy_is_the_root() {
    let farm = Farm::without_hub();
    let root = farm.root.clone();
    farm.write("d/e/one", "one");
    farm.write("twin", "the same");
    farm.write("other", "the same");
    fs::hard_link(root.join("twin"), root.join("d/twin")).unwrap();
    symlink("e/one", root.join("d/link")).unwrap();
    symlink("/etc/hostname", root.join("out")).unwrap();
    farm.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let pod = Mirrored::new(farm);
    let same = |when: &str| {
        pod.settle();
        // The object of the job itself came after the copy was made.
        fs::remove_file(root.join("settle.o")).unwrap();
        pod.settle();
        fs::remove_file(root.join("settle.o")).unwrap();
        let (here, there) = (listing(&root), listing(&pod.copy()));
        let there: Vec<_> = there
            .into_iter()
            .filter(|it| !it.starts_with("settle.o "))
            .collect();
        assert_eq!(here, there, "{when}");
    };
    same("at first");
    fs::rename(root.join("d"), root.join("D")).unwrap();
    same("a directory renamed");
    fs::remove_file(root.join("twin")).unwrap();
    fs::create_dir(root.join("twin")).unwrap();
    pod.farm.write("twin/x", "x");
    same("a file becomes a directory");
    fs::remove_dir_all(root.join("twin")).unwrap();
    symlink("D", root.join("twin")).unwrap();
    same("and a link");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o600)).unwrap();
    let size = 700_000;
    pod.farm.write("big", "0123456789".repeat(size / 10));
    same("long content");
    fs::rename(root.join("big"), root.join("D/big")).unwrap();
    fs::copy(root.join("D/big"), root.join("big2")).unwrap();
    same("moved and copied");
    let log = pod.farm.log("schedd");
    assert!(!log.contains("connection lost"), "{log}");
}

#[test]
fn after_a_crash_the_copy_is_made_right() {
    let farm = Farm::without_hub();
    for number in 0..50 {
        farm.write(&format!("src/f{number}.c"), format!("int f{number};\n"));
    }
    let mut pod = Mirrored::new(farm);
    pod.settle();
    let copy = pod.copy();
    pod.worker.kill();
    // What lies there is damaged, surplus, and not there.
    fs::write(copy.join("src/f1.c"), "int g1;\n").unwrap();
    fs::write(copy.join("src/surplus.h"), "x").unwrap();
    fs::remove_file(copy.join("src/f2.c")).unwrap();
    fs::remove_dir_all(pod.farm.root.join("src/none")).unwrap_err();
    pod.farm.write("src/f3.c", "int changed;\n");
    pod.worker = start_worker(&pod.farm);
    wait_for("the pod to be lost and back", || {
        let status = pod.farm.status()?;
        (status["pods"][0]["up"] == true && pod.copy().join("src/f2.c").exists()).then_some(())
    });
    pod.settle();
    fs::remove_file(pod.farm.root.join("settle.o")).unwrap();
    pod.settle();
    fs::remove_file(pod.farm.root.join("settle.o")).unwrap();
    let there = listing(&pod.copy());
    let there: Vec<_> = there
        .into_iter()
        .filter(|it| !it.starts_with("settle.o "))
        .collect();
    assert_eq!(listing(&pod.farm.root), there);
    // And after the hub was killed.
    pod.hub.take().unwrap().kill();
    pod.farm.write("src/f4.c", "int again;\n");
    pod.hub = Some(start_hub(&pod.farm));
    pod.farm.wait_up();
    let same = ["gcc", "-c", "src/f4.c", "-o", "f4.o"];
    pod.farm.cc_remote(&same);
    let object = pod.farm.read("f4.o");
    assert!(pod.farm.bare(&same).status.success());
    assert!(object == pod.farm.read("f4.o"));
}

#[test]
fn over_ssh_with_sources_generated_a_moment_ago() {
    let farm = Farm::without_hub();
    let sshd = Sshd::start(farm.dir.path());
    let folder = farm.dir.path().join("config");
    fs::create_dir_all(folder.join("cpods")).unwrap();
    let config = "[[pods]]\nname = \"far\"\nfiles = \"mirror\"\n";
    fs::write(folder.join("cpods/hub.toml"), config).unwrap();
    let script = "for i in 1 2 3 4 5; do echo \"int f(void) { return $i; }\" >g.c; \
                  cpods-cc gcc -c g.c -o g$i.o; gcc -c g.c -o h$i.o; cmp g$i.o h$i.o; done; \
                  cpods status";
    let output = sshd::run(&farm, &sshd)
        .env("XDG_CONFIG_HOME", folder)
        .args(["--", "sh", "-e", "-c", script])
        .env("CPODS_FALLBACK", "0")
        .output()
        .unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("cpods: 5 jobs on pods (0 failed), 0 local"),
        "{said}"
    );
    assert!(said.contains("files mirror"), "{said}");
}
