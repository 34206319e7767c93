//! The ConTeXt module for literate documents: code is extracted exactly, steps are listed, and
//! nothing is written after an error. With real ConTeXt, bare and on a pod.

use crate::support::{Farm, text};
use cpods::r#gen::context::install;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

/// The system's, and one that this user can write.
const CACHE: &str = concat!(
    "/var/lib/texmf;",
    env!("CARGO_TARGET_TMPDIR"),
    "/texmf-cache"
);

/// Everything that TeX gives a meaning to, or takes away: blank lines at both ends, blanks at the
/// ends of lines, tabs.
const ODD: &str = "\n\n/* \\startcomponent { 100% # ~ ^^M & $x_1$ é ü 漢 */\n\
    /*@ ensures \\result == 1 && \\true; */\nint one(void)   \n{\n\treturn '\\\\' == 92;\t \n\n\n}\n\
    \x20\x20 // \\stopCCod \\startC } ]]\n\n";

/// A folder with files, and the modules beside it.
struct Desk {
    dir: tempfile::TempDir,
    modules: tempfile::TempDir,
}

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
            modules: tempfile::tempdir().unwrap(),
        };
        install(desk.modules.path()).unwrap();
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

    fn context(&self, args: &[&str]) -> Output {
        Command::new("context")
            .arg("--batchmode")
            .arg(format!("--path={}", self.modules.path().display()))
            .args(args)
            .current_dir(self.dir.path())
            .env("TEXMFCACHE", CACHE)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn typeset(&self, args: &[&str]) {
        let ended = self.context(args);
        assert!(ended.status.success(), "{}", text(&ended));
    }

    /// The names of all files, sorted, but for ConTeXt's own.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(self.dir.path(), self.dir.path(), &mut found);
        found.retain(|name| !name.ends_with(".log") && !name.ends_with(".tuc"));
        found.sort();
        found
    }
}

fn list(top: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(top, &path, found);
        } else {
            found.push(path.strip_prefix(top).unwrap().display().to_string());
        }
    }
}

/// The time of a file, set back first, to see whether it is written again.
fn set_back(path: &Path) -> SystemTime {
    let then = SystemTime::now() - Duration::from_secs(3600);
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(then).unwrap();
    fs::metadata(path).unwrap().modified().unwrap()
}

fn chunk(kind: &str, rest: &str, content: &str) -> String {
    format!("Text.\n\\start{kind}{rest}\n{content}\\stop{kind}\nMore text.\n")
}

fn document(content: &str) -> String {
    format!("\\usemodule[cpods-code]\n\\starttext\n{content}\\stoptext\n")
}

/// A product with all kinds of code, in files of which one lies in a folder of its own.
fn product() -> Desk {
    let one = chunk("CCode", "{src/one.c}", ODD) + &chunk("SmtCode", "", "(check-sat) ; 1 % 2\n");
    let part = format!(
        "\\startcomponent part\n{}{}{}{}\\input sub/inner \n\\stopcomponent\n",
        chunk("CCode", "", "  int two;\n"),
        chunk("CHeader", "{./src//one.h}", "#define ONE 1\n"),
        chunk("Code", "{a b/notes_1.txt}", "{}\\\n"),
        chunk("CppCode", "", "class A {};\n"),
    );
    let inner = chunk("JoyCode", "", "[1 2 +] i\n")
        + &chunk("CCode", "", "int three;\n")
        + &chunk("PythonCode", "{x.py}", "print('%s' % 1)\n");
    let product = "\\usemodule[cpods-code]\n\\startproduct book\n\\component one\n\
                   \\component sub/part\n\\stopproduct\n";
    Desk::new(&[
        ("book.tex", product),
        (
            "one.tex",
            &format!("\\startcomponent one\n{one}\\stopcomponent\n"),
        ),
        ("sub/part.tex", &part),
        ("sub/inner.tex", &inner),
    ])
}

