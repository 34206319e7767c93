//! What other tools take of a compiler's command line: a table, and how its words are spelled.
//!
//! Kept apart from the tools' rule files, which say what a tool's own command line means.

/// What a flag of a compiler says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `-I`
    Include,
    /// `-iquote`
    Quote,
    /// `-isystem`
    System,
    /// `-idirafter`
    After,
    /// `-include`
    File,
    /// `-imacros`
    Macros,
    /// `-D`
    Define,
    /// `-U`
    Undefine,
    /// A word that stands alone, such as `-std=c11`.
    Word,
}

/// How a value is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelled {
    /// In the same word, or in the next.
    Either,
    /// In the next word.
    Separate,
    /// The flag is all, or begins a word that is.
    Alone,
}

/// Flags that decide what a compiler reads.
pub const FLAGS: [(&str, Kind, Spelled); 12] = [
    ("-isystem", Kind::System, Spelled::Either),
    ("-iquote", Kind::Quote, Spelled::Either),
    ("-idirafter", Kind::After, Spelled::Either),
    ("-include", Kind::File, Spelled::Separate),
    ("-imacros", Kind::Macros, Spelled::Separate),
    ("-I", Kind::Include, Spelled::Either),
    ("-D", Kind::Define, Spelled::Either),
    ("-U", Kind::Undefine, Spelled::Either),
    ("-std=", Kind::Word, Spelled::Alone),
    ("-nostdinc", Kind::Word, Spelled::Alone),
    ("-pthread", Kind::Word, Spelled::Alone),
    ("-m32", Kind::Word, Spelled::Alone),
];

/// Other flags whose value is the next word.
pub const WITH_VALUE: [&str; 16] = [
    "-o",
    "-MF",
    "-MT",
    "-MQ",
    "-MJ",
    "-x",
    "-Xclang",
    "-Xlinker",
    "-Xassembler",
    "-Xpreprocessor",
    "-mllvm",
    "-target",
    "-arch",
    "-T",
    "-u",
    "-z",
];

/// How a tool gets the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the compiler.
    Words,
    /// All in one word that begins so, quoted for the shell that the tool starts.
    OneWord(&'static str),
    /// These flags only, each with its value in the next word; a macro has no value there.
    Names(&'static [(Kind, &'static str)]),
}

/// A tool that reads a compiler's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The program.
    pub program: &'static str,
    /// Flags it always gets.
    pub flags: &'static str,
    /// How it gets the compiler's.
    pub form: Form,
    /// Flags with which it fails, and without which it does not.
    pub without: &'static [&'static str],
    /// Whether its preprocessor takes the compiler's flags that ask for a list of what was read.
    pub lists_reads: bool,
    /// Extensions of the sources that it reads.
    pub extensions: &'static [&'static str],
}

const FRAMA_C: Tool = Tool {
    name: "framac",
    program: "frama-c",
    flags: "",
    form: Form::OneWord("-cpp-extra-args="),
    // Its own headers have comments that C90 has not, and that its preprocessor keeps.
    without: &[
        "-std=c90",
        "-std=gnu90",
        "-std=c89",
        "-std=gnu89",
        "-std=iso9899:1990",
        "-std=iso9899:199409",
    ],
    lists_reads: true,
    extensions: &["c", "i"],
};

const GCC: Tool = Tool {
    name: "gcc",
    program: "gcc",
    flags: "-fsyntax-only",
    form: Form::Words,
    without: &[],
    lists_reads: true,
    extensions: &["c", "i", "cc", "cpp", "cxx", "C", "c++", "ii"],
};

/// All tools that are known.
pub const TOOLS: [Tool; 6] = [
    FRAMA_C,
    Tool {
        name: "framac-eva",
        flags: "-eva",
        ..FRAMA_C
    },
    Tool {
        name: "framac-wp",
        flags: "-wp -wp-prover z3",
        ..FRAMA_C
    },
    Tool {
        name: "verifast",
        program: "verifast",
        flags: "-c",
        form: Form::Names(&[
            (Kind::Include, "-I"),
            (Kind::Quote, "-I"),
            (Kind::System, "-I"),
            (Kind::After, "-I"),
            (Kind::Define, "-D"),
        ]),
        without: &[],
        lists_reads: false,
        extensions: &["c"],
    },
    GCC,
    Tool {
        name: "clang",
        program: "clang",
        ..GCC
    },
];
