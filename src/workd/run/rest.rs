//! What is left of a job on disk; and which tool it runs, and whether the pod's tools were all the while what they were.

use super::{Runner, Stop};
use crate::job::{Job, Program};
use crate::wire::messages::OfferedTool;
use crate::workd::view::View;
use tokio::sync::oneshot;

impl Runner<'_> {
    /// Removes what an init kept on disk, once its mounts are gone.
    pub(super) fn clean_later(
        &self,
        view: &View,
        init: u32,
        gone: oneshot::Receiver<Option<String>>,
    ) {
        if let Some(dir) = view.scratch(init) {
            let cleaner = self.session.worker.cleaner.clone();
            tokio::task::spawn_local(async move {
                let _ = gone.await;
                cleaner.directory(dir);
            });
        }
    }

    /// Removes what an init that is gone kept on disk.
    pub(super) fn clean(&self, view: &View, init: u32) {
        if let Some(dir) = view.scratch(init) {
            self.session.worker.cleaner.directory(dir);
        }
    }

    /// Until what is offered is what there is; for [`Self::tools_are_those`].
    pub(super) async fn tools_known(&self) -> Result<u64, Stop> {
        self.or_cancelled(self.session.worker.heard.settled()).await
    }

    /// Whether nothing changed since where tools lie. What a job made with a part of the old tool
    /// and a part of the new one, or with another than its hub chose, is no result; and what it did
    /// not find any more is no fault of the tool's.
    pub(super) fn tools_are_those(&self, known: u64) -> Result<(), Stop> {
        if self.session.worker.heard.changes() == known {
            return Ok(());
        }
        Err(Stop::Fault("a tool here changed while the job ran".into()))
    }

    /// The executable, if it is one of the offer's tools.
    pub(super) fn tool(&self, tool: u32, job: &Job) -> Result<Option<OfferedTool>, Stop> {
        if matches!(job.program, Program::InRoot(_)) {
            return Ok(None);
        }
        let offer = self.session.worker.offer.borrow();
        match offer.tools.get(tool as usize) {
            // The hub may have chosen by an offer that has changed on the way, or since.
            Some(offered)
                if offered.tool == job.need.tool
                    && self.chosen.is_none_or(|id| id == offered.identity) =>
            {
                Ok(Some(offered.clone()))
            }
            _ => {
                let need = &job.need;
                let why = format!("the `{}` that was asked for is not offered here", need.tool);
                Err(Stop::Declined(why))
            }
        }
    }
}
