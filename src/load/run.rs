//! Owns the course of a run: members come in, warm up, are measured. Knows no protocol.
//!
//! ```text
//!                 all in, and quiet             in flight: none
//!  ComingIn ─────────────────────▶ WarmingUp ──────────────────▶ Measuring ──────▶ Finishing
//!  so many at a time               nothing counts                                  nothing more is sent
//! ```

use std::time::{Duration, Instant};

use super::crew::{Crew, Over, Why};
use super::crowd::Crowd;
use super::failure::Failure;
use super::ledger::Ledger;
use super::outcome::{Cost, Deliveries, Lateness, Logins, Outcome, Progress, Stage, Waited};
use super::plan::{Plan, PlanError};
use super::process::{Process, Times, have_processors, own_times};
use super::scan::Scanner;
use super::talk::{Talk, Talked};
use super::text::Marking;
use super::watch::{Verdict, Watch};
use crate::reactor::raise_descriptor_limit;

/// Nothing is still on its way when nothing came for so long.
const QUIET: Duration = Duration::from_millis(200);

/// A session that has something due within this time has not settled down yet.
const SOON: Duration = Duration::from_secs(2);

/// But it is not waited for longer than that.
const SETTLING: Duration = Duration::from_secs(5);

/// How long nothing may come while members are on their way in: more than any client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(45);

/// Descriptors beside those of members: standard streams, the poll, files of `/proc`.
const OTHER_DESCRIPTORS: u64 = 32;

/// Does what a plan says with members of that crowd, and tells what came of it. `watch` is told about five times a
/// second how far it is, and may stop it: then nothing more is said, what is under way is waited for, and the outcome is of
/// what was done.
///
/// One thread does everything. It waits for the kernel while members come in; while they talk it asks it without ever
/// waiting, where the server may run on another processor, so that no figure has the time in it that waking
/// up takes.
///
/// A member that the server lets go while messages are sent is counted and missed by nobody: what was sent until then
/// and did not reach it is lost. When nothing was received for two seconds, what is under way is waited for no longer:
/// there is room in a window again, and the run ends if nothing more is to be sent.
pub fn run<C: Crowd>(
    plan: &Plan,
    crowd: &C,
    watch: &mut dyn FnMut(&Progress) -> Verdict,
) -> Result<Outcome, Failure> {
    check(plan, crowd)?;
    provide_descriptors(plan, crowd)?;
    let process = plan
        .server
        .map(|pid| Process::open(pid).map_err(|error| Failure::Process { pid, error }));
    let process = process.transpose()?;
    let mut nonce = [0];
    getrandom::fill(&mut nonce).map_err(|error| Failure::System {
        doing: "drawing a number for this run",
        error: std::io::Error::other(error),
    })?;
    let [nonce] = nonce;
    let echoes: Vec<bool> = (0..plan.senders)
        .map(|sender| crowd.echoes(sender))
        .collect();
    let marking = Marking::new(nonce, plan.payload);
    let scanner = Scanner::new(marking);
    let ledger = Ledger::new(plan.members, &echoes);
    let mut crew = Crew::new(crowd, plan.members, plan.senders, scanner, ledger)?;
    let mut watch = Watch::new(crew.start(), watch);
    let outcome = measure(plan, &mut crew, marking, process.as_ref(), &mut watch);
    // The names are to be free again, whatever came of it.
    let left = crew.leave();
    outcome.and_then(|outcome| left.map(|()| outcome))
}

/// All of it, but for leaving.
fn measure<C: Crowd>(
    plan: &Plan,
    crew: &mut Crew<'_, C>,
    marking: Marking,
    process: Option<&Process>,
    watch: &mut Watch<'_>,
) -> Result<Outcome, Failure> {
    let memory_before = process.and_then(|process| process.resident().ok());
    let logins = come_in(plan, crew, process, watch)?;
    let memory_idle = process.and_then(|process| process.resident().ok());
    // Where that is not allowed, the peak would be that of the process's whole life.
    let peaks = process.filter(|process| process.reset_peak().is_ok());

    let mut talk = Talk::new(plan, marking, have_processors(process));
    crew.listen();
    if !plan.warm_up.is_zero() && !watch.is_stopped() {
        talk.go(crew, plan.warm_up, Stage::WarmingUp, watch)?;
        crew.listen();
    }
    let before = (times(process), own_times().ok());
    let talked = match watch.is_stopped() {
        false => talk.go(crew, plan.duration, Stage::Measuring, watch)?,
        true => Talked::default(),
    };
    let server = difference(before.0, times(process));
    let generator = difference(before.1, own_times().ok());
    let cpu = server.map(|times| times.cpu);
    let memory_peak = peaks.and_then(|process| process.peak().ok());

    let counts = crew.ledger().counts();
    let outstanding = crew.ledger().outstanding();
    let tally = crew.tally();
    let (each, last) = crew.ledger().lateness();
    let deliveries = Deliveries {
        messages: counts.messages,
        unsaid: talked.unsaid,
        received: counts.received,
        elapsed: talked.elapsed,
        lost: outstanding,
        doubled: counts.doubled,
        disordered: counts.disordered,
        cut: talk.cut(),
        bytes: tally.bytes,
        per_read: counts.received as f64 / tally.reads.max(1) as f64,
    };
    let cost = match (cpu, memory_before, memory_idle) {
        (Some(cpu), Some(memory_before), Some(memory_idle)) => Some(Cost {
            cpu,
            memory_before,
            memory_idle,
            memory_peak,
        }),
        // It ended meanwhile, or the kernel counts no times.
        _ => None,
    };
    Ok(Outcome {
        logins,
        deliveries,
        lateness: Lateness {
            each: each.clone(),
            last: last.clone(),
        },
        cost,
        busy: talked.busy,
        is_bottleneck: talked.is_bottleneck(plan.pace, cpu),
        waited: Waited {
            server: server.map(|times| times.waited),
            generator: generator.map(|times| times.waited),
        },
    })
}

