//! Owns who is banned: prefixes of addresses, why, and until when. Knows nothing of who is in, and keeps nothing on a disk.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::nets::Nets;

/// Addresses that nobody may come from, to whatever protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    pub net: IpNet,
    /// For the log, and for those who are in when they are banned.
    pub reason: String,
    /// `None` is for good.
    pub until: Option<Instant>,
}

/// There are as many bans as there may be: [`MAX_BANS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyBans;

pub use crate::store::MAX_BANS;

/// All bans.
#[derive(Debug, Default)]
pub(super) struct Bans {
    nets: Nets<Ban>,
}

impl Ban {
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl fmt::Display for TooManyBans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAX_BANS} bans stand, that is the limit")
    }
}

impl std::error::Error for TooManyBans {}

impl Bans {
    /// Whether an address is banned.
    pub(super) fn holds(&self, address: IpAddr, now: Instant) -> bool {
        self.nets.of(address).any(|ban| ban.holds(now))
    }

    /// Adds one, instead of what there was of the same prefix.
    pub(super) fn add(&mut self, ban: Ban, now: Instant) -> Result<(), TooManyBans> {
        if self.nets.len() >= MAX_BANS && self.nets.get(ban.net).is_none() {
            self.nets.retain(|ban| ban.holds(now));
            if self.nets.len() >= MAX_BANS {
                return Err(TooManyBans);
            }
        }
        self.nets.insert(ban.net, ban);
        Ok(())
    }

    /// Lifts the ban of exactly that prefix.
    pub(super) fn lift(&mut self, net: IpNet) -> Option<Ban> {
        self.nets.remove(net)
    }

    /// Those that hold.
    pub(super) fn iter(&self, now: Instant) -> impl Iterator<Item = &Ban> {
        self.nets.values().filter(move |ban| ban.holds(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ban(net: &str, until: Option<Instant>) -> Ban {
        Ban {
            net: net.parse().unwrap(),
            reason: "spam".to_string(),
            until,
        }
    }

    #[test]
    fn a_ban_holds_until_its_time_and_a_wider_one_behind_it() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        bans.add(ban("192.0.2.7/32", Some(later)), now).unwrap();
        assert!(bans.holds(address, now) && !bans.holds(address, later));
        assert_eq!(bans.iter(later).count(), 0);
        bans.add(ban("192.0.2.0/24", None), now).unwrap();
        assert!(bans.holds(address, later));
        assert!(!bans.holds("192.0.3.7".parse().unwrap(), now));
        assert!(bans.lift("192.0.2.0/25".parse().unwrap()).is_none());
        assert!(bans.lift("192.0.2.0/24".parse().unwrap()).is_some());
        assert!(!bans.holds(address, later));
    }

    #[test]
    fn there_are_so_many_and_those_that_are_over_make_room() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        for n in 0..MAX_BANS as u32 {
            let until = (n == 7).then_some(later);
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            bans.add(ban(&format!("{ip}/32"), until), now).unwrap();
        }
        assert_eq!(bans.add(ban("11.0.0.0/8", None), now), Err(TooManyBans));
        let again = bans.add(ban("10.0.0.0/32", Some(later)), now);
        assert_eq!(again, Ok(()), "instead of the one that was there");
        assert_eq!(bans.add(ban("11.0.0.0/8", None), later), Ok(()));
        assert_eq!(bans.iter(later).count(), MAX_BANS - 1);
    }
}
