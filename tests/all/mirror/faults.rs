//! Mirrors when something goes wrong: nothing wrong is committed, and the copy is whole again.

use super::{cache, copies, same, start_hub, start_hub_of, start_worker};
use crate::sshd::{self, Sshd};
use crate::support::{Daemon, Farm, bin, text, wait_for, wait_for_end};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// Bytes that nothing makes shorter.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// A compilation, on the pod or where it can be.
fn compile(farm: &Farm) -> Child {
    let mut job = farm.command(bin("cpods-cc"));
    job.args(["gcc", "-c", "main.c", "-o", "main.o"]);
    job.spawn().unwrap()
}

/// It ends well, and its object is what the compiler makes here.
fn ends_well(farm: &Farm, job: &mut Child, when: &str) {
    let ended = wait_for_end("a job", job);
    assert!(ended.success(), "{when}: {ended}");
    let local = ["gcc", "-c", "main.c", "-o", "local.o"];
    assert!(farm.bare(&local).status.success());
    assert!(farm.read("main.o") == farm.read("local.o"), "{when}");
}

fn killed_while_applying(rounds: u32) {
    const FILES: u32 = 1000;
    let farm = Farm::without_hub();
    let includes = (0..FILES).map(|n| format!("#include \"inc/d{}/h{n}.h\"\n", n % 7));
    farm.write("main.c", includes.collect::<String>());
    let change = |round: u32| {
        for n in 0..FILES {
            let name = format!("inc/d{}/h{n}.h", n % 7);
            let filling = "/* filling */\n".repeat(20);
            farm.write(&name, format!("{filling}int v{n} = {round};\n"));
        }
    };
    change(0);
    let mut worker = start_worker(&farm);
    let mut hub = start_hub(&farm);
    farm.wait_up();
    let mut midway = 0;
    for round in 1..=rounds {
        change(round);
        let when = format!("round {round}");
        let mut job = compile(&farm);
        let copy = copies(&cache(&farm, "pod1")).remove(0);
        let value = format!("= {round};");
        let is_new = |n: u32| {
            let file = fs::read_to_string(copy.join(format!("inc/d{}/h{n}.h", n % 7)));
            file.is_ok_and(|text| text.contains(&value))
        };
        if round % 3 > 0 {
            // From the first file on; otherwise at any time, mostly before.
            while !is_new(0) && job.try_wait().unwrap().is_none() {}
        }
        std::thread::sleep(Duration::from_millis(u64::from(round * 37 % 90)));
        worker.kill();
        let new = (0..FILES).filter(|n| is_new(*n)).count();
        midway += usize::from(new > 0 && new < FILES as usize);
        worker = start_worker(&farm);
        ends_well(&farm, &mut job, &when);
        farm.wait_up();
        same(&farm, &copies(&cache(&farm, "pod1")), &when);
        if round % 2 == 0 {
            // One that lost a pod again and again is slow to try it anew.
            hub.kill();
            hub = start_hub(&farm);
            farm.wait_up();
        }
    }
    println!("of {rounds} workers {midway} were killed amid a list");
    assert!(midway > 0);
}

#[test]
fn killed_while_it_applies_a_list() {
    killed_while_applying(10);
}

#[test]
#[ignore = "takes minutes"]
fn killed_while_it_applies_a_list_for_long() {
    killed_while_applying(50);
}

#[test]
fn a_transfer_that_was_cut_goes_on_where_it_ended() {
    const FILES: usize = 400;
    let farm = Farm::without_hub();
    farm.write("main.c", "int main_;\n");
    for n in 0..FILES {
        farm.write(&format!("data/{n}"), noise(n as u64, 100 << 10));
    }
    let sshd = Sshd::start(farm.dir.path());
    let config = farm.dir.path().join("hub.toml");
    fs::write(&config, "[[pods]]\nname = \"far\"\nfiles = \"mirror\"\n").unwrap();
    let log = fs::File::create(farm.dir.path().join("far.log")).unwrap();
    let hub = farm
        .command(bin("cpods-schedd"))
        .env("CPODS_SSH", sshd.ssh())
        .env("CPODS_WORKERS", sshd::workers())
        .args(["--log", "debug", "--socket"])
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root)
        .arg("--config")
        .arg(&config)
        .stderr(log)
        .spawn();
    let _hub = Daemon::new(hub.unwrap());
    let contents = || {
        let hubs = fs::read_dir(sshd.cache().join("mirror")).ok()?.flatten();
        let contents = hubs.filter_map(|hub| fs::read_dir(hub.path().join("content")).ok());
        Some(contents.flatten().count())
    };
    wait_for("a part of the files", || {
        contents().filter(|count| *count > 9)
    });
    for ssh in processes(&farm, "ssh") {
        kill_process(ssh, Signal::KILL).unwrap();
    }
    farm.wait_up();
    let log = farm.log("far");
    let lacks: Vec<usize> = log
        .lines()
        .filter_map(|line| line.split_once(" lacks ")?.1.split_once(" contents"))
        .map(|(count, _)| count.parse().unwrap())
        .collect();
    assert_eq!(lacks[0], FILES + 1);
    assert!(
        lacks.len() > 1 && *lacks.last().unwrap() < FILES,
        "{lacks:?}"
    );
    same(&farm, &copies(&sshd.cache()), "after the cut");
    // And with a job that waits for what is cut.
    farm.write("main.c", "int main_ = 2;\n");
    for n in 0..FILES {
        farm.write(&format!("data/{n}"), noise(n as u64 + 1000, 100 << 10));
    }
    let mut job = compile(&farm);
    wait_for("a part of the files", || {
        contents().filter(|count| *count > 5)
    });
    for ssh in processes(&farm, "ssh") {
        kill_process(ssh, Signal::KILL).unwrap();
    }
    ends_well(&farm, &mut job, "cut with a job");
    farm.wait_up();
    same(&farm, &copies(&sshd.cache()), "after the second cut");
}

