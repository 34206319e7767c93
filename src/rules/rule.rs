//! A rule as the programs use it: what one `ninja-rules/<tool>.toml` says, checked and flattened.
//!
//! Plain data, borrowed from the program itself for built-in rules and owned for a user's. Also
//! compiled into the build script, so it knows nothing of the rest of the house. What each field
//! means to the author of a rule stands in `ninja-rules/README.md`.

pub use super::outcome::{Diagnostic, Says, Strict};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Text of a rule.
pub type Text = Cow<'static, str>;
/// A list in a rule.
pub type List<T> = Cow<'static, [T]>;

/// What is known of one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The tool's name: the file's name without `.toml`.
    pub tool: Text,
    /// Globs on the names of programs it covers, the path left off.
    pub programs: List<Text>,
    /// Whether it covers executables inside a root that no other rule covers.
    pub covers_roots: bool,
    /// What a program is called on a pod of another architecture.
    pub names: List<NameMap>,
    /// How to find out which tool this is.
    pub probe: Probe,
    /// Other tools that this one calls.
    pub needs: List<Text>,
    /// Whether `@file` stands for arguments in a file.
    pub response_files: bool,
    /// Why the rewrite view never gives identical bytes.
    pub overlay_only: Option<Text>,
    /// What a command line can be for, the first where no flag says so; a later one outranks an
    /// earlier one.
    pub modes: List<Mode>,
    /// Flags by the name of their table, sorted; the tool's own command line is the table ``.
    pub tables: List<Table>,
    /// What a word is that is no flag.
    pub operands: Operands,
    /// Kinds of sources, for tools that tell them apart.
    pub languages: List<Language>,
    /// Beginnings of unknown flags that are passed on if they carry no path.
    pub unknown: List<Text>,
    /// What it says when a file that it looked for is not there: a job that fails with such words
    /// is run again locally, where what no pod is shown is there.
    pub not_found: List<Text>,
    /// Whether it may say so and exit with 0.
    pub misses_softly: bool,
    /// Arguments added in the rewrite view.
    pub rewrite: Rewrite,
    /// Variables that change the result.
    pub env: List<Variable>,
    /// Globs on paths below a root of what is written and not wanted.
    pub scratch: List<Text>,
    /// Directories that every machine has for itself; paths there are passed on as they stand.
    pub system: List<Text>,
    /// What a pod gives it, and how much it may take there.
    pub pod: Pod,
    /// When exit code 0 is a failure.
    pub strict: Strict,
    /// How it speaks of places in files, the first that fits first.
    pub diagnostics: List<Diagnostic>,
    /// Ninja rules for `cpods-gen rules`.
    pub ninja: List<NinjaRule>,
    /// The variables that they use, by name.
    pub ninja_variables: List<NinjaVariable>,
}

/// What a pod gives to a tool's jobs, and how much these may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Variables set on the pod, name and value; `{warm}` is the warm directory, `{bin}` that of the
    /// resolved program.
    pub env: List<(Text, Text)>,
    /// Flags that a job gets there, so that it does say when a file is not there: see `not_found`. Not
    /// if the same flag is there already, nor where it could not run locally.
    pub args: List<Text>,
    /// It writes in no other directories than those of its outputs, its working directory, and what lies
    /// below the innermost that holds them all; anywhere else it may be told that it cannot.
    pub writes_near: bool,
    /// A command that fills the warm directory, once for each identity of the tool.
    pub prepare: List<Text>,
    /// A job that runs longer is ended; 0 is no limit.
    pub seconds: u32,
    /// Address space of each process of a job; 0 is no limit.
    pub memory_mib: u32,
    /// Whether it, and all that it calls, waits for the files that it opens (never `O_NONBLOCK`).
    pub waits: bool,
}

impl Pod {
    /// Whether jobs see a warm directory.
    pub fn is_warm(&self) -> bool {
        let named = |(_, value): &(Text, Text)| value.contains("{warm}");
        !self.prepare.is_empty() || self.env.iter().any(named)
    }
}

