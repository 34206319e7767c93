//! Why a pod is not eligible, in words for the person whose build waits.

use super::class::{Mismatch, Need};
use super::state::Core;
use super::types::{JobId, PodId, Request};
use crate::job::Digest;
use std::fmt::Write;

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

fn short(digest: Digest) -> String {
    format!("{digest:?}")
}

impl Core {
    /// Which pods may run such a job, and why the others may not.
    pub fn eligibility(&self, request: &Request) -> Eligibility {
        self.eligibility_of(&Need::of(request, &[]))
    }

    fn eligibility_of(&self, need: &Need) -> Eligibility {
        let mut reasons = Vec::new();
        let mut eligible = 0;
        for (&id, pod) in &self.pods {
            let name = &pod.name;
            let resting = pod.record.penalty.is_resting(self.now);
            match need.matching(id, pod) {
                Ok(_) => eligible += 1,
                Err(mismatch) => {
                    let machine = &pod.capabilities.machine;
                    reasons.push(format!("`{name}` {}", mismatch.text(need, machine)));
                    continue;
                }
            }
            if resting {
                reasons.push(format!("`{name}` rests ({})", pod.record.why));
            }
        }
        for (name, past) in &self.past {
            reasons.push(format!("`{name}` is not connected ({})", past.record.why));
        }
        let known = self.pods.len() + self.past.len();
        let mut text = format!("{eligible} of {known} pods eligible for `{}`", need.program);
        for (index, reason) in reasons.iter().take(NAMED).enumerate() {
            text.push_str(if index == 0 { ": " } else { ", " });
            text.push_str(reason);
        }
        if reasons.len() > NAMED {
            let _ = write!(text, ", and {} more", reasons.len() - NAMED);
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
        let Some(class) = self.classes.by_id.get(&class_id) else {
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
        if let Some(class) = self.classes.by_id.get_mut(&class_id) {
            class.summary = Some(summary);
        }
        why
    }

    /// The name of a connected pod.
    pub fn pod_name(&self, pod: PodId) -> Option<&str> {
        self.pods.get(&pod).map(|pod| pod.name.as_str())
    }
}

impl Mismatch {
    fn text(&self, need: &Need, machine: &str) -> String {
        let program = &need.program;
        match self {
            Self::NoSlots => "takes no jobs".to_owned(),
            Self::Declined => "declined the job".to_owned(),
            Self::NoTool if machine.is_empty() => format!("offers no {}", need.tool),
            Self::NoTool => format!("({machine}) offers no {}", need.tool),
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
