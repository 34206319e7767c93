//! The farm, run. A failing test's output names the seed.

use super::{Farm, Report, Scenario};

fn run(scenario: Scenario) -> Report {
    println!("seed {}", scenario.seed);
    let report = Farm::new(scenario).run();
    println!("{report:?}");
    report
}

#[test]
fn small_farms_in_constant_trouble() {
    for seed in 0..16 {
        let report = run(Scenario::small(seed));
        assert_eq!(report.ends, 400);
    }
}

#[test]
fn a_thousand_hosts_and_a_hundred_thousand_jobs() {
    let report = run(Scenario::large(7));
    assert_eq!(report.ends, 100_000);
    let totals = report.totals;
    // The trouble that the farm is there for did happen.
    for count in [
        totals.faults,
        totals.given_back,
        totals.abandoned,
        totals.locally,
        totals.refused,
        totals.strays,
        totals.taken_back,
    ] {
        assert!(count > 500, "{totals:?}");
    }
}

#[test]
fn equal_seeds_give_equal_traces() {
    let middle = |seed| Scenario {
        jobs: 8_000,
        check_every: u64::MAX,
        ..Scenario::large(seed)
    };
    let first = run(middle(1));
    assert_eq!(first, run(middle(1)));
    assert_ne!(first.trace, run(middle(2)).trace);
}

#[test]
fn without_trouble_every_job_runs_once() {
    let calm = Scenario {
        crash_us: 0,
        faults_permille: 0,
        declines_permille: 0,
        abandons_permille: 0,
        signals_permille: 0,
        doubles_permille: 0,
        hubless_permille: 0,
        hosts: 20,
        jobs: 2_000,
        check_every: 20,
        ..Scenario::small(3)
    };
    let totals = run(calm).totals;
    assert_eq!(totals.finished + totals.locally, 2_000);
    assert_eq!(totals.started, totals.finished + totals.taken_back);
    assert_eq!(
        (totals.strays, totals.given_back, totals.refused),
        (0, 0, 0)
    );
}

#[test]
#[ignore = "long; for scripts/soak"]
fn soak() {
    for seed in 0..2_000 {
        run(Scenario::small(seed));
    }
    for seed in 0..20 {
        assert_eq!(run(Scenario::large(seed)), run(Scenario::large(seed)));
    }
}
