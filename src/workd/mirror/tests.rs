//! The copy of a root follows it: random changes, through the index and the list on the wire.
