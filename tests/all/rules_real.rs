//! The rules against the compilers of this machine: what classification says will be written is
//! what they write, and what it says is an input they read.

use cpods::job::Job;
use cpods::paths::Roots;
use cpods::rules::{Command, Decision, FileKind, Look, RuleSet, classify};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

struct Disk;

impl Look for Disk {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        fs::read(path).ok()
    }

    fn kind(&self, path: &Path) -> FileKind {
        match fs::metadata(path) {
            Err(_) => FileKind::Missing,
            Ok(meta) if meta.is_file() => FileKind::Regular,
            Ok(meta) if meta.is_dir() => FileKind::Directory,
            Ok(meta) if meta.file_type().is_char_device() && path == Path::new("/dev/null") => {
                FileKind::DevNull
            }
            Ok(_) => FileKind::Other,
        }
    }

    fn machine(&self, _: &Path) -> Option<String> {
        None
    }
}

/// Command lines for every compiler.
const ALL: &[&str] = &[
    "-c s/a.c",
    "-c s/a.c -o x/y.o",
    "-c s/a.c -ox/y.o",
    "-c s/a.c --output=x/y.o",
    "-c s/a.c -o x/y.o -o x/z.o",
    "-c s/a.c s/b.c -MD",
    "-S s/a.c",
    "-c -S s/a.c",
    "-E s/a.c -o x/a.i",
    "-E -c s/a.c -o x/a.i",
    "-E -MD s/a.c -o x/a.i",
    "-M s/a.c -o x/a.d",
    "-MM -MF x/a.d s/a.c",
    "-MD -c s/a.c",
    "-MD -c s/a.c -o x/y.o",
    "-MMD -c s/a.c -o x/y",
    "-MD -c s/a.c -o x/y.z.o",
    "-MD -c s/a.c -o x/.o",
    "-MD -MF x/m.d -c s/a.c -o x/y.o",
    "-MD -MF x/m.d -MF x/n.d -c s/a.c",
    "-MD -MF /dev/null -c s/a.c",
    "-MD -S s/a.c -o x/q.s",
    "-MD -fsyntax-only s/a.c",
    "-MD -c s/a.S -o x/y.o",
    "-MD -c s/a.i -o x/y.o",
    "-MD -c s/a.s -o x/y.o",
    "-Wp,-MD,f.d -c s/a.c -o x/y.o",
    "-Wp,-MMD,x/f.d -c s/a.c",
    "-g -gsplit-dwarf -c s/a.c -o x/y.o",
    "-g -gsplit-dwarf -c s/a.c",
    "-g -gsplit-dwarf -c s/a.s -o x/y.o",
    "--coverage -c s/a.c -o x/y.o",
    "--coverage -c s/a.c",
    "--coverage -S s/a.c -o x/y.s",
    "--coverage -c s/a.S -o x/y.o",
    "--coverage -c s/a.i -o x/y.o",
    "-ftest-coverage -c s/a.c",
    "-fprofile-arcs -c s/a.c",
    "-fstack-usage -c s/a.c -o x/y.o",
    "-fstack-usage -c s/a.c",
    "-c -x c s/strange -o x/y.o",
    "-c -xc++ s/a.c -x none s/b.c",
    "-c @s/args.rsp",
    "-MD @s/outer.rsp",
    "-c -include s/h.h -I s -Is -isystem s -iquote s -idirafter s s/a.c",
    "-c -imacros s/h.h -D x=y -Dz -U x s/a.c",
];

/// Command lines for one family.
const GCC: &[&str] = &[
    "-fcallgraph-info -c s/a.c -o x/y.o",
    "-aux-info x/p.X -c s/a.c -o x/y.o",
    "-fopt-info-vec=x/v.txt -O3 -c s/a.c -o x/y.o",
    "-Wa,-adhln=x/a.lst -c s/a.c -o x/y.o",
    "-Wa,--MD,x/a.d -c s/a.s -o x/y.o",
];
const CLANG: &[&str] = &[
    "-MJ x/j.json -c s/a.c -o x/y.o",
    "-ftime-trace -c s/a.c -o x/y.o",
    "-fsave-optimization-record -O2 -c s/a.c -o x/y.o",
    "-foptimization-record-file=x/r.yaml -O2 -c s/a.c -o x/y.o",
    "--serialize-diagnostics x/a.dia -c s/a.c -o x/y.o",
    "-emit-llvm -c s/a.c -o x/y.bc",
    "-c -- s/a.c",
];

fn fill(folder: &Path) {
    for name in ["s", "x"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    for (name, text) in [
        ("a.c", "#include \"h.h\"\nint f(int a) { return a + g; }\n"),
        ("b.c", "int b;\n"),
        ("c.c", "int c;\n"),
        ("a.S", "#include \"h.S\"\nnop\n"),
        ("h.S", "\n"),
        ("a.s", "nop\n"),
        ("a.i", "int z(void) { return 1; }\n"),
        ("h.h", "static int g;\n"),
        ("strange", "int s;\n"),
        ("args.rsp", "s/a.c -o 'x/with space.o'\n"),
        ("outer.rsp", "-c @s/args.rsp"),
    ] {
        fs::write(folder.join("s").join(name), text).unwrap();
    }
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| entry.path().strip_prefix(folder).unwrap().into())
        .collect()
}

fn classified(argv: &[OsString], folder: &Path) -> Job {
    let command = Command {
        argv,
        cwd: folder,
        env: &[],
    };
    let roots = Roots::new([folder]).unwrap();
    match classify(RuleSet::builtin(), &command, &roots, &Disk) {
        Decision::Remote(job) => *job,
        Decision::Local(reason) => panic!("{argv:?} is local: {reason}"),
    }
}

/// Runs one command line and compares.
fn check(compiler: &str, line: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    fill(&folder);
    let argv: Vec<OsString> = [compiler]
        .into_iter()
        .chain(line.split(' '))
        .map(Into::into)
        .collect();
    let job = classified(&argv, &folder);
    let said: BTreeSet<PathBuf> = job
        .outputs
        .iter()
        .map(|output| output.at.below.as_path().into())
        .collect();

    let before = files(&folder);
    let run = std::process::Command::new(compiler)
        .args(&argv[1..])
        .current_dir(&folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{compiler} {line}\n{errors}");
    let wrote: BTreeSet<PathBuf> = files(&folder).difference(&before).cloned().collect();
    assert_eq!(said, wrote, "{compiler} {line}\n{errors}");
    for input in &job.inputs {
        let path = folder.join(input.below.as_path());
        assert!(
            path.exists(),
            "{compiler} {line}: no input {}",
            path.display()
        );
    }
}

fn check_all(compilers: &[&str], lines: &[&str]) {
    for compiler in compilers {
        let found = std::process::Command::new(compiler)
            .arg("--version")
            .output();
        if found.is_err() && *compiler != "gcc" {
            eprintln!("skipped: no {compiler} here");
            continue;
        }
        lines.iter().for_each(|line| check(compiler, line));
    }
}

#[test]
fn compilers_write_what_the_rules_say() {
    check_all(&["gcc", "aarch64-linux-gnu-gcc", "clang"], ALL);
}

#[test]
fn each_family_writes_what_its_own_rule_says() {
    check_all(&["gcc"], GCC);
    check_all(&["clang"], CLANG);
}
