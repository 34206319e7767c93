//! Documents as tables of their files.

use super::*;
use crate::r#gen::literate::steps::{Action, Kind};

struct Table<'a>(&'a [(&'a str, &'a str)]);

impl Files for Table<'_> {
    fn read(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|it| it.0 == name);
        found.map(|it| it.1.to_owned())
    }

    fn exists(&self, name: &str) -> bool {
        self.0.iter().any(|it| it.0 == name)
    }
}

fn of(files: &[(&str, &str)]) -> Scan {
    let main = files[0].0;
    scan(&Table(files), main, main.trim_end_matches(".tex"))
}

fn sources(scan: &Scan) -> Vec<&str> {
    scan.sources.iter().map(|it| &**it).collect()
}

fn found(scan: &Scan) -> Vec<&str> {
    let found = scan.sought.iter().filter_map(|it| it.found.as_deref());
    found.collect()
}

#[test]
fn a_product_reads_what_it_consists_of() {
    let scan = of(&[
        (
            "prd.tex",
            "\\startproduct prd\n\\project prj\n\\environment[env]\n\\component {sub/a}\n\
             \\component b % \\component c\n\\stopproduct\n\\component c\n",
        ),
        (
            "prj.tex",
            "\\startproject prj \\environment env \\environment more \\product other \\stopproject",
        ),
        (
            "env.tex",
            "\\startenvironment env \\component c\\usemodule[local,t-b]\\stopenvironment",
        ),
        ("more.mkiv", "\\usepath[lib]"),
        (
            "t-local.mkiv",
            "\\registerctxluafile{t-local}{} \\stopmodule \\input c",
        ),
        ("t-local.lua", "\\input c"),
        (
            "sub/a.tex",
            "\\startcomponent a \\product prd \\project prj \\input sub/in.txt \\stopcomponent",
        ),
        ("sub/in.txt", "\\ReadFile{c} \\input d"),
        ("lib/d.tex", ""),
        (
            "b.tex",
            "\\startcomponent b \\starttyping \\input c \\stoptyping \\component sub/a",
        ),
        ("c.tex", ""),
        ("other.tex", "\\component c"),
    ]);
    assert_eq!(scan.problems, [""; 0]);
    let wanted = [
        "b.tex",
        "c.tex",
        "env.tex",
        "lib/d.tex",
        "more.mkiv",
        "prd.tex",
        "prj.tex",
        "sub/a.tex",
        "sub/in.txt",
        "t-local.mkiv",
    ];
    // `c` is read by \ReadFile alone.
    assert_eq!(sources(&scan), wanted);
    let missing: Vec<_> = scan.sought.iter().filter(|it| it.found.is_none()).collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((&*missing[0].name, &*missing[0].at), ("t-b", "env.tex:1"));
    assert!(found(&scan).contains(&"t-local.lua"));
}

#[test]
fn levels_are_those_of_context() {
    for (level, named, is_read) in [
        ("text", "component", true),
        ("text", "product", true),
        ("product", "component", true),
        ("product", "environment", true),
        ("component", "component", true),
        ("component", "product", false),
        ("component", "project", true),
        ("project", "product", false),
        ("project", "component", false),
        ("project", "environment", true),
        ("environment", "component", false),
        ("environment", "environment", true),
    ] {
        let main = format!("\\start{level} x \\{named} y ");
        let scan = of(&[("x.tex", &main), ("y.tex", "")]);
        assert_eq!(scan.sources.contains("y.tex"), is_read, "{main}");
    }
}

#[test]
fn figures_are_looked_for_where_the_document_says() {
    let scan = of(&[
        (
            "a.tex",
            "\\setupexternalfigures[location={local,global},directory={img,../pics}]\n\
             \\useexternalfigure[logo][the logo][width=1cm]\n\
             \\externalfigure[logo]\\externalfigure[cow.png][width=3cm]\\externalfigure[none]\n\
             \\typefile[C][x=y]{code.c}\\typefile{code.h}\\externalfigure[\\name]",
        ),
        ("../pics/the logo.pdf", ""),
        ("img/cow.png", ""),
        ("code.c", "\\input a"),
        ("../code.h", ""),
    ]);
    let wanted = ["../pics/the logo.pdf", "img/cow.png", "code.c", "../code.h"];
    assert_eq!(found(&scan), wanted);
    assert_eq!(sources(&scan), ["a.tex"]);
    let missing = scan.sought.iter().filter(|it| it.found.is_none());
    let missing: Vec<_> = missing.map(|it| (&*it.name, &*it.at)).collect();
    assert_eq!(missing, [("none", "a.tex:3")]);
}

