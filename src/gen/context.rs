//! The ConTeXt modules that come with cpods, and where they are put.
//!
//! | module | what it does |
//! | --- | --- |
//! | `cpods-deps` | writes what a run read as a depfile, and what it wrote |
//! | `cpods-code` | typesets and extracts code, and lists the steps that a document declares |

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file of the modules.
const FILES: &[(&str, &str)] = &[
    (
        "t-cpods-deps.mkiv",
        include_str!("context/t-cpods-deps.mkiv"),
    ),
    ("t-cpods-deps.lua", include_str!("context/t-cpods-deps.lua")),
    (
        "t-cpods-code.mkiv",
        include_str!("context/t-cpods-code.mkiv"),
    ),
    ("t-cpods-code.lua", include_str!("context/t-cpods-code.lua")),
    ("t-cpods-show.lua", include_str!("context/t-cpods-show.lua")),
];

/// Where ConTeXt looks for a user's own modules, below the home: `texmf` is what its
/// configuration calls `TEXMFHOME`.
const BELOW_HOME: &str = "texmf/tex/context/third/cpods";

/// The user's own folder for modules.
///
/// # Errors
/// There is no home.
pub fn own_folder() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.context("HOME is not set; name a folder")?;
    Ok(Path::new(&home).join(BELOW_HOME))
}

/// Writes the modules into a folder; one that is right already is left alone.
///
/// # Errors
/// The folder cannot be made or written.
pub fn install(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    for (name, content) in FILES {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == content.as_bytes()) {
            continue;
        }
        fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        install(&folder).unwrap();
        let file = folder.join(FILES[0].0);
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(folder.join(FILES[1].0), "old").unwrap();
        install(&folder).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
        assert_eq!(
            fs::read_to_string(folder.join(FILES[1].0)).unwrap(),
            FILES[1].1
        );
    }
}
