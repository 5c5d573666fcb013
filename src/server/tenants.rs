//! Owns the slabs: connections, and guests, who have none. A key says of which kind it is.
//! Knows nothing of what they do.

use super::connection::Connection;
use super::guest::{Guest, GuestPlace};
use crate::reactor::{Key, Slots};

/// Everybody the server talks with.
#[derive(Debug)]
pub(super) struct Tenants<S> {
    connections: Slots<Connection<S>>,
    /// Apart: a slot for either would be as large as the larger of the two.
    guests: Slots<Guest>,
}

/// The keys of guests begin here; there are never so many connections.
const FIRST_GUEST: u32 = 1 << 31;

impl<S> Tenants<S> {
    pub(super) fn new() -> Tenants<S> {
        Tenants {
            connections: Slots::new(),
            guests: Slots::counting_from(FIRST_GUEST),
        }
    }

    pub(super) fn insert(&mut self, connection: Connection<S>) -> Key {
        self.connections.insert_with(|_| connection)
    }

    pub(super) fn insert_guest(&mut self, guest: Guest) -> Key {
        self.guests.insert_with(|_| guest)
    }

    /// The connection of that key, if it is there and is one.
    pub(super) fn get(&self, key: Key) -> Option<&Connection<S>> {
        self.connections.get(key)
    }

    /// The connection of that key, if it is there and is one.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Connection<S>> {
        self.connections.get_mut(key)
    }

    /// The guest of that key, if it is there and is one.
    pub(super) fn guest(&self, key: Key) -> Option<&Guest> {
        self.guests.get(key)
    }

    /// The guest of that key, if it is there and is one.
    pub(super) fn guest_mut(&mut self, key: Key) -> Option<&mut Guest> {
        self.guests.get_mut(key)
    }

    /// Notes that a guest has another seat in the mailing of its port.
    pub(super) fn reseat(&mut self, key: Key, to: usize) {
        let place = self.guest_mut(key).map(|guest| &mut guest.place);
        if let Some(GuestPlace::In { seat, .. }) = place {
            let to = u32::try_from(to).expect("invariant: rooms are bounded");
            *seat = Some(to);
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Connection<S>> {
        self.connections.remove(key)
    }

    pub(super) fn remove_guest(&mut self, key: Key) -> Option<Guest> {
        self.guests.remove(key)
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many guests there are.
    pub(super) fn guests(&self) -> usize {
        self.guests.len()
    }

    /// All connections, in slab order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Connection<S>)> {
        self.connections.iter()
    }

    /// All guests, in slab order.
    pub(super) fn iter_guests(&self) -> impl Iterator<Item = (Key, &Guest)> {
        self.guests.iter()
    }

    /// The keys of all, connections first.
    pub(super) fn all_keys(&self) -> Vec<Key> {
        let guests = self.guests.iter().map(|(key, _)| key);
        self.connections.keys().into_iter().chain(guests).collect()
    }

    /// The keys of all connections, in slab order.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.connections.keys()
    }
}
