//! `cpods doctor` on pods that are well and on pods that are not, each fault made for real.

use crate::sshd::{self, Sshd};
use crate::support::{Daemon, Farm, bin, text, wait_for};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

fn far() -> (Farm, Sshd) {
    let farm = Farm::without_hub();
    let sshd = Sshd::start(farm.dir.path());
    (farm, sshd)
}

fn doctor(farm: &Farm, sshd: &Sshd, args: &[&str]) -> Output {
    farm.command(bin("cpods"))
        .env("CPODS_SSH", sshd.ssh())
        .env("CPODS_WORKERS", sshd::workers())
        .env("XDG_CONFIG_HOME", farm.dir.path().join("config"))
        .arg("doctor")
        .args(args)
        .output()
        .unwrap()
}

/// Has the user's own file say this.
fn configure(farm: &Farm, text: &str) {
    let folder = farm.dir.path().join("config/cpods");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("hub.toml"), text).unwrap();
}

/// The lines of this level.
fn lines<'a>(said: &'a str, level: &str) -> Vec<&'a str> {
    let begin = format!("  {level}");
    said.lines()
        .filter(|line| line.starts_with(&begin))
        .collect()
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Lets the pod's login shell be this script, which finds the command in `$SSH_ORIGINAL_COMMAND`.
fn login_shell(farm: &Farm, sshd: &Sshd, body: &str) {
    let shell = farm.dir.path().join("login-shell");
    script(&shell, body);
    let key = sshd.dir.join("key.pub");
    let line = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("command=\"{}\" {line}", shell.display())).unwrap();
}

