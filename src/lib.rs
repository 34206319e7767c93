//! cpods: `distcc` for any tool.
//!
//! Rooms and the arrows between them run one way:
//! `bin -> cc, schedd, workd, gen, monitor -> probe, index -> rules, sched -> wire -> job, paths`.
//!
//! | room | what it does | I/O |
//! | --- | --- | --- |
//! | [`paths`], [`job`] | roots, paths below them, jobs as data | none |
//! | [`rules`] | rule files; what a command line means | none |
//! | [`configfile`] | what `hub.toml` and `pod.toml` have in common | reads them |
//! | [`rulefiles`] | a user's own rule files | reads and caches them |
//! | [`sched`] | the scheduler's core: which job goes to which pod | none |
//! | [`wire`] | frames, messages, adapters | of the adapters' streams |
//! | [`probe`] | finds tools and what identifies them | runs tools |
//! | [`index`] | what the roots hold, and what changed | watches and reads the roots |
//! | [`slots`] | one count of running jobs for the whole machine | lock file |
//! | [`cc`] | the wrapper | yes |
//! | [`schedd`] | the scheduler daemon around [`sched`] | yes |
//! | [`workd`] | the worker daemon: views, runs, outputs | yes |
//! | [`gen`] | writes Ninja | writes files |
//! | [`monitor`] | shows the farm | prints |

pub mod cc;
pub mod configfile;
pub mod r#gen;
pub mod index;
pub mod job;
pub mod monitor;
pub mod paths;
pub mod probe;
pub mod rulefiles;
pub mod rules;
pub mod sched;
pub mod schedd;
pub mod slots;
pub mod wire;
pub mod workd;
