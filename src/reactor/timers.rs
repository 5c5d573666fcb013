//! Owns the timers: a hierarchical wheel in which arming and cancelling cost the same for one timer
//! and for a hundred thousand. Knows neither the clock (time comes in as an argument) nor what a
//! timer is for.
//! A timer never fires before its deadline, and fires in the first [`Timers::expire`] that comes a tick
//! or more after it.
//!
//! ```text
//!            now
//!             │            64 slots of one tick (10 ms)
//!  level 0    ├┬┬┬┬┬┬┬─ … ─┤ 0.64 s
//!  level 1    ├───────┬─ … ──────────────┤ 41 s        64 slots of 64 ticks
//!  level 2    ├───────────────── … ────────────┤ 44 min
//!  …
//!  level 5    ├───────────────────────── … ───────┤ 21 years
//! ```
//!
//! A timer lies in the lowest level in which its slot is fewer than 64 slots ahead. When time
//! reaches the start of a slot of a higher level, its timers *cascade*: they are put in again and
//! land lower; a slot of level 0 is due. So a timer is moved at most five times in its life, and most
//! (idle, handshake, retry) are cancelled before they are moved once. One bit per slot says whether
//! it holds anything, so that empty ones cost nothing, however far time jumps.

use std::array;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Names an armed timer. Once it has fired or was cancelled the id is dead and its owner must forget
/// it, for the next timer gets the same: it is small (an `Option<TimerId>` is four bytes, and every
/// connection has one) because it carries no generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId(NonZeroU32);

/// Timers that bring back a `T` (whom it concerns) when they are due.
///
/// Driving it: wait until [`next_deadline`](Timers::next_deadline) at most, then
/// [`expire`](Timers::expire).
#[derive(Debug)]
pub struct Timers<T> {
    origin: Instant,
    /// Ticks since the origin up to which everything was fired.
    tick: u64,
    levels: [Level; LEVELS],
    entries: Vec<Entry<T>>,
    /// The first of the vacant entries, which are linked by `next`.
    vacant: u32,
}

/// The grain of time. Nothing in a chat is timed finer than a person notices.
const TICK: Duration = Duration::from_millis(10);

const NANOSECOND: Duration = Duration::from_nanos(1);

/// 64^6 ticks are 21 years; a deadline beyond that waits in the last slot and is put in again.
const LEVELS: usize = 6;

/// Slots per level: what one word has bits.
const SLOTS: u64 = 64;

/// A slot of level `n` is `1 << n * SLOT_BITS` ticks long.
const SLOT_BITS: usize = 6;

/// No entry.
const NIL: u32 = u32::MAX;

/// The entries grow by this many: doubling would waste as much as it holds.
const CHUNK: usize = 256;

#[derive(Debug)]
struct Level {
    /// Bit `n`: slot `n` is not empty.
    occupied: u64,
    /// The first entry of each slot, or `NIL`.
    heads: [u32; SLOTS as usize],
}

#[derive(Debug)]
struct Entry<T> {
    /// The tick at which it is due, even where it lies in an earlier slot.
    due: u64,
    next: u32,
    prev: u32,
    place: Option<Place>,
    what: T,
}

/// A slot of a level; an entry that is in none is vacant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    level: u8,
    slot: u8,
}

impl<T: Copy> Timers<T> {
    /// No timers. `now` is where ticks are counted from.
    pub fn new(now: Instant) -> Timers<T> {
        Timers {
            origin: now,
            tick: 0,
            levels: array::from_fn(|_| Level {
                occupied: 0,
                heads: [NIL; SLOTS as usize],
            }),
            entries: Vec::new(),
            vacant: NIL,
        }
    }

    /// Has `what` brought back at `deadline`; one that has passed is due at the next
    /// [`expire`](Timers::expire).
    pub fn arm(&mut self, deadline: Instant, what: T) -> TimerId {
        let due = ticks(
            deadline.saturating_duration_since(self.origin),
            TICK - NANOSECOND,
        );
        let index = self.take_entry(due, what);
        self.link(index);
        TimerId::of(index)
    }

