//! How far the first transfers to pods' mirrors are: a line on a terminal that is written anew, a
//! line for each pod elsewhere.

use super::figures::size;
use crate::wire::messages::PodStatus;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Less is there before anybody looks.
const WORTH_BYTES: u64 = 4 << 20;
/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(100);
/// Cells of the bar.
const CELLS: u64 = 24;

/// What was shown so far; the line goes when this does.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    drawn: Option<Instant>,
    told: BTreeSet<String>,
}

impl Transfers {
    /// Shows the pods whose mirrors are being filled.
    pub(super) fn show(&mut self, pods: &[PodStatus]) {
        let lines: Vec<_> = pods.iter().filter_map(transfer).collect();
        if lines.is_empty() {
            return;
        }
        let mut stderr = std::io::stderr();
        if !stderr.is_terminal() {
            for (pod, _, total) in lines {
                if self.told.insert(pod.to_owned()) {
                    let _ = writeln!(stderr, "cpods: sending {} to `{pod}`", size(total));
                }
            }
            return;
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() > REDRAW) {
            let bars = lines
                .into_iter()
                .map(|(pod, done, total)| bar(pod, done, total));
            let bars = bars.collect::<Vec<_>>().join("  ");
            let _ = stderr.write_all(format!("\r{bars}\x1b[K").as_bytes());
            self.drawn = Some(Instant::now());
        }
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// A pod that is not up yet, what it was sent, and what it waits for.
fn transfer(pod: &PodStatus) -> Option<(&str, u64, u64)> {
    let mirror = pod.mirror.as_ref().filter(|_| !pod.up)?;
    let total = mirror.asked_bytes;
    (total > WORTH_BYTES).then_some((&pod.name, mirror.answered_bytes.min(total), total))
}

fn bar(pod: &str, done: u64, total: u64) -> String {
    let full = usize::try_from(done.saturating_mul(CELLS) / total.max(1)).unwrap_or(0);
    let empty = usize::try_from(CELLS).unwrap_or(0).saturating_sub(full);
    format!(
        "cpods: {pod} [{}{}] {} of {}",
        "#".repeat(full),
        ".".repeat(empty),
        size(done),
        size(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::MirrorStatus;

    #[test]
    fn a_bar_is_as_full_as_the_mirror() {
        for (done, total, cells) in [(0, 100, 0), (50, 100, 12), (100, 100, 24), (0, 0, 0)] {
            let bar = bar("far", done, total);
            assert_eq!(bar.matches('#').count(), cells, "{bar}");
            assert!(bar.matches(['#', '.']).count() >= 24, "{bar}");
        }
    }

    #[test]
    fn only_what_is_waited_for_is_shown() {
        let mut pod = PodStatus {
            name: "far".into(),
            mirror: Some(MirrorStatus {
                asked_bytes: 10 << 20,
                answered_bytes: 11 << 20,
                ..MirrorStatus::default()
            }),
            ..PodStatus::default()
        };
        assert_eq!(transfer(&pod), Some(("far", 10 << 20, 10 << 20)));
        pod.up = true;
        assert_eq!(transfer(&pod), None);
        pod.up = false;
        pod.mirror = None;
        assert_eq!(transfer(&pod), None);
    }
}
