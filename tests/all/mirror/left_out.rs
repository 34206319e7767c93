//! What is left out of a root is refused on a mirror, and not absent.

use super::by_need::write_shell;
use super::{cache, copies, start_worker};
use crate::support::{Daemon, Farm, bin, text};
use std::fs;
use std::os::unix::fs::MetadataExt;

fn start_hub(farm: &Farm, globs: &str) -> Daemon {
    let config = farm.dir.path().join("left_out.toml");
    let (root, pod) = (farm.root.display(), farm.pod_socket());
    let text = format!(
        "roots = [{{ path = \"{root}\", leave_out = [{globs}] }}]\n\
         [[pods]]\nname = \"pod1\"\nunix = \"{}\"\nfiles = \"mirror\"\n",
        pod.display()
    );
    fs::write(&config, text).unwrap();
    let log = fs::File::create(farm.dir.path().join("schedd.log")).unwrap();
    let hub = farm
        .command(bin("cpods-schedd"))
        .args(["--log", "debug", "--socket"])
        .arg(farm.hub_socket())
        .arg("--root")
        .arg(&farm.root)
        .arg("--config")
        .arg(config)
        .stderr(log)
        .spawn();
    let hub = Daemon::new(hub.unwrap());
    farm.wait_up();
    hub
}

#[test]
fn what_is_left_out_is_refused() {
    let farm = Farm::without_hub();
    farm.write("keys/deep/secret.h", "#define A 1\n");
    farm.write("x.key", "secret");
    write_shell(&farm);
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm, "\"keys\", \"**/*.key\"");
    let refused = |name: &str| {
        let output = farm.cc(&["./shell", "-c", &format!("cat {name}")]);
        let said = text(&output);
        assert!(!output.status.success(), "{name}: {said}");
        assert!(said.contains("Permission denied"), "{name}: {said}");
    };
    refused("keys/deep/secret.h");
    refused("x.key");
    // Made while everything runs, and in the place of others.
    farm.write("later.key", "secret");
    farm.write("d/later.key/x", "secret");
    refused("later.key");
    refused("d/later.key/x");
    fs::rename(farm.root.join("later.key"), farm.root.join("shown")).unwrap();
    let output = farm.cc_remote(&["./shell", "-c", "cat shown; ls; test ! -e later.key"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with("secret") && said.contains("keys\n"),
        "{said}"
    );
    let output = farm.cc(&["./shell", "-c", "echo x >keys/new"]);
    assert!(text(&output).contains("Permission denied"));
    let copy = copies(&cache(&farm, "pod1")).remove(0);
    let of = |name: &str| copy.join(name).symlink_metadata().unwrap();
    assert_eq!(of("keys").mode(), 0o40_000);
    assert_eq!((of("x.key").mode(), of("x.key").len()), (0o100_000, 0));
    // As those who may see it see it.
    if let Ok(mut found) = fs::read_dir(copy.join("keys")) {
        assert!(found.next().is_none());
    }
}

#[test]
fn a_job_that_is_refused_runs_here() {
    let farm = Farm::without_hub();
    farm.write("keys/secret.h", "#define A 1\n");
    farm.write("a.c", "#include \"keys/secret.h\"\nint a = A;\n");
    let has = "#if __has_include(\"keys/secret.h\")\nint a;\n#else\nint b;\n#endif\n";
    farm.write("has.c", has);
    farm.write("late.c", has.replace("secret", "late"));
    let _worker = start_worker(&farm);
    let _hub = start_hub(&farm, "\"keys/*.h\"");
    for (tried, name) in (1..).zip(["a", "has", "late", "late"]) {
        if tried == 4 {
            farm.write("keys/late.h", "");
        }
        let (from, to) = (format!("{name}.c"), format!("{name}.o"));
        let compile = ["gcc", "-c", &from, "-o", &to];
        let mut job = farm.command(bin("cpods-cc"));
        let output = job.args(compile).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let object = farm.read(&to);
        assert!(farm.bare(&compile).status.success());
        assert!(object == farm.read(&to), "{name}: as it is here");
        assert_eq!(farm.finished(), tried, "the pod tried");
    }
}