    /// The timer of that id will not fire.
    ///
    /// # Panics
    ///
    /// In debug builds, if the id is dead and nothing was armed since. (If something was, that is
    /// cancelled instead: forget dead ids.)
    pub fn cancel(&mut self, id: TimerId) {
        let index = id.index();
        debug_assert!(self.entries[index as usize].place.is_some(), "dead {id:?}");
        if self.entries[index as usize].place.is_some() {
            self.unlink(index);
            self.release(index);
        }
    }

    /// When the timer of that id is due, in whole ticks; `None` if the id is dead and nothing was armed since. (If
    /// something was, that is meant: forget dead ids.)
    pub fn deadline(&self, id: TimerId) -> Option<Instant> {
        let entry = self.entries.get(id.index() as usize)?;
        entry.place?;
        Some(self.origin + Duration::from_millis(entry.due * TICK.as_millis() as u64))
    }

    /// When [`expire`](Timers::expire) wants to be called: never later than the next timer is due,
    /// and for a far one sometimes earlier, to move it to a finer level. `None` without timers.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (tick, _) = self.next_slot()?;
        Some(self.origin + Duration::from_millis(tick * TICK.as_millis() as u64))
    }

    /// How many are armed.
    pub fn armed(&self) -> usize {
        let places = self.entries.iter();
        places.filter(|entry| entry.place.is_some()).count()
    }

    /// Appends what is due at `now` to `due`, tick by tick; within a tick in no order. Their ids are
    /// dead. A `now` before an earlier one changes nothing.
    pub fn expire(&mut self, now: Instant, due: &mut Vec<T>) {
        let target = ticks(now.saturating_duration_since(self.origin), Duration::ZERO);
        while let Some((tick, place)) = self.next_slot()
            && tick <= target
        {
            self.tick = tick;
            let mut index = self.take_slot(place);
            while index != NIL {
                let entry = &self.entries[index as usize];
                let next = entry.next;
                if place.level == 0 {
                    due.push(entry.what);
                    self.release(index);
                } else {
                    self.link(index);
                }
                index = next;
            }
        }
        self.tick = self.tick.max(target);
    }

    /// The next slot that is not empty, and the tick at which it starts. A higher level comes before
    /// a lower one of the same start, for what it holds may belong into that very slot.
    fn next_slot(&self) -> Option<(u64, Place)> {
        let mut next: Option<(u64, Place)> = None;
        for (number, level) in self.levels.iter().enumerate().rev() {
            if level.occupied == 0 {
                continue;
            }
            let shift = number * SLOT_BITS;
            let current = self.tick >> shift;
            let ahead = level.occupied.rotate_right((current % SLOTS) as u32);
            let slot = current + u64::from(ahead.trailing_zeros());
            let tick = slot << shift;
            if next.is_none_or(|(earliest, _)| tick < earliest) {
                let place = Place {
                    level: number as u8,
                    slot: (slot % SLOTS) as u8,
                };
                next = Some((tick, place));
            }
        }
        next
    }

    /// Where a timer due at that tick belongs now.
    fn place(&self, due: u64) -> Place {
        let due = due.max(self.tick);
        for level in 0..LEVELS {
            let shift = level * SLOT_BITS;
            let slot = due >> shift;
            if slot - (self.tick >> shift) < SLOTS {
                return Place {
                    level: level as u8,
                    slot: (slot % SLOTS) as u8,
                };
            }
        }
        let top = LEVELS - 1;
        let furthest = (self.tick >> (top * SLOT_BITS)) + SLOTS - 1;
        Place {
            level: top as u8,
            slot: (furthest % SLOTS) as u8,
        }
    }

    /// Puts an entry at the front of the slot where it belongs now.
    fn link(&mut self, index: u32) {
        let place = self.place(self.entries[index as usize].due);
        let level = &mut self.levels[place.level as usize];
        level.occupied |= 1 << place.slot;
        let head = &mut level.heads[place.slot as usize];
        let next = std::mem::replace(head, index);
        if next != NIL {
            self.entries[next as usize].prev = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.prev, entry.next, entry.place) = (NIL, next, Some(place));
    }

    /// Takes an entry out of its slot, wherever in it it is.
    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let (prev, next) = (entry.prev, entry.next);
        let Some(place) = entry.place.take() else {
            return;
        };
        if next != NIL {
            self.entries[next as usize].prev = prev;
        }
        if prev != NIL {
            self.entries[prev as usize].next = next;
            return;
        }
        let level = &mut self.levels[place.level as usize];
        level.heads[place.slot as usize] = next;
        if next == NIL {
            level.occupied &= !(1 << place.slot);
        }
    }

    /// Empties a slot and returns its first entry; the others hang on it by `next`.
    fn take_slot(&mut self, place: Place) -> u32 {
        let level = &mut self.levels[place.level as usize];
        level.occupied &= !(1 << place.slot);
        std::mem::replace(&mut level.heads[place.slot as usize], NIL)
    }

    /// A vacant entry, filled.
    fn take_entry(&mut self, due: u64, what: T) -> u32 {
        let filled = Entry {
            due,
            next: NIL,
            prev: NIL,
            place: None,
            what,
        };
        let index = self.vacant;
        if index != NIL {
            let entry = &mut self.entries[index as usize];
            self.vacant = entry.next;
            *entry = filled;
            return index;
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(CHUNK);
        }
        let index = u32::try_from(self.entries.len())
            .ok()
            .filter(|&index| index != NIL)
            .expect("invariant: fewer than 2^32 - 1 timers, a few per descriptor");
        self.entries.push(filled);
        index
    }

    /// Makes an entry that is in no slot vacant.
    fn release(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.place = None;
        entry.next = self.vacant;
        self.vacant = index;
    }
}

