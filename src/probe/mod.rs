//! See lib.rs.
/// s
pub fn find_on_path(_: &std::ffi::OsStr, _: &std::ffi::OsStr) -> Option<std::path::PathBuf> {
    None
}
/// s
#[derive(Debug)]
pub struct Prober;
/// s
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ProbeError;
impl Prober {
    /// s
    pub fn new() -> Self {
        Self
    }
    /// s
    pub fn probe(
        &mut self,
        _: &crate::rules::Rule,
        _: &str,
        _: &std::path::Path,
    ) -> Result<crate::wire::messages::OfferedTool, ProbeError> {
        Err(ProbeError)
    }
}
