//! Owns what we said and have not heard back from the network. Knows no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an echo may take. It comes from our own kernel as a rule; later than this it was lost.
pub const ECHO_TIMEOUT: Duration = Duration::from_secs(2);

/// How many texts may be on their way.
const MAX_UNHEARD: usize = 1024;

/// Texts on their way back to us, oldest first, and until when they are waited for.
#[derive(Debug, Default)]
pub struct Unheard {
    texts: VecDeque<(String, Instant)>,
}

impl Unheard {
    /// This text was sent.
    pub fn sent(&mut self, text: &str, now: Instant) {
        if self.texts.len() == MAX_UNHEARD {
            self.texts.pop_front();
        }
        self.texts.push_back((text.to_string(), now + ECHO_TIMEOUT));
    }

    /// This text came under our name: whether it was on its way, as it is then no more.
    pub fn came(&mut self, text: &str) -> bool {
        let place = self.texts.iter().position(|(other, _)| other == text);
        place.and_then(|place| self.texts.remove(place)).is_some()
    }

    /// The oldest text, if it is lost; it is waited for no more.
    pub fn take_lost(&mut self, now: Instant) -> Option<String> {
        self.texts.front().filter(|(_, lost)| *lost <= now)?;
        self.texts.pop_front().map(|(text, _)| text)
    }

    /// How many texts are on their way.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// When the oldest is lost.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.texts.front().map(|(_, lost)| *lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_once_in_any_order() {
        let (mut unheard, now) = (Unheard::default(), Instant::now());
        for text in ["a", "b", "a"] {
            unheard.sent(text, now);
        }
        let came = ["b", "b", "a", "a", "a", "c"].map(|text| unheard.came(text));
        assert_eq!(came, [true, false, true, true, false, false]);
        assert_eq!(unheard.len(), 0);
    }

    #[test]
    fn what_is_lost_is_forgotten_and_there_is_an_end_to_it() {
        let (mut unheard, start) = (Unheard::default(), Instant::now());
        unheard.sent("a", start);
        unheard.sent("b", start + Duration::from_secs(1));
        assert_eq!(unheard.next_deadline(), Some(start + ECHO_TIMEOUT));
        let lost = start + ECHO_TIMEOUT;
        assert_eq!(unheard.take_lost(lost).as_deref(), Some("a"));
        assert_eq!(unheard.take_lost(lost), None);
        assert!(!unheard.came("a") && unheard.came("b"));
        (0..5000).for_each(|_| unheard.sent("x", start));
        assert_eq!(unheard.len(), MAX_UNHEARD);
    }
}
