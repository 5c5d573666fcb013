//! Owns the text format of Prometheus, version 0.0.4: families one after the other, each with its help, its type and its
//! samples.

use std::fmt::{Display, Write};

use super::histogram::Histogram;

/// The text, as it grows.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// How the samples of a family go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up, from zero at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
}

impl Exposition {
    /// Begins a family; its samples follow, and nothing of it comes later.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.header(name, kind, help);
    }

    /// A sample of the family begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        let mut before = '{';
        for (label, of) in labels {
            let _ = write!(self.text, "{before}{label}=\"");
            escape(&mut self.text, of, true);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A family that is one histogram, in seconds.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.header(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            self.sample(&bucket, &[("le", bound)], count);
        }
        let sum = histogram.sum().as_secs_f64();
        self.sample(&format!("{name}_sum"), &[], sum);
        self.sample(&format!("{name}_count"), &[], histogram.count());
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.text
    }

    fn header(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} ");
        escape(&mut self.text, help, false);
        let _ = writeln!(self.text, "\n# TYPE {name} {kind}");
    }
}

/// A line stays a line; in quotation marks, those are escaped too.
fn escape(out: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn families_are_written_as_the_format_wants() {
        let mut out = Exposition::default();
        out.single("a", Kind::Gauge, "Of \"these\" \\ those.\nTwo lines.", 1.5);
        out.family("b_total", Kind::Counter, "B.");
        out.sample("b_total", &[("x", "y"), ("z", "\"\\\n")], u64::MAX);
        assert_eq!(
            out.into_text(),
            "# HELP a Of \"these\" \\\\ those.\\nTwo lines.\n\
             # TYPE a gauge\n\
             a 1.5\n\
             # HELP b_total B.\n\
             # TYPE b_total counter\n\
             b_total{x=\"y\",z=\"\\\"\\\\\\n\"} 18446744073709551615\n"
        );
    }

    #[test]
    fn a_histogram_has_its_buckets_its_sum_and_its_count() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(70));
        let mut out = Exposition::default();
        out.histogram("t_seconds", "T.", &histogram);
        let text = out.into_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "# TYPE t_seconds histogram");
        assert_eq!(lines[2], "t_seconds_bucket{le=\"0.00005\"} 0");
        assert_eq!(lines[3], "t_seconds_bucket{le=\"0.0001\"} 1");
        assert_eq!(lines[16], "t_seconds_bucket{le=\"+Inf\"} 1");
        assert_eq!(lines[17..], ["t_seconds_sum 0.00007", "t_seconds_count 1"]);
    }
}
