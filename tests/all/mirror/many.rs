//! Mirrors beside everything else that goes on: jobs in flight, files that other jobs made, files
//! that never rest or cannot be read, and many files.

use super::faults::noise;
use super::{cache, copies, same, start_hub, start_worker};
use crate::support::{Daemon, Farm, bin, text, wait_for};
use std::fs;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of content that went along with lists, list by list.
fn sent(farm: &Farm) -> Vec<u64> {
    let log = farm.log("schedd");
    let lines = log.lines();
    let counts = lines.filter_map(|line| line.split_once(" changes go with ")?.1.split_once(' '));
    counts.map(|(count, _)| count.parse().unwrap()).collect()
}

#[test]
fn what_a_job_wrote_is_not_sent_to_its_pod_again() {
    let farm = Farm::without_hub();
    let numbers = (0..20_000).map(|n| format!("{},", n * 7919 % 65_537));
    let numbers: String = numbers.collect();
    farm.write("big.c", format!("int big[] = {{ {numbers} }};\n"));
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    farm.cc_remote(&["gcc", "-S", "big.c", "-o", "big.s"]);
    farm.cc_remote(&["gcc", "-c", "big.s", "-o", "big.o"]);
    farm.cc_remote(&["gcc", "-c", "big.s", "-o", "again.o"]);
    let sent: u64 = sent(&farm).iter().sum();
    assert!(farm.read("big.s").len() > 100_000);
    assert!(sent < 2000, "{sent} bytes were sent");
    let asked = farm.log("schedd").matches(" lacks ").count();
    assert_eq!(asked, 1, "at the beginning, and never again");
    same(&farm, &copies(&cache(&farm, "pod1")), "after all");
}

#[test]
fn what_has_another_name_is_not_sent_again() {
    const LENGTH: u64 = 100 << 10;
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    let at = |name: &str| farm.root.join(name);
    let sent_with = |change: &dyn Fn()| {
        let before: u64 = sent(&farm).iter().sum();
        change();
        farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
        sent(&farm).iter().sum::<u64>() - before
    };
    sent_with(&|| ());
    let new = sent_with(&|| drop(farm.write("one", noise(1, LENGTH as usize))));
    assert!((LENGTH..LENGTH + 4096).contains(&new), "{new}");
    let copied = sent_with(&|| _ = fs::copy(at("one"), at("two")).unwrap());
    let moved = sent_with(&|| fs::rename(at("one"), at("three")).unwrap());
    fs::create_dir(at("dir")).unwrap();
    let deeper = sent_with(&|| fs::rename(at("two"), at("dir/two")).unwrap());
    for sent in [copied, moved, deeper] {
        assert!(sent < 4096, "{copied} {moved} {deeper}");
    }
    let twice = sent_with(&|| {
        farm.write("four", noise(2, LENGTH as usize));
        farm.write("five", noise(2, LENGTH as usize));
    });
    assert!((LENGTH..LENGTH + 4096).contains(&twice), "{twice}");
    same(&farm, &copies(&cache(&farm, "pod1")), "after all");
}

