//! What the daemon is told at its start.

use super::file::HubFile;
use super::left_out::LeftOut;
use crate::paths::Roots;
use crate::rules::RuleSet;
use crate::wire::messages::Files;
use anyhow::Context;
use std::collections::BTreeSet;
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
    /// Of that, what pods may not see.
    pub left_out: LeftOut,
    /// The pods.
    pub pods: Vec<PodConfig>,
    /// What is known of tools.
    pub rules: Arc<RuleSet>,
    /// How long a job waits for pods that are about to come, and for one that offers a tool which
    /// the hub lacks.
    pub patience: Duration,
    /// Rules whose tools need only tell the same version to count as the same.
    pub relaxed: BTreeSet<String>,
    /// Rules whose jobs may go to a view that is known to give them other bytes.
    pub approximate: BTreeSet<String>,
    /// Larger roots, all together, are copied only to pods that are configured so.
    pub mirror_bytes: u64,
    /// How to begin an ssh command line.
    pub ssh: Vec<OsString>,
    /// The program to start as this machine's own worker, by the name `cpods-workd`.
    pub own_worker: PathBuf,
    /// What workers that this hub starts shall log.
    pub log: String,
}

impl Config {
    /// With these roots and pods; the rest as the user's file says.
    ///
    /// # Errors
    /// The user's rules cannot be loaded, or `CPODS_SSH` is no command line.
    pub fn new(
        roots: Roots,
        pods: Vec<PodConfig>,
        file: HubFile,
        log: String,
    ) -> anyhow::Result<Self> {
        let ssh = ssh_command(&file)?;
        let rules = crate::rulefiles::load_own()?;
        let of_pods = pods.iter().flat_map(|pod| {
            let named = pod.offer.iter().flatten().chain(&pod.withhold);
            named.map(move |tool| (format!("pod `{}`", pod.name), tool))
        });
        let of_file = file.relaxed.iter().chain(&file.approximate);
        let of_file = of_file.map(|tool| ("`[tools]`".to_owned(), tool));
        for (place, tool) in of_pods.chain(of_file) {
            anyhow::ensure!(
                rules.rule(tool).is_some(),
                "in the hub's configuration, {place}: there is no rule `{tool}`"
            );
        }
        Ok(Self {
            roots,
            left_out: file.left_out,
            pods,
            rules: Arc::new(rules),
            patience: file.patience.map_or(DEFAULT_PATIENCE, Duration::from_secs),
            relaxed: file.relaxed,
            approximate: file.approximate,
            mirror_bytes: most_bytes(file.mirror_gib),
            ssh,
            own_worker: "cpods-workd".into(),
            log,
        })
    }

    /// Another patience, in seconds, if one was given.
    #[must_use]
    pub fn with_patience(mut self, seconds: Option<u64>) -> Self {
        self.patience = seconds.map_or(self.patience, Duration::from_secs);
        self
    }

    /// Another program for this machine's own worker.
    #[must_use]
    pub fn with_own_worker(mut self, program: PathBuf) -> Self {
        self.own_worker = program;
        self
    }
}

/// How to begin an ssh command line: as the environment, else the file says.
///
/// # Errors
/// `CPODS_SSH` is no command line.
pub fn ssh_command(file: &HubFile) -> anyhow::Result<Vec<OsString>> {
    if let Ok(text) = std::env::var("CPODS_SSH")
        && !text.is_empty()
    {
        let words = shell_words::split(&text).context("in the variable CPODS_SSH")?;
        return Ok(words.into_iter().map(Into::into).collect());
    }
    let given = file.ssh.clone();
    Ok(given.unwrap_or_else(|| vec![super::ssh::DEFAULT_COMMAND.into()]))
}

/// [`Config::patience`] where nobody asked for another.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// Largest roots that are copied to pods where nobody said otherwise, in GiB.
const DEFAULT_MIRROR_GIB: u64 = 20;

/// The limit that a configuration sets.
pub(super) fn most_bytes(mirror_gib: Option<u64>) -> u64 {
    mirror_gib
        .unwrap_or(DEFAULT_MIRROR_GIB)
        .saturating_mul(1 << 30)
}

/// The name of this machine's own pod.
pub const OWN_POD: &str = "local";

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodConfig {
    /// Its name on this hub.
    pub name: String,
    /// How it is reached.
    pub address: Address,
    /// How it comes to the files; none where that is for the hub to choose.
    pub files: Option<Files>,
    /// Whether it is sent this machine's compilers where it has no such.
    pub sends_tools: bool,
    /// Jobs at a time, at most.
    pub slots: Option<u32>,
    /// The view it shall offer.
    pub view: View,
    /// Whether its jobs may run without any sandbox.
    pub unsandboxed: bool,
    /// The only tools to use there, by rule; all where absent.
    pub offer: Option<BTreeSet<String>>,
    /// Tools not to use there, by rule.
    pub withhold: BTreeSet<String>,
}

/// How a pod is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A worker of this machine that the hub starts; it shares the machine's slots.
    Own,
    /// A worker that listens on a unix socket.
    Unix(PathBuf),
    /// A worker at the other end of an ssh connection: the destination, as ssh(1) takes it.
    Ssh(String),
}

/// A pod's view, as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The best that the machine allows
    #[default]
    Auto,
    /// The roots at their own paths
    Overlay,
    /// The roots elsewhere, paths rewritten
    Rewrite,
}

impl View {
    /// As the worker's command line has it.
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Overlay => "overlay",
            Self::Rewrite => "rewrite",
        }
    }
}

