//! The bytes on the wire, held against `testdata/wire/`. What differs is another protocol: raise
//! `wire::frame::PROTOCOL`, then write the new bytes with `CPODS_BLESS=1 cargo test golden`.

use cpods::job::{
    Arg, Digest, Ending, Job, Limits, Need, Output, Piece, Program, Role, Surroundings, Usage,
    Written, Wrote,
};
use cpods::paths::{RootId, RootPath, Roots};
use cpods::wire::codec;
use cpods::wire::files::{Change, Entry, EntryKind, More};
use cpods::wire::frame::{self, Hello, Kind, PROTOCOL, Peer};
use cpods::wire::messages::{
    ClientKey, Files, Finished, FromClient, FromPod, IndexStatus, JobNumber, LastJob, MirrorStatus,
    Offer, OfferedTool, PodStatus, Sent, SentTool, SentWhy, Stamp, Status, Submit, Task, ToClient,
    ToPod, ViewKind,
};
use cpods::wire::status::ServedBy;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use std::fmt::Write;
use std::num::NonZeroU64;
use std::path::Path;

/// Lines of a name and bytes.
#[derive(Default)]
struct Golden(String);

impl Golden {
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.0, "{name} {hex}").unwrap();
    }

    fn message<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, it: &T) {
        let bytes = codec::encode(it).unwrap();
        assert_eq!(
            codec::decode::<T>(&bytes).unwrap(),
            *it,
            "{name}: there and back"
        );
        self.bytes(name, &bytes);
    }
}

fn at(below: &str) -> RootPath {
    RootPath {
        root: RootId(1),
        below: below.into(),
    }
}

fn path(below: &str, role: Role) -> Piece {
    Piece::Path {
        at: at(below),
        role,
        text: format!("../{below}").as_str().into(),
    }
}

fn need() -> Need {
    Need {
        tool: "gcc".into(),
        program: "gcc-12".into(),
        identity: Some(Digest([7; 32])),
        needs: vec!["z3".into()],
        overlay_only: Some("why".into()),
        system_dirs: vec!["/usr/include/x".into()],
    }
}

fn task() -> Task {
    let job = Job {
        need: need(),
        program: Program::InRoot(vec![path("tool", Role::Input)]),
        argv0: "gcc".into(),
        args: vec![
            Arg::text("-c"),
            Arg::Response {
                word: vec![Piece::Text("@".into()), path("args", Role::Input)],
                content: vec![Arg::Word(vec![path("inc", Role::SearchDir)])],
            },
        ],
        rewrite_args: vec![Arg::text("-ffile-prefix-map={mount:1}={root:1}")],
        cwd: at("build"),
        env: vec![("LANG".into(), vec![Piece::Text("C".into())])],
        inputs: vec![at("a.c")],
        outputs: vec![Output {
            at: at("a.o"),
            role: Role::Output,
        }],
        scratch: vec!["**/*.tmp".into()],
        limits: Limits {
            seconds: 600,
            memory_mib: 4096,
        },
    };
    let surroundings = Surroundings {
        umask: 0o22,
        pwd: Some("/link".into()),
        pwd_links: vec![("/link".into(), "/w".into())],
        limits: vec![(7, 1024), (3, u64::MAX)],
    };
    Task { job, surroundings }
}

fn from_client(golden: &mut Golden) {
    let client = ClientKey {
        pid: 300,
        started: 70_000,
    };
    let submit = Submit {
        client,
        need: need(),
        program_path: Some("/usr/bin/gcc-12".into()),
        tries: 2,
        task: vec![1, 2, 3],
    };
    let local = FromClient::RanLocally {
        tool: "gcc".into(),
        why: "links".into(),
    };
    for message in [
        FromClient::Submit(Box::new(submit)),
        local,
        FromClient::Status,
        FromClient::Use {
            pod: "pod1".into(),
            wanted: true,
        },
        FromClient::Last { most: 10 },
    ] {
        // A new kind does not compile here before it has a line.
        let name = match &message {
            FromClient::Submit(_) => "from-client.submit",
            FromClient::RanLocally { .. } => "from-client.ran-locally",
            FromClient::Status => "from-client.status",
            FromClient::Use { .. } => "from-client.use",
            FromClient::Last { .. } => "from-client.last",
        };
        golden.message(name, &message);
    }
    golden.message("task", &task());
}

fn finished() -> Finished {
    Finished {
        ending: Ending::Exited(3),
        digests: vec![(0, Digest([9; 32]))],
        usage: Usage {
            wall_us: 1,
            cpu_us: 300,
            peak_kib: 70_000,
        },
    }
}

fn wrote(what: Written) -> Wrote {
    Wrote {
        at: at("a.o"),
        what,
    }
}

