//! Owns a datagram port as the server has it: its socket, who is known there, what it has to send, and
//! how much each address may be sent. Knows nothing of sessions and rooms but their numbers.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::address::{Network, PeerAddress};
use super::gateway::Gateway;
use crate::fanout::Mailing;
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Destination, Key, Slots};

/// A port's number, in the order of opening.
pub(super) type PortId = u8;

/// So many are open at once, at the most.
pub const MAX_PORTS: usize = 1 << PortId::BITS;

/// One datagram port.
#[derive(Debug)]
pub(super) struct Port<D> {
    pub(super) protocol: Protocol,
    pub(super) house: usize,
    pub(super) socket: D,
    /// What goes to rooms and to single guests, in one order.
    pub(super) mailing: Mailing<Key, Destination, AllowanceId>,
    /// Guests by their source address: where that is how they are known, and otherwise to tell who it is of whom
    /// the kernel says that nobody is there. Peers may choose theirs; the hash is keyed.
    pub(super) guests: HashMap<SocketAddr, Key>,
    /// The kernel has datagrams for us that we have not taken.
    pub(super) readable: bool,
    /// Since when the kernel takes no more: wait for the writable edge.
    pub(super) blocked: Option<Instant>,
    /// The kernel has told of an error: perhaps of somebody who is not there.
    pub(super) erred: bool,
    /// Turns in a row in which nothing could be received for errors.
    pub(super) failed_turns: u8,
    /// What the kernel said last that was no word of a full or an empty socket, for the log.
    pub(super) last_error: Option<io::Error>,
    /// Where it receives, if that is known: what comes from there is forged.
    own: Option<SocketAddr>,
    /// Set on a gateway to a network of equals.
    pub(super) gateway: Option<Gateway>,
}

/// The ports that are open, by their numbers.
#[derive(Debug)]
pub(super) struct Ports<D> {
    slots: Vec<Option<Port<D>>>,
}

/// While so many bytes wait to be sent nothing more is taken in: the kernel then drops what comes too
/// fast, before it cost anything.
pub(super) const INTAKE_LIMIT: usize = 256 * 1024;

/// Turns that a port may fail to receive in before it rests: more than ICMP, forged or not, brings in a row.
const FAILED_TURNS: u8 = 32;

impl<D> Port<D> {
    /// `mailing_bytes` may wait there.
    pub(super) fn new(protocol: Protocol, house: usize, socket: D, mailing_bytes: usize) -> Port<D>
    where
        D: DatagramPort,
    {
        Port {
            own: socket.own_address(),
            protocol,
            house,
            socket,
            mailing: Mailing::new(mailing_bytes),
            guests: HashMap::new(),
            readable: false,
            blocked: None,
            erred: false,
            failed_turns: 0,
            last_error: None,
            gateway: None,
        }
    }

    /// Whether that is this port's own address. A port on all addresses has those of loopback too; the kernel
    /// takes none of its own from elsewhere (ip-sysctl, `log_martians`).
    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        self.own.is_some_and(|own| {
            let ip_fits = own.ip() == address.ip()
                || (own.ip().is_unspecified() && address.ip().is_loopback());
            own.port() == address.port() && ip_fits
        })
    }

    /// Whether it fails whatever is tried: it rests then, lest the loop spins for it.
    pub(super) fn rests(&self) -> bool {
        self.failed_turns >= FAILED_TURNS
    }

    /// Whether something waits that may be sent without the kernel's telling.
    pub(super) fn can_send(&self) -> bool {
        self.blocked.is_none() && !self.mailing.is_empty()
    }

    /// Whether datagrams are to be taken in now.
    pub(super) fn wants_datagrams(&self) -> bool {
        self.readable && !self.rests() && self.mailing.load() < INTAKE_LIMIT
    }
}

impl<D> Ports<D> {
    pub(super) fn new() -> Ports<D> {
        Ports { slots: Vec::new() }
    }

