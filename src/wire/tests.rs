//! What is on the wire, byte for byte. `CPODS_BLESS=1 cargo test wire` writes the golden bytes anew;
//! whoever does that raises `frame::PROTOCOL` with it.

use super::blocking::Connection;
use super::codec;
use super::frame::{self, FrameError, Hello, Kind, Peer};
use super::messages::{
    ClientKey, Finished, FromClient, FromPod, JobNumber, Stamp, ToClient, ToPod,
};
use crate::job::{Digest, Ending, Usage, Written, Wrote};
use crate::paths::{RootId, RootPath, Roots};
use proptest::prelude::*;
use std::path::Path;

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let roots = Roots::new(["/home/u/src"]).unwrap();
    let client = ClientKey {
        pid: 77,
        started: 123_456,
    };
    let wrote = Wrote {
        at: RootPath {
            root: RootId(1),
            below: "a.o".into(),
        },
        what: Written::File {
            mode: 0o644,
            size_bytes: 1000,
        },
    };
    let finished = Finished {
        ending: Ending::Exited(3),
        digests: vec![(0, Digest::of(b"content"))],
        usage: Usage {
            wall_us: 1,
            cpu_us: 2,
            peak_kib: 3,
        },
    };
    let job = JobNumber(9);
    let stamp = Stamp {
        seconds: 1_700_000_000,
        nanoseconds: 4_000_000,
    };
    let encoded = |name, message: Result<Vec<u8>, FrameError>| (name, message.unwrap());
    let local = FromClient::RanLocally {
        client,
        tool: "gcc".into(),
        why: "links".into(),
    };
    vec![
        ("hello", Hello::ours(Peer::Client).to_bytes().to_vec()),
        ("head", frame::head(Kind::Message, 300).to_vec()),
        ("data-head", frame::data_head(9, 2, 5).to_vec()),
        encoded("ran-locally", codec::encode(&local)),
        encoded(
            "welcome",
            codec::encode(&ToClient::Welcome {
                roots: roots.clone(),
            }),
        ),
        encoded(
            "placed",
            codec::encode(&ToClient::Placed {
                pod: "pi4".into(),
                stamp,
            }),
        ),
        encoded(
            "output",
            codec::encode(&ToClient::Output { index: 0, wrote }),
        ),
        encoded(
            "finished",
            codec::encode(&ToClient::Finished(finished.clone())),
        ),
        encoded(
            "configure",
            codec::encode(&ToPod::Configure { roots, own: true }),
        ),
        encoded(
            "start",
            codec::encode(&ToPod::Start {
                job,
                tool: 2,
                task: vec![1, 2, 3],
            }),
        ),
        encoded(
            "pod-finished",
            codec::encode(&FromPod::Finished { job, finished }),
        ),
        encoded(
            "fault",
            codec::encode(&FromPod::Fault {
                job,
                why: "disk full".into(),
            }),
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_this_protocol_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/wire/version-1.txt");
    let text: String = samples()
        .iter()
        .map(|(name, bytes)| format!("{name} {}\n", hex(bytes)))
        .collect();
    if std::env::var_os("CPODS_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        frame::PROTOCOL,
        1,
        "a new version has a new file of golden bytes"
    );
    assert_eq!(text, std::fs::read_to_string(&path).unwrap());
}

#[test]
fn a_length_is_checked_before_anything_is_allocated() {
    for (kind, limit) in [(0, frame::MAX_MESSAGE_BYTES), (1, frame::MAX_DATA_BYTES)] {
        let length = u32::try_from(limit + 2).unwrap().to_le_bytes();
        let head = [length[0], length[1], length[2], length[3], kind];
        assert_eq!(
            frame::parse_head(head),
            Err(FrameError::TooLong {
                length: limit + 1,
                limit
            })
        );
    }
    assert_eq!(
        frame::parse_head([0, 0, 0, 0, 0]),
        Err(FrameError::TooShort(0))
    );
    assert_eq!(frame::parse_head([5, 0, 0, 0, 9]), Err(FrameError::Kind(9)));
}

#[test]
fn a_length_inside_a_message_cannot_allocate_more_than_the_cap() {
    // A byte string that says it has 2^62 bytes.
    let bytes = [3, 1, 253, 0, 0, 0, 0, 0, 0, 0, 64];
    assert!(codec::decode::<ToPod>(&bytes).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = codec::decode::<FromClient>(&bytes);
        let _ = codec::decode::<FromPod>(&bytes);
        let _ = codec::decode::<ToPod>(&bytes);
        let _ = codec::decode::<ToClient>(&bytes);
    }

    #[test]
    fn frames_come_back_as_they_were_sent(
        pieces in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..400)), 1..20)
    ) {
        let mut bytes = Vec::new();
        for (channel, data) in &pieces {
            bytes.extend(frame::data_head(7, *channel, data.len()));
            bytes.extend(data);
        }
        let mut connection = Connection::new(std::io::Cursor::new(bytes));
        for (channel, data) in &pieces {
            match connection.frame().unwrap() {
                super::blocking::Frame::Data(job, on, got) => {
                    prop_assert_eq!((job, on, got), (7, *channel, &data[..]));
                }
                super::blocking::Frame::Message(_) => prop_assert!(false),
            }
        }
        prop_assert!(connection.frame().is_err());
    }
}
