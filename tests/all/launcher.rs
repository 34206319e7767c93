//! One command through wrapper, hub and pod and back: what comes out must equal a local run.

use crate::support::{Farm, text};
use std::os::unix::fs::MetadataExt;

const HELLO: &str = "#include <stdio.h>\n#include \"say.h\"\nint main(void){puts(SAY);return 0;}\n";

fn hello(farm: &Farm) {
    farm.write("src/hello.c", HELLO);
    farm.write("inc/say.h", "#define SAY \"hello\"\n");
}

#[test]
fn an_object_and_its_depfile_equal_the_local_ones() {
    for view in ["overlay", "rewrite"] {
        let farm = Farm::with(view, 2);
        hello(&farm);
        let args = [
            "gcc",
            "-g",
            "-O2",
            "-Iinc",
            "-MD",
            "-MF",
            "hello.d",
            "-c",
            "src/hello.c",
            "-o",
            "hello.o",
        ];
        farm.cc_remote(&args);
        let (object, depfile) = (farm.read("hello.o"), farm.read("hello.d"));
        assert!(farm.bare(&args).status.success());
        assert_eq!(
            String::from_utf8_lossy(&depfile),
            String::from_utf8_lossy(&farm.read("hello.d")),
            "{view}"
        );
        assert!(object == farm.read("hello.o"), "{view}: objects differ");
    }
}

#[test]
fn what_the_tool_says_and_its_exit_code_come_back() {
    for view in ["overlay", "rewrite"] {
        let farm = Farm::with(view, 2);
        let path = farm.write("bad.c", "int f(void) { int unused; return x; }\n");
        let args = ["gcc", "-Wall", "-c", path.to_str().unwrap(), "-o", "bad.o"];
        let (remote, local) = (farm.cc(&args), farm.bare(&args));
        assert_eq!(remote.status.code(), Some(1));
        assert_eq!(text(&remote), text(&local), "{view}");
        assert!(!farm.root.join("bad.o").exists());
        assert_eq!(farm.status().unwrap()["failed"], 1);
    }
}

#[test]
fn umask_and_limits_travel() {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    for mask in ["077", "027", "002"] {
        let script = format!("umask {mask}; exec cpods-cc gcc -c a.c -o a.o");
        let before = farm.finished();
        assert!(farm.bare(&["sh", "-c", &script]).status.success());
        assert_eq!(farm.finished(), before + 1);
        let mode = std::fs::metadata(farm.root.join("a.o")).unwrap().mode() & 0o777;
        assert_eq!(
            mode,
            0o666 & !u32::from_str_radix(mask, 8).unwrap(),
            "umask {mask}"
        );
    }
}

#[test]
fn an_older_stamp_than_an_edit_made_while_the_job_ran() {
    let farm = Farm::new();
    farm.write("slow.c", "#include \"slow.h\"\nint x = N;\n");
    farm.write("slow.h", "#define N 1\n");
    let early = std::time::SystemTime::now();
    farm.cc_remote(&["gcc", "-c", "slow.c", "-o", "slow.o"]);
    farm.write("slow.h", "#define N 2\n");
    let modified = |name: &str| {
        std::fs::metadata(farm.root.join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    assert!(modified("slow.o") <= modified("slow.h"));
    assert!(modified("slow.o") + std::time::Duration::from_millis(20) >= early);
}

/// Hazard: what lies outside the roots is not shown to pods, and leaves no trace in a depfile.
#[test]
fn a_header_outside_the_roots_is_found_after_all() {
    let farm = Farm::new();
    std::fs::write(farm.dir.path().join("outside.h"), "#define N 7\n").unwrap();
    farm.write("a.c", "#include \"../outside.h\"\nint n = N;\n");
    std::os::unix::fs::symlink(farm.dir.path().join("outside.h"), farm.root.join("alias.h"))
        .unwrap();
    farm.write("b.c", "#include \"alias.h\"\nint n = N;\n");
    for name in ["a", "b"] {
        let (source, object) = (format!("{name}.c"), format!("{name}.o"));
        let args = ["gcc", "-c", &source, "-o", &object];
        let output = farm
            .command(crate::support::bin("cpods-cc"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(output.stderr.is_empty(), "{}", text(&output));
        let object = farm.read(&object);
        farm.bare(&args);
        assert!(object == farm.read(&format!("{name}.o")));
    }
    let local = &farm.status().unwrap()["local"][0];
    assert_eq!(local["why"], "a file was not found on the pod");
    assert_eq!(local["jobs"], 2);
}

#[test]
fn a_header_that_is_nowhere_is_missed_in_the_tools_own_words() {
    let farm = Farm::new();
    farm.write("a.c", "#include \"nowhere.h\"\n");
    let args = ["gcc", "-c", "a.c", "-o", "a.o"];
    let output = farm
        .command(crate::support::bin("cpods-cc"))
        .args(args)
        .output()
        .unwrap();
    assert_eq!(text(&output), text(&farm.bare(&args)));
}
