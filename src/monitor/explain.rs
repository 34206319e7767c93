//! `cpods explain`: what would be done with a command.

use super::cli::Explain;
use crate::cc::{Disk, Hub};
use crate::paths::Roots;
use crate::rules::{self, Command};
use std::process::ExitCode;

pub(super) fn explain(args: Explain) -> anyhow::Result<ExitCode> {
    if let Some(most) = args.last {
        return super::last::last(most, args.json);
    }
    let rules = crate::rulefiles::load_own()?;
    let roots = roots(&args)?;
    let cwd = std::env::current_dir()?;
    let env: Vec<_> = std::env::vars_os().collect();
    let command = Command {
        argv: &args.command,
        cwd: &cwd,
        env: &env,
    };
    let explanation = rules::explain(&rules, &command, &roots, &Disk);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&explanation)?);
    } else {
        print!("{explanation}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Those given, those of a running hub, or the default.
fn roots(args: &Explain) -> anyhow::Result<Roots> {
    if args.roots.is_empty()
        && let Ok(hub) = Hub::connect()
    {
        return Ok(hub.roots);
    }
    crate::schedd::canonical_roots(&super::roots::given_or_default(&args.roots)?)
}
