//! What a tool says about a place in a file, read by the patterns of its rule.
//!
//! Knows lines only: who cuts the output into lines, and what becomes of them, is not known here.

use super::lay::HOLES;
use super::rule::Diagnostic;

/// A place and what is said of it. Texts are as the tool has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diagnosis<'a> {
    /// None where the tool does not name the file, since it reads just one.
    pub file: Option<&'a [u8]>,
    /// Decimal digits.
    pub line: Option<&'a [u8]>,
    /// Decimal digits.
    pub column: Option<&'a [u8]>,
    /// `error`, `warning` or `note`.
    pub severity: &'a str,
    /// Empty where it stands in the next line.
    pub message: &'a [u8],
}

/// Reads a line, without its end, by the first pattern that fits.
pub fn diagnose<'a>(patterns: &'a [Diagnostic], line: &'a [u8]) -> Option<Diagnosis<'a>> {
    patterns.iter().find_map(|pattern| {
        let mut found = Diagnosis {
            file: None,
            line: None,
            column: None,
            severity: &pattern.severity,
            message: b"",
        };
        fit(pattern.line.as_bytes(), line, &mut found).then_some(found)
    })
}

/// Whether the whole text fits; what stands for the holes is put into `found`. Each takes as little
/// as it can. A blank in a pattern stands for any number of them, or none at the end of the line.
fn fit<'a>(pattern: &'a [u8], text: &'a [u8], found: &mut Diagnosis<'a>) -> bool {
    let Some(&first) = pattern.first() else {
        return text.is_empty();
    };
    if let Some((hole, rest)) = hole(pattern) {
        let is_number = matches!(hole, b"line" | b"column");
        let least = usize::from(hole != b"message" && hole != b"*");
        let most = if is_number {
            text.iter().take_while(|byte| byte.is_ascii_digit()).count()
        } else {
            text.len()
        };
        let fitting = (least..=most).find(|taken| fit(rest, &text[*taken..], found));
        let Some(taken) = fitting else { return false };
        let taken = &text[..taken];
        match hole {
            b"file" => found.file = Some(taken),
            b"line" => found.line = Some(taken),
            b"column" => found.column = Some(taken),
            b"message" => found.message = taken.trim_ascii(),
            _ => {}
        }
        return true;
    }
    if first == b' ' {
        let blanks = text.iter().take_while(|byte| **byte == b' ').count();
        let may_pass = blanks > 0 || text.is_empty();
        return may_pass && fit(&pattern[1..], &text[blanks..], found);
    }
    text.first() == Some(&first) && fit(&pattern[1..], &text[1..], found)
}

/// The hole that a pattern begins with, and what follows it.
fn hole(pattern: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(rest) = pattern.strip_prefix(b"*") {
        return Some((b"*", rest));
    }
    HOLES.iter().find_map(|hole| {
        let rest = pattern.strip_prefix(hole.as_bytes())?;
        Some((&hole.as_bytes()[1..hole.len() - 1], rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;

    fn shown(tool: &str, line: &str) -> Option<String> {
        let rules = RuleSet::builtin();
        let found = diagnose(&rules.rule(tool).unwrap().diagnostics, line.as_bytes())?;
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        Some(format!(
            "{}:{}:{} {} <{}>",
            text(found.file),
            text(found.line),
            text(found.column),
            found.severity,
            text(Some(found.message))
        ))
    }

    #[test]
    fn tools_are_understood() {
        for (tool, line, expected) in [
            (
                "context",
                "tex error       > tex error on line 2 in file /w/my doc.tex: ! Undefined control sequence",
                "/w/my doc.tex:2:- error <Undefined control sequence>",
            ),
            (
                "context",
                "lua error       > lua error on line 7 in file ./a.tex:",
                "./a.tex:7:- error <>",
            ),
            (
                "framac",
                "[eva:alarm] a/q.c:2: Warning: out of bounds. assert 3 < 3;",
                "a/q.c:2:- warning <out of bounds. assert 3 < 3;>",
            ),
            ("framac", "[kernel] p.c:2: ", "p.c:2:- error <>"),
            ("framac", "[kernel] p.c:2: User Error: ", "p.c:2:- error <>"),
            (
                "framac",
                "[eva] q.c:2: assertion 'Eva,index_bound' got final status invalid.",
                "q.c:2:- note <assertion 'Eva,index_bound' got final status invalid.>",
            ),
            (
                "verifast",
                "src/stack.c(12,5-9): No matching heap chunks: stack(s)",
                "src/stack.c:12:5 error <No matching heap chunks: stack(s)>",
            ),
            (
                "z3",
                "(error \"line 2 column 13: unknown constant y\")",
                "-:2:13 error <unknown constant y>",
            ),
        ] {
            assert_eq!(shown(tool, line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for (tool, line) in [
            ("context", "tex error       > something else"),
            ("framac", "[kernel] Parsing p.c (with preprocessing)"),
            ("framac", "[wp] Goal typed_g_ensures : not tried"),
            ("framac", "  4 functions analyzed"),
            ("verifast", "0 errors found (12 statements verified)"),
            ("z3", "sat"),
            ("gcc", "a.c:3:1: error: x"),
        ] {
            assert_eq!(shown(tool, line), None, "{line}");
        }
    }
}