fn offer() -> Offer {
    let tool = OfferedTool {
        tool: "gcc".into(),
        program: "gcc".into(),
        path: "/usr/bin/gcc".into(),
        identity: Digest([7; 32]),
        version: "12".into(),
        bare: Some(Digest([8; 32])),
        searched: vec!["/usr/include".into()],
    };
    Offer {
        name: "pod1".into(),
        slots: 8,
        machine: "x86_64".into(),
        view: ViewKind::Rewrite,
        view_why: "no overlay".into(),
        tools: vec![tool],
    }
}

fn status() -> Status {
    let pod = PodStatus {
        name: "pod1".into(),
        address: "unix:/p".into(),
        files: Files::Mirror,
        files_why: "as configured".into(),
        mirror: Some(MirrorStatus {
            sent_bytes: 300,
            content_bytes: 70_000,
            named_bytes: 80_000,
            changes: 4,
            reruns: 5,
            asked_bytes: 6,
            answered_bytes: 7,
        }),
        worker: ServedBy::Sent,
        worker_why: "its service speaks version 1".into(),
        up: true,
        why: "resting".into(),
        slots: 8,
        running: 1,
        finished: 2,
        busy_us: 3,
        offer: offer(),
    };
    Status {
        pid: 1,
        version: "0.1.0".into(),
        roots: vec!["/w".into()],
        indexes: vec![IndexStatus {
            names: 3,
            files: 2,
            bytes: 300,
            generation: 70_000,
            scanned_why: "NFS".into(),
        }],
        queued: 4,
        running: 5,
        finished: 6,
        failed: 7,
        local: vec![("links".into(), 8)],
        pods: vec![pod],
    }
}

fn last() -> LastJob {
    LastJob {
        job: 300,
        program: "gcc".into(),
        pod: "pod1".into(),
        begun: 1_700_000_000,
        queued_us: 1,
        there_us: Some(3),
        ran_us: 2,
        changes: 4,
        sent: vec![Sent {
            name: "a.h".into(),
            bytes: 5,
            why: SentWhy::Asked,
        }],
        more: 6,
        more_bytes: 7,
    }
}

fn to_client(golden: &mut Golden) {
    let messages = [
        ToClient::Welcome {
            roots: Roots::new(["/v", "/w"]).unwrap(),
        },
        ToClient::Placed {
            pod: "pod1".into(),
            stamp: Stamp {
                seconds: 1_700_000_000,
                nanoseconds: 5,
            },
            covered: vec!["/usr/include".into()],
        },
        ToClient::Output {
            index: 2,
            wrote: wrote(Written::File {
                mode: 0o644,
                size_bytes: 9,
                was_there: true,
            }),
            packed: true,
        },
        ToClient::Finished(finished()),
        ToClient::RunLocally { why: "busy".into() },
        ToClient::Refused {
            why: "nowhere".into(),
        },
        ToClient::Status(Box::new(status())),
        ToClient::Done {
            trouble: Some("no such pod".into()),
        },
        ToClient::Last(vec![last()]),
    ];
    for message in messages {
        let name = match &message {
            ToClient::Welcome { .. } => "to-client.welcome",
            ToClient::Placed { .. } => "to-client.placed",
            ToClient::Output { .. } => "to-client.output",
            ToClient::Finished(_) => "to-client.finished",
            ToClient::RunLocally { .. } => "to-client.run-locally",
            ToClient::Refused { .. } => "to-client.refused",
            ToClient::Status(_) => "to-client.status",
            ToClient::Done { .. } => "to-client.done",
            ToClient::Last(_) => "to-client.last",
        };
        golden.message(name, &message);
    }
}

fn changes() -> Vec<Change> {
    let kinds = [
        EntryKind::File {
            digest: Digest([9; 32]),
            size_bytes: 70_000,
        },
        EntryKind::Dir,
        EntryKind::Link { target: "b".into() },
        EntryKind::Closed {
            size_bytes: 300 << 20,
        },
    ];
    let entries = kinds.map(|what| {
        Some(Entry {
            what,
            mode: 0o644,
            mtime: Stamp {
                seconds: 1_700_000_000,
                nanoseconds: 5,
            },
            group: NonZeroU64::new(3),
        })
    });
    let entries = entries.into_iter().chain([None]);
    let named = entries.map(|entry| Change {
        name: "a/b".into(),
        later: entry.is_some(),
        entry,
    });
    named.collect()
}

