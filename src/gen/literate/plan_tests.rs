//! Plans of small lists, and what is wrong with others.

use super::super::steps::{Code, Item, Kind};
use super::*;

/// `NAME ACTION [TOOL] CREATES... < REQUIRES...`, each file as `type=name`.
fn step(text: &str) -> Step {
    let mut words = text.split(' ');
    let name = words.next().unwrap().to_owned();
    let action = Action::of(words.next().unwrap()).unwrap();
    let mut step = Step {
        name,
        action,
        tool: None,
        flags: String::new(),
        creates: Vec::new(),
        requires: Vec::new(),
        from: "d.tex:1".to_owned(),
    };
    let mut is_behind = false;
    for word in words {
        match word.split_once('=') {
            None if word == "<" => is_behind = true,
            None => step.tool = Some(word.to_owned()),
            Some((kind, file)) => {
                let kind = Kind::of(kind).unwrap();
                let file = file.replace('~', " ");
                let items = if is_behind {
                    &mut step.requires
                } else {
                    &mut step.creates
                };
                items.push(Item { kind, file });
            }
        }
    }
    step
}

pub(in super::super) fn lists(code: &[&str], steps: &[&str]) -> Lists {
    let code = code.iter().map(|file| Code {
        file: (*file).to_owned(),
        ..Code::default()
    });
    Lists {
        code: code.collect(),
        steps: steps.iter().map(|it| step(it)).collect(),
    }
}

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(ToString::to_string).collect()
}

fn planned<'a>(lists: &'a Lists, known: &Known) -> Result<Plan<'a>, Vec<String>> {
    plan(lists, &["d.pdf".to_owned()], known)
}

#[test]
fn requirements_go_where_they_belong() {
    let code = ["a.c", "a.h"];
    for (text, inputs, implicit, order_only) in [
        (
            "s compile object=a.o < header=a.h source=a.c data=d",
            &["a.c"][..],
            &["d"][..],
            &["a.h"][..],
        ),
        (
            "s archive library=l.a < object=x.o object=a.o",
            &["x.o", "a.o"],
            &[],
            &[],
        ),
        (
            "s link program=p < object=x.o library=l.a data=d",
            &["x.o", "l.a"],
            &["d"],
            &[],
        ),
        ("s prove < source=a.c header=a.h", &["a.c"], &[], &["a.h"]),
        ("s prove < source=a.c source=b.c", &["a.c", "b.c"], &[], &[]),
        (
            "s verify report=r < source=a.c header=a.h",
            &["a.c"],
            &[],
            &["a.h"],
        ),
        (
            "s solve answer=x < problem=p.smt2 header=a.h",
            &["p.smt2"],
            &["a.h"],
            &[],
        ),
        (
            "s solve answer=x < problem=p.smt2 data=d",
            &["p.smt2"],
            &["d"],
            &[],
        ),
        (
            "s run output=o < data=d program=p program=q",
            &["d", "q"],
            &["p"],
            &[],
        ),
        (
            "s run bin/joylol output=o < data=d script=s program=p",
            &["s"],
            &["bin/joylol", "d", "p"],
            &[],
        ),
        (
            "s run python3 output=o < script=s data=d program=p",
            &["s", "d"],
            &["p"],
            &[],
        ),
        (
            "s typeset document=e.pdf < document=e.tex document=f.tex data=d",
            &["e.tex"],
            &["d", "f.tex"],
            &[],
        ),
    ] {
        let lists = lists(&code, &[text]);
        let there = set(&[
            "b.c",
            "d",
            "x.o",
            "a.o",
            "l.a",
            "p.smt2",
            "p",
            "q",
            "s",
            "e.tex",
            "f.tex",
            "bin/joylol",
        ]);
        let known = Known {
            there,
            ..Known::default()
        };
        let plan = planned(&lists, &known).unwrap();
        let edge = &plan.edges[0];
        assert_eq!(edge.inputs, inputs, "{text}");
        assert_eq!(edge.implicit, set(implicit), "{text}");
        assert_eq!(edge.order_only, set(order_only), "{text}");
        assert_eq!(edge.found, set(&[]), "{text}");
    }
}

#[test]
fn checks_are_validations_of_what_they_check() {
    let lists = lists(
        &["a.c", "b.c"],
        &[
            "a compile object=a.o < source=a.c",
            "x compile object=x.o < source=a.c",
            "p prove < source=a.c source=b.c",
            "e analyse report=e.txt < source=b.c",
            "v verify < source=a.c",
        ],
    );
    let mut plan = planned(&lists, &Known::default()).unwrap();
    for edge in &plan.edges[..2] {
        assert_eq!(edge.validations, set(&["p.proved", "v.verified"]));
    }
    assert_eq!(plan.unattached, set(&["e.txt"]));
    assert_eq!(plan.edges[3].outputs, ["e.txt"]);
    assert!(!plan.has_outside);

    // Those of one program are left out; a step that makes something never is.
    let left_out = plan.leave_out(|edge| matches!(edge.step.name.as_str(), "v" | "e" | "a"));
    assert_eq!(left_out, ["e", "v"]);
    assert_eq!(plan.edges[0].validations, set(&["p.proved"]));
    assert!(plan.unattached.is_empty());
    assert_eq!(plan.edges.len(), 5);
}

