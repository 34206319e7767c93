//! What is written, real Ninja reads back.

use super::*;
use proptest::prelude::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// What Ninja says of a file; none where there is no Ninja.
fn ninja(text: &[u8], args: &[&str]) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("build.ninja"), text).unwrap();
    let output = match Command::new("ninja").args(args).current_dir(&dir).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("cannot run ninja: {error}"),
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    let text = String::from_utf8_lossy(text);
    assert!(output.status.success(), "ninja says: {shown}\nof: {text}");
    Some(output.stdout)
}

/// The words of a command as the shell that Ninja starts would see them.
fn shell_words(command: &[u8]) -> Vec<Vec<u8>> {
    let script = [b"printf '%s\\0' ", command].concat();
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(OsStr::from_bytes(&script))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(command)
    );
    let words = output.stdout.split(|byte| *byte == 0);
    let mut words: Vec<Vec<u8>> = words.map(<[u8]>::to_vec).collect();
    words.pop();
    words
}

/// Bytes of names and values, odd ones more often than they are.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(b"$ :|{}\\'\"#=@&;*?\t\x80\xff~-()".to_vec());
    let any = (1u8..=255).prop_filter("line ends", |byte| !b"\n\r".contains(byte));
    let letter = prop::sample::select(b"abc.0".to_vec());
    prop::collection::vec(prop_oneof![odd, any, letter], 1..12)
}

/// A path that Ninja does not make shorter (`./a`).
fn path(index: usize, text: &[u8]) -> Vec<u8> {
    let text = text.iter().filter(|byte| **byte != b'/').copied();
    format!("p{index}")
        .into_bytes()
        .into_iter()
        .chain(text)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn paths_come_back(texts in prop::collection::vec(text(), 1..30)) {
        let mut writer = Writer::new();
        let command = Escaped::syntax("$in").unwrap();
        writer.rule("show", &[("command", command)]).unwrap();
        let mut expected = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let (input, output) = (path(index, text), format!("out{index}"));
            writer
                .build(&Build {
                    outputs: &[output.as_bytes()],
                    rule: "show",
                    inputs: &[&input],
                    ..Build::default()
                })
                .unwrap();
            expected.push(input);
        }
        if let Some(commands) = ninja(&writer.into_bytes(), &["-t", "commands"]) {
            let lines = commands.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let read: Vec<_> = lines.flat_map(shell_words).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn values_come_back(texts in prop::collection::vec(text(), 1..30)) {
        let mut writer = Writer::new();
        let command = Escaped::syntax("<$global><$local>").unwrap();
        writer.rule("show", &[("command", command)]).unwrap();
        let mut expected = Vec::new();
        let global = Escaped::value(&texts[0]).unwrap();
        writer.variable("global", &global).unwrap();
        for (index, text) in texts.iter().enumerate() {
            let output = format!("out{index}");
            let local = Escaped::value(text).unwrap();
            writer
                .build(&Build {
                    outputs: &[output.as_bytes()],
                    rule: "show",
                    variables: &[("local", local)],
                    ..Build::default()
                })
                .unwrap();
            expected.push([b"<", &texts[0][..], b"><", text, b">"].concat());
        }
        if let Some(commands) = ninja(&writer.into_bytes(), &["-t", "commands"]) {
            let lines = commands.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let read: Vec<_> = lines.map(<[u8]>::to_vec).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..20)) {
        let hopeless = text.iter().any(|byte| b"\n\r\0".contains(byte));
        prop_assert_eq!(Escaped::value(&text).is_err(), hopeless);
        prop_assert_eq!(Escaped::path(&text).is_err(), hopeless || text.is_empty());
    }
}

#[test]
fn a_whole_file() {
    let mut writer = Writer::new();
    writer.comment("A comment\nof two lines");
    let value = |text: &str| Escaped::value(text.as_bytes()).unwrap();
    writer.variable("empty", &value("")).unwrap();
    writer.variable("spaced", &value(" a $b")).unwrap();
    writer.pool("few", &value("2")).unwrap();
    let command = Escaped::syntax("cp $in $out").unwrap();
    let rule = [("command", command), ("pool", value("few"))];
    writer.rule("copy", &rule).unwrap();
    writer
        .build(&Build {
            outputs: &[b"o ne", b"t:wo"],
            implicit_outputs: &[b"three"],
            rule: "copy",
            inputs: &[b"a|b", b"$c"],
            implicit: &[b"d"],
            order_only: &[b"e"],
            validations: &[b"f"],
            variables: &[("spaced", value("x"))],
        })
        .unwrap();
    writer.default_targets(&[b"o ne"]).unwrap();
    let text = writer.into_bytes();
    let expected = "\
# A comment
# of two lines
empty =
spaced = $ a $$b
pool few
  depth = 2
rule copy
  command = cp $in $out
  pool = few
cpods_bar = |
build o$ ne t$:wo | three: copy a${cpods_bar}b $$c | d || e |@ f
  spaced = x
default o$ ne
";
    assert_eq!(String::from_utf8_lossy(&text), expected);
    if let Some(inputs) = ninja(&text, &["-t", "query", "o ne"]) {
        let inputs = String::from_utf8_lossy(&inputs);
        assert!(
            inputs.contains("    a|b\n    $c\n    | d\n    || e\n"),
            "{inputs}"
        );
    }
}

#[test]
fn refuses_what_ninja_has_no_way_to_say() {
    let error = Escaped::path(b"a\nb").unwrap_err();
    let text = "ninja cannot hold the control character 0x0a in `a\nb`";
    assert_eq!(error.to_string(), text);
    assert_eq!(Escaped::path(b""), Err(NinjaError::EmptyPath));
    let mut writer = Writer::new();
    let bad = writer.variable("a b", &Escaped::default());
    assert_eq!(bad, Err(NinjaError::Name("a b".to_owned())));
    assert_eq!(writer.build(&Build::default()), Err(NinjaError::EmptyPath));
    assert!(writer.into_bytes().is_empty(), "nothing half written");
}
