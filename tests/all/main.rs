//! One integration target.

mod rules_real;
