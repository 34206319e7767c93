//! The live progress line of `cpods run`: the terminal's last row, kept free by a scroll region
//! (DECSTBM), since the build writes to the same terminal and overwrites lines of its own.

use crate::wire::messages::Status;
use rustix::termios::tcgetwinsize;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Fewer rows are all left to the build.
const FEWEST_ROWS: u16 = 5;

/// The line, while it is shown.
#[derive(Debug)]
pub(super) struct Bar {
    rows: u16,
    columns: u16,
}

impl Bar {
    /// Takes the last row, if stdout and stderr are a terminal.
    pub(super) fn new() -> Option<Self> {
        if !std::io::stdout().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        let mut bar = Self {
            rows: 0,
            columns: 0,
        };
        bar.fit();
        (bar.rows > 0).then_some(bar)
    }

    /// Draws; follows the terminal's size.
    pub(super) fn draw(&mut self, status: &Status, wall: Duration) {
        self.fit();
        if self.rows == 0 {
            return;
        }
        let text: String = line(status, wall)
            .chars()
            .take(usize::from(self.columns))
            .collect();
        say(&format!(
            "\x1b7\x1b[{};1H\x1b[7m{text}\x1b[K\x1b[0m\x1b8",
            self.rows
        ));
    }

    fn fit(&mut self) {
        let Ok(size) = tcgetwinsize(std::io::stderr()) else {
            return;
        };
        if (size.ws_row, size.ws_col) == (self.rows, self.columns) || size.ws_row < FEWEST_ROWS {
            return;
        }
        (self.rows, self.columns) = (size.ws_row, size.ws_col);
        // A line feed first, so that the cursor does not stand in the row that is taken.
        say(&format!("\n\x1b7\x1b[1;{}r\x1b8\x1b[1A", self.rows - 1));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.rows > 0 {
            say(&format!("\x1b7\x1b[r\x1b[{};1H\x1b[K\x1b8", self.rows));
        }
    }
}

fn say(text: &str) {
    // One write, so that it does not mix with the build's.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn line(status: &Status, wall: Duration) -> String {
    let local: u64 = status.local.iter().map(|(_, count)| count).sum();
    let pods: Vec<String> = status
        .pods
        .iter()
        .map(|pod| format!("{} {}/{}", pod.name, pod.running, pod.slots))
        .collect();
    format!(
        " cpods {:.0} s | {} done, {} running, {} waiting, {local} local | {} ",
        wall.as_secs_f64(),
        status.finished,
        status.running,
        status.queued,
        pods.join(", ")
    )
}
