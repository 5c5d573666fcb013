//! Owns the server's limits and their defaults, and the bucket that one of them is kept with.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::port::Pace;
use crate::chat::HubLimits;
use crate::fanout::LagLimits;
use crate::protocol::Deadline;
use crate::reactor::DeadPeer;
use crate::store::AttemptLimits;

/// Everything that is bounded. The constants say why that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms and their members.
    pub hub: HubLimits,
    /// How far a member may lag.
    pub lag: LagLimits,
    /// Connections from one IPv4 address or IPv6 /64; this machine's own do not count.
    pub max_per_address: usize,
    /// Names that one address may bring from a mesh, beside those: all names of another lobby come from the
    /// one address of its gateway. This machine's own do not count.
    pub mesh_names_per_address: usize,
    /// Rooms that one IPv4 address or IPv6 /64 has opened and that stand; this machine's own do not count. Each room has
    /// a host, so [`max_per_address`](Limits::max_per_address) is less as long as it is not raised.
    pub rooms_per_address: usize,
    /// Members outside this machine, all together, of a protocol in which an address cannot show that it is its
    /// sender's: whoever forges addresses has as many as he likes, and each is sent what everybody says.
    pub unproven_members: usize,
    /// Messages of one member outside loopback; `None` is as many as it likes.
    pub message_rate: Option<MessageRate>,
    /// Datagrams of one network outside loopback, before anything is made of them; `None` is as many as it likes.
    pub datagram_rate: Option<MessageRate>,
    /// Bytes unsent to a connection beyond which it is not read from: who does not listen shall not
    /// speak, and a flooder that floods itself is slowed down instead of cut.
    pub unsent_bytes: usize,
    /// How long a person may take to type the name, where the program connects first and asks then.
    pub name_time: Duration,
    /// How long the first whole frame may take, where the program knows all of it before it connects.
    pub first_frame_time: Duration,
    /// How long a frame may take that is begun. Slower is no client but a slow attack (slowloris).
    pub frame_time: Duration,
    /// How long somebody may be connected and silent who was not let in, or did not ask: people think of another name.
    pub joining_time: Duration,
    /// How long what is due may take to go out once a connection is closing.
    pub closing_time: Duration,
    /// How long the peer may take to close after we have, its last bytes being drained: unread bytes
    /// would turn our last words into a reset.
    pub lingering_time: Duration,
    /// How long a guest outside loopback may be silent that speaks only when its person does.
    pub udp_idle: Duration,
    /// The same of one whose program keeps the session alive.
    pub login_idle: Duration,
    /// How long a name is kept for somebody who has a secret and does not show it.
    pub registering_time: Duration,
    /// Secrets given out to one address and not shown; this machine's own do not count.
    pub secrets_per_address: usize,
    /// How often somebody may try a password or register.
    pub attempts: AttemptLimits,
    /// How long a refused guest is told the same again when it asks the same again.
    pub answer_keeping_time: Duration,
    /// When a peer on a stream is given up of whom nothing is heard.
    pub dead_peer: DeadPeer,
    /// How long what is due to all may take to go out, and logins may take, once the server is told to stop.
    pub stopping_time: Duration,
    /// What an address is sent that cannot show that it receives there.
    pub pace: Pace,
    /// Bytes that may wait to be sent on one datagram port. Beyond them the oldest message goes: what is late is
    /// worth less than what is new, and a lost datagram is what these protocols expect.
    pub mailing_bytes: usize,
    /// Memory of all that waits to be sent, over everybody and everything. Beyond it those are cut that keep the most.
    /// 32 MiB is every room at its backlog, every port at its own limit, and a hundred members who do not read at all.
    pub output_bytes: usize,
    /// When notices of who comes and goes wait for more of their kind.
    pub gathering: Gathering,
}

/// What costs is the write to each member, whatever stands in it: in a crowd that comes or goes, many notices are
/// one write. What somebody says never waits, and takes along what does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// In audiences of so many and more; with fewer, the writes cost less than the wait is worth.
    pub members: usize,
    /// For so long for each of the members, after the first notice: about twice what the write to it takes. Less than a
    /// millisecond is a millisecond, for the poll knows nothing shorter.
    pub time_per_member: Duration,
    /// But no longer.
    pub limit: Duration,
    /// Nor when there are so many bytes of them: one write is worth it, and a socket's buffer takes it. Nobody becomes
    /// a slow consumer by what it was not offered.
    pub bytes: usize,
}

impl Gathering {
    /// How long notices to so many wait; `None` where they do not.
    pub(super) fn time(&self, members: usize) -> Option<Duration> {
        let factor = u32::try_from(members).unwrap_or(u32::MAX);
        let time = self.time_per_member.saturating_mul(factor);
        (members >= self.members).then_some(time.min(self.limit))
    }
}

