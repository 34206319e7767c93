//! Holds back warnings that come again and again: from each place in the code only so many at a time,
//! and then a line that says how many there were. (systemd limits the logs of its own units, and not of a
//! user's.) What is no warning is not limited: who asks for much of that wants all of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of one place that come through in [`WHILE`].
const LINES: u32 = 50;
const WHILE: Duration = Duration::from_secs(30);

/// Goes on top of what writes the lines.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    places: Mutex<HashMap<Identifier, Place>>,
}

/// What came from one place.
#[derive(Debug)]
struct Place {
    since: Instant,
    lines: u32,
}

/// What is done with a line.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// So many before it were held back.
    WrittenAfter(u32),
    HeldBack,
}

impl Place {
    fn new(now: Instant) -> Self {
        let (since, lines) = (now, 0);
        Self { since, lines }
    }

    fn on_line(&mut self, now: Instant) -> Fate {
        let mut held_back = 0;
        if now.saturating_duration_since(self.since) >= WHILE {
            held_back = self.lines.saturating_sub(LINES);
            *self = Self::new(now);
        }
        self.lines = self.lines.saturating_add(1);
        match held_back {
            _ if self.lines > LINES => Fate::HeldBack,
            0 => Fate::Written,
            count => Fate::WrittenAfter(count),
        }
    }
}

impl<S: Subscriber> Layer<S> for Limiter {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        // The more a level tells, the greater it is.
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let now = Instant::now();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(event.metadata().callsite());
        let fate = place.or_insert_with(|| Place::new(now)).on_line(now);
        drop(places);
        if let Fate::WrittenAfter(count) = fate {
            // Not as an event, which would come here again.
            eprintln!("{count} lines like the next were left out");
        }
        fate != Fate::HeldBack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn a_place_that_goes_on_is_heard_of_now_and_then() {
        let begin = Instant::now();
        let mut place = Place::new(begin);
        let mut fate = |seconds| place.on_line(begin + Duration::from_secs(seconds));
        for line in 0..LINES + 7 {
            let is_written = fate(1) == Fate::Written;
            assert_eq!(is_written, line < LINES, "{line}");
        }
        assert_eq!(fate(29), Fate::HeldBack);
        assert_eq!(fate(30), Fate::WrittenAfter(8));
        assert_eq!(fate(31), Fate::Written);
        assert_eq!(fate(90), Fate::Written);
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_warnings_of_one_place_are_held_back() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let log = log.finish().with(Limiter::default());
        tracing::subscriber::with_default(log, || {
            for _ in 0..LINES * 2 {
                tracing::warn!("one place");
                tracing::info!("a job");
            }
            tracing::warn!("another place");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let count = |what| u32::try_from(text.matches(what).count()).unwrap();
        assert_eq!(count("one place"), LINES);
        assert_eq!((count("a job"), count("another")), (LINES * 2, 1));
    }
}
