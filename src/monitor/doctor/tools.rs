//! A pod's tools against this machine's.

use super::Here;
use super::sheet::Sheet;
use crate::schedd::PodConfig;
use crate::wire::messages::Files;
use crate::workd::report::ReportedTool;
use std::collections::{BTreeMap, BTreeSet};

/// One rule's tools on both machines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    /// Names of the pod's programs that serve jobs of this machine.
    same: BTreeSet<String>,
    /// Names of those that do, once jobs are shown this machine's headers.
    shown: BTreeSet<String>,
    /// Names of those that do not, by what is different.
    other: BTreeMap<String, BTreeSet<String>>,
}

/// Compares them, and says what to do where they differ.
/// `can_show` if the pod has a view in which it can show other headers than its own.
pub(super) fn compare(
    sheet: &mut Sheet,
    here: &Here,
    (pod, can_show): (&PodConfig, bool),
    theirs: &[ReportedTool],
) {
    let rules = |tools: &[ReportedTool]| -> BTreeSet<String> {
        tools.iter().map(|tool| tool.tool.clone()).collect()
    };
    let (ours, offered) = (rules(&here.tools), rules(theirs));
    for rule in ours.intersection(&offered) {
        let what = format!("tool {rule}");
        if !pod.allows(rule) {
            sheet.ok(&what, "not to be used there, as configured");
            continue;
        }
        let relaxed = here.file.relaxed.contains(rule);
        let compared = compare_rule(rule, &here.tools, theirs, relaxed);
        if !compared.same.is_empty() {
            let by = if relaxed {
                "the same version"
            } else {
                "the same"
            };
            sheet.ok(&what, &format!("{by}: {}", list(&compared.same)));
        }
        if !compared.shown.is_empty() {
            let names = list(&compared.shown);
            if can_show && pod.files.is_none_or(|files| files == Files::Mirror) {
                let found = format!("the same but for headers, jobs see this machine's: {names}");
                sheet.ok(&what, &found);
            } else {
                let found = format!(
                    "{names}: other headers; jobs would see this machine's with \
                     `files = \"mirror\"` in the overlay view"
                );
                sheet.warn(&what, &found);
            }
        }
        for (difference, names) in &compared.other {
            let todo = match relaxed {
                true => "install the same version".to_owned(),
                false => format!(
                    "install the same version, or set `[tools.{rule}] match = \"version\"` in \
                     hub.toml to relax knowingly"
                ),
            };
            sheet.warn(&what, &format!("{}: {difference}; {todo}", list(names)));
        }
    }
    for (what, only) in [
        ("only here", ours.difference(&offered)),
        ("only there", offered.difference(&ours)),
    ] {
        let only: Vec<_> = only.map(String::as_str).collect();
        if !only.is_empty() {
            sheet.ok(what, &only.join(", "));
        }
    }
    if ours.is_disjoint(&offered) {
        let found = "none that this machine has, too; its jobs of these would wait or run here";
        sheet.warn("tools", found);
    }
}

fn compare_rule(
    rule: &str,
    ours: &[ReportedTool],
    theirs: &[ReportedTool],
    relaxed: bool,
) -> Compared {
    let of_rule = |tool: &&ReportedTool| tool.tool == rule;
    let ours: Vec<_> = ours.iter().filter(of_rule).collect();
    let mut compared = Compared::default();
    for their in theirs.iter().filter(of_rule) {
        let is_same = |our: &&&ReportedTool| match relaxed {
            true => our.version == their.version,
            false => our.identity == their.identity,
        };
        if ours.iter().any(|our| is_same(&our)) {
            // A tool may have another name on another machine.
            compared.same.insert(their.program.clone());
        } else if ours
            .iter()
            .any(|our| !our.bare.is_empty() && our.bare == their.bare)
        {
            compared.shown.insert(their.program.clone());
        } else if let Some(our) = ours.iter().find(|our| our.program == their.program) {
            let names = compared.other.entry(difference(our, their)).or_default();
            names.insert(their.program.clone());
        }
    }
    compared
}