/// A Ninja rule for the tool. Texts are in Ninja's own syntax.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NinjaRule {
    /// Its name, to which the tool's is put in front.
    pub name: Text,
    /// What it does, for people.
    pub about: Text,
    /// The command.
    pub command: Text,
    /// What Ninja shows.
    pub description: Text,
    /// Where the tool lists what it read.
    pub depfile: Option<Text>,
    /// Whether Ninja keeps that list itself and removes the file (`deps = gcc`).
    pub deps: bool,
    /// A response file that the command names.
    pub rspfile: Option<Text>,
    /// Its content.
    pub rspfile_content: Option<Text>,
    /// Whether it always runs on this machine, so that few may run at a time.
    pub local: bool,
}

/// A variable that Ninja rules use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NinjaVariable {
    /// Its name.
    pub name: Text,
    /// What to put into it.
    pub about: Text,
}

/// On a hub of machine `hub` and a pod of machine `pod`, `from` is called `to`. Each has at most
/// one `*`, which stands for the same text in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameMap {
    /// Machine of the hub (`aarch64`).
    pub hub: Text,
    /// Machine of the pod.
    pub pod: Text,
    /// Name on the hub (`gcc*`).
    pub from: Text,
    /// Name on the pod (`aarch64-linux-gnu-gcc*`).
    pub to: Text,
}

/// How a tool's version and identity are found. An empty list of arguments asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Arguments with which the program prints its version; its first line is shown to people and
    /// all of it is part of the identity.
    pub version: List<Text>,
    /// Where not empty: of these lines the one with this text is shown, and none of them is part of
    /// the identity, since they depend on who asks.
    pub version_line: Text,
    /// Arguments with which it prints the machine it makes code for; part of the identity.
    pub target: List<Text>,
    /// Whether the result depends on the machine that the tool runs on, which then is part of the
    /// identity.
    pub machine: bool,
    /// Whether the content of the resolved program is part of the identity.
    pub program: bool,
    /// Programs that it calls; their content is part of the identity.
    pub programs: List<Text>,
    /// Arguments that print the path of one of `programs`, which replaces `{name}`. A name printed
    /// without a slash is looked up along `PATH`; nothing found is part of the identity too.
    pub print_program: List<Text>,
    /// Whether the content of the shared libraries that the program and `programs` load at their
    /// start is part of the identity.
    pub libraries: bool,
    /// Files that it reads if it finds them; their content is part of the identity.
    pub found_files: List<Text>,
    /// Arguments that print the path of one of `found_files`, which replaces `{name}`. A name
    /// printed without a slash was not found.
    pub print_file: List<Text>,
    /// Commands (arguments only) whose standard output is part of the identity.
    pub outputs: List<List<Text>>,
    /// Commands that list the directories searched for headers.
    pub search: List<Search>,
    /// Files and directories outside the program that are part of the identity; `{bin}` is the
    /// resolved program's directory. One that is missing counts as missing.
    pub files: List<Text>,
    /// How another launcher that only pretends to be this tool is told: if the resolved program's
    /// own name matches one of these globs it is skipped.
    pub masquerades: List<Text>,
}

/// A command that lists directories, one a line, on standard output or error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Arguments.
    pub args: List<Text>,
    /// The list begins after a line that begins so.
    pub after: Text,
    /// It ends before a line that begins so.
    pub before: Text,
    /// A line that begins so names, between quotes, a directory that would be listed if it were
    /// there.
    pub absent: Option<Text>,
}

/// What a command line is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// Its name in the rule file.
    pub name: Text,
    /// The output's name where no flag names it: see [`Flag::writes`]; none writes to standard
    /// output or nowhere.
    pub output: Option<Text>,
    /// Why it runs locally whatever else is said.
    pub local: Option<Text>,
    /// Why it runs locally where no flag names the output.
    pub local_without_output: Option<Text>,
    /// Why the rewrite view would not give identical bytes.
    pub overlay_only: Option<Text>,
    /// Whether a depfile that a flag names counts as the output.
    pub depfile_is_output: bool,
    /// Names of files written besides, as for [`Flag::writes`].
    pub writes: List<Text>,
}

/// The flags of one command line or of one sub-program that flags are passed on to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name, empty for the tool's own command line.
    pub name: Text,
    /// What flags are called, as written, the dashes included: sorted and unique. With each the
    /// index of what it means, which many have in common.
    pub names: List<(Text, usize)>,
    /// What flags mean.
    pub flags: List<Flag>,
}

/// How a flag's value is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    /// There is no value.
    #[default]
    Alone,
    /// `-o FILE`.
    Separate,
    /// `-IDIR`.
    Joined,
    /// `-IDIR` or `-I DIR`.
    Either,
    /// `--sysroot=DIR`.
    Equals,
    /// `--sysroot=DIR` or `--sysroot DIR`.
    EqualsOrSeparate,
}

