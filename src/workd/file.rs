//! `pod.toml`, a worker's configuration file: read, checked, and never half believed.

use super::worker::ViewChoice;
use crate::configfile::{self, FileError, Wrong, absolute, wrong};
use crate::rulefiles::{self, LoadError};
use crate::rules::RuleSet;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Most slots a worker may be given; the command line has the same bound.
pub(super) const MOST_SLOTS: u32 = 4096;
/// What mirrors may hold where nothing is said: as much as the roots may that a hub has mirrored
/// unasked.
const MIRROR_GIB: f64 = 20.0;
const GIB: f64 = (1_u64 << 30) as f64;
/// What nice(1) takes at most.
const MOST_NICE: i32 = 19;

/// What a pod's file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFile {
    /// Jobs at a time.
    pub slots: Option<u32>,
    /// How far jobs stand back for everything else on the machine, as nice(1) has it.
    pub nice: Option<i32>,
    /// The only tools to offer, by rule; all where absent.
    pub offer: Option<BTreeSet<String>>,
    /// Tools not to offer, by rule.
    pub withhold: BTreeSet<String>,
    /// Read-only directories shown to jobs beside the usual ones.
    pub system: Vec<PathBuf>,
    /// Folder of rule files for more tools, instead of the user's own.
    pub rules: Option<PathBuf>,
    /// Which view.
    pub view: Option<ViewChoice>,
    /// Runs jobs without any sandbox.
    pub unsandboxed: bool,
    /// When it takes jobs.
    pub hours: Hours,
    /// GiB that all mirrors may hold.
    pub mirror_gib: Option<f64>,
}

/// When a pod takes jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hours {
    /// Whenever it runs.
    #[default]
    Always,
    /// While no person uses the machine.
    Idle,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    slots: Option<Spanned<u32>>,
    nice: Option<Spanned<i32>>,
    offer: Option<BTreeSet<String>>,
    withhold: BTreeSet<String>,
    system: Vec<Spanned<String>>,
    rules: Option<Spanned<String>>,
    view: Option<ViewChoice>,
    unsandboxed: Option<Spanned<bool>>,
    hours: Hours,
    mirror_gib: Option<Spanned<f64>>,
}

impl PodFile {
    /// Bytes that all mirrors may hold.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the file is refused if it is negative, and what is too much is as much as there can be"
    )]
    pub(super) fn mirror_bytes(&self) -> u64 {
        (self.mirror_gib.unwrap_or(MIRROR_GIB) * GIB) as u64
    }

    /// The rules of the tools that the pod may offer.
    ///
    /// # Errors
    /// See [`LoadError`]; also a folder that this file names and that is not there.
    pub(super) fn load_rules(&self) -> Result<RuleSet, LoadError> {
        match &self.rules {
            Some(folder) => rulefiles::load_named(folder),
            None => rulefiles::load_own(),
        }
    }

    /// Whether tools of this rule may be offered.
    pub(super) fn allows(&self, tool: &str) -> bool {
        let offered = self.offer.as_ref().is_none_or(|only| only.contains(tool));
        offered && !self.withhold.contains(tool)
    }
}

/// The user's own file, `cpods/pod.toml` in the configuration folder; nothing said where there is
/// none.
///
/// # Errors
/// See [`FileError`].
pub fn load_own() -> Result<PodFile, FileError> {
    match configfile::own("pod.toml") {
        Some(path) => load(&path),
        None => Ok(PodFile::default()),
    }
}

/// Reads one file.
///
/// # Errors
/// See [`FileError`].
pub fn load(path: &Path) -> Result<PodFile, FileError> {
    configfile::load(path, |text| parse(text, configfile::home().as_deref()))
}

