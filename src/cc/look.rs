//! What classification asks of the disk, answered by the disk.

use crate::rules::{FileKind, Look};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// A response file over this is left to the tool, which then runs locally.
const LONGEST_RESPONSE_BYTES: u64 = 4 << 20;

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Look for Disk {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let file = File::open(path).ok()?;
        let found = file.metadata().ok()?;
        if !found.is_file() || found.len() > LONGEST_RESPONSE_BYTES {
            return None;
        }
        let mut content = Vec::new();
        file.take(LONGEST_RESPONSE_BYTES)
            .read_to_end(&mut content)
            .ok()?;
        Some(content)
    }

    fn kind(&self, path: &Path) -> FileKind {
        match std::fs::metadata(path) {
            // What cannot even be looked at is nothing that a job could be trusted with.
            Err(error) if error.kind() == ErrorKind::NotFound => FileKind::Missing,
            Err(_) => FileKind::Other,
            Ok(found) if found.is_file() => FileKind::Regular,
            Ok(found) if found.is_dir() => FileKind::Directory,
            Ok(found) if found.file_type().is_char_device() && found.rdev() == null_device() => {
                FileKind::DevNull
            }
            Ok(_) => FileKind::Other,
        }
    }

    fn machine(&self, path: &Path) -> Option<String> {
        let mut head = [0; 20];
        File::open(path).ok()?.read_exact(&mut head).ok()?;
        elf_machine(&head)
    }
}

/// `/dev/null` is 1:3 (null(4)).
fn null_device() -> u64 {
    rustix::fs::makedev(1, 3)
}

/// The machine of an ELF header's first 20 bytes (elf(5)), as uname(2) calls it.
fn elf_machine(head: &[u8; 20]) -> Option<String> {
    if head[..4] != *b"\x7fELF" {
        return None;
    }
    let is_big_endian = head[5] == 2;
    let number = [head[18], head[19]];
    let number = if is_big_endian {
        u16::from_be_bytes(number)
    } else {
        u16::from_le_bytes(number)
    };
    Some(match number {
        3 => "i686".into(),
        40 => "arm".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "riscv64".into(),
        other => format!("elf-{other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert_eq!(Disk.kind(&link), FileKind::DevNull);
        assert_eq!(Disk.kind(Path::new("/dev/zero")), FileKind::Other);
        assert_eq!(Disk.kind(dir.path()), FileKind::Directory);
        assert_eq!(Disk.kind(&dir.path().join("x")), FileKind::Missing);
        assert_eq!(
            Disk.kind(&std::env::current_exe().unwrap()),
            FileKind::Regular
        );
    }

    #[test]
    fn own_machine() {
        let own = Disk.machine(&std::env::current_exe().unwrap());
        assert_eq!(own.as_deref(), Some(std::env::consts::ARCH));
        assert_eq!(Disk.machine(Path::new("/etc/passwd")), None);
    }
}
