//! Owns step 5 of the turn for datagrams: what waits on a port goes out in batches, until the kernel takes
//! no more or the port had its share of the turn.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::core::Server;
use super::counters::Counters;
use super::exchange::Post;
use super::port::{AllowanceId, Allowances, Port};
use crate::reactor::{BATCH, DatagramPort, Outgoing, Stream};

/// Datagrams that one port may send in one turn, or not send for want of an allowance: some ten milliseconds' worth.
/// With more members than that the rest waits a turn, so that connections are not kept waiting by a crowd elsewhere.
const SENDS_PER_TURN: usize = 4096;

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Step 5 for datagrams.
    pub(super) fn send_out_datagrams(&mut self) {
        for port in &mut self.ports {
            send_out(port, &mut self.allowances, &mut self.counters, self.now);
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

fn send_out<D: DatagramPort>(
    port: &mut Port<D>,
    allowances: &mut Allowances,
    counters: &mut Counters,
    now: Instant,
) {
    let mut share = SENDS_PER_TURN;
    while share > 0 && !port.blocked && !port.mailing.is_empty() {
        let mut batch = [NOTHING; BATCH];
        let mut paid: [Option<AllowanceId>; BATCH] = [None; BATCH];
        let mut count = 0;
        // Somebody behind those of the batch may not be sent as much.
        let mut refused = 0;
        for (letter, (place, paid)) in port.mailing.letters().zip(batch.iter_mut().zip(&mut paid)) {
            if let Some(allowance) = letter.allowance
                && !allowances.take(allowance, letter.bytes.len(), now)
            {
                refused = 1;
                break;
            }
            *paid = letter.allowance;
            *place = Outgoing {
                to: letter.address,
                bytes: letter.bytes,
            };
            count += 1;
        }
        share = share.saturating_sub((count + refused).max(1));
        if count == 0 {
            counters.withheld += refused as u64;
            port.mailing.advance(refused);
            continue;
        }
        let offered = batch.get(..count).unwrap_or_default();
        let done = match port.socket.send_batch(offered) {
            Ok(sent) => {
                counters.datagrams_sent += sent as u64;
                sent
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                port.blocked = true;
                0
            }
            // About the first one alone, which was not sent.
            Err(_) => {
                counters.failed_sends += 1;
                port.erred = true;
                1
            }
        };
        let unsent = offered.iter().zip(paid).skip(done);
        for (letter, paid) in unsent {
            if let Some(allowance) = paid {
                allowances.put_back(allowance, letter.bytes.len());
            }
        }
        // All sent, so whoever was refused is next.
        let done = if done == count { done + refused } else { done };
        counters.withheld += u64::from(done > count);
        port.mailing.advance(done);
    }
}

const NOTHING: Outgoing<'static> = Outgoing {
    to: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    bytes: &[],
};