impl TimerId {
    fn of(index: u32) -> TimerId {
        TimerId(NonZeroU32::MIN.saturating_add(index))
    }

    fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// Whole ticks in `since + more`: with `more` just short of a tick, rounded up.
fn ticks(since: Duration, more: Duration) -> u64 {
    let since = since.saturating_add(more);
    let per_second = Duration::from_secs(1).as_millis() / TICK.as_millis();
    since
        .as_secs()
        .saturating_mul(per_second as u64)
        .saturating_add(u64::from(since.subsec_millis()) / TICK.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn expired<T: Copy>(timers: &mut Timers<T>, now: Instant) -> Vec<T> {
        let mut due = Vec::new();
        timers.expire(now, &mut due);
        due
    }

    #[test]
    fn an_optional_id_is_four_bytes() {
        assert_eq!(size_of::<Option<TimerId>>(), 4);
    }

    #[test]
    fn a_timer_fires_once_and_not_before_its_deadline() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        assert_eq!(timers.next_deadline(), None);
        let deadline = start + Duration::from_micros(25_001);
        let id = timers.arm(deadline, 'a');
        assert_eq!(timers.next_deadline(), Some(start + 3 * TICK));
        assert_eq!(timers.deadline(id), Some(start + 3 * TICK));
        assert_eq!(expired(&mut timers, deadline - NANOSECOND), []);
        assert_eq!(expired(&mut timers, start + 3 * TICK - NANOSECOND), []);
        assert_eq!(expired(&mut timers, start + 3 * TICK), ['a']);
        assert_eq!(expired(&mut timers, start + DAY), []);
        assert_eq!(timers.next_deadline(), None);
        assert_eq!(timers.deadline(id), None);
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_once() {
        let start = Instant::now();
        let mut timers = Timers::new(start + SECOND);
        let now = start + 2 * SECOND;
        assert_eq!(expired(&mut timers, now), []);
        timers.arm(start, 'a');
        timers.arm(now, 'b');
        assert!(timers.next_deadline().is_some_and(|d| d <= now));
        assert_eq!(expired(&mut timers, now), ['b', 'a']);
    }

    #[test]
    fn a_cancelled_timer_leaves_its_neighbours() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let ids = ['a', 'b', 'c', 'd'].map(|what| timers.arm(start + SECOND, what));
        timers.cancel(ids[1]);
        timers.cancel(ids[3]);
        let reused = timers.arm(start + 2 * SECOND, 'e');
        assert_eq!(reused, ids[3], "entries are used again");
        let mut due = expired(&mut timers, start + SECOND + TICK);
        due.sort_unstable();
        assert_eq!(due, ['a', 'c']);
        timers.cancel(reused);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "dead TimerId")]
    fn a_dead_id_is_noticed() {
        let mut timers = Timers::new(Instant::now());
        let id = timers.arm(Instant::now(), ());
        timers.cancel(id);
        timers.cancel(id);
    }

