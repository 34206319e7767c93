//! Listens to what a tool says, on a pod or here, where somebody asked for it: to judge its success,
//! and to put it as compilers do.

use super::gnu::{self, Gnu};
use super::judge::{self, Judge};
use crate::rules::Rule;
use crate::wire::frame::{STDERR, STDOUT};
use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;

/// For one job.
#[derive(Debug)]
pub(crate) struct Listener<'r> {
    judge: Option<Judge<'r>>,
    gnu: Option<Gnu<'r>>,
}

impl<'r> Listener<'r> {
    /// `input` is the file that the command line names, asked for if need be.
    pub(crate) fn new(rule: Option<&'r Rule>, input: impl FnOnce() -> Option<OsString>) -> Self {
        let patterns = gnu::patterns_of(rule);
        Self {
            judge: judge::strict_of(rule).map(Judge::new),
            gnu: patterns.map(|patterns| Gnu::new(patterns, input())),
        }
    }

    /// Whether nobody asked for anything.
    pub(crate) fn is_deaf(&self) -> bool {
        self.judge.is_none() && self.gnu.is_none()
    }

    /// The job starts again elsewhere.
    pub(crate) fn restart(&mut self) {
        if let Some(judge) = &mut self.judge {
            judge.restart();
        }
        if let Some(gnu) = &mut self.gnu {
            gnu.restart();
        }
    }

    /// A piece of a stream comes in: what is to be shown now.
    pub(crate) fn hear<'b>(&mut self, channel: u32, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if let Some(judge) = &mut self.judge {
            judge.hear(channel, bytes);
        }
        match &mut self.gnu {
            Some(gnu) => gnu.pass(channel, bytes).into(),
            None => bytes.into(),
        }
    }

    /// What is still to be shown of both streams when they have ended.
    pub(crate) fn rest(&mut self) -> impl Iterator<Item = (u32, Vec<u8>)> {
        let gnu = &mut self.gnu;
        [STDOUT, STDERR]
            .into_iter()
            .filter_map(|channel| Some((channel, gnu.as_mut()?.rest(channel))))
    }

    /// Why the rule takes a success for a failure; none where it is not asked. `missing` are primary
    /// outputs that were not written.
    pub(crate) fn failure(&mut self, missing: impl FnOnce() -> Vec<PathBuf>) -> Option<String> {
        let judge = self.judge.as_mut()?;
        judge.failure(&missing())
    }
}
