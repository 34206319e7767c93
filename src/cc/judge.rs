//! Judges a job that ended with exit code 0 by what a rule's `[strict]` says of success.
//!
//! Only with `CPODS_STRICT=1`, since the tool itself says otherwise. Looks at what the tool says as
//! it goes by, whether it is shown at once or held back; what it says is never changed.

use super::listener::Listener;
use super::{Call, Disk, complain, exit_code, local};
use crate::rules::{self, RuleSet, Strict, Text};
use crate::wire::frame::STDERR;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// More of a line is not looked at.
const LONGEST_LINE_BYTES: usize = 64 << 10;

/// Exit code of a job that the tool takes for a success and the rule for a failure.
pub(crate) const FAILED: u8 = 1;

/// Whether success is judged by the rules, too.
pub(crate) fn is_strict() -> bool {
    std::env::var_os("CPODS_STRICT").is_some_and(|value| value == "1")
}

/// The rule's `[strict]`, if it is asked for and says anything.
pub(crate) fn strict_of(rule: Option<&rules::Rule>) -> Option<&Strict> {
    rule.map(|rule| &rule.strict)
        .filter(|strict| is_strict() && **strict != Strict::default())
}

/// The command line with the flags that the rule adds where success is judged.
///
/// # Errors
/// A word with which it could not be.
pub(crate) fn with_args(rules: &RuleSet, argv: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let Some(strict) = strict_of(rules.rule_for(&argv[0])) else {
        return Ok(argv);
    };
    match blinding(&strict.blind, &argv) {
        Some(word) => Err(format!(
            "`{}` hides what success is judged by (CPODS_STRICT=1)",
            word.display()
        )),
        None => Ok(add(&strict.args, argv)),
    }
}

fn blinding<'a>(blind: &[Text], argv: &'a [OsString]) -> Option<&'a OsString> {
    let hides = |word: &&OsString| {
        let mut globs = blind.iter();
        globs.any(|glob| rules::fits(glob, word.as_encoded_bytes()))
    };
    argv[1..].iter().find(hides)
}

/// Puts flags in front, but for those that are there with another value.
fn add(args: &[Text], mut argv: Vec<OsString>) -> Vec<OsString> {
    let missing: Vec<OsString> = missing(args, &argv).map(Into::into).collect();
    argv.splice(1..1, missing);
    argv
}

/// Those flags that a command line has not, with whatever value.
pub(crate) fn missing<'a>(args: &'a [Text], argv: &[OsString]) -> impl Iterator<Item = &'a str> {
    let flag = |word: &[u8]| word.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    let words = argv[1..]
        .iter()
        .map(move |word| flag(word.as_encoded_bytes()));
    let there: Vec<_> = words.collect();
    let args = args.iter().map(|arg| &**arg);
    args.filter(move |arg| !there.contains(&flag(arg.as_bytes())))
}

/// What is known so far of one job.
#[derive(Debug)]
pub(crate) struct Judge<'r> {
    strict: &'r Strict,
    /// The unfinished lines of stdout and stderr.
    lines: [Vec<u8>; 2],
    found: Option<String>,
}

impl<'r> Judge<'r> {
    pub(crate) fn new(strict: &'r Strict) -> Self {
        Self {
            strict,
            lines: [Vec::new(), Vec::new()],
            found: None,
        }
    }

    /// The job starts again elsewhere.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.strict);
    }

    /// A piece of a stream.
    pub(crate) fn hear(&mut self, channel: u32, bytes: &[u8]) {
        let stream = usize::from(channel == STDERR);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = &mut self.lines[stream];
            let room = LONGEST_LINE_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(line);
                self.line(line.trim_ascii_end());
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        if self.found.is_some() {
            return;
        }
        let says = self.strict.says.iter();
        let mut said = says.filter(|says| says.lines.iter().any(|glob| rules::fits(glob, line)));
        if let Some(says) = said.next() {
            let line = String::from_utf8_lossy(line);
            self.found = Some(format!("{}: {}", says.why, line.trim()));
        }
    }

    /// Why a job that ended with exit code 0 has failed all the same. `missing` are primary outputs
    /// that it did not write.
    pub(crate) fn failure(&mut self, missing: &[PathBuf]) -> Option<String> {
        for line in std::mem::take(&mut self.lines) {
            self.line(line.trim_ascii_end());
        }
        let missing = missing.first().filter(|_| self.strict.output);
        let missing = missing.map(|path| format!("it did not write `{}`", path.display()));
        self.found.take().or(missing)
    }
}

/// What stands at a path, to tell whether it was written since.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen(Option<(u64, u64, i64, i64, i64, i64)>);

impl Seen {
    pub(crate) fn at(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path).ok().filter(|found| found.is_file());
        Self(found.map(|found| {
            let modified = (found.mtime(), found.mtime_nsec());
            let changed = (found.ctime(), found.ctime_nsec());
            (
                found.ino(),
                found.size(),
                modified.0,
                modified.1,
                changed.0,
                changed.1,
            )
        }))
    }

    /// Whether a file was written there since.
    pub(crate) fn is_written(&self, path: &Path) -> bool {
        let now = Self::at(path);
        now.0.is_some() && now != *self
    }
}

