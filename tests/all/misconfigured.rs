//! A set-up that is wrong is named, with exit code 125: running locally would only hide it.

use crate::support::{Farm, bin, text, wait_for_answer};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const COMPILE: [&str; 5] = ["gcc", "-c", "a.c", "-o", "a.o"];

fn farm() -> Farm {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    farm
}

/// A run with this hub's socket: must fail with 125, naming it.
fn refused(farm: &Farm, socket: &str, why: &str) {
    let mut command = farm.command("cpods-cc");
    let output = command
        .env("CPODS_HUB", socket)
        .args(COMPILE)
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains(socket) && said.contains(why), "{said}");
    assert!(!farm.root.join("a.o").exists());
}

#[test]
fn a_hub_socket_that_cannot_be_one() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    refused(
        &farm,
        &format!("/tmp/{}/hub.sock", "long".repeat(40)),
        "too long",
    );
    let file = farm.write("plain", "no socket");
    refused(&farm, file.to_str().unwrap(), "not a socket");
    refused(&farm, farm.root.to_str().unwrap(), "not a socket");
}

#[test]
fn a_hub_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be somebody else.
        return;
    }
    let farm = farm();
    // As another user the hub's socket, which is root's, cannot be used ...
    let open =
        |mode| fs::set_permissions(farm.dir.path(), PermissionsExt::from_mode(mode)).unwrap();
    open(0o755);
    let as_other = |program: PathBuf| {
        let mut command = farm.command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(program);
        command
    };
    let copy = farm.dir.path().join("cpods-cc");
    fs::copy(bin("cpods-cc"), &copy).unwrap();
    let output = as_other(copy)
        .env("HOME", farm.dir.path())
        .args(COMPILE)
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(
        said.contains("another user") && said.contains("hub.sock"),
        "{said}"
    );
    // ... nor one that the other user serves.
    let copy = farm.dir.path().join("cpods-schedd");
    fs::copy(bin("cpods-schedd"), &copy).unwrap();
    let theirs = farm.dir.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    std::os::unix::fs::chown(&theirs, Some(65534), Some(65534)).unwrap();
    let socket = theirs.join("hub.sock");
    let mut daemon = as_other(copy);
    daemon
        .args(["--log", "off", "--root"])
        .arg(&farm.root)
        .arg("--socket")
        .arg(&socket);
    let mut daemon = daemon.env("HOME", farm.dir.path()).spawn().unwrap();
    wait_for_answer("the other user's hub", &socket);
    refused_as_foreign(&farm, socket.to_str().unwrap());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

fn refused_as_foreign(farm: &Farm, socket: &str) {
    let output = farm
        .command("cpods-cc")
        .env("CPODS_HUB", socket)
        .args(COMPILE)
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains(socket) && said.contains("65534"), "{said}");
}

#[test]
fn a_rule_file_that_cannot_be_used() {
    let farm = farm();
    let rules = farm.dir.path().join("rules");
    fs::create_dir(&rules).unwrap();
    let broken = rules.join("mine.toml");
    let run = |program: &str, args: &[&str]| {
        let mut command = farm.command(bin(program));
        command
            .args(args)
            .env("CPODS_RULES", &rules)
            .output()
            .unwrap()
    };
    let root = farm.root.to_str().unwrap().to_owned();
    let refused = |what: &str| {
        for (program, args) in [
            ("cpods-cc", &COMPILE[..]),
            ("cpods", &["explain", "--", "gcc", "-c", "a.c"]),
            ("cpods", &["run", "--root", &root, "--", "true"]),
        ] {
            let output = run(program, args);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(125), "{program}: {said}");
            assert!(
                said.contains("mine.toml") && said.contains(what),
                "{program}: {said}"
            );
        }
    };
    fs::write(&broken, "programs = [\"mine\"]\nnonsense = 1\n").unwrap();
    refused("nonsense");
    fs::remove_file(&broken).unwrap();
    // A directory is unreadable even for root.
    fs::create_dir(&broken).unwrap();
    refused("mine.toml");
}
