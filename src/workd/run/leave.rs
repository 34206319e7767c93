//! A job's leave to run: for its slot, and from the mirror; and whether it is to run once more.

use super::{Runner, Stop};
use crate::workd::mirror::Pass;
use std::any::Any;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// How long to wait before asking again for a unit of the machine's own count.
const ASK_AGAIN: Duration = Duration::from_millis(2);

impl Runner<'_> {
    /// Waits for room: on this pod, and, for the machine's own hub, on the machine.
    pub(super) async fn slot(&self) -> Result<(SemaphorePermit<'_>, Option<Box<dyn Any>>), Stop> {
        let worker = &self.session.worker;
        let slot = self.or_cancelled(worker.slots.acquire()).await?;
        let slot = slot.map_err(|_| Stop::Declined("the pod is shutting down".into()))?;
        let Some(take) = worker.config.machine_slots.as_ref() else {
            return Ok((slot, None));
        };
        if !self.session.is_own() {
            return Ok((slot, None));
        }
        let machine = self.or_cancelled(async {
            loop {
                if let Some(slot) = take() {
                    return slot;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        });
        Ok((slot, Some(machine.await?)))
    }

    /// Leave to run, where files may be without content.
    pub(super) async fn pass(&self) -> Option<Pass> {
        match self.session.mirror() {
            Some(mirror) => Some(mirror.enter().await),
            None => None,
        }
    }

    /// Whether a job may have failed because it would not wait for a file's content, which is there
    /// by now.
    pub(super) async fn is_worth_a_retry(&self, opened: u64) -> Result<bool, Stop> {
        let mirror = self.session.mirror();
        let Some(mirror) = mirror.filter(|_| self.may_retry.replace(false)) else {
            return Ok(false);
        };
        self.or_cancelled(mirror.was_opened(opened)).await
    }
}
