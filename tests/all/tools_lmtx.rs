//! A tool that is no package: in a tree of its own, found by a link, with programs and files beside it
//! that it needs. The standalone ConTeXt is one; `tests/support/lmtx.c` stands for it.

use crate::support::{Daemon, Farm, bin, text, wait_for};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs of the tree.
const BIN: &str = "opt/lmtx/tex/texmf-linux-64/bin";

/// A tree as the archive has it, and links to its programs as `site.yml` makes them.
fn unpack(dir: &Path) {
    let bin = dir.join(BIN);
    for folder in [
        &bin,
        &dir.join("opt/lmtx/tex/texmf-context"),
        &dir.join("opt/bin"),
    ] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(dir.join("opt/lmtx/tex/texmf-context/macros"), "macros; ").unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/lmtx.c");
    let built = Command::new("gcc")
        .arg(source)
        .arg("-o")
        .arg(bin.join("luametatex"))
        .status();
    assert!(built.unwrap().success());
    for name in ["context", "mtxrun"] {
        symlink("luametatex", bin.join(name)).unwrap();
        fs::write(bin.join(format!("{name}.lua")), "").unwrap();
    }
    for name in ["context", "mtxrun", "luametatex"] {
        symlink(bin.join(name), dir.join("opt/bin").join(name)).unwrap();
    }
}

fn path(dir: &Path) -> String {
    format!("{}:/usr/local/bin:/usr/bin:/bin", dir.display())
}

/// A pod that finds the links, with this in its file; and a hub that finds none of it.
fn start(farm: &Farm, config: &str) -> [Daemon; 2] {
    let dir = farm.dir.path();
    fs::write(dir.join("pod.toml"), config).unwrap();
    let log = |name: &str| Stdio::from(File::create(dir.join(name)).unwrap());
    let mut worker = farm.command(bin("cpods-workd"));
    worker.arg("--socket").arg(farm.pod_socket());
    worker.arg("--cache").arg(dir.join("cache"));
    worker.arg("--config").arg(dir.join("pod.toml"));
    worker
        .env("PATH", path(&dir.join("opt/bin")))
        .stderr(log("pod1.log"));
    let worker = Daemon::new(worker.spawn().unwrap());
    let mut hub = farm.command(bin("cpods-schedd"));
    hub.arg("--socket")
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root);
    let pod = format!("pod1=unix:{}", farm.pod_socket().display());
    hub.args(["--patience", "0", "--pod", &pod])
        .stderr(log("schedd.log"));
    let hub = Daemon::new(hub.spawn().unwrap());
    [worker, hub]
}

fn offers_context(farm: &Farm) -> bool {
    let pod = wait_for("an offer", || {
        let pod = farm.status()?["pods"][0].clone();
        (pod["machine"] != "").then_some(pod)
    });
    let mut tools = pod["tools"].as_array().unwrap().iter();
    tools.any(|tool| tool["tool"] == "context")
}

#[test]
fn a_tree_of_its_own_is_used_through_links() {
    let farm = Farm::without_hub();
    let dir: PathBuf = farm.dir.path().canonicalize().unwrap();
    unpack(&dir);
    let _daemons = start(&farm, &format!("system = [{:?}]\n", dir.join("opt")));
    assert!(offers_context(&farm), "{}", farm.log("pod1"));
    farm.write("doc.tex", "text");
    // Called as a person does who has the tree's own folder on the search path.
    let mut cc = farm.command(bin("cpods-cc"));
    cc.args(["context", "doc.tex"])
        .env("PATH", path(&dir.join(BIN)));
    let said = cc.env("CPODS_FALLBACK", "0").output().unwrap();
    assert!(said.status.success(), "{}{}", text(&said), farm.log("pod1"));
    assert_eq!(farm.read("doc.pdf"), b"macros; text");
    assert_eq!(farm.finished(), 1);
    // Its macros are part of it.
    fs::write(dir.join("opt/lmtx/tex/texmf-context/macros"), "others; ").unwrap();
    wait_for("the warm cache to be another", || {
        let mut cc = farm.command(bin("cpods-cc"));
        cc.args(["context", "doc.tex"])
            .env("PATH", path(&dir.join(BIN)));
        let _ = cc.env("CPODS_FALLBACK", "0").output().unwrap();
        (farm.log("pod1").matches("preparing its warm").count() == 2).then_some(())
    });
}

#[test]
fn what_jobs_do_not_see_is_not_offered() {
    let farm = Farm::without_hub();
    unpack(&farm.dir.path().canonicalize().unwrap());
    let _daemons = start(&farm, "");
    assert!(!offers_context(&farm), "{}", farm.log("pod1"));
}
