//! Owns who has to wait before trying another password or registering another name.
//! Knows no clock, no account and no password: it is told the time and what came out.
//!
//! An attempt counts as wrong from the moment it is let through until its password proves good: a hundred
//! sent at once get no further than a hundred sent one by one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::chat::Name;

/// A run of wrong ones is forgotten when it was quiet for so many of the longest waits, and one more for each
/// free one: fewer tries come of forgetting than of waiting. So many waits are shorter than the longest, an hour.
const FORGOTTEN_AFTER_WAITS: u32 = 12;
/// Names, and addresses, that are remembered; the one that was quiet longest goes first.
const MAX_REMEMBERED: usize = 10_000;
/// Overtaken entries of the order that are not worth a sweep.
const SWEPT_FROM: usize = 32;
const HOUR: Duration = Duration::from_secs(3600);

/// How often somebody may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Wrong passwords in a row for a name before its attempts are slowed down: a second after the last free one,
    /// then two, four …
    pub wrong_per_name: u32,
    /// The same for an address, behind which may be several people.
    pub wrong_per_address: u32,
    /// The longest wait between two attempts.
    pub longest_wait: Duration,
    /// Registrations from one address within an hour; this machine's own are not counted.
    pub registrations_per_hour: usize,
}

impl Default for AttemptLimits {
    fn default() -> Self {
        AttemptLimits {
            wrong_per_name: 5,
            wrong_per_address: 20,
            longest_wait: Duration::from_secs(300),
            registrations_per_hour: 5,
        }
    }
}

/// The answer to an attempt that comes too early: nothing was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryAgain {
    /// From now, rounded up: at least 1.
    pub seconds: u64,
}

/// Attempts at passwords, by name and by address (of IPv6 the /64, which one person has).
///
/// For each one: [`admit`](Attempts::admit), and if the password was good
/// [`succeeded`](Attempts::succeeded). A wrong one needs no call. One that was not looked at in the end, for
/// there was no room or no memory, is [`withdrawn`](Attempts::withdrawn).
#[derive(Debug, Default)]
pub struct Attempts {
    limits: AttemptLimits,
    /// By the keyed hash of the folded name: names that are the same have one.
    names: Recent<u64, Run>,
    addresses: Recent<Address, Run>,
    /// Where the last good login of a name came from.
    homes: Recent<u64, Address>,
    hasher: RandomState,
}

/// Registrations by address. This machine's own are not counted.
#[derive(Debug, Default)]
pub struct Registrations {
    per_hour: usize,
    /// When they were, oldest first.
    addresses: Recent<Address, VecDeque<Instant>>,
}

impl Attempts {
    /// Nobody has tried anything.
    pub fn new(limits: AttemptLimits) -> Attempts {
        Attempts {
            limits,
            ..Attempts::default()
        }
    }

    /// Has these limits hold from now on. Who has to wait waits as long as it was told.
    pub fn set_limits(&mut self, limits: AttemptLimits) {
        self.limits = limits;
    }

    /// Whether a password may be looked at now, which is then counted.
    ///
    /// For names without an account too: the answer must not tell them apart.
    pub fn admit(&mut self, name: &str, from: IpAddr, now: Instant) -> Result<(), TryAgain> {
        let (name, from) = (self.name(name), Address::of(from));
        // Whoever knows the password should not be locked out by others who do not.
        let at_home = self.homes.get(&name) == Some(&from);
        let by_name = self.names.get(&name).filter(|_| !at_home);
        let by_address = self.addresses.get(&from);
        let wait = by_name
            .map_or(Duration::ZERO, |run| run.wait(now))
            .max(by_address.map_or(Duration::ZERO, |run| run.wait(now)));
        TryAgain::unless_zero(wait)?;
        if !at_home {
            let run = self.names.touch(name);
            run.count(self.limits.wrong_per_name, self.limits.longest_wait, now);
        }
        let run = self.addresses.touch(from);
        run.count(self.limits.wrong_per_address, self.limits.longest_wait, now);
        Ok(())
    }

