//! Owns a line as one peer holds it between hearing and telling it, and what two memories have in common.
//! Knows no datagrams and no clock.

use std::collections::VecDeque;

use super::frame::HistoryLine;
use crate::chat::{HISTORY_LINES, TimeOfDay, harmless};
use crate::protocol::Told;

/// Something said, as it came.
#[derive(Clone, Debug)]
pub struct Said {
    pub time: TimeOfDay,
    pub from: String,
    pub text: String,
}

/// A line of a 371.
#[derive(Debug)]
pub enum Past {
    Said(Said),
    /// In a form that nobody can take apart.
    Other(String),
}

impl Said {
    pub fn new(time: TimeOfDay, from: &str, text: &str) -> Said {
        Said {
            time,
            from: from.to_string(),
            text: text.to_string(),
        }
    }

    /// As the person is told it.
    pub fn told(self, history: bool) -> Told {
        Told::Message {
            from: self.from,
            text: self.text,
            time: Some(self.time.to_string()),
            history,
        }
    }
}

impl Past {
    pub fn new(line: &str) -> Past {
        match HistoryLine::parse(line) {
            Some(HistoryLine { time, name, text }) => Past::Said(Said::new(time, name, text)),
            None => Past::Other(line.to_string()),
        }
    }

    /// Whether this line is what was said there. Each peer has its own clock, and some make texts
    /// harmless before they tell them.
    pub fn is(&self, said: &Said) -> bool {
        match self {
            Past::Said(past) => {
                past.from == said.from && harmless(&past.text) == harmless(&said.text)
            }
            Past::Other(_) => false,
        }
    }
}

/// The lines of a 371 that count: the last ten. Some peers send all they have.
pub fn past(lines: &[&str]) -> Vec<Past> {
    let rest = lines.len().saturating_sub(HISTORY_LINES);
    lines
        .iter()
        .skip(rest)
        .map(|line| Past::new(line))
        .collect()
}

/// Takes out what is also in `others`, each of those once, the last first: what we heard shortly before a
/// peer told us its history is at the end of that.
pub fn remove_common<T, U>(items: &mut VecDeque<T>, others: &[U], same: impl Fn(&T, &U) -> bool) {
    let mut others: Vec<&U> = others.iter().collect();
    for at in (0..items.len()).rev() {
        let Some(item) = items.get(at) else {
            continue;
        };
        if let Some(found) = others.iter().rposition(|other| same(item, other)) {
            others.remove(found);
            items.remove(at);
        }
    }
}
