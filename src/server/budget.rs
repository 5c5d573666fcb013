//! Owns the last step of sending: all that waits to be sent, over everybody, stays within one budget. Who keeps the most
//! of it goes first.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Instant;

use super::connection::{CloseReason, State};
use super::core::{LAGGARDS_TICK, Server, TURN_BYTES};
use super::port::Port;
use crate::chat::RoomId;
use crate::fanout::SlowConsumer;
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Key, Stream};

/// One whose last send was refused.
struct Laggard {
    key: Key,
    /// How far it is behind the log of its room, and whose log that is.
    behind: usize,
    log: Option<LogId>,
    /// Its part of all that waits: what it keeps alone, and what it keeps with others divided by their number. To cut
    /// one of a thousand who are a megabyte behind together helps a thousandth of cutting one who is alone with that.
    part: usize,
    is_cut: bool,
}

/// A house's number, a room, and a format.
type LogId = (usize, RoomId, Protocol);

/// That room was made, and it was not enough: nobody is left who can be cut. To walk over all every turn would not
/// change that, so it is tried again when there is more, or after a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stuck {
    /// What was left.
    bytes: usize,
    until: Instant,
}

/// The laggards of one log.
#[derive(Default)]
struct Readers {
    /// Where they stand among all laggards, the slowest first.
    places: Vec<usize>,
    /// Those before it are cut.
    slowest: usize,
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Looks whether too much waits, once everything was sent that could be.
    pub(super) fn keep_to_budget(&mut self) {
        let (limit, waits) = (self.limits.output_bytes, self.output_memory());
        if waits <= limit {
            self.stuck = None;
            return;
        }
        let is_vain = |stuck: Stuck| self.now < stuck.until && waits <= stuck.bytes + limit / 8;
        if self.stuck.is_some_and(is_vain) {
            return;
        }
        self.make_room();
        let stuck = Stuck {
            bytes: self.output_memory(),
            until: self.now + LAGGARDS_TICK,
        };
        self.stuck = (stuck.bytes > limit).then_some(stuck);
    }

    /// Whether a turn that began with `before` bytes waiting for connections has brought as much as it may: what many who
    /// come are told may be much more than they said. What is over the budget and nobody can be cut for holds nobody up.
    pub(super) fn has_its_fill(&self, before: usize) -> bool {
        let limit = self.limits.output_bytes;
        let most = match before > limit {
            true => before + TURN_BYTES,
            false => limit,
        };
        self.tally.bytes() > most
    }

    /// Makes enough room that this is not needed every turn: it walks over all rooms, and all that lag.
    #[cold]
    fn make_room(&mut self) {
        let limit = self.limits.output_bytes;
        let enough = limit - limit / 8;
        // What buffers have to spare is nobody's; and no notice waits for others now.
        self.shrink_logs();
        self.notices_due = self.notices_due.map(|_| self.now);
        // Nobody can be blamed for what waits on a port, but half of the budget is the connections'.
        self.shed_datagrams(limit / 2);
        if self.output_memory() > enough {
            self.cut_laggards(enough);
            for house in 0..self.houses.len() {
                self.settle(house);
            }
            self.shrink_logs();
        }
        if self.output_memory() > limit {
            self.shed_datagrams(enough.saturating_sub(self.tally.bytes()));
        }
    }

    /// Cuts those that keep the most, until no more than `enough` waits.
    fn cut_laggards(&mut self, enough: usize) {
        let limit = self.limits.output_bytes;
        let mut laggards = self.laggards_by_size();
        let mut logs = readers_of(&mut laggards);
        let mut order: Vec<usize> = (0..laggards.len()).collect();
        order.sort_by_key(|place| Reverse(laggards.get(*place).map(|laggard| laggard.part)));
        // What logs will be shorter by; all else is not counted any more as soon as it is let go.
        let mut freed = 0;
        for place in order {
            if self.output_memory().saturating_sub(freed) <= enough {
                return;
            }
            let Some(laggard) = laggards.get_mut(place).filter(|laggard| laggard.part > 0) else {
                return;
            };
            laggard.is_cut = true;
            let (key, log, kept) = (laggard.key, laggard.log, laggard.part);
            let slow = SlowConsumer::OverBudget { kept, limit };
            self.cut(key, &CloseReason::Slow(slow));
            if let Some(readers) = log.and_then(|log| logs.get_mut(&log)) {
                freed += readers.let_go(&laggards);
            }
        }
    }

