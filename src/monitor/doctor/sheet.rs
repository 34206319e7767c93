//! What was found of one machine: printed line by line, and summed up.

/// One machine's findings.
#[derive(Debug)]
pub(super) struct Sheet {
    name: String,
    warnings: usize,
    failed: Vec<String>,
}

impl Sheet {
    pub(super) fn begin(name: &str) -> Self {
        println!("{name}");
        Self {
            name: name.into(),
            warnings: 0,
            failed: Vec::new(),
        }
    }

    /// All is well with `what`.
    pub(super) fn ok(&mut self, what: &str, found: &str) {
        line("ok", what, found);
    }

    /// It works, but not as well as it could; `found` says what to do.
    pub(super) fn warn(&mut self, what: &str, found: &str) {
        self.warnings += 1;
        line("WARN", what, found);
    }

    /// It does not work; `found` says what to do.
    pub(super) fn fail(&mut self, what: &str, found: &str) {
        self.failed.push(what.into());
        line("FAIL", what, found);
    }

    /// Well, or not and what to do about it.
    pub(super) fn check(&mut self, what: &str, found: Result<impl AsRef<str>, String>) {
        match found {
            Ok(found) => self.ok(what, found.as_ref()),
            Err(why) => self.fail(what, &why),
        }
    }

    /// Prints the verdict; whether nothing failed.
    pub(super) fn end(self) -> bool {
        println!("{}", self.verdict());
        self.failed.is_empty()
    }

    #[cfg(test)]
    pub(super) fn is_well(&self) -> bool {
        self.failed.is_empty() && self.warnings == 0
    }

    fn verdict(&self) -> String {
        let name = &self.name;
        match (self.failed.as_slice(), self.warnings) {
            ([], 0) => format!("{name}: all is well"),
            ([], 1) => format!("{name}: usable, with 1 warning"),
            ([], many) => format!("{name}: usable, with {many} warnings"),
            (failed, _) => format!("{name}: NOT usable: {}", failed.join(", ")),
        }
    }
}

fn line(level: &str, what: &str, found: &str) {
    // One line each, whatever another program said.
    let found = found.trim_end().replace('\n', "; ");
    println!("  {level:<5} {what}: {found}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_outweighs_all_warnings() {
        let mut sheet = Sheet::begin("pod a");
        sheet.ok("x", "");
        assert_eq!(sheet.verdict(), "pod a: all is well");
        sheet.warn("clock", "1 h ahead");
        assert_eq!(sheet.verdict(), "pod a: usable, with 1 warning");
        sheet.check("ssh", Err::<&str, _>("no".into()));
        sheet.check("disk", Err::<&str, _>("full".into()));
        assert_eq!(sheet.verdict(), "pod a: NOT usable: ssh, disk");
        assert!(!sheet.end());
    }
}
