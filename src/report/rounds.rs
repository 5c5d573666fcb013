//! Owns what there is to show: every round of every case, and where it was measured. Knows not how it looks.

use std::time::Duration;

use crate::load::{Outcome, Pace, Plan};

use super::Figures;

/// Everything that one command measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// The command, as it can be typed again.
    pub command: String,
    /// Who the members were: `tcp-room`, or `tcp-room and group 3:1`.
    pub crowd: String,
    /// Whose server it was: `its own server`, or an address.
    pub server: String,
    pub machine: Machine,
    pub cases: Vec<Case>,
    /// Whether somebody ended it early.
    pub interrupted: bool,
}

/// Where it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub cpus: usize,
    /// What the processor calls itself, where it does.
    pub model: Option<String>,
    /// Name and version.
    pub kernel: String,
    /// How TCP decides when to send (`bbr` paces, `reno` and `cubic` do not), where anybody talks over TCP.
    pub congestion_control: Option<String>,
    /// The processors that server and generator were kept on.
    pub pinned: Option<Pinned>,
}

/// A processor each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub server: usize,
    pub generator: usize,
}

/// One number of members at one pace.
#[derive(Clone, Debug)]
pub struct Case {
    pub plan: Plan,
    /// In the order in which they were measured. Never empty.
    pub rounds: Vec<Round>,
}

/// The server, and beside it the floor where that was asked for.
#[derive(Clone, Debug)]
pub struct Round {
    pub server: Outcome,
    pub floor: Option<Outcome>,
}

/// What no server on a stream may do, and what datagrams may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub lost: u64,
    pub doubled: u64,
    pub disordered: u64,
    /// Messages that were due and could not be sent.
    pub unsaid: u64,
    pub cut: usize,
}

impl Report {
    /// The faults of the server in all rounds.
    pub fn faults(&self) -> Faults {
        let all = self.cases.iter().map(Case::faults);
        all.fold(Faults::default(), Faults::plus)
    }

    /// Whether the kernel's pacing is in the figures: with one message in flight there is nothing to pace.
    pub fn is_paced(&self) -> bool {
        let several = |case: &Case| case.plan.pace != Pace::Window(1);
        self.machine.congestion_control.as_deref() == Some("bbr") && self.cases.iter().any(several)
    }

    /// Whether anything was measured against the floor.
    pub fn has_floor(&self) -> bool {
        self.cases.iter().any(|case| case.floor().is_some())
    }
}

impl Case {
    /// The medians of the server's rounds.
    pub fn server(&self) -> Figures {
        let rounds = self.rounds.iter();
        let members: Vec<Figures> = rounds.map(|round| Figures::of(&round.server)).collect();
        Figures::median(&members)
    }

    /// The medians of the floor's rounds.
    pub fn floor(&self) -> Option<Figures> {
        let floors = self.rounds.iter().filter_map(|round| round.floor.as_ref());
        let floors: Vec<Figures> = floors.map(Figures::of).collect();
        (!floors.is_empty()).then(|| Figures::median(&floors))
    }

    /// The medians of the ratios of each pair: the server's by the floor's.
    pub fn ratio(&self) -> Option<Figures> {
        let ratios: Vec<Figures> = self.rounds.iter().filter_map(Round::ratio).collect();
        (!ratios.is_empty()).then(|| Figures::median(&ratios))
    }

    /// The faults of the server in all rounds.
    pub fn faults(&self) -> Faults {
        let all = self.rounds.iter().map(|round| Faults::of(&round.server));
        all.fold(Faults::default(), Faults::plus)
    }

    /// The faults of the floor in all rounds, where there is one: they are the generator's or the machine's.
    pub fn floor_faults(&self) -> Option<Faults> {
        let floors = self.rounds.iter().filter_map(|round| round.floor.as_ref());
        floors.map(Faults::of).reduce(Faults::plus)
    }

