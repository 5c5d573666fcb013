//! Owns what the service manager is told that has started the process, and when (sd_notify(3)): that it is ready,
//! reloads, stops; how it is, in a line for people; and that the loop goes round. Knows no socket, and nobody waits for
//! it. Without `NOTIFY_SOCKET` none of it costs anything.

use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::reactor::{Notifier, watchdog_period};

/// The service manager, if there is one that wants to be told.
#[derive(Debug)]
pub(super) struct ServiceManager {
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    notifier: Notifier,
    /// How often it is told that the loop goes round, and when next.
    watchdog: Option<(Duration, Instant)>,
    /// It said no; the log knows.
    is_deaf: bool,
    status: Status,
    /// What it was told of that last, and when it may be told again.
    shown: Option<Status>,
    next_line: Instant,
    retry: Retry,
}

/// When what was not taken is tried again.
#[derive(Debug, Default)]
struct Retry(Option<Instant>);

/// How the server is, in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) members: usize,
    pub(super) rooms: usize,
    pub(super) draining: bool,
    /// Why the last reload came to nothing, until one does not.
    pub(super) not_reloaded: Option<String>,
}

/// A line for people, at the most so often.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What was not taken is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// No watchdog is petted more often, whatever it wants.
const SHORTEST_PET: Duration = Duration::from_millis(1);

/// The longest line, in bytes.
const MAX_LINE: usize = 300;

impl ServiceManager {
    /// As the environment says. A socket that cannot be used is told to the log, and is no reason not to serve.
    pub(super) fn from_environment(now: Instant) -> ServiceManager {
        let notifier = Notifier::from_environment().unwrap_or_else(|error| {
            log::warn!("the service manager is told nothing: NOTIFY_SOCKET: {error}");
            None
        });
        let told = notifier.map(|notifier| Told {
            notifier,
            watchdog: watchdog_period().map(|period| {
                // Half of what it allows, as sd_watchdog_enabled(3) recommends.
                let every = SHORTEST_PET.max(period / 2);
                (every, now + every)
            }),
            is_deaf: false,
            status: Status::default(),
            shown: None,
            next_line: now,
            retry: Retry::default(),
        });
        ServiceManager { told }
    }

    /// Whether anybody is told: otherwise nobody needs to find out what.
    pub(super) fn listens(&self) -> bool {
        self.told.is_some()
    }

    /// All doors are open.
    pub(super) fn ready(&mut self, now: Instant) {
        self.tell(&[NotifyState::Ready], now);
    }

    /// A reload begins.
    pub(super) fn reloading(&mut self, now: Instant) {
        match NotifyState::monotonic_usec_now() {
            // In one datagram, as `Type=notify-reload` wants it.
            Ok(since) => self.tell(&[NotifyState::Reloading, since], now),
            Err(error) => log::error!("the monotonic clock cannot be read: {error}"),
        }
    }

    /// The reload is over, whatever came of it.
    pub(super) fn reloaded(&mut self, not_reloaded: Option<&str>, now: Instant) {
        let Some(told) = &mut self.told else {
            return;
        };
        told.status.not_reloaded = not_reloaded.map(str::to_owned);
        let line = told.status.line();
        told.shown = Some(told.status.clone());
        told.next_line = now + LINE_EVERY;
        self.tell(&[NotifyState::Ready, NotifyState::Status(&line)], now);
    }

    /// The end has begun.
    pub(super) fn stopping(&mut self, now: Instant) {
        self.tell(&[NotifyState::Stopping], now);
    }

    /// A drain has begun, which the status says. It is not the end: whom systemd believes to be stopping it neither stops
    /// nor watches any more (`stop-sigterm` in systemd's `service.c`).
    pub(super) fn draining(&mut self, now: Instant) {
        if let Some(told) = &mut self.told {
            told.next_line = now;
        }
    }

    /// Once in every turn of the loop.
    pub(super) fn turn(&mut self, (members, rooms): (usize, usize), draining: bool, now: Instant) {
        let Some(told) = &mut self.told else {
            return;
        };
        let Status { not_reloaded, .. } = &mut told.status;
        let not_reloaded = not_reloaded.take();
        told.status = Status {
            members,
            rooms,
            draining,
            not_reloaded,
        };
        let result = told.turn(now);
        self.heard(result, now);
    }

