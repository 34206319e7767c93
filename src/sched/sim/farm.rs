//! The farm: hosts, builds and the messages between them, in virtual time.

use super::Scenario;
use super::host::{Host, request};
use super::model::Model;
use super::random::Random;
use crate::job::Digest;
use crate::sched::{Action, Core, Event, JobId, Limits, PodId, RunId, Time, Totals};
use std::collections::BTreeMap;

/// No job may be open for longer than this, whatever happens on the farm.
const LONGEST_US: u64 = 240_000_000;

/// How often somebody changes what a host offers, in the mean, in its own crashes.
const CRASHES_PER_CHANGE: u64 = 3;

/// Something that is going to happen.
#[derive(Debug)]
enum Happening {
    Submit { client: u64 },
    Start { host: usize, life: u32, run: RunId },
    Cancel { host: usize, life: u32, run: RunId },
    Recall { host: usize, life: u32, run: RunId },
    Done { host: usize, life: u32, run: RunId },
    Crash { host: usize },
    Join { host: usize, again: bool },
    Change { host: usize },
    Hear(Event),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Over everything that the core did, and when.
    pub trace: Digest,
    /// The core's own counters.
    pub totals: Totals,
    /// Jobs that ended.
    pub ends: u64,
    /// Events that the core was told.
    pub events: u64,
    /// Virtual time, in microseconds.
    pub took_us: u64,
    /// The longest that a job was open, in microseconds.
    pub longest_us: u64,
}

/// The whole farm. See the module's text.
pub struct Farm {
    scenario: Scenario,
    random: Random,
    now: Time,
    agenda: BTreeMap<(Time, u64), Happening>,
    next_entry: u64,
    core: Core,
    model: Model,
    hosts: Vec<Host>,
    pods: BTreeMap<PodId, (usize, u32)>,
    next_pod: u32,
    /// Jobs that each build has not submitted yet.
    left: Vec<u64>,
    next_job: u64,
    /// When a job was submitted, and by which build.
    born: BTreeMap<JobId, (Time, u64)>,
    trace: blake3::Hasher,
    events: u64,
    longest_us: u64,
}

