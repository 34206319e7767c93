//! Command lines and what is to become of them: `testdata/rules/*.txt`, and no panic for any other.
//!
//! A table's `!` lines say what the disk holds; each command line, with variables before it as in a
//! shell, is followed by what classification says of it. `CPODS_BLESS=1` writes what it says now.

use super::{Command, Decision, FileKind, Look, RuleSet, classify, machine_identity};
use crate::job::{Arg, Job, Piece, Program};
use crate::paths::{RootPath, Roots};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A disk of a few files.
#[derive(Debug, Default)]
struct Disk(BTreeMap<PathBuf, Thing>);

#[derive(Debug)]
enum Thing {
    File(Vec<u8>),
    Directory,
    Null,
    Pipe,
    Elf(String),
}

impl Look for Disk {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        match self.0.get(&crate::paths::normalise(path))? {
            Thing::File(content) => Some(content.clone()),
            _ => None,
        }
    }

    fn kind(&self, path: &Path) -> FileKind {
        match self.0.get(&crate::paths::normalise(path)) {
            _ if path == Path::new("/dev/null") => FileKind::DevNull,
            None => FileKind::Missing,
            Some(Thing::File(_) | Thing::Elf(_)) => FileKind::Regular,
            Some(Thing::Directory) => FileKind::Directory,
            Some(Thing::Null) => FileKind::DevNull,
            Some(Thing::Pipe) => FileKind::Other,
        }
    }

    fn machine(&self, path: &Path) -> Option<String> {
        match self.0.get(&crate::paths::normalise(path))? {
            Thing::Elf(machine) => Some(machine.clone()),
            _ => None,
        }
    }
}

impl Disk {
    /// `file PATH CONTENT`, `dir PATH`, `null PATH`, `pipe PATH`, `elf PATH MACHINE`.
    fn add(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (what, path) = (words.next().unwrap(), words.next().expect(line));
        let rest = words.next().unwrap_or_default();
        let thing = match what {
            "file" => Thing::File(rest.replace("\\n", "\n").into_bytes()),
            "dir" => Thing::Directory,
            "null" => Thing::Null,
            "pipe" => Thing::Pipe,
            "elf" => Thing::Elf(rest.into()),
            _ => panic!("what is `{line}`?"),
        };
        self.0.insert(path.into(), thing);
    }
}

fn roots() -> Roots {
    Roots::new(["/w", "/v"]).unwrap()
}

fn show_path(path: &RootPath) -> String {
    let whole = roots().absolute(path).unwrap().display().to_string();
    whole.strip_prefix("/w/p/").unwrap_or(&whole).to_owned()
}

fn show_pieces(pieces: &[Piece]) -> String {
    let show = |piece: &Piece| match piece {
        Piece::Text(text) => text.display().into_owned(),
        Piece::Path { role, text, .. } => {
            let role = serde_json::to_string(role).unwrap();
            format!("{{{} {}}}", role.trim_matches('"'), text.display())
        }
    };
    pieces.iter().map(show).collect()
}

fn show_arg(arg: &Arg) -> String {
    match arg {
        Arg::Word(pieces) => show_pieces(pieces),
        Arg::Response { word, content } => {
            format!("{} ( {} )", show_pieces(word), show_args(content))
        }
    }
}

fn show_args(args: &[Arg]) -> String {
    args.iter().map(show_arg).collect::<Vec<_>>().join(" ")
}