#[test]
fn a_file_that_is_written_all_the_time_holds_nothing_up() {
    let farm = Farm::without_hub();
    farm.write("build.log", "");
    farm.write("large.log", vec![b'x'; 5 << 20]);
    farm.write("a.h", "");
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    let (stop, root) = (AtomicBool::new(false), farm.root.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let open = |name| {
                let path = root.join(name);
                fs::File::options().append(true).open(path).unwrap()
            };
            let (mut small, mut large) = (open("build.log"), open("large.log"));
            while !stop.load(Ordering::Relaxed) {
                small.write_all(b"a line\n").unwrap();
                large.write_all(b"a line\n").unwrap();
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        for round in 0..20 {
            farm.write("a.c", format!("#include \"a.h\"\nint a = {round};\n"));
            farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
            assert!(
                farm.bare(&["gcc", "-c", "a.c", "-o", "b.o"])
                    .status
                    .success()
            );
            assert!(farm.read("a.o") == farm.read("b.o"), "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    same(&farm, &copies(&cache(&farm, "pod1")), "at rest");
}

#[test]
fn what_cannot_be_shown_is_refused_and_not_absent() {
    let farm = Farm::without_hub();
    fs::create_dir(farm.root.join("disk")).unwrap();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(farm.root.join("disk"));
    if !mount.output().is_ok_and(|output| output.status.success()) {
        assert!(!rustix::process::geteuid().is_root(), "root may mount");
        return;
    }
    farm.write("disk/a.h", "#define A 1\n");
    farm.write("a.c", "#include \"disk/a.h\"\nint a = A;\n");
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    let has = "#if __has_include(\"disk/a.h\")\nint a;\n#else\nint b;\n#endif\n";
    farm.write("has.c", has);
    for name in ["a", "has"] {
        let compile = [
            "gcc",
            "-c",
            &format!("{name}.c"),
            "-o",
            &format!("{name}.o"),
        ];
        let output = farm
            .command(bin("cpods-cc"))
            .args(compile)
            .output()
            .unwrap();
        let object = farm.read(&format!("{name}.o"));
        let is_same = farm.bare(&compile).status.success();
        let is_same = is_same && object == farm.read(&format!("{name}.o"));
        if !is_same || !output.status.success() {
            let _ = Command::new("umount").arg(farm.root.join("disk")).output();
            panic!("{name}: {}", text(&output));
        }
    }
    let _ = Command::new("umount")
        .arg("--lazy")
        .arg(farm.root.join("disk"))
        .output();
}

/// In kilobytes.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The longest that the hub took to answer meanwhile.
fn slowest_answer(farm: &Farm, what: impl FnOnce()) -> Duration {
    let mut status = farm.command(bin("cpods"));
    status.args(["status", "--json"]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                status.output().unwrap();
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
        what();
        stop.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    })
}

#[test]
fn the_hub_answers_while_it_reads_what_is_much() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm);
    farm.wait_up();
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    for n in 0..10 {
        let file = fs::File::create(farm.root.join(format!("large{n}"))).unwrap();
        file.set_len(250 << 20).unwrap();
    }
    let begun = Instant::now();
    let slowest = slowest_answer(&farm, || {
        farm.cc_remote(&["gcc", "-c", "a.c"]);
    });
    let took = begun.elapsed();
    assert!(slowest < took / 2, "{slowest:?} of {took:?}");
}

#[test]
#[ignore = "prints what it measures"]
fn twenty_thousand_files() {
    let farm = Farm::without_hub();
    for n in 0..20_000 {
        let filling = format!("/* {n} */ int v{n};\n").repeat(130);
        farm.write(&format!("d{}/f{n}.c", n / 100), &filling[..2000]);
    }
    farm.write("a.c", "int a;\n");
    let worker = start_worker(&farm);
    let begun = Instant::now();
    let hub = start_hub(&farm);
    wait_for("the hub", || farm.status());
    let slowest = slowest_answer(&farm, || farm.wait_up());
    farm.cc_remote(&["gcc", "-c", "a.c"]);
    println!("slowest answer of the hub meanwhile {slowest:?}");
    println!("first job after {:?}", begun.elapsed());
    println!(
        "schedd {} KiB, workd {} KiB",
        resident(&hub),
        resident(&worker)
    );
    let each = |what: &str, change: &dyn Fn(u32)| {
        let begun = Instant::now();
        for n in 0..50 {
            change(n);
            let output = farm.cc(&["gcc", "-fsyntax-only", "a.c"]);
            assert!(output.status.success(), "{}", text(&output));
        }
        println!("{what}: {:?} a job", begun.elapsed() / 50);
    };
    each("nothing changed", &|_| ());
    each("one file changed", &|n| {
        farm.write("d7/f700.c", format!("int changed{n};\n"));
    });
    drop(hub);
    let begun = Instant::now();
    let hub = start_hub(&farm);
    wait_for("the hub", || farm.status());
    farm.wait_up();
    println!(
        "after the hub's restart {:?}, {} KiB",
        begun.elapsed(),
        resident(&hub)
    );
    for n in 0..20_000 {
        let path = farm.root.join(format!("d{}/f{n}.c", n / 100));
        fs::write(path, format!("int w{n};\n").repeat(150)).unwrap();
    }
    let begun = Instant::now();
    let slowest = slowest_answer(&farm, || {
        farm.cc_remote(&["gcc", "-c", "a.c"]);
    });
    println!("after all files changed {:?}", begun.elapsed());
    println!("slowest answer of the hub meanwhile {slowest:?}");
    println!(
        "schedd {} KiB, workd {} KiB",
        resident(&hub),
        resident(&worker)
    );
    same(&farm, &copies(&cache(&farm, "pod1")), "after all");
}