    /// The password was good: the name begins anew, and is at home there. Its address is only spared this attempt,
    /// or who has an account would guess at others' without end.
    pub fn succeeded(&mut self, name: &str, from: IpAddr) {
        let (name, from) = (self.name(name), Address::of(from));
        self.names.remove(&name);
        uncount(&mut self.addresses, from);
        *self.homes.touch(name) = from;
    }

    /// An admitted attempt whose password nobody looked at.
    pub fn withdrawn(&mut self, name: &str, from: IpAddr) {
        let (name, from) = (self.name(name), Address::of(from));
        if self.homes.get(&name) != Some(&from) {
            uncount(&mut self.names, name);
        }
        uncount(&mut self.addresses, from);
    }

    fn name(&self, name: &str) -> u64 {
        Name::hash_of(name, &self.hasher)
    }
}

impl Registrations {
    /// Nobody has registered.
    pub fn new(limits: AttemptLimits) -> Registrations {
        Registrations {
            per_hour: limits.registrations_per_hour,
            addresses: Recent::default(),
        }
    }

    /// Has these limits hold from now on, for what was registered within the last hour too.
    pub fn set_limits(&mut self, limits: AttemptLimits) {
        self.per_hour = limits.registrations_per_hour;
    }

    /// Whether an address may register another name now, which is then counted.
    pub fn admit(&mut self, from: IpAddr, now: Instant) -> Result<(), TryAgain> {
        if from.to_canonical().is_loopback() {
            return Ok(());
        }
        let times = self.addresses.touch(Address::of(from));
        while times.front().is_some_and(|oldest| *oldest + HOUR <= now) {
            times.pop_front();
        }
        if times.len() >= self.per_hour
            && let Some(oldest) = times.front()
        {
            TryAgain::unless_zero((*oldest + HOUR).saturating_duration_since(now))?;
        }
        times.push_back(now);
        Ok(())
    }

    /// An admitted registration that came to nothing for a reason of ours.
    pub fn withdrawn(&mut self, from: IpAddr) {
        if let Some(times) = self.addresses.get_mut(&Address::of(from)) {
            times.pop_back();
        }
    }
}

impl TryAgain {
    fn unless_zero(wait: Duration) -> Result<(), TryAgain> {
        match wait.is_zero() {
            true => Ok(()),
            false => Err(TryAgain {
                seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
            }),
        }
    }
}

impl fmt::Display for TryAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "try again in {} s", self.seconds)
    }
}

impl std::error::Error for TryAgain {}

/// Takes an attempt back that was no wrong one. What counts nothing is not kept: a storm of logins leaves no memory
/// full.
fn uncount<K: Copy + Eq + Hash>(runs: &mut Recent<K, Run>, key: K) {
    if let Some(run) = runs.get_mut(&key) {
        run.uncount();
        if run.wrong == 0 {
            runs.remove(&key);
        }
    }
}

/// Wrong passwords in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    wrong: u32,
    /// No attempt is looked at before.
    until: Option<Instant>,
    last: Option<Instant>,
    /// The one before: who logs in again and again does not keep a run from being forgotten.
    last_but_one: Option<Instant>,
}

impl Run {
    fn wait(&self, now: Instant) -> Duration {
        let until = self.until.unwrap_or(now);
        until.saturating_duration_since(now)
    }

    fn count(&mut self, free: u32, longest: Duration, now: Instant) {
        let quiet = self.last.map(|last| now.saturating_duration_since(last));
        let forgotten_after = longest * FORGOTTEN_AFTER_WAITS.saturating_add(free);
        if quiet.is_some_and(|quiet| quiet >= forgotten_after) {
            *self = Run::default();
        }
        self.last_but_one = self.last.replace(now);
        self.wrong = self.wrong.saturating_add(1);
        if let Some(doublings) = self.wrong.checked_sub(free) {
            // 1 s after the last free one, then 2, 4 …; 20 doublings are twelve days.
            let wait = Duration::from_secs(1 << doublings.min(20)).min(longest);
            self.until = Some(now + wait);
        }
    }

