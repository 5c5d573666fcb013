//! Owns step 5 of the turn for datagrams: what waits on a port goes out in batches, until the kernel takes
//! no more or the port had its share of the turn.

use std::io::ErrorKind;
use std::time::Instant;

use super::core::Server;
use super::counters::Counters;
use super::exchange::Post;
use super::port::{AllowanceId, Allowances, Port};
use crate::reactor::{DatagramPort, Destination, Outgoing, SEND_BATCH, Stream};

/// Datagrams that one port may send in one turn, or not send for want of an allowance: some five milliseconds' worth.
/// With more members than that the rest waits a turn, so that connections are not kept waiting by a crowd elsewhere.
const SENDS_PER_TURN: usize = 4096;

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Step 5 for datagrams.
    pub(super) fn send_out_datagrams(&mut self) {
        for port in &mut self.ports {
            send_out(port, &mut self.allowances, &mut self.counters, self.now);
            let tenants = &mut self.tenants;
            port.mailing.tidy(|moved, to| tenants.reseat(moved, to));
        }
        self.note_not_sent();
    }

    /// Has the log told of what should have been sent since it was told before.
    fn note_not_sent(&mut self) {
        let told = self.told_not_sent;
        let Counters {
            withheld,
            overflowed,
            failed_sends,
            ..
        } = self.counters;
        if (withheld, overflowed, failed_sends) == told {
            return;
        }
        self.told_not_sent = (withheld, overflowed, failed_sends);
        let what = format_args!(
            "datagrams not sent: {} to who may not be sent more, {} messages too late, {} the kernel refused",
            withheld - told.0,
            overflowed - told.1,
            failed_sends - told.2
        );
        self.notes.not_sent(self.now, what);
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
    while share > 0 && !port.blocked && !port.mailing.is_empty() {
        let mut letters = port.mailing.letters();
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
                sent
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                port.blocked = true;
                0
            }
            // About the first one alone, which was not sent.
            Err(error) => {
                counters.count_failed_send(&error);
                port.erred = true;
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

const NOTHING: Outgoing<'static> = Outgoing {
    to: Destination::NOWHERE,
    bytes: &[],
};
