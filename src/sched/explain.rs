//! Why a pod is not eligible, in words for the person whose build waits.

use super::class::{Mismatch, Need};
use super::state::Core;
use super::types::{Capabilities, JobId, PodId, Request};
use crate::job::Digest;
use std::collections::BTreeSet;

/// Pods named in an explanation; the rest are counted.
const NAMED: usize = 8;

/// Which pods may run a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eligibility {
    /// Connected pods that may, resting ones included.
    pub eligible: usize,
    /// All pods that are connected or were lost.
    pub known: usize,
    /// Such as "0 of 3 pods eligible for `gcc`: `build1` offers another gcc (1f2e3d4c5b6a), ...".
    pub text: String,
}

/// The first few of many reasons.
#[derive(Default)]
struct Reasons {
    text: String,
    count: usize,
}

impl Reasons {
    fn add(&mut self, name: &str, why: impl FnOnce() -> String) {
        if self.count < NAMED {
            let mark = if self.count == 0 { ": " } else { ", " };
            self.text.push_str(&format!("{mark}`{name}` {}", why()));
        }
        self.count += 1;
    }
}

fn short(digest: Digest) -> String {
    format!("{digest:?}")
}

impl Core {
    /// Which pods may run such a job, and why the others may not.
    pub fn eligibility(&self, request: &Request) -> Eligibility {
        self.eligibility_of(&Need::of(request))
    }

    fn eligibility_of(&self, need: &Need) -> Eligibility {
        let mut reasons = Reasons::default();
        let mut eligible = 0;
        for pod in self.pods.values() {
            let name = &pod.name;
            let resting = pod.record.penalty.is_resting(self.now);
            match need.matching(pod) {
                Ok(_) => eligible += 1,
                Err(mismatch) => {
                    reasons.add(name, || mismatch.text(need, &pod.capabilities));
                    continue;
                }
            }
            if resting {
                reasons.add(name, || format!("rests ({})", pod.record.why));
            }
        }
        for (name, past) in &self.past {
            reasons.add(name, || format!("is not connected ({})", past.record.why));
        }
        let known = self.pods.len() + self.past.len();
        let mut text = format!("{eligible} of {known} pods eligible for `{}`", need.program);
        text.push_str(&reasons.text);
        if reasons.count > NAMED {
            text.push_str(&format!(", and {} more", reasons.count - NAMED));
        }
        Eligibility {
            eligible,
            known,
            text,
        }
    }

    /// Why no pod takes this job now.
    pub(super) fn why_nowhere(&mut self, id: JobId) -> String {
        let Some(job) = self.jobs.get(&id) else {
            return String::new();
        };
        let (class_id, trouble) = (job.class, job.trouble.clone());
        let Some(class) = self.classes.get(class_id) else {
            return trouble;
        };
        let summary = match &class.summary {
            Some(summary) => summary.clone(),
            None => self.eligibility_of(&class.need).text,
        };
        let why = match trouble.as_str() {
            "" => summary.clone(),
            trouble => format!("{summary}; {trouble}"),
        };
        if let Some(class) = self.classes.get_mut(class_id) {
            class.summary = Some(summary);
        }
        why
    }

    /// The name of a connected pod.
    pub fn pod_name(&self, pod: PodId) -> Option<&str> {
        self.pods.get(&pod).map(|pod| pod.name.as_str())
    }
}

/// The rules of a pod's tools, each once.
fn offered(there: &Capabilities) -> String {
    let tools = there.tools.iter().map(|it| it.tool.as_str());
    let tools: BTreeSet<&str> = tools.filter(|tool| !tool.is_empty()).collect();
    tools.into_iter().collect::<Vec<_>>().join(", ")
}

impl Mismatch {
    fn text(&self, need: &Need, there: &Capabilities) -> String {
        let program = &need.program;
        match self {
            Self::NoSlots => "takes no jobs".to_owned(),
            Self::NoTool => {
                let machine = match there.machine.as_str() {
                    "" => String::new(),
                    machine => format!("({machine}) "),
                };
                // Where the hub lacks the tool, too, it is of use to know what could be had.
                let offers = match offered(there) {
                    offers if need.identity.is_some() || offers.is_empty() => String::new(),
                    offers => format!(" (only {offers})"),
                };
                format!("{machine}offers no {}{offers}", need.tool)
            }
            Self::OtherProgram(other) => format!("offers `{other}`, not `{program}`"),
            Self::OtherIdentity(other) => {
                let wanted = need.identity.map(short).unwrap_or_default();
                format!("offers another {program} ({}, not {wanted})", short(*other))
            }
            Self::Lacks(tool) => format!("lacks {tool}, which `{program}` calls"),
            Self::NoOverlay => "has no overlay view".to_owned(),
        }
    }
}
