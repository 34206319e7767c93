//! What the daemon is told at its start.

use crate::paths::Roots;
use crate::rules::RuleSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// A hub's configuration.
#[derive(Debug)]
pub struct Config {
    /// What pods may see.
    pub roots: Roots,
    /// The pods.
    pub pods: Vec<PodConfig>,
    /// What is known of tools.
    pub rules: Arc<RuleSet>,
    /// How long a job whose tool the hub lacks waits for a pod that offers it.
    pub patience: Duration,
}

/// [`Config::patience`] where nobody asked for another.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodConfig {
    /// Its name on this hub.
    pub name: String,
    /// How it is reached.
    pub address: Address,
    /// Whether it is this machine, whose cores local runs use too.
    pub own: bool,
}

/// How a pod is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A worker that listens on a unix socket.
    Unix(PathBuf),
    /// A worker that this hub starts; it speaks on its standard input, a socket.
    Spawn {
        /// The executable.
        program: PathBuf,
        /// `argv`, the name first.
        argv: Vec<OsString>,
    },
}

/// A pod that cannot be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PodConfigError {
    /// Not of the form.
    #[error("pod `{0}` is not of the form NAME=unix:PATH")]
    Form(String),
    /// A name that would confuse people or the status page.
    #[error("pod name `{0}` may hold only letters, digits, `-`, `_` and `.`")]
    Name(String),
}

impl FromStr for PodConfig {
    type Err = PodConfigError;

    /// `NAME=unix:PATH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || PodConfigError::Form(text.into());
        let (name, address) = text.split_once('=').ok_or_else(form)?;
        let path = address
            .strip_prefix("unix:")
            .filter(|path| !path.is_empty())
            .ok_or_else(form)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(PodConfigError::Name(name.into()));
        }
        Ok(Self {
            name: name.into(),
            address: Address::Unix(path.into()),
            own: false,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Spawn { .. } => f.write_str("this machine"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_parsed_or_refused_by_name() {
        let pod: PodConfig = "b1=unix:/run/x.sock".parse().unwrap();
        assert_eq!(
            (pod.name.as_str(), pod.address),
            ("b1", Address::Unix("/run/x.sock".into()))
        );
        for bad in ["b1", "b1=", "b1=ssh:x", "b1=unix:", "=unix:/x"] {
            let error = bad.parse::<PodConfig>().unwrap_err().to_string();
            assert!(error.contains('`'), "{error}");
        }
        assert_eq!(
            "a b=unix:/x".parse::<PodConfig>(),
            Err(PodConfigError::Name("a b".into()))
        );
    }
}
