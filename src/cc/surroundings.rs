//! What of this process the tool on the pod shall see again: umask, limits, `PWD`, and which
//! build it belongs to.

use super::spelling::links;
use crate::job::{Limits, Surroundings};
use crate::paths::{Bytes, Roots};
use crate::wire::messages::ClientKey;
use rustix::process::{Resource, getrlimit};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Limits that change what a tool does, with their numbers in Linux's ABI. The rest (locked memory, priorities) is the pod's own.
const LIMITS: [(Resource, u32); 6] = [
    (Resource::Cpu, 0),
    (Resource::Fsize, 1),
    (Resource::Data, 2),
    (Resource::Stack, 3),
    (Resource::Nofile, 7),
    (Resource::As, 9),
];

/// Hops from a wrapper to the program that is the build: past `sh -c` and a launcher before us.
const MOST_HOPS: usize = 4;

/// Collects the surroundings.
///
/// # Errors
/// `PWD` names the working directory by a way that leads through symlinks outside the roots, so
/// that no pod could be shown it: the reason, for people.
pub(crate) fn surroundings(cwd: &Path, roots: &Roots) -> Result<Surroundings, String> {
    let limits = LIMITS
        .iter()
        .filter_map(|&(resource, number)| getrlimit(resource).current.map(|soft| (number, soft)))
        .collect();
    let (pwd, pwd_links) = spelled_pwd(std::env::var_os("PWD").as_deref(), cwd, roots)?;
    Ok(Surroundings {
        umask: umask(),
        pwd,
        pwd_links,
        limits,
    })
}

/// umask(2) can only be read by setting it; this process has one thread.
fn umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::from(0o077));
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

/// A spelling of the working directory, and the symlinks on its way.
type Spelled = (Option<Bytes>, Vec<(Bytes, Bytes)>);

/// `PWD` where it is another name of the working directory: compilers write it into debug
/// information, letter for letter (`/w/.` as well). A `PWD` that is something else is ignored, as
/// they do (libiberty's getpwd(3), LLVM's `current_path`). With it come the symlinks outside the
/// roots that it passes.
fn spelled_pwd(pwd: Option<&OsStr>, cwd: &Path, roots: &Roots) -> Result<Spelled, String> {
    let nothing = Ok((None, Vec::new()));
    let Some(pwd) = pwd.map(Path::new) else {
        return nothing;
    };
    if pwd.as_os_str() == cwd.as_os_str() || !pwd.is_absolute() {
        return nothing;
    }
    match (std::fs::metadata(pwd), std::fs::metadata(cwd)) {
        (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()) => {}
        _ => return nothing,
    }
    if pwd.components().any(|part| part == Component::ParentDir) {
        // Where it leads cannot be told by its text, nor whether it stays in the roots.
        return Err(format!("PWD is `{}`, a way back up", pwd.display()));
    }
    if roots.locate(cwd, pwd).is_some() {
        return Ok((Some(pwd.into()), Vec::new()));
    }
    let links = links(pwd, roots)
        .ok_or_else(|| format!("PWD is `{}`, a way outside the roots", pwd.display()))?;
    let bytes = |path: PathBuf| Bytes::from(path.as_path());
    let links = links.into_iter().map(|(a, b)| (bytes(a), bytes(b)));
    Ok((Some(pwd.into()), links.collect()))
}

/// The build this wrapper belongs to: the nearest ancestor that is no shell running one command.
pub(crate) fn client() -> ClientKey {
    if let Some(key) = std::env::var("CPODS_CLIENT")
        .ok()
        .and_then(|text| parse_client(&text))
    {
        return key;
    }
    let mut pid =
        rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    for _ in 0..MOST_HOPS {
        match Ancestor::read(pid) {
            Some(found) if found.is_passage && found.parent > 1 => pid = found.parent,
            Some(found) => {
                return ClientKey {
                    pid,
                    started: found.started,
                };
            }
            None => break,
        }
    }
    ClientKey { pid, started: 0 }
}

/// `PID:STARTED`.
fn parse_client(text: &str) -> Option<ClientKey> {
    let (pid, started) = text.split_once(':')?;
    Some(ClientKey {
        pid: pid.parse().ok()?,
        started: started.parse().ok()?,
    })
}

struct Ancestor {
    parent: u32,
    started: u64,
    /// A shell or launcher that only stands between the build and the wrapper.
    is_passage: bool,
}

impl Ancestor {
    /// Reads `/proc/PID/stat` (proc_pid_stat(5)).
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything, brackets too.
        let (head, tail) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1;
        let mut fields = tail.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(17)?.parse().ok()?;
        let is_passage = matches!(
            name,
            "sh" | "dash" | "bash" | "ccache" | "cmake" | "env" | "libtool"
        );
        Some(Self {
            parent,
            started,
            is_passage,
        })
    }
}

/// The rule's limits, or those that the user sets.
pub(crate) fn limits(of_rule: Limits) -> Limits {
    let set = |name| std::env::var(name).ok()?.parse().ok();
    Limits {
        seconds: set("CPODS_SECONDS").unwrap_or(of_rule.seconds),
        memory_mib: set("CPODS_MEMORY").unwrap_or(of_rule.memory_mib),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_an_odd_name() {
        let fields: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let line = format!("77 (a) (b)) S {}", fields.join(" "));
        let found = Ancestor::parse(&line).unwrap();
        assert_eq!((found.parent, found.started), (4, 22));
        assert!(!found.is_passage);
        assert!(Ancestor::parse("77 (sh) S 1 2 3").is_none());
    }

    #[test]
    fn pwd_travels_as_it_is_spelled() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        let cwd = root.join("real/deep");
        std::fs::create_dir_all(&cwd).unwrap();
        std::os::unix::fs::symlink("real/deep", root.join("link")).unwrap();
        std::os::unix::fs::symlink(&cwd, dir.path().join("outer")).unwrap();
        let roots = Roots::new([&root]).unwrap();
        let spelled = |pwd: &Path| spelled_pwd(Some(pwd.as_os_str()), &cwd, &roots);
        let nothing = || Ok((None, Vec::new()));
        assert_eq!(spelled_pwd(None, &cwd, &roots), nothing());
        // What no tool would believe.
        for pwd in [&cwd, &root, &root.join("none"), Path::new("real/deep")] {
            assert_eq!(spelled(pwd), nothing(), "{}", pwd.display());
        }
        for pwd in [root.join("link"), root.join("link/."), cwd.join("")] {
            assert_eq!(spelled(&pwd), Ok((Some(pwd.as_path().into()), Vec::new())));
        }
        // A job's /tmp is its own, so no link of ours can be there.
        let outer = dir.path().canonicalize().unwrap().join("outer");
        assert!(spelled(&outer).unwrap_err().contains("outside the roots"));
        let back = root.join("link/../deep");
        assert!(spelled(&back).unwrap_err().contains("a way back up"));
    }

    #[test]
    fn own_build_is_found() {
        assert!(client().pid > 0);
    }
}