    /// Adds one and returns its number. That of one that is closed is used again only when there are no others left: what
    /// the kernel told of the old one, and was not looked at yet, is not taken for the new one's.
    pub(super) fn insert(&mut self, port: Port<D>) -> PortId {
        let next = self.slots.len();
        let at = match PortId::try_from(next) {
            Ok(_) => {
                self.slots.push(None);
                next
            }
            Err(_) => {
                let free = self.slots.iter().position(Option::is_none);
                free.expect("invariant: fewer than 256 ports")
            }
        };
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(port);
        }
        PortId::try_from(at).expect("invariant: there are 256 slots")
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: PortId) -> Option<Port<D>> {
        self.slots.get_mut(usize::from(id))?.take()
    }

    pub(super) fn get(&self, id: PortId) -> Option<&Port<D>> {
        self.slots.get(usize::from(id))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: PortId) -> Option<&mut Port<D>> {
        self.slots.get_mut(usize::from(id))?.as_mut()
    }

    /// Every number there ever was.
    pub(super) fn ids(&self) -> impl Iterator<Item = PortId> + use<D> {
        let last = PortId::try_from(self.slots.len().saturating_sub(1));
        let end = (!self.slots.is_empty()).then_some(last.unwrap_or(PortId::MAX));
        (0..=PortId::MAX).take_while(move |id| end.is_some_and(|end| *id <= end))
    }

    /// Those that are open.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Port<D>> {
        self.slots.iter().flatten()
    }

    /// Those that are open.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Port<D>> {
        self.slots.iter_mut().flatten()
    }
}

/// Which allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AllowanceId(Key);

/// What addresses may be sent that cannot or did not yet show that they receive there.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    pace: Pace,
    slots: Slots<Allowance>,
    /// All guests of one network share a pace.
    paces: HashMap<Network, AllowanceId>,
    /// Paces that nobody has any more, until all of their burst is there again: who leaves and comes back has no
    /// new one.
    resting: VecDeque<AllowanceId>,
    /// Guests with a pace.
    paced: usize,
}

#[derive(Debug)]
enum Allowance {
    /// Three times what came from there, less what was sent there (RFC 9000, 8.1).
    Credit { bytes: usize },
    /// So many bytes a second.
    Pace {
        network: Network,
        guests: usize,
        /// When all of the burst will be there again.
        full_at: Instant,
    },
}

/// Paces that nobody has and that are remembered all the same, at the most: half a megabyte. Whoever forges addresses
/// comes and goes by as many as he likes.
const MAX_RESTING: usize = 4096;

/// An address that has not proved itself is sent this many times what it sent.
pub(super) const AMPLIFICATION: usize = 3;

/// What one network outside this machine is sent in a protocol without proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub bytes_per_second: u32,
    /// As much at once, after a while of nothing.
    pub burst_bytes: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            bytes_per_second: 4 * 1024,
            burst_bytes: 64 * 1024,
        }
    }
}

impl Pace {
    /// How long it takes for so many bytes.
    fn time_for(self, bytes: usize) -> Duration {
        let rate = u64::from(self.bytes_per_second.max(1));
        Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate)
    }
}

impl Allowances {
    pub(super) fn new(pace: Pace) -> Allowances {
        Allowances {
            pace,
            ..Allowances::default()
        }
    }

    /// Has everybody's pace be this one, from now on: what each has used of it is not forgotten.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// For somebody who has sent so many bytes.
    pub(super) fn credit(&mut self, received: usize) -> AllowanceId {
        self.insert(Allowance::Credit {
            bytes: received * AMPLIFICATION,
        })
    }

