//! Workers of one user on one machine: together never more than their slots, and each hub's turn.

use crate::support::{Daemon, Farm, bin, wait_for, wait_for_answer, wait_for_end};
use crate::tool::{Process, gates, make_tool, wait_for_gates};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

const SLOTS: usize = 2;

/// A hub of its own, by this configuration.
struct Hub {
    socket: PathBuf,
    name: &'static str,
    _daemon: Daemon,
}

impl Hub {
    fn start(farm: &Farm, name: &'static str, config: &str) -> Self {
        let file = farm.dir.path().join(format!("{name}.toml"));
        fs::write(&file, config).unwrap();
        let socket = farm.dir.path().join(format!("{name}.hub"));
        let mut command = farm.command(bin("cpods-schedd"));
        command
            .arg("--config")
            .arg(file)
            .arg("--socket")
            .arg(&socket);
        command.arg("--root").arg(&farm.root).stderr(Stdio::null());
        let hub = Self {
            _daemon: Daemon::new(command.spawn().unwrap()),
            socket,
            name,
        };
        wait_for("the hub's pod", || {
            let mut ask = farm.command(bin("cpods"));
            let output = ask.env("CPODS_HUB", &hub.socket).args(["status", "--json"]);
            let status = output.output().unwrap().stdout;
            let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
            (status["pods"][0]["up"] == true).then_some(())
        });
        hub
    }

    /// Jobs that wait at their gate, each with the hub's name in what it writes.
    fn submit(&self, farm: &Farm, count: usize) -> Vec<Child> {
        let job = |n| {
            let mut command = farm.command(bin("cpods-cc"));
            let out = format!("{}{n}", self.name);
            let command = command.args(["./tool", "gate", "in", &out, &farm.tag()]);
            let command = command.env("CPODS_HUB", &self.socket);
            command.env("CPODS_FALLBACK", "0").spawn().unwrap()
        };
        (0..count).map(job).collect()
    }

    fn owns(&self, job: &Process) -> bool {
        job.argv.iter().any(|word| word.starts_with(self.name))
    }
}

#[test]
fn a_service_and_a_hubs_own_worker_share_their_slots_and_take_turns() {
    let farm = Farm::without_hub();
    make_tool(&farm);
    farm.write("in", "slow\n");
    let socket = farm.dir.path().join("workd.sock");
    let slots = SLOTS.to_string();
    let mut service = farm.command(bin("cpods-workd"));
    service.args(["--slots", &slots, "--socket"]).arg(&socket);
    service.arg("--cache").arg(farm.dir.path().join("service"));
    let _service = Daemon::new(service.stderr(Stdio::null()).spawn().unwrap());
    wait_for_answer("the service", &socket);
    let far = format!(
        "[[pods]]\nname = \"far\"\nunix = \"{}\"\n",
        socket.display()
    );
    let first = Hub::start(&farm, "first", &far);
    let own = format!("[[pods]]\nname = \"local\"\nown = true\nslots = {SLOTS}\n");
    let second = Hub::start(&farm, "second", &own);

    let mut jobs = first.submit(&farm, 4);
    wait_for_gates(&farm, SLOTS);
    jobs.extend(second.submit(&farm, 2));
    // The others have every chance to begin, if nothing holds them.
    std::thread::sleep(Duration::from_secs(2));
    let mut ended = Vec::new();
    while !jobs.is_empty() {
        wait_for("the slots to be full", || {
            (gates(&farm).len() >= SLOTS.min(jobs.len())).then_some(())
        });
        std::thread::sleep(Duration::from_millis(100));
        let running = gates(&farm);
        assert!(running.len() <= SLOTS, "{running:?}");
        // The second hub gets nothing because jobs of its own had ended.
        let next = running.iter().find(|job| first.owns(job));
        let next = next.unwrap_or(&running[0]);
        ended.push(if first.owns(next) { 1 } else { 2 });
        next.signal(Signal::USR1);
        let done = wait_for("its end", || {
            jobs.iter_mut()
                .position(|job| job.try_wait().unwrap().is_some())
        });
        assert!(wait_for_end("a job", &mut jobs.swap_remove(done)).success());
        if ended.len() == 1 {
            // It has waited since before a slot was free, and the first has its share without.
            wait_for("the second hub's turn", || {
                gates(&farm)
                    .iter()
                    .any(|job| second.owns(job))
                    .then_some(())
            });
        }
    }
    assert_eq!(ended.len(), 6);
}
