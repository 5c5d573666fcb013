//! Owns the JSON: an object a line for each run, and one of all medians at the end. Knows no file.
//!
//! A field's name ends with its unit. What could not be measured is `null`. `docs/bench.md` tells what each is.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::figures::{Figures, Latency};
use super::{Case, Faults, Report};
use crate::load::{Outcome, Pace, Plan};
use crate::version::VERSION;

/// Appends a line for each run, in the order in which they were done, and the summary's.
pub fn write_json(report: &Report, out: &mut Vec<u8>) {
    for case in &report.cases {
        for (number, round) in (1..).zip(&case.rounds) {
            if let Some(floor) = &round.floor {
                let run = Run::of(&report.crowd, &case.plan, number, Against::Floor, floor);
                put(&run, out);
            }
            let against = Against::Server;
            let run = Run::of(&report.crowd, &case.plan, number, against, &round.server);
            put(&run, out);
        }
    }
    put(&Summary::of(report), out);
}

fn put(object: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, object).expect("invariant: memory takes all");
    out.push(b'\n');
}

/// Whom a run was against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    Server,
    Floor,
}

/// One run as the object that it is in the JSON: [`write_json`]'s, or by itself.
#[derive(Serialize)]
pub struct Run<'a> {
    r#type: &'static str,
    against: Against,
    crowd: &'a str,
    round: usize,
    #[serde(flatten)]
    setting: Setting,
    members_in: usize,
    messages: u64,
    deliveries: u64,
    #[serde(flatten)]
    faults: Counted,
    elapsed_s: f64,
    received_bytes: u64,
    deliveries_per_read: f64,
    deliveries_per_s: Option<f64>,
    cpu_us_per_delivery: Option<f64>,
    /// Of each receipt.
    latency_us: Quantiles,
    /// Of the last receipt of each message.
    last_latency_us: Quantiles,
    cpu_s: Option<f64>,
    memory_before_bytes: Option<u64>,
    memory_idle_bytes: Option<u64>,
    memory_peak_bytes: Option<u64>,
    memory_bytes_per_member: Option<f64>,
    logins_elapsed_s: f64,
    logins_cpu_s: Option<f64>,
    logins_received_bytes: u64,
    cpu_us_per_login: Option<f64>,
    /// From 0 to 1.
    generator_busy: f64,
    generator_waited_s: Option<f64>,
    server_waited_s: Option<f64>,
    generator_was_bottleneck: bool,
}

/// What a case is told to be.
#[derive(Serialize)]
struct Setting {
    members: usize,
    senders: usize,
    /// One of the two is `null`.
    window: Option<u32>,
    rate_per_s: Option<f64>,
    payload_bytes: usize,
    duration_s: f64,
    warm_up_s: f64,
    logins_in_flight: usize,
}

#[derive(Serialize)]
struct Counted {
    lost: u64,
    doubled: u64,
    disordered: u64,
    unsaid: u64,
    members_cut: usize,
}

/// `null` where nothing was received.
#[derive(Default, Serialize)]
struct Quantiles {
    mean: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    p99_99: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize)]
struct Summary<'a> {
    r#type: &'static str,
    version: &'static str,
    command: &'a str,
    crowd: &'a str,
    server: &'a str,
    machine: MachineFacts<'a>,
    interrupted: bool,
    cases: Vec<CaseMedians>,
}

#[derive(Serialize)]
struct MachineFacts<'a> {
    cpus: usize,
    model: Option<&'a str>,
    kernel: &'a str,
    tcp_congestion_control: Option<&'a str>,
    server_on_cpu: Option<usize>,
    generator_on_cpu: Option<usize>,
}

#[derive(Serialize)]
struct CaseMedians {
    #[serde(flatten)]
    setting: Setting,
    rounds: usize,
    #[serde(flatten)]
    faults: Counted,
    /// The floor's.
    floor_faults: Option<Counted>,
    server: Medians,
    floor: Option<Medians>,
    /// The medians of the ratios of each pair, without a unit whatever the names say.
    ratio: Option<Medians>,
    /// Against the server, and against the floor.
    generator_was_bottleneck: bool,
    generator_was_floor_bottleneck: Option<bool>,
}

#[derive(Serialize)]
struct Medians {
    deliveries_per_s: Option<f64>,
    cpu_us_per_delivery: Option<f64>,
    latency_p50_ms: Option<f64>,
    latency_p99_ms: Option<f64>,
    latency_p99_9_ms: Option<f64>,
    latency_max_ms: Option<f64>,
    memory_bytes_per_member: Option<f64>,
    cpu_us_per_login: Option<f64>,
}

