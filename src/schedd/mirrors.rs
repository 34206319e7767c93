//! Pods with mirrors: their beginning, and what they ask for.

use super::content::{Answer, Asked};
use super::mirror::{self, Indexes, Mirror};
use super::outbox::Outbox;
use super::state::Hub;
use crate::job::Digest;
use crate::paths::RootId;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Between two looks at what has changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Names this user's hub on this machine, in hexadecimal digits, the same each time.
pub(super) fn hub_name() -> String {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let node = rustix::system::uname();
    let user = rustix::process::getuid().as_raw().to_le_bytes();
    let all = [&machine[..], node.nodename().to_bytes(), &user[..]].concat();
    Digest::of(&all).to_string()[..16].to_owned()
}

/// Tells a pod that has just been connected what there is in all roots.
///
/// # Errors
/// A root cannot be read.
pub(super) async fn begin(hub: &Rc<Hub>, index: u32, outbox: &Outbox) -> anyhow::Result<()> {
    if hub.look(|state| state.indexes.is_none()) {
        let (roots, left_out) = (hub.roots().clone(), hub.config().left_out.clone());
        let opened = tokio::task::spawn_blocking(move || Indexes::open(&roots, &left_out));
        let opened = opened.await??;
        let indexes = &mut hub.state.borrow_mut().indexes;
        // Another pod may have been faster.
        if indexes.is_none() {
            *indexes = Some(opened);
            tokio::task::spawn_local(look_ahead(Rc::clone(hub)));
        }
    }
    let state = &mut *hub.state.borrow_mut();
    let mirror = &mut state.pods[index as usize].mirror;
    *mirror = Mirror::default();
    mirror.follows = Some(state.system.roots);
    match &mut state.indexes {
        Some(indexes) => mirror.update(indexes, &mut |message| outbox.message(message)),
        None => Ok(()),
    }
}

/// Takes in what changes in the roots while no job asks, so that neither a job nor anybody else has
/// to wait for it all at once, and the kernel need not keep more than it does. Takes a tenth of the
/// time at most: a file that is just being written is read for nothing.
async fn look_ahead(hub: Rc<Hub>) {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hub.stopped() => return,
        }
        let begun = Instant::now();
        if let Some(indexes) = &mut hub.state.borrow_mut().indexes {
            indexes.look_ahead();
        }
        pause = LOOK_EVERY.max(10 * begun.elapsed());
    }
}

/// Sends content that a pod lacks, bit by bit, while other things go on.
pub(super) fn send(
    hub: &Rc<Hub>,
    pod: u32,
    root: RootId,
    digests: Vec<Digest>,
    outbox: &Rc<Outbox>,
) {
    let found = hub.look(|state| {
        let indexes = state.indexes.as_ref()?;
        Some(mirror::find(indexes, root, &digests))
    });
    hub.look(|state| {
        let name = &state.pods[pod as usize].config.name;
        tracing::debug!("pod `{name}` lacks {} contents", digests.len());
    });
    let mut asked = Asked::new(found.unwrap_or_default());
    let (hub, outbox) = (Rc::clone(hub), Rc::clone(outbox));
    tokio::task::spawn_local(async move {
        loop {
            outbox.room().await;
            let turn = tokio::task::spawn_blocking(move || (asked.turn(), asked));
            let Ok((answers, rest)) = turn.await else {
                return outbox.close();
            };
            asked = rest;
            // By then the pod may be connected anew, and this be of no interest.
            if answers.is_empty() || outbox.is_closed() {
                return;
            }
            for answer in answers {
                if let Err(error) = tell(&hub, pod, root, answer, &outbox) {
                    tracing::warn!("send content to a pod: {error:#}");
                    return outbox.close();
                }
            }
        }
    });
}

fn tell(hub: &Hub, pod: u32, root: RootId, answer: Answer, outbox: &Outbox) -> anyhow::Result<()> {
    let state = &mut *hub.state.borrow_mut();
    let mirror = &mut state.pods[pod as usize].mirror;
    match (answer, &mut state.indexes) {
        (Answer::Piece(piece), _) => {
            mirror.sent_bytes += piece.bytes();
            outbox.message(&piece.into_message())?;
        }
        (Answer::Gone(digest), Some(indexes)) => {
            mirror.gone(indexes, root, digest, &mut |message| {
                outbox.message(message)
            })?;
        }
        (Answer::Gone(_), None) => {}
    }
    Ok(())
}