/// In what two tools of one name differ.
fn difference(our: &ReportedTool, their: &ReportedTool) -> String {
    let mut parts = Vec::new();
    for (name, digest) in &our.parts {
        match their.parts.iter().find(|(known, _)| known == name) {
            None => parts.push(format!("{name} only here")),
            Some((_, other)) if other != digest => {
                let many = name.starts_with("headers ") || name.starts_with("libraries ");
                let verb = if many { "differ" } else { "differs" };
                parts.push(format!("{name} {verb}"));
            }
            Some(_) => {}
        }
    }
    // Another program has other libraries as a rule.
    let all = parts.clone();
    parts.retain(|part| {
        let program = part.strip_prefix("libraries of ");
        program.is_none_or(|program| !all.contains(&format!("{program}s")))
    });
    let unknown = |(name, _): &&(String, String)| our.parts.iter().all(|(known, _)| known != name);
    let more = their.parts.iter().filter(unknown);
    parts.extend(more.map(|(name, _)| format!("{name} only there")));
    if our.version != their.version {
        let versions = format!("`{}` here, `{}` there", our.version, their.version);
        parts.insert(0, versions);
    }
    if parts.is_empty() {
        let known = !our.parts.is_empty() && !their.parts.is_empty();
        parts.push(match known {
            true => "what links in its directories lead to differs".into(),
            false => "another identity".into(),
        });
    }
    parts.join(", ")
}

fn list(names: &BTreeSet<String>) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(program: &str, version: &str, identity: &str, parts: &[(&str, &str)]) -> ReportedTool {
        let parts = parts.iter();
        ReportedTool {
            tool: "gcc".into(),
            program: program.into(),
            version: version.into(),
            identity: identity.into(),
            bare: String::new(),
            parts: parts.map(|(n, d)| ((*n).into(), (*d).into())).collect(),
        }
    }

    #[test]
    fn differences_are_told_part_by_part() {
        let our = tool(
            "gcc",
            "12",
            "a",
            &[("`cc1`", "1"), ("`as`", "1"), ("x", "1")],
        );
        for (version, parts, told) in [
            (
                "12",
                &[("`cc1`", "2"), ("`as`", "1"), ("x", "1")][..],
                "`cc1` differs",
            ),
            (
                "13",
                &[("`cc1`", "1"), ("`as`", "1"), ("y", "1")],
                "`12` here, `13` there, x only here, y only there",
            ),
            ("12", &[("`cc1`", "1"), ("`as`", "1"), ("x", "1")], "links"),
        ] {
            let found = difference(&our, &tool("gcc", version, "b", parts));
            assert!(found.contains(told), "{found}");
        }
    }

    #[test]
    fn the_same_tool_has_other_names_elsewhere() {
        let ours = [tool("gcc", "12", "a", &[]), tool("gcc-11", "11", "b", &[])];
        let theirs = [
            tool("cross-gcc", "12", "a", &[]),
            tool("gcc-11", "11", "c", &[]),
            tool("gcc-9", "9", "d", &[]),
        ];
        let found = compare_rule("gcc", &ours, &theirs, false);
        assert_eq!(found.same, ["cross-gcc".to_owned()].into());
        let differing: Vec<_> = found.other.values().flatten().collect();
        assert_eq!(differing, ["gcc-11"]);
        let bare = |tool: &ReportedTool, bare: &str| ReportedTool {
            bare: bare.into(),
            ..tool.clone()
        };
        let (our, their) = (bare(&ours[1], "e"), bare(&theirs[1], "e"));
        let found = compare_rule("gcc", &[our], &[their], false);
        assert_eq!(found.shown, ["gcc-11".to_owned()].into());
        assert!(found.other.is_empty());
        let relaxed = compare_rule("gcc", &ours, &theirs, true);
        let same = ["cross-gcc", "gcc-11"].map(ToOwned::to_owned);
        assert_eq!(relaxed.same, same.into());
    }
}
