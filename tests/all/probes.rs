//! CMake and autoconf must not notice the wrapper.

use crate::support::{Farm, text};
use std::fs;
use std::process::Output;

const CMAKE_LISTS: &str = "cmake_minimum_required(VERSION 3.18)
project(probe C CXX)
include(CheckCSourceCompiles)
include(CheckCCompilerFlag)
include(CheckIncludeFile)
include(CheckFunctionExists)
include(CheckTypeSize)
include(CheckCSourceRuns)
check_include_file(unistd.h HAVE_UNISTD)
check_include_file(no_such.h HAVE_NO_SUCH)
check_function_exists(strlcpy_not_there HAVE_NOT_THERE)
check_function_exists(getenv HAVE_GETENV)
check_type_size(\"long\" SIZEOF_LONG)
check_c_compiler_flag(-Wall HAVE_WALL)
check_c_compiler_flag(-Wno-such-flag-at-all HAVE_NO_SUCH_FLAG)
check_c_source_compiles(\"int main(void) { return nothing; }\" HAVE_NOTHING)
check_c_source_runs(\"int main(void) { return 3; }\" RUNS_TO_3)
configure_file(config.h.in config.h)
add_executable(prog main.c other.cc)
target_include_directories(prog PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
";

/// The lines that a configuration found out, without the name of the launcher.
fn found(cache: &str) -> Vec<&str> {
    let is_result = |line: &&str| {
        !line.starts_with(['#', '/']) && line.contains('=') && !line.contains("LAUNCHER")
    };
    cache.lines().filter(is_result).collect()
}

#[test]
fn a_cmake_project_configures_and_builds_as_without_it() {
    for view in ["overlay", "rewrite"] {
        let farm = Farm::with(view, 2);
        farm.write("src/CMakeLists.txt", CMAKE_LISTS);
        farm.write(
            "src/config.h.in",
            "#cmakedefine HAVE_UNISTD\n#define LONG_SIZE @SIZEOF_LONG@\n",
        );
        let main = "#include \"config.h\"\nint other(void);\nint main(void) { return other(); }\n";
        farm.write("src/main.c", main);
        farm.write("src/other.cc", "extern \"C\" int other() { return 0; }\n");
        // In the same place one after the other, since the cache names its own directory.
        let build = |launcher: &[&str]| {
            let _ = fs::remove_dir_all(farm.root.join("build"));
            let configure = ["cmake", "-G", "Ninja", "-S", "src", "-B", "build"];
            let configure = farm.bare(&[&configure[..], launcher].concat());
            assert!(configure.status.success(), "{}", text(&configure));
            let build = farm.bare(&["ninja", "-C", "build"]);
            assert!(build.status.success(), "{}", text(&build));
            let cache = String::from_utf8(farm.read("build/CMakeCache.txt")).unwrap();
            (
                text(&configure),
                cache,
                farm.read("build/config.h"),
                objects(&farm),
            )
        };
        let bare = build(&[]);
        let jobs = farm.finished();
        let ours = build(&[
            "-DCMAKE_C_COMPILER_LAUNCHER=cpods-cc",
            "-DCMAKE_CXX_COMPILER_LAUNCHER=cpods-cc",
        ]);
        assert!(
            farm.finished() >= jobs + 2,
            "the project's own files at least"
        );
        assert_eq!(chatter(&ours.0), chatter(&bare.0), "{view}");
        assert_eq!(found(&ours.1), found(&bare.1), "{view}");
        assert_eq!(ours.2, bare.2);
        assert!(ours.3 == bare.3, "{view}: objects differ");
        let nothing = farm.bare(&["ninja", "-C", "build", "-n"]);
        assert!(
            text(&nothing).contains("no work to do"),
            "{}",
            text(&nothing)
        );
    }
}

/// What CMake says, without its own timing.
fn chatter(said: &str) -> Vec<&str> {
    said.lines()
        .filter(|line| !line.contains("done ("))
        .collect()
}

fn objects(farm: &Farm) -> Vec<Vec<u8>> {
    let dir = "build/CMakeFiles/prog.dir";
    ["main.c.o", "other.cc.o"]
        .iter()
        .map(|name| farm.read(&format!("{dir}/{name}")))
        .collect()
}

const CONFIGURE_AC: &str = "AC_INIT([probe], [1])
AC_PROG_CC
AC_PROG_CPP
AC_CHECK_HEADERS([unistd.h no_such_header.h])
AC_CHECK_FUNCS([getenv no_such_function])
AC_CHECK_SIZEOF([long])
AC_C_BIGENDIAN
AC_C_INLINE
AC_CACHE_CHECK([that a warning is one], [probe_cv_quiet],
  [ac_c_werror_flag=yes
   AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [probe_cv_quiet=yes], [probe_cv_quiet=no])])
AC_RUN_IFELSE([AC_LANG_PROGRAM([], [return 0;])], [], [AC_MSG_ERROR([cannot run])])
AC_CONFIG_HEADERS([config.h])
AC_OUTPUT
";

#[test]
fn an_autoconf_configuration_finds_the_same() {
    let farm = Farm::new();
    farm.write("configure.ac", CONFIGURE_AC);
    for tool in ["autoheader", "autoconf"] {
        let output = farm.bare(&[tool]);
        assert!(output.status.success(), "{}", text(&output));
    }
    let configure = |cc: &str| -> (Output, Vec<u8>) {
        let cc = format!("CC={cc}");
        let output = farm.bare(&["./configure", &cc, "--cache-file=/dev/null"]);
        assert!(output.status.success(), "{}", text(&output));
        (output, farm.read("config.h"))
    };
    let (bare, ours) = (configure("gcc"), configure("cpods-cc gcc"));
    assert!(farm.finished() > 5, "probes compile on the pod");
    assert_eq!(bare.1, ours.1);
    let said = text(&ours.0).replace("cpods-cc gcc", "gcc");
    assert_eq!(said, text(&bare.0));
    assert!(said.contains("that a warning is one... yes"), "{said}");
}
