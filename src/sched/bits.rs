//! Sets of small numbers as bits.

/// A set of small numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn insert(&mut self, number: usize) {
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    pub(super) fn remove(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    /// The numbers in both sets, in order.
    pub(super) fn both(&self, other: &Self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().zip(&other.0).enumerate();
        let words = words.map(|(index, (one, other))| (index, one & other));
        let words = words.filter(|(_, word)| *word != 0);
        words.flat_map(|(index, word)| ones(word).map(move |bit| index * 64 + bit))
    }

    /// All numbers in the set, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.both(self)
    }
}

/// The numbers of the bits that are set.
pub(super) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn are_sets(
            one in prop::collection::vec((0usize..200, any::<bool>()), 0..100),
            other in prop::collection::vec(0usize..300, 0..50),
        ) {
            let (mut bits, mut plain) = (Bits::default(), BTreeSet::new());
            for (number, put_in) in one {
                if put_in {
                    bits.insert(number);
                    plain.insert(number);
                } else {
                    bits.remove(number);
                    plain.remove(&number);
                }
            }
            prop_assert!(bits.iter().eq(plain.iter().copied()));
            let mut others = Bits::default();
            other.iter().for_each(|number| others.insert(*number));
            let other: BTreeSet<usize> = other.into_iter().collect();
            prop_assert!(bits.both(&others).eq(plain.intersection(&other).copied()));
        }
    }
}
