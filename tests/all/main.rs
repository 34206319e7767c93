//! The integration tests: one program, since each would link the whole library again.

mod pod;
mod project;
mod sshd;
mod support;
mod tool;

mod context_deps;
mod depfiles;
mod diagnostics;
mod doctor;
mod fallback;
mod far;
mod faults;
mod full_disk;
mod gen_wrap;
mod golden;
mod house;
mod identical;
mod launcher;
mod mirror;
mod misconfigured;
mod new_tool;
mod ninja;
mod ninja_ends;
mod outputs;
mod pod_file;
mod probes;
mod protocol;
mod rules_real;
mod run;
mod sandbox;
mod tools_context;
mod tools_framac;
mod tools_verifast;
mod tools_z3;
mod wrapper;
