//! Man pages, made from the command lines themselves.

use anyhow::Context;
use std::path::Path;
use std::process::ExitCode;

/// Writes a page for each program and each subcommand.
pub(super) fn write(dir: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    let programs = [
        super::command(),
        crate::cc::command_page(),
        crate::schedd::command(),
        crate::workd::command(),
        crate::r#gen::command(),
    ];
    for program in programs {
        clap_mangen::generate_to(program, dir)
            .with_context(|| format!("cannot write man pages into `{}`", dir.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
