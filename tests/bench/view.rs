//! What a job costs on a pod beyond its tool: `true` in each view, one after another.
//!
//! `cargo bench --bench view [-- COUNT]`. Wall time is from the hub's start message to the pod's
//! last one; CPU time is of the worker and all below it, from the whole run's total. The line
//! `bare` is the same number of plain fork + exec of the same program here.

#[path = "../all/pod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod pod;

use cpods::job::Role;
use pod::{GCC, Hub, Pod, SH};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    let count = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(500);
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    std::fs::write(root.join("a.c"), "int f(void) { return 0; }\n").unwrap();
    println!(
        "{:>22} {:>10} {:>10} {:>10}",
        "", "median ms", "mean ms", "CPU ms"
    );
    bare("bare true", &["/bin/true"], &root, count);
    bare(
        "bare gcc -c",
        &["gcc", "-c", "a.c", "-o", "/dev/null"],
        &root,
        count / 5,
    );
    for options in [
        &["--view", "overlay", "--scratch", "memory"][..],
        &["--view", "overlay", "--scratch", "disk"],
        &["--view", "rewrite", "--scratch", "memory"],
        &["--unsandboxed"],
    ] {
        jobs(options, &root, count);
    }
}

fn bare(name: &str, words: &[&str], root: &Path, count: u32) {
    let before = cpu_of_children();
    let each: Vec<_> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            let mut command = Command::new(words[0]);
            command
                .args(&words[1..])
                .current_dir(root)
                .stdin(Stdio::null());
            assert!(command.status().unwrap().success());
            begun.elapsed()
        })
        .collect();
    show(name, each, cpu_of_children() - before);
}

fn jobs(options: &[&str], root: &Path, count: u32) {
    let before = cpu_of_children();
    let pod = Pod::start(options);
    let mut hub = pod.hub(&[root]);
    // The worker's own start is not a job's cost.
    run(&mut hub, root, "true", 10);
    let began = cpu_of(pod.child.id());
    let each = run(&mut hub, root, "true", count);
    let cpu = cpu_of(pod.child.id()) - began;
    let name = options
        .iter()
        .filter(|word| !matches!(**word, "--view" | "--scratch"));
    let name = name.copied().collect::<Vec<_>>().join(" ");
    show(&format!("{name} true*"), each, cpu);
    let each = run(&mut hub, root, "gcc", count / 5);
    show(&format!("{name} gcc -c"), each, Duration::ZERO);
    drop(hub);
    drop(pod);
    let whole = cpu_of_children() - before;
    println!(
        "{:>22} {:>32.3}",
        "all CPU / all jobs",
        whole.as_secs_f64() * 1e3 / f64::from(count + count / 5)
    );
}

fn run(hub: &mut Hub, root: &Path, tool: &str, count: u32) -> Vec<Duration> {
    let spec = match tool {
        "true" => {
            let mut spec = hub.job(SH, "sh", root);
            spec.task.job.program =
                cpods::job::Program::InRoot(vec![cpods::job::Piece::Text("/bin/true".into())]);
            spec
        }
        _ => hub
            .job(GCC, "gcc", root)
            .arg("-c")
            .path(Role::Input, "a.c")
            .arg("-o")
            .path(Role::Output, "a.o"),
    };
    (0..count)
        .map(|_| {
            let begun = Instant::now();
            hub.run(&spec).ok();
            begun.elapsed()
        })
        .collect()
}

fn show(name: &str, mut each: Vec<Duration>, cpu: Duration) {
    each.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let count = each.len().max(1);
    let mean = ms(each.iter().sum::<Duration>()) / count as f64;
    let median = ms(each[each.len() / 2]);
    println!(
        "{name:>22} {median:>10.3} {mean:>10.3} {:>10.3}",
        ms(cpu) / count as f64
    );
}

/// CPU time of a process itself, without what it started.
fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn cpu_of_children() -> Duration {
    // SAFETY: all-zero bytes are a valid `rusage`, and getrusage(2) writes one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let micros =
        |t: libc::timeval| t.tv_sec.cast_unsigned() * 1_000_000 + t.tv_usec.cast_unsigned();
    Duration::from_micros(micros(usage.ru_utime) + micros(usage.ru_stime))
}
