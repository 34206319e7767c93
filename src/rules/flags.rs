//! The flags of a rule and of the files it extends, checked against each other and sorted.
//!
//! A part of `compile`; also compiled into the build script.

use super::compile::{Layer, RuleError};
use super::file::{self, Word};
use super::glob;
use super::lay::{WRITTEN, words};
use super::rule::{Attach, Flag, Table, Text, Value};
use std::collections::BTreeMap;
use toml::Spanned;

/// A flag and the layer that said so last.
type Known = BTreeMap<(usize, String), (usize, Flag)>;

/// All flags, by table.
pub(super) fn tables(layers: &[Layer]) -> Result<Vec<Table>, RuleError> {
    let mut names: Vec<&str> = vec![""];
    for flag in layers.iter().flat_map(|layer| &layer.file.flags) {
        for table in flag.get_ref().within.iter().flatten() {
            if !names.contains(&table.as_str()) {
                names.push(table);
            }
        }
    }
    let mut known = Known::new();
    for (depth, layer) in layers.iter().enumerate() {
        for said in &layer.file.flags {
            let flag = flag(layers, layer, said, &names)?;
            for word in &said.get_ref().names {
                name(layer, word, flag.attach)?;
                let tables = said.get_ref().within.as_deref();
                for table in tables.unwrap_or(&[String::new()]) {
                    let at = names.iter().position(|name| name == table).unwrap_or(0);
                    insert(
                        &mut known,
                        (depth, layer),
                        at,
                        said.get_ref().overrides,
                        word,
                        flag.clone(),
                    )?;
                }
            }
        }
    }
    let table = |(at, name): (usize, &&str)| {
        let (mut names, mut flags) = (Vec::new(), Vec::new());
        for ((_, name), (_, flag)) in known.iter().filter(|((table, _), _)| *table == at) {
            let same = flags.iter().position(|other| other == flag);
            let index = same.unwrap_or_else(|| {
                flags.push(flag.clone());
                flags.len() - 1
            });
            names.push((name.clone().into(), index));
        }
        Table {
            name: (*name).to_owned().into(),
            names: names.into(),
            flags: flags.into(),
        }
    };
    Ok(names.iter().enumerate().map(table).collect())
}

fn insert(
    known: &mut Known,
    (depth, layer): (usize, &Layer),
    table: usize,
    overrides: bool,
    word: &Word,
    flag: Flag,
) -> Result<(), RuleError> {
    let name = word.get_ref();
    let key = (table, name.clone());
    let message = match (known.get(&key), overrides) {
        (Some((other, _)), _) if *other == depth => format!("flag `{name}` said twice"),
        (Some(_), false) => {
            format!("flag `{name}` is said in the base already; say `overrides = true`")
        }
        (None, true) => format!("there is no flag `{name}` in the base to override"),
        _ => {
            known.insert(key, (depth, flag));
            return Ok(());
        }
    };
    Err(layer.fault(&word.span(), "names", message))
}

fn name(layer: &Layer, word: &Word, attach: Attach) -> Result<(), RuleError> {
    let name = word.get_ref();
    let message = if name.is_empty() || name.contains(char::is_whitespace) {
        format!("`{name}` cannot be a flag")
    } else if name.ends_with('=') && !matches!(attach, Attach::Joined | Attach::Either) {
        format!("`{name}` ends in `=`, so its value is `joined`")
    } else {
        return Ok(());
    };
    Err(layer.fault(&word.span(), "names", message))
}

