//! The wrapper. See the library's `cc`.

use std::process::ExitCode;

/// musl's own maps and unmaps memory for every other allocation.
#[cfg(target_env = "musl")]
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    cpods::cc::main()
}
