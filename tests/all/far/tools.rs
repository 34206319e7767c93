//! Tools that are no compilers, on a pod reached by ssh: warm folders are made there.

use super::{far, hub};
use crate::support::{bin, text};

#[test]
fn provers_and_context_give_the_same_over_ssh() {
    let (farm, sshd) = far();
    farm.write(
        "parts/env.tex",
        "\\startenvironment env\n\\stopenvironment\n",
    );
    farm.write(
        "doc.tex",
        "\\environment parts/env\n\\starttext\nHello\n\\stoptext\n",
    );
    farm.write(
        "unsat.smt2",
        "(declare-const p Bool)(assert (and p (not p)))(check-sat)\n",
    );
    farm.write(
        "max.c",
        "/*@ assigns \\nothing; ensures \\result >= a && \\result >= b; */\n\
         int max(int a, int b) { return a > b ? a : b; }\n",
    );
    let _hub = hub(&farm, &sshd);
    let mut jobs = 0;
    for argv in [
        &["z3", "unsat.smt2"][..],
        &["frama-c", "-eva", "-main", "max", "max.c"],
        &["context", "--batchmode", "doc.tex"],
    ] {
        let local = farm.bare(argv);
        let _ = std::fs::remove_file(farm.root.join("doc.pdf"));
        let remote = farm
            .command(bin("cpods-cc"))
            .args(argv)
            .env("CPODS_FALLBACK", "0")
            .output()
            .unwrap();
        jobs += 1;
        assert_eq!(farm.finished(), jobs, "{}", text(&remote));
        assert_eq!(
            remote.status.code(),
            local.status.code(),
            "{}",
            text(&remote)
        );
        if argv[0] != "context" {
            assert_eq!(text(&remote), text(&local));
        }
    }
    assert!(farm.read("doc.pdf").starts_with(b"%PDF"));

    // With provers that were detected on the pod, though nobody did so here.
    let proved = farm.cc(&["frama-c", "-wp", "-wp-prover", "z3", "max.c"]);
    let said = text(&proved);
    assert!(said.contains("Proved goals:    3 / 3"), "{said}");
}
