//! How a pod comes to the files, where the configuration leaves that to the hub.
//!
//! A copy of the roots serves at any distance, so it is what a pod gets that is reached by ssh, if
//! the roots can be copied and jobs there see them at their own paths; else it gets them by sshfs.
//! Whether the second holds only the pod knows: it is taken for granted until the pod says otherwise,
//! and then it is connected anew.

use super::config::{Address, PodConfig, View};
use super::state::Hub;
use super::survey;
use crate::wire::messages::{Files, ViewKind};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long what was found of the roots holds.
const ROOTS_HOLD: Duration = Duration::from_secs(60);
/// How long a pod whose view is not for copies gets none ...
const VIEW_HOLDS: Duration = Duration::from_secs(3600);
/// ... and one whose copy failed, as for want of room.
const TROUBLE_HOLDS: Duration = Duration::from_secs(600);

/// How a pod comes to the files, and why so where that is worth to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) files: Files,
    pub(super) why: String,
}

impl Choice {
    /// Before it was looked into.
    pub(super) fn at_first(pod: &PodConfig) -> Self {
        Self {
            files: pod.files.unwrap_or(Files::Mirror),
            why: String::new(),
        }
    }
}

/// Why a pod gets no copy, for a while.
#[derive(Clone, Debug)]
pub(super) struct NoCopy {
    why: String,
    until: Instant,
}

/// What speaks against copies of the roots, as it was found last.
#[derive(Debug, Default)]
pub(super) struct Surveyed(tokio::sync::Mutex<Option<(Instant, Option<String>)>>);

impl Surveyed {
    /// Pods that are connected at one time ask at one time: the roots are walked once.
    async fn why_no_copies(&self, hub: &Rc<Hub>) -> Option<String> {
        let mut known = self.0.lock().await;
        if let Some((at, why)) = &*known
            && at.elapsed() < ROOTS_HOLD
        {
            return why.clone();
        }
        let config = Rc::clone(hub.config());
        let (roots, left_out) = (config.roots.clone(), config.left_out.clone());
        let most_bytes = config.mirror_bytes;
        let asked = tokio::task::spawn_blocking(move || {
            survey::why_no_copies(&roots, &left_out, most_bytes)
        });
        let why = match asked.await {
            Ok(Ok(why)) => why,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(error) => Some(error.to_string()),
        };
        *known = Some((Instant::now(), why.clone()));
        why
    }
}

/// Chooses for a connection that begins.
pub(super) async fn choose(hub: &Rc<Hub>, index: u32, pod: &PodConfig) -> Choice {
    let choice = match pod.files {
        Some(Files::Mirror) => Choice {
            files: Files::Mirror,
            why: configured(hub.surveyed.why_no_copies(hub).await),
        },
        Some(files) => Choice {
            files,
            why: String::new(),
        },
        None => match why_no_copy(hub, index, pod).await {
            Some(why) => Choice {
                files: Files::Sshfs,
                why: format!("no mirror: {why}"),
            },
            None => Choice {
                files: Files::Mirror,
                why: String::new(),
            },
        },
    };
    let known = &mut hub.state.borrow_mut().pods[index as usize].choice;
    if *known != choice && !choice.why.is_empty() {
        tracing::warn!("pod `{}`: files {}: {}", pod.name, choice.files, choice.why);
    }
    known.clone_from(&choice);
    choice
}

/// What was asked for is done, but not without a word.
fn configured(against: Option<String>) -> String {
    against.map_or(String::new(), |why| {
        format!("as configured, though it may be slow or leave files out: {why}")
    })
}

async fn why_no_copy(hub: &Rc<Hub>, index: u32, pod: &PodConfig) -> Option<String> {
    if !matches!(pod.address, Address::Ssh(_)) {
        return Some("it is not reached by ssh".into());
    }
    if let Some(why) = why_no_overlay(pod) {
        return Some(why.into());
    }
    let past = hub.look(|state| state.pods[index as usize].no_copy.clone());
    if let Some(past) = past.filter(|past| Instant::now() < past.until) {
        return Some(past.why);
    }
    hub.surveyed.why_no_copies(hub).await
}

/// Why a pod so configured has no overlay view.
pub fn why_no_overlay(pod: &PodConfig) -> Option<&'static str> {
    if pod.unsandboxed {
        return Some("jobs without a sandbox see no roots at their own paths");
    }
    (pod.view == View::Rewrite).then_some("its view is `rewrite`, as configured")
}

/// In which views a pod gets a copy, of those that it may say it has.
fn is_for_copies(view: ViewKind) -> bool {
    view == ViewKind::Overlay
}

impl Hub {
    /// A pod with a copy says what it can do; true if it shall be connected anew, without one.
    pub(super) fn is_not_for_copies(&self, index: u32, view: ViewKind, why: &str) -> bool {
        let (name, holds) = match view {
            ViewKind::Rewrite => ("its view is `rewrite`", VIEW_HOLDS),
            _ => ("it has no view", TROUBLE_HOLDS),
        };
        !is_for_copies(view) && self.give_up_copy(index, &format!("{name}: {why}"), holds)
    }

    /// A pod's copy has failed; true if the pod shall be connected anew, without one.
    pub(super) fn copy_failed(&self, index: u32, why: &str) -> bool {
        self.give_up_copy(index, &format!("it failed: {why}"), TROUBLE_HOLDS)
    }

    fn give_up_copy(&self, index: u32, why: &str, holds: Duration) -> bool {
        let pod = &mut self.state.borrow_mut().pods[index as usize];
        if pod.config.files.is_some() || pod.choice.files != Files::Mirror {
            return false;
        }
        pod.no_copy = Some(NoCopy {
            why: why.to_owned(),
            until: Instant::now() + holds,
        });
        true
    }
}
