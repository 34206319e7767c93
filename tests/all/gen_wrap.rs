//! Builds of CMake and Meson that were wrapped afterwards, built by real Ninja on a pod.

use crate::project::ninjas;
use crate::support::{Farm, bin, text};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const CMAKE_LISTS: &str = "cmake_minimum_required(VERSION 3.18)
project(wrapped C)
add_library(one STATIC one.c)
add_library(two SHARED two.c)
add_executable(program program.c)
target_link_libraries(program one two)
add_custom_command(OUTPUT list.txt COMMAND cmake -E echo made > list.txt)
add_custom_target(list ALL DEPENDS list.txt)
";

const MESON_BUILD: &str = "project('wrapped', 'c')
one = static_library('one', 'one.c')
two = shared_library('two', 'two.c')
executable('program', 'program.c', link_with: [one, two])
";

/// A small project in the farm's root; objects of the compiler alone are in `bare`.
struct Project<'a> {
    farm: &'a Farm,
    ninja: PathBuf,
    build: PathBuf,
}

impl<'a> Project<'a> {
    fn new(farm: &'a Farm, ninja: &Path, name: &str) -> Self {
        let write = |file: &str, text: &str| farm.write(&format!("{name}/{file}"), text);
        write("CMakeLists.txt", CMAKE_LISTS);
        write("meson.build", MESON_BUILD);
        write(
            "one.c",
            "#include \"all.h\"\nint one(void) { return ONE; }\n",
        );
        write(
            "two.c",
            "#include \"all.h\"\nint two(void) { return ONE + 1; }\n",
        );
        write("all.h", "#define ONE 1\n");
        let main = "int one(void);\nint two(void);\nint main(void) { return one() + two() - 3; }\n";
        write("program.c", main);
        Self {
            farm,
            ninja: ninja.into(),
            build: farm.root.join(name).join("build"),
        }
    }

