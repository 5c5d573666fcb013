//! Owns what is made of two readings: rates, quantiles, and the gauges of the later one. Knows no clock: a reading
//! has its time with it.

use std::time::Duration;

use super::exposition::{Exposition, Sample};

/// What a server said, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// By a clock that never goes back, from whenever.
    pub at: Duration,
    /// Seconds since 1970, for how long the server has been up.
    pub clock: f64,
    pub said: Exposition,
}

/// What there is to see. What the server did not say, or what takes two readings, is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub version: String,
    /// Seconds.
    pub uptime: Option<f64>,
    pub draining: bool,
    /// A second, as are all that follow up to the members.
    pub messages: Option<f64>,
    pub deliveries: Option<f64>,
    pub bytes_sent: Option<f64>,
    pub bytes_received: Option<f64>,
    pub members: Option<f64>,
    pub connections: Option<f64>,
    pub rooms: Option<f64>,
    pub lag_bytes: Option<f64>,
    pub output_bytes: Option<f64>,
    /// Seconds of the turns between the readings.
    pub turn_p50: Option<f64>,
    pub turn_p99: Option<f64>,
    /// Hundredths of a processor.
    pub cpu_percent: Option<f64>,
    pub helper_jobs: Option<f64>,
    pub memory_bytes: Option<f64>,
    /// As the server has them in order.
    pub protocols: Vec<OfProtocol>,
    /// Those that happened at all.
    pub reasons: Vec<OfReason>,
}

/// Who is there in one protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct OfProtocol {
    pub name: String,
    /// `None` where it has none, over datagrams.
    pub connections: Option<f64>,
    pub members: Option<f64>,
}

/// Something that was dropped, refused or closed, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct OfReason {
    /// `closed`, say.
    pub what: String,
    pub reason: String,
    pub total: f64,
    pub per_second: Option<f64>,
}

impl Figures {
    /// The figures of `now`, with the rates since `before`. There are none across a restart, for nothing is known of
    /// the time between.
    pub fn between(before: Option<&Reading>, now: &Reading) -> Figures {
        let before = before.filter(|before| !now.is_of_another_process(before));
        let difference = Difference { before, now };
        let said = &now.said;
        Figures {
            version: version(said),
            uptime: said.sum(START).map(|start| now.clock - start),
            draining: said.sum("mynah_draining").is_some_and(|is| is != 0.0),
            messages: difference.rate("mynah_messages_total"),
            deliveries: difference.rate("mynah_deliveries_total"),
            bytes_sent: difference.rate("mynah_sent_bytes_total"),
            bytes_received: difference.rate("mynah_received_bytes_total"),
            members: said.sum(MEMBERS),
            connections: said.sum(CONNECTIONS),
            rooms: said.sum("mynah_rooms"),
            lag_bytes: said.sum("mynah_slowest_lag_bytes"),
            output_bytes: said.sum("mynah_output_bytes"),
            turn_p50: difference.turn(0.5),
            turn_p99: difference.turn(0.99),
            cpu_percent: difference
                .rate("process_cpu_seconds_total")
                .map(|rate| rate * 100.0),
            helper_jobs: said.sum("mynah_helper_jobs"),
            memory_bytes: said.sum("process_resident_memory_bytes"),
            protocols: protocols(said),
            reasons: difference.reasons(),
        }
    }
}

impl Reading {
    /// Whether the process that said this is not the one that said the other.
    pub fn is_of_another_process(&self, other: &Reading) -> bool {
        self.said.sum(START) != other.said.sum(START)
    }
}

const START: &str = "process_start_time_seconds";
const MEMBERS: &str = "mynah_members";
const CONNECTIONS: &str = "mynah_connections";
const TURNS: &str = "mynah_turn_seconds_bucket";

struct Difference<'a> {
    before: Option<&'a Reading>,
    now: &'a Reading,
}

