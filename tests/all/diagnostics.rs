//! `CPODS_DIAGNOSTICS=gnu`: each tool's way to name a place in a file becomes that of compilers, on
//! a pod and on this machine; without it not a byte changes.

use crate::support::{Farm, bin, text};
use std::process::Output;

fn run(farm: &Farm, argv: &[&str], gnu: bool) -> Output {
    let mut command = farm.command(bin("cpods-cc"));
    if gnu {
        command.env("CPODS_DIAGNOSTICS", "gnu");
    }
    command.args(argv).output().unwrap()
}

#[test]
fn places_in_files_are_named_as_compilers_do() {
    let farm = Farm::new();
    farm.write("wrong.smt2", "(check-sat)\n(assert nosuch)\n");
    farm.write("doc.tex", "\\starttext\nHello \\nosuch\n\\stoptext\n");
    farm.write("p.c", "int f(void)\n{ return 1 }\n");
    farm.write(
        "q.c",
        "int main(void) {\n  int a[3];\n  a[3] = 1;\n  return 0;\n}\n",
    );
    let doc = farm.root.join("doc.tex").display().to_string();
    for (argv, own, gnu) in [
        (
            &["z3", "wrong.smt2"][..],
            "(error \"line 2 column 8: ",
            "wrong.smt2:2:8: error: unknown constant nosuch",
        ),
        (
            &["frama-c", "-no-autoload-plugins", "p.c"],
            "[kernel] p.c:2: ",
            "p.c:2: error: syntax error:",
        ),
        (
            &["frama-c", "-eva", "q.c"],
            "[eva:alarm] q.c:3: Warning: ",
            "q.c:3: warning: accessing out of bounds index. assert 3 < 3;",
        ),
        (
            &["context", "--batchmode", "doc.tex"],
            "> tex error on line 2 in file ",
            &format!("{doc}:2: error: Undefined control sequence"),
        ),
        (
            &["gcc", "-c", "p.c"],
            "p.c:2:11: error: ",
            "p.c:2:11: error: ",
        ),
    ] {
        let before = farm.finished();
        let as_it_is = run(&farm, argv, false);
        let bare = farm.bare(argv);
        assert_eq!(as_it_is.status.code(), bare.status.code(), "{argv:?}");
        assert!(text(&as_it_is).contains(own), "{}", text(&as_it_is));
        if argv[0] != "context" {
            // ConTeXt tells how long it took.
            assert_eq!(text(&as_it_is), text(&bare), "{argv:?}");
        }
        let put = run(&farm, argv, true);
        assert_eq!(farm.finished(), before + 2, "{}", text(&put));
        let here = farm
            .command(bin("cpods-cc"))
            .env("CPODS_DIAGNOSTICS", "gnu")
            .env("CPODS_HUB", "/nonexistent")
            .args(argv)
            .output()
            .unwrap();
        for output in [put, here] {
            assert_eq!(output.status.code(), bare.status.code(), "{argv:?}");
            let said = text(&output);
            assert!(said.lines().any(|line| line.starts_with(gnu)), "{said}");
        }
    }
}
