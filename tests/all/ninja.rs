//! Real Ninja builds through the wrapper: what is rebuilt, and what is not.

use crate::project::{Project, ninjas};
use crate::support::{Farm, text};
use crate::tool::make_tool;

const VIEWS: [&str; 2] = ["overlay", "rewrite"];

/// A project's directory must differ for each Ninja: they do not read each other's logs.
fn each(views: &[&str], test: impl Fn(&Farm, &std::path::Path, &str)) {
    for view in views {
        let farm = Farm::with(view, 2);
        make_tool(&farm);
        for (number, ninja) in ninjas().iter().enumerate() {
            test(&farm, ninja, &format!("p{number}"));
        }
    }
}

#[test]
fn a_header_rebuilds_exactly_its_users_and_then_nothing() {
    each(&VIEWS, |farm, ninja, name| {
        for rule in ["cc", "cc_plain"] {
            let name = format!("{name}-{rule}");
            let project = Project::of_c(farm, &name, ninja, rule, 6, "");
            // Far more jobs at once than the farm has slots: the rest waits, none falls back.
            assert_eq!(project.build(&["-j8"]), 6);
            project.assert_nothing_to_do();
            project.write("inc/h3.h", "#define H3 33\n");
            assert_eq!(project.build(&["-j8"]), 1, "{rule}: users of h3.h");
            project.assert_nothing_to_do();
            project.write("inc/all.h", "#define ALL 2\n");
            assert_eq!(project.build(&["-j8"]), 6, "{rule}: users of all.h");
            project.assert_nothing_to_do();
            project.assert_objects_equal_local(rule, 6);
            project.assert_no_temporaries();
        }
    });
}

#[test]
fn odd_file_names_are_built_once() {
    each(&VIEWS, |farm, ninja, name| {
        for rule in ["cc", "cc_plain"] {
            let edge = format!(
                "build obj/a$ b.o: {rule} src/a$ b.c\nbuild obj/c$$d.o: {rule} src/c$$d.c\n"
            );
            let project = Project::new(farm, &format!("{name}-{rule}"), ninja, &edge);
            // Ninja quotes `$in`, not a variable made of it: the depfile's name is quoted here.
            let file = String::from_utf8(project.read("build.ninja")).unwrap();
            project.write(
                "build.ninja",
                file.replace("-MF $out.d", "-MF 'obj/d.$tag.d'"),
            );
            let file = String::from_utf8(project.read("build.ninja")).unwrap();
            project.write("build.ninja", one_depfile_each(&file));
            for source in ["a b", "c$d"] {
                let text = "#include \"x y.h\"\n#include \"p$q.h\"\n#include \"m#n.h\"\nint v = X + P + M;\n";
                project.write(&format!("src/{source}.c"), text);
            }
            project.write("inc/x y.h", "#define X 1\n");
            project.write("inc/p$q.h", "#define P 1\n");
            project.write("inc/m#n.h", "#define M 1\n");
            assert_eq!(project.build(&[]), 2);
            project.assert_nothing_to_do();
            for header in ["inc/x y.h", "inc/p$q.h", "inc/m#n.h"] {
                let old = project.read(header);
                project.write(header, [&old[..], b"/* changed */\n"].concat());
                assert_eq!(project.build(&[]), 2, "{rule}: users of `{header}`");
                project.assert_nothing_to_do();
            }
        }
    });
}

/// Names a depfile for each edge: the outputs' own names would need quotes of two kinds.
fn one_depfile_each(file: &str) -> String {
    let file = file
        .replace("depfile = $out.d", "depfile = $dep")
        .replace("'obj/d.$tag.d'", "$dep");
    let mut number = 0;
    let lines = file.lines().map(|line| {
        if !line.starts_with("build ") {
            return format!("{line}\n");
        }
        number += 1;
        format!("{line}\n  dep = obj/{number}.d\n")
    });
    lines.collect()
}