    /// For somebody in a network, together with all others there.
    pub(super) fn pace(&mut self, peer: &PeerAddress, now: Instant) -> AllowanceId {
        self.forget_rested(now);
        self.paced += 1;
        let network = peer.network();
        if let Some(&id) = self.paces.get(&network) {
            if let Some(Allowance::Pace { guests, .. }) = self.slots.get_mut(id.0) {
                *guests += 1;
            }
            return id;
        }
        let id = self.insert(Allowance::Pace {
            network,
            guests: 1,
            full_at: now,
        });
        self.paces.insert(network, id);
        id
    }

    /// How many guests have one that cannot show that they receive where it goes.
    pub(super) fn paced(&self) -> usize {
        self.paced
    }

    /// More has come from there.
    pub(super) fn received(&mut self, id: AllowanceId, bytes: usize) {
        if let Some(Allowance::Credit { bytes: credit }) = self.slots.get_mut(id.0) {
            *credit = credit.saturating_add(bytes.saturating_mul(AMPLIFICATION));
        }
    }

    /// Takes so many bytes off it, if they are there.
    pub(super) fn take(&mut self, id: AllowanceId, bytes: usize, now: Instant) -> bool {
        let pace = self.pace;
        match self.slots.get_mut(id.0) {
            // Who had one and is gone is owed nothing.
            None => false,
            Some(Allowance::Credit { bytes: credit }) => match credit.checked_sub(bytes) {
                Some(left) => {
                    *credit = left;
                    true
                }
                None => false,
            },
            Some(Allowance::Pace { full_at, .. }) => {
                let after = (*full_at).max(now) + pace.time_for(bytes);
                let allowed = after <= now + pace.time_for(pace.burst_bytes as usize);
                if allowed {
                    *full_at = after;
                }
                allowed
            }
        }
    }

    /// Gives back what was taken and not used.
    pub(super) fn put_back(&mut self, id: AllowanceId, bytes: usize) {
        let pace = self.pace;
        match self.slots.get_mut(id.0) {
            None => {}
            Some(Allowance::Credit { bytes: credit }) => *credit += bytes,
            Some(Allowance::Pace { full_at, .. }) => {
                *full_at = full_at
                    .checked_sub(pace.time_for(bytes))
                    .unwrap_or(*full_at);
            }
        }
    }

    /// One guest needs it no more.
    pub(super) fn release(&mut self, id: AllowanceId, now: Instant) {
        match self.slots.get_mut(id.0) {
            None => {}
            Some(Allowance::Pace { guests, .. }) => {
                self.paced = self.paced.saturating_sub(1);
                *guests = guests.saturating_sub(1);
                if *guests == 0 {
                    self.resting.push_back(id);
                }
                // One that has not rested goes: its network has a new burst, for the price of all these.
                if self.resting.len() > MAX_RESTING
                    && let Some(oldest) = self.resting.pop_front()
                {
                    self.forget(oldest);
                }
            }
            Some(Allowance::Credit { .. }) => {
                self.slots.remove(id.0);
            }
        }
        self.forget_rested(now);
    }

    /// Forgets the paces that are as good as new. None takes longer than its burst does, so those behind one
    /// that is not wait no longer than that.
    fn forget_rested(&mut self, now: Instant) {
        while let Some(&id) = self.resting.front() {
            if let Some(Allowance::Pace {
                guests: 0, full_at, ..
            }) = self.slots.get_mut(id.0)
                && *full_at > now
            {
                break;
            }
            self.resting.pop_front();
            self.forget(id);
        }
    }

    /// Forgets a pace, unless somebody has it again.
    fn forget(&mut self, id: AllowanceId) {
        if let Some(Allowance::Pace {
            network, guests: 0, ..
        }) = self.slots.get_mut(id.0)
        {
            self.paces.remove(network);
            self.slots.remove(id.0);
        }
    }

