//! Frama-C on a pod: the same report and the same exit code as on this machine.

use crate::support::{Farm, bin, text};
use std::process::{Command, Output};

/// Proved by the prover alone, not by the simplifier before it.
const MAX: &str = r"
/*@ requires \valid(a+(0..n-1)) && n > 0;
    assigns \nothing;
    ensures \forall integer i; 0 <= i < n ==> \result >= a[i]; */
int max(const int *a, int n) {
  int m = a[0];
  /*@ loop invariant 1 <= i <= n;
      loop invariant \forall integer j; 0 <= j < i ==> m >= a[j];
      loop assigns i, m;
      loop variant n - i; */
  for (int i = 1; i < n; i++) if (a[i] > m) m = a[i];
  return m;
}
";
/// A contract that does not hold, and an access out of bounds.
const BAD: &str = r"
/*@ ensures \result > x; */
int id(int x) { return x; }
int a[3];
int main(void) { return a[5]; }
";
/// What no prover finds.
const HARD: &str = r"
/*@ lemma fermat: \forall integer x, y, z;
      x > 0 && y > 0 && z > 0 ==> x*x*x + y*y*y != z*z*z; */
int main(void) { return 0; }
";

fn farm() -> Farm {
    let farm = Farm::new();
    farm.write("max.c", MAX);
    farm.write("bad.c", BAD);
    farm.write("hard.c", HARD);
    farm.write("syntax.c", "int f( {\n");
    farm
}

/// The report without what differs from run to run: times, steps, and the order of two provers.
fn report(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let mut kept = String::new();
            let mut depth = 0;
            for letter in line.chars() {
                depth += i32::from(letter == '(');
                if depth == 0 {
                    kept.push(letter);
                }
                depth -= i32::from(letter == ')');
            }
            kept.trim_end().to_owned()
        })
        .collect();
    lines.sort();
    lines
}

/// On this machine, with provers detected as a pod does it.
fn here(farm: &Farm, args: &[&str]) -> Output {
    let config = farm.dir.path().join("why3.conf");
    let detected = Command::new("why3")
        .args(["config", "detect"])
        .env("WHY3CONFIG", &config)
        .output()
        .unwrap();
    assert!(detected.status.success(), "{}", text(&detected));
    let mut command = farm.command("frama-c");
    command.args(args).env("WHY3CONFIG", config);
    command.output().unwrap()
}

fn on_pod(farm: &Farm, args: &[&str]) -> Output {
    let before = farm.finished();
    let output = farm.cc(&[&["frama-c"], args].concat());
    assert_eq!(farm.finished(), before + 1, "{args:?}: {}", text(&output));
    output
}

#[test]
fn results_of_a_pod_are_those_of_this_machine() {
    let farm = farm();
    for (args, code) in [
        (&["-wp", "-wp-prover", "z3", "max.c"][..], 0),
        // Ended by steps, not by time: on a busy machine the default of 2 s ends in the prover's
        // own timeout, in Frama-C's, or in a prover killed halfway, each said differently.
        (
            &[
                "-wp",
                "-wp-steps",
                "2000",
                "-wp-timeout",
                "120",
                "-wp-prover",
                "z3",
                "bad.c",
            ],
            0,
        ),
        (
            &[
                "-wp",
                "-wp-rte",
                "-wp-prover=z3",
                "max.c",
                "-then",
                "-report",
            ],
            0,
        ),
        (&["-eva", "bad.c"], 0),
        (&["syntax.c"], 1),
        (&["-wp", "-wp-prover", "nosuch", "max.c"], 1),
    ] {
        let (remote, local) = (on_pod(&farm, args), here(&farm, args));
        assert_eq!(
            remote.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&remote)
        );
        assert_eq!(
            local.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&local)
        );
        assert_eq!(report(&remote), report(&local), "{args:?}");
        assert!(report(&remote).len() > 1, "{args:?}: {}", text(&remote));
    }
    let proved = on_pod(&farm, &["-wp", "-wp-prover", "z3", "max.c"]);
    let said = text(&proved);
    assert!(said.contains("Proved goals:    9 / 9"), "{said}");
    assert!(said.contains("[Z3 "), "no prover was asked: {said}");
}

#[test]
fn a_missing_source_says_so() {
    let farm = farm();
    // What is not on the pod may be here, so that it is looked for here, too.
    let output = farm
        .command(bin("cpods-cc"))
        .args(["frama-c", "-eva", "none.c"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("does not exist"),
        "{}",
        text(&output)
    );
}

#[test]
fn what_it_writes_comes_back() {
    let farm = farm();
    let args = "-cpp-extra-args=-I. -MD -MF deps.d -MT out";
    on_pod(
        &farm,
        &[
            args,
            "max.c",
            "-ocode",
            "printed.c",
            "-print",
            "-save",
            "max.sav",
        ],
    );
    assert!(
        String::from_utf8(farm.read("deps.d"))
            .unwrap()
            .contains("max.c")
    );
    assert!(
        String::from_utf8(farm.read("printed.c"))
            .unwrap()
            .contains("loop invariant")
    );
    assert!(!farm.read("max.sav").is_empty());
    // And is of use to the next run, on a pod again.
    let report = on_pod(&farm, &["-load", "max.sav", "-metrics"]);
    assert!(text(&report).contains("Sloc"), "{}", text(&report));
}

#[test]
fn a_prover_that_hangs_is_ended_at_the_limit_with_its_children() {
    let farm = farm();
    let output = farm
        .command(bin("cpods-cc"))
        .args([
            "frama-c",
            "-wp",
            "-wp-prover",
            "z3",
            "-wp-timeout",
            "3600",
            "hard.c",
        ])
        .env("CPODS_FALLBACK", "0")
        .env("CPODS_SECONDS", "4")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(124), "{}", text(&output));
    let line = "cpods: `framac` was ended after 4 s, its limit";
    assert!(text(&output).contains(line), "{}", text(&output));
    crate::tool::wait_for_nothing_left(&farm);
}

#[test]
fn strict_is_exit_code_1_and_a_line_that_says_why() {
    let farm = farm();
    let strict = |args: &[&str], fallback| {
        farm.command(bin("cpods-cc"))
            .args(args)
            .env("CPODS_FALLBACK", fallback)
            .env("CPODS_STRICT", "1")
            .output()
            .unwrap()
    };
    let wp = ["frama-c", "-wp", "-wp-prover", "z3"];
    let good = strict(&[&wp[..], &["max.c"]].concat(), "0");
    assert_eq!(good.status.code(), Some(0), "{}", text(&good));
    for (args, why) in [
        ([&wp[..], &["bad.c"]].concat(), "a goal is not proved"),
        (
            vec!["frama-c", "-eva", "bad.c"],
            "the analysis raises an alarm",
        ),
    ] {
        let bad = strict(&args, "0");
        assert_eq!(bad.status.code(), Some(1), "{}", text(&bad));
        let line = format!("cpods-cc: frama-c exited 0, but {why}: ");
        assert!(text(&bad).contains(&line), "{}", text(&bad));
    }
    let blind = strict(&[&wp[..], &["-quiet", "bad.c"]].concat(), "1");
    assert_eq!(blind.status.code(), Some(125), "{}", text(&blind));
    assert!(text(&blind).contains("`-quiet` hides"), "{}", text(&blind));
    // The same where it runs on this machine.
    let here = strict(&["frama-c", "-eva", "bad.c", "-time", "times"], "1");
    assert_eq!(here.status.code(), Some(1), "{}", text(&here));
    assert!(
        text(&here).contains("but the analysis raises an alarm: "),
        "{}",
        text(&here)
    );
}
