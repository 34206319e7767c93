//! What is left of a job on disk.

use super::Runner;
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
}
