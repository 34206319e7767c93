//! The slots of workers: what runs on this machine for hubs, by whichever workers of this user, is
//! never more than a worker's slots.
//!
//! Who holds such a slot runs a job, and waits for no other slot of any kind: so whoever waits for
//! one, whatever else it holds, gets it in the end. Nobody who waits keeps others from going on: a
//! worker that is stopped costs them no more than what it runs.
//!
//! A worker that ends one job of many would have the next in its place before any other had looked.
//! So those that wait say so, by a lock on a byte of their own, and who has its fair share leaves a
//! slot that has become free to them for a moment.

use super::{Slot, Slots, lock};
use std::os::fd::AsRawFd;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Where the bytes of workers' slots begin: far behind those of local runs.
const FIRST: usize = 1 << 16;
/// Most of them.
const MOST: usize = 1 << 16;
/// Where those begin that say which processes wait, by process id.
const WAITING: usize = FIRST + MOST;
/// More than the kernel has process ids (proc(5), pid_max).
const WAITERS: usize = 1 << 22;

/// How long a slot is left to others: longer than between two of their looks.
const LEFT_FOR: Duration = Duration::from_millis(8);

/// A job's wish for a slot.
#[derive(Debug)]
pub struct Wish {
    slots: &'static Slots,
    /// Slots that its worker has.
    most: usize,
    /// Whether all were taken once since.
    has_waited: bool,
    /// Since when one is free and left to others.
    free_since: Option<Instant>,
    /// Whether this wish has said that it waits.
    is_told: bool,
}

impl Slots {
    /// A job of a worker with so many slots wants one.
    pub fn wish(&'static self, most: u32) -> Wish {
        Wish {
            slots: self,
            most: (most as usize).min(MOST),
            has_waited: false,
            free_since: None,
            is_told: false,
        }
    }

    /// How many this process holds.
    fn held_for_jobs(&self) -> usize {
        self.lock_table().range(FIRST..WAITING).count()
    }

    /// One wish of this process's more, or less, that waits.
    fn count_waiting(&self, more: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = if more { *waiting + 1 } else { *waiting - 1 };
        let byte = WAITING + std::process::id() as usize % WAITERS;
        match (*waiting, more) {
            (1, true) => drop(self.set(byte, libc::F_WRLCK)),
            (0, false) => drop(self.set(byte, libc::F_UNLCK)),
            _ => {}
        }
    }

    /// How many other processes wait for one.
    fn others_waiting(&self) -> usize {
        let (mut byte, mut count) = (WAITING, 0);
        while byte < WAITING + WAITERS {
            let mut found = lock(byte, WAITING + WAITERS - byte, libc::F_WRLCK);
            // SAFETY: the descriptor is open and `found` outlives the call, which writes to it.
            let asked = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLK, &mut found) };
            let is_free = asked == -1 || libc::c_int::from(found.l_type) == libc::F_UNLCK;
            match usize::try_from(found.l_start) {
                Ok(at) if !is_free && at >= byte => byte = at + 1,
                _ => break,
            }
            count += 1;
        }
        count
    }
}

impl Wish {
    /// A slot, if there is one that is not left to others. To be asked again every few milliseconds.
    pub fn try_take(&mut self) -> Option<Slot> {
        // From the last: so a worker with fewer slots finds its own free for as long as can be.
        let bytes = (FIRST..FIRST + self.most).rev();
        let Some(slot) = self.slots.take_of(bytes) else {
            (self.has_waited, self.free_since) = (true, None);
            self.tell(true);
            return None;
        };
        if self.is_others_turn() {
            let since = *self.free_since.get_or_insert_with(Instant::now);
            if since.elapsed() < LEFT_FOR {
                drop(slot);
                self.tell(true);
                return None;
            }
        }
        self.tell(false);
        Some(slot)
    }

    /// Whether this process has its share, with the slot at hand, and others wait. Of what cannot be
    /// shared evenly, who has waited comes first.
    fn is_others_turn(&self) -> bool {
        let others = self.slots.others_waiting();
        let share = match self.has_waited {
            true => self.most.div_ceil(others + 1),
            false => self.most / (others + 1),
        };
        others > 0 && self.slots.held_for_jobs() > share
    }

    fn tell(&mut self, waiting: bool) {
        if self.is_told != waiting {
            self.is_told = waiting;
            self.slots.count_waiting(waiting);
        }
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.tell(false);
    }
}
