//! Peers that break the protocol are dropped, with a line in the log, and disturb nobody.

use crate::support::{Farm, text, wait_for};
use cpods::wire::frame::{HELLO_BYTES, Hello, Kind, MAX_MESSAGE_BYTES, PROTOCOL, Peer, head};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

const FRAMES: u64 = 10_000;
/// A real job goes through between the broken ones this often.
const JOB_EVERY: u64 = 2_500;
/// More than this at the end means that broken peers left something behind.
const MOST_GROWTH_KIB: u64 = 32 << 10;

/// A small generator of its own, so that a failure can be had again by its seed (Marsaglia's
/// xorshift, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.next() % most;
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// What a broken peer sends: of six kinds in turn.
fn broken(turn: u64, peer: Peer, random: &mut Random) -> Vec<u8> {
    let mut bytes = Hello::ours(peer).to_bytes().to_vec();
    match turn % 6 {
        // Another program.
        0 => bytes[..6].copy_from_slice(b"GET / "),
        // Another version.
        1 => bytes[6..8].copy_from_slice(&(PROTOCOL + 7).to_le_bytes()),
        // A frame longer than any may be.
        2 => bytes.extend(head(Kind::Message, MAX_MESSAGE_BYTES + 1)),
        // A kind that is none.
        3 => bytes.extend([9, 0, 0, 0, 77]),
        // A whole frame of nonsense.
        4 => {
            let nonsense = random.bytes(300);
            bytes.extend(head(Kind::Message, nonsense.len()));
            bytes.extend(nonsense);
        }
        // Cut off in the middle.
        _ => {
            bytes.extend(head(Kind::Message, 1000));
            bytes.extend(random.bytes(900));
        }
    }
    bytes
}

/// Sends it, and waits until the daemon has had enough: it closes, whatever it was sent.
fn send(socket: &Path, bytes: &[u8]) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // The daemon may close before it has read all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "{bytes:02x?}: {error}"
        );
    }
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn storm(farm: &Farm, socket: &Path, peer: Peer, pid: u32, seed: u64) {
    let mut random = Random(seed);
    farm.write("a.c", "int a;\n");
    farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
    let before = resident_kib(pid);
    for turn in 0..FRAMES {
        send(socket, &broken(turn, peer, &mut random));
        if turn % JOB_EVERY == 0 {
            farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
        }
    }
    let after = resident_kib(pid);
    assert!(
        after < before + MOST_GROWTH_KIB,
        "seed {seed}: grew from {before} to {after} KiB"
    );
    farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
}

/// Lines about dropped peers; no broken peer may cost more than one.
fn dropped(log: &str) -> usize {
    log.lines().filter(|line| line.contains("dropped")).count()
}

#[test]
fn ten_thousand_broken_clients_disturb_no_hub() {
    let farm = Farm::new();
    storm(
        &farm,
        &farm.hub_socket(),
        Peer::Client,
        farm.schedd.pid(),
        0x5eed_0001,
    );
    let lines = wait_for("the log", || {
        let lines = dropped(&farm.log("schedd"));
        (lines > 1000).then_some(lines)
    });
    assert!(lines as u64 <= FRAMES, "{lines} lines for {FRAMES} peers");
}

#[test]
fn ten_thousand_broken_hubs_disturb_no_worker() {
    let farm = Farm::new();
    storm(
        &farm,
        &farm.pod_socket(),
        Peer::Hub,
        farm.workds[0].pid(),
        0x5eed_0002,
    );
    let lines = wait_for("the log", || {
        let lines = dropped(&farm.log("pod1"));
        (lines > 1000).then_some(lines)
    });
    assert!(lines as u64 <= FRAMES, "{lines} lines for {FRAMES} peers");
}

/// A hub of another version: says so, and the build goes on.
#[test]
fn a_hub_of_another_version_is_named_and_the_command_runs_here() {
    let farm = Farm::new();
    farm.write("a.c", "int a;\n");
    let socket = farm.dir.path().join("old.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let old = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = Hello::ours(Peer::Hub).to_bytes();
        hello[6..8].copy_from_slice(&(PROTOCOL + 1).to_le_bytes());
        stream.write_all(&hello).unwrap();
        let mut answer = [0; HELLO_BYTES];
        let _ = stream.read(&mut answer);
    });
    let mut command = farm.command(crate::support::bin("cpods-cc"));
    command.env("CPODS_HUB", &socket).env("CPODS_VERBOSE", "1");
    let output = command
        .args(["gcc", "-c", "a.c", "-o", "a.o"])
        .output()
        .unwrap();
    old.join().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let version = format!("version {} of the cpods protocol", PROTOCOL + 1);
    assert!(text(&output).contains(&version), "{}", text(&output));
    assert!(farm.root.join("a.o").exists());
}
