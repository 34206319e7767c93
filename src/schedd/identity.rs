//! Which tool the hub itself has under a path: what a pod's tool must equal.
//!
//! Probing runs the tool and reads headers, so it happens beside everything else; jobs of a tool
//! that is not yet known wait for it.

use crate::job::{Digest, Need};
use crate::paths::Bytes;
use crate::probe::{Closure, Found, Prober, Watch, default_cache};
use crate::rules::RuleSet;
use crate::wire::messages::OfferedTool;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long an answer is used without a look at the tool's files.
const FRESH: Duration = Duration::from_secs(2);

type Key = (String, String, PathBuf);

/// When it was asked, and what was found.
type Answer = (Instant, Option<Rc<Own>>);

/// The identity of a tool whose matching was relaxed to its version, if it tells one.
pub(super) fn by_version(tool: &OfferedTool) -> Digest {
    match tool.version.is_empty() {
        true => tool.identity,
        false => Digest::of(tool.version.as_bytes()),
    }
}

fn bare(found: &Found) -> Option<Digest> {
    if let Some(why) = &found.headers.why_not {
        tracing::info!(
            "pods must have the headers of `{}`: {why}",
            found.offered.program
        );
        return None;
    }
    found.offered.bare
}

/// What to ask of this machine's own tool, as the prober wants it; none if the machine has none. Of
/// an executable inside a root, which the rules give an identity, only the machine counts.
pub(super) fn own_path(need: &Need, program: Option<&Bytes>) -> Option<PathBuf> {
    match need.identity {
        None => program.map(|path| path.as_path().into()),
        Some(_) => (need.program == std::env::consts::ARCH).then(PathBuf::new),
    }
}

/// The hub's own tool.
#[derive(Debug)]
pub(super) struct Own {
    /// What a pod's must equal.
    pub(super) identity: Digest,
    /// The same, in no way relaxed.
    pub(super) full: Digest,
    /// What is enough where its headers are shown to jobs; none if they cannot be.
    pub(super) bare: Option<Digest>,
    /// Its headers.
    pub(super) trees: Vec<PathBuf>,
    /// Its own files, where all are known.
    pub(super) closure: Option<Closure>,
    /// Its path.
    pub(super) path: PathBuf,
    /// Directories and files of the system's that the identity covers; none where the tool's rule
    /// names none to be searched.
    pub(super) covered: Vec<Bytes>,
}

impl Own {
    /// Whether a directory of the system's is the same wherever the identity is.
    pub(super) fn covers(&self, dir: &Bytes) -> bool {
        let real = dir.as_path().canonicalize();
        real.is_ok_and(|real| self.covered.iter().any(|it| real.starts_with(it.as_path())))
    }
}

/// Answers, and the means to find new ones.
#[derive(Debug)]
pub(super) struct Identities {
    prober: Arc<Mutex<Prober>>,
    rules: Arc<RuleSet>,
    /// Rules whose tools are told apart by their version alone.
    relaxed: BTreeSet<String>,
    known: RefCell<BTreeMap<Key, Answer>>,
    /// All directories ever looked at: what one tool's probe drops, another's would add again.
    looked_at: RefCell<BTreeSet<PathBuf>>,
    /// [`Prober::looks`] when these were watched last.
    followed: Cell<u64>,
    /// On these; none where the kernel gives none, then [`FRESH`] alone decides.
    watch: RefCell<Option<Watch>>,
    /// One probe at a time: a burst of jobs at a build's start asks once.
    turn: tokio::sync::Mutex<()>,
}

