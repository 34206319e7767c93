//! The hub's state as it is told to people.

use super::mirror::Indexes;
use super::state::{Hub, State};
use crate::index::{How, Index, Kind};
use crate::sched::{PodId, PodState};
use crate::wire::messages::{Files, IndexStatus, PodStatus, Status};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Between two counts of what is in the roots, at least, and at least so many times as long as one
/// takes: some ask for the state many times a second.
const COUNT_EVERY: Duration = Duration::from_secs(1);
const COUNT_SHARE: u32 = 50;

/// The indexes as they were counted last.
#[derive(Debug, Default)]
pub(super) struct Counted(RefCell<Option<(Instant, Vec<IndexStatus>)>>);

impl Counted {
    /// Counts those of roots again, if it is time to and there is something to count.
    pub(super) fn of(&self, indexes: Option<&Indexes>, roots: usize) -> Vec<IndexStatus> {
        let known = &mut *self.0.borrow_mut();
        let now = Instant::now();
        if let Some(indexes) = indexes
            && known.as_ref().is_none_or(|(next, _)| *next <= now)
        {
            let counts = indexes.all.iter().take(roots).map(index).collect();
            let next = now + COUNT_EVERY.max(now.elapsed() * COUNT_SHARE);
            *known = Some((next, counts));
        }
        known
            .as_ref()
            .map_or(Vec::new(), |(_, counts)| counts.clone())
    }
}

fn index(index: &Index) -> IndexStatus {
    let sizes = index.entries().filter_map(|(_, entry)| match entry.kind {
        Kind::File { size_bytes, .. } => Some(size_bytes),
        _ => None,
    });
    let (files, bytes) = sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size));
    IndexStatus {
        names: index.len() as u64,
        files,
        bytes,
        generation: index.generation(),
        scanned_why: match index.how() {
            How::Watching => String::new(),
            How::Scanning { why } => why.clone(),
        },
    }
}

/// A snapshot.
pub(super) fn of(hub: &Hub) -> Status {
    let roots = hub
        .roots()
        .iter()
        .map(|(_, root)| root.display().to_string())
        .collect();
    hub.look(|state| Status {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        roots,
        indexes: state.counted.of(state.indexes.as_ref(), state.system.roots),
        queued: count(state.core.waiting()),
        running: count(state.core.running()),
        finished: state.counts.finished,
        failed: state.counts.failed,
        local: state
            .counts
            .local
            .iter()
            .map(|(why, count)| (why.clone(), *count))
            .collect(),
        pods: (0..)
            .map(PodId)
            .zip(&state.pods)
            .map(|(id, _)| pod(state, id))
            .collect(),
    })
}

fn pod(state: &State, id: PodId) -> PodStatus {
    let known = &state.pods[id.0 as usize];
    let mut status = PodStatus {
        name: known.config.name.clone(),
        address: known.config.address.to_string(),
        files: known.choice.files,
        files_why: known.choice.why.clone(),
        mirror: (known.choice.files == Files::Mirror).then_some(known.flow.counts),
        worker: known.served.by,
        worker_why: known.served.why.clone(),
        why: known.why.clone(),
        slots: known
            .offer
            .slots
            .min(known.config.slots.unwrap_or(u32::MAX)),
        offer: known.offer.clone(),
        ..PodStatus::default()
    };
    let view = state
        .core
        .pods()
        .find(|view| view.name == known.config.name);
    let Some(view) = view else { return status };
    status.up = matches!(view.state, PodState::Up | PodState::OnTrial);
    status.running = count(view.running);
    status.finished = view.finished;
    status.busy_us = view.busy_us;
    match view.state {
        PodState::Up | PodState::Lost => {}
        PodState::OnTrial => status.why = format!("on trial: {}", view.why),
        PodState::Resting { .. } => status.why = format!("resting: {}", view.why),
    }
    if status.up && view.capabilities.is_some_and(|can| can.slots == 0) {
        status.up = false;
        status.why = format!("takes no jobs: {}", known.offer.view_why);
    }
    status
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