    /// When it is to be told something at the latest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let told = self.told.as_ref()?;
        let line = told.has_news().then_some(told.next_line);
        let pet = told.watchdog.map(|(_, next)| next);
        let others = [line, pet, told.retry.0];
        others.into_iter().flatten().min()
    }

    fn tell(&mut self, states: &[NotifyState<'_>], now: Instant) {
        if let Some(told) = &mut self.told {
            let result = told.notifier.tell(states);
            self.heard(result, now);
        }
    }

    /// Has the log told of a manager that cannot be told anything, once; and remembers what it did not take.
    fn heard(&mut self, result: io::Result<()>, now: Instant) {
        let Some(told) = &mut self.told else {
            return;
        };
        told.retry.note(told.notifier.owes(), now);
        if let Err(error) = result
            && !std::mem::replace(&mut told.is_deaf, true)
        {
            log::warn!("the service manager cannot be told anything: {error}");
        }
    }
}

impl Retry {
    /// Something waits, or nothing does. What has a time keeps it: the loop may come by more often than that.
    fn note(&mut self, owes: bool, now: Instant) {
        self.0 = owes.then(|| self.0.unwrap_or(now + RETRY));
    }

    /// Whether it is time; not again before the next time.
    fn is_due(&mut self, now: Instant) -> bool {
        self.0.take_if(|at| *at <= now).is_some()
    }
}

impl Told {
    fn turn(&mut self, now: Instant) -> io::Result<()> {
        if self.retry.is_due(now) {
            self.notifier.go_on()?;
        }
        if let Some((every, next)) = &mut self.watchdog
            && *next <= now
        {
            *next = now + *every;
            self.notifier.mention(&[NotifyState::Watchdog])?;
        }
        if self.has_news() && self.next_line <= now {
            self.next_line = now + LINE_EVERY;
            self.shown = Some(self.status.clone());
            let line = self.status.line();
            self.notifier.mention(&[NotifyState::Status(&line)])?;
        }
        Ok(())
    }

    fn has_news(&self) -> bool {
        self.shown.as_ref() != Some(&self.status)
    }
}

impl Status {
    fn line(&self) -> String {
        let Status {
            members,
            rooms,
            draining,
            not_reloaded,
        } = self;
        let mut line = String::new();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        // Writing to a string fails never.
        let _ = match draining {
            true => write!(line, "draining: {members} member{} left", plural(*members)),
            false => write!(
                line,
                "{members} member{} in {rooms} room{}",
                plural(*members),
                plural(*rooms)
            ),
        };
        if let Some(why) = not_reloaded {
            let _ = write!(line, "; not reloaded: {why}");
        }
        // A line is one line.
        line.retain(|c| !c.is_control());
        line.truncate(line.floor_char_boundary(MAX_LINE));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_is_tried_again_however_often_the_loop_goes_round() {
        let (mut retry, start) = (Retry::default(), Instant::now());
        let mut tries = 0;
        for turn in 0..1000 {
            let now = start + Duration::from_millis(turn);
            tries += usize::from(retry.is_due(now));
            retry.note(true, now);
        }
        assert_eq!(tries, 19, "once in 50 ms");
        retry.note(false, start);
        assert!(!retry.is_due(start + Duration::from_secs(2)));
    }

    #[test]
    fn a_status_is_one_line_for_people() {
        let mut status = Status {
            members: 1,
            rooms: 2,
            ..Status::default()
        };
        assert_eq!(status.line(), "1 member in 2 rooms");
        status.not_reloaded = Some("a.toml:3: x\nREADY=1".into());
        assert_eq!(
            status.line(),
            "1 member in 2 rooms; not reloaded: a.toml:3: xREADY=1"
        );
        status.not_reloaded = Some("ü".repeat(1000));
        assert!((MAX_LINE - 1..=MAX_LINE).contains(&status.line().len()));
        status = Status {
            members: 2,
            draining: true,
            ..Status::default()
        };
        assert_eq!(status.line(), "draining: 2 members left");
    }
}
