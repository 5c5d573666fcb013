//! Owns the table that people read at the end: a line for each case, and where there is a floor its line and
//! that of the ratio below. Knows no terminal; it is at most 100 columns wide.

use std::fmt::Write;

use super::figures::{three_digits, with_thousands};
use super::{Case, Figures, Pinned, Report};
use crate::load::Pace;

/// What a column is called, in two lines.
const HEADS: [[&str; 2]; 12] = [
    ["", ""],
    ["", "members"],
    ["window", "or rate"],
    ["delivered", "per s"],
    ["CPU µs/", "delivery"],
    ["latency", "p50 ms"],
    ["", "p99"],
    ["", "p99.9"],
    ["", "max"],
    ["", "lost"],
    ["bytes/", "member"],
    ["CPU µs/", "login"],
];

/// The cells of a line. An empty one is nothing that could be measured.
type Row = [String; HEADS.len()];

/// The table, the machine, and what has to be said about it. Every line ends with LF.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", heading(report));
    let _ = writeln!(out, "{}\n", machine(report));
    let mut rows: Vec<Row> = vec![head(0), head(1)];
    for case in &report.cases {
        rows.extend(lines_of(case, report.has_floor()));
    }
    write_aligned(&rows, &mut out);
    let remarks = remarks(report);
    if !remarks.is_empty() {
        out.push('\n');
    }
    for remark in remarks {
        let _ = writeln!(out, "{remark}");
    }
    out
}

fn heading(report: &Report) -> String {
    let mut out = format!("{} against {}", report.crowd, report.server);
    let Some(case) = report.cases.first() else {
        return out;
    };
    out.push('\n');
    let plan = &case.plan;
    let senders = match plan.senders {
        1 => "1 sender".to_string(),
        senders => format!("{senders} senders"),
    };
    let _ = write!(
        out,
        "texts of {} bytes, {senders}, {:?}",
        plan.payload, plan.duration
    );
    let rounds = report.cases.iter().map(|case| case.rounds.len());
    match rounds.max() {
        Some(rounds) if rounds > 1 => {
            let _ = write!(out, ", medians of {rounds}");
        }
        _ => {}
    }
    out
}

fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut out = match machine.cpus {
        1 => "1 CPU".to_string(),
        cpus => format!("{cpus} CPUs"),
    };
    if let Some(model) = &machine.model {
        let _ = write!(out, " ({})", cut(model, 30));
    }
    let _ = write!(out, ", {}", cut(&machine.kernel, 30));
    let places = match &machine.pinned {
        Some(Pinned { server, generator }) => {
            format!("server on CPU {server}, generator on CPU {generator}")
        }
        None => "not pinned".to_string(),
    };
    let (between, rest) = match &machine.congestion_control {
        Some(name) => (", ", format!("TCP {}; {places}", cut(name, 15))),
        None => ("; ", places),
    };
    let together = out.chars().count() + between.len() + rest.chars().count();
    out.push_str(if together <= WIDTH { between } else { "\n" });
    out.push_str(&rest);
    out
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect::<String>().trim().into()
}

fn head(line: usize) -> Row {
    HEADS.map(|head| head[line].to_string())
}

fn lines_of(case: &Case, with_floor: bool) -> Vec<Row> {
    let mut server = figures(&case.server(), three_digits, with_thousands);
    server[0] = if with_floor { "server" } else { "" }.into();
    server[1] = case.plan.members.to_string();
    server[2] = match case.plan.pace {
        Pace::Window(window) => window.to_string(),
        Pace::Rate(rate) => format!("{}/s", with_thousands(rate)),
    };
    let lost = |lost: u64| match lost {
        lost if lost < 10_000 => lost.to_string(),
        lost => with_thousands(lost as f64),
    };
    server[LOST] = lost(case.faults().lost);
    let mut lines = vec![server];
    if let Some(floor) = case.floor() {
        let mut line = figures(&floor, three_digits, with_thousands);
        line[0] = "floor".into();
        line[LOST] = lost(case.floor_faults().unwrap_or_default().lost);
        lines.push(line);
    }
    if let Some(ratio) = case.ratio() {
        let two = |value: f64| format!("{value:.2}");
        let mut line = figures(&ratio, two, two);
        line[0] = "ratio".into();
        lines.push(line);
    }
    lines
}