impl Farm {
    /// A farm at its beginning.
    pub fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let limits = Limits {
            waiting: 4_000,
            waiting_per_client: 1_000,
            ..Limits::default()
        };
        let hosts = (0..scenario.hosts).map(|index| Host::new(index, &mut random));
        let mut farm = Self {
            hosts: hosts.collect(),
            now: Time(0),
            agenda: BTreeMap::new(),
            next_entry: 0,
            core: Core::new(limits.clone()),
            model: Model::new(limits),
            pods: BTreeMap::new(),
            next_pod: 0,
            left: vec![scenario.jobs / scenario.clients; scenario.clients as usize],
            next_job: 0,
            born: BTreeMap::new(),
            trace: blake3::Hasher::new(),
            events: 0,
            longest_us: 0,
            random,
            scenario,
        };
        for host in 0..farm.hosts.len() {
            farm.await_host(host);
            let after_us = farm.random.below(2_000_000);
            let again = false;
            farm.plan(after_us, Happening::Join { host, again });
        }
        for client in 0..farm.scenario.clients {
            for _ in 0..farm.scenario.jobs_per_client {
                let after_us = farm.random.below(3_000_000);
                farm.plan(after_us, Happening::Submit { client });
            }
        }
        farm
    }

    /// Runs until every job has ended and every slot is free.
    ///
    /// # Panics
    ///
    /// If the core does what it may not.
    pub fn run(mut self) -> Report {
        let jobs: u64 = self.left.iter().sum();
        while self.next_job < jobs || self.model.open > 0 || self.core.running() > 0 {
            self.step();
            let (open, running) = (self.model.open, self.core.running());
            let in_time = self.now.0 < LONGEST_US * 100;
            assert!(in_time, "{open} jobs stay open, {running} runs go on");
        }
        self.core.sanity_check();
        assert_eq!(self.model.ends, jobs, "every job ended");
        assert!(self.longest_us < LONGEST_US, "no job starved");
        Report {
            trace: Digest(*self.trace.finalize().as_bytes()),
            totals: self.core.totals(),
            ends: self.model.ends,
            events: self.events,
            took_us: self.now.0,
            longest_us: self.longest_us,
        }
    }

    fn step(&mut self) {
        let next = self.agenda.keys().next().map(|&(at, _)| at);
        let due = self.core.poll_timeout();
        if let Some(due) = due
            && next.is_none_or(|next| due <= next)
        {
            self.now = self.now.max(due);
            self.core.handle_timeout(self.now);
            assert!(
                self.core.poll_timeout() > Some(self.now) || self.core.poll_timeout().is_none()
            );
            return self.obey();
        }
        let Some(((at, _), happening)) = self.agenda.pop_first() else {
            panic!(
                "nothing happens any more, and {} jobs are open",
                self.model.open
            );
        };
        self.now = at;
        match happening {
            Happening::Submit { client } => self.submit(client),
            Happening::Start { host, life, run } => self.start(host, life, run),
            Happening::Cancel { host, life, run } => self.cancel(host, life, run),
            Happening::Recall { host, life, run } => self.recall(host, life, run),
            Happening::Done { host, life, run } => self.done(host, life, run),
            Happening::Crash { host } => self.crash(host),
            Happening::Join { host, again } => self.join(host, again),
            Happening::Change { host } => self.change(host),
            Happening::Hear(event) => self.hear(event),
        }
    }

    fn plan(&mut self, after_us: u64, happening: Happening) {
        let entry = (self.now.after_us(after_us), self.next_entry);
        self.next_entry += 1;
        self.agenda.insert(entry, happening);
    }

    /// Sends the hub a message that takes its time, and sometimes comes twice.
    fn tell(&mut self, event: Event) {
        let latency_us = self.random.about(self.scenario.latency_us);
        if self.random.permille(self.scenario.doubles_permille) {
            let later_us = latency_us + self.random.below(self.scenario.job_us * 4);
            self.plan(later_us, Happening::Hear(event.clone()));
        }
        self.plan(latency_us, Happening::Hear(event));
    }

    fn hear(&mut self, event: Event) {
        self.events += 1;
        self.model.hear(&event);
        if let Event::JobAbandoned { job } = event {
            self.ended(job, 0);
        }
        self.core.handle(self.now, event);
        self.obey();
        if self.events.is_multiple_of(self.scenario.check_every) {
            self.core.sanity_check();
        }
    }

    /// Does what the core says.
    fn obey(&mut self) {
        while let Some(action) = self.core.poll_action() {
            self.record(&action);
            self.model.judge(&action);
            match action {
                Action::StartRun { run, pod, .. } => {
                    let (host, life) = self.pods[&pod];
                    let after_us = self.random.about(self.scenario.latency_us);
                    self.plan(after_us, Happening::Start { host, life, run });
                }
                Action::CancelRun { run, pod } => {
                    let (host, life) = self.pods[&pod];
                    // After the start, as on a channel that keeps the order.
                    let after_us = self.scenario.latency_us * 2;
                    self.plan(after_us, Happening::Cancel { host, life, run });
                }
                Action::RecallRun { run, pod } => {
                    let (host, life) = self.pods[&pod];
                    let after_us = self.scenario.latency_us * 2;
                    self.plan(after_us, Happening::Recall { host, life, run });
                }
                Action::FinishJob { job, .. } | Action::RefuseJob { job, .. } => self.ended(job, 0),
                Action::RunLocally { job, .. } => self.ended(job, self.scenario.job_us),
            }
        }
        self.model.compare(&self.core);
    }

    fn record(&mut self, action: &Action) {
        let (tag, numbers, why) = match action {
            Action::StartRun {
                run,
                job,
                pod,
                tool_index,
            } => (1, [run.0, job.0, pod.0.into(), *tool_index as u64], ""),
            Action::CancelRun { run, pod } => (2, [run.0, pod.0.into(), 0, 0], ""),
            Action::RecallRun { run, pod } => (6, [run.0, pod.0.into(), 0, 0], ""),
            Action::FinishJob { job, run } => (3, [job.0, run.0, 0, 0], ""),
            Action::RunLocally { job, why } => (4, [job.0, 0, 0, 0], why.as_str()),
            Action::RefuseJob { job, why } => (5, [job.0, 0, 0, 0], why.as_str()),
        };
        self.trace.update(&self.now.0.to_le_bytes());
        self.trace.update(&[tag]);
        for number in numbers {
            self.trace.update(&number.to_le_bytes());
        }
        self.trace.update(why.as_bytes());
    }

    /// A job is over; its build submits the next.
    fn ended(&mut self, job: JobId, after_us: u64) {
        if let Some((born, client)) = self.born.remove(&job) {
            self.longest_us = self.longest_us.max(self.now.since_us(born));
            self.plan(1_000 + after_us, Happening::Submit { client });
        }
    }

    fn submit(&mut self, client: u64) {
        let Some(left) = self.left.get_mut(client as usize).filter(|left| **left > 0) else {
            return;
        };
        *left -= 1;
        let job = JobId(self.next_job);
        self.next_job += 1;
        self.born.insert(job, (self.now, client));
        let request = request(client, &self.scenario, &mut self.random);
        if self.random.permille(self.scenario.abandons_permille) {
            let after_us = self.random.about(self.scenario.job_us);
            self.plan(after_us, Happening::Hear(Event::JobAbandoned { job }));
        }
        if self.random.permille(self.scenario.doubles_permille) {
            let request = request.clone();
            self.hear(Event::JobSubmitted { job, request });
        }
        if self.model.is_new_or_open(job) {
            self.hear(Event::JobSubmitted { job, request });
        }
    }

    fn start(&mut self, host: usize, life: u32, run: RunId) {
        if self.hosts[host].life != life {
            return;
        }
        if self.random.permille(self.scenario.declines_permille) {
            let why = "no such locale".to_owned();
            return self.tell(Event::RunDeclined { run, why });
        }
        if self.hosts[host].start(run) {
            self.work(host, run);
        }
    }

    fn work(&mut self, host: usize, run: RunId) {
        let wall_us = self.hosts[host].wall_us(&self.scenario, &mut self.random);
        let life = self.hosts[host].life;
        self.plan(wall_us, Happening::Done { host, life, run });
    }

    fn cancel(&mut self, host: usize, life: u32, run: RunId) {
        if self.hosts[host].life != life {
            return;
        }
        let (was_there, next) = self.hosts[host].cancel(run);
        if let Some(next) = next {
            self.work(host, next);
        }
        if was_there {
            self.tell(Event::RunCancelled { run });
        }
    }

    fn recall(&mut self, host: usize, life: u32, run: RunId) {
        let it = &mut self.hosts[host];
        if it.life == life && it.give_back(run) {
            self.tell(Event::RunCancelled { run });
        }
    }

    fn done(&mut self, host: usize, life: u32, run: RunId) {
        let it = &mut self.hosts[host];
        if it.life != life || !it.running.contains(&run) {
            return;
        }
        let next = it.end(run);
        let ill = it.sickly && self.now.0 / 15_000_000 % 2 == 1;
        let wall_us = it.wall_us(&self.scenario, &mut self.random);
        if let Some(next) = next {
            self.work(host, next);
        }
        if ill && self.random.permille(self.scenario.faults_permille) {
            let why = "no space left on device".to_owned();
            return self.tell(Event::RunFaulted { run, why });
        }
        let signalled = self.random.permille(self.scenario.signals_permille);
        let success = !signalled && !self.random.permille(50);
        self.tell(Event::RunFinished {
            run,
            success,
            signalled,
            wall_us,
        });
    }

    fn crash(&mut self, host: usize) {
        let Some(pod) = self.hosts[host].pod else {
            return;
        };
        self.hosts[host].crash();
        // Sometimes it is back before the hub saw that it was gone.
        let again = self.random.permille(200);
        if !again {
            self.await_host(host);
            let why = "connection closed".to_owned();
            self.tell(Event::PodLost { pod, why });
        }
        let after_us = 100_000 + self.random.about(4_000_000);
        self.plan(after_us, Happening::Join { host, again });
    }

    /// The hub expects it any moment.
    fn await_host(&mut self, host: usize) {
        let (name, why) = (self.hosts[host].name.clone(), "not yet".to_owned());
        self.hear(Event::PodAwaited { name, why });
    }

    fn join(&mut self, host: usize, again: bool) {
        let earlier = self.pods.iter().rfind(|(_, at)| again && at.0 == host);
        let pod = earlier.map_or(PodId(self.next_pod), |(pod, _)| *pod);
        self.next_pod = self.next_pod.max(pod.0 + 1);
        let it = &mut self.hosts[host];
        it.pod = Some(pod);
        self.pods.insert(pod, (host, it.life));
        let (name, capabilities) = (it.name.clone(), it.capabilities.clone());
        if self.scenario.crash_us > 0 {
            let after_us = self.random.about(self.scenario.crash_us);
            self.plan(after_us, Happening::Crash { host });
            let mean_us = self.scenario.crash_us * CRASHES_PER_CHANGE;
            let after_us = self.random.about(mean_us);
            self.plan(after_us, Happening::Change { host });
        }
        self.hear(Event::PodJoined {
            pod,
            name,
            capabilities,
        });
        self.hear(Event::PodReady { pod });
    }

    fn change(&mut self, host: usize) {
        let Some(pod) = self.hosts[host].pod else {
            return;
        };
        self.hosts[host].change(&mut self.random);
        let capabilities = self.hosts[host].capabilities.clone();
        self.tell(Event::PodChanged { pod, capabilities });
    }
}
