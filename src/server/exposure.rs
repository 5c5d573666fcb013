//! Owns under which name each figure is exposed: gauges here, counters by a table that has a place for every one of
//! them. Looks up nothing itself.

use std::fmt::Display;

use super::counters::Counters;
use super::figures::Figures;
use super::reload::Reloads;
use crate::metrics::{Exposition, Histogram, Kind};
use crate::reactor::ProcessFigures;
use crate::version;

/// What the driver knows beside the server.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) turns: &'a Histogram,
    pub(super) draining: bool,
    pub(super) reloads: Reloads,
    pub(super) process: ProcessFigures,
}

/// Counters of one kind of event, told apart by a label.
struct Group {
    family: &'static str,
    help: &'static str,
    label: &'static str,
    /// A counter, and its label's value.
    counters: &'static [(&'static str, &'static str)],
}

/// Counters that are families of their own; what they count is their help.
const SINGLE: &[(&str, &str)] = &[
    ("accepted", "mynah_connections_accepted_total"),
    ("joined", "mynah_joins_total"),
    ("messages", "mynah_messages_total"),
    ("deliveries", "mynah_deliveries_total"),
    ("closed_late", "mynah_closed_late_total"),
    ("datagrams", "mynah_datagrams_received_total"),
    ("datagrams_sent", "mynah_datagrams_sent_total"),
    ("mesh_echoes", "mynah_mesh_echoes_total"),
    ("withheld", "mynah_datagrams_withheld_total"),
    ("overflowed", "mynah_overflowed_total"),
    ("failed_receives", "mynah_receive_errors_total"),
    ("registered", "mynah_accounts_made_total"),
    ("not_hashed", "mynah_passwords_not_hashed_total"),
    ("not_saved", "mynah_accounts_not_saved_total"),
];

