//! A worker's slots, and whose turn it is. A slot that is free goes to the hub that has the fewest of
//! them; of several such hubs, to the one that was served longest ago. How many jobs a hub has sent
//! ahead buys it nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use tokio::sync::{Notify, oneshot};

/// The slots. To be used on one thread.
#[derive(Debug)]
pub(crate) struct Turns {
    state: RefCell<State>,
    /// Whoever waits for the last job's end.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    free: u32,
    running: u32,
    is_closed: bool,
    hubs: BTreeMap<u64, Hub>,
    /// Counts hubs that came, and slots that were given.
    count: u64,
}

#[derive(Debug, Default)]
struct Hub {
    running: u32,
    /// The count when it was served last.
    served: u64,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A hub's share in them, as long as it is connected.
#[derive(Debug)]
pub(crate) struct Share {
    turns: Rc<Turns>,
    number: u64,
}

/// A slot, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Rc<Turns>,
    number: u64,
}

impl Turns {
    /// So many slots, all free.
    pub(crate) fn of(slots: u32) -> Rc<Self> {
        let state = RefCell::new(State {
            free: slots,
            running: 0,
            is_closed: false,
            hubs: BTreeMap::new(),
            count: 0,
        });
        let ended = Notify::new();
        Rc::new(Self { state, ended })
    }

    /// One more hub.
    pub(crate) fn share(self: &Rc<Self>) -> Share {
        let mut state = self.state.borrow_mut();
        state.count += 1;
        let number = state.count;
        state.hubs.insert(number, Hub::default());
        let turns = Rc::clone(self);
        Share { turns, number }
    }

    /// Hears no more wishes, and waits until nobody has a slot or waits for one.
    pub(crate) async fn close(&self) {
        self.state.borrow_mut().is_closed = true;
        while !self.state.borrow_mut().is_idle() {
            self.ended.notified().await;
        }
    }

    /// Gives what is free to those that wait.
    fn give(self: &Rc<Self>) {
        while let Some((number, waiting)) = self.next() {
            let turn = Turn {
                turns: Rc::clone(self),
                number,
            };
            // One that waits no more does not take it, and it comes back at once.
            drop(waiting.send(turn));
        }
    }

    fn next(&self) -> Option<(u64, oneshot::Sender<Turn>)> {
        let state = &mut *self.state.borrow_mut();
        if state.free == 0 {
            return None;
        }
        state.forget_gone();
        let waiting = state.hubs.iter_mut();
        let waiting = waiting.filter(|(_, hub)| !hub.waiting.is_empty());
        let (number, hub) = waiting.min_by_key(|(_, hub)| (hub.running, hub.served))?;
        let sender = hub.waiting.pop_front()?;
        state.count += 1;
        (hub.running, hub.served) = (hub.running + 1, state.count);
        (state.free, state.running) = (state.free - 1, state.running + 1);
        Some((*number, sender))
    }
}

impl State {
    /// Forgets those that wait no more.
    fn forget_gone(&mut self) {
        for hub in self.hubs.values_mut() {
            hub.waiting.retain(|waiting| !waiting.is_closed());
        }
    }

    /// Whether nobody has a slot, or waits for one.
    fn is_idle(&mut self) -> bool {
        self.forget_gone();
        self.running == 0 && self.hubs.values().all(|hub| hub.waiting.is_empty())
    }
}

impl Share {
    /// A slot for one of this hub's jobs, in the order in which they ask. Once no more are given,
    /// whoever asks waits until the connection ends: then the job moves.
    pub(crate) async fn turn(&self) -> Turn {
        let (sender, turn) = oneshot::channel();
        self.ask(sender);
        match turn.await {
            Ok(turn) => turn,
            Err(_) => std::future::pending().await,
        }
    }

    fn ask(&self, sender: oneshot::Sender<Turn>) {
        {
            let state = &mut *self.turns.state.borrow_mut();
            match state.hubs.get_mut(&self.number) {
                Some(hub) if !state.is_closed => hub.waiting.push_back(sender),
                _ => return,
            }
        }
        self.turns.give();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.turns.state.borrow_mut().hubs.remove(&self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let state = &mut *self.turns.state.borrow_mut();
            (state.free, state.running) = (state.free + 1, state.running - 1);
            if let Some(hub) = state.hubs.get_mut(&self.number) {
                hub.running -= 1;
            }
        }
        self.turns.give();
        self.turns.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Asking<'a> = Pin<Box<dyn Future<Output = Turn> + 'a>>;

    fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(got) => Some(got),
            Poll::Pending => None,
        }
    }

    /// So many jobs of a hub that have asked; those that have a slot, and those that wait.
    fn ask(share: &Share, count: usize) -> (Vec<Turn>, Vec<Asking<'_>>) {
        let (mut has, mut waits) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut asking: Asking<'_> = Box::pin(share.turn());
            match poll(&mut asking) {
                Some(turn) => has.push(turn),
                None => waits.push(asking),
            }
        }
        (has, waits)
    }

    fn given(waits: &mut Vec<Asking<'_>>) -> Vec<Turn> {
        let mut given = Vec::new();
        waits.retain_mut(|asking| match poll(asking) {
            Some(turn) => {
                given.push(turn);
                false
            }
            None => true,
        });
        given
    }

    #[test]
    fn what_is_sent_ahead_buys_nothing() {
        let turns = Turns::of(4);
        let (greedy, modest) = (turns.share(), turns.share());
        let (mut first, mut first_waits) = ask(&greedy, 40);
        let (none, mut second_waits) = ask(&modest, 2);
        assert_eq!((first.len(), none.len()), (4, 0));
        // Two that end make room for both of the other's, and then it is even.
        first.truncate(2);
        let second = given(&mut second_waits);
        assert_eq!((second.len(), given(&mut first_waits).len()), (2, 0));
        let (_, mut more) = ask(&modest, 1);
        first.pop();
        assert_eq!(
            (given(&mut more).len(), given(&mut first_waits).len()),
            (0, 1)
        );
    }

    #[test]
    fn one_that_is_alone_has_all() {
        let turns = Turns::of(3);
        let (alone, _idle) = (turns.share(), turns.share());
        let (has, mut waits) = ask(&alone, 5);
        assert_eq!(has.len(), 3);
        drop(has);
        assert_eq!(given(&mut waits).len(), 2);
    }

    #[test]
    fn who_waits_no_more_takes_no_slot_with_him() {
        let turns = Turns::of(1);
        let share = turns.share();
        let (has, mut waits) = ask(&share, 3);
        // One gives up while he waits, another when he has been given it and does not know yet.
        drop(waits.remove(0));
        drop(has);
        drop(waits);
        assert_eq!(ask(&share, 1).0.len(), 1);
        // And one whose hub went away.
        let other = turns.share();
        let (has, _) = ask(&other, 1);
        drop(other);
        drop(has);
        assert_eq!(ask(&share, 1).0.len(), 1);
    }

    #[test]
    fn once_closed_it_gives_nothing_and_tells_when_all_is_back() {
        let turns = Turns::of(2);
        let share = turns.share();
        let (has, mut waits) = ask(&share, 3);
        let mut close: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(turns.close());
        assert!(poll(&mut close).is_none(), "jobs run");
        let mut late: Asking<'_> = Box::pin(share.turn());
        assert!(poll(&mut late).is_none(), "nothing more is taken");
        drop(has);
        assert!(poll(&mut close).is_none(), "one had asked before");
        assert_eq!(given(&mut waits).len(), 1);
        assert!(poll(&mut close).is_some(), "nobody is left");
        assert!(poll(&mut late).is_none(), "nothing more is taken");
    }
}
