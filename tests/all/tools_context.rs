//! ConTeXt on a pod: a warm cache that its user never made, and success that is judged.

use crate::support::{Farm, bin, text};
use std::process::Output;

fn cc(farm: &Farm, args: &[&str], strict: bool) -> Output {
    let mut command = farm.command(bin("cpods-cc"));
    command.arg("context").arg("--batchmode").args(args);
    if strict {
        command.env("CPODS_STRICT", "1");
    }
    command.env("CPODS_FALLBACK", "0").output().unwrap()
}

#[test]
fn a_document_is_typeset_with_a_cache_made_once() {
    let farm = Farm::new();
    farm.write("doc.tex", "\\starttext\nHello\n\\stoptext\n");
    farm.write(
        "part.tex",
        "\\starttext\nHello \\component nosuch\n\\stoptext\n",
    );
    farm.write("wrong.tex", "\\starttext\n\\undefinedcommand\n\\stoptext\n");

    let good = cc(&farm, &["doc.tex"], true);
    assert!(good.status.success(), "{}", text(&good));
    assert!(farm.read("doc.pdf").starts_with(b"%PDF"));
    assert!(!farm.read("doc.log").is_empty() && !farm.read("doc.tuc").is_empty());

    // Exit code 0 as the tool has it, and 1 where success is judged; then no PDF is left.
    let missing = cc(&farm, &["part.tex"], false);
    assert_eq!(missing.status.code(), Some(0), "{}", text(&missing));
    assert!(farm.root.join("part.pdf").exists());
    let missing = cc(&farm, &["part.tex"], true);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing));
    let line = "cpods-cc: context exited 0, but a file is missing: ";
    assert!(text(&missing).contains(line), "{}", text(&missing));
    assert!(!farm.root.join("part.pdf").exists(), "a stale PDF");

    let wrong = cc(&farm, &["wrong.tex"], false);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong));
    assert!(
        text(&wrong).contains("tex error on line 2"),
        "{}",
        text(&wrong)
    );

    let log = farm.log("pod1");
    let prepared = log.matches("preparing its warm directory").count();
    assert_eq!(prepared, 1, "{log}");
    assert_eq!(farm.finished(), 4);
}
