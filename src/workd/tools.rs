//! Which tools the pod has, and when to look again.

use super::worker::{FindTools, Worker};
use crate::probe::{Prober, SeenFiles, default_cache};
use crate::rules::RuleSet;
use crate::wire::messages::OfferedTool;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long it must be quiet after a change: an upgrade of a package changes much.
const QUIET: Duration = Duration::from_secs(2);

/// Finds tools along `PATH`.
#[derive(Debug)]
pub(crate) struct Tools {
    rules: Arc<RuleSet>,
    prober: Mutex<Prober>,
    /// The files of what is offered; none before there was a look.
    offered: Mutex<Option<SeenFiles>>,
}

impl Tools {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        let prober = Mutex::new(Prober::new(&search_path(), default_cache()));
        let offered = Mutex::default();
        Self {
            rules,
            prober,
            offered,
        }
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
                // Not what the prober has seen, which may just be looking anew.
                let offered = this.offered.lock();
                let offered = offered.unwrap_or_else(PoisonError::into_inner);
                offered.as_ref().is_some_and(SeenFiles::are_unchanged)
            }),
        }
    }

    fn look(&self) -> Vec<OfferedTool> {
        let mut prober = self.lock();
        let tools = prober.probe_all(&self.rules, &search_path());
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        *offered = Some(prober.files_seen());
        tools
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Prober> {
        self.prober.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Looks again whenever one of the tools' files changed, until the worker ends.
pub(super) async fn refresh_on_change(worker: Rc<Worker>) {
    if let Err(error) = watch(&worker).await {
        tracing::warn!("changes of tools are not noticed by themselves, SIGHUP is: {error}");
        worker.heard.stop();
        // Jobs may wait for that already.
        worker.refresh().await;
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
