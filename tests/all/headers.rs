//! Pods that have the hub's compiler, but not its headers.

use crate::support::{Daemon, Farm, bin, text, wait_for, wait_for_answer};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A hub with one pod that has a mirror. Each sees this machine with some changes of its own, which
/// a script makes to it.
struct Changed {
    farm: Farm,
    hub: Daemon,
    _worker: Daemon,
}

impl Changed {
    fn new(hub: &str, pod: &str) -> Self {
        Self::configured(hub, pod, "")
    }

    /// With this, too, in the pod's configuration.
    fn configured(hub: &str, pod: &str, more: &str) -> Self {
        let it = Self::begun(hub, pod, more);
        it.farm.wait_up();
        it
    }

    /// The same, and the pod may not have joined yet.
    fn begun(hub: &str, pod: &str, more: &str) -> Self {
        let farm = Farm::without_hub();
        let dir = farm.dir.path();
        let socket = dir.join("pod1.sock");
        let mut worker = start(&farm, pod, "cpods-workd", "pod1");
        worker.arg("--socket").arg(&socket);
        worker.arg("--cache").arg(dir.join("pod1.cache"));
        worker.args(["--view", "overlay", "--slots", "2", "--log", "debug"]);
        let worker = Daemon::new(worker.spawn().unwrap());
        // A pod that cannot be reached is not waited for.
        wait_for_answer("the worker", &socket);
        let socket = socket.display();
        let config =
            format!("[[pods]]\nname = \"pod1\"\nunix = \"{socket}\"\nfiles = \"mirror\"\n{more}");
        fs::write(dir.join("hub.toml"), config).unwrap();
        let mut schedd = start(&farm, hub, "cpods-schedd", "schedd");
        schedd.arg("--socket").arg(farm.hub_socket());
        schedd.arg("--root").arg(&farm.root);
        schedd.arg("--config").arg(dir.join("hub.toml"));
        schedd.args(["--log", "debug", "--patience", "300"]);
        let hub = Daemon::new(schedd.spawn().unwrap());
        Self {
            farm,
            hub,
            _worker: worker,
        }
    }

    /// A file as the hub sees it.
    fn on_hub(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.hub.pid()))
    }

    /// Runs a command on the pod, and here: what they write is the same.
    fn same(&self, argv: &[&str], outputs: &[&str]) {
        self.farm.cc_remote(argv);
        let there: Vec<_> = outputs.iter().map(|name| self.farm.read(name)).collect();
        let bare = self.farm.bare(argv);
        assert!(bare.status.success(), "{}", text(&bare));
        for (name, there) in outputs.iter().zip(there) {
            assert!(self.farm.read(name) == there, "{argv:?}: {name}");
        }
    }
}

/// A daemon in a mount namespace that a script changes first.
fn start(farm: &Farm, script: &str, program: &str, log: &str) -> Command {
    let mut command = farm.command("unshare");
    let script = format!("set -e\n{script}\nexec \"$@\"");
    command.args(["-Urm", "sh", "-c", &script, "sh"]);
    command.arg(bin(program));
    let log = farm.dir.path().join(format!("{log}.log"));
    let log = fs::File::options().append(true).create(true).open(log);
    command.stderr(log.unwrap());
    command
}

/// Without any package of headers, and without a place to put some.
const NO_HEADERS: &str = "mount -t tmpfs none /usr/include; mount -t tmpfs none /usr/local";

const C: &str = "#include <stdio.h>\n#include <sys/socket.h>\n#include <stdint.h>\n\
    int main(void) { return puts(\"x\") + (int)sizeof(struct sockaddr); }\n";
const CXX: &str = "#include <vector>\n#include <iostream>\n\
    int main() { std::vector<int> v(3); std::cout << v.size(); }\n";

#[test]
fn a_pod_without_headers_is_shown_the_hubs() {
    let it = Changed::new("", NO_HEADERS);
    it.farm.write("a.c", C);
    it.farm.write("a.cc", CXX);
    let c = ["gcc", "-g", "-O2", "-MD", "-c", "a.c", "-o", "a.o"];
    it.same(&c, &["a.o", "a.d"]);
    let cxx = ["g++", "-g", "-MD", "-c", "a.cc", "-o", "b.o"];
    it.same(&cxx, &["b.o", "b.d"]);
    // A search for what nobody has ends as it does here.
    let probe = "#if __has_include(<none.h>)\n#error\n#endif\nint x;\n";
    it.farm.write("none.c", probe);
    it.same(&["gcc", "-c", "none.c"], &["none.o"]);
}

#[test]
fn what_waits_for_a_pod_without_headers_runs_there() {
    let it = Changed::begun("", NO_HEADERS, "");
    it.farm.write("a.c", C);
    wait_for("the hub", || it.farm.status());
    it.same(&["gcc", "-g", "-c", "a.c", "-o", "a.o"], &["a.o"]);
}