/// A pod that cannot be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PodConfigError {
    /// Not of the form.
    #[error("pod `{0}` is not of the form HOST, NAME=ssh:HOST, NAME=unix:PATH or local")]
    Form(String),
    /// A name that would confuse people or the status page.
    #[error("pod name `{0}` may hold only letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// What ssh would take for an option, or a shell for more than a word.
    #[error("`{0}` is no destination for ssh")]
    Host(String),
}

impl PodConfig {
    /// A pod with nothing said but where it is.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub fn new(name: &str, address: Address) -> Result<Self, PodConfigError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('-') || !name.chars().all(is_plain) {
            return Err(PodConfigError::Name(name.into()));
        }
        if let Address::Ssh(host) = &address
            && (host.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace))
        {
            return Err(PodConfigError::Host(host.clone()));
        }
        let files = match address {
            Address::Ssh(_) => None,
            Address::Own | Address::Unix(_) => Some(Files::Shared),
        };
        Ok(Self {
            name: name.into(),
            address,
            files,
            slots: None,
            view: View::Auto,
            unsandboxed: false,
            offer: None,
            sends_tools: false,
            withhold: BTreeSet::new(),
        })
    }

    /// This machine as a pod.
    pub fn own(slots: Option<u32>, view: View) -> Self {
        Self {
            name: OWN_POD.into(),
            address: Address::Own,
            files: Some(Files::Shared),
            slots,
            view,
            unsandboxed: false,
            offer: None,
            sends_tools: false,
            withhold: BTreeSet::new(),
        }
    }

    /// Whether it is this machine, whose cores local runs use too.
    pub fn is_own(&self) -> bool {
        self.address == Address::Own
    }

    /// Whether a tool of this rule may be used there.
    pub(crate) fn allows(&self, tool: &str) -> bool {
        let offered = self.offer.as_ref().is_none_or(|only| only.contains(tool));
        offered && !self.withhold.contains(tool)
    }

    /// The command line of a worker for this pod, after its name.
    pub(super) fn worker_args(&self, log: &str) -> Vec<OsString> {
        let mut args: Vec<OsString> = ["--stdio", "--name", &self.name, "--log", log]
            .map(Into::into)
            .into();
        if let Some(slots) = self.slots {
            args.extend(["--slots".into(), slots.to_string().into()]);
        }
        if self.unsandboxed {
            args.push("--unsandboxed".into());
        } else if self.view != View::Auto {
            // Else the pod's own file may have a say.
            args.extend(["--view".into(), self.view.name().into()]);
        }
        args
    }
}

/// The name that a destination of ssh suggests: the host alone.
fn name_of(host: &str) -> &str {
    let host = host.strip_prefix("ssh://").unwrap_or(host);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    host.split(':').next().unwrap_or(host)
}

impl FromStr for PodConfig {
    type Err = PodConfigError;

    /// `HOST`, `NAME=ssh:HOST`, `NAME=unix:PATH`, or `local`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || PodConfigError::Form(text.into());
        let Some((name, address)) = text.split_once('=') else {
            return match text {
                "" => Err(form()),
                OWN_POD => Ok(Self::own(None, View::Auto)),
                host => Self::new(name_of(host), Address::Ssh(host.into())),
            };
        };
        let address = match address.split_once(':') {
            Some(("ssh", host)) => Address::Ssh(host.into()),
            Some(("unix", path)) if !path.is_empty() => Address::Unix(path.into()),
            _ => return Err(form()),
        };
        Self::new(name, address)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => f.write_str("this machine"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Ssh(host) => write!(f, "ssh:{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_parsed_or_refused_by_name() {
        for (text, name, address) in [
            ("b1=unix:/run/x.sock", "b1", "unix:/run/x.sock"),
            ("b1=ssh:me@far", "b1", "ssh:me@far"),
            ("me@far.example", "far.example", "ssh:me@far.example"),
            ("ssh://me@far:2222", "far", "ssh:ssh://me@far:2222"),
            ("build1", "build1", "ssh:build1"),
            ("local", "local", "this machine"),
        ] {
            let pod: PodConfig = text.parse().unwrap();
            assert_eq!(
                (pod.name.as_str(), pod.address.to_string().as_str()),
                (name, address)
            );
        }
        for bad in [
            "",
            "b1=",
            "b1=ssh:",
            "b1=unix:",
            "=unix:/x",
            "b1=tcp:x",
            "-oX",
            "b=ssh:-oX",
        ] {
            let error = bad.parse::<PodConfig>().unwrap_err().to_string();
            assert!(error.contains('`'), "{error}");
        }
        assert_eq!(
            "a b=unix:/x".parse::<PodConfig>(),
            Err(PodConfigError::Name("a b".into()))
        );
    }

    #[test]
    fn what_a_worker_is_told() {
        let mut pod: PodConfig = "b1".parse().unwrap();
        let words = |pod: &PodConfig| {
            let args = pod.worker_args("warn").into_iter();
            args.map(|arg| arg.into_string().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words(&pod), "--stdio --name b1 --log warn");
        (pod.slots, pod.unsandboxed) = (Some(3), true);
        assert_eq!(
            words(&pod),
            "--stdio --name b1 --log warn --slots 3 --unsandboxed"
        );
        pod.withhold = ["gcc".to_owned()].into();
        assert!(!pod.allows("gcc") && pod.allows("z3"));
        pod.offer = Some(["gcc".to_owned()].into());
        assert!(!pod.allows("gcc") && !pod.allows("z3"));
    }
}
