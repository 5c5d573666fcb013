//! `mynah bench`: makes of the flags what is to be measured, starts what is needed for it, shows what came of it.

mod child;
mod floor;
mod machine;
mod order;
mod outputs;
mod settings;
mod watch;
mod work;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

pub use self::floor::run as run_floor;
use self::machine::Cpus;
use self::order::Order;
use self::outputs::Outputs;
use self::watch::Watch;
use self::work::Work;
use crate::cli::BenchArgs;
use crate::reactor::{Signal, raise_descriptor_limit};
use crate::report::{Case, Machine, Report, Round};

/// Measures until it is done or a signal ends it (130, 143 or 129, as a shell says it), and shows what it has. A
/// failure is on standard error already when this returns: 2 for what cannot be asked for, 1 for everything else,
/// deliveries lost on a stream among it.
pub fn run(args: BenchArgs) -> ExitCode {
    match bench(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (reason, status) = match failure {
                Failure::Usage(reason) => (reason, 2),
                Failure::Other(reason) => (reason, 1),
                Failure::Interrupted(signal) => (format!("ended by {signal}"), status_of(signal)),
            };
            // Standard error may be closed, which changes nothing.
            let _ = writeln!(io::stderr(), "mynah: {reason}");
            ExitCode::from(status)
        }
    }
}

/// Why it is not done, or not good.
#[derive(Debug)]
enum Failure {
    /// It was asked for something that cannot be. Exit status 2.
    Usage(String),
    /// Anything else. Exit status 1.
    Other(String),
    /// Somebody wanted it to end.
    Interrupted(Signal),
}

/// As shells do: 128 and its number.
fn status_of(signal: Signal) -> u8 {
    match signal {
        Signal::Hangup => 129,
        Signal::User2 => 140,
        Signal::Interrupt => 130,
        Signal::Terminate | Signal::WindowChange => 143,
    }
}

fn bench(args: BenchArgs) -> Result<(), Failure> {
    let order = Order::of(&args)?;
    // What it cannot be raised to will be told when it is too low.
    if let Ok(limit) = raise_descriptor_limit() {
        order.check_descriptors(limit)?;
    }
    // Before anything is measured that could not be kept.
    let mut outputs = Outputs::open(args.json, args.plot)?;
    let mut work = Work {
        cpus: match order.is_own {
            true => Cpus::choose(),
            false => Cpus::unpinned(),
        },
        watch: Watch::new(args.quiet, order.runs())
            .map_err(|error| Failure::Other(format!("catching signals: {error}")))?,
        runs: 0,
        order: &order,
    };
    let machine = machine::facts(order.has_streams());
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); order.plans.len()];
    let mut ended = Ok(());
    'measured: for _ in 0..order.repeat {
        // Rounds go over all cases: what is slow for a minute is not one case's.
        for (plan, rounds) in order.plans.iter().zip(&mut rounds) {
            match work.round(plan) {
                Ok(round) => rounds.extend(round),
                Err(failure) => {
                    ended = Err(failure);
                    break 'measured;
                }
            }
            if let Some(signal) = work.watch.interrupted() {
                ended = Err(Failure::Interrupted(signal));
                break 'measured;
            }
        }
    }
    work.watch.clear();
    let measured = order.plans.iter().zip(rounds);
    let cases = measured.filter(|(_, rounds)| !rounds.is_empty());
    let report = Report {
        command: command_line(env::args()),
        crowd: order.crowd(),
        server: order.server(),
        machine: Machine {
            pinned: work.cpus.pinned(),
            ..machine
        },
        cases: cases
            .map(|(plan, rounds)| Case {
                plan: *plan,
                rounds,
            })
            .collect(),
        interrupted: matches!(ended, Err(Failure::Interrupted(_))),
    };
    if !report.cases.is_empty() {
        outputs.write(&report)?;
    }
    ended?;
    let faults = report.faults();
    if order.is_stream() && faults.any() {
        return Err(Failure::Other(format!(
            "{faults}, on a stream: these figures are no result"
        )));
    }
    Ok(())
}

/// The command as it can be typed again.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,.:/+@%[]".contains(c);
    let quoted = arguments.skip(1).map(|argument| {
        match !argument.is_empty() && argument.chars().all(plain) {
            true => argument,
            false => format!("'{}'", argument.replace('\'', "'\\''")),
        }
    });
    let all: Vec<String> = std::iter::once("mynah".to_string()).chain(quoted).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_typed_again() {
        let said = |arguments: &[&str]| command_line(arguments.iter().map(|a| a.to_string()));
        assert_eq!(
            said(&["/a b/mynah", "bench", "group=[::1]:7", "-w", "1,16"]),
            "mynah bench group=[::1]:7 -w 1,16"
        );
        assert_eq!(
            said(&["m", "bench", "--plot=a b'c.svg", ""]),
            "mynah bench '--plot=a b'\\''c.svg' ''"
        );
    }
}
