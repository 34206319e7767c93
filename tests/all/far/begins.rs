//! A hub that has just begun, and has no pod yet.

use super::{POD, begin_hub, far, hub_of};
use crate::support::{text, wait_for};
use std::fs;

#[test]
fn jobs_of_a_hub_that_just_began_wait_for_its_pods() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    let config = farm.dir.path().join("far.toml");
    fs::write(&config, POD).unwrap();
    // The worker is there already, as it is whenever a hub begins anew.
    drop(hub_of(&farm, &sshd, &config));
    let args = ["--config".as_ref(), config.as_os_str()];
    let _hub = begin_hub(&farm, &sshd, &args);
    wait_for("the hub", || farm.status());
    farm.cc_remote(&["gcc", "-c", "a.c"]);
}

#[test]
fn jobs_do_not_wait_for_pods_that_are_known_not_to_come() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    let config = farm.dir.path().join("far.toml");
    fs::write(&config, "[[pods]]\nname = \"nowhere.invalid\"\n").unwrap();
    let args = ["--config".as_ref(), config.as_os_str()];
    let _hub = begin_hub(&farm, &sshd, &args);
    wait_for("the hub", || farm.status());
    let refused = farm.cc(&["gcc", "-c", "a.c"]);
    assert_eq!(refused.status.code(), Some(125));
    let said = text(&refused);
    assert!(said.contains("(cannot connect: "), "{said}");
    assert!(!said.contains("waited"), "{said}");
}