const LOST: usize = 9;

fn figures(figures: &Figures, plain: impl Fn(f64) -> String, large: impl Fn(f64) -> String) -> Row {
    let show = |value: Option<f64>| value.map(&plain).unwrap_or_default();
    let latency = &figures.latency_ms;
    [
        String::new(),
        String::new(),
        String::new(),
        figures.deliveries_per_s.map(large).unwrap_or_default(),
        show(figures.cpu_us_per_delivery),
        show(latency.p50),
        show(latency.p99),
        show(latency.p99_9),
        show(latency.max),
        String::new(),
        show(figures.memory_bytes_per_member),
        show(figures.cpu_us_per_login),
    ]
}

/// Columns as wide as their widest cell, to the right; without those in which nothing stands.
fn write_aligned(rows: &[Row], out: &mut String) {
    let heads = 2;
    let widths = std::array::from_fn::<usize, { HEADS.len() }, _>(|column| {
        let used = rows.iter().skip(heads).any(|row| !row[column].is_empty());
        let widest = rows.iter().map(|row| row[column].chars().count()).max();
        if used { widest.unwrap_or(0) } else { 0 }
    });
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            if width == 0 {
                continue;
            }
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                // The first that is there begins the line.
                _ if line.is_empty() && widths[..column].iter().all(|width| *width == 0) => {
                    write!(line, "{cell:>width$}")
                }
                _ => write!(line, "{}{cell:>width$}", GAP),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

const GAP: &str = "  ";

/// Columns of a terminal that nobody has narrower for long.
const WIDTH: usize = 100;

/// What a reader must not overlook.
fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = Vec::new();
    for case in &report.cases {
        let faults = case.faults();
        if faults.any() {
            remarks.push(format!("{}: {faults}", case.title()));
        }
        if let Some(faults) = case.floor_faults().filter(|faults| faults.any()) {
            // Nobody doubts the floor: it is what the generator or the machine did.
            remarks.push(format!("{}: the floor: {faults}", case.title()));
        }
        if let Some(process) = case.ended_process() {
            remarks.push(format!(
                "{}: process {process} ended meanwhile: what it cost is not known",
                case.title()
            ));
        }
        if let Some((server, generator)) = case.waits() {
            remarks.push(format!(
                "{}: the machine was not quiet: of the time, the server waited for a processor for {:.0} %, the generator for {:.0} %",
                case.title(),
                server * 100.0,
                generator * 100.0
            ));
        }
        let floors = case.rounds.iter().filter_map(|round| round.floor.as_ref());
        let servers = case.rounds.iter().map(|round| &round.server);
        let busiest = |outcomes: Vec<&crate::load::Outcome>| {
            let bounded = outcomes.into_iter().filter(|outcome| outcome.is_bottleneck);
            bounded.map(|outcome| outcome.busy).max_by(f64::total_cmp)
        };
        for (whose, busy) in [
            ("the server", busiest(servers.collect())),
            ("the floor", busiest(floors.collect())),
        ] {
            if let Some(busy) = busy {
                remarks.push(format!(
                    "{}: the generator was the bottleneck ({:.0} % busy); {whose} can do more",
                    case.title(),
                    busy * 100.0
                ));
            }
        }
    }
    if report.is_paced() {
        remarks.extend(PACED.map(String::from));
    }
    if report.interrupted {
        remarks.push("ended early: this is what was measured until then".into());
    }
    remarks
}

