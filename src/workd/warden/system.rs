//! What of the pod's own system every job may read: one list for every kind of sandbox.
//!
//! Knows what is listed, not how it is shown.

use crate::paths::Bytes;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// System directories, taken as the pod has them: bound, or the same symlink.
const SYSTEM: &[&str] = &[
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu",
];
/// Entries of /etc that tools read, none of them secret; a `*` at the end stands for any rest.
const ETC: &[&str] = &[
    "alternatives",
    "clang*",
    "fonts",
    "group",
    "host.conf",
    "hosts",
    "java*",
    "ld-musl-*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "magic",
    "magic.mime",
    "mime.types",
    "nsswitch.conf",
    "ocamlfind.conf*",
    "os-release",
    "papersize",
    "passwd",
    "perl",
    "protocols",
    "python*",
    "services",
    "texlive",
    "texmf",
    "timezone",
];
/// Deeper files and directories, parents made on the way.
const DEEP: &[&str] = &["etc/default/locale", "var/lib/texmf"];
/// Harmless devices of /dev.
pub(crate) const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// Files and directories of the pod, by their way below `/`, with those `given` on the command
/// line. Some may not be there.
pub(crate) fn names(given: &[Bytes]) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    names.extend(given.iter().map(|dir| {
        let dir = dir.as_path();
        dir.strip_prefix("/").unwrap_or(dir).to_path_buf()
    }));
    let entries = fs::read_dir("/etc").into_iter().flatten().flatten();
    let mut etc: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    etc.retain(|name| is_listed(name));
    etc.sort();
    names.extend(etc.iter().map(|name| PathBuf::from("etc").join(name)));
    names.extend(DEEP.iter().map(PathBuf::from));
    names
}

/// Whether jobs see the program at `path`: as it is called, and where its links lead.
pub(crate) fn shows(given: &[PathBuf], path: &Path) -> bool {
    let dirs = SYSTEM.iter().map(|dir| Path::new("/").join(dir));
    let dirs: Vec<PathBuf> = dirs.chain(given.iter().cloned()).collect();
    let real = path.canonicalize();
    let holds_real = |dir: &PathBuf| {
        let dir = dir.canonicalize();
        matches!((&real, &dir), (Ok(real), Ok(dir)) if real.starts_with(dir))
    };
    dirs.iter().any(|dir| path.starts_with(dir)) && dirs.iter().any(holds_real)
}

/// Whether this is the same for programs of any system: the user's name, the hosts, the time zone.
pub(crate) fn is_everywhere(name: &Path) -> bool {
    let etc = name.strip_prefix("etc").ok().and_then(Path::to_str);
    etc.is_some_and(|name| ["passwd", "group", "hosts", "localtime"].contains(&name))
}

/// Whether this entry of /etc is shown.
fn is_listed(name: &OsStr) -> bool {
    ETC.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.as_bytes().starts_with(start.as_bytes()),
        None => name.as_bytes() == pattern.as_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_tools_read_and_nothing_secret() {
        for (name, listed) in [
            ("passwd", true),
            ("java-17-openjdk", true),
            ("shadow", false),
            ("passwd-", false),
            ("ssh", false),
        ] {
            assert_eq!(is_listed(OsStr::new(name)), listed, "{name}");
        }
        let names = names(&["/srv/tools".into()]);
        assert!(names.contains(&"srv/tools".into()));
        assert!(names.iter().all(|name| name.is_relative()));
    }

    #[test]
    fn a_program_is_shown_if_it_and_what_it_is_are() {
        let space = tempfile::tempdir().unwrap();
        let at = |below: &str| space.path().join(below);
        fs::create_dir(at("shown")).unwrap();
        fs::write(at("hidden"), "").unwrap();
        fs::write(at("shown/tool"), "").unwrap();
        std::os::unix::fs::symlink(at("hidden"), at("shown/link")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", at("sh")).unwrap();
        let given = [at("shown")];
        assert!(shows(&given, &at("shown/tool")) && shows(&[], Path::new("/bin/sh")));
        assert!(!shows(&[], &at("shown/tool")) && !shows(&given, &at("hidden")));
        assert!(!shows(&given, &at("shown/link")) && !shows(&given, &at("sh")));
    }
}
