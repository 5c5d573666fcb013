//! Owns how often something may come of what one member does, or what is done in its name.
//! Knows nothing of what that is, and the time only as it is told.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::time::{Duration, Instant};

use crate::chat::Name;

/// How many members are remembered. While that many are, nobody else gets a turn: a datagram's source can be
/// forged, so a crowd must not come to more than that either.
pub const MAX_REMEMBERED: usize = 64;

/// Gives each name one turn in a span of time.
pub struct Pace {
    span: Duration,
    keys: RandomState,
    /// Names, hashed since they may be long, and when they had their turn: the oldest first.
    turns: VecDeque<(u64, Instant)>,
}

impl Pace {
    /// Nobody has had a turn yet.
    pub fn new(span: Duration) -> Pace {
        Pace {
            span,
            keys: RandomState::new(),
            turns: VecDeque::new(),
        }
    }

    /// Whether it is this name's turn, which it then has had.
    pub fn take_turn(&mut self, name: &str, now: Instant) -> bool {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= self.span;
        while self.turns.front().is_some_and(|(_, at)| is_over(*at)) {
            self.turns.pop_front();
        }
        let name = Name::hash_of(name, &self.keys);
        let is_free = self.turns.len() < MAX_REMEMBERED;
        let is_its_turn = is_free && self.turns.iter().all(|(other, _)| *other != name);
        if is_its_turn {
            self.turns.push_back((name, now));
        }
        is_its_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_turn_in_a_span_and_a_crowd_no_more_than_is_remembered() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(Duration::from_secs(2));
        assert!(pace.take_turn("bob", start));
        assert!(pace.take_turn("eve", after(1)));
        for name in ["bob", "BOB", "eve"] {
            assert!(!pace.take_turn(name, after(1999)), "{name}");
        }
        assert!(pace.take_turn("Bob", after(2000)));
        assert!(!pace.take_turn("eve", after(2000)));

        let crowd = (0..100).filter(|number| pace.take_turn(&number.to_string(), after(9000)));
        assert_eq!(crowd.count(), MAX_REMEMBERED);
        assert_eq!(pace.turns.len(), MAX_REMEMBERED);
        assert!(pace.take_turn("100", after(11_000)));
        assert_eq!(pace.turns.len(), 1);
    }
}
