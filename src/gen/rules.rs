//! The Ninja snippet of a tool: rules, and a pool for what stays on this machine.
//!
//! What the commands are stands in the tool's rule file; here is only how a snippet looks.

use super::ninja_writer::{Escaped, NinjaError, Writer};
use crate::rules::{NinjaRule, Rule};

/// How a snippet may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Commands that always run on this machine, such as links: so many at a time.
    pub local_depth: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { local_depth: 2 }
    }
}

/// The snippet of a tool; none where its rule says nothing of Ninja.
///
/// # Errors
/// If the rule file says something that Ninja has no way to say.
pub fn snippet(rule: &Rule, options: &Options) -> Result<Option<Vec<u8>>, NinjaError> {
    if rule.ninja.is_empty() {
        return Ok(None);
    }
    let tool = &rule.tool;
    let mut writer = Writer::new();
    head(&mut writer, rule);
    writer.variable("ninja_required_version", &Escaped::value(b"1.5")?)?;
    writer.variable("cpods", &Escaped::value(b"cpods-cc")?)?;
    if rule.ninja.iter().any(|one| one.local) {
        let depth = options.local_depth.to_string();
        let pool = format!("{tool}_local");
        writer.blank();
        writer.comment("For what stays on this machine. To have another, set the variable.");
        writer.pool(&pool, &Escaped::value(depth.as_bytes())?)?;
        writer.variable(&format!("{tool}_pool"), &Escaped::value(pool.as_bytes())?)?;
    }
    for one in rule.ninja.iter() {
        writer.blank();
        writer.comment(&format!("{}.", upper_first(&one.about)));
        let name = format!("{tool}_{}", one.name);
        writer.rule(&name, &variables(tool, one)?)?;
    }
    Ok(Some(writer.into_bytes()))
}

fn head(writer: &mut Writer, rule: &Rule) {
    let tool = &rule.tool;
    let mut text = format!(
        "Ninja rules for {tool}. Written by `cpods-gen rules {tool}` from ninja-rules/{tool}.toml;\n\
         change that instead.\n\n\
         Variables, empty unless you set them: in a build statement, or below the line that\n\
         includes this file.\n"
    );
    let own = [(
        "cpods",
        "what commands are run through; empty: none runs on a pod",
    )];
    let pool = format!("{tool}_pool");
    let pool = (
        pool.as_str(),
        "the pool of commands that stay on this machine",
    );
    let explained = rule.ninja_variables.iter();
    let explained = explained.map(|it| (&*it.name, &*it.about));
    let has_pool = rule.ninja.iter().any(|one| one.local);
    let all: Vec<(&str, &str)> = own
        .into_iter()
        .chain(explained)
        .chain(has_pool.then_some(pool))
        .collect();
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in all {
        text.push_str(&format!("\n  {name:width$}  {about}"));
    }
    writer.comment(&text);
    writer.blank();
}

fn variables(tool: &str, rule: &NinjaRule) -> Result<Vec<(&'static str, Escaped)>, NinjaError> {
    let mut all = vec![("command", Escaped::syntax(&rule.command)?)];
    if let Some(depfile) = &rule.depfile {
        all.push(("depfile", Escaped::syntax(depfile)?));
    }
    if rule.deps {
        all.push(("deps", Escaped::syntax("gcc")?));
    }
    if let (Some(file), Some(content)) = (&rule.rspfile, &rule.rspfile_content) {
        all.push(("rspfile", Escaped::syntax(file)?));
        all.push(("rspfile_content", Escaped::syntax(content)?));
    }
    if rule.local {
        all.push(("pool", Escaped::syntax(&format!("${tool}_pool"))?));
    }
    all.push(("description", Escaped::syntax(&rule.description)?));
    Ok(all)
}

fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
