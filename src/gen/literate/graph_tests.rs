//! A golden graph with every action, and odd names through Ninja's reader and the shell's.
//!
//! `CPODS_BLESS=1 cargo test` writes the golden files anew.

use super::*;
use crate::r#gen::literate::late;
use crate::r#gen::literate::plan::tests::lists;
use crate::r#gen::literate::plan::{Known, plan};
use crate::r#gen::literate::steps::Lists;
use crate::r#gen::ninja_eval::{Manifest, load};
use crate::r#gen::ninja_value::flat;
use std::fs;
use std::path::Path;

fn options(main: &str) -> Options {
    Options {
        main: main.to_owned(),
        output: "build.ninja".to_owned(),
        modules: super::super::MODULES.to_owned(),
        flags: String::new(),
        local_depth: 2,
        without: Vec::new(),
    }
}

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(ToString::to_string).collect()
}

fn every_action() -> Lists {
    let mut lists = lists(
        &[
            "src/joy.c",
            "src/joy.h",
            "src/list.c",
            "src/p.smt2",
            "test.joy",
        ],
        &[
            "joy compile object=build/joy.o < source=src/joy.c header=src/joy.h",
            "list compile aarch64-linux-gnu-gcc object=build/list.o < source=src/list.c",
            "tables compile object=build/tables.o < source=gen/tables.cpp",
            "lib archive library=build/libjoy.a < object=build/joy.o object=build/list.o",
            "joylol link program=joylol < object=build/tables.o library=build/libjoy.a",
            "joy-proof prove < source=src/joy.c",
            "all-proof prove report=build/all.txt < source=src/joy.c source=src/list.c",
            "values analyse < source=src/main.c",
            "list-proof verify < source=src/list.c",
            "problem solve answer=build/p.txt < problem=src/p.smt2",
            "test run joylol output=build/test.txt < script=test.joy program=joylol data=gen/data",
            "self run output=build/self.txt < program=joylol data=plot.gp",
            "plot run gnuplot figure=plot.pdf output=plot.txt < data=plot.gp",
            "report typeset document=report.pdf < document=prd-report.tex data=build/test.txt",
        ],
    );
    lists.steps[0].flags = "-O2 -DX='a b'".to_owned();
    lists
}

fn known() -> Known {
    Known {
        there: set(&["src/main.c", "plot.gp", "prd-report.tex"]),
        written: Some(set(&[
            "gen/tables.cpp",
            "gen/data",
            "gen/more",
            "src/joy.c",
        ])),
        reads: set(&["prd-book.tex", "plot.pdf"]),
        ..Known::default()
    }
}

fn is_golden(name: &str, text: &[u8]) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/gen")
        .join(name);
    if std::env::var_os("CPODS_BLESS").is_some() {
        fs::write(&golden, text).unwrap();
    }
    let same = fs::read(&golden).is_ok_and(|there| there == text);
    assert!(same, "`{name}` is old; run `CPODS_BLESS=1 cargo test`");
}

#[test]
fn golden_graph() {
    let (lists, options, known) = (every_action(), options("prd-book.tex"), known());
    let plan = plan(&lists, &options.own(), &known).unwrap();
    is_golden("context.ninja", &write(&plan, &options).unwrap());
    let written = known.written.unwrap();
    is_golden(
        "context.dd",
        &late::dyndep(&plan, &options, &written).unwrap(),
    );
}

#[test]
fn options_are_kept_when_ninja_writes_the_graph_again() {
    let mut options = options("a b.tex");
    assert_eq!(options.arguments(), b"'a b.tex' -o build.ninja");
    options.main = "-a.tex".to_owned();
    options.flags = "--mode='x y'".to_owned();
    options.local_depth = 7;
    options.modules = "m".to_owned();
    let words = String::from_utf8(options.arguments()).unwrap();
    let words = shell_words::split(&words).unwrap();
    let wanted = [
        "./-a.tex",
        "-o",
        "build.ninja",
        "--local-depth=7",
        "--modules=m",
        "--flags=--mode='x y'",
    ];
    assert_eq!(words, wanted);
    let lists = Lists::default();
    let plan = plan(&lists, &options.own(), &Known::default()).unwrap();
    let manifest = manifest(&write(&plan, &options).unwrap());
    let command = words_of(&manifest, "build.ninja", "command");
    assert_eq!(command[2..], wanted);
}

fn manifest(text: &[u8]) -> Manifest {
    let mut one = |_: &Path| Ok(text.to_owned());
    load(Path::new("build.ninja"), &mut one).unwrap()
}

