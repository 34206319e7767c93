//! ConTeXt on a pod: a warm cache that its user never made, and success that is judged.

use crate::support::{Farm, bin, text};
use std::process::Output;

fn cc(farm: &Farm, args: &[&str], strict: bool) -> Output {
    let mut command = farm.command(bin("cpods-cc"));
    command.arg("context").arg("--batchmode").args(args);
    if strict {
        command.env("CPODS_STRICT", "1");
    }
    command.env("CPODS_FALLBACK", "0").output().unwrap()
}

#[test]
fn a_document_is_typeset_with_a_cache_made_once() {
    let farm = Farm::new();
    farm.write("doc.tex", "\\starttext\nHello\n\\stoptext\n");
    farm.write(
        "part.tex",
        "\\starttext\nHello \\component nosuch\n\\stoptext\n",
    );
    farm.write("wrong.tex", "\\starttext\n\\undefinedcommand\n\\stoptext\n");

    let good = cc(&farm, &["doc.tex"], true);
    assert!(good.status.success(), "{}", text(&good));
    assert!(farm.read("doc.pdf").starts_with(b"%PDF"));
    assert!(!farm.read("doc.log").is_empty() && !farm.read("doc.tuc").is_empty());

    // Exit code 0 as the tool has it, and 1 where success is judged; then no PDF is left.
    let missing = cc(&farm, &["part.tex"], false);
    assert_eq!(missing.status.code(), Some(0), "{}", text(&missing));
    assert!(farm.root.join("part.pdf").exists());
    let missing = cc(&farm, &["part.tex"], true);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing));
    let line = "quitting due to: missing files";
    assert!(text(&missing).contains(line), "{}", text(&missing));
    assert!(!farm.root.join("part.pdf").exists(), "a stale PDF");

    let wrong = cc(&farm, &["wrong.tex"], false);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong));
    assert!(
        text(&wrong).contains("tex error on line 2"),
        "{}",
        text(&wrong)
    );

    let log = farm.log("pod1");
    let prepared = log.matches("preparing its warm directory").count();
    assert_eq!(prepared, 1, "{log}");
    assert_eq!(farm.finished(), 4);
}

#[test]
fn what_is_missing_is_told_where_success_is_judged() {
    let farm = Farm::new();
    for (number, (body, word)) in [
        ("\\externalfigure[nosuch.png]", "missing figures"),
        ("\\typefile{nosuch.c}", "a file is missing"),
        ("\\environment nosuch ", "missing"),
        ("\\component nosuch ", "missing"),
        ("\\usemodule[nosuch]", "missing"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("m{number}");
        farm.write(
            &format!("{name}.tex"),
            format!("\\starttext\nA {body}\n\\stoptext\n"),
        );
        // An old one, which must not be taken for the new.
        farm.write(&format!("{name}.pdf"), "old");
        let said = cc(&farm, &[&format!("{name}.tex")], true);
        assert_eq!(said.status.code(), Some(1), "{body}: {}", text(&said));
        assert!(text(&said).contains(word), "{body}: {}", text(&said));
        let left = farm.root.join(format!("{name}.pdf"));
        assert!(!left.exists(), "{body}: a stale PDF is left");
        // The tool itself is content.
        let said = cc(&farm, &[&format!("{name}.tex")], false);
        assert_eq!(said.status.code(), Some(0), "{body}: {}", text(&said));
    }
    assert_eq!(farm.finished(), 10);
}

#[test]
fn what_lies_outside_the_roots_is_found_after_all() {
    let farm = Farm::new();
    let outside = farm.dir.path().canonicalize().unwrap().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    let env = "\\startenvironment env\n\\def\\Word{FOUND}\n\\stopenvironment\n";
    std::fs::write(outside.join("env.tex"), env).unwrap();
    std::fs::write(outside.join("list.c"), "int FOUND;\n").unwrap();
    let (env, list) = (outside.join("env"), outside.join("list.c"));
    farm.write(
        "env.tex",
        format!(
            "\\environment {}\n\\starttext\n\\writestatus{{x}}{{\\Word}}\n\\stoptext\n",
            env.display()
        ),
    );
    farm.write(
        "list.tex",
        format!(
            "\\starttext\n\\typefile{{{}}}\n\\stoptext\n",
            list.display()
        ),
    );
    for name in ["env.tex", "list.tex"] {
        let mut command = farm.command(bin("cpods-cc"));
        command.args(["context", "--batchmode", name]);
        let output = command.env("CPODS_VERBOSE", "1").output().unwrap();
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("a file was not found on the pod"), "{said}");
        assert!(!said.contains("does not exist"), "{said}");
    }
    let pdf = farm.bare(&["context", "--batchmode", "env.tex"]);
    assert!(text(&pdf).contains("FOUND"), "{}", text(&pdf));
}