fn to_and_from_pod(golden: &mut Golden) {
    let job = JobNumber(300);
    let messages = [
        ToPod::Configure {
            roots: Roots::new(["/v", "/w"]).unwrap(),
            own: true,
            files: Files::Mirror,
            hub: "0123".into(),
        },
        ToPod::NotMounted {
            at: "/c/files".into(),
            why: "no sshfs".into(),
        },
        ToPod::Start {
            job,
            tool: 3,
            chosen: Some(Digest([7; 32])),
            task: vec![1, 2, 3],
            inputs: vec![Digest([9; 32])],
        },
        ToPod::System {
            trees: vec!["/usr/include".into()],
            absent: vec!["/usr/local/include".into()],
            sent: vec![SentTool {
                tool: "gcc".into(),
                program: "gcc".into(),
                path: "/usr/bin/gcc".into(),
                programs: vec!["/usr/lib/cc1".into()],
            }],
        },
        ToPod::Changes {
            root: RootId(1),
            changes: changes(),
            more: More::Everything,
        },
        ToPod::Content {
            digest: Digest([9; 32]),
            packed: vec![1, 2, 3],
            last: true,
        },
        ToPod::Gone {
            digest: Digest([9; 32]),
        },
        ToPod::Cancel { job },
        ToPod::Recall { job },
        ToPod::Ping,
    ];
    for message in messages {
        let name = match &message {
            ToPod::Configure { .. } => "to-pod.configure",
            ToPod::NotMounted { .. } => "to-pod.not-mounted",
            ToPod::Start { .. } => "to-pod.start",
            ToPod::System { .. } => "to-pod.system",
            ToPod::Changes { .. } => "to-pod.changes",
            ToPod::Content { .. } => "to-pod.content",
            ToPod::Gone { .. } => "to-pod.gone",
            ToPod::Cancel { .. } => "to-pod.cancel",
            ToPod::Recall { .. } => "to-pod.recall",
            ToPod::Ping => "to-pod.ping",
        };
        golden.message(name, &message);
    }
    let messages = [
        FromPod::Offer(offer()),
        FromPod::Mount {
            program: "/c/workd".into(),
            at: "/c/files".into(),
        },
        FromPod::Output {
            job,
            index: 0,
            wrote: wrote(Written::Symlink { target: "b".into() }),
            packed: false,
        },
        FromPod::Output {
            job,
            index: 1,
            wrote: wrote(Written::Directory { mode: 0o755 }),
            packed: false,
        },
        FromPod::Output {
            job,
            index: 2,
            wrote: wrote(Written::Removed),
            packed: false,
        },
        FromPod::Finished {
            job,
            finished: finished(),
        },
        FromPod::Fault {
            job,
            why: "disk full".into(),
        },
        FromPod::Declined {
            job,
            why: "no locale".into(),
        },
        FromPod::Cancelled { job },
        FromPod::Pong,
        FromPod::Lacks {
            root: RootId(1),
            digests: vec![Digest([9; 32])],
        },
        FromPod::Trouble {
            why: "disk full".into(),
        },
        FromPod::Proved {
            view: ViewKind::Rewrite,
            why: "no overlay".into(),
        },
        FromPod::Opened {
            root: RootId(1),
            name: "a/b".into(),
            digest: Digest([9; 32]),
        },
        FromPod::Without {
            root: RootId(1),
            digests: vec![Digest([9; 32])],
            first: true,
        },
        FromPod::Again {
            job,
            why: "for want of content".into(),
        },
    ];
    for message in messages {
        let name = match &message {
            FromPod::Offer(_) => "from-pod.offer",
            FromPod::Mount { .. } => "from-pod.mount",
            FromPod::Output { .. } => "from-pod.output",
            FromPod::Finished { .. } => "from-pod.finished",
            FromPod::Fault { .. } => "from-pod.fault",
            FromPod::Declined { .. } => "from-pod.declined",
            FromPod::Cancelled { .. } => "from-pod.cancelled",
            FromPod::Pong => "from-pod.pong",
            FromPod::Lacks { .. } => "from-pod.lacks",
            FromPod::Trouble { .. } => "from-pod.trouble",
            FromPod::Proved { .. } => "from-pod.proved",
            FromPod::Opened { .. } => "from-pod.opened",
            FromPod::Without { .. } => "from-pod.without",
            FromPod::Again { .. } => "from-pod.again",
        };
        golden.message(name, &message);
    }
}

#[test]
fn golden_bytes_of_the_wire() {
    let mut golden = Golden::default();
    for peer in [Peer::Client, Peer::Hub, Peer::Pod] {
        golden.bytes(
            &format!("hello.{peer:?}").to_lowercase(),
            &Hello::ours(peer).to_bytes(),
        );
    }
    golden.bytes("head.message", &frame::head(Kind::Message, 258));
    golden.bytes(
        "head.data",
        &frame::data_head(300, frame::OUTPUTS + 1, 4096),
    );
    from_client(&mut golden);
    to_client(&mut golden);
    to_and_from_pod(&mut golden);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/wire");
    let file = dir.join(format!("v{PROTOCOL}.txt"));
    if std::env::var_os("CPODS_BLESS").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(&file, &golden.0).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    for (ours, theirs) in golden.0.lines().zip(expected.lines()) {
        assert_eq!(ours, theirs, "the protocol changed, its version did not");
    }
    assert_eq!(golden.0.lines().count(), expected.lines().count());
}
