//! The wrapper. See the library's `cc`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cpods::cc::main()
}
