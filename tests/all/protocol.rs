//! Peers that break the protocol, by the thousand, while real work goes on; and other versions.

use crate::support::{Farm, text, wait_for};
use cpods::paths::Roots;
use cpods::wire::codec;
use cpods::wire::frame::{self, HELLO_BYTES, Hello, Kind, MAX_DATA_BYTES, MAX_MESSAGE_BYTES, Peer};
use cpods::wire::messages::{Files, FromClient, ToPod};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

const FRAMES: usize = 10_000;

/// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 to below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// What a daemon takes at first.
struct Sort {
    belongs: Peer,
    valid_message: Vec<u8>,
    decodes: fn(&[u8]) -> bool,
}

/// What one bad peer sends, and why that is bad.
struct Bad {
    kind: &'static str,
    bytes: Vec<u8>,
}

fn bad(random: &mut Random, sort: &Sort) -> Bad {
    let Sort {
        belongs,
        valid_message,
        decodes,
    } = sort;
    let belongs = *belongs;
    let hello = Hello::ours(belongs).to_bytes().to_vec();
    let with = |more: &[u8]| [&hello[..], more].concat();
    let framed =
        |payload: &[u8]| [&frame::head(Kind::Message, payload.len())[..], payload].concat();
    let (kind, bytes) = match random.below(10) {
        0 => (
            "truncated hello",
            hello[..1 + random.below(HELLO_BYTES - 1)].to_vec(),
        ),
        1 => {
            let mut bytes = hello.clone();
            bytes[random.below(6)] ^= 1 + random.below(255) as u8;
            ("wrong magic", bytes)
        }
        2 => {
            let mut bytes = hello.clone();
            bytes[7] ^= 1 + random.below(255) as u8;
            ("wrong version", bytes)
        }
        3 => {
            let wrong = [0, if belongs == Peer::Client { 2 } else { 1 }, 3, 4, 255];
            let mut bytes = hello.clone();
            bytes[8] = wrong[random.below(wrong.len())];
            ("wrong role", bytes)
        }
        4 => {
            let whole = framed(valid_message);
            let cut = 1 + random.below(whole.len() - 1);
            ("truncated frame", with(&whole[..cut]))
        }
        5 => {
            let (kind, most) = [(0, MAX_MESSAGE_BYTES), (1, MAX_DATA_BYTES)][random.below(2)];
            let over = most + 2 + random.below(u32::MAX as usize - most - 2);
            let mut head = u32::try_from(over).unwrap().to_le_bytes().to_vec();
            head.push(kind);
            ("oversized frame", with(&head))
        }
        6 => (
            "unknown kind",
            with(&[4, 0, 0, 0, 2 + random.below(254) as u8, 1, 2, 3]),
        ),
        7 => {
            let head = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [3, 0, 0, 0, 1]][random.below(3)];
            ("too short a frame", with(&head))
        }
        8 => {
            let mut payload = valid_message.clone();
            let place = random.below(payload.len());
            payload[place] ^= 1 + random.below(255) as u8;
            let count = random.below(300);
            payload.extend(random.bytes(count));
            while decodes(&payload) {
                payload.push(0);
            }
            ("undecodable message", with(&framed(&payload)))
        }
        _ => {
            let count = 1 + random.below(200);
            ("noise", random.bytes(count))
        }
    };
    Bad { kind, bytes }
}

/// Sends it and waits until the daemon has dropped us, or just goes.
fn send(socket: &Path, bad: &Bad, waits: bool) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    // The daemon may drop us before it has read all of it.
    let _ = stream.write_all(&bad.bytes);
    if waits {
        let _ = stream.shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        assert!(
            !end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "{}: not dropped: {:02x?}",
            bad.kind,
            bad.bytes
        );
    }
}

fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

/// How many lines a daemon wrote, and said that it held back.
fn told(log: &str, line: &str) -> usize {
    let held_back = log
        .lines()
        .filter_map(|line| line.strip_suffix(" lines like the next were left out"));
    let held_back: usize = held_back.map(|count| count.parse::<usize>().unwrap()).sum();
    log.matches(line).count() + held_back
}

/// Sends [`FRAMES`] bad peers to a socket while compiles go on; each must be dropped with a line,
/// written or held back and counted.
fn bombard(farm: &Farm, socket: &Path, daemon: u32, log: &str, line: &str, sort: &Sort) {
    let seed = std::env::var("CPODS_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    farm.write("a.c", "int a;\n");
    let mut before = (0, 0);
    for number in 0..FRAMES {
        if number == FRAMES / 10 {
            before = (memory_kib(daemon), open_files(daemon));
        }
        if number % 1_000 == 500 {
            farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
        }
        let bad = bad(&mut random, sort);
        send(socket, &bad, number % 4 != 0);
    }
    farm.cc_remote(&["gcc", "-c", "a.c", "-o", "a.o"]);
    // What was held back is told with the first line after a while.
    let mut sent = FRAMES;
    wait_for(&format!("a line for each bad peer, seed {seed}"), || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        send(socket, &bad(&mut random, sort), true);
        sent += 1;
        (told(&farm.log(log), line) == sent).then_some(())
    });
    let grown = memory_kib(daemon).saturating_sub(before.0);
    assert!(
        grown < 16 << 10,
        "{grown} KiB more after {FRAMES} bad peers, seed {seed}"
    );
    wait_for("closed connections", || {
        (open_files(daemon) <= before.1 + 4).then_some(())
    });
}