fn show_job(job: &Job) -> String {
    let mut text = format!("    remote: {}\n", show_args(&job.args));
    if let Program::InRoot(pieces) = &job.program {
        writeln!(text, "    program: {}", show_pieces(pieces)).unwrap();
        let machine = ["x86_64", "aarch64"]
            .into_iter()
            .find(|m| job.need.identity == Some(machine_identity(m)));
        writeln!(text, "    tool: {} for {}", job.need.tool, machine.unwrap()).unwrap();
    }
    let list = |all: Vec<String>| all.join(" ");
    if !job.inputs.is_empty() {
        let inputs = list(job.inputs.iter().map(show_path).collect());
        writeln!(text, "    inputs: {inputs}").unwrap();
    }
    if !job.outputs.is_empty() {
        let show = |output: &crate::job::Output| {
            let role = serde_json::to_string(&output.role).unwrap();
            format!("{}={}", role.trim_matches('"'), show_path(&output.at))
        };
        let outputs = list(job.outputs.iter().map(show).collect());
        writeln!(text, "    outputs: {outputs}").unwrap();
    }
    for (name, pieces) in &job.env {
        writeln!(text, "    env: {}={}", name.display(), show_pieces(pieces)).unwrap();
    }
    match &job.need.overlay_only {
        Some(why) => writeln!(text, "    overlay only: {why}").unwrap(),
        None if job.rewrite_args.is_empty() => {}
        None => {
            let added = show_args(&job.rewrite_args);
            let maps = "-ffile-prefix-map={mount:0}={root:0} -ffile-prefix-map={mount:1}={root:1}";
            let added = added.replace(maps, "MAPS");
            writeln!(text, "    rewrite adds: {added}").unwrap();
        }
    }
    text
}

fn show(line: &str, cwd: &Path, disk: &Disk) -> String {
    let words = shell_words::split(line).unwrap();
    let is_variable = |word: &&String| {
        word.split_once('=').is_some_and(|(name, _)| {
            name.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        })
    };
    let env: Vec<(OsString, OsString)> = words
        .iter()
        .take_while(is_variable)
        .map(|word| word.split_once('=').unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let argv: Vec<OsString> = words[env.len()..].iter().map(Into::into).collect();
    let command = Command {
        argv: &argv,
        cwd,
        env: &env,
    };
    match classify(RuleSet::builtin(), &command, &roots(), disk) {
        Decision::Remote(job) => show_job(&job),
        Decision::Local(reason) => format!("    local: {reason}\n"),
    }
}

/// Runs a table; returns it as it would be right now, and how many command lines it has.
fn run(table: &str) -> (String, usize) {
    let mut disk = Disk::default();
    let mut cwd = PathBuf::from("/w/p");
    let mut now = String::new();
    let mut count = 0;
    for line in table.lines().filter(|line| !line.starts_with("    ")) {
        writeln!(now, "{line}").unwrap();
        match line.strip_prefix("! ") {
            _ if line.is_empty() || line.starts_with('#') => {}
            Some(there) if there.starts_with("cwd ") => cwd = there[4..].into(),
            Some(there) => disk.add(there),
            None => {
                count += 1;
                now += &show(line, &cwd, &disk);
            }
        }
    }
    (now, count)
}

#[test]
fn command_lines_become_what_the_tables_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/rules");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let table = std::fs::read_to_string(&path).unwrap();
        let (now, lines) = run(&table);
        count += lines;
        if std::env::var_os("CPODS_BLESS").is_some() {
            std::fs::write(&path, &now).unwrap();
            continue;
        }
        for (number, (said, is)) in table.lines().zip(now.lines()).enumerate() {
            assert_eq!(is, said, "{}:{}", path.display(), number + 1);
        }
        assert_eq!(
            now.lines().count(),
            table.lines().count(),
            "{}",
            path.display()
        );
    }
    assert!(count >= 300, "only {count} command lines");
}

#[test]
fn a_system_file_that_the_identity_covers_passes() {
    let text = "programs = ['t'] | operands.value = 'input' | probe.files = ['/usr/share/t']";
    let text = text.replace(" | ", "\n");
    let rule = super::compile::compile("t", "t.toml", &text, RuleSet::sources());
    let rules = RuleSet::with_user(vec![rule.unwrap().unwrap()]);
    let decide = |file: &str| {
        let argv = ["t", file].map(OsString::from);
        let command = Command {
            argv: &argv,
            cwd: Path::new("/w/p"),
            env: &[],
        };
        classify(&rules, &command, &roots(), &Disk::default())
    };
    for covered in ["/usr/share/t", "/usr/share/t/x", "../../usr/share/t/./x"] {
        assert!(
            matches!(decide(covered), Decision::Remote(_)),
            "{covered} stays local"
        );
    }
    for other in ["/usr/share/tt", "/usr/share/t/../x", "/usr/share"] {
        let Decision::Local(reason) = decide(other) else {
            panic!("{other} travels");
        };
        assert_eq!(
            reason.to_string(),
            format!("names a system file (`{other}`)")
        );
    }
}

