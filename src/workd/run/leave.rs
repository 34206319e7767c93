//! A job's leave to run: its slot, and its files, as a mirror has them; and whether it is to run once
//! more.

use super::{Runner, Stop};
use crate::job::Job;
use crate::slots::Slot;
use crate::workd::mirror::Pass;
use crate::workd::turns::Turn;
use std::time::Duration;

/// How long to wait before asking again for one of the machine's own slots.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// A job's room, given back when dropped: first what other workers may wait for.
pub(super) struct Room {
    _machine: (Option<Slot>, Option<Slot>),
    _turn: Turn,
}

impl Runner<'_> {
    /// Waits for room: on this pod, for the machine's own hub among the machine's local runs, too,
    /// and then among the jobs of all workers here. In this order: who has the last waits for nothing.
    pub(super) async fn slot(&self) -> Result<Room, Stop> {
        let worker = &self.session.worker;
        let turn = self.or_cancelled(self.session.share.turn()).await?;
        let mut machine = (None, None);
        if let Some(slots) = worker.config.machine_slots {
            if self.session.is_own() {
                machine.0 = Some(self.until_given(|| slots.try_take()).await?);
            }
            let _asking = self.or_cancelled(worker.asking.lock()).await?;
            let mut wish = slots.wish(worker.config.slots);
            machine.1 = Some(self.until_given(|| wish.try_take()).await?);
        }
        // It is not taken back any more.
        self.session.begins(self.number);
        Ok(Room {
            _machine: machine,
            _turn: turn,
        })
    }

    /// Asks again and again.
    async fn until_given(&self, mut take: impl FnMut() -> Option<Slot>) -> Result<Slot, Stop> {
        self.or_cancelled(async {
            loop {
                if let Some(slot) = take() {
                    return slot;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        })
        .await
    }

    /// Until a mirror's files are as they were when the job was sent, with what it names in full.
    pub(super) async fn files_are_here(&self) -> Result<(), Stop> {
        if let Some(mirror) = self.session.mirror() {
            let made = self.or_cancelled(mirror.until(self.come)).await?;
            made.map_err(Stop::Fault)?;
            let inputs = mirror.inputs(self.inputs.clone());
            self.or_cancelled(inputs).await?;
        }
        Ok(())
    }

    /// Leave to run, where files may be without content.
    pub(super) async fn pass(&self) -> Option<Pass> {
        match self.session.mirror() {
            Some(mirror) => Some(mirror.enter().await),
            None => None,
        }
    }

    /// Nothing of a job runs any more: whether what it did counts, as far as a mirror knows. It does
    /// not if it may have read a file before its content was there.
    pub(super) async fn counts(&self, pass: Option<&Pass>) -> Result<(), Stop> {
        let Some(pass) = pass else { return Ok(()) };
        let late = self.or_cancelled(pass.end()).await?;
        match late.map_err(Stop::Fault)? {
            Some(late) => Err(Stop::Again(late)),
            None => Ok(()),
        }
    }

    /// Whether a job's tool waits for the files that it opens; otherwise it may have been refused
    /// some, and may have made nothing of it.
    pub(super) fn waits(&self, job: &Job) -> bool {
        let rule = self.session.worker.config.rules.rule(&job.need.tool);
        rule.is_some_and(|rule| rule.pod.waits)
    }

    /// Whether a job may have been refused a file since it would not wait for its content, which is
    /// there by now.
    pub(super) async fn is_worth_a_retry(&self, opened: u64) -> Result<bool, Stop> {
        let mirror = self.session.mirror();
        let Some(mirror) = mirror.filter(|_| self.may_retry.replace(false)) else {
            return Ok(false);
        };
        self.or_cancelled(mirror.was_opened(opened)).await
    }
}
