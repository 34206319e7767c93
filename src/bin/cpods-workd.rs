//! The worker daemon. See the library's `workd`.

use std::process::ExitCode;

/// musl's own maps and unmaps memory for every other allocation.
#[cfg(target_env = "musl")]
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    cpods::workd::main()
}