impl Difference<'_> {
    fn rate(&self, name: &str) -> Option<f64> {
        let before = self.before?.said.sum(name)?;
        self.per_second(self.now.said.sum(name)? - before)
    }

    /// A counter that went backwards tells nothing.
    fn per_second(&self, gain: f64) -> Option<f64> {
        let elapsed = self.now.at.checked_sub(self.before?.at)?.as_secs_f64();
        (gain >= 0.0 && elapsed > 0.0).then(|| gain / elapsed)
    }

    /// How long the turns took between the readings, by the buckets that they fell into.
    fn turn(&self, quantile: f64) -> Option<f64> {
        let before = &self.before?.said;
        let mut steps = Vec::new();
        for bucket in self.now.said.of(TURNS) {
            let bound: f64 = bucket.label("le")?.parse().ok()?;
            let was = before.of(TURNS).find(|was| was.labels == bucket.labels)?;
            steps.push((bound, bucket.value - was.value));
        }
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        within_buckets(quantile, &steps)
    }

    fn reasons(&self) -> Vec<OfReason> {
        let mut reasons = Vec::new();
        for sample in self.now.said.samples() {
            let what = sample.name.strip_suffix("_total");
            let (Some(what), Some(reason)) = (what, sample.label("reason")) else {
                continue;
            };
            if sample.value == 0.0 {
                continue;
            }
            let same = |was: &&Sample| was.labels == sample.labels;
            let was = self
                .before
                .map(|before| before.said.of(&sample.name).find(same));
            let was = was.map(|was| was.map_or(0.0, |was| was.value));
            reasons.push(OfReason {
                what: words(what.strip_prefix("mynah_").unwrap_or(what)),
                reason: words(reason),
                total: sample.value,
                per_second: was.and_then(|was| self.per_second(sample.value - was)),
            });
        }
        reasons
    }
}

/// The value below which that part of what the buckets count is, as Prometheus' `histogram_quantile` has it: evenly
/// spread within a bucket, the last finite bound for what is beyond it, nothing of nothing.
///
/// `steps` are upper bounds, growing, each with the number of all below it.
fn within_buckets(quantile: f64, steps: &[(f64, f64)]) -> Option<f64> {
    let &(_, all) = steps.last()?;
    let rank = quantile * all;
    if rank.is_nan() || rank <= 0.0 {
        return None;
    }
    let (mut low, mut below) = (0.0, 0.0);
    for &(bound, count) in steps {
        if count >= rank {
            return Some(match bound.is_finite() {
                true => low + (bound - low) * (rank - below) / (count - below),
                false => low,
            });
        }
        (low, below) = (bound, count);
    }
    None
}

fn protocols(said: &Exposition) -> Vec<OfProtocol> {
    let mut protocols: Vec<OfProtocol> = Vec::new();
    for sample in said.of(MEMBERS).chain(said.of(CONNECTIONS)) {
        let Some(name) = sample.label("protocol") else {
            continue;
        };
        let at = protocols.iter().position(|one| one.name == name);
        let at = at.unwrap_or_else(|| {
            protocols.push(OfProtocol {
                name: name.to_owned(),
                connections: None,
                members: None,
            });
            protocols.len() - 1
        });
        if let Some(one) = protocols.get_mut(at) {
            match sample.name.as_str() {
                MEMBERS => one.members = Some(sample.value),
                _ => one.connections = Some(sample.value),
            }
        }
    }
    protocols
}

