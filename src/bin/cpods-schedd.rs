//! The scheduler daemon. See the library's `schedd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cpods::schedd::main()
}
