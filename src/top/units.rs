//! Owns how a figure is written: three digits that mean something, with their unit. Knows nothing of which it is.

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole things: members, rooms.
    Count,
    /// Things a second.
    PerSecond,
    Bytes,
    BytesPerSecond,
    Seconds,
    /// Hundredths of one processor.
    Percent,
}

/// What is not known is a dash.
pub fn write(value: Option<f64>, unit: Unit) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return "-".to_owned();
    };
    match unit {
        Unit::Count => with_prefix(value, ""),
        Unit::PerSecond => with_prefix(value, "") + "/s",
        Unit::Bytes => with_prefix(value, "B"),
        Unit::BytesPerSecond => with_prefix(value, "B") + "/s",
        Unit::Seconds if value < 999.5e-6 => three_digits(value * 1e6) + " us",
        Unit::Seconds if value < 0.9995 => three_digits(value * 1e3) + " ms",
        Unit::Seconds => three_digits(value) + " s",
        Unit::Percent => three_digits(value) + " %",
    }
}

/// A time that has passed, in its two biggest units.
pub fn write_age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

/// `1.23 kB`, `12`, `431 k`.
fn with_prefix(mut value: f64, unit: &str) -> String {
    let mut prefixes = ["", "k", "M", "G", "T"].into_iter().peekable();
    let mut prefix = prefixes.next().unwrap_or_default();
    // What three digits would round up to a thousand belongs to the next one.
    while value >= 999.5
        && let Some(next) = prefixes.next()
    {
        value /= 1000.0;
        prefix = next;
    }
    let gap = match (prefix, unit) {
        ("", "") => "",
        _ => " ",
    };
    match prefix {
        // Whole things are whole.
        "" if value.fract() == 0.0 => format!("{value}{gap}{unit}"),
        _ => format!("{}{gap}{prefix}{unit}", three_digits(value)),
    }
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_their_unit() {
        let table = [
            (0.0, Unit::Count, "0"),
            (12.0, Unit::Count, "12"),
            (999.0, Unit::Count, "999"),
            (999.7, Unit::PerSecond, "1.00 k/s"),
            (10_000.0, Unit::Count, "10.0 k"),
            (12_345.0, Unit::Count, "12.3 k"),
            (431_234.0, Unit::PerSecond, "431 k/s"),
            (0.25, Unit::PerSecond, "0.25/s"),
            (512.0, Unit::Bytes, "512 B"),
            (4_100_096.0, Unit::Bytes, "4.10 MB"),
            (1.5e9, Unit::BytesPerSecond, "1.50 GB/s"),
            (1e16, Unit::Bytes, "10000 TB"),
            (0.000_012_34, Unit::Seconds, "12.3 us"),
            (0.002_5, Unit::Seconds, "2.50 ms"),
            (0.999_9, Unit::Seconds, "1.00 s"),
            (6.98, Unit::Percent, "6.98 %"),
            (f64::NAN, Unit::Count, "-"),
            (f64::INFINITY, Unit::Bytes, "-"),
        ];
        for (value, unit, text) in table {
            assert_eq!(write(Some(value), unit), text, "{value} {unit:?}");
        }
        assert_eq!(write(None, Unit::Bytes), "-");
    }

    #[test]
    fn an_age_has_its_two_biggest_units() {
        let table = [
            (-3.0, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min 0 s"),
            (3_725.0, "1 h 2 min"),
            (100_000.0, "1 d 3 h"),
        ];
        for (seconds, text) in table {
            assert_eq!(write_age(seconds), text);
        }
    }
}
