//! Owns one guest: a peer that talks in datagrams and has no connection. Its session, its address and its
//! place in a room. Knows nothing of the other guests.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::address::PeerAddress;
use super::limits::Bucket;
use super::port::{AllowanceId, PortId};
use crate::chat::{MemberId, RoomId};
use crate::protocol::Secret;
use crate::protocol::registry::{GuestSession, Protocol};
use crate::reactor::TimerId;

/// Everything about one guest.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) protocol: Protocol,
    house: u8,
    pub(super) place: GuestPlace,
    /// Where it is reached: the source of its datagrams. Nowhere for one that was given a secret and has
    /// not shown it.
    pub(super) found_at: Option<(PortId, SocketAddr)>,
    pub(super) session: GuestSession,
    /// What it may be sent, where that is limited.
    pub(super) allowance: Option<AllowanceId>,
    /// Its session is proven, and that was taken note of.
    pub(super) proven: bool,
    /// It has opened the room that it is in.
    pub(super) is_host: bool,
    /// A request of it is with the helper.
    pub(super) pending: bool,
    /// Whom the limits per address count it as.
    pub(super) peer: PeerAddress,
    /// What its datagrams carry, where they do.
    pub(super) secret: Option<Secret>,
    /// When it was last heard of.
    pub(super) heard: Moment,
    /// When somebody told that nobody receives at its address: ICMP can be forged, so once is not enough.
    pub(super) doubted: Option<Moment>,
    /// When it was last told that somebody asks for its name.
    pub(super) asked: Option<Moment>,
    pub(super) deadline: Option<TimerId>,
    pub(super) rate: Bucket,
}

/// When something was, in four bytes instead of sixteen: milliseconds of its server's time, which begin anew every 49
/// days. What was so long ago may be taken for something that has just been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(NonZeroU32);

/// Where a guest hears from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestPlace {
    /// In no room.
    Nowhere,
    /// It holds a name and is not heard yet.
    Held { id: MemberId },
    /// A member. `seat` is its seat in the mailing of its port; it has none where all
    /// [hear together](Protocol::hears_together).
    In {
        room: RoomId,
        id: MemberId,
        seat: Option<u32>,
    },
    /// Its room has closed: it is let go at the end of the turn, and what it says meanwhile is too late.
    Gone,
}

/// Why a guest is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// It said so.
    Asked,
    /// It was not heard of for long.
    Silent,
    /// Its machine, or one on the way there, says that nobody receives at its address.
    Unreachable,
    /// It did not show its secret in time.
    NeverCame,
    /// Its room has closed.
    RoomClosed,
    /// It was not let in.
    Refused,
    /// It was put out.
    Kicked,
    /// The port closed that it was found at.
    PortClosed,
}

impl Guest {
    pub(super) fn new(
        protocol: Protocol,
        house: usize,
        session: GuestSession,
        peer: PeerAddress,
        now: Moment,
    ) -> Guest {
        Guest {
            protocol,
            house: u8::try_from(house).expect("invariant: a house per protocol at the most"),
            place: GuestPlace::Nowhere,
            found_at: None,
            session,
            allowance: None,
            proven: false,
            is_host: false,
            pending: false,
            peer,
            secret: None,
            heard: now,
            doubted: None,
            asked: None,
            deadline: None,
            rate: Bucket::default(),
        }
    }

    /// Whether it is in a room.
    pub(super) fn is_member(&self) -> bool {
        matches!(self.place, GuestPlace::In { .. })
    }

    /// Which of the server's houses it belongs to.
    pub(super) fn house(&self) -> usize {
        usize::from(self.house)
    }

    /// Who it is in the hub, if anybody.
    pub(super) fn id(&self) -> Option<MemberId> {
        match self.place {
            GuestPlace::Nowhere | GuestPlace::Gone => None,
            GuestPlace::Held { id } | GuestPlace::In { id, .. } => Some(id),
        }
    }
}

impl Moment {
    /// `start` is any instant that stays the same.
    pub(super) fn new(start: Instant, now: Instant) -> Moment {
        let milliseconds = now.saturating_duration_since(start).as_millis() as u32;
        Moment(NonZeroU32::MIN.saturating_add(milliseconds))
    }

    /// How long before `now` that was.
    pub(super) fn before(self, now: Moment) -> Duration {
        Duration::from_millis(now.0.get().wrapping_sub(self.0.get()).into())
    }
}

impl Departure {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Departure::Asked => "left",
            Departure::Silent => "left: not heard of for long",
            Departure::Unreachable => "left: nobody receives at its address",
            Departure::NeverCame => "its name is free again: it never came",
            Departure::RoomClosed => "left: its room has closed",
            Departure::Refused => "refused",
            Departure::Kicked => "put out",
            Departure::PortClosed => "left: its port has closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_small() {
        let size = size_of::<Guest>();
        assert!(size <= 184, "a guest takes {size} bytes");
    }

    #[test]
    fn a_moment_knows_how_long_ago_it_was() {
        let start = Instant::now();
        let at = |milliseconds| Moment::new(start, start + Duration::from_millis(milliseconds));
        assert_eq!(at(0).before(at(0)), Duration::ZERO);
        assert_eq!(at(7).before(at(907)), Duration::from_millis(900));
        // The milliseconds begin anew.
        let late = u64::from(u32::MAX);
        assert_eq!(at(late - 5).before(at(late + 20)).as_millis() / 10, 2);
    }
}
