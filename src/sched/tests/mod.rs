//! The core, event by event: one small farm, told what happens and asked what it does.

mod ahead;
mod failures;
mod fairness;
mod placing;

use super::*;
use crate::job::Digest;

const SECOND: u64 = 1_000_000;

/// A core, its clock, and the checks after every step.
struct Env {
    core: Core,
    now: Time,
}

impl Env {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let core = Core::new(limits);
        Self { core, now: Time(0) }
    }

    /// Tells the core, and returns what it does.
    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.core.handle(self.now, event);
        self.core.sanity_check();
        self.actions()
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.core.poll_action()).collect()
    }

    /// Lets time pass, waking the core when it wants to be woken.
    fn pass(&mut self, us: u64) -> Vec<Action> {
        let end = self.now.after_us(us);
        let mut actions = Vec::new();
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= end) {
            self.core.handle_timeout(due);
            self.core.sanity_check();
            actions.extend(self.actions());
        }
        self.now = end;
        actions
    }

    fn join(&mut self, pod: u32, capabilities: Capabilities) -> Vec<Action> {
        self.tell(Event::PodJoined {
            pod: PodId(pod),
            name: format!("pod{pod}"),
            capabilities,
        })
    }

    fn ready(&mut self, pod: u32) -> Vec<Action> {
        self.tell(Event::PodReady { pod: PodId(pod) })
    }

    fn lose(&mut self, pod: u32) -> Vec<Action> {
        self.tell(Event::PodLost {
            pod: PodId(pod),
            why: "connection closed".to_owned(),
        })
    }

    fn submit(&mut self, job: u64, request: Request) -> Vec<Action> {
        let job = JobId(job);
        self.tell(Event::JobSubmitted { job, request })
    }

    /// Submits a job that starts at once; its run and pod.
    fn start(&mut self, job: u64, request: Request) -> (RunId, PodId) {
        let actions = self.submit(job, request);
        started(&actions, job)
    }

    fn finish(&mut self, run: RunId, wall_us: u64) -> Vec<Action> {
        self.tell(Event::RunFinished {
            run,
            success: true,
            signalled: false,
            wall_us,
        })
    }

    fn fault(&mut self, run: RunId) -> Vec<Action> {
        let why = "no space left on device".to_owned();
        self.tell(Event::RunFaulted { run, why })
    }

    fn decline(&mut self, run: RunId) -> Vec<Action> {
        let why = "no such locale".to_owned();
        self.tell(Event::RunDeclined { run, why })
    }
}

/// The only action: this job starts.
fn started(actions: &[Action], job: u64) -> (RunId, PodId) {
    match actions {
        [
            Action::StartRun {
                run,
                job: which,
                pod,
                ..
            },
        ] if which.0 == job => (*run, *pod),
        other => panic!("expected a start of job {job}, not {other:?}"),
    }
}

/// The only action: this job is handed back; why.
fn handed_back(actions: &[Action], job: u64) -> &str {
    match actions {
        [Action::RunLocally { job: which, why }] if which.0 == job => why,
        other => panic!("expected job {job} to run locally, not {other:?}"),
    }
}

/// The only action: this job is refused; why.
fn refused(actions: &[Action], job: u64) -> &str {
    match actions {
        [Action::RefuseJob { job: which, why }] if which.0 == job => why,
        other => panic!("expected job {job} to be refused, not {other:?}"),
    }
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn offer(tool: &str, program: &str, identity: &str) -> Capability {
    Capability {
        tool: tool.to_owned(),
        program: program.to_owned(),
        identity: digest(identity),
        bare: None,
    }
}

/// A pod with gcc and nothing pre-loaded, as the hub's own.
fn pod(slots: u32) -> Capabilities {
    Capabilities {
        slots,
        overlay: true,
        own: true,
        machine: "x86_64".to_owned(),
        tools: vec![offer("gcc", "gcc", "gcc 12")],
    }
}

/// A pod as it is away from the hub.
fn remote(slots: u32) -> Capabilities {
    Capabilities {
        own: false,
        ..pod(slots)
    }
}

/// A compile that the hub could do itself.
fn compile(client: u64) -> Request {
    Request {
        client: ClientId(client),
        weight: 1,
        tool: "gcc".to_owned(),
        program: "gcc".to_owned(),
        identity: Some(digest("gcc 12")),
        bare: None,
        needs: Vec::new(),
        overlay_only: false,
        hub_has_tool: true,
        tries: 0,
    }
}

/// A job whose tool the hub lacks.
fn hubless(client: u64) -> Request {
    Request {
        identity: None,
        hub_has_tool: false,
        ..compile(client)
    }
}