#[test]
fn code_is_extracted_to_the_byte_and_in_order() {
    let desk = product();
    desk.typeset(&["book.tex"]);
    assert_eq!(
        desk.read("src/one.c"),
        format!("{ODD}  int two;\nint three;\n")
    );
    assert_eq!(desk.read("book.smt2"), "(check-sat) ; 1 % 2\n");
    assert_eq!(desk.read("src/one.h"), "#define ONE 1\n");
    assert_eq!(desk.read("a b/notes_1.txt"), "{}\\\n");
    assert_eq!(desk.read("book.cpp"), "class A {};\n");
    assert_eq!(desk.read("book.joy"), "[1 2 +] i\n");
    assert_eq!(desk.read("x.py"), "print('%s' % 1)\n");
    let code = "\"code\": [\n    \
        { \"file\": \"a b/notes_1.txt\", \"kind\": \"Code\", \"from\": [ \"sub/part.tex\" ] },\n    \
        { \"file\": \"book.cpp\", \"kind\": \"Cpp\", \"from\": [ \"sub/part.tex\" ] },\n    \
        { \"file\": \"book.joy\", \"kind\": \"Joy\", \"from\": [ \"sub/inner.tex\" ] },\n    \
        { \"file\": \"book.smt2\", \"kind\": \"Smt\", \"from\": [ \"one.tex\" ] },\n    \
        { \"file\": \"src/one.c\", \"kind\": \"C\", \"from\": \
          [ \"one.tex\", \"sub/part.tex\", \"sub/inner.tex\" ] },\n    \
        { \"file\": \"src/one.h\", \"kind\": \"CHeader\", \"from\": [ \"sub/part.tex\" ] },\n    \
        { \"file\": \"x.py\", \"kind\": \"Python\", \"from\": [ \"sub/inner.tex\" ] }\n  ],\n  \
        \"steps\": []\n}\n";
    let steps = desk.read("book.steps");
    assert!(
        steps.ends_with(code),
        "{steps}\n--- is not what ends with\n{code}"
    );
    let made = "a b/notes_1.txt\nbook.cpp\nbook.joy\nbook.smt2\nsrc/one.c\nsrc/one.h\nx.py\n";
    assert_eq!(desk.read("book.written"), made);
    let deps = "book.pdf: \\\n book.tex \\\n one.tex \\\n sub/inner.tex \\\n sub/part.tex\n";
    assert_eq!(desk.read("book.dep"), deps);
}

#[test]
fn only_what_changes_is_written() {
    let desk = product();
    desk.typeset(&["book.tex"]);
    let names = ["src/one.c", "src/one.h", "book.joy", "book.steps"];
    let before = names.map(|name| set_back(&desk.path(name)));
    let times = || names.map(|name| fs::metadata(desk.path(name)).unwrap().modified().unwrap());
    desk.typeset(&["book.tex"]);
    assert_eq!(times(), before);
    assert_eq!(desk.read("book.written"), "");
    let inner = desk.read("sub/inner.tex").replace("[1 2 +] i", "[1 3 +] i");
    desk.write("sub/inner.tex", &inner);
    desk.typeset(&["book.tex"]);
    let changed: Vec<_> = std::iter::zip(times(), before)
        .map(|(after, before)| after != before)
        .collect();
    assert_eq!(changed, [false, false, true, false]);
    assert_eq!(desk.read("book.joy"), "[1 3 +] i\n");
    assert_eq!(desk.read("book.written"), "book.joy\n");
}

#[test]
fn compilers_are_told_of_the_lines_of_the_document() {
    let part = chunk(
        "CCode",
        "[line=yes]",
        "\nint two(void) { return wrong_two; }\n",
    ) + &chunk("CCode", "", "int three(void) { return wrong_three; }\n")
        + &chunk("SmtCode", "[line=yes]", "(check-sat)\n");
    let main =
        document(&(chunk("CCode", "{x.c}", "int one;\n") + "\\input sub/part.tex \\relax\n"));
    let desk = Desk::new(&[("doc.tex", &main), ("sub/part.tex", &part)]);
    desk.typeset(&["doc.tex"]);
    assert_eq!(desk.read("doc.smt2"), "(check-sat)\n");
    let mut gcc = Command::new("gcc");
    gcc.args(["-c", "x.c", "-o", "x.o"])
        .current_dir(desk.dir.path());
    let said = text(&gcc.output().unwrap());
    assert!(said.contains("sub/part.tex:4:24: error: "), "{said}");
    // The chunk after it says nothing, so it is line 6 of the file itself.
    assert!(said.contains("x.c:6:26: error: "), "{said}");
    let all = main.replace("\\starttext", "\\setupcpodscode[line=yes]\\starttext");
    desk.write("doc.tex", &all);
    desk.typeset(&["doc.tex"]);
    assert!(
        desk.read("x.c")
            .starts_with("#line 5 \"doc.tex\"\nint one;\n")
    );
}

#[test]
fn after_an_error_nothing_is_written() {
    let good = chunk("CCode", "{src/x.c}", "int x;\n");
    let cases: &[(&str, &str, &str)] = &[
        ("", "\\nosuchcommand\n", "nosuchcommand"),
        // The first pass is without an error, the second is not.
        (
            "",
            "\\doifnotmode{*first}{\\nosuchcommand}\\placecontent\\section{A}\n",
            "nosuchcommand",
        ),
        ("--errors=missing files", "\\component nosuch \n", "nosuch"),
        (
            "",
            &chunk("CCode", "{../out.c}", "int y;\n"),
            "`../out.c` is no file in the working folder",
        ),
        (
            "",
            &chunk("CCode", "{a/../../out.c}", "int y;\n"),
            "is no file in the working folder",
        ),
        (
            "",
            &chunk("CCode", "{/tmp/out.c}", "int y;\n"),
            "`/tmp/out.c` is no file in the working folder",
        ),
        (
            "",
            &chunk("Code", "", "y\n"),
            "`` is no file in the working folder",
        ),
        (
            "",
            &chunk("CCode", "{doc.tex}", "int y;\n"),
            "`doc.tex` is a source of the document",
        ),
        (
            "",
            &step("{a}{fly}", "\\creates{object}{a.o}"),
            "a step cannot `fly`",
        ),
        (
            "",
            &step("{a}{compile}", "\\creates{thing}{a.o}"),
            "there are no files of type `thing`",
        ),
        (
            "",
            &step("{a}{compile}", "\\creates{object}{../a.o}"),
            "`../a.o` is no file",
        ),
        (
            "",
            &step("{a}{compile}", "\\requires{source}{a.c}"),
            "step `a` creates nothing",
        ),
        (
            "",
            &step("{a}{run}", "\\creates{output}{a}").repeat(2),
            "there is a step `a` already",
        ),
    ];
    for (arg, more, why) in cases {
        let desk = Desk::new(&[("doc.tex", &document(&(good.clone() + more)))]);
        let args: Vec<&str> = [*arg, "doc.tex"]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect();
        let ended = desk.context(&args);
        let said = text(&ended);
        assert_eq!(ended.status.code(), Some(1), "{more}: {said}");
        assert!(said.contains(why), "{more}: {said}");
        let mut left = desk.files();
        left.retain(|name| name != "doc.pdf" && name != "doc.tua");
        assert_eq!(left, ["doc.tex"], "{more}");
    }
}

