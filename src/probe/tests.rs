//! Whole probes: of a compiler that is a script, of copies of a real one, along a search path.

use super::*;
use crate::job::Digest;
use crate::rules::{List, Probe, Rule, RuleSet, Search, Text};
use crate::wire::messages::OfferedTool;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SYSTEM: &str = "/usr/bin:/bin";

fn words(words: &[&'static str]) -> List<Text> {
    words.iter().map(|word| Text::from(*word)).collect()
}

fn rule(tool: &'static str, programs: &[&'static str]) -> Rule {
    let search = |language| Search {
        args: words(&["-E", "-v", "-x", language, "/dev/null"]),
        after: "#include <...>".into(),
        before: "End of search list".into(),
    };
    Rule {
        tool: tool.into(),
        programs: words(programs),
        probe: Probe {
            version: words(&["--version"]),
            target: words(&["-dumpmachine"]),
            program: true,
            programs: words(&["cc1", "as"]),
            print_program: words(&["-print-prog-name={name}"]),
            found_files: words(&["specs"]),
            print_file: words(&["-print-file-name={name}"]),
            outputs: vec![words(&["-dump"])].into(),
            search: vec![search("c")].into(),
            files: words(&["{bin}/../etc/config"]),
            masquerades: words(&["fake-launcher*"]),
            ..Probe::default()
        },
        ..Rule::default()
    }
}

/// A compiler that is a script, with a tree of its own.
struct Toy(tempfile::TempDir);

impl Toy {
    fn new() -> Self {
        let toy = Self(tempfile::tempdir().unwrap());
        for directory in ["bin", "lib", "include/sys", "etc"] {
            fs::create_dir_all(toy.at(directory)).unwrap();
        }
        toy.write("include/stdio.h", "int puts(const char *);\n");
        toy.write("include/sys/types.h", "typedef int pid_t;\n");
        toy.write("lib/dump", "");
        toy.write("etc/config", "");
        toy.program("lib/cc1", "the compiler proper");
        toy.program("bin/toy-as", "the assembler");
        let script = r#"#!/bin/sh
home=$(dirname "$(dirname "$0")")
case $1 in
--version) echo "$(basename "$0") 1.0" ;;
-dumpmachine) echo toy-linux ;;
-dump) cat "$home/lib/dump" ;;
-print-file-name=specs) if [ -e "$home/lib/specs" ]; then echo "$home/lib/specs"; else echo specs; fi ;;
-print-prog-name=cc1) echo "$home/lib/cc1" ;;
-print-prog-name=as) echo toy-as ;;
-E) { echo '#include <...> search starts here:'; echo " $home/include"; echo 'End of search list.'; } >&2 ;;
esac
"#;
        toy.program("bin/toy", script);
        toy
    }

    fn at(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, below: &str, content: &str) {
        fs::write(self.at(below), content).unwrap();
    }

    fn program(&self, below: &str, content: &str) {
        self.write(below, content);
        fs::set_permissions(self.at(below), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self) -> String {
        format!("{}:{SYSTEM}", self.at("bin").display())
    }

    fn probe(&self) -> OfferedTool {
        self.try_probe(&rule("toy", &["toy"])).unwrap()
    }

    fn try_probe(&self, rule: &Rule) -> Result<OfferedTool, ProbeError> {
        let mut prober = Prober::new(OsStr::new(&self.path()), None);
        prober.probe(rule, "toy", &self.at("bin/toy"))
    }
}

#[test]
fn says_what_the_tool_says() {
    let toy = Toy::new();
    let offered = toy.probe();
    assert_eq!(offered.tool, "toy");
    assert_eq!(offered.program, "toy");
    assert_eq!(offered.path.as_path(), toy.at("bin/toy"));
    assert_eq!(offered.version, "toy 1.0");
}

#[test]
fn whatever_decides_results_changes_the_identity() {
    type Change = fn(&Toy);
    let changes: [(&str, Change); 13] = [
        ("what it prints", |toy| toy.write("lib/dump", "more")),
        ("a specs file", |toy| toy.write("lib/specs", "*cpp:\n")),
        ("other specs", |toy| toy.write("lib/specs", "*cpp:\n-O2\n")),
        ("cc1", |toy| toy.write("lib/cc1", "another compiler")),
        ("the assembler", |toy| {
            toy.write("bin/toy-as", "another assembler")
        }),
        ("no assembler", |toy| {
            fs::remove_file(toy.at("bin/toy-as")).unwrap()
        }),
        ("a header", |toy| {
            toy.write("include/sys/types.h", "typedef long pid_t;\n")
        }),
        ("a new header", |toy| toy.write("include/new.h", "")),
        ("no header", |toy| {
            fs::remove_file(toy.at("include/stdio.h")).unwrap()
        }),
        ("a file of the rule", |toy| toy.write("etc/config", "-Wall")),
        ("no file of the rule", |toy| {
            fs::remove_file(toy.at("etc/config")).unwrap()
        }),
        ("the driver", |toy| {
            let script = fs::read_to_string(toy.at("bin/toy")).unwrap();
            toy.write("bin/toy", &(script + "# changed\n"));
        }),
        ("what a link leads to", |toy| {
            toy.write("etc/outside.h", "1");
            symlink("../etc/outside.h", toy.at("include/link.h")).unwrap();
            let before = toy.probe().identity;
            toy.write("etc/outside.h", "2");
            assert_ne!(toy.probe().identity, before);
        }),
    ];
    let toy = Toy::new();
    let mut seen = vec![toy.probe().identity];
    for (name, change) in changes {
        change(&toy);
        let identity = toy.probe().identity;
        assert!(!seen.contains(&identity), "{name}");
        seen.push(identity);
    }
    let renamed = Rule {
        tool: "other".into(),
        ..rule("toy", &["toy"])
    };
    assert!(!seen.contains(&toy.try_probe(&renamed).unwrap().identity));
}

