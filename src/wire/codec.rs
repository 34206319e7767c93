//! The one file that knows bincode. Everything else asks for bytes from a value and back.

use super::frame::{FrameError, MAX_MESSAGE_BYTES};
use serde::{Serialize, de::DeserializeOwned};

/// Variable-length integers; the cap also bounds what a made-up length inside can allocate.
fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_MESSAGE_BYTES>()
}

/// Encodes a value.
///
/// # Errors
/// A value over the message cap.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    bincode::serde::encode_to_vec(value, config()).map_err(|e| FrameError::Payload(e.to_string()))
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// Anything else.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|e| FrameError::Payload(e.to_string()))?;
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(FrameError::Payload(format!(
            "{} bytes left over",
            bytes.len() - used
        )))
    }
}
