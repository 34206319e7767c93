//! `cpods-schedd`, the scheduler daemon: sockets and pods around the pure `sched::Core`.
//!
//! One thread. All state is in [`state::Hub`], which tasks share and never hold across an await.

mod bootstrap;
pub(crate) mod by_need;
mod choice;
mod cli;
mod client;
mod clock;
mod config;
pub(crate) mod content;
mod file;
mod identity;
mod jail;
mod ledger;
mod left_out;
mod memory;
pub(crate) mod mirror;
mod mirrors;
mod mounts;
mod outbox;
mod pod;
mod pods;
mod reach;
mod reading;
mod ssh;
mod state;
mod status;
mod submit;
mod survey;
mod system;
mod toolchain;

pub use bootstrap::Served;
pub use choice::why_no_overlay;
pub(crate) use cli::{canonical_roots, roots_there};
pub use cli::{command, main};
pub use config::{
    Address, Config, DEFAULT_PATIENCE, OWN_POD, PodConfig, PodConfigError, View, ssh_command,
};
pub use file::{HubFile, load as load_file, load_own};
pub use left_out::LeftOut;
pub use reach::{Clock, Reach, Reached, has_worker, try_jail};

/// What speaks against copies of these roots, for a hub with this file; none if nothing does.
pub fn why_no_copies(roots: &crate::paths::Roots, file: &HubFile) -> Option<String> {
    let most_bytes = config::most_bytes(file.mirror_gib);
    let found = survey::why_no_copies(roots, &file.left_out, most_bytes);
    found.unwrap_or_else(|error| Some(format!("{error:#}")))
}

use crate::wire::messages::Status;
use crate::wire::socket::is_friend;
use state::Hub;
pub use state::NOT_YET;
use std::rc::Rc;
use tokio::net::UnixListener;

/// A hub that runs on the current thread's `LocalSet`.
#[derive(Debug)]
pub struct Schedd {
    hub: Rc<Hub>,
    pods: Vec<tokio::task::JoinHandle<()>>,
}

/// How long a stop waits for workers of our own to end their jobs.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(6);

impl Schedd {
    /// Starts a hub that serves `listener`; must be called inside a `LocalSet`.
    pub fn start(config: Config, listener: UnixListener) -> Self {
        let pods = config.pods.clone();
        let hub = Hub::new(config);
        let pods = (0..)
            .zip(pods)
            .map(|(index, pod)| tokio::task::spawn_local(pod::keep(Rc::clone(&hub), index, pod)));
        let pods = pods.collect();
        tokio::task::spawn_local(accept(Rc::clone(&hub), listener));
        tokio::task::spawn_local(clock::keep_time(Rc::clone(&hub)));
        Self { hub, pods }
    }

    /// The state, as `cpods status` shows it.
    pub fn status(&self) -> Status {
        status::of(&self.hub)
    }

    /// Ends every connection, and the workers that this hub started; what ran on pods is killed.
    pub async fn stop(self) {
        self.hub.stop();
        let _ = tokio::time::timeout(STOP_WITHIN, async {
            for pod in self.pods {
                let _ = pod.await;
            }
        })
        .await;
    }
}

async fn accept(hub: Rc<Hub>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_friend(&stream) => {
                tokio::task::spawn_local(client::serve(Rc::clone(&hub), stream));
            }
            Ok(_) => tracing::warn!("a process of another user tried to connect, and was dropped"),
            Err(error) => {
                // Out of descriptors, most likely: wait for some to be closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
