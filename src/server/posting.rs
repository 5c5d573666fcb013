//! Owns step 5 of the turn for datagrams: what waits on a port goes out in batches, until the kernel takes
//! no more or the port had its share of the turn.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::core::{Server, Timer};
use super::counters::Counters;
use super::exchange::Post;
use super::port::{AllowanceId, Allowances, Port, PortId};
use crate::reactor::{DatagramPort, Destination, Outgoing, SEND_BATCH, Stream};

/// Datagrams that one port may send in one turn, or not send for want of an allowance: some five milliseconds' worth.
/// With more members than that the rest waits a turn, so that connections are not kept waiting by a crowd elsewhere.
const SENDS_PER_TURN: usize = 4096;

/// How long a port waits for the kernel to tell that it takes more, before it is tried without. A socket whose buffer was
/// full is always told; whatever else refuses a datagram (a filter, a sandbox, memory) need not tell.
const RETRY_TIME: Duration = Duration::from_millis(100);

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Step 5 for datagrams.
    pub(super) fn send_out_datagrams(&mut self) {
        for port in self.ports.iter_mut() {
            send_out(port, &mut self.allowances, &mut self.counters, self.now);
            let tenants = &mut self.tenants;
            port.mailing.tidy(|moved, to| tenants.reseat(moved, to));
        }
        if self.ports.iter().any(|port| port.blocked.is_some()) {
            self.watch_ports();
        }
        self.note_port_errors();
    }

    /// Sends what one port has still to send, as much of it as the kernel takes now.
    pub(super) fn send_out_last(&mut self, id: PortId) {
        if let Some(port) = self.ports.get_mut(id) {
            port.blocked = None;
            send_out(port, &mut self.allowances, &mut self.counters, self.now);
        }
    }

    /// Has ports tried again after a while, if it is not so already.
    pub(super) fn watch_ports(&mut self) {
        if !std::mem::replace(&mut self.ports_watched, true) {
            self.timers.arm(self.now + RETRY_TIME, Timer::Ports);
        }
    }

    /// Step 4: what the kernel refused is tried again.
    pub(super) fn try_ports_again(&mut self) {
        self.ports_watched = false;
        let now = self.now;
        for port in self.ports.iter_mut() {
            // Who has not waited for long may still be told.
            port.blocked = port.blocked.filter(|since| now < *since + RETRY_TIME);
            if port.rests() {
                port.failed_turns = 0;
            }
        }
    }

    /// Has the log told of what should have been sent or received since it was told before.
    fn note_port_errors(&mut self) {
        let told = self.told_of_ports;
        let Counters {
            withheld,
            overflowed,
            failed_sends,
            failed_receives,
            ..
        } = self.counters;
        let counts = [withheld, overflowed, failed_sends, failed_receives];
        if counts == told {
            return;
        }
        self.told_of_ports = counts;
        let [withheld, overflowed, refused, failed] = {
            let mut news = counts;
            news.iter_mut().zip(told).for_each(|(new, old)| *new -= old);
            news
        };
        let mut why = String::new();
        for port in self.ports.iter_mut() {
            if let Some(error) = port.last_error.take() {
                why = format!(" ({}: {error})", port.protocol);
            }
        }
        if withheld + overflowed + refused > 0 {
            let what = format_args!(
                "datagrams not sent: {withheld} to who may not be sent more, {overflowed} messages too late, \
                 {refused} the kernel refused{why}"
            );
            self.notes.not_sent(self.now, what);
        }
        if failed > 0 {
            let what = format_args!("datagrams not received: {failed} errors{why}");
            self.notes.not_received(self.now, what);
        }
        self.watch_notes();
    }

    /// What sends to guests.
    pub(super) fn post(&mut self) -> Post<'_, D> {
        Post {
            ports: &mut self.ports,
            allowances: &mut self.allowances,
            counters: &mut self.counters,
            datagrams: &mut self.event_datagrams,
            now: self.now,
        }
    }
}

/// One port's share of a turn.
fn send_out<D: DatagramPort>(
    port: &mut Port<D>,
    allowances: &mut Allowances,
    counters: &mut Counters,
    now: Instant,
) {
    let mut share = SENDS_PER_TURN;
    while share > 0 && port.blocked.is_none() && !port.mailing.is_empty() {
        let mut letters = port.mailing.letters();
        let begin = letters.place();
        let mut batch = [NOTHING; SEND_BATCH];
        // Who paid for each, and how many letters there were up to it, those included that may not be sent.
        let mut books: [(Option<AllowanceId>, usize); SEND_BATCH] = [(None, 0); SEND_BATCH];
        let (mut count, mut seen) = (0, 0);
        letters.hand_out(|letter| {
            seen += 1;
            if let Some(allowance) = letter.allowance
                && !allowances.take(allowance, letter.bytes.len(), now)
            {
                return seen < share;
            }
            if let (Some(place), Some(book)) = (batch.get_mut(count), books.get_mut(count)) {
                *place = Outgoing {
                    to: letter.address,
                    bytes: letter.bytes,
                };
                *book = (letter.allowance, seen);
                count += 1;
            }
            count < SEND_BATCH && seen < share
        });
        let end = letters.place();
        let offered = batch.get(..count).unwrap_or_default();
        let sent = match offered.is_empty() {
            true => Ok(0),
            false => port.socket.send_batch(offered),
        };
        let done = match sent {
            Ok(sent) => {
                counters.datagrams_sent += sent as u64;
                // Of one run, without anybody who was left out, every reader gets the same letters.
                let period = match end.run_since(begin) {
                    Some((each, between)) if between == sent => each,
                    Some(_) | None => sent,
                };
                counters.sent_udp_bytes +=
                    bytes_of(offered.get(..sent).unwrap_or_default(), period);
                sent
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                port.blocked = Some(now);
                0
            }
            // About the first one alone, which was not sent.
            Err(error) => {
                counters.count_failed_send(&error);
                port.erred = true;
                port.last_error = Some(error);
                1
            }
        };
        if done == count {
            counters.withheld += (seen - count) as u64;
            share = share.saturating_sub(seen.max(1));
            port.mailing.advance_to(end);
            continue;
        }
        let unsent = offered.iter().zip(&books).skip(done);
        for (letter, (paid, _)) in unsent {
            if let Some(allowance) = paid {
                allowances.put_back(*allowance, letter.bytes.len());
            }
        }
        // Whoever was refused behind the last one sent is asked again.
        let last = done.checked_sub(1).and_then(|last| books.get(last));
        let seen = last.map_or(0, |(_, seen)| *seen);
        counters.withheld += (seen - done) as u64;
        share = share.saturating_sub(seen.max(1));
        port.mailing.advance(seen);
    }
}

/// The bytes of letters whose lengths repeat themselves after so many: to add all of them up would be work for each.
fn bytes_of(letters: &[Outgoing<'_>], period: usize) -> u64 {
    let bytes = |letters: &[Outgoing<'_>]| -> usize {
        let lengths = letters.iter().map(|letter| letter.bytes.len());
        lengths.sum()
    };
    let Some(times) = letters.len().checked_div(period) else {
        return 0;
    };
    let first = |count: usize| letters.get(..count).map_or(0, bytes);
    (times * first(period) + first(letters.len() % period)) as u64
}

const NOTHING: Outgoing<'static> = Outgoing {
    to: Destination::NOWHERE,
    bytes: &[],
};
