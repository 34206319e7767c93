//! Finds what waits for itself.

use std::collections::BTreeSet;

/// A circle, from one that waits to the one it waits for.
pub(super) fn circle(needs: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    fn visit(
        at: usize,
        needs: &[BTreeSet<usize>],
        path: &mut Vec<usize>,
        done: &mut [bool],
    ) -> bool {
        if let Some(begin) = path.iter().position(|it| *it == at) {
            path.drain(..begin);
            return true;
        }
        if done[at] {
            return false;
        }
        path.push(at);
        if needs[at].iter().any(|next| visit(*next, needs, path, done)) {
            return true;
        }
        path.pop();
        done[at] = true;
        false
    }
    let mut done = vec![false; needs.len()];
    let mut path = Vec::new();
    (0..needs.len())
        .any(|at| visit(at, needs, &mut path, &mut done))
        .then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_circle_and_not_what_leads_to_it() {
        let of = |all: &[&[usize]]| {
            let all: Vec<_> = all.iter().map(|it| it.iter().copied().collect()).collect();
            circle(&all)
        };
        assert_eq!(of(&[&[1, 2], &[2], &[]]), None);
        assert_eq!(of(&[&[1], &[2], &[3], &[2]]), Some(vec![2, 3]));
        assert_eq!(of(&[&[0]]), Some(vec![0]));
        assert_eq!(of(&[]), None);
    }
}
