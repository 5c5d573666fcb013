//! Owns how one set of doors and terms takes the place of another in a running server: what is new is opened, then all
//! is changed at once, then what is unwanted is closed; or nothing is. What is new may be where something unwanted is.
//!
//! The file is read on a thread of its own, which lives as long as the reading: a disk that answers nobody keeps neither
//! the loop waiting nor the helper, which has saves to make. After a while nobody waits for that thread any more.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::doors::{Door, OpenError, Place, Purpose, Wanted};
use super::driver::{Driver, Opened};
use super::port::MAX_PORTS;
use super::reload::{Reread, Revision, Terms};
use crate::control::{ErrorKind, Last};
use crate::protocol::registry::Protocol;
use crate::reactor::{DeadPeer, Helper, Urgency};

/// A reading of the configuration that is under way.
#[derive(Debug)]
pub(super) struct Reading {
    helper: Helper<Result<Revision, String>>,
    /// It was asked for again meanwhile: what is read may be older than what was meant.
    again: bool,
    /// Until when it is waited for.
    until: Instant,
}

/// Readings are waited for so long. A local disk takes a millisecond; one in a network that is gone, for ever.
const READING_TIME: Duration = Duration::from_secs(5);

/// Threads that may be stuck at readings that nobody waits for any more.
const MAX_STUCK: usize = 4;

impl Driver {
    /// Has the configuration read anew.
    pub(super) fn begin_reload(&mut self, now: Instant) {
        let Some(reread) = &self.reread else {
            return;
        };
        if !self.is_serving() {
            self.reloads.refused += 1;
            log::warn!("not reloaded: the server is about to stop");
            return;
        }
        if let Some(reading) = &mut self.reading {
            reading.again = true;
            return;
        }
        self.manager.reloading(now);
        // Whatever they have found by now is too old.
        self.stuck
            .retain(|reading| reading.helper.finished().is_none());
        if self.stuck.len() >= MAX_STUCK {
            let stuck = self.stuck.len();
            let reason = format!("it was tried {stuck} times, and its disk answers none of them");
            self.refuse(&reason, now);
            return;
        }
        match start_reading(reread.clone(), &self.waker, now + READING_TIME) {
            Ok(reading) => self.reading = Some(reading),
            Err(error) => self.refuse(&format!("there is no thread to read it: {error}"), now),
        }
    }

