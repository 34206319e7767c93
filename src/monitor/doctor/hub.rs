//! What this machine needs to be a hub.

use super::Here;
use super::sheet::Sheet;
use crate::monitor::roots::given_or_default;
use crate::paths::Roots;
use crate::probe::find_on_path;
use crate::rules::RuleSet;
use crate::schedd::{self, HubFile, Reach};
use anyhow::Context;
use std::env::consts::ARCH;
use std::ffi::OsStr;
use std::path::Path;

/// Machines that a worker can be built for.
const MACHINES: [&str; 2] = ["x86_64", "aarch64"];

/// The configuration; nothing said in one that is wrong.
pub(super) fn file(sheet: &mut Sheet, given: Option<&Path>) -> HubFile {
    let loaded = match given {
        Some(path) => schedd::load_file(path),
        None => schedd::load_own(),
    };
    match loaded {
        Ok(file) => {
            let found = format!(
                "{} pods, {} roots configured",
                file.pods.len(),
                file.roots.len()
            );
            sheet.ok("hub.toml", &found);
            file
        }
        Err(error) => {
            sheet.fail("hub.toml", &full(error.into()));
            HubFile::default()
        }
    }
}

/// The rules; the built-in ones where the user's are wrong.
pub(super) fn rules(sheet: &mut Sheet) -> RuleSet {
    match crate::rulefiles::load_own() {
        Ok(rules) => {
            sheet.ok("rules", &format!("{} tools", rules.rules().count()));
            rules
        }
        Err(error) => {
            sheet.fail("rules", &full(error.into()));
            RuleSet::builtin().clone()
        }
    }
}

/// The roots of the configuration, or what a run would take. One that is missing is a fault, though
/// the others are served.
pub(super) fn roots(sheet: &mut Sheet, file: &HubFile) -> Option<Roots> {
    let roots = given_or_default(&file.roots)
        .context("cannot tell the working directory")
        .and_then(|given| schedd::roots_there(&given));
    match roots {
        Ok((roots, missing)) => {
            for why in &missing {
                sheet.fail("roots", why);
            }
            let names: Vec<_> = roots
                .iter()
                .map(|(_, path)| path.display().to_string())
                .collect();
            sheet.ok("roots", &names.join(", "));
            Some(roots)
        }
        Err(error) => {
            sheet.fail("roots", &full(error));
            None
        }
    }
}

/// How to reach pods.
pub(super) fn reach(file: &HubFile) -> anyhow::Result<Reach> {
    Ok(Reach {
        ssh: schedd::ssh_command(file)?,
        own_worker: std::env::current_exe().context("cannot find this program's own file")?,
    })
}

/// The programs that a hub with far pods runs.
pub(super) fn programs(sheet: &mut Sheet, reach: &Reach) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ssh = reach.ssh.first().map_or(OsStr::new("ssh"), |it| it);
    let found = find_on_path(ssh, &path).map(|path| path.display().to_string());
    let lacking = || format!("there is no `{}`; install openssh-client", ssh.display());
    sheet.check("ssh", found.ok_or_else(lacking));
}

/// Workers to be sent to pods.
pub(super) fn workers(sheet: &mut Sheet) {
    for machine in MACHINES {
        let what = format!("worker for {machine}");
        match schedd::has_worker(machine) {
            Ok(()) => sheet.ok(&what, "there to be sent"),
            Err(why) if machine == ARCH => sheet.fail(&what, &why),
            // Whether a pod needs it is found there.
            Err(why) => sheet.ok(&what, &format!("none, needed only for such pods: {why}")),
        }
    }
}

/// The jail from which pods read files over sshfs, once for real. It counts if a pod is configured
/// so; others may have mirrors.
pub(super) async fn jail(
    sheet: &mut Sheet,
    file: &HubFile,
    roots: Option<&Roots>,
    is_needed: bool,
) {
    let Some(roots) = roots else { return };
    match schedd::try_jail(roots, &file.left_out).await {
        Ok(()) => sheet.ok("sftp jail", "starts and serves the roots"),
        Err(error) if is_needed => sheet.fail("sftp jail", &full(error)),
        Err(error) => {
            let why = full(error);
            sheet.warn("sftp jail", &format!("for pods that get no mirror: {why}"));
        }
    }
}

/// What there is to compare pods with.
pub(super) fn tools(sheet: &mut Sheet, here: &Here) {
    for name in &here.file.relaxed {
        if here.rules.rule(name).is_none() {
            let found = format!("`[tools.{name}]` in hub.toml: there is no such rule");
            sheet.warn("tools", &found);
        }
    }
    let names: std::collections::BTreeSet<_> =
        here.tools.iter().map(|tool| tool.tool.as_str()).collect();
    let names: Vec<_> = names.into_iter().collect();
    match names.is_empty() {
        true => sheet.warn("tools", "none found; what pods offer cannot be compared"),
        false => sheet.ok("tools", &names.join(", ")),
    }
}

/// An error with its causes.
fn full(error: anyhow::Error) -> String {
    format!("{error:#}")
}
