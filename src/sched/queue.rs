//! Fairness between clients: start-time fair queueing, by slot time and weight.
//!
//! A client's virtual time is the slot time it was given, divided by its weight. The client that
//! is furthest behind is served next. A run is charged by estimate when it starts and corrected
//! when it ends. One that comes, or comes back, begins at the virtual time of the latest served,
//! so that idling saves nothing up (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1996).
//!
//! Knows jobs as numbers in an order, and classes as kinds of them; not what either means.

use super::bits::Bits;
use super::state::ClassId;
use super::types::{ClientId, JobId};
use std::collections::{BTreeMap, BTreeSet};

/// A job's place among its client's: order of submission, then its number.
pub(super) type Place = (u64, JobId);

/// The clients and their waiting jobs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) clients: BTreeMap<ClientId, Client>,
    /// Clients with waiting jobs, furthest behind first.
    pub(super) order: BTreeSet<(u64, ClientId)>,
    /// Clients without jobs whose virtual time is still ahead.
    pub(super) idle: BTreeSet<(u64, ClientId)>,
    /// The virtual time of the latest served.
    pub(super) virtual_us: u64,
    pub(super) waiting: usize,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) virtual_us: u64,
    weight: u64,
    /// Jobs, waiting and running.
    pub(super) jobs: usize,
    pub(super) waiting: BTreeMap<ClassId, BTreeSet<Place>>,
    /// The classes in which it has waiting jobs, by number.
    pub(super) classes: Bits,
    pub(super) waiting_count: usize,
}

/// Weight 1 in the arithmetic of virtual time.
const SCALE: u64 = 1024;

impl Queue {
    /// A job of the client entered the house.
    pub(super) fn enter(&mut self, id: ClientId, weight: u32) {
        let now_us = self.virtual_us;
        let client = self.clients.entry(id).or_insert_with(|| Client {
            virtual_us: now_us,
            weight: 1,
            jobs: 0,
            waiting: BTreeMap::new(),
            classes: Bits::default(),
            waiting_count: 0,
        });
        client.weight = u64::from(weight.max(1));
        if client.jobs == 0 {
            self.idle.remove(&(client.virtual_us, id));
            client.virtual_us = client.virtual_us.max(now_us);
        }
        client.jobs += 1;
    }

    /// A job of the client left the house. Remembers at most `remembered` clients without jobs.
    pub(super) fn leave(&mut self, id: ClientId, remembered: usize) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.jobs = client.jobs.saturating_sub(1);
        if client.jobs == 0 {
            self.idle.insert((client.virtual_us, id));
        }
        while let Some(&(virtual_us, idle)) = self.idle.first() {
            if virtual_us > self.virtual_us && self.idle.len() <= remembered {
                break;
            }
            self.idle.pop_first();
            self.clients.remove(&idle);
        }
    }

    /// Jobs of one client that wait.
    pub(super) fn waiting_of(&self, id: ClientId) -> usize {
        self.clients
            .get(&id)
            .map_or(0, |client| client.waiting_count)
    }

    /// A job of a client that has entered waits.
    pub(super) fn push(&mut self, id: ClientId, class: ClassId, place: Place) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.waiting.entry(class).or_default().insert(place) {
            client.classes.insert(class.0);
            client.waiting_count += 1;
            self.waiting += 1;
            self.order.insert((client.virtual_us, id));
        }
    }

    /// A job no longer waits.
    pub(super) fn remove(&mut self, id: ClientId, class: ClassId, place: Place) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(places) = client.waiting.get_mut(&class) else {
            return;
        };
        if places.remove(&place) {
            client.waiting_count -= 1;
            self.waiting -= 1;
        }
        if places.is_empty() {
            client.waiting.remove(&class);
            client.classes.remove(class.0);
        }
        if client.waiting_count == 0 {
            self.order.remove(&(client.virtual_us, id));
        }
    }

    /// Of the client furthest behind that has a job in one of these classes which fits, its
    /// oldest such job.
    pub(super) fn next(
        &self,
        classes: &Bits,
        fits: impl Fn(ClassId, JobId) -> bool,
    ) -> Option<JobId> {
        let clients = self.order.iter().filter_map(|(_, id)| self.clients.get(id));
        let mut oldest = clients.filter_map(|client| {
            let classes = client.classes.both(classes).map(ClassId);
            let places = classes.filter_map(|class| {
                let mut places = client.waiting.get(&class)?.iter();
                places.find(|(_, job)| fits(class, *job))
            });
            places.min()
        });
        oldest.next().map(|&(_, job)| job)
    }

    /// The waiting jobs of a class, of the client furthest behind first.
    pub(super) fn in_order(&self, class: ClassId) -> impl Iterator<Item = JobId> {
        let clients = self.order.iter().filter_map(|(_, id)| self.clients.get(id));
        let places = clients.filter_map(move |client| client.waiting.get(&class));
        places.flatten().map(|&(_, job)| job)
    }

    /// A client is served: a run of it starts that will take this long by estimate.
    pub(super) fn charge(&mut self, id: ClientId, cost_us: u64) {
        if let Some(client) = self.clients.get(&id) {
            self.virtual_us = self.virtual_us.max(client.virtual_us);
        }
        self.correct(id, 0, cost_us);
    }

    /// What was charged was wrong.
    pub(super) fn correct(&mut self, id: ClientId, charged_us: u64, used_us: u64) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let before = client.virtual_us;
        let share = |us: u64| us.saturating_mul(SCALE) / client.weight;
        let after = before
            .saturating_add(share(used_us))
            .saturating_sub(share(charged_us));
        client.virtual_us = after;
        if client.jobs == 0 && self.idle.remove(&(before, id)) {
            self.idle.insert((after, id));
        }
        if client.waiting_count > 0 {
            self.order.remove(&(before, id));
            self.order.insert((after, id));
        }
    }
}
