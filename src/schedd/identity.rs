//! Which tool the hub itself has under a path: what a pod's tool must equal.
//!
//! Probing runs the tool and reads headers, so it happens beside everything else; jobs of a tool
//! that is not yet known wait for it.

use crate::job::Digest;
use crate::probe::Prober;
use crate::rules::RuleSet;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long an answer is used without a look at the tool's files.
const FRESH: Duration = Duration::from_secs(2);

type Key = (String, String, PathBuf);

/// Answers, and the means to find new ones.
#[derive(Debug)]
pub(super) struct Identities {
    prober: Arc<Mutex<Prober>>,
    rules: Arc<RuleSet>,
    known: std::cell::RefCell<BTreeMap<Key, (Instant, Option<Digest>)>>,
    /// One probe at a time: a burst of jobs at a build's start asks once.
    turn: tokio::sync::Mutex<()>,
}

impl Identities {
    pub(super) fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            prober: Arc::new(Mutex::new(Prober::new())),
            rules,
            known: Default::default(),
            turn: Default::default(),
        }
    }

    /// The identity of `program` at `path` under the rule `tool`; none if it cannot be probed.
    pub(super) async fn of(&self, tool: &str, program: &str, path: PathBuf) -> Option<Digest> {
        let key = (tool.to_owned(), program.to_owned(), path);
        if let Some(known) = self.fresh(&key) {
            return known;
        }
        let _turn = self.turn.lock().await;
        if let Some(known) = self.fresh(&key) {
            return known;
        }
        let found = self.probe(key.clone()).await;
        self.known.borrow_mut().insert(key, (Instant::now(), found));
        found
    }

    fn fresh(&self, key: &Key) -> Option<Option<Digest>> {
        let known = self.known.borrow();
        let (asked, found) = known.get(key)?;
        (asked.elapsed() < FRESH).then_some(*found)
    }

    async fn probe(&self, (tool, program, path): Key) -> Option<Digest> {
        let (prober, rules) = (Arc::clone(&self.prober), Arc::clone(&self.rules));
        let probing = tokio::task::spawn_blocking(move || {
            let rule = rules.rule(&tool)?;
            let mut prober = prober
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match prober.probe(rule, &program, &path) {
                Ok(found) => Some(found.identity),
                Err(error) => {
                    tracing::warn!("cannot probe `{}`: {error}", path.display());
                    None
                }
            }
        });
        probing.await.ok().flatten()
    }
}
