//! Adding a tool is writing one TOML file.

use crate::support::{Daemon, Farm, bin, text, wait_for};
use cpods::paths::Roots;
use cpods::wire::blocking::Connection;
use cpods::wire::frame::Peer;
use cpods::wire::messages::{Files, FromPod, ToPod};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

const DOT: &str = r#"
summary = "Graphviz"
programs = ["dot"]

[probe]
version = ["-V"]
program = true
libraries = true

[operands]
value = "input"
required = true

[[flags]]
names = ["-T"]
attach = "joined"
value = "text"

[[flags]]
names = ["-o"]
attach = "either"
value = "output"

[ninja.variables]
dot_flags = "further flags"

[[ninja.rules]]
name = "svg"
about = "draws $in as $out"
command = "$cpods dot -Tsvg $dot_flags $in -o $out"
description = "DOT $out"
"#;

#[test]
fn a_tool_is_added_by_one_file() {
    let farm = Farm::without_hub();
    let rules = farm.dir.path().join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("dot.toml"), DOT).unwrap();
    let config = farm.dir.path().join("pod.toml");
    fs::write(&config, format!("rules = \"{}\"\n", rules.display())).unwrap();
    let log = |name: &str| File::create(farm.dir.path().join(name)).unwrap();
    let worker = farm
        .command(bin("cpods-workd"))
        .arg("--socket")
        .arg(farm.pod_socket())
        .arg("--cache")
        .arg(farm.dir.path().join("cache"))
        .arg("--config")
        .arg(&config)
        .stderr(log("pod1.log"))
        .spawn();
    let _worker = Daemon::new(worker.unwrap());
    let hub = farm
        .command(bin("cpods-schedd"))
        .env("CPODS_RULES", &rules)
        .arg("--socket")
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root)
        .args(["--patience", "0", "--pod"])
        .arg(format!("pod1=unix:{}", farm.pod_socket().display()))
        .stderr(log("schedd.log"))
        .spawn();
    let _hub = Daemon::new(hub.unwrap());
    wait_for("dot to be offered", || {
        let pod = farm.status()?["pods"][0].clone();
        let tools = pod["tools"].as_array()?.clone();
        tools.iter().any(|tool| tool["tool"] == "dot").then_some(())
    });

    // From its snippet, through Ninja.
    let snippets = farm
        .command(bin("cpods-gen"))
        .env("CPODS_RULES", &rules)
        .args(["rules", "dot", "-o"])
        .arg(&farm.root)
        .output()
        .unwrap();
    assert!(snippets.status.success(), "{}", text(&snippets));
    farm.write("a.dot", "digraph { hub -> pod }\n");
    farm.write(
        "build.ninja",
        "include dot.ninja\nbuild a.svg: dot_svg a.dot\n",
    );
    let built = farm
        .command("ninja")
        .env("CPODS_RULES", &rules)
        .env("CPODS_FALLBACK", "0")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built));
    assert_eq!(farm.finished(), 1, "{}", text(&built));
    let svg = farm.read("a.svg");
    assert!(
        farm.bare(&["dot", "-Tsvg", "a.dot", "-o", "a.svg"])
            .status
            .success()
    );
    assert!(svg == farm.read("a.svg"), "the same picture");
}

const SLOW: &str = r#"
summary = "a tool that starts slowly"
programs = ["slowtool"]

[probe]
version = ["--version"]

[operands]
value = "input"
"#;

#[test]
fn a_pod_that_looks_for_its_tools_for_long_is_alive() {
    let farm = Farm::without_hub();
    let dir = farm.dir.path();
    fs::create_dir(dir.join("rules")).unwrap();
    fs::write(dir.join("rules/slowtool.toml"), SLOW).unwrap();
    fs::create_dir(dir.join("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\nwhile [ ! -e {}/go ]; do sleep 0.02; done\necho slowtool 1\n",
        dir.display()
    );
    let tool = dir.join("bin/slowtool");
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}/bin:/usr/bin:/bin", dir.display());
    let worker = farm
        .command(bin("cpods-workd"))
        .env("PATH", path)
        .env("CPODS_RULES", dir.join("rules"))
        .arg("--socket")
        .arg(farm.pod_socket())
        .arg("--cache")
        .arg(dir.join("cache"))
        .arg("--system")
        .arg(dir.join("bin"))
        .stderr(File::create(dir.join("pod1.log")).unwrap())
        .spawn();
    let _worker = Daemon::new(worker.unwrap());
    let stream = wait_for("a socket", || UnixStream::connect(farm.pod_socket()).ok());
    let mut pod = Connection::new(stream);
    let configure = ToPod::Configure {
        roots: Roots::default(),
        own: false,
        files: Files::Shared,
        hub: String::new(),
    };
    pod.send(Some(Peer::Hub), &configure).unwrap();
    pod.hello(Peer::Pod).unwrap();
    pod.send(None, &ToPod::Ping).unwrap();
    let next = |pod: &mut Connection<UnixStream>| {
        let frame = pod.frame().unwrap();
        frame.message::<FromPod>().unwrap()
    };
    assert!(matches!(next(&mut pod), FromPod::Pong));
    fs::write(dir.join("go"), "").unwrap();
    let FromPod::Offer(offer) = next(&mut pod) else {
        panic!("no offer")
    };
    let found = offer.tools.iter().find(|tool| tool.tool == "slowtool");
    assert_eq!(found.map(|tool| &*tool.version), Some("slowtool 1"));
}
