//! Tables of syntax; that the real Ninja reads the same stands in the tests of `ninja_eval`.

use super::*;
use proptest::prelude::*;

/// A short form of what was read: `$` before variables, `~` between parts.
fn shown(text: &Text) -> String {
    let parts = text.parts.iter().map(|part| match part {
        Part::Literal { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
        Part::Variable { name, .. } => format!("${name}"),
    });
    parts.collect::<Vec<_>>().join("~")
}

fn all(texts: &[Text]) -> String {
    texts.iter().map(shown).collect::<Vec<_>>().join(",")
}

#[test]
fn values() {
    for (line, value) in [
        ("x = a b", "a b"),
        ("x=a", "a"),
        ("x =", ""),
        ("x = a $y b", "a ~$y~ b"),
        ("x = ${y.z}w", "$y.z~w"),
        ("x = $y.z", "$y~.z"),
        ("x = $$ $: $ b", "$~ ~:~ ~ ~b"),
        ("x = a | b : c", "a | b : c"),
        ("x = a $\n   b", "a ~b"),
        ("x $\n = a $\r\n  b", "a ~b"),
        ("x = a  ", "a  "),
        ("x = # no comment", "# no comment"),
        ("x = $a-b$_c", "$a-b~$_c"),
    ] {
        let read = read(format!("{line}\n").as_bytes()).unwrap();
        let What::Variable(found) = &read[0].what else {
            panic!("{line}");
        };
        assert_eq!((shown(found).as_str(), read.len()), (value, 1), "{line:?}");
    }
}

#[test]
fn builds() {
    let text = b"# first\nbuild a$ b $\n  c | d: cc e$:f | g || h |@ i\n  # inside\n  x = 1\n\
                 \x20y = $x\r\n\r\nbuild | z: r\ndefault a$ b c\n   \ninclude $d/x\nsubninja y\npool p\n  depth = 1\n";
    let read = read(text).unwrap();
    assert_eq!(read.len(), 6);
    let What::Build(build) = &read[0].what else {
        panic!("{read:?}");
    };
    let lists = [
        (&build.outputs, "a~ ~b,c"),
        (&build.implicit_outputs, "d"),
        (&build.inputs, "e~:~f"),
        (&build.implicit, "g"),
        (&build.order_only, "h"),
        (&build.validations, "i"),
    ];
    for (found, wanted) in lists {
        assert_eq!(all(found), wanted);
    }
    assert_eq!(build.rule, "cc");
    let keys: Vec<_> = read[0].bindings.iter().map(|it| &*it.key).collect();
    assert_eq!(keys, ["x", "y"]);
    assert!(text[read[0].below..].starts_with(b"  # inside"));
    assert!(text[read[0].start..].starts_with(b"build a"));
    assert!(matches!(&read[1].what, What::Build(it) if it.outputs.is_empty()));
    assert!(matches!(&read[2].what, What::Default(it) if all(it) == "a~ ~b,c"));
    assert!(matches!(&read[3].what, What::Include(it) if shown(it) == "$d~/x"));
    assert!(matches!(&read[4].what, What::Subninja(it) if shown(it) == "y"));
    assert_eq!((&read[5].what, &*read[5].name), (&What::Pool, "p"));
}

#[test]
fn errors_name_the_line() {
    for (text, error) in [
        ("x", "line 1: expected `=`"),
        ("x = 1", "line 1: unexpected end of the file"),
        ("\n\n  x = 1\n", "line 3: unexpected indent"),
        ("rule a\n\n  command = x\n", "line 3: unexpected indent"),
        ("rule\n", "line 1: expected a name"),
        ("build : a\n", "line 1: expected a path"),
        ("build a\n", "line 1: expected `:`"),
        (
            "build a: r | b || c || d\n",
            "line 1: expected the end of the line",
        ),
        ("default\n", "line 1: expected a path"),
        (
            "x = $?\n",
            "line 1: a `$` that escapes nothing; a `$` itself is `$$`",
        ),
        (
            "x = ${y\n",
            "line 1: a `$` that escapes nothing; a `$` itself is `$$`",
        ),
        ("x = a\rb\n", "line 1: a control character"),
        ("x = a\0b\n", "line 1: a control character"),
        ("\tx = 1\n", "line 1: expected a name"),
        ("# x", "line 1: a comment without an end of the line"),
    ] {
        let found = read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(found, error, "{text:?}");
    }
}

fn parts(text: &Text) -> impl Iterator<Item = (usize, Vec<u8>)> {
    text.parts.iter().map(|part| match part {
        Part::Literal { at, bytes } => (*at, bytes.clone()),
        Part::Variable { at, .. } => (*at, b"$".to_vec()),
    })
}

proptest! {
    /// Whatever it is, it is read or refused; and each part stands where it says.
    #[test]
    fn places_are_true(words in prop::collection::vec(prop::sample::select(vec![
        "build", " ", "a", ":", "r", "\n", "  ", "x", "=", "$y", "${z}", "$ ", "$$", "$:", "$\n",
        "|", "||", "|@", "#", "rule", "pool", "default", "include", "subninja", "\r\n", "$", "b.c",
    ]), 0..40)) {
        let text = words.concat();
        let Ok(read) = read(text.as_bytes()) else { return Ok(()) };
        let mut end = 0;
        for statement in &read {
            prop_assert!(statement.start >= end && statement.below > statement.start);
            end = statement.below;
            let bindings = statement.bindings.iter().map(|it| &it.value);
            let own = match &statement.what {
                What::Variable(it) | What::Include(it) | What::Subninja(it) => vec![it],
                What::Build(it) => it.outputs.iter().chain(&it.inputs).collect(),
                _ => Vec::new(),
            };
            for (at, bytes) in own.into_iter().chain(bindings).flat_map(parts) {
                let there = &text.as_bytes()[at..];
                let escaped = there[0] == b'$' && there[1..].starts_with(&bytes);
                prop_assert!(escaped || there.starts_with(&bytes), "{:?} at {}", bytes, at);
            }
        }
    }
}
