//! What the cache keeps over a restart, and when it is believed.

use super::*;

fn at(seconds: i64) -> Time {
    Time {
        seconds,
        nanoseconds: 0,
    }
}

fn ctime(path: &Path) -> i64 {
    path.symlink_metadata().unwrap().ctime()
}

/// A root with one file, and options with a cache beside it.
fn some() -> (tempfile::TempDir, PathBuf, Options) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "one").unwrap();
    let options = Options {
        cache_file: Some(dir.path().join("cache")),
        ..Options::default()
    };
    (dir, root, options)
}

/// How many files an index hashes that is opened now and settled at `now`.
fn hashed(root: &Path, options: &Options, now: Time) -> usize {
    let options = Options {
        // So that it is not counted down by writing the cache.
        cache_file: options.cache_file.clone(),
        ..options.clone()
    };
    let mut index = Index::open(root, options).unwrap();
    index.options.cache_file = None;
    index.settle_at(now).unwrap();
    assert_eq!(told(&index), seen(root));
    index.hashed
}

#[test]
fn a_restart_hashes_nothing_unchanged() {
    let (_dir, root, options) = some();
    let file = root.join("file");
    let later = at(ctime(&file) + 10);
    let mut index = Index::open(&root, options.clone()).unwrap();
    index.settle_at(later).unwrap();
    assert_eq!(hashed(&root, &options, later), 0);
    // utime restores one time and not the other.
    let mtime = index.get(b"file").unwrap().mtime;
    fs::write(&file, "two").unwrap();
    set_mtime(&file, mtime).unwrap();
    assert_eq!(hashed(&root, &options, later), 1);
    // Whatever else is in the place of the cache, is none.
    fs::write(options.cache_file.as_ref().unwrap(), "something else").unwrap();
    assert_eq!(hashed(&root, &options, later), 1);
}

#[test]
fn a_digest_is_believed_only_of_files_left_alone_before() {
    for (early, believed) in [(-1, false), (0, false), (1, false), (3, true)] {
        let (_dir, root, options) = some();
        let changed = ctime(&root.join("file"));
        let mut index = Index::open(&root, options.clone()).unwrap();
        index.settle_at(at(changed + early)).unwrap();
        let hashed = hashed(&root, &options, at(changed + 100));
        assert_eq!(hashed == 0, believed, "hashed {early} s after the change");
    }
}

#[test]
fn a_change_in_the_future_is_not_believed() {
    let (_dir, root, options) = some();
    let changed = ctime(&root.join("file"));
    let mut index = Index::open(&root, options.clone()).unwrap();
    index.settle_at(at(changed + 10)).unwrap();
    // The clock was set back.
    assert_eq!(hashed(&root, &options, at(changed - 10)), 1);
    assert_eq!(hashed(&root, &options, at(changed + 10)), 0);
}

#[test]
fn saving_makes_young_digests_believable() {
    let (_dir, root, options) = some();
    let changed = ctime(&root.join("file"));
    let mut index = Index::open(&root, options.clone()).unwrap();
    let generation = index.settle_at(at(changed)).unwrap();
    index.save_at(at(changed + 1)).unwrap();
    assert_eq!(hashed(&root, &options, at(changed + 100)), 1);
    index.save_at(at(changed + 5)).unwrap();
    assert_eq!(hashed(&root, &options, at(changed + 100)), 0);
    assert_eq!(index.generation(), generation);
}
