//! Rule files, and what a command line means by them.

mod ask;
mod rule;

pub use ask::{Command, Decision, FileKind, Look, Reason};
pub use rule::{
    Attach, Flag, Language, List, Mode, NameMap, Operands, Probe, Rewrite, Rule, Search, Table,
    Text, Value, Variable,
};
