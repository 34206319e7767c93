//! The worker daemon. See the library's `workd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cpods::workd::main()
}
