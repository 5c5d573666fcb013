//! Owns the last lines of a room, for those who come later. Knows nothing of who reads them.

use std::collections::VecDeque;

use super::TimeOfDay;

/// How many lines a room remembers.
pub const HISTORY_LINES: usize = 10;

/// One remembered line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// When it was said.
    pub time: TimeOfDay,
    /// The name it was said under.
    pub from: String,
    /// What was said, harmless already.
    pub text: String,
}

/// The last [`HISTORY_LINES`] lines of one room, oldest first.
#[derive(Debug, Default)]
pub struct History {
    lines: VecDeque<Line>,
}

impl History {
    /// Remembers a line, forgetting the oldest when full. A full history reuses the forgotten line's
    /// memory, so a busy room allocates nothing here.
    pub fn push(&mut self, time: TimeOfDay, from: &str, text: &str) {
        let mut line = if self.lines.len() < HISTORY_LINES {
            Line::default()
        } else {
            self.lines.pop_front().unwrap_or_default()
        };
        line.time = time;
        line.from.clear();
        line.from.push_str(from);
        line.text.clear();
        line.text.push_str(text);
        self.lines.push_back(line);
    }

    /// Oldest first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &Line> {
        self.lines.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_stay_oldest_first() {
        let mut history = History::default();
        assert_eq!(history.lines().len(), 0);
        for n in 0..HISTORY_LINES + 3 {
            history.push(TimeOfDay::default(), "alice", &n.to_string());
        }
        let texts: Vec<&str> = history.lines().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]);
    }
}
