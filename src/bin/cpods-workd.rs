//! See the library's `workd`.

use clap::Parser;
use cpods::workd::{self, daemon};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    workd::take_over();
    let args = daemon::Args::parse();
    match daemon::main(&args, Arc::new(Vec::new), None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cpods-workd: error: {error:#}");
            ExitCode::from(125)
        }
    }
}
