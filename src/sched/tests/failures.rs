//! The failures that a user may see, line by line.

use super::*;

#[test]
fn a_tool_that_fails_is_relayed() {
    let mut env = Env::new();
    env.join(1, pod(1));
    let (run, _) = env.start(1, compile(1));
    let actions = env.tell(Event::RunFinished {
        run,
        success: false,
        signalled: false,
        wall_us: 10,
    });
    let job = JobId(1);
    assert_eq!(actions, [Action::FinishJob { job, run }]);
    let up = env.core.pods().next().unwrap().state;
    assert_eq!(up, PodState::Up, "the pod is not to blame");
}

#[test]
fn a_signal_is_tried_once_more_on_the_hub() {
    let mut env = Env::new();
    env.join(1, pod(2));
    let signal = |run| Event::RunFinished {
        run,
        success: false,
        signalled: true,
        wall_us: 10,
    };
    let (run, _) = env.start(1, compile(1));
    let actions = env.tell(signal(run));
    assert_eq!(handed_back(&actions, 1), "died by a signal on the pod");
    let (run, _) = env.start(2, hubless(1));
    let job = JobId(2);
    let actions = env.tell(signal(run));
    assert_eq!(actions, [Action::FinishJob { job, run }]);
}

#[test]
fn a_lost_pods_jobs_move() {
    let mut env = Env::new();
    env.join(1, pod(1));
    env.start(1, compile(1));
    env.join(2, pod(1));
    let moved = env.lose(1);
    assert_eq!(started(&moved, 1).1, PodId(2));
    let lost = env.core.pods().last().unwrap();
    assert_eq!(
        (lost.state, lost.why),
        (PodState::Lost, "connection closed")
    );
}

#[test]
fn at_most_three_tries_then_locally() {
    let mut env = Env::new();
    for pod_id in 1..=4 {
        env.join(pod_id, pod(1));
    }
    env.start(1, compile(1));
    assert_eq!(started(&env.lose(1), 1).1, PodId(2));
    assert_eq!(started(&env.lose(2), 1).1, PodId(3));
    let why = "tried 3 times; pod `pod3` was lost: connection closed";
    assert_eq!(
        handed_back(&env.lose(3), 1),
        why,
        "though a fourth pod is free"
    );
}

#[test]
fn tries_without_the_hubs_tool_end_in_a_refusal() {
    let mut env = Env::new();
    for pod_id in 1..=3 {
        env.join(pod_id, pod(1));
    }
    env.start(1, hubless(1));
    started(&env.lose(1), 1);
    started(&env.lose(2), 1);
    let ends = env.lose(3);
    assert!(refused(&ends, 1).starts_with("tried 3 times; pod `pod3`"));
}

#[test]
fn a_restarted_hub_counts_earlier_tries() {
    let mut env = Env::new();
    env.join(1, pod(1));
    env.join(2, pod(1));
    let request = Request {
        tries: 2,
        ..compile(1)
    };
    env.start(1, request.clone());
    assert!(handed_back(&env.lose(1), 1).starts_with("tried 3 times"));
    let request = Request {
        tries: 3,
        ..request
    };
    assert_eq!(handed_back(&env.submit(2, request), 2), "tried 3 times");
}

#[test]
fn a_faulty_pod_rests_and_the_job_moves() {
    let mut env = Env::new();
    env.join(1, pod(2));
    let (run, _) = env.start(1, compile(1));
    env.join(2, pod(2));
    assert_eq!(started(&env.fault(run), 1).1, PodId(2));
    let view = env.core.pods().next().unwrap();
    let until = env.now.after_us(SECOND);
    assert_eq!(view.state, PodState::Resting { until });
    assert_eq!(view.why, "no space left on device");
    assert_eq!(env.start(2, compile(1)).1, PodId(2), "not the resting one");
    assert!(env.submit(3, compile(1)).is_empty(), "it waits");
    // One on trial, the rest once it succeeds.
    let (run, on) = started(&env.pass(SECOND), 3);
    assert_eq!(
        (on, env.core.pods().next().unwrap().state),
        (PodId(1), PodState::OnTrial)
    );
    assert!(env.submit(4, compile(1)).is_empty());
    let actions = env.finish(run, 10);
    assert!(matches!(
        actions[..],
        [Action::FinishJob { .. }, Action::StartRun { .. }]
    ));
    assert_eq!(env.start(5, compile(1)).1, PodId(1));
}

