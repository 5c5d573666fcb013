//! Owns step 5 of the turn, *send out*: one write for every connection that has something to get.
//! Decides nothing but who is a slow consumer, and which notices wait for more of their kind.

use super::connection::{CloseReason, Offered, State, Tail};
use super::core::{House, LAGGARDS_TICK, Server, Timer};
use super::tenants::Tenants;
use crate::fanout::{News, SlowConsumer, Stall};
use crate::reactor::{DatagramPort, Key, Stream};

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Step 5. Those that have something of their own or can be written to again first, newcomers among them; then
    /// audiences with something new; then what nobody needs any more is forgotten.
    pub(super) fn send_out(&mut self) {
        let mut pending = std::mem::replace(&mut self.pending, std::mem::take(&mut self.spare));
        for key in pending.drain(..) {
            self.offer_to(key);
        }
        self.spare = pending;
        let wait = !self.stopping && self.notices_due.is_none_or(|due| self.now < due);
        if !wait {
            self.notices_due = None;
        }
        for house in 0..self.houses.len() {
            if let Some(House { exchange, .. }) = self.houses.get_mut(house)
                && !wait
            {
                exchange.recall_postponed();
            }
            self.offer_news(house, wait);
        }
        for house in 0..self.houses.len() {
            self.settle(house);
        }
    }

    /// Offers what was appended to everybody it was appended for. Notices to many may have to wait.
    fn offer_news(&mut self, house: usize, wait: bool) {
        let Some(House { exchange, .. }) = self.houses.get_mut(house) else {
            return;
        };
        let mut rooms = std::mem::take(&mut self.rooms);
        exchange.take_touched(&mut rooms);
        for &room in &rooms {
            let mut postponed = None;
            for audience in exchange.audiences_mut(room) {
                if wait
                    && audience.news() == News::Notices
                    && audience.waiting() < self.limits.gathering.bytes
                {
                    let time = self.limits.gathering.time(audience.members().len());
                    if time.is_some() {
                        postponed = postponed.min(time).or(time);
                        continue;
                    }
                }
                if !audience.take_news() {
                    continue;
                }
                let (log, backlog) = (audience.log(), self.limits.lag.backlog_bytes);
                let mut news = Tail::NONE;
                let mut members = audience.members().iter();
                while let Some(&key) = members.next() {
                    let Some(member) = self.tenants.get_mut(key) else {
                        news.pass_over();
                        continue;
                    };
                    // The writable edge will tell, but who is over the limit is asked once more.
                    if member.blocked && member.feed.behind(log) <= backlog {
                        news.pass_over();
                        if !member.behind {
                            self.offers.push((key, Offered::Refused));
                        }
                        continue;
                    }
                    member.blocked = false;
                    match member.offer_news(log, &mut news, members.clone()) {
                        Offered::Done if !member.readable || member.in_ready => {}
                        offered => self.offers.push((key, offered)),
                    }
                }
                self.counters.sent_tcp_bytes += news.sent(0);
            }
            if let Some(time) = postponed {
                exchange.postpone(room);
                let due = self.now + time;
                self.notices_due = Some(self.notices_due.map_or(due, |other| other.min(due)));
            }
        }
        // They are settled once the rest is sent.
        rooms.drain(..).for_each(|room| exchange.touch(room));
        self.rooms = rooms;
        let mut offers = std::mem::take(&mut self.offers);
        for (key, offered) in offers.drain(..) {
            self.note_offer(key, offered);
        }
        self.offers = offers;
    }

    /// Offers one connection all that it is due.
    fn offer_to(&mut self, key: Key) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        connection.in_pending = false;
        if connection.state == State::Dead {
            return;
        }
        let Some(House { exchange, .. }) = self.houses.get_mut(connection.house()) else {
            return;
        };
        let room = connection.room();
        let log = exchange.log(room, connection.protocol);
        let judged = self.limits.lag.judge(&connection.feed, log);
        if connection.blocked && judged.is_ok() {
            self.mark_behind(key);
            return;
        }
        connection.blocked = false;
        let offered = connection.offer(log, &mut self.counters.sent_tcp_bytes);
        if let Some(room) = room
            && connection.behind
        {
            exchange.touch(room);
        }
        self.note_offer(key, offered);
    }

    /// What follows from an offer.
    fn note_offer(&mut self, key: Key, offered: Offered) {
        match offered {
            Offered::Done => {
                self.resume_reading(key);
                self.finish_if_closing(key);
            }
            Offered::More => {
                self.resume_reading(key);
                self.mark_behind(key);
                self.push_pending(key);
            }
            Offered::Refused => match self.judge(key) {
                Ok(()) => {
                    self.mark_behind(key);
                    self.watch(key);
                    self.resume_reading(key);
                }
                Err(slow) => {
                    self.cut(key, &CloseReason::Slow(slow));
                }
            },
            Offered::Lost(error) => {
                self.cut(key, &CloseReason::Lost(error));
            }
        }
    }

    fn judge(&self, key: Key) -> Result<(), SlowConsumer> {
        let Some(connection) = self.tenants.get(key) else {
            return Ok(());
        };
        let house = self.houses.get(connection.house());
        house.map_or(Ok(()), |house| {
            let log = house.exchange.log(connection.room(), connection.protocol);
            self.limits.lag.judge(&connection.feed, log)
        })
    }

    /// Who was not read from because too much was unsent is read from again.
    fn resume_reading(&mut self, key: Key) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        if !connection.readable || connection.in_ready || connection.state != State::Open {
            return;
        }
        let Some(house) = self.houses.get(connection.house()) else {
            return;
        };
        let log = house.exchange.log(connection.room(), connection.protocol);
        if connection.listens(log, self.limits.unsent_bytes) {
            connection.in_ready = true;
            self.ready.push_back(key);
        }
    }

    /// Lets the audience keep what this one still needs of the log.
    fn mark_behind(&mut self, key: Key) {
        let Some(connection) = self.tenants.get_mut(key) else {
            return;
        };
        let Some(house) = self.houses.get_mut(connection.house()) else {
            return;
        };
        let Some(room) = connection.room() else {
            return;
        };
        let format = connection.protocol;
        if let Some(audience) = house.exchange.audience_mut(room, format)
            && connection.feed.behind(audience.log()) > 0
            && !std::mem::replace(&mut connection.behind, true)
        {
            audience.mark_behind(key);
            house.exchange.touch(room);
        }
    }

    /// Looks at this one every now and then, lest it stalls.
    fn watch(&mut self, key: Key) {
        if let Some(connection) = self.tenants.get_mut(key)
            && !std::mem::replace(&mut connection.lagging, true)
        {
            self.laggards.push((key, Stall::default()));
        }
        if !std::mem::replace(&mut self.laggards_watched, true) {
            self.timers.arm(self.now + LAGGARDS_TICK, Timer::Laggards);
        }
    }

    /// Judges by time those whose last send was refused, and has them tried once more: a kernel tells
    /// of room only when a third of its buffer is free.
    pub(super) fn look_at_laggards(&mut self) {
        self.laggards_watched = false;
        let mut laggards = std::mem::take(&mut self.laggards);
        laggards.retain_mut(|(key, stall)| {
            let key = *key;
            let Some(connection) = self.tenants.get_mut(key) else {
                return false;
            };
            let house = self.houses.get(connection.house());
            let log = house.map(|house| house.exchange.log(connection.room(), connection.protocol));
            let Some(log) = log
                .filter(|log| connection.state != State::Dead && connection.feed.unsent(log) > 0)
            else {
                connection.lagging = false;
                return false;
            };
            let judged = self
                .limits
                .lag
                .judge_stall(&connection.feed, log, stall, self.now);
            if let Err(slow) = judged {
                self.lose(key, CloseReason::Slow(slow));
            } else if std::mem::replace(&mut connection.blocked, false) {
                self.push_pending(key);
            }
            true
        });
        self.laggards = laggards;
        if !self.laggards.is_empty() {
            self.laggards_watched = true;
            self.timers.arm(self.now + LAGGARDS_TICK, Timer::Laggards);
        } else {
            self.laggards = Vec::new();
        }
    }

    /// Forgets what all have.
    pub(super) fn settle(&mut self, house: usize) {
        let Some(House { exchange, .. }) = self.houses.get_mut(house) else {
            return;
        };
        let mut rooms = std::mem::take(&mut self.rooms);
        exchange.take_touched(&mut rooms);
        for room in rooms.drain(..) {
            let is_postponed = exchange.is_postponed(room);
            for audience in exchange.audiences_mut(room) {
                if audience.news() != News::None {
                    // Everybody needs what waits.
                    debug_assert!(is_postponed, "invariant: news is offered or waits");
                    continue;
                }
                let end = audience.log().end();
                let tenants = &mut self.tenants;
                audience.settle(|key| needs_from(tenants, key, end));
                // Members over the limit are judged when they are offered the news; those who are
                // leaving hear no news, but must not keep the log either.
                let backlog = self.limits.lag.backlog_bytes;
                self.offers
                    .extend(audience.behind().iter().filter_map(|&key| {
                        let over = tenants.get(key)?.feed.behind(audience.log()) > backlog;
                        over.then_some((key, Offered::Refused))
                    }));
            }
        }
        self.rooms = rooms;
        let mut offers = std::mem::take(&mut self.offers);
        for (key, offered) in offers.drain(..) {
            self.note_offer(key, offered);
        }
        self.offers = offers;
    }
}

/// From where a connection that was behind needs the log, or `None` when it is behind no more.
fn needs_from<S>(tenants: &mut Tenants<S>, key: Key, end: u64) -> Option<u64> {
    let connection = tenants.get_mut(key)?;
    let offset = connection.feed.needs_from();
    connection.behind = connection.state != State::Dead && offset < end;
    connection.behind.then_some(offset)
}
