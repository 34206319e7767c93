//! `hub.toml`, a hub's configuration file: read, checked, and never half believed.

use super::config::{Address, PodConfig, PodConfigError, View};
use super::left_out::{LeftOut, glob};
use crate::configfile::{self, FileError, Wrong, absolute, wrong};
use crate::wire::messages::Files;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// What a hub's file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubFile {
    /// Directories that pods may see.
    pub roots: Vec<PathBuf>,
    /// Of that, what they may not.
    pub left_out: LeftOut,
    /// The pods.
    pub pods: Vec<PodConfig>,
    /// How long a job waits for pods that are about to come, and for one with a tool that the hub
    /// lacks, in seconds.
    pub patience: Option<u64>,
    /// Largest roots, all together, that pods get copies of unasked, in GiB.
    pub mirror_gib: Option<u64>,
    /// How to begin an ssh command line.
    pub ssh: Option<Vec<OsString>>,
    /// Rules whose tools are told apart by their version alone.
    pub relaxed: BTreeSet<String>,
    /// Rules whose results may differ from local ones in the paths that they hold.
    pub approximate: BTreeSet<String>,
}

impl HubFile {
    /// Pods as a command line names them: a mere name is that of a pod in this file, if there is
    /// one. All of the file's if none is named.
    pub fn pods(&self, named: &[PodConfig]) -> Vec<PodConfig> {
        if named.is_empty() {
            return self.pods.clone();
        }
        let known = |pod: &PodConfig| {
            let is_mere = matches!(&pod.address, Address::Ssh(host) if *host == pod.name);
            let mut known = self.pods.iter().filter(|_| is_mere || pod.is_own());
            known.find(|known| known.name == pod.name).cloned()
        };
        let pods = named
            .iter()
            .map(|pod| known(pod).unwrap_or_else(|| pod.clone()));
        pods.collect()
    }

