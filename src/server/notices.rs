//! Owns what the server itself says: to everybody, to some, and to those who have just come in.
//! Decides nothing of how it looks: that is each protocol's.

use std::time::Instant;

use super::core::Server;
use super::members::Whom;
use crate::chat::{Deliver, Event, notice_lines};
use crate::reactor::{DatagramPort, Key, Stream};

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Says something to everybody who is in, as [`SERVER_NAME`](crate::chat::SERVER_NAME): a message for each line; see
    /// [`notice_lines`]. A mesh hears it in its gateway's name.
    pub fn tell_all(&mut self, text: &str, now: Instant) {
        self.now = now;
        let time = self.wall_now();
        for house in 0..self.houses.len() {
            let Some((hub, mut delivery)) = self.desk(house) else {
                continue;
            };
            for room in hub.rooms() {
                for text in notice_lines(text) {
                    delivery.announce(room, Event::Notice { text: &text, time });
                }
            }
        }
    }

    /// The same to those who are meant and can be told something alone. Returns how many.
    pub fn tell(&mut self, whom: &Whom, text: &str, now: Instant) -> usize {
        self.now = now;
        let meant = self.find(whom);
        meant
            .into_iter()
            .filter(|key| self.notify(*key, text))
            .count()
    }

    /// What everybody is told who comes in, from now on; see [`tell_all`](Server::tell_all) for its lines. Empty is
    /// nothing. Nobody is told of whom it is not known whether it receives at its address, before that is known; only in
    /// `udp-room`, where nobody ever can be known to, it is the pace of its network that it counts for. A mesh is not told.
    pub fn welcome_newcomers(&mut self, text: &str) {
        self.greeting = text.into();
    }

    /// Tells a newcomer what all are told.
    pub(super) fn greet(&mut self, key: Key) {
        if !self.greeting.is_empty() {
            let greeting = std::mem::take(&mut self.greeting);
            self.notify(key, &greeting);
            self.greeting = greeting;
        }
    }

    /// Says something to one who is in. Whether there was a way.
    pub(super) fn notify(&mut self, key: Key, text: &str) -> bool {
        let time = self.wall_now();
        let Some((_, mut delivery)) = self.house_with(key).and_then(|house| self.desk(house))
        else {
            return false;
        };
        let mut told = false;
        for text in notice_lines(text) {
            told |= delivery.to_member(key, Event::Notice { text: &text, time });
        }
        told
    }

    /// The house in which somebody is in a room and heard.
    fn house_with(&self, key: Key) -> Option<usize> {
        use super::connection::Place;
        use super::guest::GuestPlace;
        match self.tenants.get(key) {
            Some(connection) => match connection.place {
                Place::In { .. } => Some(connection.house()),
                Place::Nowhere | Place::Leaving { .. } => None,
            },
            None => {
                let guest = self.tenants.guest(key)?;
                let is_in = matches!(guest.place, GuestPlace::In { .. });
                is_in.then(|| guest.house())
            }
        }
    }
}