#[test]
fn all_pods_rest() {
    let mut env = Env::new();
    env.join(1, pod(1));
    let (run, _) = env.start(1, compile(1));
    assert!(env.submit(2, compile(1)).is_empty());
    assert!(env.submit(3, hubless(1)).is_empty());
    let actions = env.fault(run);
    let mut local: Vec<(u64, &str)> = Vec::new();
    for action in &actions {
        match action {
            Action::RunLocally { job, why } => local.push((job.0, why)),
            other => panic!("unexpected {other:?}"),
        }
    }
    let rests = "1 of 1 pods eligible for `gcc`: `pod1` rests (no space left on device)";
    let moved = format!("{rests}; pod `pod1` failed: no space left on device");
    assert_eq!(local, [(2, rests), (1, &moved)]);
    assert_eq!(handed_back(&env.submit(4, compile(1)), 4), rests);
    let actions = env.pass(SECOND);
    started(&actions, 3);
}

#[test]
fn a_pod_that_comes_back_is_remembered() {
    let mut env = Env::new();
    env.join(1, pod(4));
    for rest_s in [1, 2, 4] {
        env.lose(1);
        env.join(1, pod(4));
        let until = env.now.after_us(rest_s * SECOND);
        assert_eq!(
            env.core.pods().next().unwrap().state,
            PodState::Resting { until }
        );
        env.pass(rest_s * SECOND);
        assert_eq!(env.core.pods().next().unwrap().state, PodState::OnTrial);
    }
    assert_eq!(env.core.pods().count(), 1, "not listed as lost as well");
}

