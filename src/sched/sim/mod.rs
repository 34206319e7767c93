//! A farm in virtual time around the very [`Core`](super::Core) that the daemon runs.
//!
//! Hosts that crash, come back, fall ill, decline; builds that come, abandon jobs, go; messages
//! that are late, doubled, out of order. Everything follows from a seed: equal seeds give equal
//! traces. After every event a model that was written apart from the core is asked whether what
//! the core did may be. Used by the tests and by long runs.
//!
//! Knows no clock, no files and no randomness of the machine.

mod farm;
mod host;
mod model;
mod random;

#[cfg(test)]
mod tests;

pub use self::farm::{Farm, Report};
pub use self::random::Random;

/// What happens, and how often.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything follows from it.
    pub seed: u64,
    /// Machines.
    pub hosts: u32,
    /// Jobs in all.
    pub jobs: u64,
    /// Builds.
    pub clients: u64,
    /// Jobs that a build keeps going, as `ninja -j`.
    pub jobs_per_client: u64,
    /// A job's own time, in the mean.
    pub job_us: u64,
    /// From hub to host and back each, in the mean.
    pub latency_us: u64,
    /// From one crash of a host to its next, in the mean; 0 for none.
    pub crash_us: u64,
    /// Runs in a thousand that an ill host fails; every eighth host is ill now and then.
    pub faults_permille: u64,
    /// Runs in a thousand that are declined.
    pub declines_permille: u64,
    /// Jobs in a thousand whose client goes away.
    pub abandons_permille: u64,
    /// Runs in a thousand that die by a signal.
    pub signals_permille: u64,
    /// Messages in a thousand that come twice.
    pub doubles_permille: u64,
    /// Jobs in a thousand whose tool the hub lacks.
    pub hubless_permille: u64,
    /// The core's own full check runs after so many events; the model after each.
    pub check_every: u64,
}

impl Scenario {
    /// A small farm in constant trouble, with every check after every event.
    pub fn small(seed: u64) -> Self {
        Self {
            seed,
            hosts: 7,
            jobs: 400,
            clients: 4,
            jobs_per_client: 12,
            job_us: 800_000,
            latency_us: 30_000,
            crash_us: 6_000_000,
            faults_permille: 700,
            declines_permille: 40,
            abandons_permille: 40,
            signals_permille: 10,
            doubles_permille: 50,
            hubless_permille: 300,
            check_every: 1,
        }
    }

    /// A thousand hosts and a hundred thousand jobs.
    pub fn large(seed: u64) -> Self {
        Self {
            hosts: 1_000,
            jobs: 100_000,
            clients: 40,
            jobs_per_client: 120,
            crash_us: 40_000_000,
            check_every: 50_000,
            ..Self::small(seed)
        }
    }
}