#[test]
fn a_good_pod_is_found_good() {
    let (farm, sshd) = far();
    configure(&farm, "[[pods]]\nname = \"far\"\nfiles = \"sshfs\"\n");
    for sent in [true, false] {
        let output = doctor(&farm, &sshd, &["far"]);
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        assert!(
            lines(&said, "WARN").is_empty() && lines(&said, "FAIL").is_empty(),
            "{said}"
        );
        for what in [
            "hub.toml",
            "rules",
            "roots",
            "ssh",
            "sftp jail",
            "connection",
            "login shell",
            "worker",
            "clock",
            "files",
            "sshfs",
            "fusermount3",
            "/dev/fuse",
            "view",
            "disk",
            "tool gcc",
        ] {
            let begin = format!("  ok    {what}: ");
            assert!(said.contains(&begin), "{what}: {said}");
        }
        assert!(said.contains("pod far (ssh:far): all is well"), "{said}");
        assert_eq!(said.contains("was sent"), sent, "{said}");
    }
    // What is looked at is left as it was.
    let left = fs::read_dir(sshd.cache().join("work")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[test]
fn how_a_pod_comes_to_the_files_is_told() {
    let (farm, sshd) = far();
    farm.write("a.c", "int a;\n");
    for (config, said) in [
        ("", "ok    files: mirror\n"),
        (
            "mirror_gib = 0\n",
            "ok    files: sshfs, and no mirror: the roots hold",
        ),
        (
            "[[pods]]\nname = \"far\"\nview = \"rewrite\"\n",
            "ok    files: sshfs, and no mirror: its view is `rewrite`",
        ),
        (
            "mirror_gib = 0\n[[pods]]\nname = \"far\"\nfiles = \"mirror\"\n",
            "WARN  files: mirror, as configured, though the roots hold",
        ),
    ] {
        let root = format!("roots = [\"{}\"]\n{config}", farm.root.display());
        configure(&farm, &root);
        let output = doctor(&farm, &sshd, &["far"]);
        let found = text(&output);
        assert!(output.status.success(), "{found}");
        assert!(found.contains(said), "{said}: {found}");
        assert_eq!(
            found.contains("/dev/fuse"),
            said.contains("sshfs"),
            "{found}"
        );
    }
}

#[test]
fn what_a_pod_lacks_is_told() {
    let (farm, sshd) = far();
    configure(&farm, "[[pods]]\nname = \"far\"\nfiles = \"sshfs\"\n");
    let tools = farm.dir.path().join("few");
    fs::create_dir(&tools).unwrap();
    for name in [
        "sh", "uname", "id", "head", "mkdir", "wc", "chmod", "mv", "rm", "cat",
    ] {
        symlink(Path::new("/bin").join(name), tools.join(name)).unwrap();
    }
    let path = format!("PATH={}; export PATH", tools.display());
    login_shell(
        &farm,
        &sshd,
        &format!("{path}\nexec sh -c \"$SSH_ORIGINAL_COMMAND\""),
    );
    let output = doctor(&farm, &sshd, &["far"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let failed = lines(&said, "FAIL");
    assert_eq!(failed.len(), 2, "{said}");
    assert!(failed[0].contains("sshfs: cannot run `sshfs`"), "{said}");
    assert!(failed[0].contains("install sshfs"), "{said}");
    assert!(failed[1].contains("fusermount3: there is no"), "{said}");
    assert!(said.contains("NOT usable: sshfs, fusermount3"), "{said}");
    // Without sshfs all is well, but for what is missing to work with.
    let config = farm.dir.path().join("hub.toml");
    fs::write(&config, "[[pods]]\nname = \"far\"\nfiles = \"shared\"\n").unwrap();
    let output = doctor(&farm, &sshd, &["--config", config.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_changed_host_key_is_told() {
    let (farm, sshd) = far();
    let other = fs::read_to_string(sshd.dir.join("key.pub")).unwrap();
    let known = format!("[127.0.0.1]:{} {other}", sshd.port);
    fs::write(sshd.dir.join("known"), known).unwrap();
    let output = doctor(&farm, &sshd, &["far"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let failed = lines(&said, "FAIL");
    assert!(
        failed.len() == 1
            && failed[0].contains("connection: its host key is not the one that is known"),
        "{said}"
    );
}

#[test]
fn a_greeting_shell_is_told() {
    let (farm, sshd) = far();
    configure(&farm, "[[pods]]\nname = \"far\"\nfiles = \"sshfs\"\n");
    login_shell(
        &farm,
        &sshd,
        "echo Welcome to far.\necho\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"",
    );
    let output = doctor(&farm, &sshd, &["far"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let failed = lines(&said, "FAIL");
    assert!(
        failed.len() == 1 && failed[0].contains("login shell: prints `Welcome to far.`"),
        "{said}"
    );
}

#[test]
fn another_compiler_is_told_part_by_part() {
    let (farm, sshd) = far();
    let other: PathBuf = farm.dir.path().join("other");
    fs::create_dir_all(other.join("inc")).unwrap();
    fs::write(other.join("inc/more.h"), "#define MORE\n").unwrap();
    fs::copy("/bin/true", other.join("cc1")).unwrap();
    let at = other.display();
    script(
        &other.join("gcc"),
        &format!(
            "case \"$1\" in\n-print-prog-name=cc1) echo {at}/cc1 ;;\n\
             *) exec /usr/bin/gcc \"$@\" -isystem {at}/inc ;;\nesac"
        ),
    );
    let path = format!("PATH={at}:$PATH; export PATH");
    login_shell(
        &farm,
        &sshd,
        &format!("{path}\nexec sh -c \"$SSH_ORIGINAL_COMMAND\""),
    );
    let output = doctor(&farm, &sshd, &["far"]);
    let said = text(&output);
    assert!(output.status.success(), "a warning only: {said}");
    // And those that call it, as c99 does.
    let mut warned = lines(&said, "WARN");
    warned.retain(|line| line.contains("tool gcc: `gcc`: "));
    assert_eq!(warned.len(), 1, "{said}");
    let header = format!("headers in `{at}/inc` only there");
    for part in [
        "the program itself differs",
        "`cc1` differs",
        &header,
        "install the same version, or set `[tools.gcc] match = \"version\"`",
    ] {
        assert!(warned[0].contains(part), "{part}: {said}");
    }
    for part in ["`as` differs", "libraries of `cc1`"] {
        assert!(!warned[0].contains(part), "{part}: {said}");
    }
    assert!(said.contains("pod far (ssh:far): usable, with "), "{said}");
    let config = farm.dir.path().join("hub.toml");
    fs::write(&config, "[tools.gcc]\nmatch = \"version\"\n").unwrap();
    let output = doctor(&farm, &sshd, &["--config", config.to_str().unwrap(), "far"]);
    let said = text(&output);
    // What else calls gcc (Frama-C does) is another tool still.
    let mut warned = lines(&said, "WARN");
    warned.retain(|line| line.contains("tool gcc: "));
    assert!(warned.is_empty(), "{said}");
    assert!(said.contains("tool gcc: the same version: "), "{said}");
}

#[test]
fn the_hubs_own_faults_are_told() {
    let (farm, sshd) = far();
    let config = farm.dir.path().join("hub.toml");
    let named = ["--config", config.to_str().unwrap(), "local"];
    fs::write(&config, "roots = [\"/nonexistent/root\"]\n").unwrap();
    let output = doctor(&farm, &sshd, &named);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAIL  roots: root `/nonexistent/root`"),
        "{said}"
    );
    assert!(
        said.contains("pod local (this machine): all is well"),
        "{said}"
    );
    fs::write(&config, "\nroots = 3\n").unwrap();
    let said = text(&doctor(&farm, &sshd, &named));
    let told = format!("FAIL  hub.toml: {}:2: `roots`: ", config.display());
    assert!(said.contains(&told), "{said}");
    let rules = farm.dir.path().join("config/cpods/rules");
    fs::create_dir_all(&rules).unwrap();
    fs::write(rules.join("a.toml"), "programs = [\"a\"]\nspeed = 3\n").unwrap();
    let said = text(&doctor(&farm, &sshd, &["local"]));
    assert!(
        said.contains("FAIL  rules: ") && said.contains("a.toml:2: "),
        "{said}"
    );
}

#[test]
fn a_pods_wrong_file_is_told() {
    let (farm, sshd) = far();
    let config = farm.dir.path().join("pod-config");
    fs::create_dir_all(config.join("cpods")).unwrap();
    fs::write(config.join("cpods/pod.toml"), "\nslots = 0\n").unwrap();
    let set = format!(
        "XDG_CONFIG_HOME={}; export XDG_CONFIG_HOME",
        config.display()
    );
    login_shell(
        &farm,
        &sshd,
        &format!("{set}\nexec sh -c \"$SSH_ORIGINAL_COMMAND\""),
    );
    let said = text(&doctor(&farm, &sshd, &["far"]));
    let failed = lines(&said, "FAIL");
    assert!(
        failed.len() == 1 && failed[0].contains("pod.toml:2: `slots` must be"),
        "{said}"
    );
}

#[test]
fn a_running_hubs_pods_are_looked_at() {
    let farm = Farm::new();
    let output = farm.command(bin("cpods")).arg("doctor").output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("ok    view: overlay"), "{said}");
    assert!(said.contains("pod1.sock): all is well"), "{said}");
}

#[test]
fn a_root_that_is_missing_is_named_and_the_others_are_served() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let root = farm.root.display();
    configure(
        &farm,
        &format!(
            "roots = [\"/no/such/disk\", \"{root}\"]\n[[pods]]\nname = \"local\"\nown = true\n"
        ),
    );
    let command = |program: &str| {
        let mut command = farm.command(bin(program));
        command.env("XDG_CONFIG_HOME", farm.dir.path().join("config"));
        command
    };
    let said = text(&command("cpods").arg("doctor").output().unwrap());
    let failed = lines(&said, "FAIL");
    assert!(
        failed.len() == 1 && failed[0].contains("/no/such/disk"),
        "{said}"
    );
    assert!(
        lines(&said, "ok")
            .iter()
            .any(|line| line.contains(&root.to_string())),
        "{said}"
    );
    let log = farm.dir.path().join("schedd.log");
    let hub = command("cpods-schedd")
        .arg("--socket")
        .arg(farm.hub_socket())
        .stderr(fs::File::create(&log).unwrap())
        .spawn();
    let hub = Daemon::new(hub.unwrap());
    wait_for("the hub to serve the other root", || {
        let output = command("cpods").args(["status", "--json"]).output();
        let said = text(&output.unwrap());
        said.contains(&format!("\"{root}\"")).then_some(())
    });
    drop(hub);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("/no/such/disk"), "{said}");
    // With none left there is nothing to serve.
    configure(&farm, "roots = [\"/no/such/disk\"]\n");
    let output = command("cpods-schedd").output().unwrap();
    assert!(
        output.status.code() == Some(125) && text(&output).contains("/no/such/disk"),
        "{}",
        text(&output)
    );
}
