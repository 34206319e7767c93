//! Where ConTeXt looks for a file that a document names, as file names in its order.
//!
//! All are relative to the main document's folder, in which ConTeXt runs: a file that is read from
//! another folder does not change where names begin (`file-job.lua`, `file-res.lua`, `file-mod.lua`
//! and `grph-inc.lua` of ConTeXt). Asks the disk nothing.

use crate::paths::normalise;
use std::path::Path;

/// Suffixes of files with TeX in them, in the order in which they are tried.
const STRUCTURE: &[&str] = &["mkvi", "mkiv", "mklx", "mkxl", "tex"];
const MODULES: &[&str] = &["mklx", "mkxl", "mkvi", "mkiv", "tex", "cld", "lua"];
const MODULE_KINDS: &[&str] = &["m", "p", "s", "x", "v", "t"];
const FIGURES: &[&str] = &[
    "pdf", "mps", "jpg", "jpeg", "png", "jp2", "jbig", "svg", "eps", "tif", "gif", "mov", "tex",
    "cld",
];
/// ConTeXt's `resolvers.maxreadlevel`.
const PARENTS: &[&str] = &["", "../", "../../"];

/// Why a file is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// A project, product, component or environment.
    Structure,
    /// Text that is read as TeX.
    Text,
    /// A module.
    Module,
    /// Lua.
    Lua,
    /// A figure.
    Figure,
    /// Text that is typeset as it is.
    Verbatim,
}

impl Wanted {
    /// Whether it holds commands.
    pub(super) fn is_tex(self) -> bool {
        matches!(self, Self::Structure | Self::Text | Self::Module)
    }
}

/// Folders that a document has added.
#[derive(Clone, Debug, Default)]
pub(super) struct Folders {
    /// By `\usepath`.
    pub(super) extra: Vec<String>,
    /// By `\setupexternalfigures`.
    pub(super) figures: Vec<String>,
}

/// A name without needless parts.
pub(super) fn tidy(name: &str) -> String {
    normalise(Path::new(name)).display().to_string()
}

/// The names that are tried, in order.
pub(super) fn candidates(wanted: Wanted, name: &str, folders: &Folders) -> Vec<String> {
    let name = name.trim();
    let suffix = Path::new(name).extension().and_then(|it| it.to_str());
    let with = |suffixes: &[&str]| suffixes.iter().map(|it| format!("{name}.{it}")).collect();
    let names: Vec<String> = match wanted {
        Wanted::Structure if suffix.is_some_and(|it| STRUCTURE.contains(&it)) => {
            vec![name.to_owned()]
        }
        Wanted::Structure => with(STRUCTURE),
        Wanted::Text | Wanted::Verbatim if suffix.is_some() => vec![name.to_owned()],
        Wanted::Text | Wanted::Verbatim => vec![format!("{name}.tex"), name.to_owned()],
        Wanted::Lua if suffix == Some("lua") => vec![name.to_owned()],
        Wanted::Lua => with(&["lua"]),
        Wanted::Module => modules(name),
        Wanted::Figure if suffix.is_some_and(|it| FIGURES.contains(&it)) => vec![name.to_owned()],
        Wanted::Figure => with(FIGURES),
    };
    if name.starts_with('/') {
        return names.iter().map(|it| tidy(it)).collect();
    }
    let empty = Vec::new();
    let more = match wanted {
        Wanted::Figure => &folders.figures,
        _ => &empty,
    };
    let more = more.iter().chain(&folders.extra);
    let parents = PARENTS.iter().map(ToString::to_string);
    let all: Vec<String> = parents.chain(more.map(|it| format!("{it}/"))).collect();
    // Figures are looked for in one folder after another, all else under one name after another.
    let one = |folder: &String, name: &String| tidy(&format!("{folder}{name}"));
    match wanted {
        Wanted::Figure => {
            let each = all
                .iter()
                .flat_map(|it| names.iter().map(|name| one(it, name)));
            each.collect()
        }
        _ => {
            let each = names
                .iter()
                .flat_map(|name| all.iter().map(|it| one(it, name)));
            each.collect()
        }
    }
}

fn modules(name: &str) -> Vec<String> {
    let has_kind = MODULE_KINDS.iter().any(|kind| {
        name.strip_prefix(kind)
            .is_some_and(|it| it.starts_with('-'))
    });
    let kinds = MODULE_KINDS.iter().map(|kind| format!("{kind}-{name}"));
    let mut bases: Vec<String> = match has_kind {
        true => Vec::new(),
        false => kinds.collect(),
    };
    bases.push(name.to_owned());
    let all = bases
        .iter()
        .flat_map(|base| MODULES.iter().map(move |it| format!("{base}.{it}")));
    all.chain([name.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tried_as_context_does() {
        let folders = Folders {
            extra: vec!["lib".into()],
            figures: vec!["img".into()],
        };
        let all = |wanted, name| candidates(wanted, name, &folders);
        assert_eq!(
            all(Wanted::Structure, "sub/./a.tex"),
            [
                "sub/a.tex",
                "../sub/a.tex",
                "../../sub/a.tex",
                "lib/sub/a.tex"
            ]
        );
        let some = all(Wanted::Structure, "a.b");
        assert_eq!(some[0], "a.b.mkvi");
        assert_eq!(some.last().unwrap(), "lib/a.b.tex");
        assert_eq!(some.len(), 5 * 4);
        assert_eq!(all(Wanted::Text, "/x/a")[..], ["/x/a.tex", "/x/a"]);
        assert_eq!(all(Wanted::Verbatim, "a.c")[0], "a.c");
        let figure = all(Wanted::Figure, "cow");
        assert_eq!(figure[0], "cow.pdf");
        assert_eq!(figure[FIGURES.len() * 3], "img/cow.pdf");
        let module = all(Wanted::Module, "local");
        assert_eq!(module[0], "m-local.mklx");
        assert!(module.contains(&"t-local.mkiv".to_owned()));
        assert!(!all(Wanted::Module, "t-a").contains(&"m-t-a.mkiv".to_owned()));
        assert_eq!(all(Wanted::Lua, "t-a")[0], "t-a.lua");
    }
}