#[test]
fn times_and_inodes_do_not_change_the_identity() {
    let toy = Toy::new();
    let before = toy.probe().identity;
    for file in ["include/stdio.h", "lib/cc1", "lib/dump", "bin/toy"] {
        let content = fs::read_to_string(toy.at(file)).unwrap();
        toy.program("etc/new", &content);
        fs::rename(toy.at("etc/new"), toy.at(file)).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let opened = fs::File::options().write(true).open(toy.at(file)).unwrap();
        opened.set_modified(old).unwrap();
    }
    assert_eq!(toy.probe().identity, before);
}

#[test]
fn a_hanging_tool_is_given_up() {
    let toy = Toy::new();
    toy.program("bin/toy", "#!/bin/sh\nsleep 1000\n");
    let limit = Duration::from_millis(200);
    let mut prober = Prober::new(OsStr::new(&toy.path()), None).with_limit(limit);
    let result = prober.probe(&rule("toy", &["toy"]), "toy", &toy.at("bin/toy"));
    let source = match result {
        Err(ProbeError::Command { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(source, CommandError::Hung(_)), "{source:?}");
}

#[test]
fn a_program_that_is_no_such_tool_is_none() {
    let toy = Toy::new();
    toy.program("bin/toy", "#!/bin/sh\nexit 3\n");
    let rule = rule("toy", &["toy"]);
    let error = toy.try_probe(&rule).unwrap_err().to_string();
    assert!(error.ends_with("--version` exited with code 3"), "{error}");
    fs::remove_file(toy.at("bin/toy")).unwrap();
    assert!(matches!(toy.try_probe(&rule), Err(ProbeError::Absent(_))));
}

#[test]
fn a_probe_is_remembered_until_a_program_changes_or_it_is_doubted() {
    // Real programs, since what was written just now is never remembered.
    let rule = Rule {
        probe: Probe {
            outputs: vec![words(&["-c", "date +%N"])].into(),
            program: true,
            ..Probe::default()
        },
        ..rule("sh", &["sh"])
    };
    let space = tempfile::tempdir().unwrap();
    let link = space.path().join("sh");
    symlink("/bin/sh", &link).unwrap();
    let mut prober = Prober::new(OsStr::new(SYSTEM), None);
    let mut identity = || prober.probe(&rule, "sh", &link).unwrap().identity;
    let first = identity();
    // It says another thing each time, so it was not asked again.
    assert_eq!(identity(), first);
    fs::remove_file(&link).unwrap();
    symlink("/bin/bash", &link).unwrap();
    let second = identity();
    assert_ne!(second, first);
    assert_eq!(identity(), second);
    prober.doubt();
    assert_ne!(prober.probe(&rule, "sh", &link).unwrap().identity, second);
}

#[test]
fn all_tools_along_the_path_are_found_once() {
    let toy = Toy::new();
    fs::create_dir(toy.at("front")).unwrap();
    toy.program("bin/ccache", "");
    toy.program("bin/fake-launcher-2", "");
    symlink("../bin/ccache", toy.at("front/toy")).unwrap();
    symlink("../bin/fake-launcher-2", toy.at("front/toy-1")).unwrap();
    symlink("toy", toy.at("bin/toy-1")).unwrap();
    symlink("toy", toy.at("bin/toy-2")).unwrap();
    toy.program("bin/broken-toy", "#!/bin/sh\nexit 1\n");
    let path = format!("{}:{}", toy.at("front").display(), toy.path());
    let rules = [
        rule("first", &["toy-2", "broken-*"]),
        rule("toy", &["toy", "toy-[0-9]"]),
        Rule {
            tool: "exec".into(),
            covers_roots: true,
            ..Rule::default()
        },
    ];
    let mut prober = Prober::new(OsStr::new(""), None);
    let all = RuleSet::with_user(rules.to_vec());
    let mut tools = prober.probe_all(&all, OsStr::new(&path));
    // What the built-in rules find in the machine's own directories is another matter.
    tools.retain(|tool| rules.iter().any(|rule| rule.tool == tool.tool));
    let named: Vec<_> = tools
        .iter()
        .map(|tool| {
            (
                &*tool.tool,
                &*tool.program,
                tool.path.as_path().to_path_buf(),
            )
        })
        .collect();
    let machine = std::env::consts::ARCH;
    assert_eq!(
        named,
        [
            ("toy", "toy", toy.at("bin/toy")),
            ("toy", "toy-1", toy.at("bin/toy-1")),
            ("first", "toy-2", toy.at("bin/toy-2")),
            ("exec", machine, PathBuf::new()),
        ]
    );
    assert_eq!(tools[0].identity, tools[1].identity);
    assert_ne!(tools[0].identity, tools[2].identity);
    let base = prober.probe(&rules[2], machine, Path::new("")).unwrap();
    assert_eq!(base, tools[3]);
    let watched = prober.watched();
    for below in ["front", "bin", "include", "include/sys"] {
        let canonical = toy.at(below).canonicalize().unwrap();
        assert!(
            watched.contains(&toy.at(below)) || watched.contains(&canonical),
            "{below}"
        );
    }
}

/// A copy of the machine's C compiler in a directory of its own, and the way to its parts there.
struct Copied(tempfile::TempDir, PathBuf);

impl Copied {
    fn new() -> Self {
        let space = tempfile::tempdir().unwrap();
        let ask = |arg: &str| {
            let asked = Command::new("gcc").arg(arg).output().unwrap();
            PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim())
        };
        // As the driver finds its parts: by the way from `bin` to them.
        let cc1 = ask("-print-prog-name=cc1");
        let parts = cc1
            .parent()
            .unwrap()
            .strip_prefix("/usr")
            .unwrap()
            .to_path_buf();
        fs::create_dir_all(space.path().join("bin")).unwrap();
        fs::create_dir_all(space.path().join(&parts).join("include")).unwrap();
        let real = find_on_path(OsStr::new("gcc"), OsStr::new(SYSTEM)).unwrap();
        fs::copy(real.canonicalize().unwrap(), space.path().join("bin/gcc")).unwrap();
        fs::copy(&cc1, space.path().join(&parts).join("cc1")).unwrap();
        Self(space, parts)
    }

    fn part(&self, below: &str) -> PathBuf {
        self.0.path().join(&self.1).join(below)
    }

    fn identity(&self) -> Digest {
        let rule = RuleSet::builtin().rule("gcc").unwrap();
        let mut prober = Prober::new(OsStr::new(SYSTEM), None);
        let program = self.0.path().join("bin/gcc");
        prober.probe(rule, "gcc", &program).unwrap().identity
    }
}

#[test]
fn a_changed_part_of_a_real_compiler_changes_its_identity() {
    let copied = Copied::new();
    let before = copied.identity();
    assert_eq!(copied.identity(), before);
    fs::write(
        copied.part("include/stddef.h"),
        "typedef unsigned size_t;\n",
    )
    .unwrap();
    let header = copied.identity();
    assert_ne!(header, before);
    // The version and `-dumpspecs` stay as they were.
    fs::write(copied.part("specs"), "*cpp:\n-DCHANGED\n\n").unwrap();
    let specs = copied.identity();
    assert_ne!(specs, header);
    fs::remove_file(copied.part("specs")).unwrap();
    assert_eq!(copied.identity(), header);
    let mut cc1 = fs::OpenOptions::new()
        .append(true)
        .open(copied.part("cc1"))
        .unwrap();
    std::io::Write::write_all(&mut cc1, b"patched").unwrap();
    assert_ne!(copied.identity(), header);
}

#[test]
fn a_changed_library_changes_the_identity_where_libraries_count() {
    let space = tempfile::tempdir().unwrap();
    let at = |below: &str| space.path().join(below);
    let cc = |source: &str, args: &[&str]| {
        fs::write(at("source.c"), source).unwrap();
        let mut command = Command::new("gcc");
        command.arg("source.c").args(args).current_dir(space.path());
        assert!(command.status().unwrap().success());
    };
    let library = ["-shared", "-fPIC", "-o", "libpart.so"];
    cc("int part(void) { return 1; }", &library);
    let program = ["-o", "tool", "-L.", "-lpart", "-Wl,-rpath,$ORIGIN"];
    cc(
        "int part(void); int main(void) { return part(); }",
        &program,
    );
    let identity = |libraries| {
        let rule = Rule {
            probe: Probe {
                program: true,
                libraries,
                ..Probe::default()
            },
            ..rule("tool", &["tool"])
        };
        let mut prober = Prober::new(OsStr::new(SYSTEM), None);
        prober.probe(&rule, "tool", &at("tool")).unwrap().identity
    };
    let (with, without) = (identity(true), identity(false));
    cc("int part(void) { return 2; }", &library);
    assert_ne!(identity(true), with);
    assert_eq!(identity(false), without);
}
