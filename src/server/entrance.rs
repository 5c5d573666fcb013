//! Owns the doors that people queue at, once the loop has them: which are looked at, and when again after one that
//! could not be accepted. Knows nothing of who comes.

use std::io;
use std::time::Instant;

use mio::Token;
use mio::event::Source;
use slab::Slab;

use super::doors::{Place, Purpose, Wanted};
use crate::reactor::{DeadPeer, Listener, Pause, Poller, PrivateListener};

/// A door that people queue at.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) purpose: Purpose,
    /// `None` of one that was handed over.
    pub(super) wanted: Option<Wanted>,
    pub(super) place: Place,
    pub(super) socket: EntranceSocket,
    pub(super) gate: Gate,
    pub(super) pause: Pause,
}

#[derive(Debug)]
pub(super) enum EntranceSocket {
    Tcp(Listener),
    Unix(PrivateListener),
}

/// Whether a door is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Nobody waits; the kernel will tell.
    Quiet,
    /// Somebody may wait, and the kernel will not tell again.
    Waiting,
    /// There are no descriptors for more connections until somebody leaves.
    Shut { until: Instant },
}

/// All of them. Their tokens are their places.
#[derive(Debug, Default)]
pub(super) struct Entrances {
    all: Slab<Entrance>,
}

impl Entrance {
    /// Closes it. One that was handed over is somebody else's too, so the kernel would go on telling of it (epoll(7)).
    fn leave(mut self, poller: &Poller) {
        let registry = poller.registry();
        // What is not registered is not told of, and that is all that there can be.
        let _ = match &mut self.socket {
            EntranceSocket::Tcp(listener) => listener.deregister(registry),
            EntranceSocket::Unix(listener) => listener.deregister(registry),
        };
    }
}

impl Entrances {
    /// Takes a door in and has the kernel tell who comes. With an error it is closed.
    pub(super) fn open(
        &mut self,
        poller: &Poller,
        (purpose, place): (Purpose, Place),
        wanted: Option<Wanted>,
        mut socket: EntranceSocket,
    ) -> io::Result<usize> {
        let entry = self.all.vacant_entry();
        let at = entry.key();
        match &mut socket {
            EntranceSocket::Tcp(listener) => poller.register_reading(listener, Token(at)),
            EntranceSocket::Unix(listener) => poller.register_reading(listener, Token(at)),
        }?;
        entry.insert(Entrance {
            purpose,
            wanted,
            place,
            socket,
            gate: Gate::Quiet,
            pause: Pause::default(),
        });
        Ok(at)
    }

    /// Whether the address of one is to be had by another of ours as well.
    pub(super) fn share(&self, at: usize, shared: bool) -> io::Result<()> {
        match self.all.get(at).map(|entrance| &entrance.socket) {
            Some(EntranceSocket::Tcp(listener)) => listener.share(shared),
            Some(EntranceSocket::Unix(_)) | None => Ok(()),
        }
    }

    /// Closes one. Who waits there and was not accepted is refused by the kernel.
    pub(super) fn close(&mut self, poller: &Poller, at: usize) {
        if let Some(entrance) = self.all.try_remove(at) {
            entrance.leave(poller);
        }
    }

    /// Closes those that people come to for chat.
    pub(super) fn close_to_chat(&mut self, poller: &Poller) {
        let chat = self.all.iter().filter_map(|(at, entrance)| {
            matches!(entrance.purpose, Purpose::Chat(_)).then_some(at)
        });
        for at in chat.collect::<Vec<_>>() {
            self.close(poller, at);
        }
    }

    /// Closes all.
    pub(super) fn close_all(&mut self) {
        self.all.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entrance)> {
        self.all.iter()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Entrance> {
        self.all.get(at)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entrance> {
        self.all.iter_mut().map(|(_, entrance)| entrance)
    }

    /// Notes that somebody waits at the entrance of that token, if it is one's.
    pub(super) fn handle_readiness(&mut self, token: Token) -> bool {
        let Some(entrance) = self.all.get_mut(token.0) else {
            return false;
        };
        if entrance.gate == Gate::Quiet {
            entrance.gate = Gate::Waiting;
        }
        true
    }

    /// When one of them is to be looked at, whatever the kernel tells.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let deadlines = self
            .all
            .iter()
            .filter_map(|(_, entrance)| match entrance.gate {
                Gate::Quiet => None,
                Gate::Waiting => Some(now),
                Gate::Shut { until } => Some(until),
            });
        deadlines.min()
    }

    /// From now on the peers of those who come on streams are given up as that says.
    pub(super) fn give_up_peers(&self, dead_peer: DeadPeer) -> io::Result<()> {
        let mut listeners = self.all.iter().map(|(_, entrance)| &entrance.socket);
        listeners.try_for_each(|socket| match socket {
            EntranceSocket::Tcp(listener) => listener.give_up_peers(dead_peer),
            EntranceSocket::Unix(_) => Ok(()),
        })
    }
}
