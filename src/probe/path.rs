//! Programs along a search path.
//!
//! Launchers are often installed under a compiler's name, in a directory in front of the real one.
//! Such a masquerade says it is the compiler, prints the compiler's own version, and would start
//! another launcher on a pod, or this one again: it is no tool, and looked past.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Where every job finds programs; no tool's own directories.
pub(super) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/// Where a tool is at home: links that keep its name are followed out of the folder in which it was
/// found. A link under another name is what some programs know by what they are to be (`context` that
/// leads to `luametatex`): they look for their own files beside it, so that it is not followed. In the
/// system's directories everything is at home.
pub(crate) fn at_home(path: &Path) -> PathBuf {
    let mut home = path.to_path_buf();
    // As many links as the kernel follows.
    for _ in 0..40 {
        let next = is_own(&home).then(|| linked_by_name(&home)).flatten();
        let Some(next) = next else {
            break;
        };
        home = next;
    }
    home
}

/// What this link of the same name leads to, in words without `..`, if there is such a link.
fn linked_by_name(link: &Path) -> Option<PathBuf> {
    let to = std::fs::read_link(link).ok()?;
    let mut plain = PathBuf::new();
    for part in link.parent()?.join(to).components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    // Links on the way may make the words lead elsewhere.
    let same = plain.canonicalize().ok()? == link.canonicalize().ok()?;
    (same && plain.file_name() == link.file_name()).then_some(plain)
}

/// Whether this program lies in a directory that jobs do not look for programs in anyway.
fn is_own(program: &Path) -> bool {
    let dir = program.parent();
    dir.is_some_and(|dir| directories(OsStr::new(SYSTEM_PATH)).all(|system| system != dir))
}

/// The search path of this tool's jobs: its own directory, so that it finds what belongs to it, and
/// the system's.
pub(crate) fn path_of_jobs(tool: &Path) -> OsString {
    own_first(tool, OsStr::new(SYSTEM_PATH))
}

/// This search path, with the tool's own directory in front if it has one.
pub(super) fn own_first(tool: &Path, path: &OsStr) -> OsString {
    let dir = tool.parent().filter(|dir| dir.is_absolute());
    match dir.filter(|_| is_own(tool)) {
        Some(dir) => [dir.as_os_str(), path].join(OsStr::new(":")),
        None => path.into(),
    }
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
    fn a_tool_is_at_home_where_its_name_leads() {
        let space = tempfile::tempdir().unwrap();
        let at = |below: &str| space.path().join(below);
        for directory in ["bin", "tree", "tree/bin"] {
            fs::create_dir(at(directory)).unwrap();
        }
        // As in the standalone ConTeXt: one program by several names.
        executable(&at("tree/bin/engine"));
        symlink("engine", at("tree/bin/tool")).unwrap();
        symlink(at("tree/bin/tool"), at("bin/absolute")).unwrap();
        symlink("../tree/bin/tool", at("bin/tool")).unwrap();
        assert_eq!(at_home(&at("bin/tool")), at("tree/bin/tool"));
        assert_eq!(at_home(&at("tree/bin/tool")), at("tree/bin/tool"));
        assert_eq!(at_home(&at("bin/absolute")), at("bin/absolute"));
        assert_eq!(at_home(&at("bin/none")), at("bin/none"));
        symlink("loop", at("bin/loop")).unwrap();
        assert_eq!(at_home(&at("bin/loop")), at("bin/loop"));
        // Through a linked directory `..` leads elsewhere than the words say.
        symlink(at("bin"), at("tree/linked")).unwrap();
        assert_eq!(at_home(&at("tree/linked/tool")), at("tree/linked/tool"));
        assert_eq!(at_home(Path::new("/bin/sh")), Path::new("/bin/sh"));
    }

    #[test]
    fn jobs_find_what_lies_beside_their_tool() {
        let path = |tool: &str| path_of_jobs(Path::new(tool)).into_string().unwrap();
        assert_eq!(path("/usr/bin/gcc"), SYSTEM_PATH);
        assert_eq!(path("/opt/x/bin/gcc"), format!("/opt/x/bin:{SYSTEM_PATH}"));
        assert_eq!(path(""), SYSTEM_PATH);
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