    /// The greatest shares of the time in which the server and the generator waited for a processor, where that is enough
    /// to doubt the figures.
    pub fn waits(&self) -> Option<(f64, f64)> {
        const DOUBTFUL: f64 = 0.05;
        let share = |outcome: &Outcome, waited: Option<Duration>| {
            let elapsed = outcome.deliveries.elapsed.as_secs_f64();
            waited.map_or(0.0, |waited| waited.as_secs_f64() / elapsed.max(1e-9))
        };
        let outcomes = self.rounds.iter().map(|round| &round.server);
        let (mut server, mut generator) = (0.0f64, 0.0f64);
        for outcome in outcomes {
            server = server.max(share(outcome, outcome.waited.server));
            generator = generator.max(share(outcome, outcome.waited.generator));
        }
        (server.max(generator) > DOUBTFUL).then_some((server, generator))
    }

    /// The process that was to be looked at and ended before that was done.
    pub fn ended_process(&self) -> Option<u32> {
        let is_unknown = self.rounds.iter().any(|round| round.server.cost.is_none());
        self.plan.server.filter(|_| is_unknown)
    }

    /// What it is called in a sentence: `1000 members, window 16`.
    pub fn title(&self) -> String {
        title(&self.plan)
    }
}

impl Round {
    /// The server's figures by the floor's.
    pub fn ratio(&self) -> Option<Figures> {
        let floor = self.floor.as_ref()?;
        Some(Figures::ratio(
            &Figures::of(&self.server),
            &Figures::of(floor),
        ))
    }
}

impl Faults {
    pub fn of(outcome: &Outcome) -> Faults {
        Faults {
            lost: outcome.deliveries.lost,
            doubled: outcome.deliveries.doubled,
            disordered: outcome.deliveries.disordered,
            unsaid: outcome.deliveries.unsaid,
            cut: outcome.deliveries.cut,
        }
    }

    pub fn any(self) -> bool {
        self != Faults::default()
    }

