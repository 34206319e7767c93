//! Golden files for each way of telling a tool, and real Ninja on them.
//!
//! `CPODS_BLESS=1 cargo test` writes the golden files anew.

use super::*;
use crate::r#gen::compdb_tools::TOOLS;
use crate::r#gen::ninja_eval::load;
use crate::r#gen::ninja_value::flat;
use std::fs;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/gen")
}

fn units() -> Vec<Unit> {
    let json = fs::read(folder().join("compile_commands.json")).unwrap();
    read(&json, Path::new("/w")).unwrap()
}

fn options(name: &str) -> Options {
    let tool = TOOLS.iter().find(|tool| tool.name == name).unwrap();
    Options {
        tool: *tool,
        flags: "-more 'a b'".to_owned(),
        dir: "/w/out".into(),
        by: "a test".to_owned(),
    }
}

#[test]
fn golden_files() {
    for name in ["framac-eva", "verifast", "gcc"] {
        let (text, _) = write(&units(), &options(name)).unwrap();
        let golden = folder().join(format!("compdb-{name}.ninja"));
        if std::env::var_os("CPODS_BLESS").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let same = fs::read(&golden).is_ok_and(|there| there == text);
        let shown = golden.display();
        assert!(same, "`{shown}` is old; run `CPODS_BLESS=1 cargo test`");
    }
}

#[test]
fn odd_names_come_back() {
    let (text, _) = write(&units(), &options("framac")).unwrap();
    let mut one = |_: &Path| Ok(text.clone());
    let manifest = load(Path::new("build.ninja"), &mut one).unwrap();
    let outputs = manifest.edges.iter().map(|edge| &edge.outputs[0]);
    let outputs: Vec<_> = outputs.map(|it| String::from_utf8_lossy(it)).collect();
    let wanted = ["a.c.log", "a.c.2.log", "sub/odd $name:|.c.log"];
    assert_eq!(outputs, wanted.map(|name| format!("/w/out/{name}")));
    let command = manifest.of_edge(&manifest.edges[2], "command").unwrap();
    let words = shell_words::split(&String::from_utf8(flat(&command)).unwrap()).unwrap();
    let begin = ["cpods-cc", "frama-c", "-more", "a b"];
    assert_eq!(words[..4], begin);
    assert!(
        words[4].ends_with("-MQ '/w/out/sub/odd $name:|.c.log'"),
        "{}",
        words[4]
    );
    assert_eq!(words[5], "/w/src/sub/odd $name:|.c");
}

#[test]
fn the_order_of_entries_is_nothing() {
    let json = fs::read(folder().join("compile_commands.json")).unwrap();
    let mut entries: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    entries.reverse();
    entries.push(entries[0].clone());
    let json = serde_json::to_vec(&entries).unwrap();
    assert_eq!(read(&json, Path::new("/w")).unwrap(), units());
}

#[test]
fn flags_are_those_that_decide_what_is_read() {
    let line = "cc -I a -Ib -I/c/../d -iquote e -D X -DY=1 -UZ -include f.h -include g/h.h -std=c99 \
                -nostdinc -o -Dx -x c -W -DLAST a.c -D";
    let words: Vec<_> = line.split(' ').map(ToOwned::to_owned).collect();
    let found = flags(&words, Path::new("/w"));
    let values: Vec<_> = found.iter().map(|(_, value)| value.as_str()).collect();
    let wanted = [
        "/w/a",
        "/w/b",
        "/d",
        "/w/e",
        "X",
        "Y=1",
        "Z",
        "f.h",
        "/w/g/h.h",
        "-std=c99",
        "-nostdinc",
        "LAST",
    ];
    assert_eq!(values, wanted);
}

#[test]
fn what_is_left_out_is_said() {
    let (_, notes) = write(&units(), &options("verifast")).unwrap();
    assert_eq!(notes.len(), 2);
    assert_eq!(
        notes[0],
        "verifast does not read the languages of 1 of the sources"
    );
    assert!(
        notes[1].starts_with("verifast cannot be told of -DNAME=\"a b\" "),
        "{notes:?}"
    );
    assert!(!notes[1].contains("SECOND"), "{notes:?}");
    let (_, notes) = write(&units(), &options("gcc")).unwrap();
    assert_eq!(notes, [""; 0]);
    let json = r#"[{"directory": "/", "file": "a.c", "arguments": ["cc", "-std=gnu90", "-DA"]}]"#;
    let old = read(json.as_bytes(), Path::new("/")).unwrap();
    let (text, notes) = write(&old, &options("framac")).unwrap();
    assert_eq!(notes, ["framac cannot be told of -std=gnu90"]);
    assert!(!String::from_utf8(text).unwrap().contains("gnu90"));
}

#[test]
fn what_is_no_database_is_refused() {
    for (json, error) in [
        ("{}", "it is no compilation database"),
        (
            r#"[{"directory": "/", "file": "a.c"}]"#,
            "the entry of `a.c` has neither `command` nor `arguments`",
        ),
        (
            r#"[{"directory": "/", "file": "a.c", "command": "cc 'a"}]"#,
            "the command of `a.c` is no line of the shell",
        ),
    ] {
        let found = read(json.as_bytes(), Path::new("/")).unwrap_err();
        assert_eq!(found.to_string(), error, "{json}");
    }
    let json = r#"[{"directory": "/", "file": "a\n.c", "arguments": ["cc"]}]"#;
    let units = read(json.as_bytes(), Path::new("/")).unwrap();
    let error = write(&units, &options("gcc")).unwrap_err();
    assert!(matches!(error, CompdbError::Ninja(_)), "{error}");
}

/// The words that reach a tool: the shell's of the command, and the tool's own shell's of those.
#[test]
fn words_arrive_as_they_were() {
    let (line, lost) = words(&units()[0], &options("framac").tool, b"/w/out/a.c.log");
    assert_eq!(lost, [""; 0]);
    let outer = shell_words::split(std::str::from_utf8(&line).unwrap()).unwrap();
    assert_eq!(outer.len(), 1);
    let inner = outer[0].strip_prefix("-cpp-extra-args=").unwrap();
    let inner = shell_words::split(inner).unwrap();
    let wanted = [
        "-I/w/src/inc",
        "-I/w/it's here",
        "-isystem",
        "/w/sys",
        "-DNDEBUG",
        "-DNAME=\"a b\"",
    ];
    for word in wanted {
        assert!(inner.iter().any(|it| it == word), "{word}: {inner:?}");
    }
    let of = |name: &str| inner.iter().position(|it| it.contains(name)).unwrap();
    assert!(
        of("NDEBUG") < of("src/inc") && of("src/inc") < of("it's"),
        "{inner:?}"
    );
}