fn parse(text: &str, home: Option<&Path>) -> Result<PodFile, Wrong> {
    let file: File = configfile::parse(text)?;
    if let Some(slots) = &file.slots
        && !(1..=MOST_SLOTS).contains(slots.get_ref())
    {
        return wrong(slots.span(), format!("`slots` must be 1 to {MOST_SLOTS}"));
    }
    if let Some(nice) = &file.nice
        && !(0..=MOST_NICE).contains(nice.get_ref())
    {
        return wrong(nice.span(), format!("`nice` must be 0 to {MOST_NICE}"));
    }
    if let Some(gib) = &file.mirror_gib
        && (gib.get_ref().is_nan() || *gib.get_ref() < 0.0)
    {
        return wrong(gib.span(), "`mirror_gib` must be 0 or more");
    }
    if let Some(unsandboxed) = &file.unsandboxed
        && *unsandboxed.get_ref()
        && file.view.is_some()
    {
        return wrong(
            unsandboxed.span(),
            "`unsandboxed` leaves no choice of `view`",
        );
    }
    let path = |key: &str, said: &Spanned<String>| {
        absolute(said.get_ref(), home)
            .or_else(|what| wrong(said.span(), format!("`{key}`: {what}")))
    };
    let system = file.system.iter().map(|dir| path("system", dir));
    let system = system.collect::<Result<_, _>>()?;
    let rules = file.rules.as_ref().map(|dir| path("rules", dir));
    Ok(PodFile {
        slots: file.slots.map(Spanned::into_inner),
        nice: file.nice.map(Spanned::into_inner),
        offer: file.offer,
        withhold: file.withhold,
        system,
        rules: rules.transpose()?,
        view: file.view,
        unsandboxed: file.unsandboxed.is_some_and(Spanned::into_inner),
        hours: file.hours,
        mirror_gib: file.mirror_gib.map(Spanned::into_inner),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<PodFile, (usize, String)> {
        parse(text, Some(Path::new("/home/u"))).map_err(|wrong| (wrong.line(text), wrong.what))
    }

    #[test]
    fn a_whole_file() {
        let text = r#"
            slots = 3
            nice = 10
            offer = ["gcc", "z3"]
            withhold = ["z3"]
            system = ["/opt/tools", "~/tools"]
            rules = "~/rules"
            view = "rewrite"
            hours = "idle"
            mirror_gib = 0.5
        "#;
        let pod = parsed(text).unwrap();
        assert_eq!((pod.slots, pod.nice), (Some(3), Some(10)));
        let allowed = ["gcc", "z3", "clang"].map(|tool| pod.allows(tool));
        assert_eq!(allowed, [true, false, false]);
        assert_eq!(
            pod.system,
            ["/opt/tools", "/home/u/tools"].map(PathBuf::from)
        );
        assert_eq!(pod.rules, Some("/home/u/rules".into()));
        assert_eq!(pod.view, Some(ViewChoice::Rewrite));
        assert_eq!(pod.hours, Hours::Idle);
        assert_eq!(pod.mirror_bytes(), 512 << 20);
        assert_eq!(parsed("mirror_gib = 3").unwrap().mirror_bytes(), 3 << 30);
        assert_eq!(parsed("mirror_gib = inf").unwrap().mirror_bytes(), u64::MAX);
        assert_eq!(PodFile::default().mirror_bytes(), 20 << 30);
        assert!(!pod.unsandboxed && parsed("unsandboxed = true").unwrap().unsandboxed);
        let nothing = parsed("").unwrap();
        assert_eq!(nothing, PodFile::default());
        assert!(nothing.allows("gcc"));
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_key() {
        for (text, line, key) in [
            ("\nsolts = 3", 2, "`solts`"),
            ("nice = 1\nslots = 0", 2, "`slots` must be 1 to 4096"),
            ("slots = 5000", 1, "`slots` must be"),
            ("slots = \"8\"", 1, "`slots`: "),
            ("slots = -1", 1, "`slots`: "),
            ("nice = 20", 1, "`nice` must be 0 to 19"),
            ("nice = -1", 1, "`nice` must be 0 to 19"),
            ("offer = \"gcc\"", 1, "`offer`: "),
            ("\n\nwithhold = [1]", 3, "`withhold`: "),
            ("system = [\n\"/opt\",\n\"tools\"]", 3, "`system`: `tools`"),
            ("rules = \"mine\"", 1, "`rules`: `mine`"),
            ("view = \"all\"", 1, "`view`: "),
            ("view = \"auto\"\nunsandboxed = true", 2, "`unsandboxed`"),
            ("unsandboxed = 1", 1, "`unsandboxed`: "),
            ("hours = \"night\"", 1, "`hours`: "),
            ("mirror_gib = -0.5", 1, "`mirror_gib` must be"),
            ("mirror_gib = nan", 1, "`mirror_gib` must be"),
            ("mirror_gib = \"1\"", 1, "`mirror_gib`: "),
            ("slots = 1\nslots = 2", 2, "`slots`: "),
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
        let path = dir.path().join("pod.toml");
        assert!(matches!(load(&path), Err(FileError::Read { .. })));
        std::fs::write(&path, "nice = 1\nhours = 3\n").unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}:2: `hours`: ", path.display())),
            "{error}"
        );
    }
}
