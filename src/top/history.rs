//! Owns which figures are shown, and what each of them was lately. Knows neither a clock nor a screen.

use std::collections::VecDeque;

use super::figures::Figures;
use super::units::Unit;

/// One figure of the list.
pub struct Shown {
    pub name: &'static str,
    pub unit: Unit,
    /// It is there even where there is room for few.
    pub needed: bool,
    pub of: fn(&Figures) -> Option<f64>,
}

/// All of them, in the order in which they stand.
pub const SHOWN: [Shown; 14] = [
    shown("messages in", Unit::PerSecond, true, |f| f.messages),
    shown("deliveries out", Unit::PerSecond, true, |f| f.deliveries),
    shown("sent", Unit::BytesPerSecond, false, |f| f.bytes_sent),
    shown("received", Unit::BytesPerSecond, false, |f| {
        f.bytes_received
    }),
    shown("members", Unit::Count, true, |f| f.members),
    shown("connections", Unit::Count, false, |f| f.connections),
    shown("rooms", Unit::Count, false, |f| f.rooms),
    shown("slowest lag", Unit::Bytes, true, |f| f.lag_bytes),
    shown("to be sent", Unit::Bytes, false, |f| f.output_bytes),
    shown("turn p50", Unit::Seconds, false, |f| f.turn_p50),
    shown("turn p99", Unit::Seconds, true, |f| f.turn_p99),
    shown("processor", Unit::Percent, false, |f| f.cpu_percent),
    shown("helper jobs", Unit::Count, false, |f| f.helper_jobs),
    shown("memory", Unit::Bytes, true, |f| f.memory_bytes),
];

const fn shown(
    name: &'static str,
    unit: Unit,
    needed: bool,
    of: fn(&Figures) -> Option<f64>,
) -> Shown {
    Shown {
        name,
        unit,
        needed,
        of,
    }
}

/// So many values are kept of each: more than a screen is wide.
const KEPT: usize = 512;

/// What each figure was, oldest first; `None` where it was not known.
#[derive(Debug, Default)]
pub struct History {
    /// As many as [`SHOWN`], once there is one.
    tracks: Vec<VecDeque<Option<f64>>>,
}

impl History {
    pub fn push(&mut self, figures: &Figures) {
        self.extend(|shown| (shown.of)(figures));
    }

    /// Nothing is known of this time.
    pub fn push_gap(&mut self) {
        self.extend(|_| None);
    }

    /// The figures with what they were.
    pub fn tracks(&self) -> impl Iterator<Item = (&'static Shown, Track<'_>)> {
        let tracks = self.tracks.iter().map(Some).chain(std::iter::repeat(None));
        SHOWN.iter().zip(tracks.map(Track))
    }

    fn extend(&mut self, value: impl Fn(&Shown) -> Option<f64>) {
        self.tracks.resize_with(SHOWN.len(), VecDeque::new);
        for (shown, track) in SHOWN.iter().zip(&mut self.tracks) {
            if track.len() == KEPT {
                track.pop_front();
            }
            track.push_back(value(shown));
        }
    }
}

/// What one figure was.
#[derive(Clone, Copy)]
pub struct Track<'a>(Option<&'a VecDeque<Option<f64>>>);

impl Track<'_> {
    pub fn now(&self) -> Option<f64> {
        self.values().next()?
    }

    /// Of so many last ones.
    pub fn highest(&self, count: usize) -> Option<f64> {
        self.values().take(count).flatten().reduce(f64::max)
    }

    /// The last values as columns of eight heights from nothing to the highest of them, the latest at the right.
    pub fn sparkline(&self, width: usize) -> String {
        let top = self.highest(width).unwrap_or(0.0);
        let known = self.values().take(width).count();
        let columns = self.values().take(known).map(|value| column(value, top));
        let mut line: Vec<char> = columns.collect();
        line.resize(width, ' ');
        line.into_iter().rev().collect()
    }

    /// The latest first.
    fn values(&self) -> impl Iterator<Item = Option<f64>> {
        self.0
            .into_iter()
            .flat_map(|track| track.iter().rev().copied())
    }
}

const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

fn column(value: Option<f64>, top: f64) -> char {
    let Some(value) = value else {
        return ' ';
    };
    let height = match top > 0.0 {
        true => (value / top * 7.0).round() as usize,
        false => 0,
    };
    COLUMNS.get(height).copied().unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(values: &[Option<f64>]) -> History {
        let mut history = History::default();
        for &messages in values {
            history.push(&Figures {
                messages,
                ..Figures::default()
            });
        }
        history
    }

    #[test]
    fn a_sparkline_ends_with_the_latest_and_is_as_high_as_the_highest_in_it() {
        let table: &[(&[Option<f64>], usize, &str)] = &[
            (&[], 3, "   "),
            (&[Some(0.0), Some(0.0)], 3, " ▁▁"),
            (&[Some(1.0), Some(7.0), Some(3.0)], 3, "▂█▄"),
            (&[Some(100.0), Some(7.0), Some(0.0)], 2, "█▁"),
            (&[Some(4.0), None, Some(4.0)], 4, " █ █"),
            (&[Some(4.0)], 0, ""),
        ];
        for (values, width, line) in table {
            let history = history(values);
            let (_, track) = history.tracks().next().unwrap();
            assert_eq!(track.sparkline(*width), *line, "{values:?}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut history = history(&[Some(9.0)]);
        for _ in 0..KEPT {
            history.push_gap();
        }
        let (shown, track) = history.tracks().next().unwrap();
        assert_eq!(shown.name, "messages in");
        assert_eq!(track.now(), None);
        assert_eq!(track.highest(usize::MAX), None);
        assert_eq!(track.values().count(), KEPT);
        assert_eq!(history.tracks().count(), SHOWN.len());
    }
}
