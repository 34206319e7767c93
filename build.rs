//! Compiles the rule files into Rust tables, so that the programs parse nothing when they start.
//!
//! `$OUT_DIR/rules.rs` holds an expression of type `&[Rule]`, and `$OUT_DIR/sources.rs` the files'
//! texts, which a user's own rules may extend; `$OUT_DIR/stamp.rs` a number that changes with them.
#![expect(unreachable_pub, reason = "the rooms below are the library's own")]
#![expect(dead_code, reason = "of which only a part is used here")]

#[path = "src/rules/compile.rs"]
mod compile;
#[path = "build/emit.rs"]
mod emit;
#[path = "src/rules/file.rs"]
mod file;
#[path = "src/rules/flags.rs"]
mod flags;
#[path = "src/rules/glob.rs"]
mod glob;
#[path = "src/rules/lay.rs"]
mod lay;
#[path = "src/rules/ninja.rs"]
mod ninja;
#[path = "src/rules/outcome.rs"]
mod outcome;
#[path = "src/rules/rule.rs"]
mod rule;

use std::path::PathBuf;
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=ninja-rules");
    for file in [
        "compile", "file", "flags", "glob", "lay", "ninja", "outcome", "rule",
    ] {
        println!("cargo::rerun-if-changed=src/rules/{file}.rs");
    }
    if let Err(error) = run() {
        println!("cargo::error={error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut sources: Vec<(String, String)> = Vec::new();
    for entry in fs::read_dir("ninja-rules")? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let tool = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            sources.push((tool, fs::read_to_string(&path)?));
        }
    }
    sources.sort();
    let library: Vec<_> = sources
        .iter()
        .map(|(tool, text)| (&**tool, &**text))
        .collect();
    let mut rules = Vec::new();
    for (tool, text) in &library {
        let shown = format!("ninja-rules/{tool}.toml");
        rules.extend(compile::compile(tool, &shown, text, &library)?);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("rules.rs"), emit::rust(&rules)?)?;
    fs::write(out.join("sources.rs"), format!("&{library:?}"))?;
    fs::write(out.join("stamp.rs"), stamp(&library).to_string())?;
    Ok(())
}

/// FNV-1a over all texts: told apart must only be the rules of one build from those of the next.
fn stamp(library: &[(&str, &str)]) -> u64 {
    let texts = library.iter().flat_map(|(tool, text)| [*tool, *text]);
    texts
        .flat_map(str::bytes)
        .fold(0xcbf2_9ce4_8422_2325, |all, byte| {
            (all ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
