//! The generator of Ninja files. See the library's `gen`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cpods::r#gen::main()
}
