//! Owns the slab: connections, and guests, who have none. One key finds either.
//! Knows nothing of what they do.

use super::connection::Connection;
use super::guest::{Guest, GuestPlace};
use crate::reactor::{Key, Slots};

/// Everybody the server talks with.
#[derive(Debug)]
pub(super) struct Tenants<S> {
    slots: Slots<Tenant<S>>,
    connections: usize,
}

#[derive(Debug)]
enum Tenant<S> {
    Connection(Connection<S>),
    /// Boxed, or each connection would be as large.
    Guest(Box<Guest>),
}

impl<S> Tenants<S> {
    pub(super) fn new() -> Tenants<S> {
        Tenants {
            slots: Slots::new(),
            connections: 0,
        }
    }

    pub(super) fn insert(&mut self, connection: Connection<S>) -> Key {
        self.connections += 1;
        self.slots.insert_with(|_| Tenant::Connection(connection))
    }

    pub(super) fn insert_guest(&mut self, guest: Guest) -> Key {
        self.slots.insert_with(|_| Tenant::Guest(Box::new(guest)))
    }

    /// The connection of that key, if it is there and is one.
    pub(super) fn get(&self, key: Key) -> Option<&Connection<S>> {
        match self.slots.get(key)? {
            Tenant::Connection(connection) => Some(connection),
            Tenant::Guest(_) => None,
        }
    }

    /// The connection of that key, if it is there and is one.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Connection<S>> {
        match self.slots.get_mut(key)? {
            Tenant::Connection(connection) => Some(connection),
            Tenant::Guest(_) => None,
        }
    }

    /// The guest of that key, if it is there and is one.
    pub(super) fn guest(&self, key: Key) -> Option<&Guest> {
        match self.slots.get(key)? {
            Tenant::Guest(guest) => Some(guest),
            Tenant::Connection(_) => None,
        }
    }

    /// The guest of that key, if it is there and is one.
    pub(super) fn guest_mut(&mut self, key: Key) -> Option<&mut Guest> {
        match self.slots.get_mut(key)? {
            Tenant::Guest(guest) => Some(guest),
            Tenant::Connection(_) => None,
        }
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
        self.get(key)?;
        match self.slots.remove(key)? {
            Tenant::Connection(connection) => {
                self.connections -= 1;
                Some(connection)
            }
            Tenant::Guest(_) => None,
        }
    }

    pub(super) fn remove_guest(&mut self, key: Key) -> Option<Guest> {
        self.guest(key)?;
        match self.slots.remove(key)? {
            Tenant::Guest(guest) => Some(*guest),
            Tenant::Connection(_) => None,
        }
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// How many guests there are.
    pub(super) fn guests(&self) -> usize {
        self.slots.len() - self.connections
    }

    /// All connections, in slab order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Connection<S>)> {
        self.slots.iter().filter_map(|(key, tenant)| match tenant {
            Tenant::Connection(connection) => Some((key, connection)),
            Tenant::Guest(_) => None,
        })
    }

    /// All guests, in slab order.
    pub(super) fn iter_guests(&self) -> impl Iterator<Item = (Key, &Guest)> {
        self.slots.iter().filter_map(|(key, tenant)| match tenant {
            Tenant::Guest(guest) => Some((key, &**guest)),
            Tenant::Connection(_) => None,
        })
    }

    /// The keys of all connections, in slab order.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }
}
