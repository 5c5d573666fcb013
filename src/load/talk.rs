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
    /// From the first message to the last receipt; at a rate, at least the time in which messages were due.
    pub elapsed: Duration,
    /// The share of all the time in which something was done.
    pub busy: f64,
    /// Messages that were due and that nobody could say.
    pub unsaid: u64,
    /// From the first message until nothing was waited for any more.
    spent: Duration,
    /// Messages sent, and those of them sent late by our own fault.
    messages: u64,
    late: u64,
    /// When everybody who might have said something had to wait for the server, the last time that was so.
    held_back: Option<Instant>,
}

/// What comes of trying to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Yes,
    /// All senders have too much to send as it is.
    Congested,
    /// There is no sender left.
    Nobody,
}

/// What nobody received for so long is waited for no longer.
const SILENCE: Duration = Duration::from_secs(2);

/// For so long after the end of a rate messages are said that were due before it.
const OVERTIME: Duration = Duration::from_secs(5);

/// A message that is made later than this after it was due is late by our own fault: a round of receipts takes less.
const LATE: Duration = Duration::from_millis(5);

/// More than this share of them, and we were the bottleneck,
const LATE_SHARE: f64 = 0.01;

/// if they are not fewer than this,
const LEAST_LATE: u64 = 10;

/// and we had no more rest than this: otherwise it was a burst that we were late for, or others had our processor.
const BUSY_AT_A_RATE: f64 = 0.5;

/// With a window we were if we never rested,
const BUSY: f64 = 0.95;

