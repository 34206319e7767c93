//! What a rule file says of Ninja: templates of Ninja rules, checked as far as Ninja itself would.
//!
//! A part of `compile`; also compiled into the build script. How a snippet is written is the
//! business of `gen`.

use super::compile::{Layer, RuleError};
use super::file;
use super::rule::{NinjaRule, NinjaVariable, Rule, Text};
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Variables that Ninja sets itself, and the one that every snippet sets.
const KNOWN: [&str; 4] = ["in", "out", "in_newline", "cpods"];

/// Takes the templates of all layers; the words are put in last, so that a base's templates hold
/// words of the files that extend it.
pub(super) fn lay(rule: &mut Rule, layers: &[Layer]) -> Result<(), RuleError> {
    let Some(top) = layers.last() else {
        return Ok(());
    };
    let mut words = BTreeMap::new();
    let mut about = BTreeMap::new();
    let mut rules = None;
    for layer in layers {
        let said = &layer.file.ninja;
        words.extend(said.words.iter().map(|(key, word)| (key.as_str(), word)));
        about.extend(said.variables.iter());
        if let Some(said) = &said.rules {
            rules = Some((layer, said));
        }
    }
    let Some((layer, said)) = rules else {
        return Ok(());
    };
    let mut names = BTreeSet::new();
    let own = std::ptr::eq(layer, top);
    for one in said {
        // A base's rules are for those files only that have the words for them.
        if !own && !has_words(one.get_ref(), &words) {
            continue;
        }
        let compiled = compile(layer, one, &words)?;
        if !names.insert(compiled.name.clone()) {
            let message = format!("rule `{}` said twice", compiled.name);
            return Err(layer.fault(&one.span(), "name", message));
        }
        rule.ninja.to_mut().push(compiled);
    }
    let used: BTreeSet<String> = rule.ninja.iter().flat_map(NinjaRule::variables).collect();
    for name in used.iter().filter(|it| !KNOWN.contains(&it.as_str())) {
        let Some(about) = about.get(name) else {
            let message = format!("`${name}` is used, but `ninja.variables` does not explain it");
            return Err(top.fault(&(0..0), "ninja", message));
        };
        rule.ninja_variables.to_mut().push(NinjaVariable {
            name: name.clone().into(),
            about: (*about).clone().into(),
        });
    }
    Ok(())
}

fn has_words(rule: &file::NinjaRule, words: &BTreeMap<&str, &Spanned<String>>) -> bool {
    let optional = [&rule.depfile, &rule.rspfile, &rule.rspfile_content];
    let mut texts = [&rule.command, &rule.description]
        .into_iter()
        .chain(optional.into_iter().flatten());
    texts.all(|text| put(text, words).is_ok())
}

fn compile(
    layer: &Layer,
    said: &Spanned<file::NinjaRule>,
    words: &BTreeMap<&str, &Spanned<String>>,
) -> Result<NinjaRule, RuleError> {
    let rule = said.get_ref();
    let fault = |key: &str, message: String| layer.fault(&said.span(), key, message);
    let text = |key: &str, text: &str| {
        let text = put(text, words).map_err(|message| fault(key, message))?;
        variables(&text).map_err(|message| fault(key, message))?;
        Ok(Text::from(text))
    };
    let optional =
        |key: &str, one: &Option<String>| one.as_ref().map(|it| text(key, it)).transpose();
    if !rule.name.bytes().all(is_name) || rule.name.is_empty() {
        return Err(fault(
            "name",
            format!("`{}` is no name of a rule", rule.name),
        ));
    }
    if rule.deps && rule.depfile.is_none() {
        return Err(fault("deps", "there is no `depfile`".to_owned()));
    }
    if rule.rspfile.is_some() != rule.rspfile_content.is_some() {
        let message = "`rspfile` and `rspfile_content` go together";
        return Err(fault("rspfile", message.to_owned()));
    }
    Ok(NinjaRule {
        name: rule.name.clone().into(),
        about: rule.about.clone().into(),
        command: text("command", &rule.command)?,
        description: text("description", &rule.description)?,
        depfile: optional("depfile", &rule.depfile)?,
        deps: rule.deps,
        rspfile: optional("rspfile", &rule.rspfile)?,
        rspfile_content: optional("rspfile_content", &rule.rspfile_content)?,
        local: rule.local,
    })
}

impl NinjaRule {
    /// The variables that it uses.
    pub(super) fn variables(&self) -> BTreeSet<String> {
        let optional = [&self.depfile, &self.rspfile, &self.rspfile_content];
        let texts = [&self.command, &self.description].into_iter();
        let texts = texts.chain(optional.into_iter().flatten());
        texts
            .flat_map(|text| variables(text).unwrap_or_default())
            .collect()
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// Puts words in the place of `{name}`; `${name}` is Ninja's.
fn put(template: &str, words: &BTreeMap<&str, &Spanned<String>>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        let end = from.find('}').ok_or("a `{` is not closed")? + 1;
        text.push_str(before);
        if before.ends_with('$') {
            text.push_str(&from[..end]);
        } else {
            let name = &from[1..end - 1];
            let word = words.get(name);
            let word = word.ok_or_else(|| format!("there is no word `{name}` in `ninja.words`"))?;
            text.push_str(word.get_ref());
        }
        rest = &from[end..];
    }
    Ok(text + rest)
}

/// The variables of a text in Ninja's syntax; what is wrong with it.
fn variables(text: &str) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    if text.contains(['\n', '\r', '\0']) {
        return Err("Ninja has no such control characters in values".to_owned());
    }
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        let (name, after) = if let Some(braced) = rest.strip_prefix('{') {
            braced.split_once('}').ok_or("a `${` is not closed")?
        } else if rest.starts_with(['$', ' ', ':']) {
            rest = &rest[1..];
            continue;
        } else {
            // A dot ends a name without braces: `$out.d`.
            let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && !"_-".contains(it));
            rest.split_at(end.unwrap_or(rest.len()))
        };
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(format!("`${name}` is no variable; `$$` is a dollar sign"));
        }
        found.insert(name.to_owned());
        rest = after;
    }
    Ok(found)
}
