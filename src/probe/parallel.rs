//! The same work on many things, on all cores.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Threads used for work that partly waits for the disk: two at least, and not a hundred.
fn threads() -> usize {
    thread::available_parallelism()
        .map_or(2, NonZero::get)
        .clamp(2, 16)
}

/// Applies `work` to all items, results in the items' order. `grain` items at a time are taken, so
/// that tiny ones do not spend their time on taking turns.
pub(super) fn map<T: Sync, R: Send>(
    items: &[T],
    grain: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let workers = threads().min(items.len().div_ceil(grain));
    if workers < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let start = next.fetch_add(grain, Ordering::Relaxed);
                    let Some(rest) = items.get(start..).filter(|rest| !rest.is_empty()) else {
                        break;
                    };
                    let part: Vec<R> = rest.iter().take(grain).map(&work).collect();
                    // Poisoned only if a sibling panicked; then `scope` panics as well.
                    if let Ok(mut done) = done.lock() {
                        done.push((start, part));
                    }
                }
            });
        }
    });
    let mut parts = done.into_inner().unwrap_or_default();
    parts.sort_unstable_by_key(|(start, _)| *start);
    parts.into_iter().flat_map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_order() {
        let items: Vec<u32> = (0..1000).collect();
        for grain in [1, 7, 5000] {
            let doubled = super::map(&items, grain, |item| item * 2);
            assert!(doubled.iter().copied().eq((0..1000).map(|item| item * 2)));
        }
        assert!(super::map(&[] as &[u32], 1, |item| *item).is_empty());
    }
}
