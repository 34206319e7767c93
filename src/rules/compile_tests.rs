//! Wrong rule files, and where the error says the fault is.

use super::compile::compile;
use super::{RuleSet, Value};

/// Lines of a file, and the error for it: line, key, beginning of the message.
type Wrong = (&'static str, usize, &'static str, &'static str);

const WRONG: &[Wrong] = &[
    ("programs = [", 1, "programs", "unclosed array"),
    (
        "programs = ['x'] | colour = 'red'",
        2,
        "colour",
        "unknown field `colour`",
    ),
    ("programs = 'x'", 1, "programs", "invalid type"),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | rol = 'input'",
        4,
        "rol",
        "unknown field",
    ),
    (
        "[probe] | versions = ['-v']",
        2,
        "versions",
        "unknown field",
    ),
    (
        "summary = 'no programs'",
        1,
        "programs",
        "the rule covers no program",
    ),
    ("programs = ['gcc[']", 1, "programs", "bad glob `gcc[`"),
    (
        "programs = ['x'] | scratch = ['a/[b']",
        2,
        "scratch",
        "bad glob `a/[b`",
    ),
    (
        "programs = ['x'] | system = ['usr']",
        2,
        "system",
        "not an absolute path",
    ),
    (
        "extends = 'nothing' | programs = ['x']",
        1,
        "extends",
        "there is no rule file `nothing`",
    ),
    (
        "base = true | programs = ['x']",
        2,
        "programs",
        "a base covers no programs",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | [[flags]] | names = ['-b', '-a']",
        5,
        "names",
        "flag `-a` said twice",
    ),
    (
        "extends = 'cc-base' | programs = ['x'] | [[flags]] | names = ['-c']",
        4,
        "names",
        "flag `-c` is said in the base already",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | overrides = true",
        3,
        "names",
        "there is no flag `-a` in the base",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | attach = 'joined'",
        4,
        "attach",
        "the flag is attached to a value, but no `value`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | value = 'input'",
        4,
        "value",
        "the flag has a value, but no `attach`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | attach = 'alone' | value = 'input'",
        5,
        "value",
        "the flag has a value, but no `attach`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | attach = 'glued'",
        4,
        "attach",
        "unknown variant `glued`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a='] | attach = 'equals' | value = 'text'",
        3,
        "names",
        "`-a=` ends in `=`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a b']",
        3,
        "names",
        "`-a b` cannot be a flag",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | bare_name = true",
        2,
        "bare_name",
        "only fits a value that is a path",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | installed = true",
        2,
        "installed",
        "only fits a value that is a path",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | local_values = [{ word = 'b', why = 'c' }]",
        2,
        "local_values",
        "`b` is no value: the flag has none",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | attach = 'joined' | value = 'text' \
         | local_values = [{ word = '[', why = 'c' }]",
        2,
        "local_values",
        "bad glob `[`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | mode = 'fly'",
        4,
        "mode",
        "unknown mode `fly`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | attach = 'joined' | value = 'words'",
        2,
        "to",
        "missing",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | attach = 'joined' | value = 'words' | to = 'nobody'",
        6,
        "to",
        "no flag is `within` the table `nobody`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | writes = ['{bse}.x']",
        4,
        "writes",
        "unknown placeholder `{bse}`",
    ),
    (
        "programs = ['x'] | [[flags]] | names = ['-a'] | depfile = '{base'",
        4,
        "depfile",
        "unknown placeholder `{base`",
    ),
    (
        "programs = ['x'] | [[env]] | names = ['TZ']",
        3,
        "names",
        "variable `TZ` said twice",
    ),
    (
        "programs = ['x'] | [[env]] | names = ['A'] | overrides = true",
        3,
        "overrides",
        "there is no variable `A`",
    ),
    (
        "programs = ['x'] | [[env]] | names = ['A'] | value = 'output'",
        2,
        "value",
        "a variable is text or a path that is read",
    ),
    (
        "programs = ['x'] | [[env]] | names = ['A'] | list = true",
        2,
        "list",
        "only paths can be a list",
    ),
    (
        "programs = ['x'] | [[modes]] | name = 'm' | [[modes]] | name = 'm'",
        5,
        "name",
        "mode `m` said twice",
    ),
    (
        "programs = ['x'] | [[languages]] | names = ['c'] | extensions = ['c']",
        4,
        "languages",
        "`c` said twice",
    ),
    (
        "programs = ['x'] | [[languages]] | names = ['d'] | extensions = ['c']",
        4,
        "extensions",
        "`c` does not begin with a dot",
    ),
    (
        "programs = ['x'] | [operands] | value = 'words'",
        3,
        "value",
        "an operand is text",
    ),
    (
        "programs = ['x'] | [[names]] | hub = 'a' | pod = 'b' | from = 'x*' | to = 'y'",
        2,
        "names",
        "`from` and `to` must both have one `*`",
    ),
    (
        "programs = ['x'] | [rewrite] | once = ['{pwd}']",
        3,
        "once",
        "unknown placeholder",
    ),
    (
        "programs = ['x'] | [[ninja.rules]] | name = 'a' | about = '' | description = '' | command = '{cc}'",
        2,
        "command",
        "there is no word `cc` in `ninja.words`",
    ),
    (
        "programs = ['x'] | [[ninja.rules]] | name = 'a' | about = '' | description = '' | command = '$x'",
        1,
        "ninja",
        "`$x` is used, but `ninja.variables` does not explain it",
    ),
    (
        "programs = ['x'] | [[ninja.rules]] | name = 'a' | about = '' | description = '' | command = '100$%'",
        2,
        "command",
        "`$` is no variable",
    ),
    (
        "programs = ['x'] | [[ninja.rules]] | name = 'a' | about = '' | description = '${in' | command = ''",
        2,
        "description",
        "a `{` is not closed",
    ),
    (
        "programs = ['x'] | [[ninja.rules]] | name = 'a b' | about = '' | description = '' | command = ''",
        2,
        "name",
        "`a b` is no name of a rule",
    ),
    (
        "programs = ['x'] | [[ninja.rules]] | name = 'a' | about = '' | description = '' | command = '' | deps = true",
        2,
        "deps",
        "there is no `depfile`",
    ),
    (
        "programs = ['x'] | [[ninja.rules]] | name = 'a' | about = '' | description = '' | command = '' | rspfile = 'r'",
        2,
        "rspfile",
        "`rspfile` and `rspfile_content` go together",
    ),
];

