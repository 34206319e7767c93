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
    for seed in 0..40 {
        let report = run(Scenario::small(seed));
        assert_eq!(report.ends, 400);
    }
}

#[test]
fn large_farm() {
    let report = run(Scenario::large(7));
    assert_eq!(report.ends, 100_000);
}