impl Default for Gathering {
    fn default() -> Self {
        Gathering {
            members: 64,
            time_per_member: Duration::from_micros(4),
            limit: Duration::from_millis(20),
            bytes: 256 * 1024,
        }
    }
}

/// Which address of a member others are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Advertise {
    /// The one that it comes from.
    #[default]
    Connection,
    /// The one that it says: for members behind a translation who know better. A stranger's machine may
    /// be named.
    Claimed,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            hub: HubLimits::default(),
            lag: LagLimits::default(),
            max_per_address: 16,
            mesh_names_per_address: 256,
            rooms_per_address: 64,
            unproven_members: 256,
            message_rate: Some(MessageRate::default()),
            // Sixteen members who all speak as fast as they may, and some more.
            datagram_rate: Some(MessageRate {
                burst: 1000,
                per_second: 500,
            }),
            unsent_bytes: 64 * 1024,
            name_time: Duration::from_secs(60),
            first_frame_time: Duration::from_secs(10),
            frame_time: Duration::from_secs(20),
            joining_time: Duration::from_secs(5 * 60),
            closing_time: Duration::from_secs(2),
            lingering_time: Duration::from_secs(1),
            udp_idle: Duration::from_secs(15 * 60),
            login_idle: Duration::from_secs(5 * 60),
            registering_time: Duration::from_secs(60),
            secrets_per_address: 16,
            attempts: AttemptLimits::default(),
            answer_keeping_time: Duration::from_secs(10),
            dead_peer: DeadPeer::default(),
            stopping_time: Duration::from_secs(2),
            pace: Pace::default(),
            mailing_bytes: 1024 * 1024,
            output_bytes: 32 * 1024 * 1024,
            gathering: Gathering::default(),
        }
    }
}

/// A member in the list that newcomers to a room are sent: name, address, what stands between them.
const LISTED_BYTES: usize = 96;

impl Limits {
    /// The least that [`output_bytes`](Limits::output_bytes) may be: what waits, or is kept for who comes next, without
    /// anybody who could be cut for it. That is the list of a full room, its log with room to grow, and a port's datagrams.
    pub fn least_output_bytes(&self) -> usize {
        let list = self.hub.members_per_room.saturating_mul(LISTED_BYTES);
        list.saturating_add(self.lag.backlog_bytes.saturating_mul(2))
            .saturating_add(self.mailing_bytes)
    }

    /// How much time a connection has for that.
    pub(super) fn time_for(&self, deadline: Deadline) -> Duration {
        match deadline {
            Deadline::FirstWords | Deadline::Name => self.name_time,
            Deadline::FirstFrame => self.first_frame_time,
            Deadline::Joining => self.joining_time,
            Deadline::Frame => self.frame_time,
        }
    }
}

/// How fast one member may speak: `burst` messages at once, `per_second` in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRate {
    /// More than anybody types, pasted lines included.
    pub burst: u16,
    /// More than anybody reads.
    pub per_second: u16,
}

impl Default for MessageRate {
    fn default() -> Self {
        MessageRate {
            burst: 50,
            per_second: 20,
        }
    }
}

/// A token bucket in four bytes: when it would be full again, in milliseconds of its server's time, which begin anew
/// every 49 days. Who has said nothing for just that long, or comes just then, may be taken for one that has just spoken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: u32,
}

impl Bucket {
    /// Takes one token out, if there is one. `start` is any instant that stays the same.
    pub(super) fn take(&mut self, rate: MessageRate, start: Instant, now: Instant) -> bool {
        let now = now.saturating_duration_since(start).as_millis() as u32;
        let each = 1000 / u32::from(rate.per_second.clamp(1, 1000));
        let most = each * u32::from(rate.burst);
        // What is further away than it can be lies behind us.
        let left = self.full_at.wrapping_sub(now);
        let left = if left > most { 0 } else { left };
        if left + each > most {
            return false;
        }
        self.full_at = now.wrapping_add(left + each);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let (rate, start) = (MessageRate::default(), Instant::now());
        let mut bucket = Bucket::default();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let taken = |bucket: &mut Bucket, now| {
            (0..1000)
                .take_while(|_| bucket.take(rate, start, now))
                .count()
        };
        assert_eq!(taken(&mut bucket, at(0)), 50);
        assert_eq!(taken(&mut bucket, at(49)), 0);
        assert_eq!(taken(&mut bucket, at(1000)), 20);
        assert_eq!(
            taken(&mut bucket, at(3_600_000)),
            50,
            "it holds no more than the burst"
        );
        // The milliseconds begin anew.
        let late = u64::from(u32::MAX) - 500;
        assert_eq!(taken(&mut bucket, at(late)), 50);
        assert_eq!(taken(&mut bucket, at(late + 1000)), 20);
    }
}
