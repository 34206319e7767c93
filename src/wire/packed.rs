//! Content as it crosses a network: packed by zstd, a piece at a time.
//!
//! To make zstd's state takes as long as to pack a small file with it, so each thread keeps its own.

use std::cell::RefCell;
use std::io;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

/// zstd's fastest ordinary level: an object halves in the time of a look-up or two.
const LEVEL: i32 = 1;

thread_local! {
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Packs a piece of content.
///
/// # Errors
/// There is no memory for it.
pub fn pack(piece: &[u8]) -> io::Result<Vec<u8>> {
    PACKER.with_borrow_mut(|kept| match kept {
        Some(packer) => packer.compress(piece),
        None => kept.insert(Compressor::new(LEVEL)?).compress(piece),
    })
}

/// Unpacks a piece of content of at most so many bytes.
///
/// # Errors
/// It is damaged, or there is more of it.
pub fn unpack(packed: &[u8], most_bytes: usize) -> io::Result<Vec<u8>> {
    let told = get_frame_content_size(packed).ok().flatten();
    let told = told.and_then(|bytes| usize::try_from(bytes).ok());
    let room = told.unwrap_or(most_bytes).min(most_bytes);
    UNPACKER.with_borrow_mut(|kept| match kept {
        Some(unpacker) => unpacker.decompress(packed, room),
        None => kept.insert(Decompressor::new()?).decompress(packed, room),
    })
}

/// How large a piece is, unpacked, as it says itself.
pub fn unpacked_bytes(packed: &[u8]) -> u64 {
    let told = get_frame_content_size(packed);
    told.ok().flatten().unwrap_or(packed.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_out_as_it_went_in(pieces: Vec<Vec<u8>>) {
            for piece in pieces {
                let packed = pack(&piece).unwrap();
                prop_assert_eq!(unpacked_bytes(&packed), piece.len() as u64);
                prop_assert_eq!(unpack(&packed, piece.len()).unwrap(), piece);
            }
        }
    }

    #[test]
    fn no_more_than_asked_for_and_nothing_damaged() {
        let packed = pack(&[7; 1000]).unwrap();
        assert!(unpack(&packed, 999).is_err());
        assert!(unpack(&packed[..packed.len() - 1], 1000).is_err());
        assert!(unpack(b"no zstd", 1000).is_err());
        assert_eq!(unpack(&packed, 1 << 20).unwrap(), [7; 1000], "as before");
    }
}
