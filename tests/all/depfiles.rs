//! Depfiles are compared as text by Ninja: each must be what the bare compiler writes.

use crate::support::{Farm, text};

/// Each is compiled both ways; `@` stands for the root.
const COMMANDS: &[&[&str]] = &[
    &[
        "gcc", "-Iinc", "-MD", "-MF", "OUT.d", "-c", "src/a.c", "-o", "OUT.o",
    ],
    &[
        "gcc",
        "-I@/inc",
        "-MD",
        "-MF",
        "OUT.d",
        "-c",
        "@/src/a.c",
        "-o",
        "OUT.o",
    ],
    &[
        "gcc", "-I@/inc", "-MD", "-MF", "@/OUT.d", "-c", "src/a.c", "-o", "@/OUT.o",
    ],
    &[
        "gcc",
        "-Isrc/../inc",
        "-MMD",
        "-MP",
        "-MF",
        "OUT.d",
        "-c",
        "./src/a.c",
        "-o",
        "OUT.o",
    ],
    &[
        "gcc",
        "-iquoteinc",
        "-isystem",
        "@/inc",
        "-MD",
        "-MT",
        "x y",
        "-MF",
        "OUT.d",
        "-c",
        "src/a.c",
        "-o",
        "OUT.o",
    ],
    &[
        "gcc",
        "-Iinc",
        "-MD",
        "-MQ",
        "$(obj)/OUT.o",
        "-c",
        "src/a.c",
        "-o",
        "OUT.o",
    ],
    &[
        "gcc",
        "-Iinc",
        "-Wp,-MD,OUT.d",
        "-c",
        "src/a.c",
        "-o",
        "OUT.o",
    ],
    &["gcc", "-Iinc", "-MD", "-c", "src/sp ace.c", "-o", "OUT.o"],
    &["gcc", "-Iinc", "-MD", "-c", "src/dol$lar.c", "-o", "OUT.o"],
    &["gcc", "-Iinc", "-MD", "-c", "src/ha#sh.c", "-o", "OUT.o"],
    &[
        "gcc",
        "-I@/inc",
        "-MMD",
        "-MP",
        "-c",
        "@/src/sp ace.c",
        "-o",
        "@/OUT.o",
    ],
    &[
        "gcc",
        "-Ilinked",
        "-I@/linked",
        "-MD",
        "-c",
        "src/a.c",
        "-o",
        "OUT.o",
    ],
    &[
        "g++", "-Iinc", "-MD", "-MF", "OUT.d", "-c", "src/b.cc", "-o", "OUT.o",
    ],
    &[
        "clang",
        "-I@/inc",
        "-MD",
        "-MF",
        "OUT.d",
        "-c",
        "@/src/a.c",
        "-o",
        "OUT.o",
    ],
    &[
        "clang",
        "-Iinc",
        "-MMD",
        "-MP",
        "-MF",
        "OUT.d",
        "-c",
        "src/sp ace.c",
        "-o",
        "OUT.o",
    ],
];

#[test]
fn depfiles_equal_the_local_ones_as_text() {
    for view in ["overlay", "rewrite"] {
        let farm = Farm::with(view, 2);
        let source = "#include \"one.h\"\n#include \"t w o.h\"\n#include \"thr$ee.h\"\n\
                      #include \"fo#ur.h\"\n#include <stdio.h>\n";
        for name in ["a.c", "b.cc", "sp ace.c", "dol$lar.c", "ha#sh.c"] {
            farm.write(&format!("src/{name}"), source);
        }
        for name in ["one.h", "t w o.h", "thr$ee.h", "fo#ur.h"] {
            farm.write(&format!("inc/{name}"), "#pragma once\n");
        }
        std::os::unix::fs::symlink("inc", farm.root.join("linked")).unwrap();
        for (number, command) in COMMANDS.iter().enumerate() {
            let out = format!("out{number}");
            let root = farm.root.to_str().unwrap();
            let words: Vec<String> = command
                .iter()
                .map(|word| word.replace("OUT", &out).replace('@', root))
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let results: Vec<_> = [true, false]
                .into_iter()
                .map(|remote| {
                    let output = if remote {
                        farm.cc_remote(&words)
                    } else {
                        farm.bare(&words)
                    };
                    let depfile = farm.read(&format!("{out}.d"));
                    std::fs::remove_file(farm.root.join(format!("{out}.d"))).unwrap();
                    let depfile = String::from_utf8(depfile).unwrap();
                    (text(&output), depfile, farm.read(&format!("{out}.o")))
                })
                .collect();
            assert_eq!(results[0].0, results[1].0, "{view}: {words:?}");
            let (ours, bare) = (&results[0].1, &results[1].1);
            if view == "rewrite" {
                // Lines are wrapped by the length of paths as the compiler saw them there.
                assert_eq!(unwrapped(ours), unwrapped(bare), "{view}: {words:?}");
            } else {
                assert_eq!(ours, bare, "{view}: {words:?}");
            }
            assert!(
                results[0].2 == results[1].2,
                "{view}: {words:?}: objects differ"
            );
        }
    }
}

/// A depfile's words, however its lines are wrapped.
fn unwrapped(depfile: &str) -> Vec<&str> {
    depfile
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect()
}
