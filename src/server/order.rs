//! Owns what whoever keeps order can do: put somebody out, ban an address, say from where people may come, and let nobody
//! in any more. Who that is, and how it is asked, is the owner's.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::access::{Access, Gate};
use super::address::PeerAddress;
use super::bans::{Ban, TooManyBans};
use super::connection::{CloseReason, Place, State};
use super::core::Server;
use super::guest::Departure;
use super::members::Whom;
use crate::chat::{BANNED, KICKED, cut, harmless};
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Key, Stream};

/// Why nobody is let in from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    /// It is banned.
    Banned,
    /// The protocol's list does not let it in.
    NotAllowed,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bar::Banned => "its address is banned",
            Bar::NotAllowed => "nobody is let in from its address",
        })
    }
}

/// The longest reason, in bytes of UTF-8: with its name and what stands around it, it is one datagram and one line of the
/// log.
pub const MAX_REASON_BYTES: usize = 256;

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Puts those out that are meant, and returns how many. Each is told `kicked: REASON` where its protocol has a way,
    /// others see it leave at once, and a connection ends as any other does: what is due goes out first.
    ///
    /// Nothing keeps them from coming back, as some programs do by themselves: a peer of a mesh with its next line, and
    /// a client over datagrams that has missed the one which tells. For that there is [`ban`](Server::ban).
    pub fn kick(&mut self, whom: &Whom, reason: &str, now: Instant) -> usize {
        self.now = now;
        let keys = self.find(whom);
        self.put_out(keys, KICKED, reason)
    }

    /// Lets nobody in from there any more, whatever the protocol, before anything else is done for them: a connection
    /// is closed and a datagram dropped unread. Puts those out who are in, and returns how many.
    ///
    /// A ban of the same prefix is replaced. This machine's own addresses may be banned like others.
    pub fn ban(&mut self, ban: Ban, now: Instant) -> Result<usize, TooManyBans> {
        self.now = now;
        let (whom, reason) = (Whom::From(ban.net), ban.reason.clone());
        if ban.until.is_some_and(|until| until <= now) {
            return Ok(0);
        }
        self.bans.add(ban, now)?;
        let keys = self.find(&whom);
        Ok(self.put_out(keys, BANNED, &reason))
    }

    /// Lifts the ban of exactly that prefix, if there is one.
    pub fn unban(&mut self, net: IpNet) -> Option<Ban> {
        self.bans.lift(net)
    }

    /// The bans that hold, in no order.
    pub fn bans(&self, now: Instant) -> impl Iterator<Item = &Ban> {
        self.bans.iter(now)
    }

    /// Lets people in from where that says, from now on; to a protocol that is not there, from everywhere. It is looked
    /// at where bans are. Those who are in and would not be let in any more are put out, so that what holds does not depend
    /// on who came when: returns how many.
    pub fn let_in(&mut self, access: &BTreeMap<Protocol, Access>, now: Instant) -> usize {
        self.now = now;
        let gate = |protocol| access.get(protocol).map(Gate::new).unwrap_or_default();
        self.gates = Protocol::ALL.iter().map(gate).collect();
        let connections = self.tenants.iter();
        let connections = connections.map(|(key, of)| (key, of.protocol, of.peer));
        let guests = self.tenants.iter_guests();
        let guests = guests.map(|(key, of)| (key, of.protocol, of.peer));
        let out: Vec<Key> = connections
            .chain(guests)
            .filter(|(_, protocol, peer)| !self.gate_admits(*protocol, peer.ip()))
            .map(|(key, ..)| key)
            .collect();
        self.put_out(out, KICKED, "your address is not let in any more")
    }

    /// Lets nobody in any more and says so to all who are in; they stay for as long as they like. The owner accepts no
    /// connections from now on, and stops the server when it [is drained](Server::is_drained) or `patience` is over.
    ///
    /// Who asks to be let in is told that the server stops soon, where its protocol has a way. Rooms stay, but none is
    /// opened and no account made; who has a token already may still show it.
    pub fn drain(&mut self, patience: Duration, now: Instant) {
        self.draining = true;
        let text = format!(
            "the server stops once everybody has left, in {} at the latest: please leave",
            Patience(patience)
        );
        self.tell_all(&text, now);
    }

    /// Whether nobody is let in any more: see [`drain`](Server::drain).
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether nobody is in, and no login under way, since [`drain`](Server::drain). The peers of a mesh are not waited for:
    /// they were there before the server, and cannot be told to leave it.
    pub fn is_drained(&self) -> bool {
        let is_in = |place| matches!(place, Place::In { .. });
        self.draining
            && !self.has_jobs_under_way()
            && !self.tenants.iter().any(|(_, of)| is_in(of.place))
            && !self
                .tenants
                .iter_guests()
                .any(|(_, guest)| guest.id().is_some() && !guest.protocol.hears_together())
    }

    /// Whether nobody is let in from an address, and why.
    pub(super) fn bars(&self, protocol: Protocol, peer: &PeerAddress) -> Option<Bar> {
        let address = peer.ip();
        if self.bans.holds(address, self.now) {
            return Some(Bar::Banned);
        }
        (!self.gate_admits(protocol, address)).then_some(Bar::NotAllowed)
    }

    /// Whether an address is banned, whatever it comes for.
    pub(super) fn is_banned(&self, address: IpAddr, now: Instant) -> bool {
        self.bans.holds(address, now)
    }

    fn gate_admits(&self, protocol: Protocol, address: IpAddr) -> bool {
        let at = Protocol::ALL.iter().position(|other| *other == protocol);
        let gate = at.and_then(|at| self.gates.get(at));
        gate.is_none_or(|gate| gate.admits(address))
    }

    /// Ends what there is with those, and tells them why.
    pub(super) fn put_out(&mut self, keys: Vec<Key>, word: &str, reason: &str) -> usize {
        let reason = harmless(cut(reason, MAX_REASON_BYTES));
        let why = match reason.trim() {
            "" => word.to_string(),
            reason => format!("{word}: {reason}"),
        };
        keys.into_iter()
            .filter(|key| self.put_one_out(*key, &why))
            .count()
    }

    fn put_one_out(&mut self, key: Key, why: &str) -> bool {
        let is_open = match self.tenants.get(key) {
            Some(connection) => connection.state == State::Open,
            None => self.tenants.guest(key).is_some(),
        };
        if !is_open {
            return false;
        }
        self.notify(key, why);
        if self.tenants.guest(key).is_some() {
            self.note(key, |notes, now, who| {
                notes.put_out(now, format_args!("{who}: {why}"));
            });
            self.dismiss(key, Departure::Kicked);
        } else {
            self.begin_close(key, CloseReason::Kicked { why: why.into() });
        }
        true
    }
}

/// A time as people say it.
struct Patience(Duration);

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            0..120 => (seconds, "second"),
            120..7200 => (seconds / 60, "minute"),
            _ => (seconds / 3600, "hour"),
        };
        let s = if count == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{s}")
    }
}
