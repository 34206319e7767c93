//! No job reads what was there before: on three pods, with other jobs in flight, whoever made what
//! is read, and however short a time ago.

use super::{start_hub_with, start_named};
use crate::support::{Daemon, Farm, bin, text};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// With the tool that each is not to use: what clang makes for gcc comes from another pod, and what
/// gcc makes for clang.
const PODS: [(&str, &str); 3] = [("pod1", "clang"), ("pod2", "clang"), ("pod3", "gcc")];

/// Who changes the header, how, and just before the job.
#[derive(Clone, Copy, Debug)]
enum Way {
    InPlace,
    ByRename,
    /// In a directory that is searched instead.
    Nearer,
    /// By a tool that ran here.
    GeneratedHere,
    /// By a tool that ran on a pod on which the job does not run.
    GeneratedThere,
}

const WAYS: [Way; 5] = [
    Way::InPlace,
    Way::ByRename,
    Way::Nearer,
    Way::GeneratedHere,
    Way::GeneratedThere,
];

impl Way {
    /// Has the header say this; gives where it is to be searched.
    fn change(self, farm: &Farm, line: &str, other: &str) -> &'static str {
        match self {
            Self::InPlace => drop(farm.write("a.h", line)),
            Self::ByRename => {
                let aside = farm.write("a.h.new", line);
                fs::rename(aside, farm.root.join("a.h")).unwrap();
            }
            Self::Nearer => {
                farm.write("sub/a.h", line);
                return "-Isub";
            }
            Self::GeneratedHere | Self::GeneratedThere => {
                farm.write("template.c", line);
                let generate = [other, "-E", "-P", "template.c", "-o", "a.h"];
                let output = match self {
                    Self::GeneratedHere => farm.bare(&generate),
                    _ => farm.cc(&generate),
                };
                assert!(output.status.success(), "{}", text(&output));
            }
        }
        "-I."
    }
}

/// Where the last jobs of a tool ran.
fn pods_of(farm: &Farm, tool: &str) -> Vec<String> {
    let mut explain = farm.command(bin("cpods"));
    let output = explain
        .args(["explain", "--last", "100", "--json"])
        .output();
    let jobs: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let jobs = jobs.as_array().unwrap().iter();
    let jobs = jobs.filter(|job| job["program"] == tool && job["job"] != 0);
    jobs.map(|job| job["pod"].as_str().unwrap().to_owned())
        .collect()
}

/// Stops the jobs in flight, also where a round fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Changes and compiles, while other jobs fly.
fn never_stale(rounds: usize) {
    let farm = Farm::without_hub();
    farm.write("a.h", "");
    farm.write("a.c", "#include \"a.h\"\n");
    farm.write("other.c", "#include \"a.h\"\n#include <stdio.h>\n");
    let _workers: Vec<Daemon> = PODS.map(|(name, _)| start_named(&farm, name)).into();
    let pods = PODS.map(|(name, not)| (name, format!("withhold = [\"{not}\"]\n")));
    let _hub = start_hub_with(&farm, &pods, "hub.sock");
    farm.wait_up();
    let stop = AtomicBool::new(false);
    let refused = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for (number, tool) in ["gcc", "gcc", "clang"].iter().enumerate() {
            let mut job = farm.command(bin("cpods-cc"));
            job.env("CPODS_FALLBACK", "0")
                .args([tool, "-c", "other.c", "-o"]);
            job.arg(format!("other{number}.o"));
            let (stop, refused) = (&stop, &refused);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // What it reads changes meanwhile. It may be refused what was just being
                    // written when it was to be sent, and would then run here.
                    let output = job.output().unwrap();
                    if !output.status.success() {
                        let said = text(&output);
                        assert!(said.contains("a.h"), "{said}");
                        assert!(said.contains("Permission denied"), "{said}");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 0..rounds {
            // Of one size always.
            let line = format!("int a = {};\n", 10_000 + round);
            let way = WAYS[round % WAYS.len()];
            let (tool, other) = match round / WAYS.len() % 2 {
                0 => ("gcc", "clang"),
                _ => ("clang", "gcc"),
            };
            let dir = way.change(&farm, &line, other);
            farm.write("a.c", "#include <a.h>\n");
            let output = farm.cc(&[tool, dir, "-c", "a.c", "-o", "a.o"]);
            assert!(output.status.success(), "{}", text(&output));
            let object = farm.read("a.o");
            let value = u32::try_from(10_000 + round).unwrap().to_le_bytes();
            let is_new = object.windows(4).any(|bytes| bytes == value);
            assert!(is_new, "round {round}, {way:?}, {tool}");
        }
    });
    let status = farm.status().unwrap();
    let count = |key: &str| status[key].as_u64().unwrap();
    let refused = refused.load(Ordering::Relaxed);
    assert_eq!(count("failed"), refused, "{status}");
    let finished = count("finished");
    assert!(refused <= 1 + finished / 1000, "{refused} of {finished}");
    assert!(finished > (rounds + rounds / WAYS.len()) as u64);
    for pod in 0..PODS.len() {
        let finished = status["pods"][pod]["finished"].as_u64().unwrap();
        assert!(finished > 0, "{status}");
    }
    // What was made there was made elsewhere.
    let (gcc, clang) = (pods_of(&farm, "gcc"), pods_of(&farm, "clang"));
    assert!(!gcc.is_empty() && !clang.is_empty());
    assert!(
        gcc.iter().all(|pod| !clang.contains(pod)),
        "{gcc:?} {clang:?}"
    );
}

#[test]
fn nothing_stale_on_three_pods_with_jobs_in_flight() {
    never_stale(100);
}

#[test]
#[ignore = "takes minutes"]
fn nothing_stale_on_three_pods_with_jobs_in_flight_for_long() {
    never_stale(2000);
}
