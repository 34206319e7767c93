//! How long a pod that failed rests: exponential back-off that decays, never for good.
//!
//! Knows nothing of what a fault is.

use super::types::{Limits, Time};

/// A pod's record of faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Penalty {
    /// The length of the last rest, halved since; 0 is a clean record.
    rest_us: u64,
    /// When the last rest ends.
    until: Time,
    /// Rested, and has not succeeded since.
    on_trial: bool,
}

impl Penalty {
    /// A fault at `now`. Faults that come while the pod rests belong to the same trouble.
    pub(super) fn fault(&mut self, now: Time, limits: &Limits) {
        if self.is_resting(now) {
            return;
        }
        let halvings = now.since_us(self.until) / limits.rest_half_life_us.max(1);
        let decayed = self.rest_us >> halvings.min(63);
        self.rest_us = decayed
            .saturating_mul(2)
            .max(limits.rest_first_us)
            .min(limits.rest_longest_us);
        self.until = now.after_us(self.rest_us);
        self.on_trial = true;
    }

    /// A run succeeded.
    pub(super) fn succeed(&mut self, limits: &Limits) {
        self.on_trial = false;
        self.rest_us /= 2;
        if self.rest_us < limits.rest_first_us {
            self.rest_us = 0;
        }
    }

    /// Whether it takes no jobs.
    pub(super) fn is_resting(&self, now: Time) -> bool {
        now < self.until
    }

    /// Whether it gets only one job at a time, until one succeeds: what took a whole load of jobs
    /// down with it once shall not do so after every rest.
    pub(super) fn is_on_trial(&self) -> bool {
        self.on_trial
    }

    /// When it takes jobs again.
    pub(super) fn until(&self) -> Time {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn rest_s(penalty: &mut Penalty, now: Time) -> u64 {
        penalty.fault(now, &Limits::default());
        penalty.until().since_us(now) / SECOND
    }

    #[test]
    fn doubles_up_to_the_cap() {
        let mut penalty = Penalty::default();
        let mut now = Time(5 * SECOND);
        let mut rests = Vec::new();
        for _ in 0..12 {
            rests.push(rest_s(&mut penalty, now));
            now = penalty.until();
            assert!(!penalty.is_resting(now), "a rest ends");
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn success_halves() {
        let mut penalty = Penalty::default();
        let mut now = Time(0);
        for _ in 0..4 {
            rest_s(&mut penalty, now);
            now = penalty.until();
        }
        assert!(penalty.is_on_trial());
        penalty.succeed(&Limits::default());
        assert!(!penalty.is_on_trial());
        assert_eq!(rest_s(&mut penalty, now), 8, "8 halved, then doubled");
        for _ in 0..4 {
            penalty.succeed(&Limits::default());
        }
        now = penalty.until();
        assert_eq!(rest_s(&mut penalty, now), 1, "clean again");
    }

    #[test]
    fn time_halves() {
        let mut penalty = Penalty::default();
        let mut now = Time(0);
        for _ in 0..6 {
            rest_s(&mut penalty, now);
            now = penalty.until();
        }
        let later = now.after_us(3 * Limits::default().rest_half_life_us);
        assert_eq!(rest_s(&mut penalty, later), 8, "32 >> 3, then doubled");
    }

    #[test]
    fn one_trouble_counts_once() {
        let mut penalty = Penalty::default();
        assert_eq!(rest_s(&mut penalty, Time(0)), 1);
        penalty.fault(Time(10), &Limits::default());
        assert_eq!(penalty.until(), Time(SECOND));
    }
}
