//! Where the wrapper is put in, by tables; and golden files of what CMake and Meson write.
//!
//! `CPODS_BLESS=1 cargo test` writes the golden files anew.

use super::*;
use crate::r#gen::ninja_eval::load;
use crate::r#gen::patch;
use std::fs;

fn wrapped(text: &str, again: Option<&str>) -> (String, Wrapping) {
    let mut one = |_: &Path| Ok(text.as_bytes().to_vec());
    let manifest = load(Path::new("build.ninja"), &mut one).unwrap();
    let options = Options {
        local_depth: 3,
        again: again.map(ToOwned::to_owned),
    };
    let set = RuleSet::builtin();
    let done = wrap(&manifest, set, &options, Path::new("/w/b"), &|_| true).unwrap();
    let changed = patch::apply(text.as_bytes(), &done.insertions[0]);
    let back = patch::strip(&changed).unwrap();
    assert_eq!(back.as_deref().unwrap_or(&changed), text.as_bytes());
    (String::from_utf8(changed).unwrap(), done)
}

/// Only the lines that are new.
fn new_lines(text: &str) -> String {
    let (changed, _) = wrapped(text, None);
    let old: Vec<_> = text.lines().collect();
    let new = changed
        .lines()
        .filter(|line| !old.contains(line) && !line.starts_with('#'));
    new.map(str::trim).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_wrapper_stands_before_the_program() {
    for (text, lines) in [
        (
            "rule c\n  command = /usr/bin/gcc $F -c $in -o $out\nbuild a.o: c a.c\n",
            "command = cpods-cc /usr/bin/gcc $F -c $in -o $out",
        ),
        (
            "rule c\n  command = : && cd x && A=1 gcc -c a.c -o $out && :\nbuild a.o: c a.c\n",
            "command = : && cd x && A=1 cpods-cc gcc -c a.c -o $out && :",
        ),
        (
            "rule c\n  command = $COMMAND\nbuild a.o: c\n  COMMAND = cd x && gcc -c a.c -o a.o\n\
             build b: c\n  COMMAND = cmake -E touch b\n",
            "COMMAND = cd x && cpods-cc gcc -c a.c -o a.o",
        ),
        (
            "cc = gcc\nrule c\n  command = $cc -c $in -o $out\nbuild a.o: c a.c\n",
            "command = cpods-cc $cc -c $in -o $out",
        ),
        (
            "rule c\n  command = true\nbuild a.o: c a.c\n  command = gcc -c a.c -o a.o\n",
            "command = cpods-cc gcc -c a.c -o a.o",
        ),
        (
            // One use is no program: the other is not changed there, nor anywhere else.
            "cc = gcc -c\nrule c\n  command = $x$cc a.c -o $out\nbuild a.o: c a.c\n\
             build b: c a.c\n  x = echo$ \n",
            "",
        ),
        (
            "rule p\n  command = z3 -smt2 $in > $out.tmp && mv $out.tmp $out\nbuild a: p a.smt2\n",
            "command = cpods-cc z3 -smt2 $in > $out.tmp && mv $out.tmp $out",
        ),
        (
            "rule c\n  command = gcc -c $$(flags) $in\nrule d\n  command = gcc $$F -c a.c\n\
             build a.o: c a.c\nbuild b.o: d\n",
            "command = cpods-cc gcc $$F -c a.c",
        ),
        (
            "rule c\n  command = gcc @$out.rsp -o $out\n  rspfile = $out.rsp\n  rspfile_content = -c $in\n\
             build a.o: c a.c\n",
            "command = cpods-cc gcc @$out.rsp -o $out",
        ),
    ] {
        assert_eq!(new_lines(text), lines, "{text}");
    }
}

#[test]
fn nothing_is_wrapped_twice_or_without_need() {
    for (command, why) in [
        ("cpods-cc gcc -c $in", "already run through `cpods-cc`"),
        ("ccache gcc -c $in", "already run through `ccache`"),
        ("/usr/bin/distcc gcc -c $in", "already run through `distcc`"),
        ("cat $in | gcc -c -xc -", "no rule for `cat`"),
        ("gcc -c -xc - < $in", "reads standard input"),
        ("perl x.pl", "no rule for `perl`"),
        ("$$CC -c $in", "the shell decides which program it runs"),
        (
            "for x in a; do gcc -c $$x; done",
            "its shell syntax is not understood",
        ),
    ] {
        let text = format!("rule c\n  command = {command}\nbuild a.o: c a.c\n");
        let (changed, done) = wrapped(&text, None);
        assert_eq!(changed, text);
        let staying: Vec<_> = done.staying.keys().collect();
        assert_eq!(staying, [why], "{command}");
    }
}

const LINKS: &str = "rule l\n  command = gcc $in -o $out\nrule m\n  command = gcc $in -o $out\n  \
                     pool = console\nrule any\n  command = $c\nbuild a: l x.o\nbuild b: l x.o\n\
                     build c: m x.o\nbuild d: any\n  c = gcc y.o -o d\nbuild e: any\n  c = gcc -c e.c\n";

#[test]
fn links_get_a_pool() {
    let (changed, done) = wrapped(LINKS, None);
    let expected = LINKS
        .replace(
            "rule l\n",
            "pool cpods_local\n  depth = 3\nrule l\n  pool = cpods_local\n",
        )
        .replace("build d: any\n", "build d: any\n  pool = cpods_local\n")
        .replace("c = gcc -c", "c = cpods-cc gcc -c");
    assert!(changed.starts_with(&expected), "{changed}");
    assert_eq!((done.pooled, done.routed["any"]), (3, 1));
    assert_eq!(done.staying["links"]["l"], 2);
    let own = format!("pool cpods_local\n  depth = 1\n{LINKS}");
    let (changed, _) = wrapped(&own, None);
    assert_eq!(changed.matches("pool cpods_local").count(), 1);
    assert_eq!(changed.matches("pool = cpods_local").count(), 2);
}

#[test]
fn a_pool_changes_no_other_value() {
    // Without a line below it the edge takes `command` from the file, not from its rule.
    let text = "command = gcc x.o -o a\nrule r\n  command = gcc -c a.c\nbuild a: r\n\
                build b: r\n  x = 1\n";
    let (changed, done) = wrapped(text, None);
    assert!(!changed.contains("pool"), "{changed}");
    assert_eq!((done.pooled, done.routed["r"]), (0, 1));
}

#[test]
fn the_generator_wraps_again() {
    let text = "rule g\n  command = cmake .\n  generator = 1\nrule h\n  command = cmake .\n  \
                generator = 1\nbuild build.ninja: g\nbuild other: h\n";
    let (changed, _) = wrapped(text, Some("cpods-gen wrap 'a $b'"));
    let expected = text.replacen("cmake .", "cmake . && cpods-gen wrap 'a $$b'", 1);
    assert!(changed.starts_with(&expected), "{changed}");
    assert_eq!(wrapped(text, None).0, text);
}

#[test]
fn golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/gen");
    for name in ["cmake", "meson"] {
        let text = fs::read_to_string(folder.join(format!("{name}.ninja"))).unwrap();
        let (changed, _) = wrapped(&text, None);
        let golden = folder.join(format!("{name}.wrapped.ninja"));
        if std::env::var_os("CPODS_BLESS").is_some() {
            fs::write(&golden, &changed).unwrap();
        }
        let same = fs::read_to_string(&golden).is_ok_and(|there| there == changed);
        let shown = golden.display();
        assert!(same, "`{shown}` is old; run `CPODS_BLESS=1 cargo test`");
        // What is wrapped is as it was once more wrapped.
        let again = patch::strip(changed.as_bytes()).unwrap().unwrap();
        assert_eq!(again, text.as_bytes());
    }
}
