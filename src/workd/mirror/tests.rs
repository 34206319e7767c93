//! A copy is what its root is, whatever happens to the root: the hub's part and the pod's part
//! joined without a connection.

mod cases;
mod dropped;
mod evict;
mod late;
mod refused;
mod seen;

use super::gate::Gate;
use super::holds::{self, Leases};
use super::keeper::Keeper;
use super::{Command, Out, Room};
use crate::index::Index;
use crate::index::tests::operations::{Random, content};
use crate::index::tests::operators::{Operators, Order};
use crate::job::Digest;
use crate::schedd::by_need::Learned;
use crate::schedd::content::{Answer, Asked};
use crate::schedd::mirror::{Indexes, Mirror, Restless, find};
use crate::wire::codec;
use crate::wire::files::More;
use crate::wire::messages::{FromPod, SentWhy, ToPod};
use seen::{Seen, look_again, seen};
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::mpsc;

/// Goes on to the end.
static NEVER: AtomicBool = AtomicBool::new(false);

/// A pod's part, without session and thread.
struct Pod {
    keeper: Keeper,
    gate: Arc<Gate>,
    commands: std::sync::mpsc::Sender<Command>,
    asks: mpsc::Receiver<Out>,
    /// What files that are opened say.
    told: std::sync::mpsc::Receiver<Command>,
    place: PathBuf,
    /// Lists that came, and those that jobs know of.
    lists: (u64, u64),
}

impl Pod {
    fn open(cache: &Path) -> Self {
        Self::open_with(cache, Some)
    }

    /// With other leases than there are.
    fn open_with(cache: &Path, other: impl FnOnce(Leases) -> Option<Leases>) -> Self {
        let (out, asks) = mpsc::channel(1000);
        let place = cache.join("0");
        let content = cache.join("content");
        let (commands, told) = std::sync::mpsc::channel();
        let leases = holds::leases(cache, None, commands.clone()).unwrap();
        let gate = Gate::new(commands.clone());
        let holding = (Arc::clone(&gate), other(leases));
        let places = std::slice::from_ref(&place);
        let keeper = Keeper::open(&content, places, out, holding).unwrap();
        Self {
            keeper,
            gate,
            commands,
            told,
            asks,
            place: place.join("files"),
            lists: (0, 0),
        }
    }

    /// Waits that long for news of opened files.
    fn hear(&mut self, most: Duration) {
        while let Ok(command) = self.told.recv_timeout(most) {
            self.keeper.take(command, &NEVER).unwrap();
        }
        self.keeper.provide();
    }

    fn take(&mut self, message: ToPod) {
        let command = match message {
            ToPod::Changes {
                root,
                changes,
                more,
            } => {
                self.lists.0 += u64::from(more != More::Part);
                Command::Changes(root, changes, more)
            }
            ToPod::Content {
                digest,
                packed,
                last,
            } => Command::Content(digest, packed, last),
            ToPod::Gone { digest } => Command::Gone(digest),
            other => panic!("not for a mirror: {other:?}"),
        };
        if self.keeper.take(command, &NEVER).unwrap() {
            self.lists.1 = self.keeper.made;
        }
    }
}