fn words_of(manifest: &Manifest, output: &str, key: &str) -> Vec<String> {
    let edge = manifest
        .edges
        .iter()
        .find(|it| it.outputs[0] == output.as_bytes());
    let value = manifest.of_edge(edge.unwrap(), key).unwrap();
    shell_words::split(&String::from_utf8(flat(&value)).unwrap()).unwrap()
}

/// What Ninja or the shell would take for something else.
const ODD: &str = "a b$x:'\"#&;|~é";

#[test]
fn odd_names_come_back() {
    let odd = |name: &str| name.replace('?', ODD);
    let mut lists = lists(
        &["?.c"],
        &[
            "? compile object=?.o < source=?.c header=?.h",
            "late compile object=?.late.o < source=?.late.c",
            "p prove report=?.txt < source=?.c",
            "r run output=?.out < program=? data=?.d",
            "j run ?/joylol output=?.lol < script=?.joy",
            "t typeset document=?.pdf < document=e.tex",
        ],
    );
    for step in &mut lists.steps {
        step.name = odd(&step.name);
        let tool = step.tool.take();
        step.tool = tool.map(|it| format!("'{}'", it.replace('?', "x y$")));
        for item in step.creates.iter_mut().chain(&mut step.requires) {
            item.file = odd(&item.file);
        }
    }
    lists.code[0].file = odd("?.c");
    let names = ["?.h", "?", "?.d", "?.joy", "e.tex", "?/joylol"].map(odd);
    let known = Known {
        there: names
            .iter()
            .cloned()
            .chain(["x y$/joylol".to_owned()])
            .collect(),
        written: Some([odd("?.late.c")].into()),
        ..Known::default()
    };
    let options = options("my doc$.tex");
    let plan = plan(&lists, &options.own(), &known).unwrap();
    let manifest = manifest(&write(&plan, &options).unwrap());
    let command = |output: &str| words_of(&manifest, &odd(output), "command");
    let compile = |output: &str, source: &str| {
        let (output, source) = (odd(output), odd(source));
        let words = [
            "cpods-cc",
            "gcc",
            "-MD",
            "-MF",
            &format!("{output}.d"),
            "-c",
            &source,
            "-o",
            &output,
        ];
        words.map(ToOwned::to_owned)
    };
    assert_eq!(command("?.o"), compile("?.o", "?.c"));
    assert_eq!(command("?.late.o"), compile("?.late.o", "?.late.c"));
    let cpp = command("?.txt")
        .into_iter()
        .find(|it| it.starts_with("-cpp-extra-args="));
    let cpp = shell_words::split(cpp.unwrap().trim_start_matches("-cpp-extra-args=")).unwrap();
    assert_eq!(cpp, ["-MD", "-MF", &odd("?.txt.d"), "-MQ", &odd("?.txt")]);
    assert_eq!(command("?.out")[1..3], [odd("./?"), odd("?.d")]);
    assert_eq!(
        command("?.lol")[1..],
        ["x y$/joylol", &odd("?.joy"), "-o", &odd("?.lol")]
    );
    let pdf = command("?.pdf");
    assert!(pdf.contains(&odd("--result=?.pdf")), "{pdf:?}");
    let main = words_of(&manifest, "my doc$.pdf", "command");
    assert_eq!(main[..3], ["rm", "-f", "my doc$.pdf"]);
    assert!(main.contains(&"my doc$.tex".to_owned()));

    // A dyndep file has no variables, and Ninja no other way to write a bar.
    let written = known.written.clone().unwrap();
    let error = late::dyndep(&plan, &options, &written).unwrap_err();
    assert!(error.to_string().contains("`|`"), "{error}");
}

#[test]
fn a_step_has_its_name_unless_a_file_has_it() {
    let lists = lists(
        &["x"],
        &[
            "o run tool output=o",
            "x run tool output=a",
            "all run tool output=b",
            "both run tool output=c output=d",
            "last run tool output=all",
        ],
    );
    let options = options("d.tex");
    let plan = plan(&lists, &options.own(), &Known::default()).unwrap();
    let text = String::from_utf8(write(&plan, &options).unwrap()).unwrap();
    let phony = text.lines().filter_map(|line| line.split_once(": phony "));
    let phony: Vec<_> = phony.collect();
    assert_eq!(phony, [("build both", "c d"), ("build last", "all")]);
    // A file of the document may have even this name.
    assert!(text.ends_with("\ndefault d.pdf o a b c d all\n"), "{text}");
}