/// Processes of this test whose command line begins with this program.
fn processes(farm: &Farm, program: &str) -> Vec<Pid> {
    let tag = farm.tag();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let words = fs::read(process.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).into_owned();
        let name = words.split('\0').next()?.rsplit('/').next()?;
        (name == program && words.contains(&tag)).then(|| Pid::from_raw(pid))?
    })
    .collect()
}

/// A small file system, gone at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// None where nothing may be mounted.
    fn mount(place: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let output = mount.arg(place).output().ok()?;
        output.status.success().then_some(Self(place))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_of_the_pod_is_no_fault_of_the_job() {
    let farm = Farm::without_hub();
    let place = cache(&farm, "pod1");
    let Some(_small) = Small::mount(&place, "48m") else {
        assert!(!rustix::process::geteuid().is_root(), "root may mount");
        return;
    };
    farm.write("main.c", "int main_;\n");
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    same(&farm, &copies(&place), "at first");
    farm.write("main.c", "asm(\".incbin \\\"large\\\"\");\n");
    farm.write("large", noise(1, 80 << 20));
    ends_well(&farm, &mut compile(&farm), "with a full disk");
    wait_for("the hub to say why", || {
        let log = farm.log("schedd");
        log.contains("its mirror failed: No space left")
            .then_some(())
    });
    let status = farm.status().unwrap();
    assert_eq!(status["failed"], 0, "{status}");
    for name in ["large", "main.o", "local.o"] {
        fs::remove_file(farm.root.join(name)).unwrap();
    }
    // It may be up, and just about to fail by what it was told before these were removed.
    farm.write("again.c", "int again;\n");
    wait_for("a job there again", || {
        let there = farm.cc(&["gcc", "-c", "again.c"]);
        there.status.success().then_some(())
    });
    same(&farm, &copies(&place), "with room again");
}

#[test]
fn what_is_damaged_on_disk_is_found_though_its_time_is_right() {
    let farm = Farm::without_hub();
    farm.write("a.h", "int a = 1;\n");
    farm.write("main.c", "#include \"a.h\"\n");
    let place = cache(&farm, "pod1");
    let mut worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    for round in 0..3 {
        worker.kill();
        let damaged = copies(&place).remove(0).join("a.h");
        let time = fs::metadata(&damaged).unwrap().modified().unwrap();
        let mut file = fs::File::options().write(true).open(&damaged).unwrap();
        file.write_all(b"int a = 9;\n").unwrap();
        file.set_modified(time).unwrap();
        worker = start_worker(&farm);
        // The hub needs a moment to see that the old one is gone.
        wait_for("the damage to be mended", || {
            let text = fs::read_to_string(&damaged).ok()?;
            (text == "int a = 1;\n").then_some(())
        });
        farm.wait_up();
        farm.cc_remote(&["gcc", "-c", "main.c", "-o", "main.o"]);
        same(&farm, &copies(&place), &format!("round {round}"));
    }
}

#[test]
fn two_hubs_have_copies_of_their_own() {
    let farm = Farm::without_hub();
    farm.write("main.c", "int main_;\n");
    let _worker = start_worker(&farm);
    let _one = start_hub(&farm);
    farm.wait_up();
    let two = start_hub_of(&farm, &["pod1"], "other.sock");
    let other = farm.dir.path().join("other.sock");
    let compile = |number: u32| {
        farm.write("main.c", format!("int main_ = {number};\n"));
        for hub in [&farm.hub_socket(), &other] {
            let mut job = farm.command(bin("cpods-cc"));
            job.env("CPODS_HUB", hub).env("CPODS_FALLBACK", "0");
            job.args(["gcc", "-c", "main.c", "-o", "main.o"]);
            let output = wait_for("the other hub", || {
                let output = job.output().unwrap();
                output.status.success().then_some(output)
            });
            ends_well(
                &farm,
                &mut farm.command("true").spawn().unwrap(),
                &text(&output),
            );
        }
    };
    (0..10).for_each(compile);
    let both = copies(&cache(&farm, "pod1"));
    assert_eq!(both.len(), 2);
    drop(two);
    // Only the first is told of more.
    assert!(both.iter().all(|copy| copy.join("main.c").exists()));
    let first: Vec<_> = both
        .into_iter()
        .filter(|copy| copy.to_str().unwrap().contains(".1/"))
        .collect();
    same(&farm, &first, "the first hub's");
}
