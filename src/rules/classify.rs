//! From a command line to a decision, in two stages.
//!
//! [`parse`] needs no roots, so a wrapper runs it before it asks a hub for them; [`resolve`] finds
//! the paths in the roots and makes the job. Pure: what must be known of the disk is asked of a
//! [`Look`].

use super::ask::{Command, Decision, Look, Reason};
use super::glob;
use super::resolve::resolve;
use super::rule::{Rule, Variable};
use super::scan::{Scan, join, reason};
use super::set::{RuleSet, basename};
use super::words;
use crate::paths::{Roots, normalise};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A command line that a pod may run if its paths allow it.
#[derive(Debug)]
pub struct Parsed<'r> {
    pub(super) scan: Scan<'r>,
    pub(super) argv0: Vec<u8>,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(Vec<u8>, Vec<u8>, &'r Variable)>,
    pub(super) roots_rule: Option<&'r Rule>,
}

impl Parsed<'_> {
    /// The rule's name; what [`Job::need`] asks for unless the program lies in a root.
    pub fn tool(&self) -> &str {
        &self.scan.rule.tool
    }
}

/// Stage 1: what the words mean. No roots are needed, and few questions asked of the disk.
///
/// # Errors
/// Why the command line runs locally, whatever the roots are.
pub fn parse<'r>(
    rules: &'r RuleSet,
    command: &Command<'_>,
    look: &dyn Look,
) -> Result<Parsed<'r>, Reason> {
    let mut parsed = parse_all(rules, command, look)?;
    match parsed.scan.local.take() {
        Some(reason) => Err(reason),
        None => Ok(parsed),
    }
}

/// Stage 1 for explanations: keeps what was found of a command line that runs locally.
pub(super) fn parse_all<'r>(
    rules: &'r RuleSet,
    command: &Command<'_>,
    look: &dyn Look,
) -> Result<Parsed<'r>, Reason> {
    let argv0 = command
        .argv
        .first()
        .map_or(&b""[..], |word| word.as_bytes());
    let name = String::from_utf8_lossy(basename(argv0));
    let no_rule = || reason("no rule for this program", name.as_bytes());
    let roots_rule = match argv0.contains(&b'/') {
        true => rules.rule_for_roots(),
        false => None,
    };
    let whole = normalise(&join(command.cwd, argv0));
    let roots_rule = roots_rule.filter(|rule| !is_system(rule, &whole));
    let rule = rules
        .rule_for(OsStr::from_bytes(argv0))
        .or(roots_rule)
        .ok_or_else(no_rule)?;
    let words = match rule.response_files {
        true => words::expand(command, look)?,
        false => words::plain(command),
    };
    let mut scan = Scan::new(rule, words, command, look);
    let env = environment(&mut scan, command);
    Ok(Parsed {
        scan,
        argv0: argv0.to_vec(),
        cwd: command.cwd.into(),
        env,
        roots_rule,
    })
}

/// The variables that travel; notes one that cannot.
fn environment<'r>(
    scan: &mut Scan<'r>,
    command: &Command<'_>,
) -> Vec<(Vec<u8>, Vec<u8>, &'r Variable)> {
    let mut kept = Vec::new();
    for (name, value) in command.env {
        let fits = |v: &&Variable| glob::matches(v.name.as_bytes(), name.as_bytes());
        let Some(variable) = scan.rule.env.iter().find(fits) else {
            continue;
        };
        match &variable.local {
            Some(_) if value.is_empty() => {}
            Some(why) => {
                scan.local
                    .get_or_insert_with(|| reason(why, name.as_bytes()));
            }
            None => kept.push((
                name.as_bytes().to_vec(),
                value.as_bytes().to_vec(),
                variable,
            )),
        }
    }
    kept
}

pub(super) fn is_system(rule: &Rule, whole: &Path) -> bool {
    rule.system
        .iter()
        .any(|directory| whole.starts_with(&**directory))
}

/// Both stages.
pub fn classify(
    rules: &RuleSet,
    command: &Command<'_>,
    roots: &Roots,
    look: &dyn Look,
) -> Decision {
    match parse(rules, command, look) {
        Ok(parsed) => resolve(&parsed, roots, look),
        Err(reason) => Decision::Local(reason),
    }
}
