//! `cpods-schedd`, the scheduler daemon: sockets and pods around the pure `sched::Core`.
//!
//! One thread. All state is in [`state::Hub`], which tasks share and never hold across an await.

mod cli;
mod client;
mod config;
mod identity;
mod outbox;
mod pod;
mod pods;
mod state;
mod status;

pub(crate) use cli::canonical_roots;
pub use cli::{command, main};
pub use config::{Address, Config, DEFAULT_PATIENCE, PodConfig, PodConfigError};

use crate::wire::messages::Status;
use crate::wire::socket::is_friend;
use state::Hub;
pub use state::NOT_YET;
use std::rc::Rc;
use tokio::net::UnixListener;

/// A hub that runs on the current thread's `LocalSet`.
#[derive(Debug, Clone)]
pub struct Schedd {
    hub: Rc<Hub>,
}

impl Schedd {
    /// Starts a hub that serves `listener`; must be called inside a `LocalSet`.
    pub fn start(config: Config, listener: UnixListener) -> Self {
        let hub = Hub::new(&config);
        for (index, pod) in (0..).zip(config.pods) {
            tokio::task::spawn_local(pod::keep(Rc::clone(&hub), index, pod));
        }
        tokio::task::spawn_local(accept(Rc::clone(&hub), listener));
        tokio::task::spawn_local(state::keep_time(Rc::clone(&hub)));
        Self { hub }
    }

    /// The state, as `cpods status` shows it.
    pub fn status(&self) -> Status {
        status::of(&self.hub)
    }

    /// Ends every connection; what ran on pods is killed there.
    pub async fn stop(&self) {
        self.hub.stop();
        // The writers' last words.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
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
