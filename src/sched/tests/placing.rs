//! Which pods are eligible, and which of them is chosen.

use super::*;

#[test]
fn identity_decides_and_the_name_is_preferred() {
    let mut env = Env::new();
    let mut offered = pod(9);
    offered.tools = vec![
        offer("z3", "gcc", "gcc 12"),
        offer("gcc", "x86_64-linux-gnu-gcc", "gcc 12"),
        offer("gcc", "gcc-13", "gcc 13"),
        offer("gcc", "gcc", "gcc 12"),
    ];
    env.join(1, offered.clone());
    let index = |actions: Vec<Action>| match actions[..] {
        [Action::StartRun { tool_index, .. }] => Some(tool_index),
        _ => None,
    };
    assert_eq!(index(env.submit(1, compile(1))), Some(3));
    let named = |program: &str| Request {
        program: program.to_owned(),
        ..compile(1)
    };
    let unnamed = env.submit(2, named("aarch64-linux-gnu-gcc"));
    assert_eq!(index(unnamed), Some(1), "another name for the same");
    let by_name = |program: &str| Request {
        identity: None,
        ..named(program)
    };
    assert_eq!(index(env.submit(3, by_name("gcc-13"))), Some(2));
    let actions = env.submit(4, by_name("gcc-14"));
    assert!(handed_back(&actions, 4).contains("`x86_64-linux-gnu-gcc`, not `gcc-14`"));
}

#[test]
fn a_pod_that_is_shown_the_headers_needs_none() {
    let mut env = Env::new();
    let mut offered = pod(9);
    offered.tools = vec![offer("gcc", "gcc", "gcc 12 with other headers")];
    env.join(1, offered.clone());
    let request = Request {
        bare: Some(digest("bare gcc 12")),
        ..compile(1)
    };
    let why = env.submit(1, request.clone());
    assert!(handed_back(&why, 1).contains("offers another gcc"));
    for (bare, fits) in [("bare gcc 13", false), ("bare gcc 12", true)] {
        offered.tools[0].bare = Some(digest(bare));
        let (pod, capabilities) = (PodId(1), offered.clone());
        env.tell(Event::PodChanged { pod, capabilities });
        let actions = env.submit(if fits { 3 } else { 2 }, request.clone());
        let is_started = matches!(actions[..], [Action::StartRun { .. }]);
        assert_eq!(is_started, fits, "{bare}");
    }
    // Of a tool that has no headers there is nothing to be shown.
    let bare = None;
    let why = env.submit(4, Request { bare, ..request });
    assert!(handed_back(&why, 4).contains("offers another gcc"));
}

#[test]
fn needs_and_the_view() {
    let mut env = Env::new();
    let mut plain = pod(4);
    plain.overlay = false;
    env.join(1, plain.clone());
    let picky = Request {
        overlay_only: true,
        ..compile(1)
    };
    let why = env.submit(1, picky.clone());
    assert!(handed_back(&why, 1).ends_with("`pod1` has no overlay view"));
    let needing = Request {
        needs: vec!["gcc".to_owned(), "z3".to_owned()],
        ..compile(1)
    };
    let why = env.submit(2, needing.clone());
    assert!(handed_back(&why, 2).ends_with("`pod1` lacks z3, which `gcc` calls"));
    plain.overlay = true;
    plain.tools.push(offer("z3", "z3", "z3 4"));
    let pod = PodId(1);
    let capabilities = plain;
    env.tell(Event::PodChanged { pod, capabilities });
    env.start(3, picky);
    env.start(4, needing);
}

#[test]
fn a_change_of_slots_is_kept_to() {
    let mut env = Env::new();
    env.join(1, pod(2));
    let (first, _) = env.start(1, compile(1));
    let (second, _) = env.start(2, compile(1));
    let change = |slots| Event::PodChanged {
        pod: PodId(1),
        capabilities: pod(slots),
    };
    env.tell(change(1));
    assert!(env.submit(3, compile(1)).is_empty());
    assert_eq!(env.finish(first, 5).len(), 1, "still full");
    assert_eq!(env.finish(second, 5).len(), 2, "the next starts");
    assert!(env.submit(4, compile(1)).is_empty());
    started(&env.tell(change(2)), 4);
    assert!(env.submit(5, compile(1)).is_empty());
    let why = env.tell(change(0));
    assert!(handed_back(&why, 5).ends_with("`pod1` takes no jobs"));
}

#[test]
fn idle_slots_first_then_a_little_ahead() {
    let mut env = Env::new();
    env.join(1, remote(4));
    env.join(2, remote(4));
    env.join(3, pod(1));
    let mut counts = [0; 4];
    for job in 0..9 {
        let (_, on) = env.start(job, compile(1));
        counts[on.0 as usize] += 1;
    }
    assert_eq!(counts, [0, 4, 4, 1], "every slot has a job");
    for job in 9..11 {
        let (_, on) = env.start(job, compile(1));
        counts[on.0 as usize] += 1;
    }
    assert_eq!(counts, [0, 5, 5, 1], "a quarter more, away from the hub");
    assert!(env.submit(11, compile(1)).is_empty());
}