/// What is said where TCP paces.
const PACED: [&str; 2] = [
    "TCP congestion control is bbr, which paces: figures with several messages in flight are its,",
    "not the server's; docs/bench.md tells how to measure without",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rounds::tests::{case, report};

    #[test]
    fn it_looks_like_this() {
        let mut report = report();
        report.cases.truncate(1);
        let expected = "\
tcp-room against its own server
texts of 64 bytes, 1 sender, 2s, medians of 3
2 CPUs (Some Processor 3000), Linux 6.18.44, TCP reno; server on CPU 0, generator on CPU 1

                  window  delivered   CPU µs/  latency                           bytes/  CPU µs/
        members  or rate      per s  delivery   p50 ms   p99  p99.9   max  lost  member    login
server      100        1      431 k      2.41     6.14  23.8   24.2  24.3     0     256     17.0
floor                         474 k      2.30     5.85  22.6   23.1  23.1     0     256     17.0
ratio                          0.91      1.04     1.04  1.04   1.04  1.04          1.00     1.00
";
        assert_eq!(table(&report), expected);
    }

    #[test]
    fn without_a_floor_there_is_a_line_for_each_case() {
        let mut report = report();
        for round in report.cases.iter_mut().flat_map(|case| &mut case.rounds) {
            round.floor = None;
            round.server.cost = None;
            round.server.logins.cpu = None;
        }
        let table = table(&report);
        assert_eq!(table.lines().count(), 4 + 2 + 9, "{table}");
        assert!(!table.contains("CPU µs"), "nothing stands there: {table}");
    }

    #[test]
    fn it_is_never_wider_than_a_hundred_columns() {
        let mut report = report();
        report.crowd = "tcp-room, group, udp-room and udp-login 3:2:1:1".into();
        report.machine.congestion_control = Some("bbr".into());
        report.machine.kernel = "Linux 6.18.44-somebodys-v595".into();
        report.machine.model = Some("A Processor With Quite Some Name (TM) v7 @ 3.00GHz".into());
        report
            .cases
            .push(case(19_000, Pace::Rate(123_456.0), 999_999_999, 123_456));
        for case in &mut report.cases {
            case.rounds[0].server.deliveries.lost = 1_234_567;
        }
        let table = table(&report);
        for line in table.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        let places = "\nTCP bbr; server on CPU 0, generator on CPU 1\n";
        assert!(table.contains(places), "{table}");
        assert!(table.contains(PACED[1]), "{table}");
    }

    #[test]
    fn what_must_not_be_overlooked_is_said() {
        let mut report = report();
        report.cases.truncate(2);
        report.cases[0].rounds[1].server.is_bottleneck = true;
        report.cases[0].rounds[1].server.busy = 0.987;
        report.cases[1].rounds[2].server.deliveries.lost = 3;
        let floor = report.cases[1].rounds[0].floor.as_mut().unwrap();
        floor.deliveries.lost = 1;
        report.cases[1].plan.server = Some(4711);
        report.cases[1].rounds[2].server.cost = None;
        report.interrupted = true;
        let table = table(&report);
        assert!(table.contains("1.54     1"), "the floor's cell: {table}");
        let remarks: Vec<&str> = table.lines().rev().take(5).collect();
        assert_eq!(
            remarks,
            [
                "ended early: this is what was measured until then",
                "100 members, window 16: process 4711 ended meanwhile: what it cost is not known",
                "100 members, window 16: the floor: 1 delivery lost",
                "100 members, window 16: 3 deliveries lost",
                "100 members, window 1: the generator was the bottleneck (99 % busy); the server can do more",
            ]
        );
    }

    #[test]
    fn what_is_paced_is_said_where_it_matters() {
        let mut report = report();
        report.machine.congestion_control = Some("bbr".into());
        let said = |report: &Report| table(report).contains(PACED[0]);
        assert!(said(&report));
        // One message at a time is never held back.
        report.cases.truncate(1);
        assert!(!said(&report));
        report.cases[0].plan.pace = Pace::Rate(1000.0);
        assert!(said(&report));
        report.machine.congestion_control = Some("cubic".into());
        assert!(!said(&report));
    }
}
