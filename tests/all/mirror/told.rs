//! What `cpods explain --last` tells of what was sent.

use super::Mirrored;
use super::by_need::large_header;
use crate::support::{Farm, bin, text};

/// Names of what was sent for the last job, or ahead of it, and why, in their order.
fn sent(farm: &Farm) -> Vec<(String, String)> {
    let mut explain = farm.command(bin("cpods"));
    let output = explain.args(["explain", "--last", "--json"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let jobs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut jobs = jobs.as_array().unwrap().iter().rev();
    let last = jobs.next();
    let ahead = jobs.take_while(|it| it["program"] == "");
    let sent = last.into_iter().chain(ahead);
    let sent = sent.flat_map(|it| it["sent"].as_array().unwrap());
    let mut sent: Vec<_> = sent
        .map(|it| (word(&it["name"]), word(&it["why"])))
        .collect();
    sent.sort();
    sent
}

#[test]
fn what_was_sent_is_told_by_name_and_why() {
    let farm = Farm::without_hub();
    let many = |lines: usize| "/* a line of a source that goes on and on */\n".repeat(lines);
    let source = |value: usize, lines: usize| format!("int a = {value};\n{}", many(lines));
    farm.write("large.h", large_header(1));
    farm.write("opens.c", "#include \"large.h\"\nint a = VALUE;\n");
    farm.write("big.c", source(1, 10_000));
    farm.write("huge.c", source(2, 80_000));
    farm.write("small.c", "int a;\n");
    let pod = Mirrored::new(farm);
    let told = |name: &str, expected: &[(&str, &str)]| {
        pod.farm.cc_remote(&["gcc", "-c", name, "-o", "a.o"]);
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, why)| ((*name).to_owned(), (*why).to_owned()))
            .collect();
        assert_eq!(sent(&pod.farm), expected, "{name}");
    };
    // What a pod is told at first is no matter of this.
    pod.settle();
    told("small.c", &[]);
    told("opens.c", &[("large.h", "opened")]);
    // No list brings these; the second is too much to go at once.
    told("big.c", &[("big.c", "input")]);
    told("huge.c", &[("huge.c", "input")]);
    pod.farm.write("small.c", "int b;\n");
    told("small.c", &[("small.c", "changed")]);
    pod.farm.write("small.c", "int c;\n");
    pod.farm.write("big.c", source(3, 10_000));
    let both = [("big.c", "input"), ("small.c", "changed")];
    told("big.c", &both);
    pod.farm.write("large.h", large_header(2));
    told("opens.c", &[("large.h", "learned")]);
    pod.farm.write("large.h", large_header(3) + &many(40_000));
    told("opens.c", &[("large.h", "learned")]);
    told("opens.c", &[]);
}