    /// Those that can be cut.
    fn laggards_by_size(&self) -> Vec<Laggard> {
        let laggards = self.laggards.iter().filter_map(|(key, _)| {
            let connection = self.tenants.get(*key)?;
            let (house, protocol) = (connection.house(), connection.protocol);
            let exchange = &self.houses.get(house)?.exchange;
            let log = exchange.log(connection.room(), protocol);
            (connection.state != State::Dead).then(|| Laggard {
                key: *key,
                behind: connection.feed.behind(log),
                log: connection.room().map(|room| (house, room, protocol)),
                part: connection.feed.memory(),
                is_cut: false,
            })
        });
        laggards.collect()
    }

    /// Has buffers keep no more than what is needed of them.
    fn shrink_logs(&mut self) {
        for house in &mut self.houses {
            house.exchange.shrink();
        }
    }

    /// Leaves datagrams so many bytes: where most waits, the older half goes.
    fn shed_datagrams(&mut self, bytes: usize) {
        loop {
            let memory = |port: &Port<D>| port.mailing.memory();
            let before: usize = self.ports.iter().map(memory).sum();
            let largest = self.ports.iter_mut().max_by_key(|port| memory(port));
            let Some(largest) = largest.filter(|_| before > bytes) else {
                return;
            };
            self.counters.overflowed += largest.mailing.shed() as u64;
            if self.ports.iter().map(memory).sum::<usize>() >= before {
                return;
            }
        }
    }
}

/// Who reads which log; adds to each its part of it.
fn readers_of(laggards: &mut [Laggard]) -> HashMap<LogId, Readers> {
    let mut logs: HashMap<LogId, Readers> = HashMap::new();
    for (place, laggard) in laggards.iter().enumerate() {
        if let Some(log) = laggard.log {
            logs.entry(log).or_default().places.push(place);
        }
    }
    for Readers { places, .. } in logs.values_mut() {
        places.sort_by_key(|place| Reverse(laggards.get(*place).map(|laggard| laggard.behind)));
        // The piece between one and the next is kept by all who are as far behind or further.
        let (mut part, mut nearer) = (0, 0);
        for (rank, place) in places.iter().enumerate().rev() {
            if let Some(laggard) = laggards.get_mut(*place) {
                part += (laggard.behind - nearer) / (rank + 1);
                nearer = laggard.behind;
                laggard.part += part;
            }
        }
    }
    logs
}

impl Readers {
    /// One of them is cut. Returns how much shorter the log can be.
    fn let_go(&mut self, laggards: &[Laggard]) -> usize {
        let before = self.reach(laggards);
        let rest = self.places.iter().skip(self.slowest);
        let is_cut = |place: &&usize| laggards.get(**place).is_some_and(|laggard| laggard.is_cut);
        self.slowest += rest.take_while(is_cut).count();
        before - self.reach(laggards)
    }

    /// How far back the log is needed.
    fn reach(&self, laggards: &[Laggard]) -> usize {
        let slowest = self.places.get(self.slowest);
        let slowest = slowest.and_then(|place| laggards.get(*place));
        slowest.map_or(0, |laggard| laggard.behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::LOBBY;
    use crate::reactor::Slots;

    #[test]
    fn each_has_its_part_of_a_log_and_the_slowest_are_let_go_first() {
        let mut slots = Slots::new();
        let log = (0, LOBBY, Protocol::Group);
        let mut laggards: Vec<_> = [(40, 0), (100, 1000), (100, 0), (0, 7)]
            .into_iter()
            .map(|(behind, part)| Laggard {
                key: slots.insert_with(|_| ()),
                behind,
                log: Some(log),
                part,
                is_cut: false,
            })
            .collect();
        let mut logs = readers_of(&mut laggards);
        let parts: Vec<_> = laggards.iter().map(|laggard| laggard.part).collect();
        assert_eq!(parts, [13, 1043, 43, 7]);
        let readers = logs.get_mut(&log).unwrap();
        let mut cut = |place: usize| {
            laggards[place].is_cut = true;
            readers.let_go(&laggards)
        };
        assert_eq!([cut(1), cut(0), cut(2), cut(3)], [0, 0, 100, 0]);
    }
}
