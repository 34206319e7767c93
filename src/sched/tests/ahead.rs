//! What pods are given ahead, and what of it is taken back: single steps, and whole builds on a
//! farm whose pods take runs in order.

use super::*;
use std::collections::{BTreeMap, VecDeque};

/// Two pods of four slots, each with one run that waits there; the runs of each.
fn crowded() -> (Env, BTreeMap<PodId, Vec<RunId>>) {
    let mut env = Env::new();
    for pod in [1, 2] {
        env.join(pod, remote(4));
    }
    let mut runs: BTreeMap<PodId, Vec<RunId>> = BTreeMap::new();
    for job in 1..=10 {
        let (run, pod) = env.start(job, compile(1));
        runs.entry(pod).or_default().push(run);
    }
    assert!(runs.values().all(|runs| runs.len() == 5));
    (env, runs)
}

#[test]
fn what_waits_elsewhere_goes_to_a_free_slot() {
    let (mut env, runs) = crowded();
    let (here, there) = (&runs[&PodId(2)], &runs[&PodId(1)]);
    assert_eq!(env.finish(here[0], SECOND).len(), 1, "its end is told");
    let actions = env.finish(here[1], SECOND);
    let (run, pod) = (there[4], PodId(1));
    assert_eq!(actions[1..], [Action::RecallRun { run, pod }]);
    let actions = env.finish(here[2], SECOND);
    assert_eq!(actions.len(), 1, "what has begun is not taken back");
    let actions = env.tell(Event::RunCancelled { run });
    let [Action::StartRun { run, pod, .. }] = actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(pod, PodId(2));
    // It has lost nothing by that: it may still be tried as often as any.
    env.fault(run);
    assert_eq!(env.core.totals().locally, 0);
}

#[test]
fn a_run_that_has_begun_meanwhile_stays() {
    let (mut env, runs) = crowded();
    let (here, there) = (&runs[&PodId(2)], &runs[&PodId(1)]);
    env.finish(here[0], SECOND);
    env.finish(here[1], SECOND);
    // The pod says nothing: a slot of its own became free.
    let ended: Vec<_> = there.iter().map(|run| env.finish(*run, SECOND)).collect();
    assert!(ended.iter().all(|actions| actions.len() == 1), "{ended:?}");
    // And the free slots are counted as such.
    assert_eq!(env.start(20, compile(1)).1, PodId(1));
}

#[test]
fn an_abandoned_run_is_not_taken_back() {
    let (mut env, runs) = crowded();
    let (here, there) = (&runs[&PodId(2)], &runs[&PodId(1)]);
    for job in 1..=10 {
        let abandoned = env.tell(Event::JobAbandoned { job: JobId(job) });
        let cancelled = matches!(abandoned[..], [Action::CancelRun { run, .. }] if run == there[4]);
        if cancelled {
            break;
        }
    }
    let ended = here.iter().flat_map(|run| env.finish(*run, SECOND));
    let ended: Vec<Action> = ended.collect();
    let recalled = |it: &Action| matches!(it, Action::RecallRun { .. });
    assert!(!ended.iter().any(recalled), "{ended:?}");
}

#[test]
fn what_a_pod_runs_that_takes_no_more_is_not_taken_back() {
    let (mut env, runs) = crowded();
    let (pod, capabilities) = (PodId(1), remote(0));
    env.tell(Event::PodChanged { pod, capabilities });
    let here = runs[&PodId(2)].iter();
    let ended: Vec<Action> = here.flat_map(|run| env.finish(*run, SECOND)).collect();
    let recalled = |it: &Action| matches!(it, Action::RecallRun { .. });
    assert!(!ended.iter().any(recalled), "{ended:?}");
}

#[test]
fn a_pod_that_is_lost_waits_for_nothing() {
    let (mut env, runs) = crowded();
    let here = &runs[&PodId(2)];
    env.finish(here[0], SECOND);
    let actions = env.finish(here[1], SECOND);
    let Some(Action::RecallRun { run, .. }) = actions.last() else {
        panic!("{actions:?}");
    };
    env.lose(2);
    let actions = env.tell(Event::RunCancelled { run: *run });
    let back = matches!(actions[..], [Action::StartRun { pod: PodId(1), .. }]);
    assert!(back, "{actions:?}");
}

/// Pods as they are at their simplest: runs begin in order, whenever a slot is free.
#[derive(Default)]
struct Machine {
    slots: usize,
    running: usize,
    backlog: VecDeque<RunId>,
}

/// What reaches a machine or the hub, and when.
#[derive(Clone, Copy)]
enum Message {
    Start(usize, RunId),
    Recall(usize, RunId),
    End(usize, RunId),
    Finished(RunId),
    Cancelled(RunId),
}

/// A build of equal jobs of which so many are open at a time.
struct Build {
    env: Env,
    machines: Vec<Machine>,
    agenda: BTreeMap<(u64, u64), Message>,
    next: u64,
    job_us: u64,
    one_way_us: u64,
}

