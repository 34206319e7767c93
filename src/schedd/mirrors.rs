//! Pods with mirrors: their beginning, and what they ask for.

use super::content::{Answer, Asked, Source};
use super::identity::Own;
use super::ledger::{Flow, List};
use super::memory;
use super::mirror::{self, Indexes, Mirror, Tell};
use super::outbox::Outbox;
use super::reading;
use super::state::Hub;
use super::system::{self, System};
use crate::job::Digest;
use crate::paths::{Bytes, RootId};
use crate::wire::codec;
use crate::wire::messages::{LastJob, OfferedTool, SentWhy, Task};
use std::rc::Rc;
use std::time::Duration;

/// A pod that had a job since then is likely to have another soon.
const USED_WITHIN: Duration = Duration::from_secs(10 * 60);

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
    // Pods that are connected at one time wait for one walk.
    let walk = hub.walking.lock().await;
    if hub.look(|state| state.indexes.is_none()) {
        let (roots, left_out) = (hub.roots().clone(), hub.config().left_out.clone());
        let opened = tokio::task::spawn_blocking(move || Indexes::open(&roots, &left_out));
        let opened = opened.await??;
        let indexes = &mut hub.state.borrow_mut().indexes;
        *indexes = Some(opened);
        tokio::task::spawn_local(reading::look_ahead(Rc::clone(hub)));
    }
    drop(walk);
    // Goes on if this connection does not.
    let reader = Rc::clone(hub);
    tokio::task::spawn_local(async move { reading::read_all(&reader, true).await }).await?;
    let state = &mut *hub.state.borrow_mut();
    let pod = &mut state.pods[index as usize];
    pod.mirror = Mirror::default();
    pod.mirror.follows = Some(state.system.roots);
    pod.flow.begin();
    let Some(indexes) = &mut state.indexes else {
        return Ok(());
    };
    let (mut list, flow) = (List::default(), &mut pod.flow);
    pod.mirror.update(indexes, &mut |message| {
        list.see(flow, message);
        outbox.message(message)
    })?;
    let mut told = LastJob {
        pod: pod.config.name.clone(),
        ..LastJob::default()
    };
    let noted = (pod.mirror.take_noted(), &state.ledger);
    let awaits = list.end(&mut pod.flow, &mut told, noted);
    state.ledger.begin(None, told, awaits);
    tokio::task::spawn_local(memory::give_back_soon());
    Ok(())
}

/// Of a pod that has just been connected without a mirror: what was told to one that it had before
/// does not go on.
pub(super) fn none(hub: &Rc<Hub>, index: u32) {
    hub.state.borrow_mut().pods[index as usize].mirror = Mirror::default();
}

/// Tells pods that had a job lately, and have nothing else to hear, what their next one would wait
/// for. The others learn it with a job: that a machine is on is no reason to send it all that happens.
pub(super) fn tell_ahead(hub: &Hub) {
    let state = &mut *hub.state.borrow_mut();
    let Some(indexes) = state.indexes.as_ref().filter(|it| !it.are_half_way()) else {
        return;
    };
    for pod in &mut state.pods {
        let is_used = pod.used.is_some_and(|used| used.elapsed() < USED_WITHIN);
        let Some(outbox) = pod.outbox.as_ref().filter(|it| is_used && it.is_empty()) else {
            continue;
        };
        if pod.mirror.follows.is_none() {
            continue;
        }
        let (mut list, flow) = (List::default(), &mut pod.flow);
        let told = pod.mirror.ahead(indexes, &mut |message| {
            list.see(flow, message);
            outbox.message(message)
        });
        if let Err(error) = told {
            tracing::warn!("pod `{}`: {error:#}", pod.config.name);
            outbox.close();
            continue;
        }
        let mut told = LastJob {
            pod: pod.config.name.clone(),
            ..LastJob::default()
        };
        let noted = (pod.mirror.take_noted(), &state.ledger);
        let awaits = list.end(&mut pod.flow, &mut told, noted);
        if !told.sent.is_empty() || !awaits.is_empty() {
            state.ledger.begin(None, told, awaits);
        }
        pod.due.notify_one();
    }
}

/// Tells a pod's mirror, if it has one, of everything that a job on it is to see, and sends what it
/// is sure to read; gives contents that are on their way to it, or why it cannot run there.
///
/// # Errors
/// A directory cannot be read, or a message cannot be made.
pub(super) fn before(
    task: &[u8],
    mirror: &mut Mirror,
    indexes: &mut Option<Indexes>,
    shown: (&System, Option<(&Own, Option<&OfferedTool>)>),
    tell: Tell<'_>,
) -> anyhow::Result<Result<Vec<Digest>, &'static str>> {
    system::update(mirror, indexes, shown, tell)?;
    let Some(indexes) = indexes.as_ref().filter(|_| mirror.follows.is_some()) else {
        return Ok(Ok(Vec::new()));
    };
    let task: Task = codec::decode(task)?;
    if let Some(why) = mirror::out_of_reach(indexes, task.job.reads()) {
        return Ok(Err(why));
    }
    Ok(Ok(mirror.inputs(indexes, task.job.reads(), tell)?))
}

