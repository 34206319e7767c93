//! How many jobs per second the scheduler's core places, with 1,000 pods.
//!
//! Events and actions only: no sockets, no jobs' contents. Each scenario keeps a number of jobs
//! outstanding; every end of a run brings a new job, as a build does.

use cpods::job::Digest;
use cpods::sched::sim::Random;
use cpods::sched::{
    Action, Capabilities, Capability, ClientId, Core, Event, JobId, Limits, PodId, Request, RunId,
    Time,
};
use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

const PODS: u32 = 1_000;
const SLOTS: u32 = 8;
const TOOLS: [&str; 8] = [
    "gcc", "g++", "clang", "clang++", "arm-gcc", "z3", "context", "frama-c",
];
const PLACED: u64 = 400_000;

fn capabilities(pod: u32) -> Capabilities {
    // Every pod lacks one of the tools, so that classes differ in their pods.
    let lacking = pod as usize % TOOLS.len();
    let tools = TOOLS.iter().enumerate().filter(|(i, _)| *i != lacking);
    Capabilities {
        slots: SLOTS,
        overlay: true,
        own: false,
        machine: "x86_64".to_owned(),
        tools: tools
            .map(|(_, tool)| Capability {
                tool: (*tool).to_owned(),
                program: (*tool).to_owned(),
                identity: Digest::of(tool.as_bytes()),
                bare: None,
            })
            .collect(),
    }
}

fn request(random: &mut Random, clients: u64) -> Request {
    let tool = TOOLS[random.below(TOOLS.len() as u64) as usize];
    Request {
        client: ClientId(random.below(clients)),
        weight: 1,
        tool: tool.to_owned(),
        program: tool.to_owned(),
        identity: Some(Digest::of(tool.as_bytes())),
        bare: None,
        needs: Vec::new(),
        overlay_only: random.below(2) == 0,
        hub_has_tool: true,
        tries: 0,
    }
}

/// The processor time of this process, which a busy machine does not falsify.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn measure(name: &str, clients: u64, outstanding: usize) -> f64 {
    let mut random = Random::new(1);
    let mut core = Core::new(Limits::default());
    for pod in 0..PODS {
        let event = Event::PodJoined {
            pod: PodId(pod),
            name: format!("pod{pod}"),
            capabilities: capabilities(pod),
        };
        core.handle(Time(0), event);
    }
    let mut running: Vec<RunId> = Vec::new();
    let mut placed = 0;
    let mut ended = 0;
    let mut now = 0;
    let mut job = 0;
    let mut submit = |core: &mut Core, now, random: &mut Random| {
        let request = request(random, clients);
        core.handle(
            Time(now),
            Event::JobSubmitted {
                job: JobId(job),
                request,
            },
        );
        job += 1;
    };
    for _ in 0..outstanding {
        submit(&mut core, now, &mut random);
    }
    let mut drain = |core: &mut Core, running: &mut Vec<RunId>| {
        while let Some(action) = core.poll_action() {
            match action {
                Action::StartRun { run, .. } => {
                    placed += 1;
                    running.push(run);
                }
                Action::FinishJob { .. } => ended += 1,
                other => panic!("unexpected {other:?}"),
            }
        }
        placed
    };
    let mut done = drain(&mut core, &mut running);
    let before = done;
    let (began, cpu_before_s) = (Instant::now(), cpu_s());
    while done < before + PLACED {
        now += 100;
        let run = running.swap_remove(random.below(running.len() as u64) as usize);
        let event = Event::RunFinished {
            run,
            success: true,
            signalled: false,
            wall_us: 100_000 + random.below(900_000),
        };
        core.handle(Time(now), event);
        submit(&mut core, now, &mut random);
        done = drain(&mut core, &mut running);
    }
    let placed = (done - before) as f64;
    let rate = placed / began.elapsed().as_secs_f64();
    let cpu_rate = placed / (cpu_s() - cpu_before_s);
    println!(
        "{name}: {rate:.0} jobs/s, {cpu_rate:.0} per CPU second ({PODS} pods, {clients} clients, {} running, {} waiting)",
        core.running(),
        core.waiting(),
    );
    assert!(ended >= PLACED - 1);
    rate
}

fn main() {
    let half = measure("half full", 16, (PODS * SLOTS / 2) as usize);
    let over = measure("queueing", 16, (PODS * SLOTS) as usize * 3 / 2);
    println!("placed jobs/s: {:.0}", half.min(over));
}