    /// The configured roots, if one of them holds this directory.
    pub fn roots_around(&self, dir: &Path) -> Option<&[PathBuf]> {
        let holds = |root: &PathBuf| root.canonicalize().is_ok_and(|root| dir.starts_with(root));
        self.roots.iter().any(holds).then_some(&self.roots)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    roots: Vec<Spanned<Root>>,
    pods: Vec<Spanned<Pod>>,
    patience: Option<u64>,
    mirror_gib: Option<u64>,
    ssh: Option<Spanned<String>>,
    tools: BTreeMap<String, Tool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a path, or a table with `path` and `leave_out`")]
enum Root {
    Path(String),
    Table(RootTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootTable {
    path: String,
    #[serde(default)]
    leave_out: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pod {
    name: String,
    ssh: Option<String>,
    unix: Option<PathBuf>,
    #[serde(default)]
    own: bool,
    slots: Option<u32>,
    files: Option<Files>,
    #[serde(default)]
    toolchain: Toolchain,
    #[serde(default)]
    view: View,
    #[serde(default)]
    unsandboxed: bool,
    offer: Option<BTreeSet<String>>,
    #[serde(default)]
    withhold: BTreeSet<String>,
}

/// Whose compilers a pod runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Toolchain {
    #[default]
    Own,
    Send,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    #[serde(rename = "match", default)]
    by: Match,
    /// Whether a result must be as it would be here, byte for byte.
    #[serde(default = "yes")]
    identical: bool,
}

fn yes() -> bool {
    true
}

/// How a pod's tool is held against the hub's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Match {
    /// Everything that decides its results.
    #[default]
    Identity,
    /// What it says of its version.
    Version,
}

/// The user's own file, `cpods/hub.toml` in the configuration folder; nothing said where there is
/// none.
///
/// # Errors
/// See [`FileError`].
pub fn load_own() -> Result<HubFile, FileError> {
    match configfile::own("hub.toml") {
        Some(path) => load(&path),
        None => Ok(HubFile::default()),
    }
}

/// Reads one file.
///
/// # Errors
/// See [`FileError`].
pub fn load(path: &Path) -> Result<HubFile, FileError> {
    configfile::load(path, |text| parse(text, configfile::home().as_deref()))
}

fn parse(text: &str, home: Option<&Path>) -> Result<HubFile, Wrong> {
    let file: File = configfile::parse(text)?;
    let mut hub = HubFile {
        patience: file.patience,
        mirror_gib: file.mirror_gib,
        ..HubFile::default()
    };
    for root in file.roots {
        let at = root.span();
        let (path, leave_out) = match root.into_inner() {
            Root::Path(path) => (path, Vec::new()),
            Root::Table(table) => (table.path, table.leave_out),
        };
        let path = absolute(&path, home)
            .map_or_else(|what| wrong(at.clone(), format!("`roots`: {what}")), Ok)?;
        let mut globs = Vec::new();
        for text in leave_out {
            if let Err(error) = glob(&text) {
                return wrong(at, format!("`leave_out`: {error}"));
            }
            globs.push(text);
        }
        if !globs.is_empty() {
            hub.left_out.0.push((path.clone(), globs));
        }
        hub.roots.push(path);
    }
    for pod in file.pods {
        let at = pod.span();
        let pod = to_config(pod.into_inner()).map_or_else(|what| wrong(at.clone(), what), Ok)?;
        if hub.pods.iter().any(|known| known.name == pod.name) {
            return wrong(
                at,
                format!("`pods`: the name `{}` is given twice", pod.name),
            );
        }
        hub.pods.push(pod);
    }
    if let Some(ssh) = file.ssh {
        match shell_words::split(ssh.get_ref()) {
            Ok(words) if !words.is_empty() => {
                hub.ssh = Some(words.into_iter().map(Into::into).collect());
            }
            Ok(_) => return wrong(ssh.span(), "`ssh` is empty"),
            Err(error) => return wrong(ssh.span(), format!("`ssh`: {error}")),
        }
    }
    for (name, tool) in file.tools {
        if !tool.identical {
            hub.approximate.insert(name.clone());
        }
        if tool.by == Match::Version {
            hub.relaxed.insert(name);
        }
    }
    Ok(hub)
}

fn to_config(pod: Pod) -> Result<PodConfig, String> {
    let name = pod.name;
    let told = |what: &str| format!("pod `{name}`: {what}");
    let address = match (pod.ssh, pod.unix, pod.own) {
        (None, None, true) => Address::Own,
        (None, Some(path), false) => Address::Unix(path),
        (Some(host), None, false) => Address::Ssh(host),
        (None, None, false) => Address::Ssh(name.clone()),
        _ => return Err(told("only one of `ssh`, `unix` and `own` can be")),
    };
    let is_ssh = matches!(address, Address::Ssh(_));
    let mut config =
        PodConfig::new(&name, address).map_err(|error: PodConfigError| told(&error.to_string()))?;
    match pod.files {
        Some(Files::Sshfs) if !is_ssh => {
            return Err(told("`files = \"sshfs\"` is for pods reached by ssh"));
        }
        Some(Files::Mirror) if config.is_own() => {
            return Err(told("this machine's own pod needs no mirror"));
        }
        Some(files) => config.files = Some(files),
        None => {}
    }
    if pod.slots == Some(0) {
        return Err(told("`slots` must be at least 1"));
    }
    if pod.unsandboxed && pod.view != View::Auto {
        return Err(told("`unsandboxed` leaves no choice of `view`"));
    }
    config.sends_tools = pod.toolchain == Toolchain::Send;
    if config.sends_tools && !matches!(config.files, None | Some(Files::Mirror)) {
        return Err(told("`toolchain = \"send\"` needs `files = \"mirror\"`"));
    }
    config.slots = pod.slots;
    config.view = pod.view;
    config.unsandboxed = pod.unsandboxed;
    config.offer = pod.offer;
    config.withhold = pod.withhold;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<HubFile, (usize, String)> {
        parse(text, Some(Path::new("/home/u"))).map_err(|wrong| (wrong.line(text), wrong.what))
    }

    #[test]
    fn a_whole_file() {
        let text = r#"
            roots = ["~/work", { path = "/srv/src", leave_out = ["**/secrets", "*.key"] }]
            ssh = "ssh -F '/my config'"
            patience = 5
            mirror_gib = 3
            [[pods]]
            name = "build1"
            slots = 8
            offer = ["gcc"]
            [[pods]]
            name = "pi4"
            ssh = "me@pi4.lan"
            view = "rewrite"
            files = "sshfs"
            withhold = ["clang"]
            [[pods]]
            name = "local"
            own = true
            [tools.z3]
            match = "version"
            [tools.gcc]
            match = "identity"
            identical = false
        "#;
        let hub = parsed(text).unwrap();
        let roots = ["/home/u/work", "/srv/src"].map(PathBuf::from);
        assert_eq!(hub.roots, roots);
        assert_eq!(hub.left_out.0[0].0, roots[1]);
        assert_eq!(hub.mirror_gib, Some(3));
        assert_eq!(hub.ssh.unwrap(), ["ssh", "-F", "/my config"]);
        assert_eq!(hub.relaxed, ["z3".to_owned()].into());
        assert_eq!(hub.approximate, ["gcc".to_owned()].into());
        let said: Vec<_> = hub
            .pods
            .iter()
            .map(|pod| (pod.name.as_str(), pod.address.to_string(), pod.files))
            .collect();
        assert_eq!(
            said,
            [
                ("build1", "ssh:build1".to_owned(), None),
                ("pi4", "ssh:me@pi4.lan".to_owned(), Some(Files::Sshfs)),
                ("local", "this machine".to_owned(), Some(Files::Shared)),
            ]
        );
        assert_eq!(
            (hub.pods[0].slots, hub.pods[1].view),
            (Some(8), View::Rewrite)
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_key() {
        for (text, line, key) in [
            ("\nrots = []", 2, "rots"),
            ("roots = [\"work\"]", 1, "roots"),
            (
                "\n\nroots = [{ path = \"/a\", leave_out = [\"[\"] }]",
                3,
                "leave_out",
            ),
            ("roots = [{ paht = \"/a\" }]", 1, "path"),
            ("[[pods]]\nname = \"a b\"", 1, "a b"),
            ("[[pods]]\nname = \"a\"\nslots = 0", 1, "slots"),
            ("[[pods]]\nname = \"a\"\nslots = \"8\"", 3, "`slots`: "),
            ("[[pods]]\nname = \"a\"\nsolts = 8", 3, "solts"),
            ("[[pods]]\nname = \"a\"\nview = \"all\"", 3, "`view`: "),
            (
                "[[pods]]\nname = \"a\"\nown = true\nssh = \"b\"",
                1,
                "only one",
            ),
            (
                "[[pods]]\nname = \"a\"\nown = true\nfiles = \"sshfs\"",
                1,
                "files",
            ),
            ("[[pods]]\nname = \"a\"\n[[pods]]\nname = \"a\"", 3, "twice"),
            (
                "[[pods]]\nname = \"a\"\nssh = \"-oProxyCommand=x\"",
                1,
                "destination",
            ),
            ("ssh = \"a 'b\"", 1, "ssh"),
            ("[tools.gcc]\nmatch = \"name\"", 2, "`match`: "),
            ("patience = -1", 1, "`patience`: "),
            ("mirror_gib = \"1\"", 1, "`mirror_gib`: "),
            (
                "[[pods]]\nname = \"a\"\nown = true\nfiles = \"mirror\"",
                1,
                "no mirror",
            ),
            ("[[pods]]\nname = \"a\"\nfiles = \"miror\"", 3, "`files`: "),
        ] {
            let (found, what) = parsed(text).unwrap_err();
            assert!(
                found == line && what.contains(key),
                "{text}: {found}: {what}"
            );
        }
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.toml");
        assert!(matches!(load(&path), Err(FileError::Read { .. })));
        std::fs::write(&path, "patience = 1\nroots = 3\n").unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}:2: ", path.display())),
            "{error}"
        );
    }
}