/// Sends content that a pod lacks.
pub(super) fn send(
    hub: &Rc<Hub>,
    pod: u32,
    root: RootId,
    digests: Vec<Digest>,
    outbox: &Rc<Outbox>,
) {
    let found = {
        let state = &mut *hub.state.borrow_mut();
        let pod = &mut state.pods[pod as usize];
        let name = &pod.config.name;
        tracing::debug!("pod `{name}` lacks {} contents", digests.len());
        let digests = pod.mirror.not_coming(digests);
        let indexes = state.indexes.as_ref();
        let found = indexes.map(|indexes| mirror::find(indexes, root, &digests, SentWhy::Asked));
        let found = found.unwrap_or_default();
        note(&mut pod.flow, &found);
        found
    };
    send_all(hub, pod, root, found, outbox);
}

/// Somebody on a pod opened a file whose content is not there.
pub(super) fn opened(
    hub: &Rc<Hub>,
    pod: u32,
    root: RootId,
    (name, digest): (&Bytes, Digest),
    outbox: &Rc<Outbox>,
) {
    let found = {
        let state = &mut *hub.state.borrow_mut();
        let pod = &mut state.pods[pod as usize];
        let (shown, on) = (name.display(), &pod.config.name);
        tracing::debug!("`{shown}` was opened on pod `{on}`");
        let indexes = state.indexes.as_mut();
        let found = indexes.and_then(|it| pod.mirror.opened(it, root, name, digest));
        let found: Vec<_> = found.into_iter().collect();
        note(&mut pod.flow, &found);
        found
    };
    send_all(hub, pod, root, found, outbox);
}

/// Notes what a pod asked for.
fn note(flow: &mut Flow, found: &[Result<Source, Digest>]) {
    let found = found.iter().flatten();
    found.for_each(|source| flow.asked(source.size_bytes));
}

/// A pod is without some content.
pub(super) fn without(
    hub: &Rc<Hub>,
    pod: u32,
    root: RootId,
    (digests, first): (&[Digest], bool),
    outbox: &Rc<Outbox>,
) {
    {
        let state = &mut *hub.state.borrow_mut();
        let mirror = &mut state.pods[pod as usize].mirror;
        if let Some(indexes) = &state.indexes {
            mirror.without(indexes, root, digests, first);
        }
    }
    send_what_is_due(hub, pod, outbox);
}

/// Sends what jobs that were started need and what is too much to go along with them. Never ends.
pub(super) async fn send_when_due(hub: &Rc<Hub>, pod: u32, outbox: &Rc<Outbox>) {
    let due = hub.look(|state| Rc::clone(&state.pods[pod as usize].due));
    loop {
        due.notified().await;
        send_what_is_due(hub, pod, outbox);
    }
}

/// Sends what a pod's mirror noted to be sent.
pub(super) fn send_what_is_due(hub: &Rc<Hub>, pod: u32, outbox: &Rc<Outbox>) {
    let due = {
        let state = &mut *hub.state.borrow_mut();
        std::mem::take(&mut state.pods[pod as usize].mirror.to_send)
    };
    for (root, source) in due {
        send_all(hub, pod, root, vec![Ok(source)], outbox);
    }
}

/// Sends content bit by bit, while other things go on.
fn send_all(
    hub: &Rc<Hub>,
    pod: u32,
    root: RootId,
    found: Vec<Result<Source, Digest>>,
    outbox: &Rc<Outbox>,
) {
    if found.is_empty() {
        return;
    }
    let mut asked = Asked::new(found);
    let (hub, outbox) = (Rc::clone(hub), Rc::clone(outbox));
    tokio::task::spawn_local(async move {
        loop {
            outbox.nearly_empty().await;
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
            send_what_is_due(&hub, pod, &outbox);
        }
    });
}

fn tell(hub: &Hub, pod: u32, root: RootId, answer: Answer, outbox: &Outbox) -> anyhow::Result<()> {
    let state = &mut *hub.state.borrow_mut();
    let pod = &mut state.pods[pod as usize];
    match (answer, &mut state.indexes) {
        (Answer::Piece(piece), indexes) => {
            pod.mirror.sent(indexes.as_mut(), &piece);
            let ends = piece.ends();
            let ends = ends.map(|it| (state.ledger.name(root, &it.path), it.why));
            let message = piece.into_message();
            let to = (&*pod.config.name, &mut state.ledger);
            pod.flow.answer(&message, ends, to);
            outbox.message(&message)?;
        }
        (Answer::Gone(digest), Some(indexes)) => {
            let (mut list, flow) = (List::default(), &mut pod.flow);
            pod.mirror.gone(indexes, root, digest, &mut |message| {
                list.see(flow, message);
                outbox.message(message)
            })?;
            let (mut told, noted) = (LastJob::default(), pod.mirror.take_noted());
            list.end(&mut pod.flow, &mut told, (noted, &state.ledger));
            state.ledger.add(&pod.config.name, told);
        }
        (Answer::Gone(_), None) => {}
    }
    Ok(())
}