/// What a flag's value, or an operand, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// No path, passed on as it stands.
    #[default]
    Text,
    /// The language of the operands that follow.
    Language,
    /// A word for a sub-program, see [`Flag::table`].
    Word,
    /// Words for a sub-program, with commas between them.
    Words,
    /// The same, with spaces between, as a shell takes them.
    SpacedWords,
    /// An input if such a file exists below a root, else text.
    Guess,
    /// A file that is read.
    Input,
    /// A directory that is searched.
    SearchDir,
    /// The file that the job is for.
    Output,
    /// A file written besides.
    SideOutput,
    /// A list of what was read.
    Depfile,
    /// A directory that is written into.
    OutputDir,
}

/// What a flag means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// How its value is attached.
    pub attach: Attach,
    /// What its value is.
    pub value: Value,
    /// Index into [`Rule::tables`] for [`Value::Word`] and [`Value::Words`].
    pub table: u8,
    /// The path in the value begins after the last such text.
    pub after: Option<Text>,
    /// A value that begins so is text, not a path (`=` in `-I=dir`).
    pub not_path: List<Text>,
    /// A value without a slash that names no existing file is text: the tool looks for it.
    pub bare_name: bool,
    /// A value without a slash names a file of the tool's own installation (with `bare_name`: if it
    /// names no existing file): text if [`Probe::found_files`] has it, and local if not.
    pub installed: bool,
    /// Why a path outside every root makes it local, even one in a system directory.
    pub only_in_root: Option<Text>,
    /// Index into [`Rule::modes`].
    pub mode: Option<u8>,
    /// Name of the depfile that it asks for where no flag names one; as for [`Flag::writes`].
    pub depfile: Option<Text>,
    /// It names the target in the depfile.
    pub dep_target: bool,
    /// Names of files written besides. `{source}` is the source's name without directory, `{stem}`
    /// the same without its extension, and `{base}` the output that a flag names without its
    /// extension, or else `{stem}`. Relative to the working directory.
    pub writes: List<Text>,
    /// Why it runs locally.
    pub local: Option<Text>,
    /// Globs on values with which it runs locally, and why.
    pub local_values: List<(Text, Text)>,
    /// Why the rewrite view would not give identical bytes.
    pub overlay_only: Option<Text>,
    /// Why it runs locally where no flag names the output.
    pub local_without_output: Option<Text>,
    /// Added to the value if it does not end so, to get the name of the file.
    pub suffix: Option<Text>,
    /// Every word after it is an operand.
    pub ends_flags: bool,
}

/// What a word is that is no flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operands {
    /// As for a flag.
    pub value: Value,
    /// Whether there must be one.
    pub required: bool,
    /// Words with a meaning of their own, and why they run locally (`-` is standard input).
    pub local: List<(Text, Text)>,
    /// Globs on words that are text after all (`name=value`).
    pub text: List<Text>,
    /// Whether an operand of no known language is an input all the same (a linker's object).
    pub other: bool,
    /// Extensions tried, in this order, where an operand names no existing file; with the dot.
    pub extensions: List<Text>,
}

/// A kind of source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Language {
    /// Its names as the language flag has them.
    pub names: List<Text>,
    /// Its extensions, with the dot.
    pub extensions: List<Text>,
    /// Why it runs locally.
    pub local: Option<Text>,
    /// Whether flags that ask for a depfile have one written for it.
    pub depfile: bool,
    /// Of what flags have written besides, by [`Flag::writes`], that which is not for it.
    pub not_written: List<Text>,
}

/// What is added in the rewrite view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// For each root; `{mount}` and `{root}` are its directory on the pod and on the hub.
    pub each_root: List<Text>,
    /// Once; `{cwd}` is the working directory on the hub.
    pub once: List<Text>,
    /// Where a depfile is asked for and no flag names its target; `{output}` is the output as
    /// written.
    pub dep_target: List<Text>,
}

/// A variable that changes the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// A glob on its name.
    pub name: Text,
    /// What its value is.
    pub value: Value,
    /// Whether it is a list, `:` between the elements; an empty element stays empty.
    pub list: bool,
    /// Why it runs locally where the variable is set and not empty.
    pub local: Option<Text>,
}
