//! What an executable needs to start: its loader and shared libraries, or a script's interpreter.
//!
//! The libraries are asked from the loader itself, which lists them without running the program:
//! only it knows its own cache, run paths and architecture directories.

use super::command;
use super::path::find_on_path;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program needs besides itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    /// Files that are loaded, the loader or interpreter among them, as they are named.
    pub(super) files: Vec<PathBuf>,
    /// Names of what was looked for and not found.
    pub(super) missing: Vec<String>,
}

/// Finds what `program` needs. A static program, or one of a kind not known here, needs nothing.
pub(super) fn needs(program: &Path, path: &OsStr, limit: Duration) -> Needs {
    let Ok(head) = read_head(program) else {
        return Needs::default();
    };
    if let Some(line) = head.strip_prefix(b"#!") {
        return script_needs(line, path, limit);
    }
    let Some(loader) = interpreter(program, &head) else {
        return Needs::default();
    };
    let mut needs = Needs::default();
    let args = [OsStr::new("--list"), program.as_os_str()];
    match command::run(&loader, args, OsStr::new(""), limit) {
        Ok(said) if said.code == 0 => read_list(&said.stdout, &mut needs),
        // A loader for another machine; then the program does not run here either.
        _ => needs.missing.push("list of libraries".into()),
    }
    needs.files.push(loader);
    needs
}

/// The first bytes of a file: an ELF header with its program headers, or a script's first line.
fn read_head(program: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(program)?.take(4096).read_to_end(&mut head)?;
    Ok(head)
}

/// A script needs its interpreter, and what that needs.
fn script_needs(line: &[u8], path: &OsStr, limit: Duration) -> Needs {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .map(OsStr::from_bytes);
    let Some(first) = words.next().map(PathBuf::from) else {
        return Needs::default();
    };
    let searched = words.next().filter(|_| first.ends_with("env"));
    let interpreter = searched.map_or(Some(first), |name| find_on_path(name, path));
    let Some(interpreter) = interpreter.filter(|found| found.is_file()) else {
        let missing = vec!["interpreter".into()];
        return Needs {
            files: Vec::new(),
            missing,
        };
    };
    // A script whose interpreter is a script is rare, and one more level is not worth a loop.
    let mut needs = match read_head(&interpreter) {
        Ok(head) if head.starts_with(b"\x7fELF") => self::needs(&interpreter, path, limit),
        _ => Needs::default(),
    };
    needs.files.push(interpreter);
    needs
}

/// The loader that an ELF file names (`PT_INTERP`, see elf(5)); none if it is static.
fn interpreter(program: &Path, head: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let word = |bytes: &[u8], at: usize, size: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + size)?;
        let shift = |sum, byte: &u8| sum << 8 | u64::from(*byte);
        match head.get(5)? {
            1 => Some(bytes.iter().rev().fold(0, shift)),
            2 => Some(bytes.iter().fold(0, shift)),
            _ => None,
        }
    };
    let wide = match head {
        [0x7f, b'E', b'L', b'F', 1, ..] => false,
        [0x7f, b'E', b'L', b'F', 2, ..] => true,
        _ => return None,
    };
    // Offsets of e_phoff, e_phentsize, e_phnum, p_offset and p_filesz; size of an address.
    let (table, entry_size, entries, offset, length, address) = match wide {
        true => (32, 54, 56, 8, 32, 8),
        false => (28, 42, 44, 4, 16, 4),
    };
    let table = usize::try_from(word(head, table, address)?).ok()?;
    let entry_size = usize::try_from(word(head, entry_size, 2)?).ok()?;
    for number in 0..usize::try_from(word(head, entries, 2)?).ok()? {
        let entry = head.get(table.checked_add(number.checked_mul(entry_size)?)?..)?;
        if word(entry, 0, 4)? == PT_INTERP {
            let length = usize::try_from(word(entry, length, address)?).ok()?;
            let mut name = vec![0; length.min(4096)];
            let file = File::open(program).ok()?;
            file.read_exact_at(&mut name, word(entry, offset, address)?)
                .ok()?;
            name.pop_if(|last| *last == 0);
            return Some(PathBuf::from(OsString::from_vec(name)));
        }
    }
    None
}

