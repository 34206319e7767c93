//! Identities of real compilers whose parts change.

use super::*;

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

#[test]
fn a_probe_is_remembered_again_once_its_program_has_changed_unheard() {
    let rule = Rule {
        probe: Probe {
            outputs: vec![words(&["-c", "date +%N"])].into(),
            program: true,
            ..Probe::default()
        },
        ..rule("sh", &["sh"])
    };
    let space = tempfile::tempdir().unwrap();
    let program = space.path().join("sh");
    fs::copy("/bin/sh", &program).unwrap();
    // What was written just now is never remembered.
    let settle = || std::thread::sleep(Duration::from_millis(2100));
    settle();
    let mut prober = Prober::new(OsStr::new(SYSTEM), None);
    let mut identity = || prober.probe(&rule, "sh", &program).unwrap().identity;
    let first = identity();
    assert_eq!(identity(), first);
    fs::hard_link(&program, space.path().join("other")).unwrap();
    settle();
    let second = identity();
    assert_ne!(second, first);
    assert_eq!(identity(), second);
}