/// `0.1.0 (8b10308)`.
fn version(said: &Exposition) -> String {
    let Some(build) = said.of("mynah_build_info").next() else {
        return String::new();
    };
    let version = build.label("version").unwrap_or_default();
    match build.label("commit").filter(|commit| !commit.is_empty()) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What a server of two protocols could say, after so many messages.
    pub fn said(started: u32, messages: u32) -> String {
        format!(
            "mynah_build_info{{version=\"0.1.0\",commit=\"8b10308\"}} 1\n\
             process_start_time_seconds {started}\n\
             process_resident_memory_bytes 4100096\n\
             process_cpu_seconds_total {cpu}\n\
             mynah_draining 0\n\
             mynah_messages_total {messages}\n\
             mynah_deliveries_total {deliveries}\n\
             mynah_sent_bytes_total{{transport=\"tcp\"}} {deliveries}00\n\
             mynah_sent_bytes_total{{transport=\"udp\"}} {deliveries}00\n\
             mynah_received_bytes_total{{transport=\"tcp\"}} {messages}00\n\
             mynah_members{{protocol=\"tcp-room\"}} 40\n\
             mynah_members{{protocol=\"udp-room\"}} 17\n\
             mynah_connections{{protocol=\"tcp-room\"}} 41\n\
             mynah_connections{{protocol=\"metrics\"}} 1\n\
             mynah_rooms 1\n\
             mynah_slowest_lag_bytes 2048\n\
             mynah_output_bytes 4096\n\
             mynah_helper_jobs 2\n\
             mynah_turn_seconds_bucket{{le=\"0.001\"}} {messages}\n\
             mynah_turn_seconds_bucket{{le=\"0.002\"}} {double}\n\
             mynah_turn_seconds_bucket{{le=\"+Inf\"}} {double}\n\
             mynah_closed_total{{reason=\"slow_backlog\"}} 3\n\
             mynah_refused_total{{reason=\"name_taken\"}} 0\n\
             mynah_datagrams_dropped_total{{reason=\"too_long\"}} {messages}\n",
            deliveries = messages * 50,
            double = messages * 2,
            cpu = f64::from(messages) / 1000.0,
        )
    }

    pub fn reading(at: u64, text: &str) -> Reading {
        Reading {
            at: Duration::from_secs(at),
            clock: 2000.0 + at as f64,
            said: Exposition::parse(text).unwrap(),
        }
    }

    #[test]
    fn rates_are_of_the_time_between_and_gauges_of_now() {
        let before = reading(10, &said(1000, 100));
        let now = reading(14, &said(1000, 300));
        let figures = Figures::between(Some(&before), &now);
        let reason = |what: &str, reason: &str, total, per_second| OfReason {
            what: what.into(),
            reason: reason.into(),
            total,
            per_second: Some(per_second),
        };
        let protocol = |name: &str, connections, members| OfProtocol {
            name: name.into(),
            connections,
            members,
        };
        let expected = Figures {
            version: "0.1.0 (8b10308)".into(),
            uptime: Some(1014.0),
            draining: false,
            messages: Some(50.0),
            deliveries: Some(2_500.0),
            bytes_sent: Some(500_000.0),
            bytes_received: Some(5_000.0),
            members: Some(57.0),
            connections: Some(42.0),
            rooms: Some(1.0),
            lag_bytes: Some(2048.0),
            output_bytes: Some(4096.0),
            turn_p50: Some(0.001),
            turn_p99: Some(0.001_98),
            cpu_percent: Some(5.0),
            helper_jobs: Some(2.0),
            memory_bytes: Some(4_100_096.0),
            protocols: vec![
                protocol("tcp-room", Some(41.0), Some(40.0)),
                protocol("udp-room", None, Some(17.0)),
                protocol("metrics", Some(1.0), None),
            ],
            reasons: vec![
                reason("closed", "slow backlog", 3.0, 0.0),
                reason("datagrams dropped", "too long", 300.0, 50.0),
            ],
        };
        let close = |a: Option<f64>, b: f64| a.is_some_and(|a| (a - b).abs() < 1e-9);
        assert!(close(figures.turn_p99, 0.001_98), "{figures:?}");
        assert!(close(figures.cpu_percent, 5.0), "{figures:?}");
        let rounded = Figures {
            turn_p99: expected.turn_p99,
            cpu_percent: expected.cpu_percent,
            ..figures
        };
        assert_eq!(rounded, expected);
    }

    #[test]
    fn there_is_no_rate_of_one_reading_nor_across_a_restart_nor_of_what_went_backwards() {
        let first = reading(10, &said(1000, 300));
        let restarted = reading(11, &said(1500, 400));
        let backwards = reading(11, &said(1000, 200));
        let at_once = reading(10, &said(1000, 400));
        let table = [
            (None, &first),
            (Some(&first), &restarted),
            (Some(&first), &backwards),
            (Some(&first), &at_once),
        ];
        for (before, now) in table {
            let figures = Figures::between(before, now);
            assert_eq!(figures.messages, None);
            assert_eq!(figures.bytes_sent, None);
            assert_eq!(figures.members, Some(57.0));
            let dropped = figures.reasons.last().unwrap();
            assert_eq!(dropped.per_second, None, "{dropped:?}");
        }
        assert!(restarted.is_of_another_process(&first));
        assert!(!backwards.is_of_another_process(&first));
    }

    #[test]
    fn a_quantile_is_where_the_buckets_have_it() {
        let inf = f64::INFINITY;
        let steps = [(0.1, 50.0), (0.2, 90.0), (1.0, 99.0), (inf, 100.0)];
        let table = [
            (0.0, None::<f64>),
            (0.25, Some(0.05)),
            (0.5, Some(0.1)),
            (0.7, Some(0.15)),
            (0.99, Some(1.0)),
            (1.0, Some(1.0)),
        ];
        for (quantile, expected) in table {
            let found = within_buckets(quantile, &steps);
            let close = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(close, "{quantile}: {found:?}");
        }
        assert_eq!(within_buckets(0.5, &[]), None);
        assert_eq!(within_buckets(0.5, &[(0.1, 0.0), (inf, 0.0)]), None);
        assert_eq!(within_buckets(0.5, &[(0.1, f64::NAN)]), None);
    }

    #[test]
    fn a_server_that_says_nothing_has_no_figures() {
        let figures = Figures::between(None, &reading(1, ""));
        assert_eq!(figures, Figures::default());
    }
}
