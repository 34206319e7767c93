//! The checked-in snippets are what the generator writes, and real Ninja builds with them.
//!
//! `CPODS_BLESS=1 cargo test` writes them anew.

use super::*;
use crate::rules::RuleSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ninja-rules")
}

#[test]
fn checked_in_snippets_are_the_generators() {
    let mut written = Vec::new();
    for rule in RuleSet::builtin().rules() {
        let Some(text) = snippet(rule, &Options::default()).unwrap() else {
            continue;
        };
        let path = folder().join(format!("{}.ninja", rule.tool));
        if std::env::var_os("CPODS_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let same = fs::read(&path).is_ok_and(|there| there == text);
        let shown = path.display();
        assert!(same, "`{shown}` is old; run `CPODS_BLESS=1 cargo test`");
        written.push(path);
    }
    let files = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|it| it.extension().is_some_and(|it| it == "ninja"))
        .collect();
    files.sort();
    written.sort();
    assert_eq!(files, written, "there is a snippet too many");
    for tool in ["gcc", "clang", "z3", "context"] {
        assert!(
            files.contains(&folder().join(format!("{tool}.ninja"))),
            "{tool}"
        );
    }
}

fn ninja(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("ninja");
    let output = command.args(args).current_dir(dir).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}{said}");
    shown
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    found.is_ok_and(|output| output.status.success())
}

/// A folder with all snippets included, commands run here, and these lines below.
fn project(lines: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for tool in ["gcc", "clang", "z3", "context"] {
        let rule = RuleSet::builtin().rule(tool).unwrap();
        let snippet = snippet(rule, &Options::default()).unwrap().unwrap();
        let name = format!("{tool}.ninja");
        fs::write(dir.path().join(&name), snippet).unwrap();
        text += &format!("include {name}\n");
    }
    let text = format!("{text}cpods =\n{lines}");
    fs::write(dir.path().join("build.ninja"), text).unwrap();
    dir
}

#[test]
fn commands_say_what_is_meant() {
    let dir = project(
        "cpods = cpods-cc\ncflags = -O2\n\
         build a.o: gcc_cc a.c\n\
         build b.o: gcc_cc b.c\n  gcc_cross = aarch64-linux-gnu-\n  gcc_suffix = -12\n\
         build c.o: clang_cxx c.cc\n  clang_cross = aarch64-linux-gnu-\n\
         build lib.a: gcc_ar a.o\n\
         build prog: gcc_link a.o lib.a\n  libs = -lm\n\
         build x.out: z3_solve x.smt2\n  z3_flags = -T:5\n\
         build d.pdf: context_pdf d.tex\n",
    );
    if !has("ninja") {
        return;
    }
    let commands = |target: &str| ninja(dir.path(), &["-t", "commands", "-s", target]);
    let squeezed = |target: &str| {
        let command = commands(target);
        command.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (target, command) in [
        ("a.o", "cpods-cc gcc -O2 -MD -MF a.o.d -c a.c -o a.o"),
        (
            "b.o",
            "cpods-cc aarch64-linux-gnu-gcc-12 -O2 -MD -MF b.o.d -c b.c -o b.o",
        ),
        (
            "c.o",
            "cpods-cc aarch64-linux-gnu-clang++ -MD -MF c.o.d -c c.cc -o c.o",
        ),
        (
            "lib.a",
            "rm -f lib.a && cpods-cc gcc-ar rcsD lib.a @lib.a.rsp",
        ),
        ("prog", "cpods-cc gcc -o prog @prog.rsp -lm"),
        (
            "x.out",
            "cpods-cc z3 -smt2 -T:5 x.smt2 > x.out.tmp && mv -f x.out.tmp x.out || \
             (cat x.out.tmp; rm -f x.out x.out.tmp; false)",
        ),
        (
            "d.pdf",
            "rm -f d.pdf && cpods-cc context --batchmode \
             --errors='missing files,missing modules,missing figures' d.tex && test -f d.pdf || (rm -f d.pdf; false)",
        ),
    ] {
        assert_eq!(squeezed(target), command, "{target}");
    }
}

#[test]
fn a_build_with_them_works() {
    let dir = project(
        "cppflags = -Iinc$ lude\n\
         build o$ 1.o: gcc_cc o$ 1.c\n\
         build two.o: gcc_cxx two.cc\n\
         build lib.a: gcc_ar o$ 1.o\n\
         build it's$ a$ program: gcc_link_cxx two.o lib.a\n",
    );
    if !(has("ninja") && has("gcc") && has("g++")) {
        return;
    }
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    fs::create_dir(dir.path().join("inc lude")).unwrap();
    // Spaces in -I go through the shell, which is the user's business.
    let ninja_file = fs::read_to_string(dir.path().join("build.ninja")).unwrap();
    write(
        "build.ninja",
        &ninja_file.replace("-Iinc$ lude", "'-Iinc lude'"),
    );
    write("inc lude/one.h", "extern \"C\" int one(void);\n");
    write("o 1.c", "int one(void) { return 1; }\n");
    write(
        "two.cc",
        "#include <one.h>\nint main() { return one() - 1; }\n",
    );
    ninja(dir.path(), &[]);
    let program = dir.path().join("it's a program");
    assert!(Command::new(&program).status().unwrap().success());
    assert!(ninja(dir.path(), &["-n"]).contains("no work to do"));
    write("inc lude/one.h", "extern \"C\" int one(void); // changed\n");
    let again = ninja(dir.path(), &["-n"]);
    assert!(again.contains("CXX two.o"), "the header is known: {again}");
    assert!(!again.contains("CC o 1.o"), "{again}");
}

#[test]
fn a_proof_must_be_one() {
    let dir = project(
        "build good.out: z3_prove good.smt2\n\
         build bad.out: z3_prove bad.smt2\n\
         build none.out: z3_prove none.smt2\n",
    );
    if !(has("ninja") && has("z3")) {
        return;
    }
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("good.smt2", "(assert false)\n(check-sat)\n");
    write("bad.smt2", "(assert true)\n(check-sat)\n");
    write("none.smt2", "(assert false)\n");
    ninja(dir.path(), &["good.out"]);
    assert!(dir.path().join("good.out").exists());
    for target in ["bad.out", "none.out"] {
        let output = Command::new("ninja").arg(target).current_dir(&dir).output();
        assert!(!output.unwrap().status.success(), "{target}");
        assert!(!dir.path().join(target).exists(), "{target}");
    }
}

#[test]
fn the_depth_is_the_users() {
    let rule = RuleSet::builtin().rule("gcc").unwrap();
    let text = snippet(rule, &Options { local_depth: 7 }).unwrap().unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("pool gcc_local\n  depth = 7\ngcc_pool = gcc_local\n"),
        "{text}"
    );
    let without = RuleSet::builtin().rule("exec").unwrap();
    assert_eq!(snippet(without, &Options::default()), Ok(None));
}
