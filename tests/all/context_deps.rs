//! The ConTeXt module that lists what a run read and wrote, held against what strace(1) sees.

use cpods::r#gen::context::install;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A document: its files, the main one first, and what a run makes besides the usual.
type Document = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const SINGLE: Document = (&[("one.tex", "\\starttext One. \\stoptext\n")], &[]);

const PRODUCT: Document = (
    &[
        (
            "prd-main.tex",
            "\\startproduct prd-main\n\\environment env-main\n\\component sub/cmp-one\n\
             \\component sub/cmp-two\n\\stopproduct\n",
        ),
        (
            "env-main.tex",
            "\\startenvironment env-main\n\\usemodule[local]\n\
             \\setupexternalfigures[directory={img}]\n\\stopenvironment\n",
        ),
        (
            "t-local.mkiv",
            "\\startmodule[local]\n\\define\\Hello{Hello}\n\\stopmodule\n",
        ),
        (
            "sub/cmp-one.tex",
            "\\startcomponent cmp-one\n\\product prd-main\n\\Hello\\ one. \\input sub/para \n\
             \\externalfigure[box.mps]\n\\typefile{code.c}\n\\stopcomponent\n",
        ),
        ("sub/para.tex", "A paragraph. \\input sub/inner \n"),
        ("sub/inner.tex", "An inner one.\n"),
        (
            "img/box.mps",
            "%!PS\n%%BoundingBox: 0 0 9 9\nnewpath 0 0 moveto 9 9 lineto stroke\n%%EOF\n",
        ),
        ("code.c", "int x;\n"),
        (
            "sub/cmp-two.tex",
            "\\startcomponent cmp-two\nTwo.\n\\stopcomponent\n",
        ),
        ("unread.tex", "Nobody reads this.\n"),
    ],
    &[],
);

const LUA: Document = (
    &[
        (
            "lua.tex",
            "\\starttext\n\\startluacode\n\
             local f = io.open(\"data.txt\") context(f:read(\"*a\")) f:close()\n\
             context(io.loaddata(\"more.txt\"))\ncontext.input(\"from-lua.tex\")\n\
             local g = io.open(\"made-by-lua.txt\", \"w\") g:write(\"x\") g:close()\n\
             \\stopluacode\n\\startbuffer[x]\nint main(void);\n\\stopbuffer\n\
             \\savebuffer[list=x,file=out.c,prefix=no]\n\\stoptext\n",
        ),
        ("data.txt", "data"),
        ("more.txt", "more"),
        ("from-lua.tex", "From Lua.\n"),
    ],
    &["made-by-lua.txt", "out.c"],
);

const ODD_NAMES: Document = (
    &[
        (
            "odd.tex",
            "\\starttext \\input {a name.tex}\\typefile{a#b.c} \\stoptext\n",
        ),
        ("a name.tex", "A name.\n"),
        ("a#b.c", "int y;\n"),
    ],
    &[],
);

/// The system's, and one that this user can write.
const CACHE: &str = concat!(
    "/var/lib/texmf;",
    env!("CARGO_TARGET_TMPDIR"),
    "/texmf-cache"
);

fn make((files, _): &Document, dir: &Path) {
    for (name, content) in *files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Files below `dir` that were opened by the run, by how.
fn opened(trace: &str, dir: &Path, to_write: bool) -> BTreeSet<String> {
    let lines = trace
        .lines()
        .filter(|line| !line.contains("ENOENT") && !line.contains("= -1 "));
    let lines =
        lines.filter(|line| (line.contains("O_WRONLY") || line.contains("O_RDWR")) == to_write);
    lines
        .filter_map(|line| line.split('"').nth(1))
        .filter_map(|name| {
            let path = dir.join(name);
            let below = path.strip_prefix(dir).ok()?.to_str()?;
            let below = below.strip_prefix("./").unwrap_or(below);
            path.is_file().then(|| below.to_owned())
        })
        .collect()
}

/// What a depfile lists for its one target.
fn listed(depfile: &str, target: &str) -> BTreeSet<String> {
    let joined = depfile.replace("\\\n", "");
    let rest = joined.strip_prefix(&format!("{target}:")).unwrap();
    let hidden = rest.trim_end().replace("\\ ", "\0").replace("\\#", "#");
    let names = hidden.split_whitespace();
    names.map(|name| name.replace('\0', " ")).collect()
}

#[test]
fn dependencies_equal_what_strace_sees() {
    for document in [SINGLE, PRODUCT, LUA, ODD_NAMES] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        make(&document, &dir);
        let modules = tempfile::tempdir().unwrap();
        install(modules.path()).unwrap();
        let main = document.0[0].0;
        let job = main.strip_suffix(".tex").unwrap();
        let trace = modules.path().join("trace");
        let ended = Command::new("strace")
            .args(["-f", "-s", "4096", "-e", "trace=open,openat,creat", "-o"])
            .arg(&trace)
            .args(["context", "--batchmode", "--usemodule=cpods-deps"])
            .arg(format!("--path={}", modules.path().display()))
            .arg(main)
            .current_dir(&dir)
            .env("TEXMFCACHE", CACHE)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            ended.status.success(),
            "{main}: {}",
            String::from_utf8_lossy(&ended.stdout)
        );
        let trace = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
        let own: BTreeSet<String> = ["pdf", "log", "tuc", "tua", "dep", "written"]
            .map(|suffix| format!("{job}.{suffix}"))
            .into();
        let made: BTreeSet<String> = document.1.iter().map(ToString::to_string).collect();
        let mut read = opened(&trace, &dir, false);
        read.retain(|name| !own.contains(name) && !made.contains(name));
        let depfile = fs::read_to_string(dir.join(format!("{job}.dep"))).unwrap();
        assert_eq!(
            listed(&depfile, &format!("{job}.pdf")),
            read,
            "{main}: {depfile}"
        );
        let inputs: BTreeSet<String> = document.0.iter().map(|(name, _)| (*name).into()).collect();
        assert!(read.is_subset(&inputs), "{main}: {read:?}");
        let written = fs::read_to_string(dir.join(format!("{job}.written"))).unwrap();
        assert_eq!(
            written
                .lines()
                .map(Into::into)
                .collect::<BTreeSet<String>>(),
            made,
            "{main}"
        );
    }
}

#[test]
fn after_an_error_nothing_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("bad.tex"),
        "\\starttext \\nosuchcommand \\stoptext\n",
    )
    .unwrap();
    let modules = tempfile::tempdir().unwrap();
    install(modules.path()).unwrap();
    let ended = Command::new("context")
        .args(["--batchmode", "--usemodule=cpods-deps", "bad.tex"])
        .arg(format!("--path={}", modules.path().display()))
        .current_dir(dir.path())
        .env("TEXMFCACHE", CACHE)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(said.contains("tex error"), "{said}");
    assert!(!dir.path().join("bad.dep").exists());
    assert!(!dir.path().join("bad.written").exists());
}