impl Identities {
    pub(super) fn new(rules: Arc<RuleSet>, relaxed: BTreeSet<String>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            prober: Arc::new(Mutex::new(Prober::new(&path, default_cache()))),
            rules,
            relaxed,
            known: RefCell::default(),
            looked_at: RefCell::default(),
            followed: Cell::default(),
            watch: RefCell::new(Watch::new().ok()),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The identity of `program` at `path` under the rule `tool`; none if it cannot be probed.
    pub(super) async fn of(&self, tool: &str, program: &str, path: PathBuf) -> Option<Rc<Own>> {
        let key = (tool.to_owned(), program.to_owned(), path);
        if let Some(known) = self.fresh(&key) {
            return known;
        }
        let _turn = self.turn.lock().await;
        if let Some(known) = self.fresh(&key) {
            return known;
        }
        if self.watch.borrow().is_none() {
            // Nobody hears of headers: they are looked at.
            self.lock().doubt();
        }
        loop {
            let asked = Instant::now();
            let found = self.probe(key.clone()).await.map(Rc::new);
            let known = (asked, found.clone());
            self.known.borrow_mut().insert(key.clone(), known);
            // What was looked at before it was watched may have changed in between.
            if !self.follow() {
                return found;
            }
        }
    }

    /// Watches what was looked at. True if some of that was not watched while it was looked at.
    fn follow(&self) -> bool {
        let looks = self.lock().looks();
        let are_in_place = |watch: &Watch| watch.are_in_place();
        if self.followed.replace(looks) == looks
            && self.watch.borrow().as_ref().is_none_or(are_in_place)
        {
            return false;
        }
        self.looked_at.borrow_mut().extend(self.lock().watched());
        let watched: Vec<PathBuf> = self.looked_at.borrow().iter().cloned().collect();
        let mut watch = self.watch.borrow_mut();
        let Some(watching) = watch.as_mut() else {
            return false;
        };
        match watching.follow(&watched) {
            Ok(is_new) => is_new && !self.lock().is_unchanged() && self.doubt(),
            Err(error) => {
                tracing::warn!("tools are looked at every {FRESH:?}, not watched: {error}");
                *watch = None;
                false
            }
        }
    }

    /// Believes nothing any more; always true.
    fn doubt(&self) -> bool {
        self.known.borrow_mut().clear();
        self.lock().doubt();
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Prober> {
        self.prober
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fresh(&self, key: &Key) -> Option<Option<Rc<Own>>> {
        let changed = self
            .watch
            .borrow_mut()
            .as_mut()
            .is_some_and(|watch| watch.take().unwrap_or(true));
        if changed {
            self.doubt();
        }
        let known = self.known.borrow();
        let (asked, found) = known.get(key)?;
        (asked.elapsed() < FRESH).then(|| found.clone())
    }

    async fn probe(&self, (tool, program, path): Key) -> Option<Own> {
        let (prober, rules) = (Arc::clone(&self.prober), Arc::clone(&self.rules));
        let relaxed = self.relaxed.contains(&tool);
        let probing = tokio::task::spawn_blocking(move || {
            let rule = rules.rule(&tool)?;
            let mut prober = prober
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match prober.find(rule, &program, &path) {
                Ok(found) => Some(Own {
                    full: found.offered.identity,
                    bare: bare(&found),
                    trees: found.headers.trees,
                    closure: found.closure,
                    path: found.offered.path.as_path().into(),
                    identity: match relaxed {
                        true => by_version(&found.offered),
                        false => found.offered.identity,
                    },
                    covered: found.covered.iter().map(|it| it.as_path().into()).collect(),
                }),
                Err(error) => {
                    tracing::warn!("cannot probe `{}`: {error}", path.display());
                    None
                }
            }
        });
        probing.await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Probe, Rule, Text};
    use std::fs;
    use std::path::Path;

    fn words(words: &[&'static str]) -> Vec<Text> {
        words.iter().map(|word| Text::from(*word)).collect()
    }

    /// Of a shell that says another thing each time, and of a file.
    fn identities(file: &Path) -> Identities {
        let probe = Probe {
            outputs: vec![words(&["-c", "date +%N"]).into()].into(),
            files: vec![file.display().to_string().into()].into(),
            ..Probe::default()
        };
        let rule = Rule {
            tool: "toy".into(),
            programs: words(&["sh"]).into(),
            probe,
            ..Rule::default()
        };
        let prober = Prober::new("/usr/bin:/bin".as_ref(), None);
        Identities {
            prober: Arc::new(Mutex::new(prober)),
            ..Identities::new(Arc::new(RuleSet::with_user(vec![rule])), BTreeSet::new())
        }
    }

    async fn later(identities: &Identities) -> Digest {
        tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
        let own = identities.of("toy", "sh", "/bin/sh".into()).await;
        own.unwrap().identity
    }

    #[tokio::test]
    async fn a_tool_is_asked_again_where_something_may_have_changed_unheard() {
        let space = tempfile::tempdir().unwrap();
        let dir = space.path().canonicalize().unwrap().join("top/in");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        let identities = identities(&dir.join("file"));
        // What is new is looked at anew each time.
        later(&identities).await;
        let first = later(&identities).await;
        assert_eq!(later(&identities).await, first);
        // The directory above the one that is watched is another one.
        let top = dir.parent().unwrap();
        fs::rename(top, space.path().join("old")).unwrap();
        fs::create_dir_all(&dir).unwrap();
        let second = later(&identities).await;
        assert_ne!(second, first);
        assert_eq!(later(&identities).await, second);
        *identities.watch.borrow_mut() = None;
        assert_ne!(later(&identities).await, second);
    }
}
