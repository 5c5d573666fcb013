//! Owns who says what when, and how long that goes on. Knows no protocol and no socket.

use std::time::{Duration, Instant};

use super::crew::Crew;
use super::crowd::Crowd;
use super::failure::Failure;
use super::outcome::Stage;
use super::plan::{Pace, Plan};
use super::text::Marking;
use super::watch::Watch;

/// The talking of one run.
pub struct Talk {
    marking: Marking,
    pace: Pace,
    /// Members that talk, as long as they are there.
    senders: Vec<u16>,
    /// Whose turn it is.
    turn: usize,
    /// Whether the kernel is asked without waiting.
    spins: bool,
    cut: usize,
    text: Vec<u8>,
}

/// What one stage of it came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talked {
    /// From the first message to the last receipt.
    pub elapsed: Duration,
    /// The share of that in which something was done.
    pub busy: f64,
    /// Messages sent, and those of them sent late by our own fault.
    messages: u64,
    late: u64,
    /// Sockets that were ready, and how often any was.
    ready: u64,
    polls: u64,
}

/// What nobody received for so long is waited for no longer.
const SILENCE: Duration = Duration::from_secs(2);

/// A message that is made later than this after it was due is late by our own fault.
const LATE: Duration = Duration::from_millis(1);

/// More than this share of them, and we were the bottleneck.
const LATE_SHARE: f64 = 0.01;

/// We may have been the bottleneck if we never rested,
const BUSY: f64 = 0.95;

/// and found more than that many sockets ready at a time,
const READY: f64 = 64.0;

/// and the server did rest.
const SERVER_BUSY: f64 = 0.9;

impl Talk {
    pub fn new(plan: &Plan, marking: Marking, spins: bool) -> Talk {
        Talk {
            marking,
            pace: plan.pace,
            senders: (0..plan.senders).map(|sender| sender as u16).collect(),
            turn: 0,
            spins,
            cut: 0,
            text: Vec::new(),
        }
    }

    /// How many members the server has let go.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// Talks for so long, then waits until everything that was said is heard.
    pub fn go<C: Crowd>(
        &mut self,
        crew: &mut Crew<'_, C>,
        duration: Duration,
        stage: Stage,
        watch: &mut Watch<'_>,
    ) -> Result<Talked, Failure> {
        let mut talked = Talked::default();
        let begun = crew.now();
        let end = begun + duration;
        watch.begin(stage, begun);
        let mut sends = true;
        let mut now = begun;
        let mut idle = Duration::ZERO;
        let mut received = 0;
        let mut received_at = begun;
        loop {
            let said = match sends && !watch.is_stopped() {
                true => self.say(crew, begun, end, now, &mut talked),
                false => 0,
            };
            if sends && (now >= end || watch.is_stopped() || self.senders.is_empty()) {
                sends = false;
                if stage == Stage::Measuring {
                    watch.begin(Stage::Finishing, now);
                }
            }
            crew.send_out();
            self.miss(crew);
            if !sends && crew.ledger().outstanding() == 0 {
                break;
            }

            let timeout = match self.spins {
                true => Duration::ZERO,
                false => self.rest(crew, begun, now, sends.then_some(end), watch, &talked),
            };
            let before = match self.spins {
                true => now,
                false => Instant::now(),
            };
            let (ready, woken) = crew.take_in(Some(timeout))?;
            now = match ready {
                0 => woken,
                _ => crew.now(),
            };
            if !self.spins || (ready == 0 && said == 0) {
                idle += woken.saturating_duration_since(before);
            }
            talked.ready += ready as u64;
            talked.polls += u64::from(ready > 0);

            if crew.next_deadline().is_some_and(|at| at <= now) {
                crew.fall_due(now);
            }
            self.miss(crew);
            let counts = crew.ledger().counts();
            if counts.received > received {
                (received, received_at) = (counts.received, now);
            }
            let silent = now.saturating_duration_since(received_at.max(begun));
            if silent > SILENCE {
                let long_ago = (now - crew.start()).saturating_sub(SILENCE);
                crew.ledger().give_up(long_ago.as_nanos() as u64);
                if !sends {
                    break;
                }
            }
            let members = crew.tally().inside;
            watch.look(now, members, counts.received);
        }
        let elapsed = received_at.saturating_duration_since(begun);
        talked.elapsed = elapsed;
        let spent = now.saturating_duration_since(begun);
        if !spent.is_zero() {
            talked.busy = 1.0 - idle.as_secs_f64() / spent.as_secs_f64();
        }
        Ok(talked)
    }