#[test]
fn response_files_are_read_and_then_deleted() {
    each(&VIEWS, |farm, ninja, name| {
        let project = Project::new(
            farm,
            name,
            ninja,
            "rule rsp\n  command = $cc @$out.rsp -o $out\n  rspfile = $out.rsp\n  \
             rspfile_content = -DNAME=\\\"$text\\\" -c $in\n\
             build a.o: rsp a.c\n  text = one\n",
        );
        project.write("a.c", "const char *name = NAME;\n");
        assert_eq!(project.build(&[]), 1);
        assert!(!project.exists("a.o.rsp"));
        project.assert_nothing_to_do();
        let object = project.read("a.o");
        assert!(object.windows(4).any(|bytes| bytes == b"one\0"));
        // The content is part of the command: another one builds again.
        let file = String::from_utf8(project.read("build.ninja")).unwrap();
        project.write("build.ninja", file.replace("text = one", "text = two"));
        assert_eq!(project.build(&[]), 1);
        assert!(
            project
                .read("a.o")
                .windows(4)
                .any(|bytes| bytes == b"two\0")
        );
        assert!(!project.exists("a.o.rsp"));
    });
}

#[test]
fn a_failing_job_keeps_its_response_file() {
    let farm = Farm::new();
    for (number, ninja) in ninjas().iter().enumerate() {
        let rule = "rule rsp\n  command = $cc @$out.rsp -o $out\n  rspfile = $out.rsp\n  \
                    rspfile_content = -c $in\nbuild a.o: rsp a.c\n";
        let project = Project::new(&farm, &format!("p{number}"), ninja, rule);
        project.write("a.c", "int x = nonsense;\n");
        let before = farm.finished();
        assert_eq!(project.strict(&[]).status.code(), Some(1));
        assert_eq!(farm.finished(), before + 1);
        assert!(
            project.exists("a.o.rsp"),
            "Ninja keeps it for a person to look at"
        );
    }
}

#[test]
fn generated_headers_and_restat() {
    each(&["overlay"], |farm, ninja, name| {
        let project = Project::new(
            farm,
            name,
            ninja,
            "rule filter\n  command = $launcher ../tool filter $in $out\n  restat = 1\n\
             build inc/config.h: filter config.in\n\
             build a.o: cc a.c || inc/config.h\nbuild b.o: cc b.c || inc/config.h\n",
        );
        project.write("config.in", "#define V 1\nfirst\n");
        project.write("a.c", "#include \"config.h\"\nint a = V;\n");
        project.write("b.c", "int b;\n");
        assert_eq!(project.build(&["-j4"]), 3);
        project.assert_nothing_to_do();
        // Only its depfile says that a.o needs the header.
        project.write("config.in", "#define V 2\nfirst\n");
        assert_eq!(project.build(&["-j4"]), 2);
        project.assert_nothing_to_do();
        // The header comes out the same and is not written: nothing behind it is built again.
        project.write("config.in", "#define V 2\nsecond\n");
        assert_eq!(project.build(&["-j4"]), 1);
        project.assert_nothing_to_do();
        assert_eq!(project.read("inc/config.h"), b"#define V 2\n");
    });
}

#[test]
fn compile_errors_are_shown_once_and_in_the_same_words() {
    each(&VIEWS, |farm, ninja, name| {
        let edges = "build bad.o: cc bad.c\nbuild warns.o: cc warns.c\n";
        let project = Project::new(farm, name, ninja, edges);
        project.write(
            "bad.c",
            "#include \"inner.h\"\nint f(void) { return nothing; }\n",
        );
        project.write("inc/inner.h", "#warning look here\n");
        project.write("warns.c", "int g(void) { return 1 / 0; }\n");
        let before = farm.finished();
        let remote = project.strict(&["-k0", "-j1"]);
        assert_eq!(farm.finished(), before + 2);
        // What was built is built again, so that both say the same.
        std::fs::remove_file(project.dir.join("warns.o")).unwrap();
        let mut bare = project.command();
        let local = bare
            .env("CPODS_DISABLE", "1")
            .args(["-k0", "-j1"])
            .output()
            .unwrap();
        assert_eq!(remote.status.code(), Some(1));
        assert_eq!(text(&remote), text(&local));
        assert_eq!(text(&remote).matches("error: ").count(), 1, "shown once");
        assert!(!project.exists("bad.o") && project.exists("warns.o"));
    });
}
