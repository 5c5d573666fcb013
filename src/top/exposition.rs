//! Owns the reading of Prometheus' text format, version 0.0.4, as far as a viewer needs it: samples with their
//! labels. Knows nothing of what they mean.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt;

/// All samples of one answer, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    samples: Vec<Sample>,
}

/// A line that is no comment: `NAME{LABEL="VALUE",…} NUMBER`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// A line that is no sample, and no comment either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It begins with no name of a metric.
    Name,
    /// What stands between the braces is no labels, or there is no second brace.
    Labels,
    /// That is no number.
    Value { given: String },
    /// Something stands behind the number that is no time.
    Timestamp { given: String },
}

impl Exposition {
    /// Reads a whole answer. Comments, `# HELP` and `# TYPE` among them, are passed over.
    pub fn parse(text: &str) -> Result<Exposition, ParseError> {
        let mut samples = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim_matches(BLANKS);
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let sample = Sample::parse(text).map_err(|problem| ParseError { line, problem })?;
            samples.push(sample);
        }
        Ok(Exposition { samples })
    }

    /// The samples of one metric.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.name == name)
    }

    /// The sum of a metric's samples; `None` where it has none.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.of(name)
            .map(|sample| sample.value)
            .reduce(|a, b| a + b)
    }

    /// All samples, in the order of the text.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }

    fn parse(line: &str) -> Result<Sample, Problem> {
        let end = line.find(|c| !is_name(c)).unwrap_or(line.len());
        let (name, rest) = line.split_at_checked(end).ok_or(Problem::Name)?;
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Problem::Name);
        }
        let rest = rest.trim_start_matches(BLANKS);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => parse_labels(inside).ok_or(Problem::Labels)?,
            None => (Vec::new(), rest),
        };
        let mut words = rest.split(BLANKS).filter(|word| !word.is_empty());
        let value = words.next().unwrap_or_default();
        // Rust reads `+Inf`, `-Inf` and `NaN` as they are written there.
        let Ok(number) = value.parse() else {
            let given = value.to_owned();
            return Err(Problem::Value { given });
        };
        let timestamp: Vec<&str> = words.collect();
        if !matches!(timestamp[..], [] | [_]) || timestamp.iter().any(|t| t.parse::<i64>().is_err())
        {
            let given = timestamp.join(" ");
            return Err(Problem::Timestamp { given });
        }
        Ok(Sample {
            name: name.to_owned(),
            labels,
            value: number,
        })
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

type Labels = Vec<(String, String)>;

/// What stands behind the first brace: the labels, and what is left behind the second one.
fn parse_labels(text: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    let mut rest = text.trim_start_matches(BLANKS);
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_matches(BLANKS);
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let quoted = behind.trim_start_matches(BLANKS).strip_prefix('"')?;
        let (value, behind) = parse_quoted(quoted)?;
        labels.push((name.to_owned(), value));
        rest = behind.trim_start_matches(BLANKS);
        // The comma behind the last one may stand there.
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start_matches(BLANKS),
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// A label's value up to its closing quote, and what is left behind that.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                _ => return None,
            },
            c => value.push(c),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.problem {
            Problem::Name => f.write_str("it begins with no name of a metric"),
            Problem::Labels => f.write_str("its labels are not {NAME=\"VALUE\",...}"),
            Problem::Value { given } => write!(f, "{given:?} is not a number"),
            Problem::Timestamp { given } => write!(f, "{given:?} is not a time in milliseconds"),
        }
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|&(n, v)| (n.into(), v.into())).collect();
        Sample {
            name: name.into(),
            labels,
            value,
        }
    }

    #[test]
    fn each_form_of_a_sample_is_read() {
        let inf = f64::INFINITY;
        let table = [
            ("up 1", sample("up", &[], 1.0)),
            ("up\t 1.5e3 ", sample("up", &[], 1500.0)),
            ("up 1 1395066363000", sample("up", &[], 1.0)),
            ("a:b_c{} -2", sample("a:b_c", &[], -2.0)),
            ("up {a=\"b\"} 1", sample("up", &[("a", "b")], 1.0)),
            (
                "x{a=\"1\",b=\"2\",} +Inf",
                sample("x", &[("a", "1"), ("b", "2")], inf),
            ),
            ("x{ a = \"1\" , b=\"2\" } -Inf", {
                sample("x", &[("a", "1"), ("b", "2")], -inf)
            }),
            (
                r#"x{path="C:\\d\n\"}{, ="} 0"#,
                sample("x", &[("path", "C:\\d\n\"}{, =")], 0.0),
            ),
            ("x{a=\"🐦\"} 7", sample("x", &[("a", "🐦")], 7.0)),
        ];
        for (line, expected) in table {
            let text = format!("# HELP x y\n\n  # a remark\n{line}\n");
            let read = Exposition::parse(&text).unwrap();
            assert_eq!(read.samples(), [expected], "{line}");
        }
        let read = Exposition::parse("x NaN").unwrap();
        assert!(read.sum("x").unwrap().is_nan());
    }

    #[test]
    fn what_is_no_sample_is_told_with_its_line() {
        let value = |given: &str| Problem::Value {
            given: given.into(),
        };
        let time = |given: &str| Problem::Timestamp {
            given: given.into(),
        };
        let table = [
            ("<!doctype html>", Problem::Name),
            ("1up 1", Problem::Name),
            ("{a=\"b\"} 1", Problem::Name),
            ("é 1", Problem::Name),
            ("up", value("")),
            ("up one", value("one")),
            ("up=1", value("=1")),
            ("up{a=\"b\"}", value("")),
            ("up 1 soon", time("soon")),
            ("up 1 2 3", time("2 3")),
            ("up{ 1", Problem::Labels),
            ("up{a} 1", Problem::Labels),
            ("up{a=b} 1", Problem::Labels),
            ("up{a=\"b} 1", Problem::Labels),
            ("up{a=\"b\\", Problem::Labels),
            ("up{a=\"\\t\"} 1", Problem::Labels),
            ("up{a=\"b\" c=\"d\"} 1", Problem::Labels),
            ("up{=\"b\"} 1", Problem::Labels),
            ("up{a=\"b\",,} 1", Problem::Labels),
        ];
        for (line, problem) in table {
            let error = Exposition::parse(&format!("up 1\n{line}\n")).unwrap_err();
            assert_eq!(error, ParseError { line: 2, problem }, "{line}");
        }
        let error = Exposition::parse("up one").unwrap_err();
        assert_eq!(error.to_string(), "line 1: \"one\" is not a number");
    }

    #[test]
    fn samples_are_found_by_name_and_added_up() {
        let text = "x{p=\"a\"} 1\ny 5\nx{p=\"b\"} 2\nxx 9\n";
        let read = Exposition::parse(text).unwrap();
        let labels: Vec<_> = read.of("x").map(|sample| sample.label("p")).collect();
        assert_eq!(labels, [Some("a"), Some("b")]);
        assert_eq!(read.sum("x"), Some(3.0));
        assert_eq!(read.sum("z"), None);
    }
}