    /// Puts what was read in force, if it is.
    pub(super) fn end_reload(&mut self, now: Instant) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        let Some(result) = reading.helper.finished() else {
            self.wait_on(reading, now);
            return;
        };
        let again = reading.again;
        let swapped = result.and_then(|mut revision| {
            let changes = std::mem::take(&mut revision.changes);
            self.swap(revision, now).map(|()| changes)
        });
        match swapped {
            Ok(changes) => {
                self.reloads.done += 1;
                self.manager.reloaded(None, now);
                self.tell_reloaders(&Last::changes(changes), now);
            }
            Err(reason) => self.refuse(&reason, now),
        }
        if again {
            self.begin_reload(now);
        }
    }

    /// Nothing is read as yet; at some time that is waited for no longer, and the next one begins anew.
    fn wait_on(&mut self, reading: Reading, now: Instant) {
        if now < reading.until {
            self.reading = Some(reading);
            return;
        }
        let again = reading.again;
        self.stuck.push(reading);
        let seconds = READING_TIME.as_secs();
        self.refuse(
            &format!("it could not be read within {seconds} s: its disk does not answer"),
            now,
        );
        if again {
            self.begin_reload(now);
        }
    }

    /// Until when what is being read is waited for.
    pub(super) fn reading_deadline(&self) -> Option<Instant> {
        self.reading.as_ref().map(|reading| reading.until)
    }

    /// The server is about to stop: nobody waits for what is being read.
    pub(super) fn forget_reload(&mut self, now: Instant) {
        if self.reading.take().is_some() {
            self.refuse("the server is about to stop", now);
            let last = Last::error(ErrorKind::Failed, "the server is about to stop");
            self.tell_reloaders(&last, now);
        }
    }

    fn refuse(&mut self, reason: &str, now: Instant) {
        self.reloads.refused += 1;
        log::error!("not reloaded, everything stays as it is: {reason}");
        self.manager.reloaded(Some(reason), now);
        let why = format!("everything stays as it is: {reason}");
        self.tell_reloaders(&Last::error(ErrorKind::Failed, why), now);
    }

    /// Tells those who asked for it how it went. Who asked while it was read hears of the next one.
    fn tell_reloaders(&mut self, last: &Last, now: Instant) {
        let reloaders = std::mem::take(&mut self.reloaders);
        for (asker, next) in reloaders {
            match next {
                true => self.reloaders.push((asker, false)),
                false => self.annex.answer(asker.into(), last.to_line(), now),
            }
        }
    }

    /// Changes everything to what the revision says, or nothing.
    fn swap(&mut self, revision: Revision, now: Instant) -> Result<(), String> {
        let Revision {
            terms, in_force, ..
        } = revision;
        let (unwanted, missing) = self.compare(&terms.doors);
        let logs_in = |wanted: &&Wanted| wanted.purpose() == Purpose::Chat(Protocol::UdpLogin);
        if let Some(wanted) = missing.iter().find(logs_in)
            && !self.serves_logins
        {
            return Err(format!(
                "udp-login on {} is new, and accounts are served only where they were at the start: restart the server \
                 for it",
                wanted.place()
            ));
        }
        let mut doors = Vec::new();
        for wanted in &missing {
            match self.open_in_place_of(&unwanted, wanted, terms.rules.limits.dead_peer) {
                Ok(door) => doors.push(door),
                Err(error) if wanted.is_optional() => log::warn!("{error}"),
                Err(error) => return Err(self.explain(&error, &unwanted)),
            }
        }
        let opened = self.take_in(doors)?;
        // From here on nothing is refused any more.
        for door in &opened {
            log::info!("listening for {}", self.describe(door));
        }
        for door in unwanted {
            log::info!("not listening any more for {}", self.describe(&door));
            self.close(&door);
        }
        if terms.rules.limits.dead_peer != self.terms.rules.limits.dead_peer
            && let Err(error) = self.entrances.give_up_peers(terms.rules.limits.dead_peer)
        {
            log::warn!("who comes is given up as before: {error}");
        }
        self.put_in_force(&terms, now);
        self.terms = terms;
        in_force();
        Ok(())
    }

    /// Has the server go by those terms.
    pub(super) fn put_in_force(&mut self, terms: &Terms, now: Instant) {
        self.annex.let_in(terms.access.get(&Purpose::Metrics));
        let put_out = self.server.go_by(terms, now);
        if put_out > 0 {
            log::info!("{put_out} put out: nobody is let in any more from where they are");
        }
    }

    /// Opens a door. Another may have its address that goes for it: for the moment in which both are there they share it,
    /// so that there is always one that people find, and nothing is closed before all is open.
    fn open_in_place_of(
        &mut self,
        unwanted: &[Opened],
        wanted: &Wanted,
        dead_peer: DeadPeer,
    ) -> Result<Door, OpenError> {
        let error = match wanted.open(dead_peer) {
            Err(error) if error.error.kind() == io::ErrorKind::AddrInUse => error,
            result => return result,
        };
        let in_the_way = unwanted.iter().filter(|door| self.has_port(door, &error));
        let in_the_way: Vec<Opened> = in_the_way.copied().collect();
        if in_the_way.is_empty() {
            return Err(error);
        }
        let mut shared = Ok(());
        for door in &in_the_way {
            shared = shared.and(self.share(door, true));
        }
        let opened = match shared {
            Ok(()) => wanted.open_beside(dead_peer),
            Err(_) => Err(error),
        };
        for door in &in_the_way {
            if let Err(error) = self.share(door, false) {
                log::warn!("{} shares its address: {error}", self.describe(door));
            }
        }
        opened
    }

    /// Whether a door has the port that could not be had.
    fn has_port(&self, door: &Opened, error: &OpenError) -> bool {
        let port = |place: &Place| place.address().map(|address| address.port());
        self.place(door).is_some_and(|(purpose, place)| {
            purpose.transport() == error.purpose.transport()
                && port(place).is_some()
                && port(place) == port(&error.place)
        })
    }

    /// Which of the doors are not among those, and which of those are not there.
    fn compare(&self, doors: &[Wanted]) -> (Vec<Opened>, Vec<Wanted>) {
        let mut missing = doors.to_vec();
        let mut unwanted = Vec::new();
        for (door, place, wanted) in self.doors() {
            // Those that were handed over stay.
            let Some(wanted) = wanted else {
                continue;
            };
            // Each stands for one: two on port 0 are two. And one on port 0 is where the kernel has put it.
            let is_it = |other: &Wanted| other.is_at_the_door(wanted) || *other == wanted.at(place);
            match missing.iter().position(is_it) {
                Some(at) => drop(missing.remove(at)),
                None => unwanted.push(door),
            }
        }
        (unwanted, missing)
    }

    /// Has the kernel tell of all of them, or of none.
    fn take_in(&mut self, doors: Vec<Door>) -> Result<Vec<Opened>, String> {
        let is_port = |door: &&Door| door.is_port();
        if self.ports.len() + doors.iter().filter(is_port).count() > MAX_PORTS {
            return Err(format!("there are more than {MAX_PORTS} UDP ports"));
        }
        let mut opened = Vec::new();
        for door in doors {
            let (purpose, place) = (door.purpose(), door.place().clone());
            match self.open(door) {
                Ok(door) => opened.push(door),
                Err(error) => {
                    for door in opened {
                        self.close(&door);
                    }
                    let error = OpenError {
                        purpose,
                        place,
                        error,
                    };
                    return Err(error.to_string());
                }
            }
        }
        Ok(opened)
    }

    /// What is wrong with a door; and whether it is one of ours that is in its way and stays.
    fn explain(&self, error: &OpenError, unwanted: &[Opened]) -> String {
        let in_use = error.error.kind() == io::ErrorKind::AddrInUse;
        let mut staying = self.doors().map(|(door, ..)| door);
        let in_the_way =
            staying.find(|door| in_use && !unwanted.contains(door) && self.has_port(door, error));
        match in_the_way {
            Some(door) => format!(
                "{error}: this server has that port for {}",
                self.describe(&door)
            ),
            None => error.to_string(),
        }
    }
}

fn start_reading(reread: Reread, waker: &Arc<mio::Waker>, until: Instant) -> io::Result<Reading> {
    let helper = Helper::start(Arc::clone(waker))?;
    let given = helper.submit(Urgency::First, move || reread.read());
    debug_assert!(given.is_ok(), "invariant: a new helper has nothing to do");
    Ok(Reading {
        helper,
        again: false,
        until,
    })
}