/// Words that mean something, so that random mixes get past the first.
const REAL: &[&str] = &[
    "-c",
    "-S",
    "-E",
    "-M",
    "-MD",
    "-MMD",
    "-MF",
    "-MT",
    "-MQ",
    "-MG",
    "-o",
    "-oa.o",
    "a.o",
    "a.c",
    "b.cc",
    "/w/p/a.c",
    "../a.S",
    "a.h",
    "-",
    "--",
    "-x",
    "c",
    "none",
    "-I",
    "-Iinc",
    "-I=x",
    "-I/v",
    "-isystem",
    "/usr/include",
    "-include",
    "-Wp,-MD,f.d",
    "-Wp,-MF",
    "-Wp,,,",
    "-Wa,-a=x,-I",
    "-Xpreprocessor",
    "-MD",
    "-Xclang",
    "-load",
    "-Xassembler",
    "-D",
    "-Dx=y",
    "--sysroot",
    "--sysroot=/w",
    "-specs=nano.specs",
    "-B/w/bin",
    "-fprofile-use=p",
    "-gsplit-dwarf",
    "--coverage",
    "-save-temps",
    "-fplugin=x.so",
    "-march=native",
    "@r.rsp",
    "@self.rsp",
    "@none",
    "@",
    "--result=x",
    "rlimit=3",
    "-T:3",
    "",
    "=",
    "-f",
    "-W",
    "-m",
    "--param",
    "-aux-info",
];

fn word() -> impl Strategy<Value = OsString> {
    use std::os::unix::ffi::OsStringExt;
    prop_oneof![
        8 => prop::sample::select(REAL).prop_map(OsString::from),
        1 => (prop::sample::select(REAL), prop::collection::vec(any::<u8>(), 0..4)).prop_map(
            |(word, tail)| OsString::from_vec([word.as_bytes(), &tail].concat())),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec),
    ]
}

fn program() -> impl Strategy<Value = OsString> {
    prop_oneof![
        4 => prop::sample::select(&["gcc", "clang", "z3", "context", "./tool", "/w/p/gcc"][..])
            .prop_map(OsString::from),
        1 => word(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_command_line_makes_it_panic(
        program in program(),
        words in prop::collection::vec(word(), 0..12),
        response in prop::collection::vec(any::<u8>(), 0..60),
        env in prop::collection::vec(("CPATH|LC_ALL|LD_PRELOAD|TZ|.*", ".*"), 0..3),
    ) {
        let mut disk = Disk::default();
        disk.0.insert("/w/p/r.rsp".into(), Thing::File(response));
        disk.add("file /w/p/self.rsp @self.rsp @self.rsp -c");
        disk.add("elf /w/p/tool x86_64");
        let argv: Vec<_> = [program].into_iter().chain(words).collect();
        let env: Vec<_> = env.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        let command = Command { argv: &argv, cwd: Path::new("/w/p"), env: &env };
        // A job says the same command line as was given, word by word.
        if let Decision::Remote(job) = classify(RuleSet::builtin(), &command, &roots(), &disk) {
            prop_assert_eq!(job.args.len(), argv.len() - 1);
            for (arg, word) in job.args.iter().zip(&argv[1..]) {
                let (Arg::Word(pieces) | Arg::Response { word: pieces, .. }) = arg;
                let said: Vec<u8> = pieces.iter().flat_map(|piece| match piece {
                    Piece::Text(text) | Piece::Path { text, .. } => text.0.clone(),
                }).collect();
                prop_assert_eq!(said.as_slice(), std::os::unix::ffi::OsStrExt::as_bytes(&**word));
            }
        }
    }
}