    fn run(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Output {
        let dir = match self.build.exists() {
            true => &self.build,
            false => self.build.parent().unwrap(),
        };
        let mut command = self.farm.command_in(dir, program);
        command
            .args(args)
            .env("CPODS_FALLBACK", "0")
            .env("CC", "gcc");
        command.output().unwrap()
    }

    fn must(&self, program: impl AsRef<OsStr>, args: &[&str]) -> String {
        let output = self.run(program, args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        text(&output)
    }

    fn wrap(&self, args: &[&str]) -> String {
        self.must(bin("cpods-gen"), &[&["wrap"], args].concat())
    }

    /// Builds; returns how many jobs ran on the pod.
    fn ninja(&self, args: &[&str]) -> u64 {
        let before = self.farm.finished();
        self.must(&self.ninja, args);
        self.farm.finished() - before
    }

    fn assert_nothing_to_do(&self) {
        let said = self.must(&self.ninja, &["-n", "-d", "explain"]);
        assert!(said.contains("no work to do"), "{said}");
    }

    /// Ninja's files.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.found(|path| path.extension() == Some(OsStr::new("ninja")))
    }

    fn objects(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.found(|path| path.extension() == Some(OsStr::new("o")))
    }

    fn found(&self, fits: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, Vec<u8>> {
        let all = crate::project::all_files(&self.build).into_iter();
        let ours = all.filter(|path| fits(path));
        ours.map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }
}

/// What holds for any generator.
fn is_wrapped_and_back(project: &Project<'_>, wanted: u64) {
    assert_eq!(project.ninja(&[]), 0, "what is not wrapped runs here");
    let bare = project.objects();
    assert_eq!(bare.len(), 3);
    let before = project.files();
    let newest = || {
        let times = before.keys().map(|path| fs::metadata(path).unwrap());
        times.map(|it| it.modified().unwrap()).max()
    };
    let time = newest();

    let check = project.run(bin("cpods-gen"), &["wrap", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check));
    assert!(text(&check).contains("out of date"), "{}", text(&check));
    let said = project.wrap(&["--local-depth", "2"]);
    assert!(
        said.contains(" (3 commands) go to pods, 2 commands in a local pool"),
        "{said}"
    );
    assert!(said.contains("stays: links"), "{said}");
    let wrapped = project.files();
    assert_ne!(wrapped, before);
    assert_eq!(newest(), time);
    let plan = project.must(&project.ninja, &["-n", "-v"]);
    assert!(!plan.contains("regenerate"), "{plan}");
    assert_eq!(plan.matches("cpods-cc").count(), 3, "{plan}");

    project.wrap(&["--local-depth", "2"]);
    project.wrap(&["--local-depth", "2", "--check"]);
    assert_eq!(project.files(), wrapped);
    assert_eq!(project.ninja(&[]), wanted);
    project.assert_nothing_to_do();
    assert_eq!(project.objects(), bare);
    project.must(project.build.join("program"), &[]);

    project.wrap(&["--undo"]);
    assert_eq!(project.files(), before);
    assert_eq!(newest(), time);
    project.wrap(&["--undo"]);
    assert_eq!(project.files(), before);
}

#[test]
fn gen_wrap_routes_a_cmake_build() {
    let farm = Farm::new();
    for (n, ninja) in ninjas().iter().enumerate() {
        let project = Project::new(&farm, ninja, &format!("cmake{n}"));
        let make = format!("-DCMAKE_MAKE_PROGRAM={}", ninja.display());
        project.must("cmake", &["-G", "Ninja", "-B", "build", &make]);
        is_wrapped_and_back(&project, 3);

        // CMake runs again, and writes what it wrote before.
        project.wrap(&[]);
        assert_eq!(
            project.ninja(&[]),
            0,
            "the commands are those of the last build"
        );
        let list = project.build.with_file_name("CMakeLists.txt");
        fs::write(&list, CMAKE_LISTS.replace("made", "made again")).unwrap();
        assert_eq!(project.ninja(&[]), 0);
        let check = project.run(bin("cpods-gen"), &["wrap", "--check"]);
        assert_eq!(check.status.code(), Some(1), "{}", text(&check));
        project.wrap(&[]);
        assert_eq!(project.ninja(&[]), 3);
        project.assert_nothing_to_do();

        // The same, kept up by the build itself.
        project.wrap(&["--keep"]);
        project.assert_nothing_to_do();
        fs::write(&list, CMAKE_LISTS).unwrap();
        assert_eq!(project.ninja(&[]), 0, "no compile has changed");
        project.wrap(&["--keep", "--check"]);
        project.assert_nothing_to_do();
        fs::write(project.build.with_file_name("all.h"), "#define ONE 2\n").unwrap();
        assert_eq!(project.ninja(&["one", "two"]), 2);
    }
}

#[test]
fn gen_wrap_writes_beside_the_originals() {
    let farm = Farm::new();
    let project = Project::new(&farm, Path::new("ninja"), "beside");
    project.must("cmake", &["-G", "Ninja", "-B", "build"]);
    let before = project.files();
    let own = project.build.join("own.ninja");
    // From wherever it is called.
    let build = project.build.to_str().unwrap();
    let wrap = |output: &str| {
        let mut command = farm.command_in(farm.dir.path(), bin("cpods-gen"));
        command.args(["wrap", "--quiet", build, "-o", output]);
        command.output().unwrap()
    };
    let elsewhere = wrap("../own.ninja");
    assert!(!elsewhere.status.success());
    assert!(
        text(&elsewhere).contains("does not lie in"),
        "{}",
        text(&elsewhere)
    );
    let done = wrap("own.ninja");
    assert!(done.status.success(), "{}", text(&done));
    project.wrap(&["-o", "own.ninja"]);
    project.wrap(&["-o", "own.ninja", "--check"]);
    let mut after = project.files();
    let written = after.remove(&own).unwrap();
    assert_eq!(after, before);
    assert!(
        String::from_utf8(written)
            .unwrap()
            .contains("rules.ninja.cpods\n")
    );
    assert_eq!(project.ninja(&["-f", "own.ninja"]), 3);
    project.must(project.build.join("program"), &[]);
}

/// Skipped with a line where there is no Meson; `CPODS_MESON` names one.
#[test]
fn gen_wrap_routes_a_meson_build() {
    let meson = std::env::var_os("CPODS_MESON").filter(|it| !it.is_empty());
    let meson = meson.unwrap_or_else(|| "meson".into());
    let farm = Farm::new();
    let found = farm.command(&meson).arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no meson; set CPODS_MESON");
        return;
    }
    let project = Project::new(&farm, Path::new("ninja"), "meson");
    project.must(&meson, &["setup", "build"]);
    is_wrapped_and_back(&project, 3);
}

#[test]
fn gen_wrap_refuses_what_was_edited_afterwards() {
    let farm = Farm::without_hub();
    let text = "rule c\n  command = gcc -c $in -o $out\nbuild a.o: c a.c\n";
    let file = farm.write("build.ninja", text);
    let run = |args: &[&str]| {
        farm.command(bin("cpods-gen"))
            .arg("wrap")
            .args(args)
            .output()
    };
    assert!(run(&[]).unwrap().status.success());
    let edited = fs::read_to_string(&file).unwrap().replace("a.c", "b.c");
    fs::write(&file, &edited).unwrap();
    for args in [&["--undo"][..], &[], &["--check"]] {
        let output = run(args).unwrap();
        assert_eq!(output.status.code(), Some(125));
        let said = String::from_utf8(output.stderr).unwrap();
        let end = "it was changed after it was wrapped; have its generator write it anew\n";
        assert!(said.ends_with(end), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), edited);
    }
}

#[test]
fn gen_compdb_runs_another_tool_on_pods() {
    let farm = Farm::new();
    let project = Project::new(&farm, Path::new("ninja"), "compdb");
    project.must(
        "cmake",
        &[
            "-G",
            "Ninja",
            "-B",
            "build",
            "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        ],
    );
    let args = [
        "compdb",
        "--tool",
        "gcc",
        "--flags",
        "-Wall",
        "-o",
        "check.ninja",
    ];
    project.must(bin("cpods-gen"), &args);
    assert_eq!(project.ninja(&["-f", "check.ninja"]), 3);
    let done = project.must(&project.ninja, &["-n", "-f", "check.ninja"]);
    assert!(done.contains("no work to do"), "{done}");
    // The headers are known.
    fs::write(project.build.with_file_name("all.h"), "#define ONE (1)\n").unwrap();
    assert_eq!(project.ninja(&["-f", "check.ninja"]), 2);

    project.must(bin("cpods-gen"), &[&args[..], &["--check"]].concat());
    let other = [&args[..], &["--check", "--only", "**/one.c"]].concat();
    let check = project.run(bin("cpods-gen"), &other);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check));

    // What fails is shown, and leaves no log.
    fs::write(
        project.build.with_file_name("one.c"),
        "int one(void) { return x; }\n",
    )
    .unwrap();
    let output = project.run("ninja", &["-f", "check.ninja"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("‘x’ undeclared") || text(&output).contains("'x' undeclared"));
    assert!(!project.build.join("gcc/one.c.log.tmp").exists());
}
