//! A hub that is away: being started anew, or upgraded. A tool that is on this machine need not wait
//! for it; one that only pods have can run nowhere else.

use super::hub::{Hub, HubError, socket_path};
use super::{Call, fail, local, note};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Tries of one job with one hub after another, before it is run here.
const MOST_TRIES: u32 = 3;

/// How long a hub that was lost in mid-job may take to come back, where its job can run here.
const RETURNS_WITHIN: Duration = Duration::from_secs(3);

/// The same where it cannot: as long as a hub, by default, waits for a pod with such a tool.
const PATIENCE: Duration = Duration::from_secs(30);
/// Another one, in seconds.
const PATIENCE_VARIABLE: &str = "CPODS_PATIENCE";

/// Between two tries to connect.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Where systemd keeps that the user's hub is a service, in the configuration folder.
const ENABLED: &str = "systemd/user/default.target.wants/cpods-schedd.service";

impl Call {
    /// Connects to the hub; waits for one where there should be one and nothing else can run this.
    pub(super) fn connect(&mut self) -> Result<Hub, HubError> {
        let found = Hub::connect();
        self.has_hub = found.is_ok() || is_expected();
        match found {
            Err(HubError::Absent | HubError::Unusable { .. })
                if self.has_hub && self.is_lacking() =>
            {
                note(&format!("`{}` waits for the hub", self.argv[0].display()));
                wait(patience())
            }
            found => found,
        }
    }

    /// Waits for a hub that was lost in mid-job.
    pub(super) fn find_again(&self, tries: u32) -> Option<Hub> {
        let patience = match self.is_lacking() {
            true => patience(),
            false => RETURNS_WITHIN,
        };
        if tries > MOST_TRIES {
            return None;
        }
        wait(patience).ok()
    }

    /// What no pod ran and this machine lacks: as env(1) has it where nobody knows of a hub.
    pub(super) fn nowhere(&self, why: &str) -> ExitCode {
        if !self.has_hub || !self.is_lacking() {
            return self.here();
        }
        let name = self.argv[0].display();
        fail(&format!(
            "`{name}` is not on this machine, and no pod ran it: {why}"
        ))
    }

    /// Whether there is nothing on this machine that could be run.
    fn is_lacking(&self) -> bool {
        self.program.is_none() && local::find_other(&self.argv[0]).is_none()
    }
}

/// Whether this user has a hub, by all that can be seen while it is away.
fn is_expected() -> bool {
    let enabled = || {
        let folder = crate::rulefiles::config_folder(|name| std::env::var_os(name))?;
        std::fs::symlink_metadata(folder.parent()?.join(ENABLED)).ok()
    };
    std::env::var_os("CPODS_HUB").is_some_and(|path| !path.is_empty())
        || std::fs::symlink_metadata(socket_path()).is_ok()
        || enabled().is_some()
}

/// Tries to connect until it succeeds, it can never, or the time is over.
fn wait(patience: Duration) -> Result<Hub, HubError> {
    let end = Instant::now() + patience;
    loop {
        match Hub::connect() {
            Err(HubError::Absent | HubError::Unusable { .. }) if Instant::now() < end => {
                std::thread::sleep(TRY_AGAIN);
            }
            found => return found,
        }
    }
}

fn patience() -> Duration {
    let given = std::env::var(PATIENCE_VARIABLE).ok();
    let given = given.and_then(|text| text.parse().ok());
    given.map_or(PATIENCE, Duration::from_secs)
}
