//! The operator's tool. See the library's `monitor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // `cpods run` starts its worker from this very file, under the worker's name; and the worker
    // its wardens.
    cpods::workd::take_over();
    let own = std::env::args_os().next().unwrap_or_default();
    if std::path::Path::new(&own)
        .file_name()
        .is_some_and(|name| name == "cpods-workd")
    {
        return cpods::workd::main();
    }
    cpods::monitor::main()
}
