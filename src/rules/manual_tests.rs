//! The manual is true: its examples are rules, what it shows is what is printed, and it names every
//! key there is.

use super::compile::compile;
use super::{Command, FileKind, Look, RuleSet, explain};
use crate::paths::Roots;
use std::ffi::OsString;
use std::path::Path;

const MANUAL: &str = include_str!("../../ninja-rules/README.md");

/// The blocks fenced as `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let open = format!("```{language}\n");
    let rest = MANUAL.split(open.as_str()).skip(1);
    rest.map(|block| block.split("```").next().unwrap())
        .collect()
}

/// The examples that are whole files: they begin with their name.
fn examples() -> Vec<(&'static str, &'static str)> {
    let named = |block: &'static str| {
        let first = block.lines().next()?;
        Some((first.strip_prefix("# ")?.strip_suffix(".toml")?, block))
    };
    blocks("toml").into_iter().filter_map(named).collect()
}

fn rules() -> RuleSet {
    let compiled = examples().into_iter().map(|(tool, text)| {
        let rule = compile(tool, &format!("{tool}.toml"), text, RuleSet::sources());
        rule.unwrap().unwrap()
    });
    RuleSet::with_user(compiled.collect())
}

/// Files with a key that nobody knows, one for each table there is.
const TABLES: [&str; 13] = [
    "_ = 1",
    "[probe]\n_ = 1",
    "[[probe.search]]\n_ = 1",
    "[operands]\n_ = 1",
    "[[operands.local]]\n_ = 1",
    "[rewrite]\n_ = 1",
    "[[names]]\n_ = 1",
    "[[modes]]\n_ = 1",
    "[[languages]]\n_ = 1",
    "[[env]]\n_ = 1",
    "[[flags]]\n_ = 1",
    "[ninja]\n_ = 1",
    "[[ninja.rules]]\n_ = 1",
];

/// The keys that a table may have, as the error over the unknown one lists them.
fn keys(table: &str) -> Vec<String> {
    let error = compile("x", "x.toml", table, &[]).unwrap_err();
    let (unknown, known) = error.message.split_once("expected").expect(&error.message);
    assert!(unknown.starts_with("unknown field `_`"), "{unknown}");
    let keys: Vec<_> = known
        .split('`')
        .skip(1)
        .step_by(2)
        .map(Into::into)
        .collect();
    assert!(!keys.is_empty(), "{known}");
    keys
}

/// The disk that the manual speaks of.
struct Book;

impl Look for Book {
    fn read(&self, _: &Path) -> Option<Vec<u8>> {
        None
    }
    fn kind(&self, path: &Path) -> FileKind {
        match path.ends_with("book/intro.md") || path.ends_with("book/book.html") {
            true => FileKind::Regular,
            false => FileKind::Missing,
        }
    }
    fn machine(&self, _: &Path) -> Option<String> {
        None
    }
}

fn explained(rules: &RuleSet, words: &str) -> String {
    let argv: Vec<OsString> = words.split(' ').map(Into::into).collect();
    let command = Command {
        argv: &argv,
        cwd: Path::new("/home/me/book"),
        env: &[],
    };
    let roots = Roots::new(["/home/me/book"]).unwrap();
    explain(rules, &command, &roots, &Book).to_string()
}

#[test]
fn examples_are_rules() {
    let names: Vec<_> = examples().iter().map(|(tool, _)| *tool).collect();
    assert_eq!(names, ["joylol", "pandoc"]);
    for name in names {
        assert!(rules().rule(name).unwrap().covers(name.as_bytes()));
    }
}

#[test]
fn explanations_are_what_is_printed() {
    let rules = rules();
    let mut count = 0;
    for block in blocks("text") {
        for one in block.split("$ cpods explain -- ").skip(1) {
            let (words, shown) = one.split_once('\n').unwrap();
            assert_eq!(explained(&rules, words).trim(), shown.trim(), "{words}");
            count += 1;
        }
    }
    assert!(count >= 3);
}

#[test]
fn every_key_is_explained() {
    let mut count = 0;
    for key in TABLES.iter().flat_map(|table| keys(table)) {
        let forms = [
            format!("`{key}`"),
            format!("`[{key}]`"),
            format!("`[[{key}]]`"),
        ];
        let explained = forms.iter().any(|form| MANUAL.contains(form));
        assert!(explained, "`{key}` is not in the manual");
        count += 1;
    }
    assert!(count > 60, "only {count} keys were found");
}