/// and the server did.
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
        // How long messages were due.
        let mut asked = Duration::ZERO;
        let mut ended_at = begun;
        let mut now = begun;
        let mut idle = Duration::ZERO;
        let mut received = 0;
        let mut received_at = begun;
        loop {
            let said = match sends && !watch.is_stopped() {
                true => {
                    asked = duration.min(now.saturating_duration_since(begun));
                    self.say(crew, begun, end, now, &mut talked)
                }
                false => 0,
            };
            if sends && self.is_over(now, begun, duration, watch, &talked) {
                sends = false;
                ended_at = now;
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
                // Whoever was silent to the end has as long as that from then on.
                if !sends && now.saturating_duration_since(ended_at) > SILENCE {
                    break;
                }
            }
            let members = crew.tally().inside;
            watch.look(now, members, counts.received);
        }
        talked.elapsed = received_at.saturating_duration_since(begun);
        if let Pace::Rate(rate) = self.pace {
            talked.elapsed = talked.elapsed.max(asked);
            talked.unsaid = due_within(asked, rate).saturating_sub(talked.messages);
        }
        talked.spent = now.saturating_duration_since(begun);
        if !talked.spent.is_zero() {
            talked.busy = 1.0 - idle.as_secs_f64() / talked.spent.as_secs_f64();
        }
        Ok(talked)
    }

    /// Whether nothing more is to be said.
    fn is_over(
        &self,
        now: Instant,
        begun: Instant,
        duration: Duration,
        watch: &Watch<'_>,
        talked: &Talked,
    ) -> bool {
        let since = now.saturating_duration_since(begun);
        let is_said = match self.pace {
            Pace::Window(_) => true,
            Pace::Rate(rate) => due(talked.messages, rate) >= duration,
        };
        watch.is_stopped()
            || self.senders.is_empty()
            || since >= duration && (is_said || since >= duration + OVERTIME)
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
                    if self.say_one(crew, now) != Said::Yes {
                        break;
                    }
                    said += 1;
                }
                talked.messages += said as u64;
            }
            Pace::Rate(rate) => loop {
                let due = begun + due(talked.messages, rate);
                // What was due in time is said, however late that is noticed.
                if due > now || due >= end {
                    break;
                }
                match self.say_one(crew, due) {
                    Said::Yes => {}
                    Said::Congested => {
                        talked.held_back = Some(now);
                        break;
                    }
                    Said::Nobody => break,
                }
                said += 1;
                talked.count(due, now);
            },
        }
        said
    }

    /// The next sender who can says something that is due then.
    fn say_one<C: Crowd>(&mut self, crew: &mut Crew<'_, C>, due: Instant) -> Said {
        let mut said = Said::Nobody;
        for _ in 0..self.senders.len() {
            let Some(sender) = self.senders.get(self.turn).copied() else {
                self.turn = 0;
                continue;
            };
            self.turn = (self.turn + 1) % self.senders.len();
            let number = usize::from(sender);
            if crew.is_congested(number) {
                said = Said::Congested;
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
            return Said::Yes;
        }
        said
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
            (Pace::Rate(rate), Some(end)) => {
                let due = begun + due(talked.messages, rate);
                // Who is held back is woken when the kernel takes more.
                let is_held_back = talked.held_back == Some(now);
                Some(match is_held_back {
                    true if now >= end => end + OVERTIME,
                    true => end,
                    false => due.min(end),
                })
            }
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
    /// A message that was due then is said now.
    fn count(&mut self, due: Instant, now: Instant) {
        self.messages += 1;
        let is_ours = self.held_back.is_none_or(|held_back| held_back < due);
        let is_late = now.saturating_duration_since(due) > LATE;
        self.late += u64::from(is_late && is_ours);
    }

    /// Whether we, not the server, set the pace: at a window, if we never rested and the server (if its processor time
    /// is known) did; at a rate, if we did not keep it and hardly rested.
    pub fn is_bottleneck(&self, pace: Pace, cpu: Option<Duration>) -> bool {
        match pace {
            Pace::Window(_) => {
                let most = SERVER_BUSY * self.spent.as_secs_f64();
                self.busy > BUSY && cpu.is_none_or(|cpu| cpu.as_secs_f64() < most)
            }
            Pace::Rate(_) => {
                let many = LATE_SHARE * self.messages as f64;
                let is_late = self.late >= LEAST_LATE && self.late as f64 > many;
                self.busy > BUSY_AT_A_RATE && is_late
            }
        }
    }
}

/// How long after the first that message of an even pace is to be said.
fn due(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

/// How many messages of an even pace are due before so much time is over.
fn due_within(time: Duration, rate: f64) -> u64 {
    let mut count = (time.as_secs_f64() * rate).ceil() as u64;
    // Neither product nor quotient is exact.
    while due(count, rate) < time {
        count += 1;
    }
    while count > 0 && due(count - 1, rate) >= time {
        count -= 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn messages_are_due_at_an_even_pace_from_the_first_on() {
        for (number, rate, wanted) in [
            (0, 0.5, millis(0)),
            (1, 0.5, millis(2000)),
            (3, 100.0, millis(30)),
            (86_400_000, 1000.0, millis(86_400_000)),
            (1, 1e8, Duration::from_nanos(10)),
        ] {
            assert_eq!(due(number, rate), wanted, "{number} at {rate}");
        }
    }

    #[test]
    fn as_many_are_due_as_begin_within_the_time() {
        for (time, rate, wanted) in [
            (millis(0), 100.0, 0),
            (millis(1), 100.0, 1),
            (millis(10), 100.0, 1),
            (millis(11), 100.0, 2),
            (millis(1000), 0.5, 1),
            (millis(2001), 0.5, 2),
            (millis(300), 200.0, 60),
            (millis(700), 30.0, 21),
            (millis(86_400_000), 333.3, 28_797_120),
        ] {
            assert_eq!(due_within(time, rate), wanted, "{time:?} at {rate}");
            assert!(wanted == 0 || due(wanted - 1, rate) < time);
            assert!(due(wanted, rate) >= time);
        }
    }

    #[test]
    fn only_what_nobody_held_back_is_late_by_our_fault() {
        let begun = Instant::now();
        for (held_back, due, now, late) in [
            (None, 0, 5, 0),
            (None, 0, 6, 1),
            (Some(3), 0, 6, 0),
            (Some(3), 3, 20, 0),
            (Some(3), 4, 20, 1),
            (Some(3), 16, 20, 0),
        ] {
            let mut talked = Talked {
                held_back: held_back.map(|at| begun + millis(at)),
                ..Talked::default()
            };
            talked.count(begun + millis(due), begun + millis(now));
            assert_eq!(
                (talked.messages, talked.late),
                (1, late),
                "{held_back:?} {due} {now}"
            );
        }
    }

    #[test]
    fn a_rate_that_we_did_not_keep_makes_us_the_bottleneck() {
        for (messages, late, busy, wanted) in [
            (3, 1, 1.0, false),
            (3, 3, 1.0, false),
            (9, 9, 1.0, false),
            (10, 10, 1.0, true),
            (1000, 10, 1.0, false),
            (1000, 11, 1.0, true),
            (1000, 1000, 0.51, true),
            (1000, 1000, 0.5, false),
            (1000, 1000, 0.01, false),
            (100_000, 1000, 1.0, false),
            (100_000, 1001, 1.0, true),
            (0, 0, 1.0, false),
        ] {
            let talked = Talked {
                messages,
                late,
                busy,
                ..Talked::default()
            };
            let told = talked.is_bottleneck(Pace::Rate(100.0), None);
            assert_eq!(told, wanted, "{late} of {messages}, {busy}");
        }
    }

    #[test]
    fn a_window_that_we_filled_without_a_rest_makes_us_the_bottleneck_if_the_server_had_one() {
        for (busy, cpu, wanted) in [
            (1.0, Some(800), true),
            (1.0, Some(900), false),
            (1.0, Some(1000), false),
            (1.0, None, true),
            (0.96, Some(0), true),
            (0.95, Some(0), false),
            (0.3, None, false),
        ] {
            let talked = Talked {
                busy,
                spent: millis(1000),
                ..Talked::default()
            };
            let told = talked.is_bottleneck(Pace::Window(1), cpu.map(millis));
            assert_eq!(told, wanted, "{busy} {cpu:?}");
        }
    }
}
