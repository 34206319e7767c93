//! A simulated machine, and the jobs for it: what the hub sees of them, at its simplest.

use super::Scenario;
use super::random::Random;
use crate::job::Digest;
use crate::sched::{Capabilities, Capability, ClientId, PodId, Request, RunId};
use std::collections::{BTreeSet, VecDeque};

/// Tools in the farm: the rule's name, the program's, how common it is in a thousand hosts.
const TOOLS: [(&str, &str, u64); 6] = [
    ("gcc", "gcc", 950),
    ("gcc", "g++", 900),
    ("clang", "clang", 500),
    ("z3", "z3", 400),
    ("frama-c", "frama-c", 300),
    ("verifast", "verifast", 0),
];

/// The identity of a tool: most hosts have the first edition, some another.
fn identity(program: &str, edition: u64) -> Digest {
    Digest::of(format!("{program} {edition}").as_bytes())
}

/// A build's next job.
pub(super) fn request(client: u64, scenario: &Scenario, random: &mut Random) -> Request {
    // Some tools are asked for more often; the last one is offered nowhere.
    let index = random.below(64).min(random.below(64)) as usize * TOOLS.len() / 64;
    let (tool, program, _) = TOOLS[index];
    let hub_has_tool = !random.permille(scenario.hubless_permille);
    let needs = match tool {
        "frama-c" => vec!["gcc".to_owned(), "z3".to_owned()],
        _ => Vec::new(),
    };
    Request {
        client: ClientId(client),
        weight: 1 + (client % 3) as u32,
        tool: tool.to_owned(),
        program: program.to_owned(),
        identity: hub_has_tool.then(|| identity(program, 0)),
        bare: None,
        needs,
        overlay_only: random.permille(200),
        hub_has_tool,
        tries: u32::from(random.permille(20)),
    }
}

/// A machine.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) capabilities: Capabilities,
    /// Its number on the hub while it is connected; the hub may not know yet that it is not.
    pub(super) pod: Option<PodId>,
    /// Counts connections; what belongs to an earlier one is void.
    pub(super) life: u32,
    /// Its wall time against others', in a thousand.
    pub(super) slowness: u64,
    /// Whether it is one of those that fall ill.
    pub(super) sickly: bool,
    /// Runs that go on, and those that wait for a slot.
    pub(super) running: BTreeSet<RunId>,
    pub(super) backlog: VecDeque<RunId>,
}

impl Host {
    pub(super) fn new(index: u32, random: &mut Random) -> Self {
        let mut host = Self {
            name: format!("host{index}"),
            capabilities: Capabilities::default(),
            pod: None,
            life: 0,
            slowness: 500 + random.below(1500),
            sickly: index % 8 == 3,
            running: BTreeSet::new(),
            backlog: VecDeque::new(),
        };
        host.change(random);
        // One host is the hub's own.
        host.capabilities.own = index == 0;
        host
    }

    /// Somebody installs or removes tools, or the view's proof has another result.
    pub(super) fn change(&mut self, random: &mut Random) {
        let mut tools = Vec::new();
        for (tool, program, permille) in TOOLS {
            if random.permille(permille) {
                tools.push(Capability {
                    tool: tool.to_owned(),
                    program: program.to_owned(),
                    identity: identity(program, u64::from(random.permille(150))),
                    bare: None,
                });
            }
        }
        self.capabilities = Capabilities {
            slots: random.below(9) as u32,
            overlay: random.permille(800),
            own: self.capabilities.own,
            machine: "x86_64".to_owned(),
            tools,
        };
    }

    /// Takes a run; true if it starts at once.
    pub(super) fn start(&mut self, run: RunId) -> bool {
        if self.running.len() < self.capabilities.slots.max(1) as usize {
            self.running.insert(run);
            return true;
        }
        self.backlog.push_back(run);
        false
    }

    /// A run ends; the next from the backlog starts.
    pub(super) fn end(&mut self, run: RunId) -> Option<RunId> {
        self.running.remove(&run);
        let next = self.backlog.pop_front()?;
        self.running.insert(next);
        Some(next)
    }

    /// Kills a run; whether it was there, and what starts in its place.
    pub(super) fn cancel(&mut self, run: RunId) -> (bool, Option<RunId>) {
        if self.running.contains(&run) {
            return (true, self.end(run));
        }
        (self.give_back(run), None)
    }

    /// Takes a run out of the backlog; whether it was there.
    pub(super) fn give_back(&mut self, run: RunId) -> bool {
        let before = self.backlog.len();
        self.backlog.retain(|it| *it != run);
        self.backlog.len() < before
    }

    /// Everything on it is gone.
    pub(super) fn crash(&mut self) {
        self.life += 1;
        self.pod = None;
        self.running.clear();
        self.backlog.clear();
    }

    /// How long a run takes here.
    pub(super) fn wall_us(&self, scenario: &Scenario, random: &mut Random) -> u64 {
        (random.about(scenario.job_us) * self.slowness / 1000).max(1)
    }
}
