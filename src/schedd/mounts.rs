//! One pod's sight of the roots' files: an sshfs there, a jailed SFTP server here, joined by ssh.

use super::config::Config;
use super::outbox::Outbox;
use super::ssh::{self, Process};
use super::{config::Address, jail};
use crate::paths::Bytes;
use crate::wire::messages::ToPod;
use anyhow::Context;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use tokio::task::AbortHandle;

/// The mount of one session; dropped, it is taken away.
#[derive(Debug, Default)]
pub(super) struct Mount {
    serving: RefCell<Option<AbortHandle>>,
}

impl Mount {
    /// Mounts at `at` on the pod, in the place of whatever was mounted before. Trouble is told to
    /// the pod, which then asks again.
    pub(super) fn renew(
        &self,
        config: &Rc<Config>,
        address: &Address,
        program: &Bytes,
        at: &Bytes,
        outbox: &Rc<Outbox>,
    ) {
        let (config, outbox, address) = (Rc::clone(config), Rc::clone(outbox), address.clone());
        let (program, at) = (program.clone(), at.clone());
        let task = tokio::task::spawn_local(async move {
            let why = match serve(&config, &address, &program, &at).await {
                Ok(why) => why,
                Err(error) => format!("{error:#}"),
            };
            tracing::debug!("mount `{}` ended: {why}", at.display());
            // A pod that is gone needs no answer.
            let _ = outbox.message(&ToPod::NotMounted { at, why });
        });
        if let Some(before) = self.serving.replace(Some(task.abort_handle())) {
            before.abort();
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(task) = self.serving.take() {
            task.abort();
        }
    }
}

/// Serves until either side ends; says why it did.
async fn serve(
    config: &Config,
    address: &Address,
    program: &Bytes,
    at: &Bytes,
) -> anyhow::Result<String> {
    let Address::Ssh(host) = address else {
        anyhow::bail!("sshfs needs a pod that is reached by ssh");
    };
    let (ours, theirs) = UnixStream::pair().context("make a socket pair")?;
    let both = |end: UnixStream| -> std::io::Result<(OwnedFd, OwnedFd)> {
        let end = OwnedFd::from(end);
        Ok((end.try_clone()?, end))
    };
    let (stdin, stdout) = both(ours)?;
    let (roots, left_out) = (config.roots.clone(), config.left_out.clone());
    // A walk over the roots, where something is left out of them.
    let jailed = tokio::task::spawn_blocking(move || jail::command(&roots, &left_out));
    let jailed = jailed.await??;
    let mut server = Process::start(jailed, "sftp-server", stdin, stdout)
        .context("cannot run `bwrap`; is bubblewrap installed on this machine?")?;
    let (stdin, stdout) = both(theirs)?;
    let remote = format!(
        "exec {} --sshfs {}",
        ssh::quote(&program.display()),
        ssh::quote(&at.display())
    );
    let mut sshfs = Process::start(
        ssh::command(&config.ssh, host, &remote),
        "sshfs",
        stdin,
        stdout,
    )
    .context("cannot run ssh")?;
    let ended_here = tokio::select! {
        () = server.ended() => true,
        () = sshfs.ended() => false,
    };
    // The one that ended first is the one that knows why.
    let (first, second) = if ended_here {
        (server, sshfs)
    } else {
        (sshfs, server)
    };
    let why = first.end().await;
    second.kill().await;
    Ok(why.unwrap_or_else(|| "sshfs ended".into()))
}
