//! A job's start on a pod: its files first, where the pod has a mirror.

use super::{Running, State};
use crate::sched::{Event, JobId, PodId, RunId};
use crate::schedd::ledger::{List, micros};
use crate::schedd::{mirrors, system};
use crate::wire::messages::{JobNumber, LastJob, ToClient, ToPod};
use std::time::Instant;

impl State {
    /// Gives what is to be told to the core.
    pub(super) fn start(
        &mut self,
        run: (RunId, JobId),
        pod: PodId,
        tool_index: usize,
    ) -> Option<Event> {
        if self.postpones(run, pod, tool_index) {
            return None;
        }
        self.start_now(run, pod, tool_index)
    }

    /// The same, whatever has changed meanwhile.
    pub(in crate::schedd) fn start_now(
        &mut self,
        (run, job): (RunId, JobId),
        pod: PodId,
        tool_index: usize,
    ) -> Option<Event> {
        let there = &mut self.pods[pod.0 as usize];
        let (Some(waiting), Some(outbox)) = (self.jobs.get_mut(&job), &there.outbox) else {
            return None;
        };
        // The state of the files is fixed from here on: see hazard "mtimes at commit".
        let stamp = self.stamper.now();
        let offered = there.offer.tools.get(tool_index);
        let own = waiting.own.as_deref().map(|own| (own, offered));
        let (files, shown) = (&mut self.indexes, (&self.system, own));
        let mut told = LastJob {
            program: waiting.program.clone(),
            pod: there.config.name.clone(),
            queued_us: micros(waiting.since.elapsed()),
            ..LastJob::default()
        };
        let (mut list, flow) = (List::default(), &mut there.flow);
        let tell = &mut |it: &ToPod| {
            list.see(flow, it);
            outbox.message(it)
        };
        let inputs = match mirrors::before(&waiting.task, &mut there.mirror, files, shown, tell) {
            Ok(Ok(coming)) => coming,
            Ok(Err(why)) => {
                let why = why.to_owned();
                return Some(Event::RunUnfit { run, why });
            }
            Err(error) => {
                tracing::warn!("pod `{}`: {error:#}", there.config.name);
                // Without its files there is no job; the core hears of it as of any lost pod.
                outbox.close();
                self.forget_system();
                return None;
            }
        };
        there.used = Some(Instant::now());
        let noted = (there.mirror.take_noted(), &self.ledger);
        let awaits = list.end(&mut there.flow, &mut told, noted);
        self.ledger.begin(Some(run), told, awaits);
        there.due.notify_one();
        waiting.run = Some(run);
        let running = Running {
            job,
            pod,
            stamp,
            finished: None,
        };
        self.runs.insert(run, running);
        let tool = system::number(tool_index, &there.offer);
        let chosen = there.offer.tools.get(tool_index).map(|it| it.identity);
        let start = ToPod::Start {
            job: JobNumber(run.0),
            tool,
            chosen,
            task: waiting.task.clone(),
            inputs,
        };
        self.placed_again(run, pod);
        if let Some(outbox) = &self.pods[pod.0 as usize].outbox {
            let _ = outbox.message(&start);
        }
        None
    }

    /// Tells the wrapper that its job begins, on this pod; what it heard of it before is void.
    pub(crate) fn placed_again(&self, run: RunId, pod: PodId) {
        let (Some(waiting), Some(running)) = (self.running(run, pod), self.runs.get(&run)) else {
            return;
        };
        let own = waiting.own.as_ref();
        let placed = ToClient::Placed {
            pod: self.pods[pod.0 as usize].config.name.clone(),
            stamp: running.stamp,
            covered: own.map(|own| own.covered.clone()).unwrap_or_default(),
        };
        let _ = waiting.outbox.message(&placed);
    }
}