#[test]
fn the_end_is_where_context_stops() {
    let scan = of(&[
        (
            "a.tex",
            "\\input b \\starttext \\input c \\stoptext \\input d",
        ),
        ("b.tex", "\\endinput \\input d"),
        ("c.tex", ""),
        ("d.tex", ""),
    ]);
    assert_eq!(sources(&scan), ["a.tex", "b.tex", "c.tex"]);
}

#[test]
fn a_file_that_reads_itself_is_told() {
    let scan = of(&[("a.tex", "\\input b "), ("b.tex", "\\input a ")]);
    assert_eq!(scan.problems.len(), 1);
    assert!(scan.problems[0].ends_with("is read from within itself"));
    assert_eq!(of(&[("a.tex", "\\component b")]).problems.len(), 0);
    let none = super::scan(&Table(&[]), "a.tex", "a");
    assert_eq!(none.problems, ["cannot find `a.tex`"]);
}

#[test]
fn chunks_of_a_file_are_one_file() {
    let scan = of(&[
        (
            "doc.tex",
            "\\startCCode{src/./z.c}[line=yes]\n\\component x %\n\\stopCCodes\n\\stopCCode\n\
             \\startCCode\n{ not a name }\n\\stopCCode\n\\input part\n\\startCHeader\n\\stopCHeader\n\
             \\startSmtCode\n\\stopSmtCode\\startCode{b.txt}\n\\stopCode\\startCode\n\\stopCode",
        ),
        (
            "part.tex",
            "\\startCppCode{a b.cpp}\n\\stopCppCode\\startCCode{src/z.c}\n\\stopCCode",
        ),
    ]);
    let code = scan.lists.code.iter();
    let code: Vec<_> = code
        .map(|it| (&*it.file, &*it.kind, it.from.join(" ")))
        .collect();
    let of = |file, kind, from: &str| (file, kind, from.to_owned());
    assert_eq!(
        code,
        [
            of("a b.cpp", "Cpp", "part.tex"),
            of("b.txt", "Code", "doc.tex"),
            of("doc.h", "CHeader", "doc.tex"),
            of("doc.smt2", "Smt", "doc.tex"),
            of("src/z.c", "C", "doc.tex part.tex"),
        ]
    );
    // The unnamed one goes on with the one before it.
    assert_eq!(scan.problems, [""; 0]);
}

#[test]
fn descriptions_are_steps() {
    let scan = of(&[(
        "doc.tex",
        "\\startDescription{joy}{compile}\n  \\creates{object}{build/joy.o}\n\
         % \\creates{object}{no.o}\n  \\requires{source}{./src/joy.c}\n\
         \\uses{clang}\\flags{-O2}\n\\flags{-g\n -DX=1}\n\\stopDescription\n\
         \\define[1]\\Step{\\startDescription{#1}{compile}\\creates{object}{#1.o}\\stopDescription}\n\
         \\startDescription{p}{prove}\\requires{source}{a.c}\\stopDescription",
    )]);
    assert_eq!(scan.problems, [""; 0]);
    let [joy, p] = &*scan.lists.steps else {
        panic!("{:?}", scan.lists.steps);
    };
    assert_eq!((&*joy.name, joy.action), ("joy", Action::Compile));
    assert_eq!(joy.tool.as_deref(), Some("clang"));
    assert_eq!(joy.flags, "-O2 -g -DX=1");
    assert_eq!(joy.creates[0].file, "build/joy.o");
    assert_eq!(
        (joy.requires[0].kind, &*joy.requires[0].file),
        (Kind::Source, "src/joy.c")
    );
    assert_eq!(joy.from, "doc.tex:1");
    assert_eq!(p.from, "doc.tex:10");
}

#[test]
fn wrong_descriptions_are_told_with_their_place() {
    for (text, wanted) in [
        (
            "\n\\startDescription{a}{fly}\\stopDescription",
            "doc.tex:2: there is no action `fly`; there are compile, archive, link, prove, analyse, \
             verify, solve, run, typeset",
        ),
        (
            "\\startDescription{a}{run}\n\\creates{thing}{x}\\stopDescription",
            "doc.tex:2: there is no type `thing`; there are source, header, object, library, \
             program, problem, script, answer, report, output, document, data, figure",
        ),
        (
            "\\startDescription{a}{run}\\creates{data}\\stopDescription",
            "doc.tex:1: a type and a file are wanted, each in braces",
        ),
        (
            "\\startDescription{a}{run}\\creates{data}{ }\\stopDescription",
            "doc.tex:1: a file without a name",
        ),
        (
            "\\startDescription{a}",
            "doc.tex:1: `\\startDescription` needs a name and an action",
        ),
        (
            "\\startCode\n\\stopCode",
            "doc.tex:1: `\\startCode` names no file",
        ),
    ] {
        assert_eq!(of(&[("doc.tex", text)]).problems, [wanted], "{text}");
    }
}