const GROUPS: &[Group] = &[
    Group {
        family: "mynah_received_bytes_total",
        help: "Bytes received of those who chat, by what carried them.",
        label: "transport",
        counters: &[("received_tcp_bytes", "tcp"), ("received_udp_bytes", "udp")],
    },
    Group {
        family: "mynah_sent_bytes_total",
        help: "Bytes sent to those who chat, by what carried them.",
        label: "transport",
        counters: &[("sent_tcp_bytes", "tcp"), ("sent_udp_bytes", "udp")],
    },
    Group {
        family: "mynah_turned_away_total",
        help: "Connections and guests not taken in, by reason.",
        label: "reason",
        counters: &[
            ("banned", "banned"),
            ("not_allowed", "not_allowed"),
            ("turned_away", "per_address"),
            ("unproven_away", "unproven"),
            ("shed", "descriptors"),
        ],
    },
    Group {
        family: "mynah_refused_total",
        help: "Joins and logins refused, by reason.",
        label: "reason",
        counters: &[
            ("refused_bad_name", "bad_name"),
            ("refused_name_taken", "name_taken"),
            ("refused_room_exists", "room_exists"),
            ("refused_no_such_room", "no_such_room"),
            ("refused_room_full", "room_full"),
            ("refused_too_many_rooms", "too_many_rooms"),
            ("refused_rooms_of_address", "rooms_of_address"),
            ("denied", "denied"),
            ("refused_try_again", "try_again"),
            ("refused_busy", "busy"),
            ("refused_not_saved", "not_saved"),
            ("refused_from_address", "from_address"),
            ("refused_draining", "draining"),
        ],
    },
    Group {
        family: "mynah_messages_dropped_total",
        help: "Messages not obeyed, by reason.",
        label: "reason",
        counters: &[("over_rate", "over_rate"), ("forged", "forged")],
    },
    Group {
        family: "mynah_closed_total",
        help: "Connections ended, by reason; each once.",
        label: "reason",
        counters: &[
            ("left", "left"),
            ("answered", "answered"),
            ("not_let_in", "not_let_in"),
            ("violations_over_limit", "violation_over_limit"),
            ("violations_not_utf8", "violation_not_utf8"),
            ("violations_malformed", "violation_malformed"),
            ("violations_out_of_turn", "violation_out_of_turn"),
            ("timed_out_first_words", "timed_out_first_words"),
            ("timed_out_name", "timed_out_name"),
            ("timed_out_first_frame", "timed_out_first_frame"),
            ("timed_out_joining", "timed_out_joining"),
            ("timed_out_frame", "timed_out_frame"),
            ("slow_backlog", "slow_backlog"),
            ("slow_outbox", "slow_outbox"),
            ("slow_stalled", "slow_stalled"),
            ("slow_over_budget", "slow_over_budget"),
            ("lost_reset", "lost_reset"),
            ("lost_unheard", "lost_unheard"),
            ("lost_otherwise", "lost_otherwise"),
            ("kicked", "kicked"),
            ("stopped", "stopped"),
        ],
    },
    Group {
        family: "mynah_guests_gone_total",
        help: "Members without a connection, and names kept for them, let go, by reason.",
        label: "reason",
        counters: &[
            ("guests_left", "left"),
            ("silent", "silent"),
            ("unreachable", "unreachable"),
            ("never_came", "never_came"),
            ("room_closed", "room_closed"),
            ("guests_kicked", "kicked"),
            ("port_closed", "port_closed"),
        ],
    },
    Group {
        family: "mynah_datagrams_dropped_total",
        help: "Datagrams received and not answered, by reason.",
        label: "reason",
        counters: &[
            ("dropped_own_port", "own_port"),
            ("dropped_banned", "banned"),
            ("dropped_not_allowed", "not_allowed"),
            ("floods", "flood"),
            ("dropped_too_long", "too_long"),
            ("dropped_no_token", "no_token"),
            ("dropped_bad_token", "bad_token"),
            ("dropped_room_closed", "room_closed"),
            ("dropped_name_taken", "name_taken"),
            ("dropped_not_let_in", "not_let_in"),
            ("dropped_malformed", "malformed"),
            ("dropped_out_of_turn", "out_of_turn"),
            ("dropped_too_soon", "too_soon"),
            ("dropped_forged", "forged"),
        ],
    },
    Group {
        family: "mynah_datagrams_failed_total",
        help: "Datagrams that the kernel would not send, by reason.",
        label: "reason",
        counters: &[
            ("failed_sends_nobody", "nobody"),
            ("failed_sends_no_memory", "no_memory"),
            ("failed_sends_too_long", "too_long"),
            ("failed_sends_no_route", "no_route"),
            ("failed_sends_otherwise", "otherwise"),
        ],
    },
];

/// Everything, for Prometheus.
pub(super) fn expose(figures: &Figures, running: &Running<'_>) -> String {
    let mut out = Exposition::default();
    out.family(
        "mynah_build_info",
        Kind::Gauge,
        "What this server was built from; always 1.",
    );
    let build = [("version", version::VERSION), ("commit", version::COMMIT)];
    out.sample("mynah_build_info", &build, 1);
    expose_gauges(&mut out, figures, running);
    expose_counters(&mut out, &figures.counters);
    expose_process(&mut out, &running.process);
    out.into_text()
}