/// Whether these members can do that.
fn check<C: Crowd>(plan: &Plan, crowd: &C) -> Result<(), PlanError> {
    plan.check()?;
    let most = crowd.longest_text();
    if plan.payload > most {
        let got = plan.payload;
        return Err(PlanError::PayloadOverMessage { got, most });
    }
    let most = crowd.most_members();
    if plan.members > most {
        let got = plan.members;
        return Err(PlanError::TooMany { got, most });
    }
    match plan.members == 1 && !crowd.echoes(0) {
        true => Err(PlanError::NobodyListens),
        false => Ok(()),
    }
}

fn provide_descriptors<C: Crowd>(plan: &Plan, crowd: &C) -> Result<(), Failure> {
    let limit =
        raise_descriptor_limit().map_err(Failure::system("raising the descriptor limit"))?;
    let of = |member| {
        use super::crowd::Datagrams;
        let transport = crowd.transport(member);
        match transport.datagrams {
            None => u64::from(transport.stream.is_some()),
            Some(Datagrams::Server(_)) => 1,
            Some(Datagrams::Broadcast { .. }) => 2,
        }
    };
    let needed = (0..plan.members).map(of).sum::<u64>() + OTHER_DESCRIPTORS;
    // Who has a stream for a moment only.
    let needed = needed + plan.logins_in_flight.min(plan.members) as u64;
    match needed > limit {
        true => Err(Failure::Descriptors {
            members: plan.members,
            needed,
            limit,
        }),
        false => Ok(()),
    }
}

fn times(process: Option<&Process>) -> Option<Times> {
    process.and_then(|process| process.times().ok())
}

fn difference(before: Option<Times>, after: Option<Times>) -> Option<Times> {
    before.zip(after).map(|(before, after)| after.since(before))
}

/// All members come in, the first one alone, then so many at a time; then until nothing more comes.
fn come_in<C: Crowd>(
    plan: &Plan,
    crew: &mut Crew<'_, C>,
    process: Option<&Process>,
    watch: &mut Watch<'_>,
) -> Result<Logins, Failure> {
    let times_before = times(process);
    let begun = crew.now();
    watch.begin(Stage::ComingIn, begun);
    let mut opened = 0;
    let mut last_news = begun;
    let mut known = 0;
    let mut all_in: Option<Instant> = None;
    loop {
        let now = crew.now();
        let inside = crew.tally().inside;
        let at_once = match inside {
            0 => 1,
            _ => plan.logins_in_flight,
        };
        while opened < plan.members && opened - inside < at_once {
            crew.open(opened)?;
            opened += 1;
        }
        crew.send_out();
        if let Some(over) = crew.take_over() {
            return Err(not_in(crew, over));
        }
        if watch.look(now, inside, 0) == Verdict::Stop {
            break;
        }
        if inside > known {
            (known, last_news) = (inside, now);
        }
        let heard_at = crew.tally().heard_at.unwrap_or(begun);
        if inside == plan.members {
            let all_in = *all_in.get_or_insert(now);
            let is_quiet = now.saturating_duration_since(heard_at.max(all_in)) >= QUIET;
            let is_settled = crew.next_deadline().is_none_or(|at| at > now + SOON);
            if is_quiet && (is_settled || now.saturating_duration_since(all_in) > SETTLING) {
                break;
            }
        } else if now.saturating_duration_since(last_news) > PATIENCE {
            return Err(Failure::Silent {
                address: crew.place(opened - 1),
                members: inside,
                waited: PATIENCE.as_secs(),
            });
        }
        let deadline = crew.next_deadline();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        crew.take_in(Some(left.unwrap_or(QUIET).min(QUIET / 4)))?;
        let now = crew.now();
        crew.fall_due(now);
    }
    let tally = crew.tally();
    let spent = difference(times_before, times(process));
    let last = tally.heard_at.unwrap_or(begun).max(begun);
    Ok(Logins {
        members: tally.inside,
        elapsed: last - begun,
        cpu: spent.map(|times| times.cpu),
        bytes: tally.bytes,
    })
}

/// A member that did not come in, or not for long.
fn not_in<C: Crowd>(crew: &Crew<'_, C>, over: Over) -> Failure {
    let Over { member, why } = over;
    let address = crew.place(member);
    match why {
        Why::Refused(reason) => Failure::Refused {
            address,
            member,
            reason,
        },
        Why::Unreachable(error) => Failure::Unreachable { address, error },
        Why::Lost(reason) => Failure::Lost {
            address,
            member,
            reason,
        },
    }
}
