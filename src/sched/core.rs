//! Events to handlers; what becomes of jobs and runs.

use super::class::Need;
use super::state::{ClassId, Core, Job, Run};
use super::types::{Action, Event, JobId, PodId, Request, RunId, Time};

impl Core {
    /// Takes in what happened. `now` may not go back; if it does, the latest time seen holds.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.handle_timeout(now);
        match event {
            Event::PodJoined {
                pod,
                name,
                capabilities,
            } => self.on_pod_joined(pod, name, capabilities),
            Event::PodChanged { pod, capabilities } => self.on_pod_changed(pod, capabilities),
            Event::PodLost { pod, why } => self.on_pod_lost(pod, why),
            Event::PodMissed { name, why } => self.on_pod_missed(name, why),
            Event::PodAwaited { name, why } => self.on_pod_awaited(name, why),
            Event::PodReady { pod } => self.on_pod_ready(pod),
            Event::JobSubmitted { job, request } => self.on_job_submitted(job, request),
            Event::JobAbandoned { job } => self.on_job_abandoned(job),
            Event::RunFinished {
                run,
                success,
                signalled,
                wall_us,
            } => self.on_run_finished(run, success, signalled, wall_us),
            Event::RunFaulted { run, why } => self.on_run_faulted(run, why),
            Event::RunDeclined { run, why } => self.on_run_declined(run, why, true),
            Event::RunUnfit { run, why } => self.on_run_declined(run, why, false),
            Event::RunCancelled { run } => self.on_run_cancelled(run),
        }
    }

    /// Does what is due by `now`. [`Core::handle`] does so too, so calling it early or late is no
    /// error.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.wake_pods();
        while let Some(&(deadline, job)) = self.deadlines.first() {
            if deadline > self.now {
                break;
            }
            self.run_out(job);
        }
        self.forget_late();
    }

    /// When [`Core::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let deadline = self.deadlines.first().map(|&(deadline, _)| deadline);
        let awaited = self.awaited.next();
        let due = [deadline, self.next_wake(), awaited];
        due.into_iter().flatten().min()
    }

    /// The next thing to do. Ask until there is none, after every call that changes something.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn on_job_submitted(&mut self, id: JobId, request: Request) {
        if self.jobs.contains_key(&id) {
            self.totals.strays += 1;
            return;
        }
        self.totals.submitted += 1;
        let client = request.client;
        let busy = self.queue.waiting >= self.limits.waiting
            || self.queue.waiting_of(client) >= self.limits.waiting_per_client;
        self.queue.enter(client, request.weight);
        let class = self.enter_class(Need::of(&request));
        let seq = self.next_seq;
        self.next_seq += 1;
        let job = Job {
            class,
            seq,
            tries: request.tries,
            declined: Vec::new(),
            trouble: String::new(),
            deadline: None,
            run: None,
            request,
        };
        self.jobs.insert(id, Box::new(job));
        if busy {
            let why = format!("hub busy: {} jobs wait", self.queue.waiting);
            self.end_without_pod(id, why);
        } else {
            self.place(id);
        }
    }

    fn on_job_abandoned(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else {
            self.totals.strays += 1;
            return;
        };
        self.totals.abandoned += 1;
        if let Some(run) = job.run
            && let Some(started) = self.runs.get_mut(&run)
        {
            started.job = None;
            let pod = started.pod;
            self.actions.push_back(Action::CancelRun { run, pod });
        }
        self.forget(id);
    }

    fn on_run_finished(&mut self, id: RunId, success: bool, signalled: bool, wall_us: u64) {
        let Some(run) = self.end_run(id, Some(wall_us)) else {
            return;
        };
        let pod = run.pod;
        if let Some(job_id) = run.job
            && let Some(job) = self.jobs.get_mut(&job_id)
        {
            let hub_has_tool = job.request.hub_has_tool;
            // It ends here, whatever is done.
            let tool = std::mem::take(&mut job.request.tool);
            if success {
                let elapsed_us = self.now.since_us(run.started);
                self.measure(pod, &tool, wall_us.min(elapsed_us));
                self.succeed(pod);
            }
            if signalled && hub_has_tool {
                self.locally(job_id, "died by a signal on the pod".to_owned());
            } else {
                self.totals.finished += 1;
                self.actions.push_back(Action::FinishJob {
                    job: job_id,
                    run: id,
                });
                self.forget(job_id);
            }
        }
        self.make_room(pod);
    }

    fn on_run_faulted(&mut self, id: RunId, why: String) {
        let Some(run) = self.end_run(id, None) else {
            return;
        };
        let pod = run.pod;
        let name = self.pods.get(&pod).map_or("", |it| it.name.as_str());
        let trouble = format!("pod `{name}` failed: {why}");
        self.totals.faults += 1;
        self.rest(pod, why);
        if let Some(job) = run.job {
            self.give_back(job, trouble);
        }
        self.make_room(pod);
    }

    fn on_run_declined(&mut self, id: RunId, why: String, counts: bool) {
        let Some(run) = self.end_run(id, None) else {
            return;
        };
        let pod = run.pod;
        let name = self.pods.get(&pod).map_or("", |it| it.name.as_str());
        let trouble = format!("pod `{name}` declined: {why}");
        if counts {
            self.count_decline(pod, &why);
        }
        if let Some(job_id) = run.job
            && let Some(job) = self.jobs.get_mut(&job_id)
        {
            job.run = None;
            job.declined.push(pod);
            job.trouble = trouble;
            self.place(job_id);
        }
        self.make_room(pod);
    }

    fn on_run_cancelled(&mut self, id: RunId) {
        let is_taken_back = self.runs.get_mut(&id).is_some_and(|run| {
            if run.taken_back_for.is_some() {
                // It had no slot: nobody pays for it.
                run.started = self.now;
            }
            run.taken_back_for.is_some()
        });
        let Some(run) = self.end_run(id, None) else {
            return;
        };
        let pod = run.pod;
        if let Some(job_id) = run.job {
            if is_taken_back && let Some(job) = self.jobs.get_mut(&job_id) {
                job.run = None;
                self.totals.taken_back += 1;
                self.refresh(pod);
                self.place(job_id);
            } else {
                // Nobody asked for it; somebody else on the pod ended it.
                self.give_back(job_id, "the pod cancelled it".to_owned());
            }
        }
        self.make_room(pod);
    }

    /// A run is over: its slot is free, its client charged for what it took.
    fn end_run(&mut self, id: RunId, wall_us: Option<u64>) -> Option<Run> {
        let Some(run) = self.runs.remove(&id) else {
            self.totals.strays += 1;
            return None;
        };
        let elapsed_us = self.now.since_us(run.started);
        // The pod's word counts up to what the hub saw pass.
        let used_us = wall_us.map_or(elapsed_us, |us| us.min(elapsed_us));
        self.queue.correct(run.client, run.charged_us, used_us);
        self.has_come(&run);
        if let Some(pod) = self.pods.get_mut(&run.pod) {
            pod.runs.remove(&id);
            if let Some(wall_us) = wall_us.filter(|us| run.at_once && *us > 0) {
                pod.record.measure_lag(wall_us, elapsed_us);
            }
            pod.record.busy_us = pod.record.busy_us.saturating_add(used_us);
            if wall_us.is_some() {
                pod.record.finished += 1;
                pod.record.declines_in_a_row = 0;
            }
        }
        Some(run)
    }

    /// A pod's slot became free.
    fn make_room(&mut self, pod: PodId) {
        self.refresh(pod);
        self.fill(pod);
    }

    fn succeed(&mut self, pod: PodId) {
        if let Some(pod) = self.pods.get_mut(&pod) {
            pod.record.penalty.succeed(&self.limits);
        }
    }

    /// A pod lost the job: it is tried elsewhere, or handed back.
    pub(super) fn give_back(&mut self, id: JobId, trouble: String) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.run = None;
        job.tries += 1;
        job.trouble = trouble;
        self.totals.given_back += 1;
        self.place(id);
    }

    /// Starts a job that is on no pod, lets it wait, or ends it.
    fn place(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let (class, hub_has_tool) = (job.class, job.request.hub_has_tool);
        let declined = u32::try_from(job.declined.len()).unwrap_or(u32::MAX);
        // Where the hub lacks the tool every pod may decline once before the job is given up.
        let used_up = job.tries + if hub_has_tool { declined } else { 0 };
        if used_up >= self.limits.tries {
            let why = match job.trouble.as_str() {
                "" => format!("tried {used_up} times"),
                trouble => format!("tried {used_up} times; {trouble}"),
            };
            return self.end_without_pod(id, why);
        }
        if self.start_best(class, id) {
            return;
        }
        self.start_waiting(id);
        self.settle_job(id);
    }

    /// The job's end without a pod's result: locally if it can be.
    pub(super) fn end_without_pod(&mut self, id: JobId, why: String) {
        let hub_has_tool = self
            .jobs
            .get(&id)
            .is_some_and(|job| job.request.hub_has_tool);
        if hub_has_tool {
            self.locally(id, why);
        } else {
            self.refuse(id, why);
        }
    }

    pub(super) fn locally(&mut self, id: JobId, why: String) {
        self.totals.locally += 1;
        self.actions.push_back(Action::RunLocally { job: id, why });
        self.forget(id);
    }

    fn refuse(&mut self, id: JobId, why: String) {
        self.totals.refused += 1;
        self.actions.push_back(Action::RefuseJob { job: id, why });
        self.forget(id);
    }

    /// The job ended.
    fn forget(&mut self, id: JobId) {
        self.stop_waiting(id);
        if let Some(job) = self.jobs.remove(&id) {
            self.queue.leave(job.request.client, self.limits.remembered);
            self.leave_class(job.class);
        }
    }

    fn enter_class(&mut self, need: Need) -> ClassId {
        match self.classes.enter(need) {
            Ok(known) => known,
            Err(new) => {
                self.match_class(new);
                self.settle(new);
                new
            }
        }
    }

    fn leave_class(&mut self, id: ClassId) {
        if let Some((gone, class)) = self.classes.leave(id, self.limits.idle_classes) {
            self.unmatch_class(gone, &class);
        }
    }
}