fn step(names: &str, inside: &str) -> String {
    format!("\\startDescription{names}\n  {inside}\n\\stopDescription\n")
}

#[test]
fn steps_are_listed() {
    let build = step(
        "{one}{compile}",
        "\\creates{object}{build/one_1.o}\n\n  \\requires{source}{./src/one.c} \\requires{header}{one.h}\n\
         \x20 \\flags{-O2 -DX='a \"b\"'}\\flags{-Wall}",
    ) + &step("{proofs of one}{prove}", "\\requires{source}{src/one.c}")
        + &step(
            "{table}{run}",
            "\\uses{bin/joylol}\\creates{data}{build/t.tex}\\requires{script}{t.joy}",
        );
    let main = document("\\input build-steps \n");
    let desk = Desk::new(&[("doc.tex", &main), ("build-steps.tex", &build)]);
    desk.typeset(&["doc.tex"]);
    let expected = r#"{
  "version": 1,
  "main": "doc.tex",
  "code": [],
  "steps": [
    { "name": "one", "action": "compile", "tool": null, "flags": "-O2 -DX='a \"b\"' -Wall",
      "creates": [ { "type": "object", "file": "build/one_1.o" } ],
      "requires": [ { "type": "source", "file": "src/one.c" }, { "type": "header", "file": "one.h" } ],
      "from": "build-steps.tex" },
    { "name": "proofs of one", "action": "prove", "tool": null, "flags": "",
      "creates": [],
      "requires": [ { "type": "source", "file": "src/one.c" } ],
      "from": "build-steps.tex" },
    { "name": "table", "action": "run", "tool": "bin/joylol", "flags": "",
      "creates": [ { "type": "data", "file": "build/t.tex" } ],
      "requires": [ { "type": "script", "file": "t.joy" } ],
      "from": "build-steps.tex" }
  ]
}
"#;
    assert_eq!(desk.read("doc.steps"), expected);
    // What is read back to be compared is no dependency; and neither is code that is shown again.
    desk.write("doc.tex", &document("\\input build-steps \n\\startCode{a.txt}\na\n\\stopCode\n\\doiffile{a.txt}{\\typefile{a.txt}}\n"));
    desk.typeset(&["doc.tex"]);
    desk.typeset(&["doc.tex"]);
    assert_eq!(
        desk.read("doc.dep"),
        "doc.pdf: \\\n build-steps.tex \\\n doc.tex\n"
    );
}

#[test]
fn code_comes_back_from_a_pod() {
    let farm = Farm::new();
    let desk = product();
    install(&farm.root.join("modules")).unwrap();
    for name in desk.files() {
        farm.write(&name, desk.read(&name));
    }
    let typeset = || {
        farm.cc_remote(&["context", "--batchmode", "--path=modules", "book.tex"]);
    };
    typeset();
    let code = String::from_utf8(farm.read("src/one.c")).unwrap();
    assert_eq!(code, format!("{ODD}  int two;\nint three;\n"));
    assert_eq!(farm.read("book.joy"), b"[1 2 +] i\n");
    assert!(!farm.read("book.steps").is_empty() && !farm.read("book.dep").is_empty());

    let names = [
        "src/one.c",
        "src/one.h",
        "a b/notes_1.txt",
        "book.joy",
        "book.steps",
    ];
    let before = names.map(|name| set_back(&farm.root.join(name)));
    farm.write(
        "sub/inner.tex",
        desk.read("sub/inner.tex").replace("[1 2 +] i", "[1 3 +] i"),
    );
    typeset();
    let after = names.map(|name| {
        let found = fs::metadata(farm.root.join(name)).unwrap();
        found.modified().unwrap()
    });
    let changed: Vec<_> = std::iter::zip(after, before)
        .map(|(after, before)| after != before)
        .collect();
    assert_eq!(changed, [false, false, false, true, false]);
    assert_eq!(farm.read("book.joy"), b"[1 3 +] i\n");
}
