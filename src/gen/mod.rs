//! See lib.rs.
/// s
pub fn main() -> std::process::ExitCode {
    panic!()
}
/// s
pub fn command() -> clap::Command {
    panic!()
}
