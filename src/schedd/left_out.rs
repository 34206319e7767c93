//! What pods may not see of the roots.

pub(super) use crate::index::glob;
use anyhow::{Context, bail};
use globset::GlobSet;
use std::path::{Path, PathBuf};

/// Globs, each below a directory, of what pods may not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(pub Vec<(PathBuf, Vec<String>)>);

impl LeftOut {
    /// What there is below `root`, a real path, that is left out: the topmost only of what lies in
    /// one another. Symlinks are not among it: what they lead to is what counts. Walks the whole
    /// root if there is anything to look for.
    ///
    /// # Errors
    /// The root itself is left out; or a glob that is none, which configurations are checked for
    /// when they are read.
    pub(super) fn find(&self, root: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut globs: Vec<(PathBuf, GlobSet)> = Vec::new();
        for (top, texts) in &self.0 {
            // Roots are known by their real names, so that is what is compared.
            let top = top.canonicalize().unwrap_or_else(|_| top.clone());
            if !top.starts_with(root) && !root.starts_with(&top) {
                continue;
            }
            let mut set = globset::GlobSetBuilder::new();
            for text in texts {
                set.add(glob(text)?);
            }
            globs.push((top, set.build()?));
        }
        let is_left_out = |path: &Path| {
            globs.iter().any(|(top, set)| {
                let below = path.strip_prefix(top);
                below.is_ok_and(|below| set.is_match(below))
            })
        };
        if globs.is_empty() {
            return Ok(Vec::new());
        }
        if root.ancestors().any(is_left_out) {
            bail!("root `{}` is left out by the configuration", root.display());
        }
        let mut found = Vec::new();
        let mut walk = walkdir::WalkDir::new(root).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.io_error().is_some() => continue,
                Err(error) => return Err(error).context("look for what is left out"),
            };
            if !entry.path_is_symlink() && is_left_out(entry.path()) {
                found.push(entry.path().to_owned());
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn found_wherever_the_root_is() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        fs::create_dir_all(dir.join("real/a/keys/deep")).unwrap();
        fs::create_dir_all(dir.join("real/b")).unwrap();
        for name in ["real/a/.env", "real/a/keys/k", "real/b/.env", "real/b/x.c"] {
            fs::write(dir.join(name), "").unwrap();
        }
        symlink("real", dir.join("home")).unwrap();
        symlink("/etc/passwd", dir.join("real/a/secret.env")).unwrap();
        symlink("../a/.env", dir.join("real/b/link")).unwrap();
        let globs = ["**/.env", "a/keys", "**/*.env", "**/link"].map(ToOwned::to_owned);
        // Configured by another name of the same directory.
        let left_out = LeftOut(vec![(dir.join("home"), globs.into())]);
        let found = |root: &str| {
            let mut found = left_out.find(&dir.join(root)).unwrap();
            found.sort();
            let names = found.iter().map(|path| path.strip_prefix(&dir).unwrap());
            names
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("real"), ["real/a/.env", "real/a/keys", "real/b/.env"]);
        assert_eq!(
            found("real/a"),
            ["real/a/.env", "real/a/keys"],
            "a root below"
        );
        assert_eq!(found("real/b"), ["real/b/.env"]);
        assert!(found("").len() == 3, "a root above");
        let inside = left_out.find(&dir.join("real/a/keys/deep"));
        assert!(inside.unwrap_err().to_string().contains("is left out"));
    }
}