fn expose_gauges(out: &mut Exposition, figures: &Figures, running: &Running<'_>) {
    out.family(
        "mynah_connections",
        Kind::Gauge,
        "TCP connections of those who chat, by protocol.",
    );
    for (protocol, count) in &figures.connections {
        out.sample("mynah_connections", &[("protocol", protocol.name())], count);
    }
    out.family(
        "mynah_members",
        Kind::Gauge,
        "Members of rooms, by protocol.",
    );
    for (protocol, count) in &figures.members {
        out.sample("mynah_members", &[("protocol", protocol.name())], count);
    }
    let mut gauge = |name: &str, help: &str, value: usize| {
        out.single(name, Kind::Gauge, help, value);
    };
    gauge(
        "mynah_rooms",
        "Rooms that are open, lobbies included.",
        figures.rooms,
    );
    gauge(
        "mynah_slowest_lag_bytes",
        "What waits for the connection that lags most.",
        figures.slowest_lag_bytes,
    );
    gauge(
        "mynah_output_bytes",
        "Memory of all that waits to be sent.",
        figures.output_bytes,
    );
    gauge(
        "mynah_helper_jobs",
        "Jobs that the helper thread is at or that wait for it: passwords to be hashed, accounts to be saved.",
        figures.helper_jobs,
    );
    gauge(
        "mynah_draining",
        "Whether the server lets nobody in and waits for those who are in to go.",
        usize::from(running.draining),
    );
    let reloads = "mynah_reloads_total";
    let help = "Times that the configuration was read again, and what came of it.";
    out.family(reloads, Kind::Counter, help);
    for (result, count) in [
        ("done", running.reloads.done),
        ("refused", running.reloads.refused),
    ] {
        out.sample(reloads, &[("result", result)], count);
    }
    out.histogram(
        "mynah_turn_seconds",
        "How long the turns of the event loop took, from waking to the end; all wait for one that is long.",
        running.turns,
    );
}

fn expose_counters(out: &mut Exposition, counters: &Counters) {
    let count = |counter: &str| {
        let mut all = counters.all();
        all.find(|(name, _)| *name == counter)
            .map_or(0, |(_, count)| count)
    };
    for (counter, family) in SINGLE {
        let help = Counters::told().find(|(name, _)| name == counter);
        let help = help.map_or("", |(_, what)| what);
        out.single(family, Kind::Counter, help, count(counter));
    }
    for group in GROUPS {
        out.family(group.family, Kind::Counter, group.help);
        for (counter, value) in group.counters {
            out.sample(group.family, &[(group.label, value)], count(counter));
        }
    }
}

