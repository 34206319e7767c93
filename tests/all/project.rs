//! Small generated projects in a farm's root, and real Ninjas to build them.

use crate::support::{Farm, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Every Ninja to be tested: that on PATH, and those that `CPODS_NINJA` names, colon-separated.
pub(crate) fn ninjas() -> Vec<PathBuf> {
    let more = std::env::var_os("CPODS_NINJA").unwrap_or_default();
    let more = std::env::split_paths(&more).filter(|path| !path.as_os_str().is_empty());
    std::iter::once(PathBuf::from("ninja"))
        .chain(more)
        .collect()
}

/// The rules of most projects here; `cc` and `launcher` are set before it.
pub(crate) const RULES: &str = "
rule cc
  command = $cc -g -O1 -Iinc -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
rule cc_plain
  command = $cc -g -O1 -Iinc -MD -MF $out.d -c $in -o $out
  depfile = $out.d
rule tool
  command = $launcher ../tool $trick $tag
";

/// A directory of a farm's root with a `build.ninja` in it.
pub(crate) struct Project<'a> {
    pub(crate) farm: &'a Farm,
    pub(crate) dir: PathBuf,
    ninja: PathBuf,
}

impl<'a> Project<'a> {
    /// Writes `build.ninja` with [`RULES`] and these statements, for jobs through the wrapper.
    pub(crate) fn new(farm: &'a Farm, name: &str, ninja: &Path, statements: &str) -> Self {
        let dir = farm.root.join(name);
        fs::create_dir_all(&dir).unwrap();
        let project = Self {
            farm,
            dir,
            ninja: ninja.into(),
        };
        let tag = farm.tag();
        let head = format!("cc = cpods-cc gcc\nlauncher = cpods-cc\ntag = {tag}\n{RULES}");
        project.write("build.ninja", format!("{head}{statements}"));
        project
    }

    /// `sources` files with a header each and one header for all; objects in `obj/`.
    pub(crate) fn of_c(
        farm: &'a Farm,
        name: &str,
        ninja: &Path,
        rule: &str,
        sources: usize,
        more: &str,
    ) -> Self {
        let edges: String = (0..sources)
            .map(|n| format!("build obj/f{n}.o: {rule} src/f{n}.c\n"))
            .collect();
        let project = Self::new(farm, name, ninja, &format!("{edges}{more}"));
        for n in 0..sources {
            let other = (n + 1) % sources.max(1);
            let source = format!(
                "#include \"h{n}.h\"\n#include \"all.h\"\n#include <stdio.h>\n#include <stdlib.h>\n\
                 extern int f{other}(int);\n\
                 int f{n}(int x) {{ printf(\"%d\\n\", H{n}); return x ? f{other}(x - 1) : ALL; }}\n"
            );
            project.write(&format!("src/f{n}.c"), source);
            project.write(&format!("inc/h{n}.h"), format!("#define H{n} {n}\n"));
        }
        project.write("inc/all.h", "#define ALL 1\n");
        project
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// The Ninja, to be run in the project.
    pub(crate) fn command(&self) -> Command {
        self.farm.command_in(&self.dir, &self.ninja)
    }

    /// A build in which no job may fall back.
    pub(crate) fn strict(&self, args: &[&str]) -> Output {
        self.command()
            .env("CPODS_FALLBACK", "0")
            .args(args)
            .output()
            .unwrap()
    }

    /// The same, and it must succeed; returns how many jobs ran on pods.
    pub(crate) fn build(&self, args: &[&str]) -> u64 {
        let before = self.farm.finished();
        let output = self.strict(args);
        assert!(
            output.status.success(),
            "{:?} {args:?}: {}",
            self.ninja,
            text(&output)
        );
        self.farm.finished() - before
    }

    /// A build in the background, its output into a file.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let out = fs::File::create(self.farm.dir.path().join("ninja.out")).unwrap();
        let mut command = self.command();
        command.args(args).stdin(Stdio::null());
        command
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap()
    }

    /// What a build in the background said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.farm.dir.path().join("ninja.out")).unwrap()
    }

    /// What `ninja -n` would do: nothing.
    pub(crate) fn assert_nothing_to_do(&self) {
        let said = text(
            &self
                .command()
                .args(["-n", "-d", "explain"])
                .output()
                .unwrap(),
        );
        assert!(said.contains("no work to do"), "{:?}: {said}", self.ninja);
    }

    /// No temporary of any commit is left, at any depth.
    pub(crate) fn assert_no_temporaries(&self) {
        let left: Vec<_> = all_files(&self.dir)
            .into_iter()
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with(".cpods-")
            })
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Builds the same objects with the bare compiler elsewhere, and compares every one.
    pub(crate) fn assert_objects_equal_local(&self, rule: &str, sources: usize) {
        let mut local = format!("cc = gcc\nlauncher =\ntag =\n{RULES}");
        for n in 0..sources {
            local.push_str(&format!("build local/f{n}.o: {rule} src/f{n}.c\n"));
        }
        self.write("local.ninja", local);
        let output = self.command().args(["-f", "local.ninja"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        for n in 0..sources {
            let (ours, bare) = (format!("obj/f{n}.o"), format!("local/f{n}.o"));
            assert!(
                self.read(&ours) == self.read(&bare),
                "`{ours}` differs from the local one"
            );
        }
    }
}

/// Regular files below a directory.
pub(crate) fn all_files(dir: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(dir).sort_by_file_name();
    let entries = walk.into_iter().map(Result::unwrap);
    entries
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.into_path())
        .collect()
}