impl<'a> Run<'a> {
    /// What came of a plan with these members (`tcp-room`), for the first time if `round` is 1.
    pub fn of(
        crowd: &'a str,
        plan: &Plan,
        round: usize,
        against: Against,
        outcome: &Outcome,
    ) -> Run<'a> {
        let Outcome {
            logins,
            deliveries,
            lateness,
            cost,
            busy,
            is_bottleneck,
            waited,
        } = outcome;
        let figures = Figures::of(outcome);
        Run {
            r#type: "run",
            against,
            crowd,
            round,
            setting: Setting::of(plan),
            members_in: logins.members,
            messages: deliveries.messages,
            deliveries: deliveries.received,
            faults: Counted::of(Faults::of(outcome)),
            elapsed_s: deliveries.elapsed.as_secs_f64(),
            received_bytes: deliveries.bytes,
            deliveries_per_read: deliveries.per_read,
            deliveries_per_s: figures.deliveries_per_s,
            cpu_us_per_delivery: figures.cpu_us_per_delivery,
            latency_us: Quantiles::of(&lateness.each),
            last_latency_us: Quantiles::of(&lateness.last),
            cpu_s: cost.map(|cost| cost.cpu.as_secs_f64()),
            memory_before_bytes: cost.map(|cost| cost.memory_before),
            memory_idle_bytes: cost.map(|cost| cost.memory_idle),
            memory_peak_bytes: cost.and_then(|cost| cost.memory_peak),
            memory_bytes_per_member: figures.memory_bytes_per_member,
            logins_elapsed_s: logins.elapsed.as_secs_f64(),
            logins_cpu_s: logins.cpu.map(|cpu| cpu.as_secs_f64()),
            logins_received_bytes: logins.bytes,
            cpu_us_per_login: figures.cpu_us_per_login,
            generator_busy: *busy,
            generator_waited_s: waited.generator.map(|waited| waited.as_secs_f64()),
            server_waited_s: waited.server.map(|waited| waited.as_secs_f64()),
            generator_was_bottleneck: *is_bottleneck,
        }
    }
}

impl Setting {
    fn of(plan: &Plan) -> Setting {
        let (window, rate_per_s) = match plan.pace {
            Pace::Window(window) => (Some(window), None),
            Pace::Rate(rate) => (None, Some(rate)),
        };
        Setting {
            members: plan.members,
            senders: plan.senders,
            window,
            rate_per_s,
            payload_bytes: plan.payload,
            duration_s: plan.duration.as_secs_f64(),
            warm_up_s: plan.warm_up.as_secs_f64(),
            logins_in_flight: plan.logins_in_flight,
        }
    }
}

impl Counted {
    fn of(faults: Faults) -> Counted {
        Counted {
            lost: faults.lost,
            doubled: faults.doubled,
            disordered: faults.disordered,
            unsaid: faults.unsaid,
            members_cut: faults.cut,
        }
    }
}

impl Quantiles {
    fn of(lateness: &Histogram<u64>) -> Quantiles {
        if lateness.is_empty() {
            return Quantiles::default();
        }
        let at = |quantile| Some(lateness.value_at_quantile(quantile) as f64 / 1e3);
        Quantiles {
            mean: Some(lateness.mean() / 1e3),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: at(1.0),
        }
    }
}