impl Call {
    /// Runs the tool here, and waits for it only where somebody listens to it.
    pub(super) fn in_slot(&self, program: &Path, rules: &RuleSet) -> ExitCode {
        let rule = rules.rule_for(&self.argv[0]);
        let mut listener = Listener::new(rule, || self.first_input(rules));
        if listener.is_deaf() {
            return local::run_in_slot(program, &self.argv);
        }
        let outputs = rules::outputs_of(rules, &self.command(), &Disk);
        let before: Vec<_> = outputs.iter().map(|path| Seen::at(path)).collect();
        let ending = match local::watch_in_slot(program, &self.argv, &mut listener) {
            Ok(ending) => ending,
            Err(code) => return code,
        };
        if !ending.is_success() {
            self.discard_failed(rule, &outputs);
            return exit_code(ending);
        }
        let missing = outputs.iter().zip(&before);
        let missing = missing.filter(|(path, before)| !before.is_written(path));
        match listener.failure(|| missing.map(|(path, _)| path.clone()).collect()) {
            Some(why) => self.judged(&why, &outputs),
            None => exit_code(ending),
        }
    }

    /// Says why a success is a failure.
    pub(super) fn judged(&self, why: &str, outputs: &[PathBuf]) -> ExitCode {
        discard(outputs);
        complain(&format!("{} exited 0, but {why}", self.argv[0].display()));
        ExitCode::from(FAILED)
    }

    /// The tool itself says that it failed, and may have left something all the same.
    pub(super) fn discard_failed(&self, rule: Option<&rules::Rule>, outputs: &[PathBuf]) {
        if strict_of(rule).is_some_and(|strict| strict.output) {
            discard(outputs);
        }
    }
}

/// Leaves no output that would be taken for a good one.
fn discard(outputs: &[PathBuf]) {
    for path in outputs.iter().filter(|path| path.is_file()) {
        if let Err(error) = std::fs::remove_file(path) {
            complain(&format!("cannot remove `{}`: {error}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Says;
    use crate::wire::frame::STDOUT;

    fn strict() -> Strict {
        Strict {
            output: true,
            args: Vec::new().into(),
            blind: Vec::new().into(),
            says: vec![Says {
                lines: vec!["* : Timeout*".into()].into(),
                why: "a goal is not proved".into(),
            }]
            .into(),
        }
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let strict = strict();
        let mut judge = Judge::new(&strict);
        judge.hear(STDOUT, b"[wp] a : Val");
        judge.hear(STDERR, b"noise\n");
        judge.hear(STDOUT, b"id\n[wp] b : Tim");
        judge.hear(STDERR, b": Timeout");
        judge.hear(STDOUT, b"eout (3s)\n");
        let why = "a goal is not proved: [wp] b : Timeout (3s)";
        assert_eq!(judge.failure(&[]).as_deref(), Some(why));
        judge.hear(STDOUT, b"x : Timeout");
        judge.restart();
        assert_eq!(judge.failure(&[]), None);
        judge.hear(STDOUT, b"x : Timeout");
        assert!(judge.failure(&[]).is_some(), "a last line without its end");
    }

    #[test]
    fn a_word_that_hides_what_is_judged_is_named() {
        let blind: [Text; 2] = ["-quiet".into(), "-verbose=*".into()];
        for (line, found) in [
            ("frama-c -wp a.c", None),
            ("frama-c -wp -quiet a.c", Some("-quiet")),
            ("frama-c -verbose=0 a.c", Some("-verbose=0")),
            ("-quiet a.c", None),
        ] {
            let argv: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let word = blinding(&blind, &argv).map(|it| it.to_str().unwrap());
            assert_eq!(word, found, "{line}");
        }
    }

    #[test]
    fn flags_are_added_once() {
        let args: [Text; 2] = ["--errors=a,b".into(), "--strict".into()];
        for (given, expected) in [
            ("context a.tex", "context --errors=a,b --strict a.tex"),
            (
                "context --errors=c a.tex",
                "context --strict --errors=c a.tex",
            ),
            ("context", "context --errors=a,b --strict"),
        ] {
            let words = given.split(' ').map(OsString::from).collect();
            let found = add(&args, words).join(" ".as_ref());
            assert_eq!(found, expected, "{given}");
        }
    }

    #[test]
    fn an_output_must_be_written_anew() {
        let strict = strict();
        let mut judge = Judge::new(&strict);
        let why = judge.failure(&["a.pdf".into()]);
        assert_eq!(why.as_deref(), Some("it did not write `a.pdf`"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.pdf");
        let seen = Seen::at(&file);
        assert!(!seen.is_written(&file));
        std::fs::write(&file, "x").unwrap();
        assert!(seen.is_written(&file));
        let seen = Seen::at(&file);
        assert!(!seen.is_written(&file), "an old one");
        std::fs::write(&file, "longer").unwrap();
        assert!(seen.is_written(&file));
    }
}
