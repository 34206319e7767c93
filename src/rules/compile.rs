//! Rule files to rules: lays a file over what it extends, checks it, and flattens it.
//!
//! Used by the build script for the built-in rules and by the programs for a user's, so it knows
//! nothing of the rest of the house, and reads no files itself.

use super::file::{self, File, Word};
use super::flags;
use super::glob;
use super::rule::{
    Language, List, Mode, NameMap, Operands, Probe, Rewrite, Rule, Search, Text, Value, Variable,
};
use std::fmt;
use std::ops::Range;
use toml::Spanned;

/// The file that every rule is laid over.
const COMMON: &str = "common";
/// Placeholders in the names of files that the tool writes.
pub(super) const WRITTEN: [&str; 3] = ["{base}", "{stem}", "{source}"];
/// Longest chain of `extends`.
const MAX_BASES: usize = 8;

/// What is wrong with a rule file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The file's name, or its path where there is one.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The key it is about; empty where the TOML itself is broken.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}

/// The text of a rule file under its tool's name.
pub type Source<'a> = (&'a str, &'a str);

/// A file together with what errors need to say where.
pub(super) struct Layer {
    shown: String,
    text: String,
    pub(super) file: File,
}

impl Layer {
    fn parse(shown: &str, text: &str) -> Result<Self, RuleError> {
        let file = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            RuleError {
                file: shown.into(),
                line: line_of(text, at.start),
                key: key_at(text, &at),
                message: error.message().trim().replace('\n', " "),
            }
        })?;
        Ok(Self {
            shown: shown.into(),
            text: text.into(),
            file,
        })
    }

    pub(super) fn fault(
        &self,
        at: &Range<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> RuleError {
        RuleError {
            file: self.shown.clone(),
            line: line_of(&self.text, at.start),
            key: key.into(),
            message: message.into(),
        }
    }

    pub(super) fn globs(&self, key: &str, globs: &[Word]) -> Result<List<Text>, RuleError> {
        for word in globs {
            if let Some(fault) = glob::fault(word.get_ref()) {
                let message = format!("bad glob `{}`: {fault}", word.get_ref());
                return Err(self.fault(&word.span(), key, message));
            }
        }
        Ok(words(globs))
    }

    /// Checks that a template holds no placeholder but these.
    pub(super) fn template(
        &self,
        key: &str,
        word: &Word,
        known: &[&str],
    ) -> Result<Text, RuleError> {
        let mut rest = word.get_ref().as_str();
        while let Some(open) = rest.find('{') {
            let end = rest[open..]
                .find('}')
                .map_or(rest.len(), |end| open + end + 1);
            let name = &rest[open..end];
            if !known.contains(&name) {
                let known = known.join("`, `");
                let message = format!("unknown placeholder `{name}`, expected `{known}`");
                return Err(self.fault(&word.span(), key, message));
            }
            rest = &rest[end..];
        }
        Ok(word.get_ref().clone().into())
    }

    pub(super) fn templates(
        &self,
        key: &str,
        all: &[Word],
        known: &[&str],
    ) -> Result<List<Text>, RuleError> {
        let all: Result<Vec<_>, _> = all
            .iter()
            .map(|word| self.template(key, word, known))
            .collect();
        Ok(all?.into())
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let upto = &text.as_bytes()[..at.min(text.len())];
    upto.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The key that a span points at, or that the value it points at belongs to.
fn key_at(text: &str, at: &Range<usize>) -> String {
    let pointed = text.get(at.clone()).unwrap_or_default();
    let is_key = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let start = text[..at.start.min(text.len())]
        .rfind('\n')
        .map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let left = line.split('=').next().unwrap_or_default().trim();
    match (is_key(pointed), is_key(left)) {
        (true, _) => pointed.into(),
        (false, true) => left.into(),
        (false, false) => String::new(),
    }
}

pub(super) fn words(all: &[Word]) -> List<Text> {
    let all: Vec<Text> = all
        .iter()
        .map(|word| word.get_ref().clone().into())
        .collect();
    all.into()
}

fn texts(all: &[String]) -> List<Text> {
    let all: Vec<Text> = all.iter().map(|word| word.clone().into()).collect();
    all.into()
}

fn text(one: Option<&String>) -> Option<Text> {
    one.map(|one| one.clone().into())
}

/// Compiles the file `tool` shown as `shown` in errors; none for one that is only a base. `library`
/// holds the files that may be extended.
///
/// # Errors
/// The first thing that is wrong with the file or with one that it extends.
pub fn compile(
    tool: &str,
    shown: &str,
    source: &str,
    library: &[Source<'_>],
) -> Result<Option<Rule>, RuleError> {
    let layers = layers(tool, shown, source, library)?;
    let Some(top) = layers.last() else {
        return Ok(None);
    };
    if top.file.base {
        if let Some(first) = top.file.programs.as_ref().and_then(|all| all.first()) {
            return Err(top.fault(&first.span(), "programs", "a base covers no programs"));
        }
        // Checked all the same, so that a base's faults are shown as its own.
        flags::tables(&layers)?;
        return Ok(None);
    }
    let mut rule = Rule {
        tool: tool.to_owned().into(),
        ..Rule::default()
    };
    for layer in &layers {
        lay(&mut rule, layer)?;
    }
    if rule.programs.is_empty() && !rule.covers_roots {
        return Err(top.fault(&(0..0), "programs", "the rule covers no program"));
    }
    rule.tables = flags::tables(&layers)?.into();
    Ok(Some(rule))
}

/// The file and what it extends, the lowest first.
fn layers(
    tool: &str,
    shown: &str,
    source: &str,
    library: &[Source<'_>],
) -> Result<Vec<Layer>, RuleError> {
    let mut layers = vec![Layer::parse(shown, source)?];
    let mut at = tool.to_owned();
    while let Some(extends) = layers[layers.len() - 1].file.extends.clone() {
        let lower = layers[layers.len() - 1].fault(&extends.span(), "extends", "");
        let name = extends.into_inner();
        let found = library.iter().find(|(known, _)| *known == name);
        let message = match found {
            Some((_, text)) if name != at && layers.len() <= MAX_BASES => {
                layers.push(Layer::parse(&format!("{name}.toml"), text)?);
                at = name;
                continue;
            }
            Some(_) => format!("`{name}` extends itself or too many others"),
            None => format!("there is no rule file `{name}`"),
        };
        return Err(RuleError { message, ..lower });
    }
    if tool != COMMON
        && let Some((name, text)) = library.iter().find(|(known, _)| *known == COMMON)
    {
        layers.push(Layer::parse(&format!("{name}.toml"), text)?);
    }
    layers.reverse();
    Ok(layers)
}

/// Lays one file over what lies below it. The flags come apart, since they point at each other.
fn lay(rule: &mut Rule, layer: &Layer) -> Result<(), RuleError> {
    let file = &layer.file;
    if let Some(programs) = &file.programs {
        rule.programs = layer.globs("programs", programs)?;
    }
    rule.covers_roots = file.covers_roots.unwrap_or(rule.covers_roots);
    rule.response_files = file.response_files.unwrap_or(rule.response_files);
    if let Some(needs) = &file.needs {
        rule.needs = words(needs);
    }
    rule.overlay_only = text(file.overlay_only.as_ref()).or(rule.overlay_only.take());
    if let Some(unknown) = &file.unknown {
        rule.unknown = words(unknown);
    }
    for word in &file.scratch {
        if let Err(error) = globset::Glob::new(word.get_ref()) {
            let message = format!("bad glob `{}`: {}", word.get_ref(), error.kind());
            return Err(layer.fault(&word.span(), "scratch", message));
        }
    }
    rule.scratch
        .to_mut()
        .extend(words(&file.scratch).into_owned());
    for word in &file.system {
        if !word.get_ref().starts_with('/') {
            return Err(layer.fault(&word.span(), "system", "not an absolute path"));
        }
    }
    rule.system
        .to_mut()
        .extend(words(&file.system).into_owned());
    for names in &file.names {
        rule.names.to_mut().push(name_map(layer, names)?);
    }
    probe(&mut rule.probe, layer)?;
    modes(rule, layer)?;
    languages(rule, layer)?;
    operands(&mut rule.operands, layer)?;
    rewrite(&mut rule.rewrite, layer)?;
    file.env
        .iter()
        .try_for_each(|env| variables(rule, layer, env))
}

fn name_map(layer: &Layer, names: &Spanned<file::Names>) -> Result<NameMap, RuleError> {
    let map = names.get_ref();
    let stars = |glob: &str| glob.matches('*').count();
    if stars(&map.from) > 1 || stars(&map.from) != stars(&map.to) {
        let message = "`from` and `to` must both have one `*`, or none";
        return Err(layer.fault(&names.span(), "names", message));
    }
    Ok(NameMap {
        hub: map.hub.clone().into(),
        pod: map.pod.clone().into(),
        from: map.from.clone().into(),
        to: map.to.clone().into(),
    })
}

fn probe(probe: &mut Probe, layer: &Layer) -> Result<(), RuleError> {
    let said = &layer.file.probe;
    let set = |field: &mut List<Text>, said: &Option<Vec<String>>| {
        if let Some(said) = said {
            *field = texts(said);
        }
    };
    set(&mut probe.version, &said.version);
    set(&mut probe.target, &said.target);
    set(&mut probe.programs, &said.programs);
    set(&mut probe.found_files, &said.found_files);
    probe.machine = said.machine.unwrap_or(probe.machine);
    probe.libraries = said.libraries.unwrap_or(probe.libraries);
    probe.program = said.program.unwrap_or(probe.program);
    if let Some(print) = &said.print_program {
        probe.print_program = layer.templates("print_program", print, &["{name}"])?;
    }
    if let Some(print) = &said.print_file {
        probe.print_file = layer.templates("print_file", print, &["{name}"])?;
    }
    if let Some(files) = &said.files {
        probe.files = layer.templates("files", files, &["{bin}"])?;
    }
    if let Some(globs) = &said.masquerades {
        probe.masquerades = layer.globs("masquerades", globs)?;
    }
    if let Some(outputs) = &said.outputs {
        probe.outputs = outputs.iter().map(|one| texts(one)).collect();
    }
    if let Some(search) = &said.search {
        let search = search.iter().map(|one| Search {
            args: texts(&one.args),
            after: one.after.clone().into(),
            before: one.before.clone().into(),
        });
        probe.search = search.collect();
    }
    Ok(())
}

fn modes(rule: &mut Rule, layer: &Layer) -> Result<(), RuleError> {
    let Some(said) = &layer.file.modes else {
        return Ok(());
    };
    let mut modes: Vec<Mode> = Vec::new();
    for mode in said {
        let name = mode.name.get_ref();
        if modes.iter().any(|known| known.name == *name) {
            return Err(layer.fault(
                &mode.name.span(),
                "name",
                format!("mode `{name}` said twice"),
            ));
        }
        let output = mode.output.as_ref();
        let output = output.map(|word| layer.template("output", word, &["{stem}", "{source}"]));
        modes.push(Mode {
            name: name.clone().into(),
            output: output.transpose()?,
            local: text(mode.local.as_ref()),
            local_without_output: text(mode.local_without_output.as_ref()),
            overlay_only: text(mode.overlay_only.as_ref()),
            depfile_is_output: mode.depfile_is_output,
            writes: layer.templates("writes", &mode.writes, &WRITTEN)?,
        });
    }
    rule.modes = modes.into();
    Ok(())
}

fn languages(rule: &mut Rule, layer: &Layer) -> Result<(), RuleError> {
    let Some(said) = &layer.file.languages else {
        return Ok(());
    };
    let mut seen: Vec<&str> = Vec::new();
    for word in said
        .iter()
        .flat_map(|one| one.names.iter().chain(&one.extensions))
    {
        let name = word.get_ref();
        if seen.contains(&name.as_str()) {
            return Err(layer.fault(&word.span(), "languages", format!("`{name}` said twice")));
        }
        seen.push(name);
    }
    for word in said.iter().flat_map(|one| &one.extensions) {
        if !word.get_ref().starts_with('.') {
            let message = format!("`{}` does not begin with a dot", word.get_ref());
            return Err(layer.fault(&word.span(), "extensions", message));
        }
    }
    let languages = said.iter().map(|one| Language {
        names: words(&one.names),
        extensions: words(&one.extensions),
        local: text(one.local.as_ref()),
        depfile: one.depfile,
        not_written: words(&one.not_written),
    });
    rule.languages = languages.collect();
    Ok(())
}

fn operands(operands: &mut Operands, layer: &Layer) -> Result<(), RuleError> {
    let said = &layer.file.operands;
    if let Some(value) = &said.value {
        operands.value = *value.get_ref();
        if matches!(operands.value, Value::Word | Value::Words | Value::Language) {
            return Err(layer.fault(&value.span(), "value", "an operand is text or a path"));
        }
    }
    operands.required = said.required.unwrap_or(operands.required);
    operands.other = said.other.unwrap_or(operands.other);
    if let Some(local) = &said.local {
        let local = local
            .iter()
            .map(|one| (one.word.clone().into(), one.why.clone().into()));
        operands.local = local.collect();
    }
    if let Some(globs) = &said.text {
        operands.text = layer.globs("text", globs)?;
    }
    if let Some(extensions) = &said.extensions {
        operands.extensions = words(extensions);
    }
    Ok(())
}

fn rewrite(rewrite: &mut Rewrite, layer: &Layer) -> Result<(), RuleError> {
    let said = &layer.file.rewrite;
    if let Some(all) = &said.each_root {
        rewrite.each_root = layer.templates("each_root", all, &["{mount}", "{root}"])?;
    }
    if let Some(all) = &said.once {
        rewrite.once = layer.templates("once", all, &["{cwd}"])?;
    }
    if let Some(all) = &said.dep_target {
        rewrite.dep_target = layer.templates("dep_target", all, &["{output}"])?;
    }
    Ok(())
}

fn variables(rule: &mut Rule, layer: &Layer, said: &Spanned<file::Env>) -> Result<(), RuleError> {
    let env = said.get_ref();
    let path = matches!(env.value, Value::Input | Value::SearchDir | Value::Guess);
    if !path && env.value != Value::Text {
        return Err(layer.fault(
            &said.span(),
            "value",
            "a variable is text or a path that is read",
        ));
    }
    if env.list && !path {
        return Err(layer.fault(&said.span(), "list", "only paths can be a list"));
    }
    for (name, word) in layer.globs("names", &env.names)?.iter().zip(&env.names) {
        let known = rule.env.iter().position(|known| known.name == *name);
        match (known, env.overrides) {
            (Some(_), false) => {
                let message = format!("variable `{name}` said twice; say `overrides = true`");
                return Err(layer.fault(&word.span(), "names", message));
            }
            (None, true) => {
                let message = format!("there is no variable `{name}` to override");
                return Err(layer.fault(&word.span(), "overrides", message));
            }
            (Some(at), true) => drop(rule.env.to_mut().remove(at)),
            (None, false) => {}
        }
        rule.env.to_mut().push(Variable {
            name: name.clone(),
            value: env.value,
            list: env.list,
            local: text(env.local.as_ref()),
        });
    }
    Ok(())
}