/// A root on a hub, and a copy on a pod.
struct Pair {
    root: PathBuf,
    indexes: Indexes,
    hub: Mirror,
    pod: Pod,
    on_the_way: VecDeque<Vec<u8>>,
    asked: VecDeque<Asked>,
    random: Random,
    /// Contents that were asked for, and those that were gone then.
    counts: (usize, usize),
    /// Files that were opened before their content was there.
    opened: usize,
    /// What the copy may hold.
    limit_bytes: Option<u64>,
    dir: tempfile::TempDir,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        fs::create_dir(&root).unwrap();
        fs::create_dir(dir.path().join("cache")).unwrap();
        let index = Index::open(&root, crate::index::Options::default()).unwrap();
        Self {
            pod: Pod::open(&dir.path().join("cache")),
            indexes: Indexes {
                all: vec![index],
                learned: vec![Learned::default()],
                restless: Restless::patient(),
            },
            hub: Mirror::default(),
            on_the_way: VecDeque::new(),
            asked: VecDeque::new(),
            random: Random(seed),
            counts: (0, 0),
            opened: 0,
            limit_bytes: None,
            root,
            dir,
        }
    }

    /// The copy may hold so much from now on, also after a restart.
    fn limit(&mut self, bytes: u64) {
        self.limit_bytes = Some(bytes);
        let cache = self.dir.path().join("cache");
        let share = Room::new(&cache, bytes).own(&cache);
        self.pod.keeper.keep_to(share);
    }

    /// As before a job.
    fn update(&mut self) {
        let way = &mut self.on_the_way;
        let mut tell = |message: &ToPod| {
            split(message, way);
            Ok(())
        };
        self.hub.update(&mut self.indexes, &mut tell).unwrap();
    }

    /// Lets one message come in, or one turn of the hub's answers go out; false if all is done.
    fn pump(&mut self) -> bool {
        while let Ok(Out::Message(asks)) = self.pod.asks.try_recv() {
            self.answer(asks);
        }
        let comes = self.random.below(3) > 0 || self.asked.is_empty();
        if let Some(message) = self.on_the_way.pop_front_if(|_| comes) {
            self.pod.take(codec::decode(&message).unwrap());
            return true;
        }
        let Some(mut asked) = self.asked.pop_front() else {
            return !self.on_the_way.is_empty();
        };
        let answers = asked.turn();
        if !answers.is_empty() {
            self.asked.push_back(asked);
        }
        for answer in answers {
            let way = &mut self.on_the_way;
            let mut tell = |message: &ToPod| {
                split(message, way);
                Ok(())
            };
            match answer {
                Answer::Piece(piece) => {
                    self.hub.sent(None, &piece);
                    tell(&piece.into_message()).unwrap();
                }
                Answer::Gone(digest) => {
                    self.counts.1 += 1;
                    let root = crate::paths::RootId(0);
                    let told = self.hub.gone(&mut self.indexes, root, digest, &mut tell);
                    told.unwrap();
                }
            }
        }
        true
    }

    fn answer(&mut self, message: FromPod) {
        let found = match message {
            FromPod::Lacks { root, digests } => {
                self.counts.0 += digests.len();
                let digests = self.hub.not_coming(digests);
                find(&self.indexes, root, &digests, SentWhy::Asked)
            }
            FromPod::Opened { root, name, digest } => {
                self.opened += 1;
                let found = self.hub.opened(&mut self.indexes, root, &name, digest);
                found.into_iter().collect()
            }
            FromPod::Without {
                root,
                digests,
                first,
            } => {
                self.hub.without(&self.indexes, root, &digests, first);
                Vec::new()
            }
            other => panic!("not of a mirror: {other:?}"),
        };
        let due = std::mem::take(&mut self.hub.to_send);
        let due = due.into_iter().map(|(_, source)| Ok(source));
        let found: Vec<_> = found.into_iter().chain(due).collect();
        if !found.is_empty() {
            self.asked.push_back(Asked::new(found));
        }
    }

    /// What somebody sees who reads everything on the pod, while pod and hub bring what he opens.
    fn seen_there(&mut self) -> Seen {
        let place = self.pod.place.clone();
        // As a job.
        let _guest = self.pod.gate.come();
        let reader = std::thread::spawn(move || seen(&place));
        while !reader.is_finished() {
            self.pod.hear(Duration::from_millis(1));
            while self.pump() {}
        }
        reader.join().unwrap()
    }

    /// Until the copy should be what the root is, which nobody changes.
    fn settle(&mut self) {
        self.update();
        while self.pump() {}
        let (come, made) = self.pod.lists;
        assert_eq!(come, made, "no job waits for ever");
        // What was gone at one time is told with the next job.
        self.update();
        while self.pump() {}
        assert!(self.asked.is_empty() && self.on_the_way.is_empty());
    }

    fn check(&mut self, when: &str) {
        self.settle();
        let (here, mut there) = (seen(&self.root), self.seen_there());
        if self.limit_bytes.is_some() {
            look_again(&here, &mut there, &self.pod.place);
        }
        if here == there {
            return;
        }
        for name in here.keys().chain(there.keys()) {
            let text = String::from_utf8_lossy(name);
            assert_eq!(here.get(name), there.get(name), "{when}: {text:?}");
        }
    }

    /// The pod ends in the midst of everything, and comes back to what lies on its disk.
    fn restart(&mut self) {
        for _ in 0..self.random.below(50) {
            self.pump();
        }
        self.on_the_way.clear();
        self.asked.clear();
        self.hub = Mirror::default();
        self.pod = Pod::open(&self.dir.path().join("cache"));
        if let Some(bytes) = self.limit_bytes {
            self.limit(bytes);
        }
    }

    /// The hub takes content for something that the pod has.
    fn mislead(&mut self) {
        let digests = (0..=255).map(|byte| Digest::of(&content(byte)));
        self.hub.made(digests);
    }
}