#[test]
fn a_pod_with_other_headers_is_shown_the_hubs() {
    // Other ones, more of them, and directories that the compiler looks for and the hub has not.
    let other = "mount -t tmpfs none /usr/include
        echo '#error of the pod' | tee /usr/include/stdio.h > /usr/include/only_there.h
        mount -t tmpfs none /usr/local
        mkdir /usr/local/include
        echo '#error of the pod' | tee /usr/local/include/stdio.h > /usr/local/include/only_there.h
        gcc=$(dirname \"$(gcc -print-prog-name=cc1)\")
        over=$(mktemp -d)
        mount -t tmpfs none \"$over\"
        mkdir -p \"$over/include-fixed\"
        echo '#error of the pod' > \"$over/include-fixed/only_there.h\"
        mount -t overlay none -o \"lowerdir=$over:$gcc,userxattr\" \"$gcc\"";
    let it = Changed::new("", other);
    it.farm.write("a.c", C);
    it.same(&["gcc", "-g", "-c", "a.c"], &["a.o"]);
    let probe = "#if __has_include(<only_there.h>)\n#error\n#endif\nint x;\n";
    it.farm.write("b.c", probe);
    it.same(&["gcc", "-c", "b.c"], &["b.o"]);
}

#[test]
fn a_change_of_the_hubs_headers_is_seen_by_the_next_job() {
    let hub = "mount -t tmpfs none /usr/local; mkdir /usr/local/include
        echo '#define A 1000' > /usr/local/include/a.h";
    let it = Changed::new(hub, NO_HEADERS);
    it.farm
        .write("a.c", "#include <a.h>\nint f(void) { return A; }\n");
    let compiled = |value: u32| {
        it.farm.cc_remote(&["gcc", "-S", "a.c"]);
        let text = String::from_utf8(it.farm.read("a.s")).unwrap();
        assert!(text.contains(&format!("${value},")), "{value}: {text}");
    };
    compiled(1000);
    let header = it.on_hub("/usr/local/include/a.h");
    for value in 1001..1020 {
        fs::write(&header, format!("#define A {value}\n")).unwrap();
        compiled(value);
    }
    // A directory that was not there, one that is gone, and all of it gone and made anew.
    let dir = it.on_hub("/usr/local/include");
    fs::create_dir(dir.join("sub")).unwrap();
    fs::rename(&header, dir.join("sub/b.h")).unwrap();
    fs::write(&header, "#include <sub/b.h>\n").unwrap();
    compiled(1019);
    fs::remove_dir_all(&dir).unwrap();
    let output = it.farm.cc(&["gcc", "-S", "a.c"]);
    assert!(!output.status.success(), "{}", text(&output));
    fs::create_dir(&dir).unwrap();
    fs::write(&header, "#define A 2000\n").unwrap();
    it.farm.wait_up();
    compiled(2000);
}

/// Without a compiler, too.
const NO_COMPILER: &str = "mount -t tmpfs none /usr/include; mount -t tmpfs none /usr/local
    mount -t tmpfs none /usr/lib/gcc; export PATH=/usr/local/bin";

#[test]
fn a_pod_without_a_compiler_is_sent_the_hubs() {
    let it = Changed::configured("", NO_COMPILER, "toolchain = \"send\"\n");
    it.farm.write("a.c", C);
    it.farm.write("a.cc", CXX);
    let c = ["gcc", "-g", "-O2", "-MD", "-c", "a.c", "-o", "a.o"];
    it.same(&c, &["a.o", "a.d"]);
    let cxx = ["g++", "-g", "-MD", "-c", "a.cc", "-o", "b.o"];
    it.same(&cxx, &["b.o", "b.d"]);
    it.same(&c, &["a.o", "a.d"]);
    let clang = ["clang", "-g", "-O2", "-MD", "-c", "a.c", "-o", "c.o"];
    it.same(&clang, &["c.o", "c.d"]);
    let clang = ["clang++", "-g", "-c", "a.cc", "-o", "d.o"];
    it.same(&clang, &["d.o"]);
    // What it says, too, in other letters than ASCII's.
    it.farm.write("bad.c", "int f(void) { retrun 1; }\n");
    let bad = ["gcc", "-c", "bad.c"];
    let there = it.farm.cc(&bad);
    let bare = it.farm.bare(&bad);
    assert_eq!(text(&there), text(&bare));
}

#[test]
fn no_compiler_is_sent_unasked() {
    let it = Changed::new("", NO_COMPILER);
    it.farm.write("a.c", C);
    let output = it.farm.cc(&["gcc", "-c", "a.c"]);
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("offers no gcc"), "{}", text(&output));
}
