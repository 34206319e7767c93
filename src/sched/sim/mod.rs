//! x
mod random;
pub use self::random::Random;
