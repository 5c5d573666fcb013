//! Owns how connections end: politely, with all that is due; or at once, when nothing more can be done.
//! Handlers mark, and [`let_go`](Server::let_go) closes, after the batch.

use std::fmt;
use std::time::{Duration, Instant};

use super::connection::{CloseReason, Place, State};
use super::core::{House, Server, Timer};
use super::guest::Departure;
use super::notes::Notes;
use super::tenants::Tenants;
use crate::reactor::{DatagramPort, Key, Stream};

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Ends a conversation: the member leaves at once and its name is free, what is due is still sent.
    pub(super) fn begin_close(&mut self, key: Key, reason: CloseReason) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        if connection.state != State::Open {
            return;
        }
        connection.state = State::Closing {
            peer_ended: matches!(reason, CloseReason::Left),
        };
        connection.carry = None;
        self.note_end(key, &reason);
        self.leave(key);
        self.allow(key, Some(self.limits.closing_time));
        self.push_pending(key);
    }

    /// Ends a connection that is dead or is to be cut: nothing more is sent. Not while audiences are
    /// being walked over: then it is [`cut`](Server::cut).
    pub(super) fn lose(&mut self, key: Key, reason: CloseReason) {
        self.cut(key, &reason);
        self.leave(key);
    }

    /// Marks a connection as dead. Its member leaves when it is let go, and that makes a turn due.
    pub(super) fn cut(&mut self, key: Key, reason: &CloseReason) {
        let state = self.tenants.get(key).map(|connection| connection.state);
        match (state, reason) {
            (Some(State::Open), reason) => self.note_end(key, reason),
            // Why it ended was noted; that it did not take what was due comes on top.
            (Some(State::Closing { .. }), CloseReason::ClosedLate | CloseReason::Slow(_)) => {
                self.note_end(key, &CloseReason::ClosedLate);
            }
            _ => {}
        }
        if let Some(connection) = self.tenants.get_mut(key) {
            connection.stream.forget_unsent();
        }
        self.doom(key);
    }

    /// Has a connection let go at the end of the turn.
    pub(super) fn doom(&mut self, key: Key) {
        if let Some(connection) = self.tenants.get_mut(key)
            && connection.state != State::Dead
        {
            connection.state = State::Dead;
            connection.feed.abandon();
            let room = connection.room();
            let house = connection.house();
            if let (Some(room), Some(house)) = (room, self.houses.get_mut(house)) {
                house.exchange.touch(room);
            }
            self.doomed.push(key);
        }
    }

    /// Goes on with closing once everything is sent: our half is ended, the peer's is drained.
    pub(super) fn finish_if_closing(&mut self, key: Key) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let State::Closing { peer_ended } = connection.state else {
            return;
        };
        // With nothing to be read any more there is nothing to linger for.
        if peer_ended || connection.stream.finish().is_err() {
            self.doom(key);
            return;
        }
        connection.state = State::Lingering;
        connection.readable = true;
        if !std::mem::replace(&mut connection.in_ready, true) {
            self.ready.push_back(key);
        }
        self.allow(key, Some(self.limits.lingering_time));
    }

    /// Step 6: closes what was marked. What their leaving makes due goes out next turn, without waiting.
    pub(super) fn let_go(&mut self) {
        while let Some(key) = self.doomed.pop() {
            self.leave(key);
            if self.tenants.guest(key).is_some() {
                self.note_departure(key, Departure::RoomClosed);
                self.remove_guest(key);
                continue;
            }
            let Some(connection) = self.tenants.remove(key) else {
                continue;
            };
            if let Some(deadline) = connection.deadline {
                self.timers.cancel(deadline);
            }
            self.census.leave(&connection.peer);
        }
        if self.doomed.capacity() > KEPT_DOOMED {
            self.doomed = Vec::new();
        }
    }

    /// Ends all conversations: what is due is sent, then everybody is closed. The owner goes on
    /// taking turns for as long as it has patience or until [`is_empty`](Server::is_empty).
    pub fn stop(&mut self, now: Instant) {
        self.now = now;
        self.stopping = true;
        for house in &mut self.houses {
            house.exchange.owe_notices();
        }
        for key in self.tenants.keys() {
            self.begin_close(key, CloseReason::Stopping);
        }
        self.close_rooms();
    }

    /// Ends a connection that the owner could not register or found dead.
    pub fn drop_connection(&mut self, key: Key, error: std::io::Error) {
        self.lose(key, CloseReason::Lost(error));
    }

    /// Frees a member's name and its place, if it has one.
    fn leave(&mut self, key: Key) {
        let Some(connection) = self.tenants.get(key) else {
            return;
        };
        if let Place::In { id, .. } = connection.place
            && let Some((hub, mut delivery)) = self.desk(connection.house())
        {
            hub.leave(id, &mut delivery);
        }
    }

    /// Counts how a connection ends, and has the log told.
    fn note_end(&mut self, key: Key, reason: &CloseReason) {
        self.counters.count_end(reason);
        self.note(key, |notes, now, who| {
            notes.end(now, format_args!("{who}"), reason)
        });
    }

    /// Has the log told of somebody, now or, if that is too much, in a second.
    pub(super) fn note(&mut self, key: Key, tell: impl FnOnce(&mut Notes, Instant, Who<'_, S>)) {
        let Server {
            tenants,
            houses,
            notes,
            now,
            ..
        } = self;
        let who = Who {
            tenants,
            houses,
            key,
        };
        tell(notes, *now, who);
        self.watch_notes();
    }

    /// Has the log told in a second what it was not told now.
    pub(super) fn watch_notes(&mut self) {
        if self.notes.owes() && !std::mem::replace(&mut self.notes_due, true) {
            self.timers.arm(self.now + NOTES_TICK, Timer::Notes);
        }
    }

    /// Has the log told all that it was not told yet: the server is done.
    pub fn tell_the_rest(&mut self) {
        self.notes.tell_the_rest(self.now);
    }

    /// A connection as the log calls it.
    pub(super) fn who(&self, key: Key) -> impl fmt::Display {
        let Server {
            tenants, houses, ..
        } = self;
        Who {
            tenants,
            houses,
            key,
        }
    }
}

/// A connection as the log calls it: protocol, address, and name if it has one. Formatted only if it
/// is logged.
pub(super) struct Who<'a, S> {
    pub(super) tenants: &'a Tenants<S>,
    pub(super) houses: &'a [House],
    pub(super) key: Key,
}

impl<S> fmt::Display for Who<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(connection) = self.tenants.get(self.key) else {
            return self.fmt_guest(f);
        };
        write!(f, "{} {}", connection.protocol, connection.peer)?;
        if let Place::In { id, .. } = connection.place
            && let Some(house) = self.houses.get(connection.house())
            && let Some(name) = house.hub.name(id)
        {
            write!(f, " {name}")?;
        }
        Ok(())
    }
}

impl<S> Who<'_, S> {
    fn fmt_guest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(guest) = self.tenants.guest(self.key) else {
            return Ok(());
        };
        write!(f, "{} {}", guest.protocol, guest.peer)?;
        if let Some(id) = guest.id()
            && let Some(house) = self.houses.get(guest.house())
            && let Some(name) = house.hub.name(id)
        {
            write!(f, " {name}")?;
        }
        Ok(())
    }
}

/// A limited class of records begins a new second after this, some timer ticks later to be sure.
const NOTES_TICK: Duration = Duration::from_millis(1100);

/// What is kept of the list of the doomed: more than that were a mass departure.
const KEPT_DOOMED: usize = 64;
