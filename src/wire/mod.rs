//! What travels between the programs: frames, their codec, the messages, and two adapters, one
//! blocking (for the wrapper) and one for tokio (for the daemons), and the daemons' sockets.

pub mod blocking;
pub mod codec;
pub mod files;
pub mod frame;
pub mod messages;
pub mod packed;
pub mod socket;
pub mod status;
pub mod stream;

#[cfg(test)]
mod tests;
