//! Lays a rule file over what it extends, all but its flags. A part of `compile`; also compiled into
//! the build script.

use super::compile::{Layer, RuleError};
use super::file::{self, Word};
use super::rule::{
    Diagnostic, Language, List, Mode, NameMap, Operands, Pod, Probe, Rewrite, Rule, Says, Search,
    Strict, Text, Value, Variable,
};
use toml::Spanned;

/// Placeholders in the names of files that the tool writes.
pub(super) const WRITTEN: [&str; 3] = ["{base}", "{stem}", "{source}"];

/// Placeholders in what a tool says of a place in a file.
pub(super) const HOLES: [&str; 4] = ["{file}", "{line}", "{column}", "{message}"];

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

/// Lays one file over what lies below it. The flags come apart, since they point at each other.
pub(super) fn lay(rule: &mut Rule, layer: &Layer) -> Result<(), RuleError> {
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
    if let Some(not_found) = &file.not_found {
        rule.not_found = words(not_found);
    }
    rule.misses_softly = file.misses_softly.unwrap_or(rule.misses_softly);
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
    pod(&mut rule.pod, layer)?;
    strict(&mut rule.strict, layer)?;
    if let Some(said) = &layer.file.diagnostics {
        rule.diagnostics = said
            .iter()
            .map(|one| diagnostic(layer, one))
            .collect::<Result<_, _>>()?;
    }
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
    if let Some(line) = &said.version_line {
        probe.version_line = line.clone().into();
    }
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
            absent: one.absent.clone().map(Into::into),
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
        if matches!(
            operands.value,
            Value::Word | Value::Words | Value::SpacedWords | Value::Language
        ) {
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

fn pod(pod: &mut Pod, layer: &Layer) -> Result<(), RuleError> {
    let said = &layer.file.pod;
    for (name, word) in &said.env {
        let value = layer.template("env", word, &["{warm}", "{bin}"])?;
        let env = pod.env.to_mut();
        env.retain(|(known, _)| known != name);
        env.push((name.clone().into(), value));
    }
    if let Some(command) = &said.prepare {
        pod.prepare = layer.templates("prepare", command, &["{warm}", "{bin}"])?;
    }
    pod.args = said.args.as_deref().map_or(pod.args.clone(), words);
    pod.writes_near = said.writes_near.unwrap_or(pod.writes_near);
    pod.seconds = said.seconds.unwrap_or(pod.seconds);
    pod.memory_mib = said.memory_mib.unwrap_or(pod.memory_mib);
    pod.waits = said.waits.unwrap_or(pod.waits);
    Ok(())
}

fn strict(strict: &mut Strict, layer: &Layer) -> Result<(), RuleError> {
    let said = &layer.file.strict;
    strict.output = said.output.unwrap_or(strict.output);
    strict.args = said.args.as_deref().map_or(strict.args.clone(), words);
    if let Some(blind) = &said.blind {
        strict.blind = layer.globs("blind", blind)?;
    }
    if let Some(all) = &said.says {
        let says = all.iter().map(|one| {
            Ok(Says {
                lines: layer.globs("lines", &one.lines)?,
                why: one.why.clone().into(),
            })
        });
        strict.says = says.collect::<Result<_, RuleError>>()?;
    }
    Ok(())
}

fn diagnostic(layer: &Layer, said: &file::Diagnostic) -> Result<Diagnostic, RuleError> {
    let severity = said.severity.get_ref();
    if !["error", "warning", "note"].contains(&severity.as_str()) {
        let message = format!("`{severity}` is none of `error`, `warning`, `note`");
        return Err(layer.fault(&said.severity.span(), "severity", message));
    }
    Ok(Diagnostic {
        line: layer.template("line", &said.line, &HOLES)?,
        severity: severity.clone().into(),
    })
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
