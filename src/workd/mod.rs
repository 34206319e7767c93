//! The worker daemon: shows a hub's files to its jobs, runs them in a sandbox, and sends back what
//! they wrote.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`worker`] | configuration, the offer, what sessions share |
//! | [`session`] | one hub's connection |
//! | `files` | where the roots' files are, and whether they are still there |
//! | `sshfs` | mounts the hub's files, clears dead mounts |
//! | `view` | chooses a session's view |
//! | `trial` | proves that a view works and confines |
//! | `run` | one job from start to answer |
//! | `pipes`, `outputs` | what it prints and what it wrote, on the way to the hub |
//! | `warm` | what tools keep from run to run |
//! | `spelling` | makes a `PWD` through symlinks hold in the view |
//! | [`render`] | a job's pieces to words (pure) |
//! | [`mapback`] | a view's paths back to the hub's, in streams (pure) |
//! | [`capture`] | what a job wrote |
//! | `lower` | what is asked of the roots' files before a job |
//! | `limits` | what a job may take |
//! | `health` | tells a pod's fault from a tool's |
//! | `scratch` | directories on disk and their removal |
//! | [`warden`] | sandboxes |
//! | `stdio` | standard input and output as asynchronous streams |
//! | `tools` | which tools the pod has, and when to look again |
//! | [`file`] | `pod.toml` |
//! | `hours` | whether a person uses the machine |
//! | [`report`] | what the machine has and lacks |
//! | `service` | the worker that runs here as a service, and how a sent one gives way to it |
//! | [`daemon`] | command line, sockets, signals |

mod answers;
pub mod capture;
pub mod daemon;
mod drain;
pub mod file;
mod files;
mod globs;
mod health;
mod heard;
mod hours;
mod limits;
mod lower;
pub mod mapback;
mod mirror;
mod outputs;
mod pipes;
pub mod render;
pub mod report;
mod run;
mod scratch;
mod sent;
mod service;
pub mod session;
mod spelling;
mod sshfs;
mod start;
mod stdio;
mod tools;
mod trial;
mod turns;
mod view;
pub mod warden;
mod warm;
pub mod worker;

pub use daemon::{command, main};
pub use session::serve;
pub use warden::take_over;
pub use worker::{Config, Worker};
