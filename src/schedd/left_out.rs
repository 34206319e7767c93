//! What pods may not see of the roots.

use std::path::{Path, PathBuf};

/// Globs, each below a root, of what pods may not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(pub Vec<(PathBuf, Vec<String>)>);

impl LeftOut {
    /// What there is below `root` that is left out: the topmost only of what lies in one another.
    ///
    /// # Errors
    /// A glob that is none; configurations are checked for that when they are read.
    pub(super) fn find(&self, root: &Path) -> Result<Vec<PathBuf>, globset::Error> {
        let mut globs = globset::GlobSetBuilder::new();
        for (top, texts) in &self.0 {
            let Ok(between) = root.strip_prefix(top) else {
                // Of a root inside this one.
                let Ok(inner) = top.strip_prefix(root) else {
                    continue;
                };
                for text in texts {
                    globs.add(glob(&format!("{}/{text}", escape(inner)))?);
                }
                continue;
            };
            if between.as_os_str().is_empty() {
                for text in texts {
                    globs.add(glob(text)?);
                }
            }
        }
        let globs = globs.build()?;
        if globs.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut walk = walkdir::WalkDir::new(root).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            let Ok(entry) = entry else { continue };
            let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
            if globs.is_match(below) {
                found.push(entry.path().to_owned());
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
            }
        }
        Ok(found)
    }
}

/// A glob of a path below a root: `*` and `?` stay within one name, `**` does not.
pub(super) fn glob(text: &str) -> Result<globset::Glob, globset::Error> {
    globset::GlobBuilder::new(text.trim_end_matches('/'))
        .literal_separator(true)
        .build()
}

fn escape(path: &Path) -> String {
    globset::escape(&path.to_string_lossy())
}