/// Under the names that Prometheus' own libraries have for them. What the kernel does not tell is not there.
fn expose_process(out: &mut Exposition, process: &ProcessFigures) {
    let mut told = |name: &str, kind, help: &str, value: Option<&dyn Display>| {
        if let Some(value) = value {
            out.single(name, kind, help, value);
        }
    };
    let seconds = process.cpu.map(|time| time.as_secs_f64());
    let start = process.started.map(|time| time.as_secs_f64());
    told(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Processor time of the process, in user mode and in the kernel.",
        seconds.as_ref().map(|value| value as &dyn Display),
    );
    told(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Resident memory of the process.",
        process.resident_bytes.as_ref().map(|value| value as _),
    );
    told(
        "process_virtual_memory_bytes",
        Kind::Gauge,
        "Virtual memory of the process.",
        process.virtual_bytes.as_ref().map(|value| value as _),
    );
    told(
        "process_open_fds",
        Kind::Gauge,
        "Open file descriptors.",
        process.open_descriptors.as_ref().map(|value| value as _),
    );
    told(
        "process_max_fds",
        Kind::Gauge,
        "File descriptors that may be open.",
        process.max_descriptors.as_ref().map(|value| value as _),
    );
    told(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process started, in seconds since 1970.",
        start.as_ref().map(|value| value as &dyn Display),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use mio::net::TcpStream;

    use super::*;
    use crate::server::{Limits, Server};

    /// Counters that are the sums of others: `sum` of the family, of those reasons that begin so. To expose them too would
    /// count everything twice.
    const SUMS: &[(&str, &str, &str)] = &[
        ("refused", "mynah_refused_total", ""),
        ("violations", "mynah_closed_total", "violation_"),
        ("timed_out", "mynah_closed_total", "timed_out_"),
        ("slow", "mynah_closed_total", "slow_"),
        ("lost", "mynah_closed_total", "lost_"),
        ("dropped", "mynah_datagrams_dropped_total", ""),
        ("failed_sends", "mynah_datagrams_failed_total", ""),
    ];

    #[test]
    fn every_counter_has_one_place_and_every_place_a_counter() {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let single = SINGLE.iter().map(|(counter, _)| *counter);
        let grouped = GROUPS.iter().flat_map(|group| group.counters);
        let sums = SUMS.iter().map(|(counter, ..)| *counter);
        for counter in single
            .chain(grouped.map(|(counter, _)| *counter))
            .chain(sums)
        {
            *places.entry(counter).or_default() += 1;
        }
        let told: BTreeMap<&str, usize> = Counters::told().map(|(name, _)| (name, 1)).collect();
        assert_eq!(
            places, told,
            "a counter is exposed once, and what is exposed is one"
        );
    }

    #[test]
    fn a_sum_is_that_of_reasons_that_there_are() {
        for (counter, family, prefix) in SUMS {
            let group = GROUPS.iter().find(|group| group.family == *family).unwrap();
            let reasons = group.counters.iter();
            let reasons = reasons.filter(|(_, reason)| reason.starts_with(prefix));
            assert!(reasons.count() > 1, "{counter}");
        }
    }

    /// Everything of a server that has just begun.
    fn exposition() -> String {
        let server: Server<TcpStream> = Server::new(Limits::default(), false, Instant::now());
        let running = Running {
            turns: &Histogram::default(),
            draining: false,
            reloads: Reloads::default(),
            process: ProcessFigures {
                cpu: Some(Duration::from_secs(1)),
                resident_bytes: Some(1),
                virtual_bytes: Some(1),
                open_descriptors: Some(1),
                max_descriptors: Some(1),
                started: Some(Duration::from_secs(1)),
            },
        };
        expose(&server.figures(), &running)
    }

    /// What a table of the page says of a counter.
    fn meaning(counter: &str) -> String {
        let mut told = Counters::told();
        let (_, what) = told.find(|(name, _)| *name == counter).unwrap();
        what.strip_prefix("Of these: ").unwrap_or(what).to_owned()
    }

    #[test]
    fn the_page_on_metrics_tells_of_all_of_them_and_of_no_others() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        let page = fs::read_to_string(page).unwrap();
        let exposition = exposition();
        let mut lines = exposition.lines();
        let mut families = BTreeSet::new();
        while let Some(line) = lines.next() {
            let Some(help) = line.strip_prefix("# HELP ") else {
                continue;
            };
            let (name, help) = help.split_once(' ').unwrap();
            let kind = lines.next().unwrap();
            let kind = kind.strip_prefix(&format!("# TYPE {name} ")).unwrap();
            let row = format!("\n| `{name}` | {kind} | {help} |\n");
            assert!(page.contains(&row), "docs/metrics.md lacks{row}");
            families.insert(name);
        }
        for group in GROUPS {
            let heading = format!("\n### `{}`\n", group.family);
            let (_, section) = page.split_once(&heading).expect(&heading);
            let section = section.split("\n#").next().unwrap();
            for (counter, value) in group.counters {
                let row = format!("\n| `{value}` | `{counter}` | {} |\n", meaning(counter));
                assert!(
                    section.contains(&row),
                    "docs/metrics.md, {heading}lacks{row}"
                );
            }
            let rows = section.lines().filter(|line| line.starts_with("| `"));
            assert_eq!(rows.count(), group.counters.len(), "{}", group.family);
        }
        let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named = words.filter(|w| w.starts_with("mynah_") || w.starts_with("process_"));
        for word in named {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word);
            assert!(families.contains(family), "docs/metrics.md names {word}");
        }
    }

    #[test]
    fn families_are_named_as_they_are_elsewhere() {
        let families = SINGLE.iter().map(|(_, family)| *family);
        for family in families.chain(GROUPS.iter().map(|group| group.family)) {
            let is_named = family.starts_with("mynah_") && family.ends_with("_total");
            assert!(is_named, "{family}");
        }
        for (counter, what) in Counters::told() {
            assert!(
                what.ends_with('.') && !what.contains("  "),
                "{counter}: {what}"
            );
        }
    }
}
