//! Builds share the farm by slot time, and none starves.

use super::*;
use crate::sched::sim::Random;
use std::collections::BTreeMap;

/// Two builds with more to do than there are slots, each with its jobs' length and its weight;
/// the slot time that each was given.
fn shares(slots: u32, builds: [(u64, u32); 2]) -> [u64; 2] {
    let mut env = Env::new();
    env.join(1, pod(slots));
    let mut next_job = 0;
    let mut submit = |env: &mut Env, client: usize| {
        let job = JobId(next_job * 2 + client as u64);
        next_job += 1;
        let weight = builds[client].1;
        let request = Request {
            weight,
            ..compile(client as u64)
        };
        env.tell(Event::JobSubmitted { job, request })
    };
    let mut random = Random::new(5);
    let mut ends: BTreeMap<(Time, RunId), (usize, u64)> = BTreeMap::new();
    let mut used = [0, 0];
    let mut actions = Vec::new();
    for _ in 0..3 * slots {
        actions.extend(submit(&mut env, 0));
        actions.extend(submit(&mut env, 1));
    }
    while env.now < Time(800 * SECOND) {
        for action in std::mem::take(&mut actions) {
            if let Action::StartRun { run, job, .. } = action {
                let client = (job.0 % 2) as usize;
                let wall_us = random.about(builds[client].0);
                ends.insert((env.now.after_us(wall_us), run), (client, wall_us));
            }
        }
        let ((end, run), (client, wall_us)) = ends.pop_first().unwrap();
        env.now = end;
        used[client] += wall_us;
        actions.extend(env.finish(run, wall_us));
        actions.extend(submit(&mut env, client));
    }
    used
}

fn ratio(used: [u64; 2]) -> f64 {
    used[0] as f64 / used[1] as f64
}

#[test]
fn equals_share_by_time_not_by_jobs() {
    for lengths in [
        (SECOND, SECOND),
        (SECOND, 10 * SECOND),
        (8 * SECOND, SECOND),
    ] {
        let ratio = ratio(shares(6, [(lengths.0, 1), (lengths.1, 1)]));
        assert!((0.95..1.05).contains(&ratio), "{lengths:?}: {ratio}");
    }
}

#[test]
fn weights_count() {
    let ratio = ratio(shares(8, [(2 * SECOND, 3), (SECOND, 1)]));
    assert!((2.85..3.15).contains(&ratio), "{ratio}");
}

#[test]
fn a_small_build_is_not_behind_a_large_one() {
    let mut env = Env::new();
    env.join(1, pod(2));
    let (run, _) = env.start(0, compile(1));
    let (other, _) = env.start(1, compile(1));
    for job in 2..300 {
        assert!(env.submit(job, compile(1)).is_empty());
    }
    assert!(env.submit(5000, compile(2)).is_empty());
    env.pass(SECOND);
    let starts: Vec<u64> = [run, other]
        .into_iter()
        .flat_map(|run| env.finish(run, SECOND))
        .filter_map(|action| match action {
            Action::StartRun { job, .. } => Some(job.0),
            _ => None,
        })
        .collect();
    assert_eq!(
        starts,
        [5000, 2],
        "it comes next, before 298 that came earlier"
    );
}

#[test]
fn idling_saves_nothing_up() {
    let mut env = Env::new();
    env.join(1, pod(1));
    // The second build was there at the start, and then did nothing while the first worked.
    let (run, _) = env.start(0, compile(2));
    env.finish(run, 1);
    let mut job = 1;
    for _ in 0..50 {
        let (run, _) = env.start(job, compile(1));
        job += 1;
        env.pass(SECOND);
        env.finish(run, SECOND);
    }
    let (mut run, _) = env.start(job, compile(1));
    for _ in 0..10 {
        job += 1;
        env.submit(1000 + job, compile(1));
        env.submit(2000 + job, compile(2));
    }
    let mut order = Vec::new();
    for _ in 0..10 {
        env.pass(SECOND);
        for action in env.finish(run, SECOND) {
            if let Action::StartRun { run: next, job, .. } = action {
                run = next;
                order.push(job.0 / 1000);
            }
        }
    }
    let second = order.iter().filter(|build| **build == 2).count();
    assert!((4..=6).contains(&second), "{order:?}");
}

#[test]
fn a_builds_own_order_is_kept() {
    let mut env = Env::new();
    env.join(1, pod(1));
    let (mut run, _) = env.start(0, compile(1));
    for job in 1..6 {
        assert!(env.submit(job, compile(1)).is_empty());
    }
    for job in 1..6 {
        let actions = env.finish(run, 5);
        run = started(&actions[1..], job).0;
    }
}

#[test]
fn a_job_given_back_keeps_its_place() {
    let mut env = Env::new();
    env.join(1, pod(1));
    env.start(0, hubless(1));
    for job in 1..4 {
        assert!(env.submit(job, hubless(1)).is_empty());
    }
    assert!(env.lose(1).is_empty());
    started(&env.join(2, pod(1)), 0);
}