    /// The wait that it had to wait out before is not asked for again.
    fn uncount(&mut self) {
        self.wrong = self.wrong.saturating_sub(1);
        self.until = None;
        self.last = self.last_but_one;
    }
}

/// An IPv4 address, or the /64 of an IPv6 address: as many as one person has of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Address(Ipv6Addr);

impl Address {
    fn of(address: IpAddr) -> Address {
        Address(match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)),
        })
    }
}

impl Default for Address {
    fn default() -> Self {
        Address(Ipv6Addr::UNSPECIFIED)
    }
}

/// A table that holds [`MAX_REMEMBERED`], forgetting first what was not touched for longest. The hash is
/// keyed: peers choose what stands in here.
///
/// `order` has one entry per touch; those that a later touch has overtaken are skipped when they come up,
/// and swept out when there are as many of them as others, so that a touch costs O(1) in the long run.
#[derive(Debug)]
struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    order: VecDeque<(u64, K)>,
    touches: u64,
    capacity: usize,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent {
            entries: HashMap::new(),
            order: VecDeque::new(),
            touches: 0,
            capacity: MAX_REMEMBERED,
        }
    }
}

impl<K: Copy + Eq + Hash, V: Default> Recent<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// What is known under a key, if need be nothing yet, and the last to be forgotten from now on.
    fn touch(&mut self, key: K) -> &mut V {
        self.touches += 1;
        let stamp = self.touches;
        if !self.entries.contains_key(&key) && self.entries.len() >= self.capacity {
            self.forget_oldest();
        }
        if self.order.len() >= 2 * self.entries.len().max(SWEPT_FROM) {
            let entries = &self.entries;
            self.order
                .retain(|(stamp, key)| entries.get(key).is_some_and(|entry| entry.0 == *stamp));
        }
        self.order.push_back((stamp, key));
        let entry = self.entries.entry(key).or_default();
        entry.0 = stamp;
        &mut entry.1
    }

    fn forget_oldest(&mut self) {
        while let Some((stamp, key)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.0 == stamp) {
                self.entries.remove(&key);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn again(seconds: u64) -> Result<(), TryAgain> {
        Err(TryAgain { seconds })
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn r16_five_wrong_ones_for_a_name_then_waits_that_double_to_five_minutes() {
        let (mut attempts, mut now) = (Attempts::new(AttemptLimits::default()), Instant::now());
        let mut elsewhere = (1..).map(|n: u32| IpAddr::from(n.to_be_bytes()));
        let mut admit = |attempts: &mut Attempts, name: &str, now| {
            attempts.admit(name, elsewhere.next().unwrap(), now)
        };
        for _ in 0..5 {
            assert_eq!(admit(&mut attempts, "Zoë", now), Ok(()));
        }
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            assert_eq!(admit(&mut attempts, "ZOE\u{308}", now), again(wait));
            now += seconds(wait) - Duration::from_millis(1);
            assert_eq!(admit(&mut attempts, "zoë", now), again(1));
            now += Duration::from_millis(1);
            assert_eq!(admit(&mut attempts, "zoë", now), Ok(()), "after {wait}");
        }
        now += seconds(299);
        attempts.succeeded("zoë", ip(HERE));
        for _ in 0..5 {
            assert_eq!(admit(&mut attempts, "zoë", now), Ok(()), "begun anew");
        }
        assert_eq!(again(1), admit(&mut attempts, "zoë", now));
        assert_eq!(TryAgain { seconds: 1 }.to_string(), "try again in 1 s");
    }

    #[test]
    fn r16_twenty_wrong_ones_from_an_address_whatever_the_names() {
        let (mut attempts, now) = (Attempts::new(AttemptLimits::default()), Instant::now());
        for (count, name) in (0..20).zip('a'..) {
            // One person has a whole /64.
            let from = ip(&format!("2001:db8:0:1::{count}"));
            assert_eq!(attempts.admit(&name.to_string(), from, now), Ok(()));
        }
        let neighbour = ip("2001:db8:0:2::1");
        let same = ip("2001:db8:0:1:ffff::1");
        assert_eq!(attempts.admit("x", same, now), again(1));
        assert_eq!(attempts.admit("x", neighbour, now), Ok(()));
        assert_eq!(attempts.admit("x", same, now + seconds(1)), Ok(()));
        assert_eq!(attempts.admit("y", same, now + seconds(1)), again(2));
        // An IPv4 address is one however the socket shows it.
        for _ in 0..5 {
            attempts.admit("v", ip(HERE), now).unwrap();
        }
        assert_eq!(attempts.admit("v", ip("::ffff:192.0.2.1"), now), again(1));
    }

    #[test]
    fn r16_a_name_is_not_locked_where_it_is_at_home() {
        let (mut attempts, now) = (Attempts::new(AttemptLimits::default()), Instant::now());
        attempts.admit("a", ip(HERE), now).unwrap();
        attempts.succeeded("a", ip(HERE));
        let there = ip("192.0.2.2");
        for _ in 0..5 {
            attempts.admit("a", there, now).unwrap();
        }
        assert_eq!(attempts.admit("a", there, now), again(1));
        for _ in 0..20 {
            assert_eq!(attempts.admit("a", ip(HERE), now), Ok(()));
        }
        assert_eq!(
            attempts.admit("a", ip(HERE), now),
            again(1),
            "the address counts"
        );
        // At home is where the last good login came from.
        attempts.succeeded("a", there);
        for _ in 0..16 {
            assert_eq!(attempts.admit("a", there, now), Ok(()));
        }
    }

    #[test]
    fn what_nobody_looked_at_does_not_count_and_what_is_old_is_forgotten() {
        let (mut attempts, now) = (Attempts::new(AttemptLimits::default()), Instant::now());
        for _ in 0..100 {
            assert_eq!(attempts.admit("a", ip(HERE), now), Ok(()));
            attempts.withdrawn("a", ip(HERE));
        }
        for _ in 0..5 {
            assert_eq!(attempts.admit("a", ip(HERE), now), Ok(()));
        }
        assert_eq!(attempts.admit("a", ip(HERE), now), again(1));
        let later = now + seconds(300 * (12 + 5));
        for _ in 0..5 {
            assert_eq!(attempts.admit("a", ip(HERE), later), Ok(()));
        }
        assert_eq!(attempts.admit("a", ip(HERE), later), again(1));
    }

    #[test]
    fn r16_an_account_of_ones_own_buys_no_guesses_at_others() {
        let start = Instant::now();
        let mut attempts = Attempts::new(AttemptLimits::default());
        let guesses = |attempts: &mut Attempts, now| {
            let names = (0..19).map(|n| format!("name{n}"));
            names
                .filter(|name| attempts.admit(name, ip(HERE), now).is_ok())
                .count()
        };
        let log_in = |attempts: &mut Attempts, now| {
            let admitted = attempts.admit("eve", ip(HERE), now).is_ok();
            if admitted {
                attempts.succeeded("eve", ip(HERE));
            }
            admitted
        };
        let mut looked_at = 0;
        for millisecond in 0..30_000 {
            let now = start + Duration::from_millis(millisecond);
            looked_at += guesses(&mut attempts, now);
            log_in(&mut attempts, now);
        }
        // Twenty, and those after 1, 3, 7 and 15 s: as without an account.
        assert_eq!(looked_at, 24);
        // Whoever guesses no more waits no more, and what was guessed is forgotten however often it logs in.
        let mut now = start + seconds(40);
        for _ in 0..300 * (12 + 20) {
            assert!(log_in(&mut attempts, now) && log_in(&mut attempts, now));
            now += seconds(1);
        }
        assert_eq!(guesses(&mut attempts, now), 19);
    }

    #[test]
    fn r16_fewer_tries_come_of_being_forgotten_than_of_waiting() {
        // So many tries as early as they may be, then this pause, and one more: whether all was forgotten, and how
        // long the tries took.
        let forgets = |limits: AttemptLimits, tries: u32, pause: &dyn Fn(u64) -> u64| {
            let (mut attempts, start) = (Attempts::new(limits), Instant::now());
            let mut now = start;
            for name in 0..tries {
                let name = name.to_string();
                if let Err(wait) = attempts.admit(&name, ip(HERE), now) {
                    now += seconds(wait.seconds);
                    attempts.admit(&name, ip(HERE), now).unwrap();
                }
            }
            now += seconds(pause(now.duration_since(start).as_secs()));
            attempts.admit("another", ip(HERE), now).unwrap();
            attempts
                .addresses
                .get(&Address::of(ip(HERE)))
                .unwrap()
                .wrong
                == 1
        };
        for (free, longest) in [
            (1, 1),
            (5, 300),
            (20, 300),
            (1000, 300),
            (1, 3600),
            (1000, 3600),
        ] {
            let limits = AttemptLimits {
                wrong_per_address: free,
                longest_wait: seconds(longest),
                ..AttemptLimits::default()
            };
            for tries in free..free + 15 {
                let by_waiting = longest * u64::from(tries);
                let pause = |spent: u64| (by_waiting - spent).max(longest);
                assert!(!forgets(limits, tries, &pause), "{tries} of {free}");
                let pause = |_: u64| longest * u64::from(12 + free);
                assert!(forgets(limits, tries, &pause), "{tries} of {free}");
            }
        }
    }

    #[test]
    fn r19_attempts_that_nobody_has_the_time_for_are_not_remembered() {
        let (mut attempts, now) = (Attempts::new(AttemptLimits::default()), Instant::now());
        attempts.admit("a", ip(HERE), now).unwrap();
        for number in 0..30_000u32 {
            let from = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let name = format!("a{number}");
            attempts.admit(&name, from, now).unwrap();
            attempts.withdrawn(&name, from);
        }
        assert_eq!(
            (
                attempts.names.entries.len(),
                attempts.addresses.entries.len()
            ),
            (1, 1)
        );
        assert!(attempts.names.order.capacity() < 1000);
        assert!(attempts.addresses.order.capacity() < 1000);
    }

    #[test]
    fn five_registrations_an_hour_from_an_address() {
        let (mut registrations, start) =
            (Registrations::new(AttemptLimits::default()), Instant::now());
        for count in 0..5 {
            let now = start + seconds(count * 60);
            assert_eq!(registrations.admit(ip(HERE), now), Ok(()));
        }
        let now = start + seconds(300);
        assert_eq!(registrations.admit(ip(HERE), now), again(3300));
        assert_eq!(registrations.admit(ip("192.0.2.2"), now), Ok(()));
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            for _ in 0..100 {
                assert_eq!(registrations.admit(ip(loopback), now), Ok(()));
            }
        }
        let now = start + seconds(3600);
        assert_eq!(registrations.admit(ip(HERE), now), Ok(()));
        assert_eq!(registrations.admit(ip(HERE), now), again(60));
        registrations.withdrawn(ip(HERE));
        assert_eq!(registrations.admit(ip(HERE), now), Ok(()));
        assert_eq!(registrations.admit(ip(HERE), now), again(60));
    }

    #[test]
    fn the_tables_do_not_outgrow_their_bounds_and_forget_the_quietest_first() {
        let now = Instant::now();
        let mut recent = Recent::<u32, u32> {
            capacity: 100,
            ..Recent::default()
        };
        for number in 0..10_000 {
            *recent.touch(number) = number;
            *recent.touch(7) += 1;
            if number % 3 == 0 {
                recent.remove(&number);
            }
            assert!(recent.entries.len() <= 100 && recent.order.len() <= 201);
        }
        assert!(recent.get(&7).is_some(), "it was never quiet");
        assert!(recent.get(&9998).is_some() && recent.get(&9800).is_none());
        let mut attempts = Attempts::new(AttemptLimits::default());
        for number in 0..30_000u32 {
            let from = IpAddr::from(number.to_be_bytes());
            attempts.admit(&format!("a{number}"), from, now).unwrap();
        }
        assert_eq!(attempts.names.entries.len(), MAX_REMEMBERED);
        assert_eq!(attempts.addresses.entries.len(), MAX_REMEMBERED);
    }
}