/// Sends a message, a list in several parts.
fn split(message: &ToPod, way: &mut VecDeque<Vec<u8>>) {
    let mut send = |message: &ToPod| way.push_back(codec::encode(message).unwrap());
    let ToPod::Changes {
        root,
        changes,
        more,
    } = message
    else {
        return send(message);
    };
    let (first, last) = changes.split_at(changes.len() - changes.len() / 3);
    for (part, more) in [(first, More::Part), (last, *more)] {
        send(&ToPod::Changes {
            root: *root,
            changes: part.to_vec(),
            more,
        });
    }
}

/// Several processes do something at once, while the hub tells and the pod asks; then all is quiet,
/// and the copy must be the root.
fn storm(pair: &mut Pair, operators: &mut Operators, when: &str) {
    while operators.are_busy() {
        pair.update();
        for _ in 0..pair.random.below(20) {
            pair.pump();
        }
    }
    pair.check(when);
}

fn whatever_happens((seed, limit): (u64, Option<u64>), rounds: usize, operations: usize) {
    let mut pair = Pair::new(seed);
    if let Some(bytes) = limit {
        pair.limit(bytes);
    }
    let mut operators = Operators::new(&pair.root, 3);
    // What they are told does not depend on what the kernel lets come first.
    let mut random = Random(!seed);
    for round in 0..rounds {
        let when = format!("seed {seed}, round {round}");
        if round % 3 == 1 {
            pair.mislead();
        }
        operators.work(operations, round % 4 == 1, &mut random);
        storm(&mut pair, &mut operators, &when);
        // A link that is made, used and removed before the index looks is told by nothing.
        for number in 0..4 {
            operators.one(number % 3, Order::Link, &mut random);
            pair.check(&when);
            operators.one((number + 1) % 3, Order::Steps(3), &mut random);
        }
        pair.check(&when);
        if round % 4 == 3 {
            pair.update();
            pair.restart();
            pair.check(&format!("{when}, after a restart"));
        }
    }
    let (asked, gone) = pair.counts;
    println!(
        "seed {seed}: {} operations; {asked} asked for, {gone} gone",
        operators.done
    );
    // Two names for one file may be too much for a root that is nearly empty.
    assert!(operators.done >= rounds * (3 * operations + 4 * 3));
    assert!(asked > 0 && gone > 0, "{asked} were asked for, {gone} gone");
}

#[test]
fn the_copy_is_the_root_whatever_happens() {
    whatever_happens((1, None), 40, 25);
}

#[test]
#[ignore = "a hundred thousand operations"]
fn the_copy_is_the_root_for_long() {
    for seed in 0..20 {
        let limit = [None, Some(0), Some(1 << 20)];
        whatever_happens((seed, limit[seed as usize % 3]), 40, 40);
    }
}
