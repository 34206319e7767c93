//! Somebody who opens a file without waiting (`O_NONBLOCK`), and is refused it.

use super::late::{CONTENT, enter, pod, whole};
use super::{NEVER, Pod};
use crate::workd::mirror::Command;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;
use tokio::sync::oneshot;

const LONG: Duration = Duration::from_secs(40);

fn is_refused(pod: &Pod) -> bool {
    let mut how = File::options();
    let opened = how.read(true).custom_flags(libc::O_NONBLOCK);
    match opened.open(pod.place.join("a.o")) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            true
        }
    }
}

/// A job asks at its end whether it is worth another try.
fn ask(pod: &mut Pod, since: u64) -> oneshot::Receiver<bool> {
    let (tell, told) = oneshot::channel();
    let asked = Command::Refused(since, tell);
    pod.keeper.take(asked, &NEVER).unwrap();
    told
}

#[test]
fn who_was_refused_a_file_that_another_waits_for_is_known_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = pod(dir.path(), (LONG, LONG));
    let before = enter(&pod);
    assert_eq!(ask(&mut pod, before.opened).try_recv(), Ok(false));
    // Of the second nobody is told.
    assert!(is_refused(&pod));
    pod.hear(Duration::from_millis(50));
    let pass = enter(&pod);
    assert!(is_refused(&pod));
    let mut first = ask(&mut pod, pass.opened);
    assert!(first.try_recv().is_err(), "the content is not here");
    let still_runs = enter(&pod);
    assert!(is_refused(&pod));
    pod.take(whole(CONTENT));
    assert!(!is_refused(&pod));
    assert_eq!(first.try_recv(), Ok(true));
    assert_eq!(ask(&mut pod, still_runs.opened).try_recv(), Ok(true));
    let after = enter(&pod);
    assert_eq!(ask(&mut pod, after.opened).try_recv(), Ok(false));
}
