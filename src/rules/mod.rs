//! Rule files, and what a command line means by them.

mod ask;
mod rule;

pub use ask::{Command, Decision, FileKind, Look, Reason};
pub use rule::{
    Attach, Flag, Language, List, Mode, NameMap, Operands, Probe, Rewrite, Rule, Search, Table,
    Text, Value, Variable,
};
/// stub
#[derive(Debug)]
pub struct RuleSet;
/// stub
#[derive(Debug)]
pub struct Parsed;
impl Rule {
    /// s
    pub fn tool(&self) -> &str {
        &self.tool
    }
}
impl RuleSet {
    /// s
    pub fn rule_for(&self, _: &std::ffi::OsStr) -> Option<&Rule> {
        None
    }
    /// s
    pub fn rule(&self, _: &str) -> Option<&Rule> {
        None
    }
}
/// s
pub fn parse(_: &RuleSet, _: &Command<'_>, _: &dyn Look) -> Result<Parsed, Reason> {
    Ok(Parsed)
}
/// s
pub fn resolve(_: Parsed, _: &crate::paths::Roots, _: &dyn Look) -> Decision {
    panic!()
}
/// s
pub fn explain(_: &RuleSet, _: &Command<'_>, _: &crate::paths::Roots, _: &dyn Look) -> String {
    panic!()
}