    /// Checks that there are allowances for so many guests and for nobody else. For tests.
    ///
    /// # Panics
    ///
    /// When there are not.
    pub(super) fn audit(&self, guests: usize) {
        let (mut credits, mut paced) = (0, 0);
        for (_, allowance) in self.slots.iter() {
            match allowance {
                Allowance::Credit { .. } => credits += 1,
                Allowance::Pace { guests, .. } => paced += guests,
            }
        }
        assert_eq!(credits + paced, guests, "allowances are guests'");
        assert_eq!(self.paced, paced, "those with a pace are counted");
        let paces = self.slots.len() - credits;
        assert_eq!(self.paces.len(), paces, "every pace is found");
    }

    fn insert(&mut self, allowance: Allowance) -> AllowanceId {
        AllowanceId(self.slots.insert_with(|_| allowance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> PeerAddress {
        PeerAddress::new(text.parse().unwrap())
    }

    #[test]
    fn credit_is_three_times_what_came() {
        let (mut allowances, now) = (Allowances::default(), Instant::now());
        let id = allowances.credit(10);
        assert!(!allowances.take(id, 31, now));
        assert!(allowances.take(id, 30, now));
        assert!(!allowances.take(id, 1, now));
        allowances.received(id, 1);
        assert!(allowances.take(id, 3, now));
        allowances.put_back(id, 2);
        assert!(allowances.take(id, 2, now) && !allowances.take(id, 1, now));
        allowances.release(id, now);
        assert!(!allowances.take(id, 0, now), "nobody is owed anything");
    }

    #[test]
    fn a_network_has_one_pace() {
        let (mut allowances, now) = (Allowances::default(), Instant::now());
        let first = allowances.pace(&peer("192.0.2.1:1"), now);
        let second = allowances.pace(&peer("192.0.2.1:2"), now);
        let other = allowances.pace(&peer("192.0.2.2:1"), now);
        assert_eq!(first, second);
        let at_once = |allowances: &mut Allowances, id, now| {
            (0..1000)
                .take_while(|_| allowances.take(id, 1024, now))
                .count()
        };
        assert_eq!(at_once(&mut allowances, first, now), 64);
        assert_eq!(at_once(&mut allowances, other, now), 64);
        let later = now + Duration::from_secs(2);
        assert_eq!(at_once(&mut allowances, first, later), 8);
        allowances.release(first, later);
        allowances.release(second, later);
        let again = allowances.pace(&peer("192.0.2.1:3"), later);
        assert_eq!(at_once(&mut allowances, again, later), 0, "no new burst");
        allowances.release(again, later);
        let rested = later + Duration::from_secs(16);
        let anew = allowances.pace(&peer("192.0.2.1:4"), rested);
        assert_eq!(at_once(&mut allowances, anew, rested), 64);
        assert_eq!((allowances.paces.len(), allowances.resting.len()), (2, 0));
    }

    #[test]
    fn r36_who_come_and_go_by_forged_addresses_fill_no_memory() {
        let (mut allowances, now) = (Allowances::default(), Instant::now());
        let come = |allowances: &mut Allowances, n: u32| {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            allowances.pace(&PeerAddress::new((ip, 1).into()), now)
        };
        // The first has used all it may, so those behind wait for sixteen seconds.
        for n in 0..20 * MAX_RESTING as u32 {
            let id = come(&mut allowances, n);
            let bytes = if n == 0 { 64 * 1024 } else { 30 };
            assert!(allowances.take(id, bytes, now));
            allowances.release(id, now);
        }
        let stays = come(&mut allowances, 0);
        // Nor does one who does it again and again.
        for _ in 0..20 * MAX_RESTING {
            let again = come(&mut allowances, 1);
            assert!(allowances.take(again, 0, now));
            allowances.release(again, now);
        }
        assert!(allowances.resting.len() <= MAX_RESTING);
        assert!(allowances.paces.len() <= MAX_RESTING + 1);
        assert!(allowances.take(stays, 1, now), "who has one keeps it");
        let later = now + Duration::from_secs(17);
        allowances.release(stays, later);
        assert_eq!((allowances.paces.len(), allowances.resting.len()), (0, 0));
    }
}
