//! Owns who was answered a moment ago, so that nobody who asks in a loop, or in another's name, is answered
//! more than once a second. Knows no clock and nothing of what the answers are.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long an asker waits for another answer.
pub const ANSWER_INTERVAL: Duration = Duration::from_secs(1);

/// How many askers are answered in one second: far more than one network segment has people who arrive
/// in the same second, and little enough to remember.
pub const MAX_ASKERS: usize = 1024;

/// Those who were answered within the last second.
#[derive(Debug, Default)]
pub struct Askers {
    /// In the order of their answers, which is that of their release.
    answered: VecDeque<(Instant, IpAddr)>,
    /// The same, to find them by. Its hashes are keyed: whoever forges addresses does not choose them.
    waiting: HashSet<IpAddr>,
}

impl Askers {
    /// Whether this asker is to be answered now; if so, it is remembered that it was.
    pub fn may_answer(&mut self, asker: IpAddr, now: Instant) -> bool {
        while let Some(&(answered, first)) = self.answered.front()
            && now.saturating_duration_since(answered) >= ANSWER_INTERVAL
        {
            self.answered.pop_front();
            self.waiting.remove(&first);
        }
        if self.waiting.len() == MAX_ASKERS || !self.waiting.insert(asker) {
            return false;
        }
        self.answered.push_back((now, asker));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(n: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    #[test]
    fn r48_an_asker_is_answered_once_a_second_and_others_at_once() {
        let (mut askers, start) = (Askers::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(askers.may_answer(ip(1), at(0)));
        assert!(!askers.may_answer(ip(1), at(0)));
        assert!(askers.may_answer(ip(2), at(500)));
        assert!(!askers.may_answer(ip(1), at(999)));
        assert!(askers.may_answer(ip(1), at(1000)));
        assert!(!askers.may_answer(ip(2), at(1499)));
        assert!(askers.may_answer(ip(2), at(1500)));
    }

    #[test]
    fn r48_a_storm_of_forged_askers_takes_no_more_memory() {
        let (mut askers, start) = (Askers::default(), Instant::now());
        let answered = (0..100_000).filter(|&n| askers.may_answer(ip(n), start));
        assert_eq!(answered.count(), MAX_ASKERS);
        assert_eq!(askers.answered.len(), MAX_ASKERS);
        assert!(askers.may_answer(ip(0), start + ANSWER_INTERVAL));
        assert_eq!((askers.answered.len(), askers.waiting.len()), (1, 1));
    }
}