#[test]
fn the_scheduler_drops_ten_thousand_bad_peers() {
    let farm = Farm::new();
    let (tool, why) = ("gcc".to_owned(), "a test".to_owned());
    let sort = Sort {
        belongs: Peer::Client,
        valid_message: codec::encode(&FromClient::RanLocally { tool, why }).unwrap(),
        decodes: |bytes| codec::decode::<FromClient>(bytes).is_ok(),
    };
    let daemon = farm.schedd.pid();
    bombard(
        &farm,
        &farm.hub_socket(),
        daemon,
        "schedd",
        "dropped a client",
        &sort,
    );
    assert_eq!(farm.status().unwrap()["pid"], daemon);
}

#[test]
fn the_worker_drops_ten_thousand_bad_peers() {
    let farm = Farm::new();
    let roots = Roots::new(["/no/such/root"]).unwrap();
    let sort = Sort {
        belongs: Peer::Hub,
        valid_message: codec::encode(&ToPod::Configure {
            roots,
            own: false,
            files: Files::Shared,
            hub: String::new(),
        })
        .unwrap(),
        decodes: |bytes| codec::decode::<ToPod>(bytes).is_ok(),
    };
    let daemon = farm.workds[0].pid();
    bombard(
        &farm,
        &farm.pod_socket(),
        daemon,
        "pod1",
        "a hub was dropped",
        &sort,
    );
    let status = farm.status().unwrap();
    assert_eq!(status["pods"][0]["up"], true);
    assert!(
        !farm.log("schedd").contains("WARN pod `pod1`: the peer"),
        "{}",
        farm.log("schedd")
    );
}

/// This side's hello in a version that is not ours.
fn foreign(peer: Peer) -> [u8; HELLO_BYTES] {
    let mut bytes = Hello::ours(peer).to_bytes();
    bytes[6..8].copy_from_slice(&999_u16.to_le_bytes());
    bytes
}

/// Serves every connection with another version's hello, for as long as the process lives.
fn serve_foreign(socket: &Path, peer: Peer) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(&foreign(peer));
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
}

#[test]
fn a_hub_of_another_version_means_a_local_run_and_a_clear_word() {
    let farm = Farm::without_hub();
    farm.write("a.c", "int a;\n");
    let socket = farm.dir.path().join("foreign.sock");
    serve_foreign(&socket, Peer::Hub);
    let run = |variable: &str, value: &str| {
        let mut command = farm.command("cpods-cc");
        command.env("CPODS_HUB", &socket).env(variable, value);
        command.args(["gcc", "-c", "a.c"]).output().unwrap()
    };
    let silent = run("CPODS_VERBOSE", "0");
    assert_eq!(text(&silent), "exit status: 0\n");
    assert!(farm.root.join("a.o").exists());
    let word = "speaks version 999 of the cpods protocol";
    let said = run("CPODS_VERBOSE", "1");
    assert!(
        said.status.success() && text(&said).contains(word),
        "{}",
        text(&said)
    );
    let refused = run("CPODS_FALLBACK", "0");
    assert_eq!(refused.status.code(), Some(125));
    assert!(text(&refused).contains(word), "{}", text(&refused));
    let status = farm
        .command("cpods")
        .env("CPODS_HUB", &socket)
        .arg("status")
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(125));
    assert!(text(&status).contains(word), "{}", text(&status));
}

#[test]
fn a_client_of_another_version_is_told_ours_and_dropped() {
    let farm = Farm::of(&[], &[]);
    let mut stream = UnixStream::connect(farm.hub_socket()).unwrap();
    stream.write_all(&foreign(Peer::Client)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..HELLO_BYTES], Hello::ours(Peer::Hub).to_bytes());
    wait_for("the line", || {
        farm.log("schedd")
            .contains("speaks version 999")
            .then_some(())
    });
}

#[test]
fn a_pod_of_another_version_is_not_used_and_named() {
    let farm = Farm::of(&[], &[]);
    let socket = farm.dir.path().join("foreign.sock");
    serve_foreign(&socket, Peer::Pod);
    farm.write("a.c", "int a;\n");
    let pod = format!("old=unix:{}", socket.display());
    let root = farm.root.to_str().unwrap();
    let build = ["cpods-cc", "gcc", "-c", "a.c"];
    let run = ["cpods", "run", "--root", root, "--pod", &pod, "--"];
    let output = farm.bare(&[&run[..], &build].concat());
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("WARNING: pod `old` is not in use: the peer speaks version 999"),
        "{said}"
    );
    // And a worker says the same of a hub.
    let farm = Farm::with("overlay", 1);
    let mut stream = UnixStream::connect(farm.pod_socket()).unwrap();
    stream.write_all(&foreign(Peer::Hub)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    wait_for("the line", || {
        farm.log("pod1")
            .contains("speaks version 999")
            .then_some(())
    });
}