#[test]
fn a_fault_is_shown_with_file_line_and_key() {
    let mut surprises = Vec::new();
    for (lines, line, key, message) in WRONG {
        let text = lines.replace(" | ", "\n");
        let shown = match compile("mine", "dir/mine.toml", &text, RuleSet::sources()) {
            Ok(_) => "no error".to_owned(),
            Err(error) => error.to_string(),
        };
        let begin = format!("dir/mine.toml:{line}: `{key}`: {message}");
        if !shown.starts_with(&begin) {
            surprises.push(format!("{text}\nexpected {begin}\nfound    {shown}\n"));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn a_fault_in_a_base_is_shown_as_the_bases() {
    let library = [("low", "base = true\nwrong = 1\n")];
    let text = "extends = 'low'\nprograms = ['x']\n";
    let error = compile("mine", "mine.toml", text, &library).unwrap_err();
    assert_eq!(
        (error.file.as_str(), error.line, error.key.as_str()),
        ("low.toml", 2, "wrong")
    );
    let circle = [
        ("a", "base = true\nextends = 'b'\n"),
        ("b", "base = true\nextends = 'a'\n"),
    ];
    let error = compile("mine", "mine.toml", "extends = 'a'", &circle).unwrap_err();
    assert!(error.message.contains("extends itself"), "{error}");
}

#[test]
fn a_rule_is_laid_over_its_base() {
    let text = "extends = 'cc-base'\nprograms = ['mycc']\n[[flags]]\nnames = ['-I']\n\
        overrides = true\nattach = 'joined'\nvalue = 'text'\n";
    let rule = compile("mycc", "mycc.toml", text, RuleSet::sources())
        .unwrap()
        .unwrap();
    let (flag, _) = rule.tables[0].find(b"-Ix").unwrap();
    assert_eq!(flag.flag.value, Value::Text);
    assert!(rule.tables[0].find(b"-c").unwrap().0.flag.mode.is_some());
    assert!(
        rule.env
            .iter()
            .any(|variable| variable.name == "SOURCE_DATE_EPOCH")
    );
}

#[test]
fn every_built_in_file_compiles_to_what_the_build_script_made() {
    for (tool, text) in RuleSet::sources() {
        let rule = compile(tool, tool, text, RuleSet::sources()).unwrap();
        assert_eq!(rule.as_ref(), RuleSet::builtin().rule(tool), "{tool}");
    }
}
