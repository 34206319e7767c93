//! The hub's state as it is told to people.

use super::state::{Hub, State};
use crate::sched::{PodId, PodState};
use crate::wire::messages::{PodStatus, Status};

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
        files: known.config.files,
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
