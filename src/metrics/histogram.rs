//! Owns a histogram of times: how many were how long at the most. To record one costs a comparison and two additions
//! where it was short, and allocates nothing.

use std::time::Duration;

/// How long something took, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// One for each bound, and one for what was longer than all.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

/// Nanoseconds, and as Prometheus is told: from what a turn with little to do takes up to a second, which would be a
/// server that stands still.
const BOUNDS: [(u64, &str); 14] = [
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
];

impl Histogram {
    /// One more.
    pub fn record(&mut self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let fits = |(bound, _): &(u64, &str)| nanoseconds <= *bound;
        let at = BOUNDS.iter().position(fits).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(took);
    }

    /// How many took so long at the most, by the bound in seconds as it is written; the last one is all.
    pub fn cumulative(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        let mut sum = 0;
        bounds.zip(self.counts).map(move |(bound, count)| {
            sum += count;
            (bound, sum)
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they took together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_counts_what_took_so_long_at_the_most() {
        let mut histogram = Histogram::default();
        for nanoseconds in [0, 50_000, 50_001, 1_000_000_000, 1_000_000_001] {
            histogram.record(Duration::from_nanos(nanoseconds));
        }
        histogram.record(Duration::MAX);
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!(cumulative[..2], [("0.00005", 2), ("0.0001", 3)]);
        assert_eq!(cumulative[12..], [("0.5", 3), ("1", 4), ("+Inf", 6)]);
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.sum(), Duration::MAX);
    }

    #[test]
    fn bounds_are_written_as_they_are() {
        assert!(BOUNDS.is_sorted());
        for (nanoseconds, text) in BOUNDS {
            let seconds: f64 = text.parse().unwrap();
            assert_eq!((seconds * 1e9).round(), nanoseconds as f64, "{text}");
        }
    }
}
