//! The rules of the house, held by reading the source.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walkdir::WalkDir::new(src)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "rs")
        })
        .map(|entry| {
            (
                entry.path().to_owned(),
                fs::read_to_string(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// The part of a file that is not tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

fn is_test(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
        || path.components().any(|part| part.as_os_str() == "tests")
}

fn is_pure(path: &Path) -> bool {
    let below = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    ["rules", "sched", "job.rs", "paths.rs"]
        .iter()
        .any(|room| below.starts_with(room))
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    const FORBIDDEN: [&str; 10] = [
        "tokio",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "Instant",
        "SystemTime",
        "rustix",
        "libc::",
    ];
    let mut seen = 0;
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| is_pure(path) && !is_test(path))
    {
        seen += 1;
        for line in code(text)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for word in FORBIDDEN {
                assert!(
                    !line.contains(word),
                    "{}: `{word}` in a pure room: {line}",
                    path.display()
                );
            }
        }
    }
    assert!(seen > 10, "the pure rooms were not found");
}

#[test]
fn the_index_knows_nothing_of_jobs_and_pods() {
    let mut seen = 0;
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "index"))
        .filter(|(path, _)| !is_test(path))
    {
        seen += 1;
        for line in code(text).lines().filter(|line| line.contains("crate::")) {
            let may = ["crate::job::Digest", "crate::paths::"];
            let may = may.iter().any(|room| line.contains(room));
            assert!(may, "{}: {line}", path.display());
        }
        assert!(!code(text).contains("tokio"), "{}", path.display());
    }
    assert!(seen > 10, "the index was not found");
}

#[test]
fn bincode_stands_in_one_file() {
    let users: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains("bincode::"))
        .map(|(path, _)| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(users, ["codec.rs"]);
}

#[test]
fn a_file_is_one_room() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines < 400, "{} has {lines} lines", path.display());
        assert!(
            text.starts_with("//!"),
            "{} does not say what it is",
            path.display()
        );
    }
}

#[test]
fn binaries_are_thin() {
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| path.components().any(|p| p.as_os_str() == "bin"))
    {
        assert!(text.lines().count() <= 30, "{}", path.display());
    }
}
