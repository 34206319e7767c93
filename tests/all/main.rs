//! One integration target.

mod pod;
mod sandbox;
