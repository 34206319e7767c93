//! Writes files so that no reader sees half of one, and only where something changes.

use anyhow::{Context, bail};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes the file unless it is right already; says whether it wrote. With `keeps_time` a file that
/// was there keeps its time of modification, so that Ninja takes it for no newer than it was.
///
/// # Errors
/// If it cannot be written.
pub fn put(path: &Path, text: &[u8], keeps_time: bool) -> anyhow::Result<bool> {
    let there = match fs::read(path) {
        Ok(there) if there == text => return Ok(false),
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    // Whoever has a link of the file has it still.
    let path = match there {
        Some(_) => path.canonicalize(),
        None => Ok(path.to_owned()),
    };
    let path = path.context("cannot find the file's own name")?;
    let temporary = beside(&path);
    let written = write(&path, &temporary, text, there.is_some(), keeps_time);
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written.with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(true)
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.cpods-{}", std::process::id()))
}

fn write(
    path: &Path,
    temporary: &Path,
    text: &[u8],
    is_there: bool,
    keeps_time: bool,
) -> anyhow::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(text)?;
    if is_there {
        let before = fs::metadata(path)?;
        file.set_permissions(before.permissions())?;
        if keeps_time {
            file.set_modified(before.modified()?)?;
        }
    }
    fs::rename(temporary, path)?;
    Ok(())
}

/// Says which files are not as they should be.
///
/// # Errors
/// If there are any.
pub fn check<'a>(all: impl IntoIterator<Item = (&'a Path, &'a [u8])>) -> anyhow::Result<()> {
    let old = all.into_iter().filter(|(path, text)| {
        let there = fs::read(path);
        there.ok().as_deref() != Some(text)
    });
    let old: Vec<_> = old
        .map(|(path, _)| format!("`{}`", path.display()))
        .collect();
    match old.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one} is out of date"),
        all => bail!("{} are out of date", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn writes_what_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        assert!(put(&file, b"1", true).unwrap());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 5);
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(old)
            .unwrap();
        let before = fs::metadata(&file).unwrap();
        assert!(!put(&file, b"1", false).unwrap());
        assert_eq!(fs::metadata(&file).unwrap().ino(), before.ino());

        let link = dir.path().join("b");
        symlink("a", &link).unwrap();
        assert!(put(&link, b"2", true).unwrap());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let after = fs::metadata(&file).unwrap();
        assert_eq!(after.modified().unwrap(), old);
        assert_eq!(after.mode(), before.mode());
        assert_ne!(after.ino(), before.ino(), "it was not renamed into place");
        assert!(put(&file, b"3", false).unwrap());
        assert_ne!(fs::metadata(&file).unwrap().modified().unwrap(), old);
        assert_eq!(
            fs::read_dir(&dir).unwrap().count(),
            2,
            "a temporary is left"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let error = put(Path::new("/nonexistent/a"), b"", true).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot write `/nonexistent/a`"),
            "{error:#}"
        );
    }

    #[test]
    fn check_names_what_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "1").unwrap();
        check([(&*a, &b"1"[..])]).unwrap();
        let error = check([(&*a, &b"1"[..]), (&*b, b"2")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{}` is out of date", b.display())
        );
    }
}
