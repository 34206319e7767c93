//! Jobs come and go: what wrappers say of theirs.

use super::identity::own_path;
use super::outbox::Outbox;
use super::state::{Hub, Waiting};
use super::system;
use crate::sched::{Event, JobId, Request};
use crate::wire::messages::{Submit, ToClient};
use std::rc::Rc;

impl Hub {
    pub(super) fn new_job(&self) -> JobId {
        let mut state = self.state.borrow_mut();
        state.next_job += 1;
        JobId(state.next_job)
    }

    pub(super) fn ran_locally(&self, why: &str) {
        // Reasons come from rule files, a small set; a peer that makes them up is bounded.
        let mut state = self.state.borrow_mut();
        let why: String = why.chars().take(200).collect();
        let known = state.counts.local.contains_key(&why) || state.counts.local.len() < 256;
        let key = if known { why } else { "other reasons".into() };
        *state.counts.local.entry(key).or_default() += 1;
    }

    /// Takes a job in, once it is known which tool the hub itself has.
    pub(super) async fn submit(&self, job: JobId, submit: Submit, outbox: &Rc<Outbox>) {
        let need = submit.need;
        let own = own_path(&need, submit.program_path.as_ref());
        let hub_has_tool = own.is_some();
        let own = match own {
            None => None,
            Some(path) => {
                let found = self.identities.of(&need.tool, &need.program, path).await;
                if found.is_none() {
                    let why = format!("the hub's own `{}` cannot be probed", need.program);
                    self.ran_locally(&why);
                    let _ = outbox.message(&ToClient::RunLocally { why });
                    return;
                }
                found
            }
        };
        if let Some(own) = &own {
            system::make_ready(self, (&need.tool, &need.program), own).await;
        }
        if let Some(why) = self.why_not_elsewhere(&need, own.as_deref()) {
            self.ran_locally(&why);
            let _ = outbox.message(&ToClient::RunLocally { why });
            return;
        }
        let overlay_only =
            need.overlay_only.is_some() && !self.config().approximate.contains(&need.tool);
        let mut state = self.state.borrow_mut();
        let (tool, program) = (need.tool.clone(), need.program.clone());
        let request = Request {
            client: state.client(submit.client),
            weight: 1,
            tool: need.tool,
            program: need.program,
            identity: own.as_ref().map(|own| own.identity),
            bare: own.as_ref().and_then(|own| own.bare),
            needs: need.needs,
            overlay_only,
            hub_has_tool,
            tries: submit.tries,
        };
        state.jobs.insert(
            job,
            Waiting {
                outbox: Rc::clone(outbox),
                own,
                task: submit.task,
                run: None,
                tool,
                program,
                since: std::time::Instant::now(),
            },
        );
        drop(state);
        self.handle(Event::JobSubmitted { job, request });
    }

    /// The wrapper is gone.
    pub(super) fn abandon(&self, job: JobId) {
        if self.state.borrow_mut().jobs.remove(&job).is_some() {
            self.handle(Event::JobAbandoned { job });
        }
    }
}
