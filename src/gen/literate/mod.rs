//! The graph of a literate document in ConTeXt.
//!
//! | file | what it does |
//! | --- | --- |
//! | `tex` | reads TeX source as far as its commands |
//! | `find` | where ConTeXt looks for a file |
//! | `scan`, `declared` | the files of a document, and what it declares, without running it |
//! | [`steps`] | code and steps, as declared in the text or listed by ConTeXt |
//! | `document` | a document on the disk, and whether ConTeXt's lists are those of its text |
//! | `plan`, `planner`, `circle` | edges: what each reads, and who makes it |
//! | `commands` | what each step runs |
//! | `graph`, `late` | the Ninja file, and the dyndep file |
//! | `depfile`, `includes` | depfiles, read and written; for tools that write none |
//! | `cli` | `cpods-gen context` |
//!
//! # How Ninja gets to know what is only known after a run
//!
//! ConTeXt alone knows what a document declares: Lua code and macros may declare steps as well as
//! text. Two things become known by its run, and each has its way (Ninja 1.11 or newer):
//!
//! *Which edges there are* stands in `JOB.steps`. Ninja cannot get new edges while it builds, but it
//! brings its own file up to date before it does anything else. So `build.ninja` depends on
//! `JOB.steps`, an output of the edge that typesets: when a source has changed, Ninja first runs
//! ConTeXt, then, if `JOB.steps` has changed, writes and reads `build.ninja` again, and builds. A
//! text scan is all there is before the first run, and one `ninja` still builds everything.
//! `JOB.steps` and extracted files are written only when they change, and `restat` prunes the rest:
//! a change of mere text runs ConTeXt and nothing else. (`ninja -n` stops behind that first part: it
//! cannot know what a document will declare.) A step that makes what the document shows cannot need
//! the document's own code: that is an error, and a second document (`typeset`) the way out.
//!
//! *Which other files the run writes* stands in `JOB.written`: what Lua code writes, and buffers. A
//! step that requires a file which nothing in the graph makes, and which is not simply there, gets a
//! dyndep file. That is made from `JOB.written`, and tells Ninja that the file is an output of
//! `.cpods/JOB.made`, and an input of the step. That edge's command does nothing, as the run has
//! written the file already; but it finds out if the file was removed, and has the document run
//! again. Since Ninja would refuse an input in `$in` that it does not know, the names of such a
//! step's files are in a variable.
//!
//! Which sources the document has is told by depfiles only (`JOB.dep`, `build.ninja.d`), never by
//! inputs in the graph: Ninja refuses to build where an input is missing, and a component may be
//! removed together with its mention.
//!
//! Lua code that writes a file in every run makes it newer each time; one that leaves a file alone
//! which is right already spares what is built of it.
//!
//! Outputs of steps that are gone from the document are not removed by a build;
//! `ninja -t cleandead` removes them.

mod circle;
pub(super) mod cli;
mod commands;
mod declared;
mod depfile;
mod document;
mod find;
mod graph;
mod includes;
mod late;
mod plan;
mod planner;
mod scan;
pub mod steps;
mod tex;

/// Where ConTeXt finds cpods' modules, from the document's folder.
const MODULES: &str = ".cpods/context";