/// Reads lines such as `libm.so.6 => /lib/libm.so.6 (0x7f..)`. The kernel's own library has no file,
/// and the loader, named by its path alone, is known already.
fn read_list(list: &[u8], needs: &mut Needs) {
    for line in String::from_utf8_lossy(list).lines() {
        let Some((name, found)) = line.trim().split_once(" => ") else {
            continue;
        };
        let found = found.rsplit_once(" (").map_or(found, |(found, _)| found);
        if found.starts_with('/') {
            needs.files.push(found.into());
        } else {
            needs.missing.push(name.into());
        }
    }
}

/// Libraries that nearly every executable of a machine is linked with, by name; none where the
/// machine has no such library.
pub(super) fn base_libraries(path: &OsStr, limit: Duration) -> Vec<(String, Option<PathBuf>)> {
    const NAMES: [&str; 4] = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"];
    let shell = needs(Path::new("/bin/sh"), path, limit);
    // The C library's directory, and the one below /usr where the two are not the same.
    let mut directories: Vec<PathBuf> = Vec::new();
    for file in &shell.files {
        let Some(parent) = file.parent() else {
            continue;
        };
        directories.push(parent.into());
        directories.push(Path::new("/usr").join(parent.strip_prefix("/").unwrap_or(parent)));
    }
    let found = |name: &str| {
        directories
            .iter()
            .map(|directory| directory.join(name))
            .find(|library| library.is_file())
    };
    let loader = shell.files.last().cloned();
    std::iter::once(("loader".into(), loader))
        .chain(NAMES.map(|name| (name.into(), found(name))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn reads_the_loaders_list() {
        let list = b"\tlinux-vdso.so.1 (0x00007ffc)\n\
            \tlibm.so.6 => /lib/a b/libm.so.6 (0x00007f)\n\
            \tlibgone.so.1 => not found\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let mut needs = Needs::default();
        read_list(list, &mut needs);
        assert_eq!(needs.files, [Path::new("/lib/a b/libm.so.6")]);
        assert_eq!(needs.missing, ["libgone.so.1"]);
    }

    #[test]
    fn a_real_program_needs_its_c_library() {
        let path = OsStr::new("/usr/bin:/bin");
        let shell = needs(Path::new("/bin/sh"), path, LIMIT);
        assert_eq!(shell.missing, [] as [&str; 0]);
        let named = |part: &str| {
            shell
                .files
                .iter()
                .any(|file| file.to_string_lossy().contains(part))
        };
        assert!(named("/libc."), "{shell:?}");
        assert!(named("/ld-"), "{shell:?}");
        let base = base_libraries(path, LIMIT);
        let found = |name: &str| {
            base.iter()
                .any(|(label, file)| label == name && file.is_some())
        };
        assert!(
            found("loader") && found("libc.so.6") && found("libm.so.6"),
            "{base:?}"
        );
    }

    #[test]
    fn a_script_needs_its_interpreter_and_that_ones_libraries() {
        let space = tempfile::tempdir().unwrap();
        let script = space.path().join("tool");
        let path = OsStr::new("/usr/bin:/bin");
        let shell = needs(Path::new("/bin/sh"), path, LIMIT);
        for (line, interpreter) in [
            ("#!/bin/sh -e\n", "/bin/sh"),
            ("#! /usr/bin/env sh\n", "/usr/bin/sh"),
        ] {
            std::fs::write(&script, line).unwrap();
            let needs = needs(&script, path, LIMIT);
            let (last, others) = needs.files.split_last().unwrap();
            assert_eq!(
                (last.as_path(), others),
                (Path::new(interpreter), &*shell.files)
            );
        }
        std::fs::write(&script, "#!/nonexistent/interpreter\n").unwrap();
        assert_eq!(needs(&script, path, LIMIT).missing, ["interpreter"]);
        std::fs::write(&script, "data").unwrap();
        assert_eq!(needs(&script, path, LIMIT), Needs::default());
    }

    #[test]
    fn a_damaged_elf_file_needs_nothing() {
        let whole = read_head(Path::new("/bin/sh")).unwrap();
        let space = tempfile::tempdir().unwrap();
        let damaged = space.path().join("damaged");
        for cut in (0..200).chain([1000]) {
            std::fs::write(&damaged, &whole[..cut]).unwrap();
            // No panic; a loader may still be found, but then it cannot list this.
            let needs = needs(&damaged, OsStr::new(""), LIMIT);
            assert!(needs.files.len() <= 1, "{cut}: {needs:?}");
        }
    }
}