    /// Says what may be said, or is to be said, at this time. Returns how much that was.
    fn say<C: Crowd>(
        &mut self,
        crew: &mut Crew<'_, C>,
        begun: Instant,
        end: Instant,
        now: Instant,
        talked: &mut Talked,
    ) -> usize {
        let mut said = 0;
        match self.pace {
            Pace::Window(_) if now >= end => {}
            Pace::Window(window) => {
                // No more than that at once, even if nobody were there to hear it.
                while said < window as usize && crew.ledger().in_flight() < window as usize {
                    if !self.say_one(crew, now) {
                        break;
                    }
                    said += 1;
                }
                talked.messages += said as u64;
            }
            Pace::Rate(rate) => loop {
                let due = due(begun, talked.messages, rate);
                // What was due in time is said, however late that is noticed.
                if due > now || due >= end || !self.say_one(crew, due) {
                    break;
                }
                said += 1;
                talked.messages += 1;
                talked.late += u64::from(now.saturating_duration_since(due) > LATE);
            },
        }
        said
    }

    /// The next sender who can says something that is due then. Whether anybody could.
    fn say_one<C: Crowd>(&mut self, crew: &mut Crew<'_, C>, due: Instant) -> bool {
        for _ in 0..self.senders.len() {
            let Some(sender) = self.senders.get(self.turn).copied() else {
                self.turn = 0;
                continue;
            };
            self.turn = (self.turn + 1) % self.senders.len();
            let number = usize::from(sender);
            if crew.is_congested(number) {
                continue;
            }
            let Some(id) = crew.ledger().next_id(sender) else {
                continue;
            };
            let due = due.saturating_duration_since(crew.start()).as_nanos() as u64;
            self.marking.write(id, due, &mut self.text);
            let text = std::str::from_utf8(&self.text).expect("invariant: a message is ASCII");
            let members = crew.tally().inside;
            crew.ledger().send(sender, due, members);
            crew.say(number, text);
            return true;
        }
        false
    }

    /// Lets go of those whom the server has let go.
    fn miss<C: Crowd>(&mut self, crew: &mut Crew<'_, C>) {
        while let Some(over) = crew.take_over() {
            if crew.let_go(over.member) {
                self.cut += 1;
                crew.ledger().cut(over.member);
                self.senders
                    .retain(|sender| usize::from(*sender) != over.member);
                self.turn = 0;
            }
        }
    }

    /// How long there is nothing to do unless something comes. The kernel counts in milliseconds and rounds up, so
    /// the last one is not slept through.
    fn rest<C: Crowd>(
        &self,
        crew: &Crew<'_, C>,
        begun: Instant,
        now: Instant,
        end: Option<Instant>,
        watch: &Watch<'_>,
        talked: &Talked,
    ) -> Duration {
        let next = match (self.pace, end) {
            (Pace::Rate(rate), Some(end)) => Some(due(begun, talked.messages, rate).min(end)),
            (Pace::Rate(_), None) => None,
            (Pace::Window(_), end) => end,
        };
        let wakes = [next, crew.next_deadline(), Some(watch.next())];
        let wake = wakes.into_iter().flatten().min().unwrap_or(now);
        let left = wake.saturating_duration_since(now);
        Duration::from_millis(left.as_millis() as u64)
    }
}

impl Talked {
    /// Whether we, not the server, set the pace: at a window, if we never rested, many sockets were ready whenever we
    /// looked, and the server (if its processor time is known) did rest; at a rate, if we did not keep it.
    pub fn is_bottleneck(&self, plan: &Plan, cpu: Option<Duration>) -> bool {
        match plan.pace {
            Pace::Window(_) => {
                let ready = self.ready as f64 / self.polls.max(1) as f64;
                let elapsed = self.elapsed.as_secs_f64();
                let rested = cpu.is_none_or(|cpu| cpu.as_secs_f64() < SERVER_BUSY * elapsed);
                self.busy > BUSY && ready > READY && rested
            }
            Pace::Rate(_) => self.late as f64 > LATE_SHARE * self.messages as f64,
        }
    }
}

/// When that message of an even pace is to be said.
fn due(begun: Instant, number: u64, rate: f64) -> Instant {
    begun + Duration::from_secs_f64(number as f64 / rate)
}