#[test]
fn load_is_spread() {
    let mut env = Env::new();
    env.join(1, pod(2));
    env.join(2, pod(8));
    let ons: Vec<u32> = (0..5).map(|job| env.start(job, compile(1)).1.0).collect();
    assert_eq!(ons, [2, 2, 2, 1, 2], "as full as each other");
}

#[test]
fn of_equals_the_first() {
    let mut env = Env::new();
    for pod_id in [5, 6, 7] {
        env.join(pod_id, pod(1));
    }
    let ons: Vec<u32> = (0..3).map(|job| env.start(job, compile(1)).1.0).collect();
    assert_eq!(ons, [5, 6, 7]);
}

#[test]
fn the_faster_pod_is_learnt() {
    let mut env = Env::new();
    env.join(1, pod(4));
    env.join(2, pod(4));
    for round in 0..40 {
        let jobs = round * 8..round * 8 + 8;
        let runs: Vec<_> = jobs.map(|job| env.start(job, compile(1))).collect();
        env.pass(SECOND);
        for (run, on) in runs {
            let wall_us = if on == PodId(1) { SECOND } else { SECOND / 3 };
            env.finish(run, wall_us);
        }
    }
    let (_, on) = env.start(1000, compile(1));
    assert_eq!(on, PodId(2), "though the first by number is as free");
    for job in 1001..1004 {
        assert_eq!(env.start(job, compile(1)).1, PodId(2));
    }
    assert_eq!(
        env.start(1004, compile(1)).1,
        PodId(1),
        "a free slot at last"
    );
}

#[test]
fn explains_for_the_curious() {
    let mut env = Env::new();
    env.join(1, pod(1));
    for pod_id in 2..20 {
        env.join(pod_id, Capabilities { slots: 0, ..pod(1) });
    }
    let eligibility = env.core.eligibility(&compile(1));
    assert_eq!((eligibility.eligible, eligibility.known), (1, 19));
    assert!(
        eligibility
            .text
            .ends_with("`pod9` takes no jobs, and 10 more")
    );
}

#[test]
fn kinds_of_jobs_are_forgotten() {
    let limits = Limits {
        idle_classes: 3,
        ..Limits::default()
    };
    let mut env = Env::with(limits);
    env.join(1, pod(1));
    for job in 0..20 {
        let program = format!("gcc-{job}");
        let request = Request {
            program,
            ..compile(1)
        };
        // The check after each step holds their number against the limit.
        let (run, _) = env.start(job, request);
        env.finish(run, 5);
    }
    assert_eq!(env.core.totals().finished, 20);
}

#[test]
fn counts_for_the_operator() {
    let mut env = Env::new();
    env.join(1, pod(2));
    let (run, _) = env.start(1, compile(1));
    env.start(2, compile(1));
    assert!(env.submit(3, compile(1)).is_empty());
    env.pass(SECOND);
    env.finish(run, SECOND / 2);
    let view = env.core.pods().next().unwrap();
    let figures = (view.running, view.finished, view.busy_us);
    assert_eq!(figures, (2, 1, SECOND / 2));
    assert_eq!((env.core.waiting(), env.core.running()), (0, 2));
    let totals = env.core.totals();
    assert_eq!(
        (totals.submitted, totals.started, totals.finished),
        (3, 3, 1)
    );
}

#[test]
fn a_pod_that_never_came_is_counted_and_explained() {
    let mut env = Env::new();
    let miss = |env: &mut Env, why: &str| {
        let (name, why) = ("pod1".to_owned(), why.to_owned());
        assert_eq!(env.tell(Event::PodMissed { name, why }), []);
    };
    miss(&mut env, "not yet connected");
    miss(&mut env, "no such host");
    let expected = "0 of 1 pods eligible for `gcc`: `pod1` is not connected (no such host)";
    assert_eq!(handed_back(&env.submit(1, compile(1)), 1), expected);
    // It counts once when it comes, and at full strength: it did nothing wrong.
    env.join(1, pod(2));
    started(&env.submit(2, compile(1)), 2);
    started(&env.submit(3, compile(1)), 3);
    miss(&mut env, "of an older connection");
    assert_eq!(env.core.pods().count(), 1);
}

#[test]
fn what_was_never_for_a_pod_does_not_count_against_it() {
    let mut env = Env::new();
    env.join(1, pod(1));
    for job in 0..100 {
        let (run, _) = env.start(job, compile(1));
        let why = "an input is too large".to_owned();
        let actions = env.tell(Event::RunUnfit { run, why });
        let why = handed_back(&actions, job);
        assert!(why.ends_with("an input is too large"), "{why}");
    }
    let well = env.core.pods().next().unwrap();
    assert!(matches!(well.state, PodState::Up), "{:?}", well.state);
}

