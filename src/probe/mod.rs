//! Finds tools and what identifies them.
//!
//! A tool's identity is a digest over everything that decides its results: the program and those it
//! calls, the shared libraries of all of them, what the rule's commands print, and every file in the
//! directories that it searches for headers. Without these last it is its *bare* identity. What is asked of a tool stands in its rule
//! ([`crate::rules::Probe`]); this room only asks. It knows nothing of pods, hubs or jobs.
//!
//! What enters an identity and what does not:
//!
//! - contents, never times, inodes or owners: a copy of a compiler is the same compiler;
//! - the program's own path does not, and neither does the path of a program that it calls;
//! - a search directory's path does, as the compiler prints it: depfiles and debug information name
//!   headers by it, so a compiler that finds its headers elsewhere gives other bytes.

mod closure;
mod command;
mod digests;
mod elf;
mod evidence;
mod gather;
mod headers;
mod hops;
mod identity;
mod offer;
mod parallel;
mod path;
mod prober;
mod seen;
mod store;
mod tree;
mod watch;

#[cfg(test)]
mod tests;

pub use closure::Closure;
pub use command::CommandError;
pub use headers::Headers;
pub use identity::Part;
pub use offer::Found;
pub(crate) use path::path_of_jobs;
pub use path::{LAUNCHERS, find_on_path};
pub use prober::{ProbeError, Prober, default_cache};
pub use seen::SeenFiles;
pub use watch::Watch;
