//! Which content goes to a mirror unasked, and which only once a job opens the file: decided here
//! and nowhere else.
//!
//! Small sources go along; what is large, or made by tools, few jobs read. What any job of any pod
//! opened before is taken to be needed again, so its names are remembered, beside the index.

use crate::paths::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Larger files are not sent unasked.
const MOST_SMALL_BYTES: u64 = 128 << 10;
/// Names remembered; the oldest are forgotten first.
const MOST_NAMES: usize = 16 << 10;

/// Suffixes of what tools make and few read; of lists of dependencies it is Ninja and make that do.
const PRODUCTS: &[&str] = &[
    "7z", "a", "bc", "bin", "bmp", "bz2", "class", "d", "db", "deb", "dll", "dwo", "dylib", "elf",
    "exe", "gch", "gcda", "gcno", "gif", "gz", "ico", "iso", "jar", "jpeg", "jpg", "ko", "la",
    "lib", "lo", "log", "mp3", "mp4", "o", "obj", "ogg", "ova", "pch", "pcm", "pdb", "pdf", "png",
    "pyc", "rlib", "rmeta", "rpm", "so", "sqlite", "svgz", "tar", "tgz", "tiff", "ttf", "wasm",
    "wav", "webm", "webp", "whl", "woff", "woff2", "xz", "zip", "zst",
];
/// And Ninja's own, which it writes with every job that ends.
const OF_NINJA: &[&str] = &["ninja_deps", "ninja_log"];

/// Whether a file's content goes to a pod only when it is needed there.
pub(super) fn is_later(name: &Bytes, size_bytes: u64) -> bool {
    size_bytes > MOST_SMALL_BYTES || (size_bytes > 0 && is_product(name.as_path()))
}

fn is_product(name: &Path) -> bool {
    let Some(file) = name.file_name().map(OsStrExt::as_bytes) else {
        return false;
    };
    let parts: Vec<&[u8]> = file.split(|byte| *byte == b'.').skip(1).collect();
    // `libx.so.1.2` too.
    let is_version = |part: &&&[u8]| part.iter().all(u8::is_ascii_digit);
    let suffix = parts.iter().rev().find(|part| !is_version(part));
    suffix.is_some_and(|suffix| {
        let suffix = suffix.to_ascii_lowercase();
        let mut products = PRODUCTS.iter().chain(OF_NINJA);
        products.any(|product| product.as_bytes() == suffix)
    })
}

/// Names in one root that were opened before their content was there.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    names: BTreeSet<Bytes>,
    /// The same, oldest first.
    order: VecDeque<Bytes>,
    file: Option<PathBuf>,
    is_saved: bool,
}

impl Learned {
    /// Those that this file remembers, or none.
    pub(super) fn open(file: Option<PathBuf>) -> Self {
        let bytes = file.as_deref().and_then(|file| std::fs::read(file).ok());
        let mut learned = Self {
            file,
            ..Self::default()
        };
        // One that is cut off names at worst a file that is not there.
        for name in bytes.unwrap_or_default().split(|byte| *byte == 0) {
            if !name.is_empty() {
                learned.learn(&Bytes::from(name));
            }
        }
        learned.is_saved = true;
        learned
    }

    pub(super) fn has(&self, name: &Bytes) -> bool {
        self.names.contains(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Bytes> {
        self.names.iter()
    }

    /// A job opened this.
    pub(super) fn learn(&mut self, name: &Bytes) {
        if !self.names.insert(name.clone()) {
            return;
        }
        self.is_saved = false;
        self.order.push_back(name.clone());
        while self.order.len() > MOST_NAMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }

    /// Writes down what is new.
    pub(super) fn save(&mut self) {
        let Some(file) = self.file.as_deref().filter(|_| !self.is_saved) else {
            return;
        };
        self.is_saved = true;
        let names: Vec<&[u8]> = self
            .order
            .iter()
            .map(|it| it.as_os_str().as_bytes())
            .collect();
        let new = file.with_extension("new");
        let written =
            std::fs::write(&new, names.join(&0)).and_then(|()| std::fs::rename(new, file));
        if let Err(error) = written {
            // They are learned anew.
            tracing::debug!("remember what jobs open: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_or_made_comes_later() {
        let later = |name: &str, size| is_later(&Bytes::from(name), size);
        for name in [
            "a.o",
            "d/libx.so.1.2",
            "x.PDF",
            "a.tar.gz",
            "b.d/c.a",
            "d/.ninja_log",
        ] {
            assert!(later(name, 1), "{name}");
            assert!(!later(name, 0), "{name}");
        }
        for name in [
            "a.c", "o", "a", ".o/x", "so.h", "README", "a.o.c", "run.sh", "x.1",
        ] {
            assert!(!later(name, MOST_SMALL_BYTES), "{name}");
            assert!(later(name, MOST_SMALL_BYTES + 1), "{name}");
        }
    }

    #[test]
    fn what_was_opened_is_remembered_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let file = Some(dir.path().join("opened"));
        let mut learned = Learned::open(file.clone());
        for number in 0..MOST_NAMES + 7 {
            learned.learn(&Bytes::from(format!("n{number}\nx").as_bytes()));
            learned.learn(&Bytes::from(format!("n{number}\nx").as_bytes()));
        }
        learned.save();
        let again = Learned::open(file);
        assert_eq!(again.names, learned.names);
        assert_eq!(again.names.len(), MOST_NAMES);
        assert!(!again.has(&Bytes::from("n6\nx")) && again.has(&Bytes::from("n7\nx")));
    }
}