#[test]
fn jobs_wait_for_a_pod_that_may_join_at_any_moment() {
    let mut env = Env::new();
    let awaited = |env: &mut Env, name: &str| {
        let (name, why) = (name.to_owned(), "not yet connected".to_owned());
        assert_eq!(env.tell(Event::PodAwaited { name, why }), []);
    };
    awaited(&mut env, "pod1");
    awaited(&mut env, "pod2");
    assert_eq!(env.submit(1, compile(1)), [], "waits");
    // One that has no such tool is not what it waited for; one that is missed neither.
    let none = Capabilities {
        tools: vec![],
        ..pod(2)
    };
    assert_eq!(env.join(1, none), []);
    assert_eq!(env.ready(1), []);
    assert_eq!(started(&env.join(2, pod(1)), 1).1, PodId(2));
    env.ready(2);
    assert_eq!(env.submit(2, compile(1)), [], "waits for a slot");
    // All that is left is gone, and nobody is awaited.
    let lost = env.lose(2);
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(
        lost.iter()
            .all(|it| matches!(it, Action::RunLocally { .. }))
    );
}

#[test]
fn who_waits_for_pods_that_do_not_come_waits_for_a_little_only() {
    let mut env = Env::new();
    let say = |env: &mut Env, event: fn(String, String) -> Event| {
        env.tell(event("pod1".to_owned(), "no route to host".to_owned()))
    };
    let awaited = |name, why| Event::PodAwaited { name, why };
    let missed = |name, why| Event::PodMissed { name, why };
    say(&mut env, awaited);
    assert_eq!(env.submit(1, compile(1)), []);
    let expected = "0 of 1 pods eligible for `gcc`: `pod1` is not connected (no route to host)";
    assert_eq!(handed_back(&say(&mut env, missed), 1), expected);
    say(&mut env, awaited);
    assert_eq!(env.submit(2, compile(1)), []);
    assert_eq!(env.pass(29 * SECOND), []);
    // To say it again buys no time.
    say(&mut env, awaited);
    assert_eq!(
        handed_back(&env.pass(SECOND), 2),
        format!("{expected}; waited 30 s")
    );
    assert_eq!(handed_back(&env.submit(3, compile(1)), 3), expected);
    // Who cannot run here has all the patience that there is.
    say(&mut env, awaited);
    assert_eq!(env.submit(4, hubless(1)), []);
    assert_eq!(env.pass(29 * SECOND), []);
    refused(&env.pass(SECOND), 4);
}

#[test]
fn a_pod_that_was_cut_off_keeps_its_jobs_if_it_is_soon_back() {
    let mut env = Env::new();
    env.join(1, pod(1));
    env.start(1, compile(1));
    assert_eq!(env.submit(2, compile(1)), []);
    let (name, why) = ("pod1".to_owned(), "connection lost".to_owned());
    assert_eq!(env.tell(Event::PodAwaited { name, why }), []);
    assert_eq!(env.lose(1), [], "both wait");
    // It rests at first, for what it did.
    assert_eq!(env.join(1, pod(1)), []);
    assert_eq!(env.ready(1), []);
    let (_, on) = started(&env.pass(2 * SECOND), 1);
    assert_eq!(on, PodId(1));
}

#[test]
fn a_pod_that_has_no_room_for_a_moment_keeps_its_jobs() {
    let mut env = Env::new();
    env.join(1, pod(1));
    let (run, _) = env.start(1, compile(1));
    assert_eq!(env.submit(2, compile(1)), []);
    let (name, why) = ("pod1".to_owned(), "ending".to_owned());
    assert_eq!(env.tell(Event::PodAwaited { name, why }), []);
    let change = |slots| Event::PodChanged {
        pod: PodId(1),
        capabilities: pod(slots),
    };
    assert_eq!(env.tell(change(0)), []);
    env.finish(run, 10);
    assert_eq!(env.ready(1), [], "has no room yet");
    let (run, _) = started(&env.tell(change(1)), 2);
    env.ready(1);
    env.finish(run, 10);
    // Nobody is awaited any more.
    env.tell(change(0));
    handed_back(&env.submit(3, compile(1)), 3);
}

#[test]
fn what_a_pod_cannot_do_yet_waits_until_it_is_ready() {
    let mut env = Env::new();
    let (name, why) = ("pod1".to_owned(), "not yet connected".to_owned());
    assert_eq!(env.tell(Event::PodAwaited { name, why }), []);
    assert_eq!(env.submit(1, compile(1)), []);
    assert_eq!(env.submit(2, compile(1)), []);
    let none = Capabilities {
        tools: vec![],
        ..pod(1)
    };
    assert_eq!(env.join(1, none), []);
    let capabilities = pod(1);
    let pod = PodId(1);
    let able = env.tell(Event::PodChanged { pod, capabilities });
    started(&able, 1);
    assert_eq!(env.ready(1), [], "waits for the slot");
}
