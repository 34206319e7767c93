//! Content that comes ahead of the list that names it, and is too much to be kept until then; and a
//! pod that can have no file without its content.

use super::late::{CONTENT, enter, hollow, list, whole};
use super::{Command, NEVER, Pair, Pod};
use crate::index::tests::operators::Operators;
use crate::job::Digest;
use crate::wire::files::More;
use crate::wire::messages::FromPod;
use crate::workd::mirror::Out;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn pod(cache: &Path) -> Pod {
    let mut pod = Pod::open(cache);
    pod.take(list(Vec::new(), More::Everything));
    pod
}

/// What the hub has been told.
fn told(pod: &mut Pod) -> Vec<FromPod> {
    let mut all = Vec::new();
    while let Ok(Out::Message(message)) = pod.asks.try_recv() {
        all.push(message);
    }
    all
}

fn is_lacking(messages: &[FromPod], content: &[u8]) -> bool {
    let digest = Digest::of(content);
    let is_it =
        |it: &FromPod| matches!(it, FromPod::Lacks { digests, .. } if digests.contains(&digest));
    messages.iter().any(is_it)
}

#[test]
fn an_input_that_had_to_go_before_its_list_came_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = pod(dir.path());
    pod.keeper.keep_ahead_at_most(0);
    pod.take(whole(CONTENT));
    let digest = Digest::of(CONTENT);
    let without = |messages: &[FromPod]| {
        let is_it = |it: &FromPod| matches!(it, FromPod::Without { digests, first: false, .. } if digests.contains(&digest));
        messages.iter().any(is_it)
    };
    assert!(without(&told(&mut pod)), "the hub took it to be here");
    pod.take(list(vec![hollow("a.o", CONTENT, true)], More::Nothing));
    // A job whose hub has sent it before.
    let _pass = enter(&pod);
    let (tell, mut here) = tokio::sync::oneshot::channel();
    let wanted = Command::Inputs(vec![digest], tell);
    pod.keeper.take(wanted, &NEVER).unwrap();
    let asked = told(&mut pod);
    let is_it = |it: &FromPod| matches!(it, FromPod::Opened { digest: of, .. } if *of == digest);
    assert!(asked.iter().any(is_it), "{asked:?}");
    pod.take(whole(CONTENT));
    assert_eq!(here.try_recv(), Ok(()));
}

#[test]
fn a_list_whose_content_had_to_go_asks_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = pod(dir.path());
    pod.keeper.keep_ahead_at_most(10);
    pod.take(whole(b"12345"));
    let changes = vec![hollow("a", b"12345", false), hollow("b", b"lacking", false)];
    pod.take(list(changes, More::Nothing));
    let asked = told(&mut pod);
    assert!(!is_lacking(&asked, b"12345") && is_lacking(&asked, b"lacking"));
    // Another for which there is room only in its place.
    pod.take(whole(b"1234567"));
    pod.take(whole(b"lacking"));
    let asked = told(&mut pod);
    assert!(is_lacking(&asked, b"12345") && !is_lacking(&asked, b"lacking"));
    pod.take(whole(b"12345"));
    assert_eq!(pod.lists.0, pod.lists.1, "no job waits for ever");
    assert_eq!(std::fs::read(pod.place.join("a")).unwrap(), b"12345");
    assert_eq!(std::fs::read(pod.place.join("b")).unwrap(), b"lacking");
}

#[test]
fn what_came_ahead_of_a_later_list_outlives_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = Pod::open(dir.path());
    pod.take(whole(CONTENT));
    pod.take(list(vec![hollow("b", b"lacking", false)], More::Everything));
    pod.take(whole(b"lacking"));
    told(&mut pod);
    pod.take(list(vec![hollow("a.o", CONTENT, true)], More::Nothing));
    assert!(pod.place.join("a.o").metadata().unwrap().blocks() > 0);
}

fn storms(pair: &mut Pair, seed: u64) {
    let mut operators = Operators::new(&pair.root, 3);
    let mut random = super::Random(seed);
    for round in 0..6 {
        operators.work(25, false, &mut random);
        super::storm(pair, &mut operators, &format!("round {round}"));
    }
}

#[test]
fn the_copy_is_the_root_where_little_is_kept() {
    let mut pair = Pair::new(7);
    pair.pod.keeper.keep_ahead_at_most(0);
    storms(&mut pair, 7);
}

#[test]
fn without_leases_all_content_is_there_at_once() {
    let mut pair = Pair::new(8);
    pair.pod = Pod::open_with(&pair.dir.path().join("cache"), |_| None);
    let root = pair.root.clone();
    std::fs::write(root.join("a.o"), CONTENT).unwrap();
    std::fs::write(root.join("large"), vec![7; 300 << 10]).unwrap();
    pair.settle();
    let there = |name: &str| pair.pod.place.join(name).metadata().unwrap().blocks() > 0;
    assert!(there("a.o") && there("large"));
    storms(&mut pair, 8);
    // Jobs never wait for anybody's word.
    let pass = enter(&pair.pod);
    assert_eq!(super::late::runtime().block_on(pass.end()), Ok(None));
    assert_eq!(pair.opened, 0);
}