impl<'a> Summary<'a> {
    fn of(report: &'a Report) -> Summary<'a> {
        let machine = &report.machine;
        Summary {
            r#type: "summary",
            version: VERSION,
            command: &report.command,
            crowd: &report.crowd,
            server: &report.server,
            machine: MachineFacts {
                cpus: machine.cpus,
                model: machine.model.as_deref(),
                kernel: &machine.kernel,
                tcp_congestion_control: machine.congestion_control.as_deref(),
                server_on_cpu: machine.pinned.map(|pinned| pinned.server),
                generator_on_cpu: machine.pinned.map(|pinned| pinned.generator),
            },
            interrupted: report.interrupted,
            cases: report.cases.iter().map(CaseMedians::of).collect(),
        }
    }
}

impl CaseMedians {
    fn of(case: &Case) -> CaseMedians {
        let servers = case.rounds.iter().map(|round| &round.server);
        let floors = case.rounds.iter().filter_map(|round| round.floor.as_ref());
        CaseMedians {
            setting: Setting::of(&case.plan),
            rounds: case.rounds.len(),
            faults: Counted::of(case.faults()),
            floor_faults: case.floor_faults().map(Counted::of),
            server: Medians::of(&case.server()),
            floor: case.floor().as_ref().map(Medians::of),
            ratio: case.ratio().as_ref().map(Medians::of),
            generator_was_bottleneck: servers.into_iter().any(|outcome| outcome.is_bottleneck),
            generator_was_floor_bottleneck: floors
                .map(|outcome| outcome.is_bottleneck)
                .reduce(|any, is_bottleneck| any || is_bottleneck),
        }
    }
}

impl Medians {
    fn of(figures: &Figures) -> Medians {
        let Figures {
            deliveries_per_s,
            cpu_us_per_delivery,
            latency_ms:
                Latency {
                    p50,
                    p99,
                    p99_9,
                    max,
                },
            memory_bytes_per_member,
            cpu_us_per_login,
        } = *figures;
        Medians {
            deliveries_per_s,
            cpu_us_per_delivery,
            latency_p50_ms: p50,
            latency_p99_ms: p99,
            latency_p99_9_ms: p99_9,
            latency_max_ms: max,
            memory_bytes_per_member,
            cpu_us_per_login,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::rounds::tests::report;

    fn objects(report: &Report) -> Vec<Value> {
        let mut out = Vec::new();
        write_json(report, &mut out);
        let text = String::from_utf8(out).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[test]
    fn there_is_an_object_for_each_run_and_one_of_medians() {
        let report = report();
        let objects = objects(&report);
        let (summary, runs) = objects.split_last().unwrap();
        assert_eq!(runs.len(), 9 * 3 * 2);
        let against: Vec<&str> = runs
            .iter()
            .map(|run| run["against"].as_str().unwrap())
            .collect();
        assert_eq!(against[..4], ["floor", "server", "floor", "server"]);
        let run = &runs[1];
        assert_eq!(run["type"], "run");
        assert_eq!(run["round"], 1);
        assert_eq!(run["members"], 100);
        assert_eq!(run["window"], 1);
        assert_eq!(run["rate_per_s"], Value::Null);
        assert_eq!(run["deliveries"], 862_000);
        assert_eq!(run["deliveries_per_s"], 431_000.0);
        assert_eq!(run["memory_bytes_per_member"], 256.0);
        assert!(run["latency_us"]["p99"].as_f64() > run["latency_us"]["p50"].as_f64());
        assert_eq!(summary["type"], "summary");
        assert_eq!(summary["machine"]["generator_on_cpu"], 1);
        let cases = summary["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 9);
        assert_eq!(cases[0]["rounds"], 3);
        let ratio = cases[0]["ratio"]["cpu_us_per_delivery"].as_f64().unwrap();
        assert!((ratio - 1.04).abs() < 0.01, "{ratio}");
        assert_eq!(summary["machine"]["tcp_congestion_control"], "reno");
    }

    #[test]
    fn what_the_floor_lost_is_told_beside_what_the_server_lost() {
        let mut report = report();
        let floor = report.cases[0].rounds[1].floor.as_mut().unwrap();
        floor.deliveries.lost = 2;
        floor.is_bottleneck = true;
        report.cases[0].rounds[2].server.deliveries.lost = 7;
        for round in &mut report.cases[1].rounds {
            round.floor = None;
        }
        let objects = objects(&report);
        let cases = &objects.last().unwrap()["cases"];
        assert_eq!(cases[0]["lost"], 7);
        assert_eq!(cases[0]["floor_faults"]["lost"], 2);
        assert_eq!(cases[0]["generator_was_bottleneck"], false);
        assert_eq!(cases[0]["generator_was_floor_bottleneck"], true);
        assert_eq!(cases[1]["floor_faults"], Value::Null);
        assert_eq!(cases[1]["generator_was_floor_bottleneck"], Value::Null);
        assert_eq!(cases[2]["generator_was_floor_bottleneck"], false);
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let mut report = report();
        report.cases.truncate(1);
        report.cases[0].rounds.truncate(1);
        let round = &mut report.cases[0].rounds[0];
        round.floor = None;
        round.server.cost = None;
        round.server.logins.cpu = None;
        round.server.lateness.each.reset();
        let objects = objects(&report);
        assert_eq!(objects.len(), 2);
        for field in ["cpu_s", "cpu_us_per_login", "memory_idle_bytes"] {
            assert_eq!(objects[0].get(field), Some(&Value::Null), "{field}");
        }
        assert_eq!(objects[0]["latency_us"]["max"], Value::Null);
        assert_eq!(objects[1]["cases"][0]["floor"], Value::Null);
    }

    /// Who reads the page shall find every field, and no other.
    #[test]
    fn every_field_is_in_the_documentation() {
        fn names(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        found.push(name.clone());
                        names(value, found);
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| names(item, found)),
                _ => {}
            }
        }
        let page = include_str!("../../docs/bench.md");
        let mut found = Vec::new();
        for object in objects(&report()) {
            names(&object, &mut found);
        }
        for name in found {
            assert!(page.contains(&format!("`{name}`")), "docs/bench.md: {name}");
        }
    }
}