#[test]
fn what_only_a_run_makes_is_found_late() {
    let lists = lists(&[], &["s compile object=s.o < source=s.c"]);
    for (written, there, found) in [
        (None, &["s.c"][..], Some(&[][..])),
        (None, &[], Some(&["s.c"])),
        (Some(set(&["s.c"])), &["s.c"], Some(&["s.c"])),
        (Some(set(&["s.c"])), &[], Some(&["s.c"])),
        (Some(set(&[])), &["s.c"], Some(&[])),
        (Some(set(&[])), &[], None),
    ] {
        let there = set(there);
        let known = Known {
            there,
            written: written.clone(),
            ..Known::default()
        };
        let plan = planned(&lists, &known);
        match found {
            Some(found) => {
                let plan = plan.unwrap();
                assert_eq!(plan.edges[0].found, set(found), "{written:?}");
                assert_eq!(plan.edges[0].inputs, ["s.c"]);
                assert!(plan.has_outside);
            }
            None => assert_eq!(
                plan.unwrap_err(),
                ["d.tex:1: step `s` requires `s.c`, which is not there, and nothing makes it"]
            ),
        }
    }
}

#[test]
fn what_the_document_shows_is_made_before_it() {
    let lists = lists(&[], &["s run plot figure=p.pdf output=p.txt < data=d"]);
    let there = set(&["d"]);
    let known = Known {
        there,
        reads: set(&["p.pdf", "a.tex"]),
        ..Known::default()
    };
    assert_eq!(planned(&lists, &known).unwrap().shown, ["p.pdf"]);
}

#[test]
fn what_another_document_shows_is_made_before_it() {
    let lists = lists(
        &[],
        &[
            "a run plot output=a.txt",
            "b typeset document=b.pdf < document=b.tex",
        ],
    );
    let known = Known {
        there: set(&["b.tex"]),
        shown: [("b.tex".to_owned(), set(&["a.txt"]))].into(),
        ..Known::default()
    };
    let plan = planned(&lists, &known).unwrap();
    assert_eq!(plan.edges[1].implicit, set(&["a.txt"]));
    assert_eq!(plan.shown, [""; 0]);
}

#[test]
fn what_is_wrong_is_told() {
    for (steps, reads, wanted) in [
        (
            &["a run x output=o", "a run x output=p"][..],
            "",
            "d.tex:1: step `a` has the name of one in d.tex:1",
        ),
        (
            &["a run x output=o", "b run x output=o"],
            "",
            "d.tex:1: step `b` creates `o`, as does step `a`",
        ),
        (
            &["a run x output=o data=o"],
            "",
            "d.tex:1: step `a` creates `o`, as does itself",
        ),
        (
            &["a run x output=a.c"],
            "",
            "d.tex:1: step `a` creates `a.c`, as does the document itself",
        ),
        (
            &["a run x document=d.pdf"],
            "",
            "d.tex:1: step `a` creates `d.pdf`, as does the document itself",
        ),
        (&["a run x"], "", "d.tex:1: step `a` creates nothing"),
        (
            &["a run output=o < data=a.c"],
            "",
            "d.tex:1: step `a` requires no program, and uses no tool",
        ),
        (
            &["a link program=o"],
            "",
            "d.tex:1: step `a` requires nothing that it can read",
        ),
        (
            &["a compile object=o < source=a.c source=a.c"],
            "",
            "d.tex:1: step `a` requires more than one source; each has a step of its own",
        ),
        (
            &["a typeset document=x/a.pdf < document=a.c"],
            "",
            "d.tex:1: step `a` creates a document in another folder, which ConTeXt does not",
        ),
        (&["a run '' output=o"], "", ""),
        (
            &["a run 'x output=o"],
            "",
            "d.tex:1: step `a` says `'x`, which is no line of the shell",
        ),
        (
            &["a run x output=a < data=b", "b run x output=b < data=a"],
            "",
            "each of these waits for the next: step `a`, step `b`",
        ),
        (
            &["a run x output=a < data=a.c"],
            "a",
            "each of these waits for the next: step `a`, the document; what a document shows of its \
             own code's results belongs into another document",
        ),
    ] {
        let lists = lists(&["a.c"], steps);
        let known = Known {
            reads: set(&[reads]),
            ..Known::default()
        };
        let problems = planned(&lists, &known).err().unwrap_or_default();
        assert_eq!(problems.join("\n"), wanted, "{steps:?}");
    }
}