    fn plus(self, other: Faults) -> Faults {
        Faults {
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            disordered: self.disordered + other.disordered,
            unsaid: self.unsaid + other.unsaid,
            cut: self.cut + other.cut,
        }
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Faults {
            lost,
            doubled,
            disordered,
            unsaid,
            cut,
        } = self;
        let all = [
            (*lost, "lost"),
            (*doubled, "doubled"),
            (*disordered, "out of order"),
        ];
        let mut parts: Vec<String> = all
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", counted(*count, "delivery", "deliveries")))
            .collect();
        if *unsaid > 0 {
            let messages = counted(*unsaid, "message", "messages");
            parts.push(format!("{messages} that could not be sent"));
        }
        if *cut > 0 {
            let members = counted(*cut as u64, "member", "members");
            parts.push(format!("{members} let go by the server"));
        }
        match parts.is_empty() {
            true => f.write_str("nothing lost"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

/// Whom and how fast: `1000 members, window 16`.
pub fn title(plan: &Plan) -> String {
    let members = counted(plan.members as u64, "member", "members");
    format!("{members}, {}", pace(plan.pace))
}

/// A number of things, with the word for one or for several.
fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A pace in words.
pub(super) fn pace(pace: Pace) -> String {
    match pace {
        Pace::Window(window) => format!("window {window}"),
        Pace::Rate(rate) => format!("{rate} messages/s"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;
    use crate::load::{Cost, Deliveries, Lateness, Logins};

    pub fn plan(members: usize, pace: Pace) -> Plan {
        Plan {
            members,
            senders: 1,
            pace,
            payload: 64,
            duration: Duration::from_secs(2),
            warm_up: Duration::from_millis(500),
            logins_in_flight: 16,
            server: None,
        }
    }

    /// What came of two seconds in which each delivery cost so many nanoseconds.
    pub fn outcome(members: usize, received: u64, cost_ns: u64) -> Outcome {
        let mut each = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for n in 1..=1000u64 {
            each.record(100_000 + n * n * cost_ns / 100).unwrap();
        }
        let last = each.clone();
        Outcome {
            logins: Logins {
                members,
                elapsed: Duration::from_millis(members as u64 / 20),
                cpu: Some(Duration::from_micros(17 * members as u64)),
                bytes: 1000,
            },
            deliveries: Deliveries {
                messages: received / members as u64,
                received,
                elapsed: Duration::from_secs(2),
                bytes: received * 99,
                per_read: 1.5,
                ..Deliveries::default()
            },
            lateness: Lateness { each, last },
            cost: Some(Cost {
                cpu: Duration::from_nanos(received * cost_ns),
                memory_before: 3_000_000,
                memory_idle: 3_000_000 + 256 * members as u64,
                memory_peak: Some(5_000_000),
            }),
            busy: 0.8,
            is_bottleneck: false,
            waited: Default::default(),
        }
    }

    pub fn case(members: usize, pace: Pace, rate: u64, cost_ns: u64) -> Case {
        let round = |server: u64, floor: u64| Round {
            server: outcome(members, 2 * rate, server),
            floor: Some(outcome(members, 2 * rate * 11 / 10, floor)),
        };
        Case {
            plan: plan(members, pace),
            rounds: vec![
                round(cost_ns * 105 / 100, cost_ns),
                // The machine was slow, for both.
                round(cost_ns * 208 / 100, cost_ns * 2),
                round(cost_ns * 103 / 100, cost_ns),
            ],
        }
    }

    pub fn report() -> Report {
        let mut cases = Vec::new();
        for members in [100, 1000, 5000] {
            let slower = members / 500;
            cases.push(case(
                members,
                Pace::Window(1),
                431_000,
                2300 + slower as u64,
            ));
            cases.push(case(members, Pace::Window(16), 6_600_000, 144));
            cases.push(case(members, Pace::Window(256), 61_000_000, 18));
        }
        Report {
            command: "mynah bench --members 100,1000,5000 --window 1,16,256 --floor --repeat 3"
                .into(),
            crowd: "tcp-room".into(),
            server: "its own server".into(),
            machine: Machine {
                cpus: 2,
                model: Some("Some Processor 3000".into()),
                kernel: "Linux 6.18.44".into(),
                congestion_control: Some("reno".into()),
                pinned: Some(Pinned {
                    server: 0,
                    generator: 1,
                }),
            },
            cases,
            interrupted: false,
        }
    }

    #[test]
    fn a_slow_machine_does_not_move_the_ratio() {
        let case = case(1000, Pace::Window(1), 431_000, 2000);
        let ratio = case.ratio().unwrap();
        let cpu = ratio.cpu_us_per_delivery.unwrap();
        assert!((cpu - 1.04).abs() < 0.001, "{cpu}");
        let server = case.server().cpu_us_per_delivery.unwrap();
        assert!((server - 2.1).abs() < 0.001, "{server}");
        let per_second = ratio.deliveries_per_s.unwrap();
        assert!((per_second - 1.0 / 1.1).abs() < 0.001, "{per_second}");
    }

    #[test]
    fn faults_are_told_in_words() {
        let faults = Faults {
            lost: 2,
            cut: 1,
            ..Faults::default()
        };
        assert_eq!(
            faults.to_string(),
            "2 deliveries lost, 1 member let go by the server"
        );
        let faults = Faults {
            doubled: 1,
            unsaid: 3,
            cut: 2,
            ..Faults::default()
        };
        assert_eq!(
            faults.to_string(),
            "1 delivery doubled, 3 messages that could not be sent, 2 members let go by the server"
        );
        let alone = title(&plan(1, Pace::Window(1)));
        assert_eq!(alone, "1 member, window 1");
        assert!(faults.any());
        assert!(!report().faults().any());
        assert_eq!(report().faults().to_string(), "nothing lost");
    }
}
