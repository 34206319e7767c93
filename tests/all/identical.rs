//! Which objects come out of a rewrite view as they would here: the compilers' own table, gone
//! through with real compilers. What cannot be the same is not sent there.

use crate::support::{Farm, bin, text};
use std::path::Path;

/// Flags; whether such a compile goes to a rewrite view with absolute paths, and with relative ones.
type Case = (&'static str, bool, bool);

const GCC: &[Case] = &[
    ("", true, true),
    ("-O2", true, true),
    ("-g", true, true),
    ("-g3", true, true),
    ("-g -O2 -fdebug-types-section", true, true),
    ("-g -gsplit-dwarf", false, false),
    ("-g -fsanitize=undefined", false, false),
    ("-g -flto", false, false),
    ("-g --coverage", false, false),
    ("-g -grecord-gcc-switches", true, true),
];

const CLANG: &[Case] = &[
    ("", true, true),
    ("-O2", true, true),
    ("-g", true, true),
    ("-g3", true, true),
    ("-g -gsplit-dwarf", false, false),
    ("-g -fsanitize=undefined", false, false),
    ("-g -flto", false, false),
    ("-g --coverage", false, false),
    ("-g -grecord-gcc-switches", false, false),
];

const SOURCE: &str = "#include \"inc/a.h\"\n#include <assert.h>\n\
    int f(int *p, int n) { assert(n > A); return p[n] + __LINE__ + (__FILE__)[0]; }\n";

/// What a compile writes.
const WRITTEN: [&str; 4] = ["x.o", "x.d", "x.dwo", "x.gcno"];

/// A depfile's lines are broken by their length, before paths are mapped back: its words count.
fn read(path: &Path) -> Option<Vec<u8>> {
    let content = std::fs::read(path).ok()?;
    if path.extension().is_none_or(|extension| extension != "d") {
        return Some(content);
    }
    let words = String::from_utf8(content).unwrap().replace("\\\n", " ");
    Some(
        words
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .into(),
    )
}

fn goes_through(farm: &Farm, compiler: &str, cases: &[Case]) {
    farm.write("inc/a.h", "#define A 3\n");
    farm.write("s/a.c", SOURCE);
    let dir = farm.root.join("b");
    std::fs::create_dir_all(&dir).unwrap();
    let root = farm.root.display().to_string();
    for (flags, absolute, relative) in cases {
        for (is_absolute, remote) in [(true, *absolute), (false, *relative)] {
            let top = if is_absolute { &root } else { ".." };
            let line =
                format!("{compiler} {flags} -I{top} -MD -c {top}/s/a.c -o x.o -frandom-seed=1");
            let argv: Vec<&str> = line.split_whitespace().collect();
            let built = |with_cpods: bool| {
                for name in WRITTEN {
                    let _ = std::fs::remove_file(dir.join(name));
                }
                let mut command = if with_cpods {
                    farm.command_in(&dir, bin("cpods-cc"))
                } else {
                    farm.command_in(&dir, argv[0])
                };
                let output = command
                    .args(if with_cpods { &argv } else { &argv[1..] })
                    .output();
                let output = output.unwrap();
                assert!(output.status.success(), "{line}: {}", text(&output));
                WRITTEN.map(|name| read(&dir.join(name)))
            };
            let before = farm.finished();
            let (ours, wanted) = (built(true), built(false));
            for ((ours, wanted), name) in ours.iter().zip(&wanted).zip(WRITTEN) {
                assert!(
                    ours == wanted,
                    "{line}: `{name}` is not as it would be here"
                );
            }
            assert_eq!(
                farm.finished() > before,
                remote,
                "{line}: whether it goes to the pod"
            );
        }
    }
}

#[test]
fn gcc_in_a_rewrite_view() {
    goes_through(&Farm::with("rewrite", 1), "gcc", GCC);
}

#[test]
fn clang_in_a_rewrite_view() {
    goes_through(&Farm::with("rewrite", 1), "clang", CLANG);
}

#[test]
fn everything_is_identical_in_an_overlay_view() {
    let farm = Farm::new();
    for (compiler, cases) in [("gcc", GCC), ("clang", CLANG)] {
        let all: Vec<Case> = cases
            .iter()
            .map(|(flags, ..)| (*flags, true, true))
            .collect();
        goes_through(&farm, compiler, &all);
    }
}