/// What is said of a flag, its name left open.
fn flag(
    layers: &[Layer],
    layer: &Layer,
    said: &Spanned<file::Flag>,
    tables: &[&str],
) -> Result<Flag, RuleError> {
    let flag = said.get_ref();
    let value = value(layer, said)?;
    let is_path = !matches!(
        value,
        Value::Text | Value::Word | Value::Words | Value::SpacedWords | Value::Language
    );
    for (key, given) in [
        ("after", flag.after.is_some()),
        ("not_path", !flag.not_path.is_empty()),
        ("bare_name", flag.bare_name),
        ("installed", flag.installed),
        ("only_in_root", flag.only_in_root.is_some()),
    ] {
        if given && !is_path {
            return Err(layer.fault(&said.span(), key, "only fits a value that is a path"));
        }
    }
    let has_value = flag.value.is_some();
    if let Some(first) = flag.local_values.first().filter(|_| !has_value) {
        let message = format!("`{}` is no value: the flag has none", first.word);
        return Err(layer.fault(&said.span(), "local_values", message));
    }
    let local_values = flag
        .local_values
        .iter()
        .map(|one| local_value(layer, said, one));
    let local_values: Vec<_> = local_values.collect::<Result<_, _>>()?;
    let depfile = flag.depfile.as_ref();
    let depfile = depfile
        .map(|word| layer.template("depfile", word, &WRITTEN))
        .transpose()?;
    let not_path: Vec<Text> = flag.not_path.iter().map(|one| one.clone().into()).collect();
    Ok(Flag {
        attach: flag
            .attach
            .as_ref()
            .map_or(Attach::Alone, |attach| *attach.get_ref()),
        value,
        table: table(layer, said, value, tables)?,
        after: flag
            .after
            .as_ref()
            .map(|word| word.get_ref().clone().into()),
        not_path: not_path.into(),
        bare_name: flag.bare_name,
        installed: flag.installed,
        only_in_root: flag
            .only_in_root
            .as_ref()
            .map(|word| word.get_ref().clone().into()),
        mode: flag
            .mode
            .as_ref()
            .map(|word| mode(layers, layer, word))
            .transpose()?,
        depfile,
        dep_target: flag.dep_target,
        writes: layer.templates("writes", &flag.writes, &WRITTEN)?,
        local_values: local_values.into(),
        local: flag.local.as_ref().map(|why| why.clone().into()),
        overlay_only: flag.overlay_only.as_ref().map(|why| why.clone().into()),
        local_without_output: flag
            .local_without_output
            .as_ref()
            .map(|why| why.clone().into()),
        suffix: flag.suffix.as_ref().map(|suffix| suffix.clone().into()),
        ends_flags: flag.ends_flags,
    })
}

/// A glob on values, and why it makes a command local.
fn local_value(
    layer: &Layer,
    said: &Spanned<file::Flag>,
    one: &file::LocalWord,
) -> Result<(Text, Text), RuleError> {
    match glob::fault(&one.word) {
        Some(fault) => {
            let message = format!("bad glob `{}`: {fault}", one.word);
            Err(layer.fault(&said.span(), "local_values", message))
        }
        None => Ok((one.word.clone().into(), one.why.clone().into())),
    }
}

/// What the value is; checks that it and its attachment fit together.
fn value(layer: &Layer, said: &Spanned<file::Flag>) -> Result<Value, RuleError> {
    let flag = said.get_ref();
    let attached = flag
        .attach
        .as_ref()
        .filter(|attach| *attach.get_ref() != Attach::Alone);
    match (&flag.value, attached) {
        (None, Some(attach)) => {
            let message = "the flag is attached to a value, but no `value` says what it is";
            Err(layer.fault(&attach.span(), "attach", message))
        }
        (Some(value), None) => {
            let message = "the flag has a value, but no `attach` says how it is attached";
            Err(layer.fault(&value.span(), "value", message))
        }
        (Some(value), Some(_)) => Ok(*value.get_ref()),
        (None, None) => Ok(Value::Text),
    }
}

fn table(
    layer: &Layer,
    said: &Spanned<file::Flag>,
    value: Value,
    tables: &[&str],
) -> Result<u8, RuleError> {
    let passes = matches!(value, Value::Word | Value::Words | Value::SpacedWords);
    let Some(to) = &said.get_ref().to else {
        return match passes {
            true => Err(layer.fault(&said.span(), "to", "missing: whose words are they?")),
            false => Ok(0),
        };
    };
    let message = match tables.iter().position(|name| name == to.get_ref()) {
        Some(at) if passes && at > 0 => {
            let too_many = |_| layer.fault(&to.span(), "to", "too many tables");
            return u8::try_from(at).map_err(too_many);
        }
        Some(_) if !passes => "only fits the values `word` and `words`".to_owned(),
        _ => format!("no flag is `within` the table `{}`", to.get_ref()),
    };
    Err(layer.fault(&to.span(), "to", message))
}

/// The index of a mode in the topmost layer that has modes.
fn mode(layers: &[Layer], layer: &Layer, word: &Word) -> Result<u8, RuleError> {
    let modes = layers
        .iter()
        .rev()
        .find_map(|layer| layer.file.modes.as_ref());
    let at = modes
        .into_iter()
        .flatten()
        .position(|mode| mode.name.get_ref() == word.get_ref())
        .and_then(|at| u8::try_from(at).ok());
    at.ok_or_else(|| {
        let known = modes.into_iter().flatten().map(|mode| mode.name.clone());
        let known = words(&known.collect::<Vec<_>>()).join("`, `");
        let message = format!("unknown mode `{}`, expected `{known}`", word.get_ref());
        layer.fault(&word.span(), "mode", message)
    })
}
