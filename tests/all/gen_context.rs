//! Graphs of ConTeXt documents, built by real Ninja with real ConTeXt, gcc, Frama-C and Z3: which
//! edges run after which change.

use crate::project::ninjas;
use crate::support::{Farm, bin, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The system's, and one that this user can write.
const CACHE: &str = concat!(
    "/var/lib/texmf;",
    env!("CARGO_TARGET_TMPDIR"),
    "/texmf-cache"
);

/// A product with code in two components, one of which is in a folder.
const BOOK: &[(&str, &str)] = &[
    (
        "prd-book.tex",
        "\\startproduct prd-book\n\\project prj-all\n\\environment env-book\n\\component c-one\n\
         \\component sub/c-two\n\\component c-build\n\\stopproduct\n",
    ),
    (
        "prj-all.tex",
        "\\startproject prj-all\n\\product prd-book\n\\product prd-none\n\\stopproject\n",
    ),
    (
        "env-book.tex",
        "\\startenvironment env-book\n\\usemodule[cpods-code]\n\\usemodule[local]\n\
         \\setupexternalfigures[directory={img}]\n\\stopenvironment\n",
    ),
    (
        "t-local.mkiv",
        "\\startmodule[local]\n\\define\\Hello{Hello}\n\\stopmodule\n",
    ),
    (
        "img/box.mps",
        "%!PS\n%%BoundingBox: 0 0 9 9\nnewpath 0 0 moveto 9 9 lineto stroke\n%%EOF\n",
    ),
    (
        "c-one.tex",
        "\\startcomponent c-one\n\\Hello\\ one. \\externalfigure[box.mps]\n\\startCCode{src/a main.c}\n\
         #include \"lib.h\"\n#include <stdio.h>\n\\stopCCode\n\\stopcomponent\n",
    ),
    (
        "sub/c-two.tex",
        "\\startcomponent c-two\n\\startCCode{src/a main.c}\n\
         int main(void) { printf(\"%u\\n\", lib(41)); return 0; }\n\\stopCCode\n\
         \\startCHeader{src/lib.h}\nunsigned lib(unsigned x);\n\\stopCHeader\n\
         \\startCCode{src/lib.c}\n#include \"lib.h\"\nunsigned lib(unsigned x) { return x + 1; }\n\
         \\stopCCode\n\\startSmtCode{p.smt2}\n(declare-const x Int)\n(assert (< x x))\n(check-sat)\n\
         \\stopSmtCode\n\\stopcomponent\n",
    ),
    (
        "c-build.tex",
        "\\startcomponent c-build\n\
         \\startDescription{main}{compile} \\creates{object}{build/a main.o} \
         \\requires{source}{src/a main.c} \\flags{-O1} \\stopDescription\n\
         \\startDescription{lib}{compile} \\creates{object}{build/lib.o} \
         \\requires{source}{src/lib.c} \\requires{header}{src/lib.h} \\stopDescription\n\
         \\startDescription{values}{analyse} \\requires{source}{src/lib.c} \
         \\flags{-lib-entry -main lib} \\stopDescription\n\
         \\startDescription{archive}{archive} \\creates{library}{build/liball.a} \
         \\requires{object}{build/lib.o} \\stopDescription\n\
         \\startDescription{program}{link} \\creates{program}{program} \
         \\requires{object}{build/a main.o} \\requires{library}{build/liball.a} \\stopDescription\n\
         \\startDescription{test}{run} \\creates{output}{out/test.txt} \\requires{program}{program} \
         \\stopDescription\n\
         \\startDescription{problem}{solve} \\creates{answer}{out/p.txt} \
         \\requires{problem}{p.smt2} \\stopDescription\n\
         \\stopcomponent\n",
    ),
];

const TYPESET: &str = "CONTEXT prd-book.pdf";
const GRAPH: &str = "GRAPH build.ninja";
const MAIN: [&str; 3] = ["COMPILE build/a main.o", "LINK program", "RUN out/test.txt"];
const LIB: [&str; 3] = [
    "CHECK values.analysed",
    "COMPILE build/lib.o",
    "ARCHIVE build/liball.a",
];

/// A folder with a document and its graph.
struct Desk {
    dir: tempfile::TempDir,
    ninja: PathBuf,
}

impl Desk {
    fn new(ninja: &Path, files: &[(&str, &str)]) -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
            ninja: ninja.into(),
        };
        for (name, content) in files {
            desk.write(name, content);
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn change(&self, name: &str, from: &str, to: &str) {
        let before = self.read(name);
        assert!(before.contains(from), "{name}: {before}");
        self.write(name, &before.replace(from, to));
    }

    fn run(&self, program: &Path, args: &[&str]) -> Output {
        let bins = bin("cpods-cc").parent().unwrap().to_owned();
        let path = format!("{}:{}", bins.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir.path());
        command
            .env("PATH", path)
            .env("CPODS_DISABLE", "1")
            .env("NINJA_STATUS", "@ ")
            .env("TEXMFCACHE", CACHE);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// `cpods-gen context` for a document.
    fn generate(&self, args: &[&str]) -> Output {
        self.run(&bin("cpods-gen"), &[&["context"], args].concat())
    }

    fn must_generate(&self, args: &[&str]) {
        let output = self.generate(args);
        assert!(output.status.success(), "{}", text(&output));
    }

    fn ninja(&self, args: &[&str]) -> Output {
        self.run(&self.ninja, args)
    }

    /// Builds, and then there is nothing more to do; returns what ran, sorted.
    fn build(&self) -> Vec<String> {
        let output = self.ninja(&[]);
        assert!(output.status.success(), "{}", text(&output));
        let again = text(&self.ninja(&["-d", "explain"]));
        assert!(again.contains("no work to do"), "{again}");
        ran(&output)
    }
}

fn ran(output: &Output) -> Vec<String> {
    let said = text(output);
    let lines = said.lines().filter_map(|line| line.strip_prefix("@ "));
    let mut lines: Vec<_> = lines.map(|it| it.replace('\'', "")).collect();
    lines.sort();
    lines
}

fn sorted(all: &[&[&str]]) -> Vec<String> {
    let mut all: Vec<_> = all.concat().iter().map(ToString::to_string).collect();
    all.sort();
    all
}

#[test]
fn gen_context_runs_what_a_change_needs() {
    for ninja in ninjas() {
        let desk = Desk::new(&ninja, BOOK);
        desk.must_generate(&["prd-book.tex"]);
        let scanned = desk.read("build.ninja");
        let solved = ["SOLVE out/p.txt"];
        assert_eq!(
            desk.build(),
            sorted(&[&[TYPESET, GRAPH], &MAIN, &LIB, &solved])
        );
        assert_eq!(
            desk.read("build.ninja"),
            scanned,
            "ConTeXt reads something else in the text"
        );
        assert_eq!(desk.read("out/test.txt"), "42\n");
        assert_eq!(desk.read("out/p.txt"), "unsat\n");
        assert!(desk.read("values.analysed").contains("[eva:summary]"));
        desk.must_generate(&["prd-book.tex", "--check"]);

        // What is no code changes the document alone.
        for file in [
            "prd-book.tex",
            "c-one.tex",
            "sub/c-two.tex",
            "env-book.tex",
            "t-local.mkiv",
        ] {
            let before = desk.read(file);
            desk.write(file, &format!("{before}% more\n"));
            assert_eq!(desk.build(), sorted(&[&[TYPESET, GRAPH]]), "{file}");
        }
        desk.change("img/box.mps", "9 9 lineto", "8 8 lineto");
        assert_eq!(desk.build(), [TYPESET]);

        // What is code, what is made of it.
        desk.change("c-one.tex", "<stdio.h>\n", "<stdio.h>\n/* more */\n");
        assert_eq!(desk.build(), sorted(&[&[TYPESET, GRAPH], &MAIN]));
        desk.change("sub/c-two.tex", "x + 1", "x + 2");
        assert_eq!(desk.build(), sorted(&[&[TYPESET, GRAPH], &LIB, &MAIN[1..]]));
        assert_eq!(desk.read("out/test.txt"), "43\n");
        desk.change(
            "sub/c-two.tex",
            "(unsigned x);\n",
            "(unsigned x); /* more */\n",
        );
        assert_eq!(desk.build(), sorted(&[&[TYPESET, GRAPH], &LIB, &MAIN]));
        desk.change("sub/c-two.tex", "(< x x)", "(> x x)");
        assert_eq!(desk.build(), sorted(&[&[TYPESET, GRAPH], &solved]));
        desk.change("c-build.tex", "-O1", "-O2");
        assert_eq!(desk.build(), sorted(&[&[TYPESET, GRAPH], &MAIN]));

        // An output that is gone is made again, code too.
        fs::remove_file(desk.path("src/lib.c")).unwrap();
        let made = desk.build();
        assert!(made.contains(&TYPESET.to_owned()), "{made:?}");
        assert!(desk.path("src/lib.c").exists());
    }
}

#[test]
fn gen_context_follows_what_comes_and_goes() {
    for ninja in ninjas() {
        let desk = Desk::new(&ninja, BOOK);
        desk.must_generate(&["prd-book.tex"]);
        desk.build();
        // A component with a step is taken out, mention and all.
        desk.change(
            "prd-book.tex",
            "\\component c-build\n",
            "\\component c-new\n",
        );
        fs::remove_file(desk.path("c-build.tex")).unwrap();
        desk.write(
            "c-new.tex",
            "\\startcomponent c-new\n\\startDescription{one}{compile} \\creates{object}{one.o} \
             \\requires{source}{src/lib.c} \\stopDescription\n\
             \\define[1]\\Object{\\startDescription{#1}{compile} \\creates{object}{#1.o} \
             \\requires{source}{src/lib.c} \\stopDescription}\n\\Object{two}\n\\stopcomponent\n",
        );
        let new = ["COMPILE one.o", "COMPILE two.o"];
        assert_eq!(
            desk.build(),
            sorted(&[&[TYPESET, GRAPH], &new]),
            "not all in one build"
        );
        assert!(desk.path("program").exists());
        let dead = desk.ninja(&["-t", "cleandead"]);
        assert!(dead.status.success(), "{}", text(&dead));
        assert!(!desk.path("program").exists() && desk.path("two.o").exists());
        desk.must_generate(&["prd-book.tex", "--check"]);

        // An error of TeX leaves nothing that looks right, and goes away with its cause.
        desk.change("c-one.tex", "\\Hello", "\\Nonsense");
        let output = desk.ninja(&[]);
        assert!(!output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("tex error"), "{}", text(&output));
        assert!(!desk.path("prd-book.pdf").exists());
        assert!(!desk.path("prd-book.pdf.tmp").exists());
        desk.change("c-one.tex", "\\Nonsense", "\\Hello");
        assert_eq!(desk.build(), sorted(&[&[TYPESET, GRAPH]]));
    }
}

/// A document whose Lua code writes a source, and a second one that shows a result.
const LATE: &[(&str, &str)] = &[
    (
        "doc.tex",
        "\\usemodule[cpods-code]\n\\starttext\n\\startluacode\n\
         local f = io.open(\"gen/made.c\", \"w\") f:write(io.loaddata(\"made.txt\")) f:close()\n\
         \\stopluacode\n\
         \\startDescription{made}{compile} \\creates{object}{made.o} \\requires{source}{gen/made.c} \
         \\stopDescription\n\
         \\startDescription{hand}{compile} \\creates{object}{hand.o} \\requires{source}{hand.c} \
         \\stopDescription\n\
         \\startDescription{program}{link} \\creates{program}{program} \\requires{object}{made.o} \
         \\requires{object}{hand.o} \\stopDescription\n\
         \\startDescription{result}{run} \\creates{data}{result.tex} \\requires{program}{program} \
         \\stopDescription\n\
         \\startDescription{report}{typeset} \\creates{document}{shown.pdf} \
         \\requires{document}{report.tex} \\stopDescription\n\
         \\stoptext\n",
    ),
    ("made.txt", "int made(void) { return 1; }\n"),
    ("gen/README", ""),
    (
        "hand.c",
        "#include <stdio.h>\nint made(void);\nint main(void) { printf(\"%d\\n\", made()); return 0; }\n",
    ),
    ("report.tex", "\\starttext \\input result \\stoptext\n"),
];

#[test]
fn gen_context_learns_late_what_a_document_writes() {
    for ninja in ninjas() {
        let desk = Desk::new(&ninja, LATE);
        desk.must_generate(&["doc.tex"]);
        let head = ["CONTEXT doc.pdf", GRAPH];
        let late = [
            "FILES .cpods/doc.dd",
            "FILES .cpods/doc.made",
            "COMPILE made.o",
        ];
        let rest = ["LINK program", "RUN result.tex", "CONTEXT shown.pdf"];
        assert_eq!(
            desk.build(),
            sorted(&[&head, &late, &["COMPILE hand.o"], &rest])
        );
        assert_eq!(desk.read("result.tex"), "1\n");
        assert!(desk.path("shown.pdf").exists() && !desk.path("report.pdf").exists());
        desk.must_generate(&["doc.tex", "--check"]);

        desk.write("made.txt", "int made(void) { return 2; }\n");
        assert_eq!(desk.build(), sorted(&[&head, &late, &rest]));
        assert_eq!(desk.read("result.tex"), "2\n");
        desk.change("hand.c", "%d", "%d.");
        assert_eq!(desk.build(), sorted(&[&["COMPILE hand.o"], &rest]));
        desk.change("report.tex", "\\starttext", "\\starttext Result:");
        assert_eq!(desk.build(), sorted(&[&[GRAPH, "CONTEXT shown.pdf"]]));

        // What is gone is missed, and then written.
        fs::remove_file(desk.path("gen/made.c")).unwrap();
        let output = desk.ninja(&[]);
        assert!(!output.status.success());
        assert!(
            text(&output).contains("`gen/made.c` is gone"),
            "{}",
            text(&output)
        );
        let made = desk.build();
        assert!(made.contains(&head[0].to_owned()), "{made:?}");
    }
}

/// A document that shows what a step draws, in a folder, and a check of what is not compiled.
const SHOWS: &[(&str, &str)] = &[
    (
        "doc/a main.tex",
        "\\usemodule[cpods-code]\n\\starttext\n\\externalfigure[plot]\n\\input table\n\
         \\startDescription{plot}{run} \\uses{sh} \\creates{figure}{plot.mps} \
         \\creates{data}{table.tex} \\requires{script}{plot.sh} \\stopDescription\n\
         \\startDescription{values}{analyse} \\requires{source}{f.c} \
         \\requires{source}{g.c} \\flags{-lib-entry -main f} \\stopDescription\n\\stoptext\n",
    ),
    (
        "doc/plot.sh",
        "echo Table. > table.tex\nprintf '%s\\n' '%!PS' '%%BoundingBox: 0 0 9 9' \
         'newpath 0 0 moveto 9 9 lineto stroke' '%%EOF'\n",
    ),
    ("doc/f.c", "int f(void) { return 1; }\n"),
    ("doc/g.c", "#include \"g.h\"\n"),
    ("doc/g.h", ""),
];

#[test]
fn gen_context_makes_first_what_a_document_shows() {
    for ninja in ninjas() {
        let desk = Desk::new(&ninja, SHOWS);
        desk.must_generate(&["doc/a main.tex"]);
        let build = || {
            let output = desk.ninja(&["-C", "doc"]);
            assert!(output.status.success(), "{}", text(&output));
            let again = text(&desk.ninja(&["-C", "doc", "-d", "explain"]));
            assert!(again.contains("no work to do"), "{again}");
            ran(&output)
        };
        let typeset = ["CONTEXT a main.pdf", GRAPH];
        let plot = ["RUN plot.mps"];
        let check = ["CHECK values.analysed"];
        assert_eq!(build(), sorted(&[&typeset, &plot, &check]));
        desk.must_generate(&["doc/a main.tex", "--check", "-o", "doc/build.ninja"]);
        desk.change("doc/plot.sh", "Table", "Another table");
        // The lists are as before, and hence the graph.
        assert_eq!(build(), sorted(&[&typeset[..1], &plot]));
        desk.change("doc/f.c", "1", "2");
        assert_eq!(build(), check);
        desk.write("doc/g.h", "int g(void);\n");
        assert_eq!(build(), check);
        assert!(desk.read("doc/a main.log").contains("plot.mps"));
    }
}

#[test]
fn gen_context_tells_what_is_wrong() {
    let desk = Desk::new(Path::new("ninja"), BOOK);
    let wrong = |args: &[&str], code: i32, wanted: &str| {
        let output = desk.generate(args);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stderr), wanted);
    };
    wrong(
        &["none.tex"],
        125,
        "cpods-gen: error: cannot find `none.tex`\n",
    );
    wrong(
        &["prd-book.tex", "-o", "../x.ninja"],
        125,
        &format!(
            "cpods-gen: error: `{}` does not lie in the document's folder, where Ninja has to run\n",
            desk.dir.path().with_file_name("x.ninja").display()
        ),
    );
    desk.write("build.ninja", "# somebody's own\n");
    let output = desk.generate(&["prd-book.tex"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output).contains("was not written for `prd-book.tex`"));
    assert_eq!(desk.read("build.ninja"), "# somebody's own\n");
    fs::remove_file(desk.path("build.ninja")).unwrap();
    desk.change("c-one.tex", "box.mps", "nobox");
    desk.change("c-build.tex", "{solve}", "{guess}");
    fs::remove_file(desk.path("sub/c-two.tex")).unwrap();
    let output = desk.generate(&["prd-book.tex"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = "cpods-gen: error: c-build.tex:8: there is no action `guess`; there are ";
    assert!(said.contains(line), "{said}");
    assert!(!desk.path("build.ninja").exists() && !desk.path(".cpods").exists());

    for (name, content) in BOOK {
        desk.write(name, content);
    }
    // It may stand in a mode that is off.
    fs::remove_file(desk.path("sub/c-two.tex")).unwrap();
    let output = desk.generate(&["prd-book.tex", "-o", "build.ninja"]);
    assert!(output.status.success(), "{}", text(&output));
    let note = "cpods-gen: note: prd-book.tex:5: cannot find `sub/c-two`\n";
    assert!(text(&output).contains(note), "{}", text(&output));
    for (name, content) in BOOK {
        desk.write(name, content);
    }
    desk.change("c-one.tex", "box.mps", "nobox");
    let note = "cpods-gen: note: c-one.tex:2: cannot find figure `nobox`\n";
    wrong(&["prd-book.tex"], 0, note);
    let check = desk.generate(&["prd-book.tex", "--check"]);
    assert!(check.status.success(), "{}", text(&check));
    desk.change("c-build.tex", "-O1", "-O2");
    let check = desk.generate(&["prd-book.tex", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check));
    assert!(
        text(&check).contains("build.ninja` is out of date"),
        "{}",
        text(&check)
    );
}

#[test]
fn gen_context_builds_on_a_pod() {
    let farm = Farm::new();
    for (name, content) in BOOK {
        farm.write(name, content);
    }
    let run = |program: &Path, args: &[&str]| {
        let mut command = farm.command(program);
        let output = command
            .args(args)
            .env("CPODS_FALLBACK", "0")
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        text(&output)
    };
    run(&bin("cpods-gen"), &["context", "prd-book.tex"]);
    let before = farm.finished();
    run(Path::new("ninja"), &[]);
    // Archive and link stay.
    assert_eq!(farm.finished() - before, 6, "{:?}", farm.status());
    assert_eq!(farm.read("out/test.txt"), b"42\n");
    let said = run(Path::new("ninja"), &["-n", "-d", "explain"]);
    assert!(said.contains("no work to do"), "{said}");
    // What comes back of the same code is no reason to compile it again.
    let old = farm.read("c-one.tex");
    farm.write("c-one.tex", [&old, &b"% more\n"[..]].concat());
    run(Path::new("ninja"), &[]);
    assert_eq!(farm.finished() - before, 7);
    let said = run(Path::new("ninja"), &["-n", "-d", "explain"]);
    assert!(said.contains("no work to do"), "{said}");
}