#[test]
fn a_declined_job_goes_elsewhere_and_the_pod_is_well() {
    let mut env = Env::new();
    env.join(1, pod(8));
    env.join(2, pod(1));
    let (run, on) = env.start(1, compile(1));
    assert_eq!(on, PodId(1));
    assert_eq!(started(&env.decline(run), 1).1, PodId(2));
    assert_eq!(env.start(2, compile(1)).1, PodId(1));
    // Another declined job waits for the other pod, while the first has room.
    let (run, on) = env.start(3, compile(1));
    assert_eq!(on, PodId(1));
    assert!(env.decline(run).is_empty());
    // When the other is lost there is nowhere to go.
    let local: Vec<u64> = env
        .lose(2)
        .iter()
        .map(|action| match action {
            Action::RunLocally { job, .. } => job.0,
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(local, [3, 1], "the waiting one, and the one that was there");
    let well = env.core.pods().next().unwrap();
    assert_eq!((well.state, well.running), (PodState::Up, 1));
}

#[test]
fn declined_by_all() {
    let mut env = Env::new();
    env.join(1, pod(1));
    env.join(2, pod(1));
    let (run, _) = env.start(1, compile(1));
    let (run, _) = started(&env.decline(run), 1);
    let actions = env.decline(run);
    let why = handed_back(&actions, 1);
    assert!(
        why.ends_with("pod `pod2` declined: no such locale"),
        "{why}"
    );
    let (run, _) = env.start(2, hubless(1));
    let (run, _) = started(&env.decline(run), 2);
    assert!(env.decline(run).is_empty(), "waits for another pod");
    env.join(3, pod(1));
    assert_eq!(env.core.run_of(JobId(2)).unwrap().1, PodId(3));
}

#[test]
fn a_pod_that_declines_everything_rests() {
    let mut env = Env::new();
    env.join(1, pod(1));
    env.join(2, pod(0));
    for job in 0..16 {
        let (run, _) = env.start(job, compile(1));
        handed_back(&env.decline(run), job);
    }
    let view = env.core.pods().next().unwrap();
    assert!(matches!(view.state, PodState::Resting { .. }));
    assert!(
        view.why.starts_with("declined 16 jobs in a row"),
        "{}",
        view.why
    );
}

#[test]
fn the_hub_lacks_the_tool_and_no_pod_offers_it() {
    let mut env = Env::new();
    let mut arm = pod(1);
    arm.machine = "aarch64".to_owned();
    arm.tools[0].tool = "z3".to_owned();
    env.join(1, arm);
    env.join(2, Capabilities { slots: 0, ..pod(1) });
    env.join(3, pod(1));
    env.lose(3);
    assert!(env.submit(1, hubless(1)).is_empty());
    assert!(env.pass(30 * SECOND - 1).is_empty(), "it waits");
    let actions = env.pass(1);
    let expected = "0 of 3 pods eligible for `gcc`: `pod1` (aarch64) offers no gcc (only z3), `pod2` takes \
                    no jobs, `pod3` is not connected (connection closed); waited 30 s";
    assert_eq!(refused(&actions, 1), expected);
}

#[test]
fn a_pod_comes_in_time() {
    let mut env = Env::new();
    assert!(env.submit(1, hubless(1)).is_empty());
    env.pass(29 * SECOND);
    assert_eq!(started(&env.join(1, pod(1)), 1).1, PodId(1));
    assert_eq!(env.core.poll_timeout(), None);
}

#[test]
fn no_pod_is_eligible_and_the_hub_has_the_tool() {
    let mut env = Env::new();
    let why = "0 of 0 pods eligible for `gcc`";
    assert_eq!(handed_back(&env.submit(1, compile(1)), 1), why);
    let mut other = pod(1);
    other.tools[0].identity = digest("gcc 13");
    env.join(1, other);
    let actions = env.submit(2, compile(1));
    let (theirs, ours) = (digest("gcc 13"), digest("gcc 12"));
    let expected = format!(
        "0 of 1 pods eligible for `gcc`: `pod1` offers another gcc ({theirs:?}, not {ours:?})"
    );
    assert_eq!(handed_back(&actions, 2), expected);
}

#[test]
fn an_abandoned_job_is_dropped_or_killed() {
    let mut env = Env::new();
    env.join(1, pod(1));
    let (run, on) = env.start(1, compile(1));
    assert!(env.submit(2, compile(1)).is_empty());
    let abandoned = |job| Event::JobAbandoned { job: JobId(job) };
    assert!(env.tell(abandoned(2)).is_empty(), "it was waiting");
    let cancel = Action::CancelRun { run, pod: on };
    assert_eq!(env.tell(abandoned(1)), [cancel]);
    assert!(
        env.submit(3, compile(1)).is_empty(),
        "the slot is not free yet"
    );
    started(&env.tell(Event::RunCancelled { run }), 3);
}

#[test]
fn a_cancelled_run_that_ends_by_itself_frees_its_slot() {
    let mut env = Env::new();
    env.join(1, pod(1));
    for job in [1, 3, 5] {
        let (run, _) = env.start(job, compile(1));
        env.tell(Event::JobAbandoned { job: JobId(job) });
        assert!(env.submit(job + 1, compile(1)).is_empty());
        let actions = match job {
            1 => env.finish(run, 5),
            3 => env.decline(run),
            _ => {
                env.lose(1);
                env.pass(SECOND);
                continue;
            }
        };
        let (run, _) = started(&actions, job + 1);
        env.finish(run, 5);
    }
    assert_eq!((env.core.running(), env.core.waiting()), (0, 0));
}

#[test]
fn the_hub_is_busy() {
    let mut env = Env::with(Limits {
        waiting: 3,
        waiting_per_client: 2,
        ..Limits::default()
    });
    env.join(1, pod(1));
    env.start(1, compile(1));
    assert!(env.submit(2, compile(1)).is_empty());
    assert!(env.submit(3, hubless(1)).is_empty());
    assert_eq!(
        handed_back(&env.submit(4, compile(1)), 4),
        "hub busy: 2 jobs wait"
    );
    assert!(
        env.submit(5, compile(2)).is_empty(),
        "another build's share"
    );
    assert_eq!(
        refused(&env.submit(6, hubless(3)), 6),
        "hub busy: 3 jobs wait"
    );
}

#[test]
fn duplicate_late_and_unknown_messages_change_nothing() {
    let mut env = Env::new();
    env.join(1, pod(2));
    let (run, _) = env.start(1, compile(1));
    env.finish(run, 5);
    let (lost, _) = env.start(2, compile(1));
    env.lose(1);
    let why = || "late".to_owned();
    for event in [
        Event::RunFinished {
            run,
            success: true,
            signalled: false,
            wall_us: 5,
        },
        Event::RunFaulted {
            run: lost,
            why: why(),
        },
        Event::RunDeclined {
            run: lost,
            why: why(),
        },
        Event::RunCancelled { run: RunId(99) },
        Event::JobAbandoned { job: JobId(1) },
        Event::PodLost {
            pod: PodId(1),
            why: why(),
        },
        Event::PodChanged {
            pod: PodId(1),
            capabilities: pod(5),
        },
    ] {
        assert_eq!(env.tell(event), []);
    }
    assert_eq!(env.core.totals().strays, 7);
}

#[test]
fn a_pod_that_joins_twice_was_lost_between() {
    let mut env = Env::new();
    env.join(1, pod(1));
    let (run, _) = env.start(1, hubless(1));
    assert!(env.join(1, pod(1)).is_empty(), "it rests, the job waits");
    assert!(env.finish(run, 5).is_empty(), "of the life before");
    started(&env.pass(SECOND), 1);
}
