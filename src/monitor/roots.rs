//! Which directories pods may see when nobody said.

use std::path::{Path, PathBuf};

/// The top of the git checkout around `cwd`, else `cwd` itself.
pub(super) fn default_root(cwd: &Path) -> PathBuf {
    cwd.ancestors()
        .find(|dir| dir.join(".git").exists())
        .unwrap_or(cwd)
        .to_path_buf()
}

/// What was given, or the default.
///
/// # Errors
/// The default would show the whole home, keys and all.
pub(super) fn given_or_default(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let root = default_root(&std::env::current_dir()?);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.and_then(|home| home.canonicalize().ok());
    anyhow::ensure!(
        !home.is_some_and(|home| home.starts_with(&root)),
        "`{}` holds your whole home, which is not for pods to see; name a root with `--root`",
        root.display()
    );
    Ok(vec![root])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let inner = dir.path().join("a/b");
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        assert_eq!(default_root(&inner), dir.path());
        std::fs::remove_dir(dir.path().join(".git")).unwrap();
        // A checkout above the temporary directory itself would be found; there is none.
        assert_eq!(default_root(&inner), inner);
    }
}