    #[test]
    fn beyond_the_last_level_a_timer_is_put_in_again() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let deadline = start + 50 * 365 * DAY;
        timers.arm(deadline, 'a');
        timers.arm(start + Duration::from_secs(u64::MAX >> 2), 'z');
        let mut wakes = 0;
        while let Some(next) = timers.next_deadline()
            && next <= deadline
        {
            wakes += 1;
            assert!(wakes < 20, "the way to a far deadline is short");
            let due = expired(&mut timers, next);
            assert_eq!(due.is_empty(), next < deadline);
        }
        assert!(expired(&mut timers, deadline + 50 * 365 * DAY).is_empty());
    }

    #[test]
    fn a_jump_over_many_timers_brings_each_in_its_tick() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let mut deadline = start;
        for number in 0..1000 {
            deadline += Duration::from_millis(10 + 60 * number);
            timers.arm(deadline, number);
        }
        let due = expired(&mut timers, deadline);
        assert!(due.iter().copied().eq(0..1000));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arm {
            after: Duration,
        },
        Cancel(Index),
        Advance {
            by: Duration,
        },
        /// To what `next_deadline` says, as the loop does.
        AdvanceToNext,
    }

    /// From nanoseconds to seventy years, each order of magnitude as likely.
    fn any_duration() -> impl Strategy<Value = Duration> {
        (0u32..62, any::<u64>())
            .prop_map(|(bits, random)| Duration::from_nanos(random & ((1 << bits) - 1)))
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any_duration().prop_map(|after| Step::Arm { after }),
            2 => any::<Index>().prop_map(Step::Cancel),
            2 => any_duration().prop_map(|by| Step::Advance { by }),
            2 => Just(Step::AdvanceToNext),
        ]
    }

    /// What should be armed, by a number that is never used again.
    #[derive(Default)]
    struct Model {
        armed: BTreeMap<usize, (Instant, TimerId)>,
        numbers: usize,
    }

    impl Model {
        fn apply(&mut self, step: Step, timers: &mut Timers<usize>, now: &mut Instant) {
            match step {
                Step::Arm { after } => {
                    let deadline = *now + after;
                    let id = timers.arm(deadline, self.numbers);
                    self.armed.insert(self.numbers, (deadline, id));
                    self.numbers += 1;
                }
                Step::Cancel(index) => {
                    let Some(nth) = self.armed.len().checked_sub(1) else {
                        return;
                    };
                    let nth = index.index(nth + 1);
                    let number = *self.armed.keys().nth(nth).unwrap();
                    timers.cancel(self.armed.remove(&number).unwrap().1);
                }
                Step::Advance { by } => {
                    *now += by;
                    self.expire(timers, *now);
                }
                Step::AdvanceToNext => {
                    *now = timers.next_deadline().map_or(*now, |next| next.max(*now));
                    self.expire(timers, *now);
                }
            }
        }

        fn expire(&mut self, timers: &mut Timers<usize>, now: Instant) {
            for number in expired(timers, now) {
                let (deadline, _) = self
                    .armed
                    .remove(&number)
                    .expect("fired twice or cancelled");
                assert!(deadline <= now, "early");
            }
            for (deadline, _) in self.armed.values() {
                assert!(now < *deadline + TICK, "late or lost");
            }
            assert!(
                timers.next_deadline().is_none_or(|next| next > now),
                "no progress"
            );
        }

        fn check_next_deadline(&self, timers: &Timers<usize>) {
            let first = self.armed.values().map(|(deadline, _)| *deadline).min();
            match (timers.next_deadline(), first) {
                (None, None) => {}
                (Some(next), Some(first)) => assert!(next < first + TICK, "would sleep too long"),
                (next, first) => panic!("{next:?} with {first:?} armed"),
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_an_ordered_map(steps in vec(any_step(), 1..200)) {
            let start = Instant::now();
            let mut now = start;
            let mut timers = Timers::new(start);
            let mut model = Model::default();
            for step in steps {
                model.apply(step, &mut timers, &mut now);
                model.check_next_deadline(&timers);
            }
            let end = model.armed.values().map(|(deadline, _)| *deadline).max();
            model.expire(&mut timers, end.unwrap_or(now).max(now) + TICK);
            prop_assert!(model.armed.is_empty());
            prop_assert_eq!(timers.next_deadline(), None);
        }
    }
}
