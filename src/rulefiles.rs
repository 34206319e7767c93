//! A user's own rule files: found, compiled once, and kept in a cache that later runs read alone.
//!
//! What a rule may say, and what it means, is the business of `rules`. A folder that does not exist
//! costs one system call.

use crate::rules::compile::{RuleError, compile};
use crate::rules::{Rule, RuleSet};
use crate::wire::codec;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The cache's name in the folder of the rules; not a `.toml`, so that it is no rule itself.
const CACHE: &str = ".cpods-rules-cache";

/// Raised with every change of what a compiled rule holds.
const VERSION: u32 = 10;

/// A folder of rules that cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A rule that is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A file or folder that cannot be read.
    #[error("cannot read the rules in `{path}`", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What tells whether a file is still the one that was compiled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Seen {
    name: String,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

/// The cache's content.
#[derive(Serialize, Deserialize)]
struct Cache {
    version: u32,
    built_in: u64,
    seen: Vec<Seen>,
    rules: Vec<Rule>,
}

/// The folder of the user's rules: `$CPODS_RULES`, else `cpods/rules` in the configuration folder;
/// none where neither that nor a home is known.
pub fn folder(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| {
        env(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("CPODS_RULES").or_else(|| Some(config_folder(env)?.join("rules")))
}

/// The user's configuration folder of cpods; none where no home is known.
pub fn config_folder(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| {
        env(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let config = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = config.or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("cpods"))
}

/// The rules of this process: built-in ones and those in its user's [`folder`].
///
/// # Errors
/// See [`load`].
pub fn load_own() -> Result<RuleSet, LoadError> {
    match folder(|name| std::env::var_os(name)) {
        Some(folder) => load(&folder),
        None => Ok(RuleSet::builtin().clone()),
    }
}

/// The built-in rules and those of the folder.
///
/// # Errors
/// A wrong rule, or a folder or file that is there and cannot be read.
pub fn load(folder: &Path) -> Result<RuleSet, LoadError> {
    let Some(seen) = look(folder)? else {
        return Ok(RuleSet::builtin().clone());
    };
    if seen.is_empty() {
        return Ok(RuleSet::builtin().clone());
    }
    let cached = std::fs::read(folder.join(CACHE)).ok();
    let cached = cached.and_then(|bytes| codec::decode::<Cache>(&bytes).ok());
    let fits = |cache: &Cache| {
        cache.version == VERSION && cache.built_in == RuleSet::stamp() && cache.seen == seen
    };
    if let Some(cache) = cached.filter(fits) {
        return Ok(RuleSet::with_user(cache.rules));
    }
    let rules = compile_all(folder, &seen)?;
    let cache = Cache {
        version: VERSION,
        built_in: RuleSet::stamp(),
        seen,
        rules,
    };
    keep(folder, &cache);
    Ok(RuleSet::with_user(cache.rules))
}

/// The same of a folder that somebody named, and that therefore must be there.
///
/// # Errors
/// See [`load`]; and an absent folder.
pub fn load_named(folder: &Path) -> Result<RuleSet, LoadError> {
    let found = std::fs::metadata(folder);
    found.map_err(|source| LoadError::Read {
        path: folder.into(),
        source,
    })?;
    load(folder)
}

/// The rule files of the folder, in the order of their names; none where there is no folder.
fn look(folder: &Path) -> Result<Option<Vec<Seen>>, LoadError> {
    let failed = |path: &Path, source| LoadError::Read {
        path: path.into(),
        source,
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(folder, error)),
    };
    let mut seen = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let meta = std::fs::metadata(&path).map_err(|error| failed(&path, error))?;
        let name = path.file_name().unwrap_or_default();
        let name = name.to_str().ok_or_else(|| {
            failed(
                &path,
                io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8"),
            )
        })?;
        seen.push(Seen {
            name: name.into(),
            size_bytes: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        });
    }
    seen.sort();
    Ok(Some(seen))
}

fn compile_all(folder: &Path, seen: &[Seen]) -> Result<Vec<Rule>, LoadError> {
    let mut sources: Vec<(String, PathBuf, String)> = Vec::new();
    for file in seen {
        let path = folder.join(&file.name);
        let text = std::fs::read_to_string(&path).map_err(|source| LoadError::Read {
            path: path.clone(),
            source,
        })?;
        let tool = file.name.trim_end_matches(".toml").to_owned();
        sources.push((tool, path, text));
    }
    // A user's own bases come before the built-in ones of the same name.
    let own = sources.iter().map(|(tool, _, text)| (&**tool, &**text));
    let library: Vec<(&str, &str)> = own.chain(RuleSet::sources().iter().copied()).collect();
    let mut rules = Vec::new();
    for (tool, path, text) in &sources {
        rules.extend(compile(tool, &path.display().to_string(), text, &library)?);
    }
    Ok(rules)
}

/// Writes the cache beside the rules and renames it into place. A folder that cannot be written
/// only costs the next run the same work again.
fn keep(folder: &Path, cache: &Cache) {
    let Ok(bytes) = codec::encode(cache) else {
        return;
    };
    let temporary = folder.join(format!("{CACHE}.{}", std::process::id()));
    let kept = std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, folder.join(CACHE)));
    if kept.is_err() {
        drop(std::fs::remove_file(&temporary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    const MINE: &str = "extends = \"cc-base\"\nprograms = [\"mycc\"]\n";

    #[test]
    fn no_folder_means_the_built_in_rules() {
        let set = load(Path::new("/nonexistent/rules")).unwrap();
        assert_eq!(&set, RuleSet::builtin());
    }

    #[test]
    fn rules_are_compiled_once_and_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mycc.toml");
        std::fs::write(&file, MINE).unwrap();
        let first = load(folder.path()).unwrap();
        assert_eq!(first.rule_for(OsStr::new("mycc")).unwrap().tool, "mycc");

        // What the cache says is believed, so a changed cache shows that it was read.
        let cache = folder.path().join(CACHE);
        let mut kept: Cache = codec::decode(&std::fs::read(&cache).unwrap()).unwrap();
        assert_eq!(RuleSet::with_user(kept.rules.clone()), first);
        kept.rules[0].tool = "from-the-cache".into();
        std::fs::write(&cache, codec::encode(&kept).unwrap()).unwrap();
        assert!(
            load(folder.path())
                .unwrap()
                .rule("from-the-cache")
                .is_some()
        );

        std::fs::write(&file, format!("{MINE}needs = [\"z3\"]\n")).unwrap();
        let changed = load(folder.path()).unwrap();
        assert_eq!(*changed.rule("mycc").unwrap().needs, ["z3"]);

        std::fs::write(&cache, b"no cache").unwrap();
        assert_eq!(load(folder.path()).unwrap(), changed);
    }

    #[test]
    fn a_wrong_rule_says_where() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("a.toml"),
            "programs = [\"a\"]\nspeed = 3\n",
        )
        .unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        let file = folder.path().join("a.toml");
        let begin = format!("{}:2: `speed`: unknown field `speed`", file.display());
        assert!(error.starts_with(&begin), "{error}");
    }

    #[test]
    fn the_folder_comes_from_the_environment() {
        let env = |pairs: &'static [(&str, &str)]| {
            folder(|name| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.into())
            })
        };
        let home = ("HOME", "/home/u");
        assert_eq!(env(&[]), None);
        assert_eq!(
            env(&[("CPODS_RULES", "r"), ("HOME", "/h")]),
            Some("r".into())
        );
        let config = env(&[("XDG_CONFIG_HOME", "/c"), ("CPODS_RULES", "")]);
        assert_eq!(config, Some("/c/cpods/rules".into()));
        let home = folder(|name| (name == home.0).then(|| home.1.into()));
        assert_eq!(home, Some("/home/u/.config/cpods/rules".into()));
    }
}
