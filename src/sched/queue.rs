//! Fairness between clients: start-time fair queueing, by slot time and weight.
//!
//! A client's virtual time is the slot time it was given, divided by its weight. The client that
//! is furthest behind is served next. A run is charged by estimate when it starts and corrected
//! when it ends. One that comes, or comes back, begins at the virtual time of the latest served,
//! so that idling saves nothing up (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1996).
//!
//! Knows jobs as numbers in an order, and classes as lanes; not what either means.

use super::state::ClassId;
use super::types::{ClientId, JobId};
use std::collections::{BTreeMap, BTreeSet};

/// A job's place in its lane: order of submission, then its number.
pub(super) type Place = (u64, JobId);

/// The clients and their waiting jobs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) clients: BTreeMap<ClientId, Client>,
    /// For each class, the clients that have waiting jobs in it, furthest behind first.
    pub(super) lanes: BTreeMap<ClassId, BTreeSet<(u64, ClientId)>>,
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
            client.waiting_count += 1;
            self.waiting += 1;
        }
        let lane = self.lanes.entry(class).or_default();
        lane.insert((client.virtual_us, id));
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
            if let Some(lane) = self.lanes.get_mut(&class) {
                lane.remove(&(client.virtual_us, id));
                if lane.is_empty() {
                    self.lanes.remove(&class);
                }
            }
        }
    }

    /// The job of a class that is served next, as [`Queue::in_order`] has it.
    pub(super) fn next(&self, class: ClassId) -> Option<(u64, ClientId, Place)> {
        let &(virtual_us, id) = self.lanes.get(&class)?.first()?;
        let place = *self.clients.get(&id)?.waiting.get(&class)?.first()?;
        Some((virtual_us, id, place))
    }

    /// The waiting jobs of a class in the order in which they are served: how far behind the
    /// client is, the client, the job's place.
    pub(super) fn in_order(&self, class: ClassId) -> impl Iterator<Item = (u64, ClientId, Place)> {
        let lane = self.lanes.get(&class).into_iter().flatten();
        lane.flat_map(move |&(virtual_us, id)| {
            let client = self.clients.get(&id);
            let places = client.and_then(|it| it.waiting.get(&class));
            let places = places.into_iter().flatten();
            places.map(move |&place| (virtual_us, id, place))
        })
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
        for class in client.waiting.keys() {
            if let Some(lane) = self.lanes.get_mut(class) {
                lane.remove(&(before, id));
                lane.insert((after, id));
            }
        }
    }
}
