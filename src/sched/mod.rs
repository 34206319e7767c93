//! The scheduler: which job goes to which pod, and what becomes of it when a pod fails.
//!
//! [`Core`] is a state machine without I/O. It is told what happened and when
//! ([`Core::handle`]), says what to do ([`Core::poll_action`]) and when it wants to be woken
//! ([`Core::poll_timeout`]). It has no clock, no sockets, no randomness and iterates over nothing
//! unordered, so that equal events give equal actions. It knows nothing of command lines, files or
//! views; a job is what it needs of a pod, and one outcome.
//!
//! Every job ends exactly once: its result is relayed, it is handed back to run locally, it is
//! refused, or its client went away.
//!
//! | file | one decision each |
//! | --- | --- |
//! | `types` | what goes in and what comes out |
//! | `state` | what the core remembers |
//! | `core` | events to handlers; jobs and runs |
//! | `pods` | pods that come, change, rest, go |
//! | `class` | which pods may run which jobs |
//! | `placement` | which of them does, and which job is next |
//! | `ahead` | what pods are given ahead of a free slot, and when it is taken back |
//! | `ready` | the pods ready for a kind of job, best first |
//! | `bits` | sets of small numbers |
//! | `queue` | fairness between clients |
//! | `penalty` | how long a failing pod rests |
//! | `explain` | why a pod is not eligible, in words |
//! | `view` | what `cpods status` shows |
//! | `waiting` | for what a job waits, and for how long |
//! | `sanity` | what must always hold |
//! | `sim` | a farm in virtual time, for tests and the bench |

mod ahead;
mod bits;
mod class;
mod core;
mod explain;
mod penalty;
mod placement;
mod pods;
mod queue;
mod ready;
mod sanity;
pub mod sim;
mod state;
#[cfg(test)]
mod tests;
mod types;
mod view;
mod waiting;

pub use self::explain::Eligibility;
pub use self::state::Core;
pub use self::types::{
    Action, Capabilities, Capability, ClientId, Event, JobId, Limits, PodId, Request, RunId, Time,
};
pub use self::view::{PodState, PodView, Totals};
