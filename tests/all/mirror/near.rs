//! Tools that write near their outputs only: the rest of the root cannot be written there.

use super::{cache, start_with};
use crate::support::{Daemon, Farm, bin, text, wait_for};
use std::fs;

const SED: &str = r#"
summary = "an editor that writes where its script says"
programs = ["sed"]
not_found = ["Read-only file system"]

[probe]
version = ["--version"]
program = true
libraries = true

[pod]
writes_near = true

[operands]
value = "input"

[[flags]]
names = ["-n"]

[[flags]]
names = ["-e"]
attach = "separate"
value = "text"
"#;

fn farm() -> (Farm, Daemon, Daemon) {
    let farm = Farm::without_hub();
    let dir = farm.dir.path();
    let rules = dir.join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("sed.toml"), SED).unwrap();
    let config = dir.join("pod.toml");
    fs::write(&config, format!("rules = \"{}\"\n", rules.display())).unwrap();
    let worker = start_with(&farm, "pod1", &["--config", config.to_str().unwrap()]);
    let hub_toml = dir.join("hub.toml");
    let pod = farm.pod_socket();
    let text = format!(
        "[[pods]]\nname = \"pod1\"\nunix = \"{}\"\nfiles = \"mirror\"\n",
        pod.display()
    );
    fs::write(&hub_toml, text).unwrap();
    let log = fs::File::create(dir.join("schedd.log")).unwrap();
    let hub = farm
        .command(bin("cpods-schedd"))
        .env("CPODS_RULES", &rules)
        .args(["--log", "debug", "--socket"])
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root)
        .arg("--config")
        .arg(hub_toml)
        .stderr(log)
        .spawn();
    let hub = Daemon::new(hub.unwrap());
    farm.wait_up();
    wait_for("sed to be offered", || {
        let pod = farm.status()?["pods"][0].clone();
        let tools = pod["tools"].as_array()?.clone();
        tools.iter().any(|tool| tool["tool"] == "sed").then_some(())
    });
    (farm, worker, hub)
}

#[test]
fn what_is_written_elsewhere_is_written_here() {
    let (farm, _worker, _hub) = farm();
    farm.write("build/sub/a.txt", "a\n");
    farm.write("elsewhere/b.txt", "b\n");
    let sed = |fallback: &str, script: &str| {
        farm.command_in(&farm.root.join("build"), bin("cpods-cc"))
            .env("CPODS_RULES", farm.dir.path().join("rules"))
            .env("CPODS_FALLBACK", fallback)
            .args(["sed", "-n", "-e", script, "sub/a.txt", "../elsewhere/b.txt"])
            .output()
            .unwrap()
    };
    // Anywhere below its working directory, known beforehand or not.
    for (script, name) in [("w x", "build/x"), ("w sub/x", "build/sub/x")] {
        let output = sed("0", script);
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(farm.read(name), b"a\nb\n");
    }
    assert_eq!(farm.finished(), 2);
    let output = sed("0", "w ../elsewhere/x");
    assert!(!output.status.success(), "{}", text(&output));
    // Elsewhere it cannot, which it says; then it does here what it would have done.
    let output = sed("1", "w ../elsewhere/x");
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output).lines().count(), 1, "{}", text(&output));
    assert_eq!(farm.read("elsewhere/x"), b"a\nb\n");
    let copy = super::copies(&cache(&farm, "pod1")).remove(0);
    assert!(!copy.join("elsewhere/x").exists(), "it was a mirror's own");
}

#[test]
fn a_link_out_of_where_it_writes_is_followed() {
    let (farm, _worker, _hub) = farm();
    farm.write("build/a.txt", "a\n");
    farm.write("elsewhere/b.txt", "b\n");
    std::os::unix::fs::symlink("../elsewhere", farm.root.join("build/link")).unwrap();
    for dir in ["build", "build/link"] {
        let output = farm
            .command_in(&farm.root.join(dir), bin("cpods-cc"))
            .env("CPODS_RULES", farm.dir.path().join("rules"))
            .env("PWD", farm.root.join(dir))
            .args(["sed", "-n", "-e", "w x", "../build/a.txt"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{dir}: {}", text(&output));
    }
    assert_eq!(farm.read("build/x"), b"a\n");
    assert_eq!(farm.read("elsewhere/x"), b"a\n");
}
