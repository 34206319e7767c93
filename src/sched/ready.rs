//! Which pods are ready for a kind of job, best first, at constant cost for a change.
//!
//! Every start and every end of a run moves its pod in each kind of job that the pod may run, so
//! this is what the core does most. Scores are put into 64 steps, eight to a doubling; each step
//! holds a set of bits, one for each pod's seat. Of pods in one step the lowest seat comes first.

use super::bits::ones;

/// Steps of scores.
const STEPS: usize = 64;
/// The binary logarithm of the lowest score that is told apart.
const LOWEST: u32 = 8;
/// The binary logarithm of the steps in a doubling.
const FINE: u32 = 3;

/// A pod's place in sets of bits: small numbers, used again when a pod is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat(pub(super) usize);

/// A score's step; lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step(u8);

/// The ready pods of one kind of job.
#[derive(Clone, Debug, Default)]
pub(super) struct Ready {
    /// Words in a step's set.
    words: usize,
    /// One bit for each step that is not empty.
    occupied: u64,
    counts: Vec<u32>,
    bits: Vec<u64>,
}

impl Step {
    /// Of a score in 1/1024.
    pub(super) fn of(score: u64) -> Self {
        let score = score.max(1 << LOWEST);
        let octave = score.ilog2();
        let mantissa = (score >> (octave - FINE)) & ((1 << FINE) - 1);
        let step = u64::from(octave - LOWEST) << FINE | mantissa;
        Self(u8::try_from(step.min(STEPS as u64 - 1)).unwrap_or(u8::MAX))
    }
}

impl Ready {
    /// Puts a pod in that is not there yet.
    pub(super) fn insert(&mut self, step: Step, seat: Seat) {
        let step = usize::from(step.0);
        self.grow(seat.0 / 64 + 1);
        self.bits[step * self.words + seat.0 / 64] |= 1 << (seat.0 % 64);
        self.counts[step] += 1;
        self.occupied |= 1 << step;
    }

    /// Takes a pod out that was put in with this step.
    pub(super) fn remove(&mut self, step: Step, seat: Seat) {
        let step = usize::from(step.0);
        self.bits[step * self.words + seat.0 / 64] &= !(1 << (seat.0 % 64));
        self.counts[step] -= 1;
        if self.counts[step] == 0 {
            self.occupied &= !(1 << step);
        }
    }

    /// All of them, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Seat> {
        ones(self.occupied).flat_map(|step| {
            let words = self.bits[step * self.words..][..self.words].iter();
            let full = words.enumerate().filter(|(_, word)| **word != 0);
            full.flat_map(|(index, word)| ones(*word).map(move |bit| Seat(index * 64 + bit)))
        })
    }

    /// Makes room for seats.
    fn grow(&mut self, words: usize) {
        if words <= self.words {
            return;
        }
        let words = words.next_power_of_two();
        let mut bits = vec![0; words * STEPS];
        if self.words > 0 {
            for (step, old) in self.bits.chunks(self.words).enumerate() {
                bits[step * words..][..self.words].copy_from_slice(old);
            }
        }
        self.bits = bits;
        self.words = words;
        self.counts.resize(STEPS, 0);
    }

    /// Whether exactly these are ready; for checks.
    pub(super) fn holds(&self, all: impl Iterator<Item = (Step, Seat)>) -> bool {
        let mut expected = Self::default();
        all.for_each(|(step, seat)| expected.insert(step, seat));
        expected.grow(self.words);
        expected.bits.len() == self.bits.len()
            && expected.bits == self.bits
            && expected.counts == self.counts
            && expected.occupied == self.occupied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn steps_are_in_order_and_an_eighth_apart() {
        let steps: Vec<Step> = (0..100_000).map(Step::of).collect();
        assert!(steps.is_sorted());
        assert_eq!(steps[0], Step(0));
        assert_eq!(steps[99_999], Step(63));
        assert_eq!(Step::of(1024), Step(16));
        assert_eq!(Step::of(1151), Step(16));
        assert_eq!(Step::of(1152), Step(17));
        assert_eq!(Step::of(2048), Step(24));
    }

    proptest! {
        #[test]
        fn is_an_ordered_set(changes in prop::collection::vec((0u64..20_000, 0usize..300), 0..200)) {
            let mut ready = Ready::default();
            let mut plain: BTreeSet<(Step, Seat)> = BTreeSet::new();
            for (score, seat) in changes {
                let entry = (Step::of(score), Seat(seat));
                if plain.remove(&entry) {
                    ready.remove(entry.0, entry.1);
                } else {
                    plain.insert(entry);
                    ready.insert(entry.0, entry.1);
                }
                prop_assert!(ready.iter().eq(plain.iter().map(|it| it.1)));
                prop_assert!(ready.holds(plain.iter().copied()));
            }
        }
    }
}
