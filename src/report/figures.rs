//! Owns the figures that runs are compared by, their medians and ratios, and how a number is written. Knows
//! nothing of where they stand.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::Outcome;

/// One run's figures, the medians of several, or the ratios of two. What could not be measured is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub deliveries_per_s: Option<f64>,
    /// The server's processor time.
    pub cpu_us_per_delivery: Option<f64>,
    pub latency_ms: Latency,
    /// What a member that is in costs beside what the server took before.
    pub memory_bytes_per_member: Option<f64>,
    /// The server's processor time.
    pub cpu_us_per_login: Option<f64>,
}

/// How late receipts were: half of them, all but one in a hundred, all but one in a thousand, all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub p99_9: Option<f64>,
    pub max: Option<f64>,
}

impl Figures {
    pub fn of(outcome: &Outcome) -> Figures {
        let deliveries = &outcome.deliveries;
        let received = deliveries.received as f64;
        let members = outcome.logins.members as f64;
        let memory = outcome.cost.map(|cost| {
            // A server that gave memory back meanwhile is no debtor.
            cost.memory_idle.saturating_sub(cost.memory_before) as f64
        });
        Figures {
            deliveries_per_s: quotient(received, deliveries.elapsed.as_secs_f64()),
            cpu_us_per_delivery: outcome
                .cost
                .and_then(|cost| quotient(micros(cost.cpu), received)),
            latency_ms: Latency::of(&outcome.lateness.each),
            memory_bytes_per_member: memory.and_then(|memory| quotient(memory, members)),
            cpu_us_per_login: outcome
                .logins
                .cpu
                .and_then(|cpu| quotient(micros(cpu), members)),
        }
    }

    /// Each figure's median, of those that have it.
    pub fn median(all: &[Figures]) -> Figures {
        Figures::each(|field| median(all.iter().filter_map(field).collect()))
    }

    /// Each figure of one by the same of the other.
    pub fn ratio(of: &Figures, by: &Figures) -> Figures {
        Figures::each(|field| quotient(field(of)?, field(by)?))
    }

    /// Figures made field by field.
    fn each(make: impl Fn(&dyn Fn(&Figures) -> Option<f64>) -> Option<f64>) -> Figures {
        Figures {
            deliveries_per_s: make(&|f| f.deliveries_per_s),
            cpu_us_per_delivery: make(&|f| f.cpu_us_per_delivery),
            latency_ms: Latency {
                p50: make(&|f| f.latency_ms.p50),
                p99: make(&|f| f.latency_ms.p99),
                p99_9: make(&|f| f.latency_ms.p99_9),
                max: make(&|f| f.latency_ms.max),
            },
            memory_bytes_per_member: make(&|f| f.memory_bytes_per_member),
            cpu_us_per_login: make(&|f| f.cpu_us_per_login),
        }
    }
}

impl Latency {
    fn of(lateness: &Histogram<u64>) -> Latency {
        if lateness.is_empty() {
            return Latency::default();
        }
        let at = |quantile| Some(millis(lateness.value_at_quantile(quantile)));
        Latency {
            p50: at(0.5),
            p99: at(0.99),
            p99_9: at(0.999),
            max: Some(millis(lateness.max())),
        }
    }
}

/// Nanoseconds in milliseconds.
pub(super) fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn quotient(of: f64, by: f64) -> Option<f64> {
    (by > 0.0).then(|| of / by)
}

/// The one in the middle, or between the two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    match values.len() % 2 {
        0 => {
            let lower = values.get(values.len() / 2 - 1)?;
            Some((lower + upper) / 2.0)
        }
        _ => Some(upper),
    }
}

/// A number with three digits that mean something: `0.0185`, `2.31`, `431`, `12300`.
pub fn three_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".into();
    }
    // What is rounded up to the next power of ten has a digit less behind the point.
    let scale = |value: f64| 2 - value.abs().log10().floor() as i32;
    let decimals = scale(value).clamp(-300, 12);
    let unit = 10f64.powi(decimals);
    let rounded = (value * unit).round() / unit;
    let decimals = scale(rounded).clamp(0, 12) as usize;
    format!("{rounded:.decimals$}")
}

/// The same with a `k`, `M` or `G` for thousands.
pub fn with_thousands(value: f64) -> String {
    for (unit, letter) in [(1e9, " G"), (1e6, " M"), (1e3, " k")] {
        // What three digits would round up to a thousand belongs to the next letter.
        if value >= unit * 0.9995 {
            return three_digits(value / unit) + letter;
        }
    }
    three_digits(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_mean_something() {
        let table = [
            (0.0, "0"),
            (0.018_54, "0.0185"),
            (0.999_6, "1.00"),
            (2.309_9, "2.31"),
            (9.999, "10.0"),
            (431.4, "431"),
            (12_345.0, "12300"),
            (f64::NAN, "0"),
        ];
        for (value, text) in table {
            assert_eq!(three_digits(value), text, "{value}");
        }
        let table = [
            (17.0, "17.0"),
            (999.4, "999"),
            (999.9, "1.00 k"),
            (431_000.0, "431 k"),
            (6_612_345.0, "6.61 M"),
            (54_200_000.0, "54.2 M"),
            (1.5e9, "1.50 G"),
        ];
        for (value, text) in table {
            assert_eq!(with_thousands(value), text, "{value}");
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn nothing_received_is_nothing_to_divide_by() {
        let mut outcome = crate::report::rounds::tests::outcome(10, 0, 1);
        outcome.lateness.each.reset();
        let figures = Figures::of(&outcome);
        assert_eq!(figures.cpu_us_per_delivery, None);
        assert_eq!(figures.latency_ms, Latency::default());
        assert_eq!(figures.deliveries_per_s, Some(0.0));
    }
}
