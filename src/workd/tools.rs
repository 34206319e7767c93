//! Which tools the pod has, and when to look again.

use super::worker::{FindTools, Worker};
use crate::probe::{Prober, default_cache};
use crate::rules::RuleSet;
use crate::wire::messages::OfferedTool;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long it must be quiet after a change: an upgrade of a package changes much.
const QUIET: Duration = Duration::from_secs(2);

/// Finds tools along `PATH`.
#[derive(Debug)]
pub(crate) struct Tools {
    rules: Arc<RuleSet>,
    prober: Mutex<Prober>,
}

impl Tools {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        let prober = Mutex::new(Prober::new(&search_path(), default_cache()));
        Self { rules, prober }
    }

    /// The closure that the worker calls.
    pub(crate) fn find(self) -> FindTools {
        let this = Arc::new(self);
        FindTools {
            find: Arc::new({
                let this = Arc::clone(&this);
                move || this.look()
            }),
            watched: Arc::new({
                let this = Arc::clone(&this);
                move || this.lock().watched()
            }),
            unchanged: Arc::new({
                let this = Arc::clone(&this);
                move || this.lock().is_unchanged()
            }),
            files_unchanged: Arc::new(move || {
                let prober = this.prober.try_lock();
                prober.is_ok_and(|prober| prober.files_are_unchanged())
            }),
        }
    }

    fn look(&self) -> Vec<OfferedTool> {
        self.lock().probe_all(&self.rules, &search_path())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Prober> {
        self.prober
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(super) fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Looks again whenever one of the tools' files changed, until the worker ends.
pub(super) async fn refresh_on_change(worker: Rc<Worker>) {
    if let Err(error) = watch(&worker).await {
        tracing::warn!("changes of tools are not noticed by themselves, SIGHUP is: {error}");
    }
}

async fn watch(worker: &Rc<Worker>) -> std::io::Result<()> {
    let heard = &worker.heard;
    let unchanged = Arc::clone(&worker.config.tools.files_unchanged);
    let readable = heard.listen(Box::new(move || unchanged()))?;
    loop {
        let watched: Vec<PathBuf> = (worker.config.tools.watched)();
        if heard.follow(&watched)? {
            // What was looked at before it was watched may have changed in between.
            let unchanged = Arc::clone(&worker.config.tools.unchanged);
            if !tokio::task::spawn_blocking(move || unchanged())
                .await
                .unwrap_or_default()
            {
                if !(worker.config.tools.files_unchanged)() {
                    heard.doubt();
                }
                worker.refresh().await;
            }
            continue;
        }
        heard.change(&readable).await?;
        tracing::info!("a tool changed, looking again");
        if heard.is_in_doubt() {
            worker.tell_doubt();
        }
        tokio::time::sleep(QUIET).await;
        worker.refresh().await;
    }
}
