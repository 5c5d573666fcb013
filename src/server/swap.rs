//! Owns how one set of doors and terms takes the place of another in a running server: what is new is opened, then all
//! is changed at once, then what is unwanted is closed; or nothing is.
//!
//! The file is read on a thread of its own, which lives as long as the reading: a disk that answers nobody keeps neither
//! the loop waiting nor the helper, which has saves to make.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::doors::{Door, OpenError, Place, Purpose, Wanted};
use super::driver::{Driver, Opened};
use super::reload::{Reread, Revision, Terms};
use crate::control::{ErrorKind, Last};
use crate::protocol::registry::Protocol;
use crate::reactor::{Helper, Urgency};

/// A reading of the configuration that is under way.
#[derive(Debug)]
pub(super) struct Reading {
    helper: Helper<Result<Revision, String>>,
    /// It was asked for again meanwhile: what is read may be older than what was meant.
    again: bool,
}

/// Ports have numbers of one byte.
const MAX_PORTS: usize = 256;

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
        match start_reading(reread.clone(), &self.waker) {
            Ok(reading) => self.reading = Some(reading),
            Err(error) => self.refuse(&format!("there is no thread to read it: {error}"), now),
        }
    }

    /// Puts what was read in force, if it is.
    pub(super) fn end_reload(&mut self, now: Instant) {
        let Some(reading) = &self.reading else {
            return;
        };
        let Some(result) = reading.helper.finished() else {
            return;
        };
        let again = reading.again;
        self.reading = None;
        match result.and_then(|revision| self.swap(revision, now)) {
            Ok(()) => {
                self.reloads.done += 1;
                self.manager.reloaded(None, now);
                self.tell_reloaders(&Last::done(), now);
            }
            Err(reason) => self.refuse(&reason, now),
        }
        if again {
            self.begin_reload(now);
        }
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
        let Revision { terms, in_force } = revision;
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
            match wanted.open(terms.rules.limits.dead_peer) {
                Ok(door) => doors.push(door),
                Err(error) if wanted.is_optional() => log::warn!("{error}"),
                Err(error) => return Err(self.explain(&error)),
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
        self.server.reconfigure(terms.rules, now);
        self.server.welcome_newcomers(&terms.welcome);
        self.annex.let_in(terms.access.get(&Purpose::Metrics));
        let access = terms.access.iter();
        let chat = access.filter_map(|(purpose, access)| match purpose {
            Purpose::Chat(protocol) => Some((*protocol, access.clone())),
            Purpose::Metrics | Purpose::Control => None,
        });
        let put_out = self.server.let_in(&chat.collect(), now);
        if put_out > 0 {
            log::info!("{put_out} put out: nobody is let in any more from where they are");
        }
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

    /// What is wrong with a door; and whether it is we who are in its way.
    fn explain(&self, error: &OpenError) -> String {
        let port = error.place.address().map(|address| address.port());
        let transport = error.purpose.transport();
        let ours = |(_, place, wanted): &(Opened, &Place, Option<&Wanted>)| {
            wanted.is_some_and(|wanted| wanted.purpose().transport() == transport)
                && place.address().map(|address| address.port()) == port
        };
        let in_use = error.error.kind() == io::ErrorKind::AddrInUse;
        match self.doors().find(ours).filter(|_| in_use) {
            Some((door, ..)) => format!(
                "{error}: this server has that port for {}, and opens what is new before it closes what is old; restart \
                 it for that, or reload it first without that port",
                self.describe(&door)
            ),
            None => error.to_string(),
        }
    }
}

fn start_reading(reread: Reread, waker: &Arc<mio::Waker>) -> io::Result<Reading> {
    let helper = Helper::start(Arc::clone(waker))?;
    let given = helper.submit(Urgency::First, move || reread.read());
    debug_assert!(given.is_ok(), "invariant: a new helper has nothing to do");
    Ok(Reading {
        helper,
        again: false,
    })
}