impl Build {
    fn new(pods: &[usize], job_us: u64, one_way_us: u64) -> Self {
        let mut env = Env::new();
        let machine = |slots: &usize| Machine {
            slots: *slots,
            ..Machine::default()
        };
        for (number, slots) in (0..).zip(pods) {
            env.join(number, remote(u32::try_from(*slots).unwrap()));
        }
        Self {
            env,
            machines: pods.iter().map(machine).collect(),
            agenda: BTreeMap::new(),
            next: 0,
            job_us,
            one_way_us,
        }
    }

    /// How long all slots were busy of all the time, in percent.
    fn busy_percent(mut self, jobs: u64, open: u64) -> u64 {
        for job in 0..open {
            let actions = self.env.submit(job, compile(1));
            self.act(&actions);
        }
        let (mut submitted, mut ended, began) = (open, 0, self.env.now);
        while let Some(((at, _), message)) = self.agenda.pop_first() {
            self.env.now = Time(at);
            let actions = match message {
                Message::Finished(run) => self.env.finish(run, self.job_us),
                Message::Cancelled(run) => self.env.tell(Event::RunCancelled { run }),
                other => {
                    self.on_machine(other);
                    continue;
                }
            };
            self.act(&actions);
            if matches!(message, Message::Finished(_)) {
                ended += 1;
                if submitted < jobs {
                    let actions = self.env.submit(submitted, compile(1));
                    self.act(&actions);
                    submitted += 1;
                }
            }
        }
        assert_eq!(ended, jobs);
        let slots: usize = self.machines.iter().map(|it| it.slots).sum();
        jobs * self.job_us * 100 / (self.env.now.since_us(began) * slots as u64)
    }

    fn plan(&mut self, after_us: u64, message: Message) {
        let at = self.env.now.0 + after_us;
        self.agenda.insert((at, self.next), message);
        self.next += 1;
    }

    fn act(&mut self, actions: &[Action]) {
        for action in actions {
            let message = match *action {
                Action::StartRun { run, pod, .. } => Message::Start(pod.0 as usize, run),
                Action::RecallRun { run, pod } => Message::Recall(pod.0 as usize, run),
                Action::FinishJob { .. } => continue,
                ref other => panic!("{other:?}"),
            };
            self.plan(self.one_way_us, message);
        }
    }

    fn on_machine(&mut self, message: Message) {
        match message {
            Message::Start(on, run) => self.machines[on].backlog.push_back(run),
            Message::Recall(on, run) => {
                let backlog = &mut self.machines[on].backlog;
                let before = backlog.len();
                backlog.retain(|it| *it != run);
                if backlog.len() < before {
                    self.plan(self.one_way_us, Message::Cancelled(run));
                }
                return;
            }
            Message::End(on, run) => {
                self.machines[on].running -= 1;
                self.plan(self.one_way_us, Message::Finished(run));
            }
            Message::Finished(_) | Message::Cancelled(_) => {}
        }
        if let Message::Start(on, _) | Message::End(on, _) = message
            && self.machines[on].running < self.machines[on].slots
            && let Some(run) = self.machines[on].backlog.pop_front()
        {
            self.machines[on].running += 1;
            self.plan(self.job_us, Message::End(on, run));
        }
    }
}

#[test]
fn twelve_slots_end_together() {
    for (jobs, job_us) in [(48, 2_000_000), (60, 1_000_000), (240, 250_000)] {
        let busy = Build::new(&[4, 4, 4], job_us, 1_000).busy_percent(jobs, 24);
        assert!(busy >= 95, "{jobs} jobs of {job_us} µs: {busy}%");
    }
    let busy = Build::new(&[2, 4, 4], 2_000_000, 1_000).busy_percent(50, 24);
    assert!(busy >= 95, "{busy}%");
}

/// What is known of a tool and its pods after a run that was nothing like those to come is wrong, and
/// differs a little from pod to pod: no slot stays free for that while a run waits elsewhere.
#[test]
fn what_was_measured_before_does_not_keep_slots_free() {
    for (first_us, one_way_us) in [(1_000, 1_000), (10_000, 10_000), (100_000, 1_000)] {
        let mut build = Build::new(&[2, 4, 4], 2_000_000, one_way_us);
        let (run, _) = build.env.start(1_000, compile(1));
        build.env.now = Time(first_us + one_way_us * 2);
        build.env.finish(run, first_us);
        let busy = build.busy_percent(50, 24);
        assert!(busy >= 95, "{first_us} µs, {one_way_us} µs away: {busy}%");
    }
}

#[test]
fn short_runs_far_away_keep_slots_busy() {
    let busy = Build::new(&[4, 4, 4], 10_000, 5_000).busy_percent(1_000, 48);
    assert!(busy >= 85, "{busy}%");
    // Long ones are not piled up on a pod for that.
    let mut build = Build::new(&[4], 1_000_000, 5_000);
    for job in 0..20 {
        let actions = build.env.submit(job, compile(1));
        build.act(&actions);
    }
    assert_eq!(build.env.core.running(), 5);
}
