//! Programs along a search path.
//!
//! Launchers are often installed under a compiler's name, in a directory in front of the real one.
//! Such a masquerade says it is the compiler, prints the compiler's own version, and would start
//! another launcher on a pod, or this one again: it is no tool, and looked past.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names of programs that pretend to be another one.
pub const LAUNCHERS: [&str; 5] = ["cpods-cc", "ccache", "distcc", "icecc", "sccache"];

/// The first executable of this name in the directories of `path`, masquerades looked past. The
/// path returned is as found, its symlinks not resolved. A program named with a slash is not
/// searched for.
pub fn find_on_path(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if program.is_empty() {
        return None;
    }
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|named| is_tool(named));
    }
    directories(path)
        .map(|directory| directory.join(program))
        .find(|found| is_tool(found))
}

/// The directories of a search path; an empty element is the working directory, as for a shell.
pub(super) fn directories(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    path.as_bytes().split(|byte| *byte == b':').map(|element| {
        let element = if element.is_empty() { b"." } else { element };
        PathBuf::from(OsStr::from_bytes(element))
    })
}

/// Every executable along `path` that is `wanted`, by name and path, each name where it is found
/// first.
pub(super) fn all_on_path(
    path: &OsStr,
    wanted: impl Fn(&OsStr, &Path) -> bool,
) -> BTreeMap<OsString, PathBuf> {
    let mut found = BTreeMap::new();
    // What cannot be listed holds no tool: a search path often names directories that do not exist.
    for entry in directories(path).flat_map(|directory| std::fs::read_dir(directory).ok()) {
        for entry in entry.flatten() {
            let name = entry.file_name();
            let path = entry.path();
            if !found.contains_key(&name) && wanted(&name, &path) && is_tool(&path) {
                found.insert(name, path);
            }
        }
    }
    found
}

/// Whether this is an executable file and not a launcher under another name.
fn is_tool(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
        && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
        && !path.canonicalize().is_ok_and(|real| is_launcher(&real))
}

fn is_launcher(resolved: &Path) -> bool {
    let name = resolved.file_name().unwrap_or_default();
    LAUNCHERS.iter().any(|launcher| name == *launcher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn executable(path: &Path) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn masquerades_are_looked_past() {
        let space = tempfile::tempdir().unwrap();
        let at = |below: &str| space.path().join(below);
        for directory in ["bin", "masquerade", "plain", "real"] {
            fs::create_dir(at(directory)).unwrap();
        }
        for (number, launcher) in LAUNCHERS.iter().enumerate() {
            executable(&at("bin").join(launcher));
            // By two links, one of them relative.
            symlink(at("bin").join(launcher), at(&format!("bin/link{number}"))).unwrap();
            let name = at(&format!("masquerade/tool{number}"));
            symlink(format!("../bin/link{number}"), name).unwrap();
            executable(&at(&format!("real/tool{number}")));
        }
        fs::write(at("plain/tool0"), "not executable").unwrap();
        fs::create_dir(at("plain/tool1")).unwrap();
        let path = std::env::join_paths([
            at("missing"),
            at("masquerade"),
            at("plain"),
            at("real"),
            at("bin"),
        ])
        .unwrap();
        for number in 0..LAUNCHERS.len() {
            let name = OsString::from(format!("tool{number}"));
            let real = at("real").join(&name);
            assert_eq!(find_on_path(&name, &path), Some(real.clone()));
            assert_eq!(all_on_path(&path, |found, _| found == name)[&name], real);
        }
        assert_eq!(find_on_path(OsStr::new("absent"), &path), None);
        assert_eq!(find_on_path(OsStr::new(""), &path), None);
        let named = at("masquerade/tool0");
        assert_eq!(find_on_path(named.as_os_str(), &path), None);
        let named = at("real/tool0");
        assert_eq!(find_on_path(named.as_os_str(), &path), Some(named));
    }

    #[test]
    fn a_link_to_another_compiler_is_the_tool() {
        let space = tempfile::tempdir().unwrap();
        executable(&space.path().join("x86_64-linux-gnu-gcc-12"));
        symlink("x86_64-linux-gnu-gcc-12", space.path().join("gcc")).unwrap();
        assert_eq!(
            find_on_path(OsStr::new("gcc"), space.path().as_os_str()),
            Some(space.path().join("gcc"))
        );
    }
}
