//! Frames and messages against what a broken peer may send; the golden bytes are in `tests/all`.

use super::blocking::Connection;
use super::codec;
use super::frame::{self, FrameError};
use super::messages::{FromClient, FromPod, ToClient, ToPod};
use proptest::prelude::*;

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
