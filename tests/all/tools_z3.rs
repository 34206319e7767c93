//! Z3 on a pod: the same answers and the same exit codes as on this machine.

use crate::support::{Farm, bin, text};

#[test]
fn answers_of_a_pod_are_those_of_this_machine() {
    let farm = Farm::new();
    farm.write(
        "unsat.smt2",
        "(declare-const p Bool)(assert (and p (not p)))(check-sat)\n",
    );
    farm.write(
        "sat.smt2",
        "(declare-const x Int)(assert (> x 3))(assert (< x 5))(check-sat)(get-model)\n",
    );
    farm.write("wrong.smt2", "(assert nosuch)\n");
    for (args, code) in [
        (&["unsat.smt2"][..], 0),
        (&["-smt2", "-T:20", "sat.smt2"], 0),
        (&["wrong.smt2"], 1),
        (&["rlimit=10", "sat.smt2"], 1),
    ] {
        let argv = [&["z3"], args].concat();
        let before = farm.finished();
        let (remote, local) = (farm.cc(&argv), farm.bare(&argv));
        assert_eq!(farm.finished(), before + 1, "{argv:?}");
        assert_eq!(remote.status.code(), Some(code), "{}", text(&remote));
        assert_eq!(text(&remote), text(&local), "{argv:?}");
    }
}

#[test]
fn a_solver_that_hangs_is_ended_at_its_limit() {
    let farm = Farm::new();
    farm.write(
        "hard.smt2",
        "(declare-const x Int)(declare-const y Int)(declare-const z Int)\
         (assert (and (> x 0) (> y 0) (> z 0)))\
         (assert (= (+ (* x x x) (* y y y)) (* z z z)))(check-sat)\n",
    );
    let mut command = farm.command(bin("cpods-cc"));
    command.args(["z3", "hard.smt2"]);
    command.env("CPODS_SECONDS", "2").env("CPODS_FALLBACK", "0");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(124), "{}", text(&output));
    assert!(text(&output).contains("its limit"), "{}", text(&output));
    crate::tool::wait_for_nothing_left(&farm);
}

#[test]
fn a_python_script_that_imports_z3_runs_on_a_pod() {
    let farm = Farm::new();
    farm.write(
        "solve.py",
        "import sys\nfrom z3 import Int, Solver\nx = Int('x')\ns = Solver()\n\
         s.add(x > 3, x < 5)\nprint(s.check(), s.model()[x])\n\
         open('answer', 'w').write('written')\nsys.exit(3)\n",
    );
    let argv = ["python3", "solve.py"];
    let local = farm.bare(&argv);
    if text(&local).contains("ModuleNotFoundError") {
        eprintln!("left out: Python has no module z3 here");
        return;
    }
    std::fs::remove_file(farm.root.join("answer")).unwrap();
    let before = farm.finished();
    let remote = farm.cc(&argv);
    assert_eq!(farm.finished(), before + 1, "{}", text(&remote));
    assert_eq!(text(&remote), text(&local));
    assert_eq!(remote.status.code(), Some(3));
    assert_eq!(farm.read("answer"), b"written");
}
