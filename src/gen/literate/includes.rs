//! What C sources include, for tools that do not tell: `#include "..."`, VeriFast's `//@ #include`
//! too.
//!
//! Headers in angle brackets belong to the tool. An include that is made by a macro is not seen, one
//! that the preprocessor leaves out is.

use std::collections::BTreeSet;

/// The sources and what they include, as far as it is there; names are looked for beside the file
/// that includes them, then in `folders`.
pub(super) fn closure(
    sources: &[String],
    folders: &[String],
    read: &dyn Fn(&str) -> Option<String>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = sources.to_vec();
    while let Some(file) = open.pop() {
        let Some(text) = read(&file) else { continue };
        let own = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        found.insert(file.clone());
        for name in text.lines().filter_map(included) {
            let folders = [own].into_iter().chain(folders.iter().map(|it| &**it));
            let mut names = folders.map(|folder| match folder {
                "" => super::find::tidy(name),
                folder => super::find::tidy(&format!("{folder}/{name}")),
            });
            if let Some(name) = names.find(|it| read(it).is_some())
                && !found.contains(&name)
            {
                open.push(name);
            }
        }
    }
    found
}

fn included(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line
        .strip_prefix("//")
        .or(line.strip_prefix("/*"))
        .unwrap_or(line);
    let line = line.strip_prefix('@').unwrap_or(line).trim_start();
    let line = line.strip_prefix('#')?.trim_start();
    let name = line
        .strip_prefix("include")?
        .trim_start()
        .strip_prefix('"')?;
    name.split_once('"').map(|(name, _)| name)
}

/// The folders that flags name by `-I`, also within a word as Frama-C has it.
pub(super) fn folders(flags: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let words = shell_words::split(flags).unwrap_or_default();
    let inner = words
        .iter()
        .filter_map(|it| it.strip_prefix("-cpp-extra-args="));
    let inner = inner.flat_map(|it| shell_words::split(it).unwrap_or_default());
    let words: Vec<String> = inner.chain(words.iter().cloned()).collect();
    for (at, word) in words.iter().enumerate() {
        match word.strip_prefix("-I") {
            Some("") => folders.extend(words.get(at + 1).cloned()),
            Some(folder) => folders.push(folder.to_owned()),
            None => {}
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_followed() {
        let files = [
            (
                "src/a.c",
                "#include \"b.h\"\n # include \"lib/c.h\" // x\n#include <d.h>\n//@ #include \"e.gh\"\n",
            ),
            (
                "src/b.h",
                "#include \"a.c\"\n#include \"../top.h\"\n#include \"none.h\"\n/*@ #include \"f.gh\" @*/",
            ),
            ("inc/lib/c.h", "int x; #include \"g.h\""),
            ("src/e.gh", ""),
            ("f.gh", ""),
            ("d.h", ""),
            ("g.h", ""),
            ("top.h", ""),
        ];
        let read = |name: &str| {
            let found = files.iter().find(|it| it.0 == name);
            found.map(|it| it.1.to_owned())
        };
        let folders = folders("-x -I inc '-cpp-extra-args=-I. -DX'");
        assert_eq!(folders, [".", "inc"]);
        let found = closure(&["src/a.c".to_owned()], &folders, &read);
        let wanted = [
            "f.gh",
            "inc/lib/c.h",
            "src/a.c",
            "src/b.h",
            "src/e.gh",
            "top.h",
        ];
        assert_eq!(found, wanted.map(String::from).into());
    }
}
