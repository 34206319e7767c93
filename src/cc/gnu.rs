//! `CPODS_DIAGNOSTICS=gnu`: what a tool says of places in files, as compilers say it:
//! `file:line:column: severity: message`, which editors follow.
//!
//! Off by default, since a launcher changes nothing of what a tool says. Lines that no pattern of
//! the rule fits pass as they are.

use crate::rules::{self, Diagnosis, Diagnostic};
use crate::wire::frame::STDERR;
use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// More of a line is not looked at.
const LONGEST_LINE_BYTES: usize = 64 << 10;

/// The rule's patterns, if they are asked for and there are any.
pub(crate) fn patterns_of(rule: Option<&rules::Rule>) -> Option<&[Diagnostic]> {
    let is_asked = || std::env::var_os("CPODS_DIAGNOSTICS").is_some_and(|value| value == "gnu");
    rule.map(|rule| &*rule.diagnostics)
        .filter(|patterns| !patterns.is_empty() && is_asked())
}

/// One job's streams on their way.
#[derive(Debug)]
pub(crate) struct Gnu<'r> {
    patterns: &'r [Diagnostic],
    /// For a tool that names no file.
    input: Option<OsString>,
    streams: [Stream; 2],
}

#[derive(Debug, Default)]
struct Stream {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// A place whose message is still to come, without that message, and the line as it was.
    waiting: Option<(Vec<u8>, Vec<u8>)>,
}

impl<'r> Gnu<'r> {
    pub(crate) fn new(patterns: &'r [Diagnostic], input: Option<OsString>) -> Self {
        Self {
            patterns,
            input,
            streams: Default::default(),
        }
    }

    /// The job starts again elsewhere.
    pub(crate) fn restart(&mut self) {
        self.streams = Default::default();
    }

    /// A piece of a stream comes in: what is to be shown of it. The rest comes with a later piece.
    pub(crate) fn pass(&mut self, channel: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let stream = &mut self.streams[usize::from(channel == STDERR)];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            stream.line.extend_from_slice(part);
            if part.ends_with(b"\n") || stream.line.len() > LONGEST_LINE_BYTES {
                let line = std::mem::take(&mut stream.line);
                stream.whole(self.patterns, self.input.as_ref(), line, &mut out);
            }
        }
        out
    }

    /// What is left of a stream at its end.
    pub(crate) fn rest(&mut self, channel: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let stream = &mut self.streams[usize::from(channel == STDERR)];
        let line = std::mem::take(&mut stream.line);
        if !line.is_empty() {
            stream.whole(self.patterns, self.input.as_ref(), line, &mut out);
        }
        if let Some((_, as_it_was)) = stream.waiting.take() {
            out.extend(as_it_was);
        }
        out
    }
}

impl Stream {
    fn whole(
        &mut self,
        patterns: &[Diagnostic],
        input: Option<&OsString>,
        line: Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let text = line.trim_ascii_end();
        let found = rules::diagnose(patterns, text);
        if let Some((place, mut as_it_was)) = self.waiting.take() {
            if text.is_empty() {
                as_it_was.extend_from_slice(&line);
                self.waiting = Some((place, as_it_was));
                return;
            }
            if found.is_none() {
                out.extend(place);
                out.extend_from_slice(text.trim_ascii_start());
                out.extend_from_slice(&line[text.len()..]);
                return;
            }
            out.extend(as_it_was);
        }
        match found.and_then(|found| Some((place(&found, input)?, found))) {
            None => out.extend_from_slice(&line),
            Some((place, found)) if found.message.is_empty() => self.waiting = Some((place, line)),
            Some((place, found)) => {
                out.extend(place);
                out.extend_from_slice(found.message);
                out.extend_from_slice(&line[text.len()..]);
            }
        }
    }
}

/// All but the message; none where no file is known.
fn place(found: &Diagnosis<'_>, input: Option<&OsString>) -> Option<Vec<u8>> {
    let file = match found.file {
        Some(file) => Cow::Borrowed(file),
        None => Cow::Owned(input?.as_bytes().to_vec()),
    };
    let mut place = file.strip_prefix(b"./").unwrap_or(&file).to_vec();
    for number in [found.line, found.column].into_iter().flatten() {
        place.push(b':');
        place.extend_from_slice(number);
    }
    place.extend_from_slice(format!(": {}: ", found.severity).as_bytes());
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;
    use crate::wire::frame::STDOUT;

    fn shown(tool: &str, said: &str) -> String {
        let rules = RuleSet::builtin();
        let patterns = &rules.rule(tool).unwrap().diagnostics;
        let mut shown = None;
        // However it is cut.
        for size in 1..=said.len() {
            let mut gnu = Gnu::new(patterns, Some("in.smt2".into()));
            let mut out = Vec::new();
            for piece in said.as_bytes().chunks(size) {
                out.extend(gnu.pass(STDOUT, piece));
            }
            out.extend(gnu.rest(STDOUT));
            let out = String::from_utf8(out).unwrap();
            assert_eq!(
                shown.get_or_insert_with(|| out.clone()),
                &out,
                "pieces of {size}"
            );
        }
        shown.unwrap_or_default()
    }

    #[test]
    fn the_message_may_stand_below() {
        let said = "[kernel] Parsing a\n[kernel] p.c:2: \n  syntax error:\n  Location: x\n";
        let expected = "[kernel] Parsing a\np.c:2: error: syntax error:\n  Location: x\n";
        assert_eq!(shown("framac", said), expected);
        let said = "lua error > lua error on line 7 in file ./a.tex:\n\n...bad argument\n\n";
        assert_eq!(
            shown("context", said),
            "a.tex:7: error: ...bad argument\n\n"
        );
    }

    #[test]
    fn what_has_no_message_passes_as_it_is() {
        let said = "[kernel] p.c:2: \n\n[eva:alarm] p.c:3: Warning: x\n[kernel] p.c:4: ";
        let expected = "[kernel] p.c:2: \n\np.c:3: warning: x\n[kernel] p.c:4: ";
        assert_eq!(shown("framac", said), expected);
    }

    #[test]
    fn a_tool_that_reads_one_file_need_not_name_it() {
        let said = "(error \"line 2 column 13: unknown constant y\")\nsat";
        assert_eq!(
            shown("z3", said),
            "in.smt2:2:13: error: unknown constant y\nsat"
        );
    }
}
