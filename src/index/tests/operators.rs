//! Processes that do something to the files of a root, at random, as they are told.
//!
//! Each of them is this program of tests once more, which runs a single test that then takes orders
//! from its standard input, a socket. What one does follows from its orders alone; what comes of
//! several at once, the kernel decides.

use super::operations::{Random, die, link, own, step};
use rustix::net::RecvFlags;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The root to work on, in the environment of a process that takes orders.
const ROOT: &str = "CPODS_TEST_OPERATES_ON";

/// The test that such a process runs.
const TEST: &str = "operators_of_one_seed_do_the_same";

/// What an operator is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// So many operations, some of them in files of its own.
    Work(usize),
    /// The same, and then an end by SIGKILL in the midst of writing.
    WorkAndDie(usize),
    /// So many operations that a process of its own may do, too.
    Steps(usize),
    /// One file is to have two names, which an index must see before either is used.
    Link,
}

impl Order {
    fn is_deadly(self) -> bool {
        matches!(self, Self::WorkAndDie(_))
    }
}

/// Processes, numbered from 0.
pub(crate) struct Operators {
    root: PathBuf,
    all: Vec<Operator>,
    /// Operations that could be done.
    pub(crate) done: usize,
}

struct Operator {
    process: Child,
    orders: UnixStream,
    order: Option<Order>,
}

impl Operators {
    pub(crate) fn new(root: &Path, number: usize) -> Self {
        Self {
            root: root.into(),
            all: (0..number).map(|_| Operator::start(root)).collect(),
            done: 0,
        }
    }

    /// All have something to do: each so many operations. The last one may die of it.
    pub(crate) fn work(&mut self, operations: usize, dies: bool, random: &mut Random) {
        let last = self.all.len() - 1;
        for number in 0..=last {
            let order = match dies && number == last {
                true => Order::WorkAndDie(operations),
                false => Order::Work(operations),
            };
            self.order(number, order, random.next());
        }
    }

    /// One has something to do, which the others wait for.
    pub(crate) fn one(&mut self, number: usize, order: Order, random: &mut Random) {
        self.order(number, order, random.next());
        while self.all[number].order.is_some() {
            self.hear(number, RecvFlags::empty());
        }
    }

    /// Whether some have not yet done what they were told.
    pub(crate) fn are_busy(&mut self) -> bool {
        for number in 0..self.all.len() {
            self.hear(number, RecvFlags::DONTWAIT);
        }
        self.all.iter().any(|it| it.order.is_some())
    }

    fn order(&mut self, number: usize, order: Order, seed: u64) {
        let operator = &mut self.all[number];
        assert!(operator.order.replace(order).is_none(), "is at work");
        let (what, operations) = match order {
            Order::Work(operations) => ("work", operations),
            Order::WorkAndDie(operations) => ("die", operations),
            Order::Steps(operations) => ("steps", operations),
            Order::Link => ("link", 1),
        };
        let line = format!("{what} {number} {operations} {seed}\n");
        operator.orders.write_all(line.as_bytes()).unwrap();
    }

    /// Takes in what one says of its work.
    fn hear(&mut self, number: usize, flags: RecvFlags) {
        let operator = &mut self.all[number];
        let Some(order) = operator.order else {
            return;
        };
        let mut done = [0; 8];
        match rustix::net::recv(&operator.orders, &mut done, flags) {
            Ok((8, _)) => {
                self.done += usize::try_from(u64::from_le_bytes(done)).unwrap();
                operator.order = operator.order.filter(|it| it.is_deadly());
            }
            Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => {
                let status = operator.process.wait().unwrap();
                let was_told = matches!(order, Order::WorkAndDie(_));
                assert!(
                    was_told && status.signal() == Some(9),
                    "{order:?}: {status}"
                );
                self.all[number] = Operator::start(&self.root);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => panic!("{order:?}: {other:?}"),
        }
    }
}

impl Operator {
    fn start(root: &Path) -> Self {
        let (orders, theirs) = UnixStream::pair().unwrap();
        let (_, module) = module_path!().split_once("::").unwrap();
        // Also if the program's file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        let process = command
            .args(["--exact", &format!("{module}::{TEST}")])
            .args(["--test-threads=1", "--nocapture"])
            .env(ROOT, root)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn();
        Self {
            process: process.unwrap(),
            orders,
            order: None,
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // One that was at work, as when a test fails, need not end it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does what it is told until there is nobody to tell.
fn obey(root: &Path) {
    let orders = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut told = UnixStream::from(orders.try_clone().unwrap());
    for line in BufReader::new(UnixStream::from(orders)).lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let what = words.next().unwrap();
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let [worker, operations, seed] = [number(), number(), number()];
        let mut random = Random(seed);
        let [worker, operations] = [worker, operations].map(|it| usize::try_from(it).unwrap());
        let once = |random: &mut Random| match what {
            "link" => link(root, random),
            "steps" => step(root, random),
            _ if random.below(8) == 0 => own(root, worker, random),
            _ => step(root, random),
        };
        // What cannot be done changes nothing, or what it did is seen; it does not count. In a root
        // where hardly anything can be done, there is an end to it.
        let tries = (0..operations * 100).filter(|_| once(&mut random).is_ok());
        let done = tries.take(operations).count() as u64;
        told.write_all(&done.to_le_bytes()).unwrap();
        if what == "die" {
            die(root, worker, &mut random);
        }
    }
}

/// Names below a directory, and what files there hold.
fn tree(root: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let walk = walkdir::WalkDir::new(root).sort_by_file_name();
    let found = walk.into_iter().map(|found| {
        let found = found.unwrap();
        let content = found.file_type().is_file();
        let content = content.then(|| std::fs::read(found.path()).unwrap());
        (found.path().strip_prefix(root).unwrap().into(), content)
    });
    found.collect()
}

/// Also what processes run that are started here.
#[test]
fn operators_of_one_seed_do_the_same() {
    if let Some(root) = std::env::var_os(ROOT) {
        return obey(Path::new(&root));
    }
    let once = |seed| {
        let dir = tempfile::tempdir().unwrap();
        let (mut operators, mut random) = (Operators::new(dir.path(), 1), Random(seed));
        operators.one(0, Order::Work(200), &mut random);
        operators.one(0, Order::WorkAndDie(200), &mut random);
        operators.one(0, Order::Work(20), &mut random);
        (operators.done, tree(dir.path()))
    };
    let (done, tree) = once(1);
    assert!(done == 420 && tree.len() > 5, "{done} {tree:?}");
    assert!((done, tree) == once(1));
    assert!(once(2) != once(1));
}
