//! Owns logins: who may try a password and when, what the helper is asked to do about it, and what follows.
//! Knows no thread and no disk: the jobs go through `accounts`.
//!
//! ```text
//!                      wrong, or its name is in
//!             ┌───────────────────────────────────────▶ denied
//!             │                            right
//!  PASS ──▶ verify ───────────────────────────────────▶ in the lobby
//!    │                                                      ▲
//!    └────▶ reserve the name ──▶ hash ──▶ save ─── on disk ─┘
//! ```
//!
//! A name without an account that cannot have one (registration is closed, somebody holds the name) is
//! verified against a hash that nothing has: it costs the same and reads the same.

use std::net::IpAddr;

use super::accounts::{Pending, Unsaved};
use super::core::Server;
use super::guest::GuestPlace;
use crate::chat::{Choice, Contact, LOBBY, Name, Refusal};
use crate::reactor::{DatagramPort, Key, MAX_WAITING_JOBS, Stream};
use crate::store::{self, Done, Job, Known, MAX_ACCOUNTS, Password, Secret};

/// Passwords that wait at the most: as many as the helper takes, less the one entry of a plain file that may be
/// with it besides.
const MAX_HASHING: usize = MAX_WAITING_JOBS - 1;

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// A guest wants to be let in as the owner of an account, or to make one.
    pub(super) fn authenticate(&mut self, key: Key, name: &str, password: &str) {
        let guest = self.tenants.guest(key);
        if guest.is_none_or(|guest| guest.id().is_some() || guest.pending) {
            debug_assert!(false, "invariant: sessions ask for what they may");
            return;
        }
        match self.begin_login(key, name, password) {
            Ok(()) => {
                if let Some(guest) = self.tenants.guest_mut(key) {
                    guest.pending = true;
                }
            }
            Err(refusal) => self.refuse(key, refusal),
        }
    }

    fn begin_login(&mut self, key: Key, name: &str, password: &str) -> Result<(), Refusal> {
        let guest = self.tenants.guest(key).ok_or(Refusal::Denied)?;
        let from = guest.peer.ip();
        let name = Name::parse(name).map_err(Refusal::NotAName)?;
        let password = Password::new(password).map_err(|_| Refusal::Denied)?;
        let Server {
            accounts,
            houses,
            entropy,
            now,
            ..
        } = self;
        let accounts = accounts.as_mut().ok_or(Refusal::Denied)?;
        let hub = &mut houses.get_mut(accounts.house).ok_or(Refusal::Denied)?.hub;
        accounts
            .attempts
            .admit(name.as_str(), from, *now)
            .map_err(try_again)?;
        if accounts.hashing >= MAX_HASHING {
            accounts.attempts.withdrawn(name.as_str(), from);
            return Err(Refusal::Busy);
        }
        let cost = accounts.settings.cost;
        let account = accounts.settings.accounts.get(name.as_str());
        let known = account.map(|account| match account.secret() {
            Secret::Hashed(phc) => Known::Hashed(phc.clone()),
            Secret::Plain(kept) => Known::Plain {
                kept: kept.clone(),
                salt: entropy.bits(),
                cost,
            },
        });
        let exists = known.is_some();
        let free = hub.find(LOBBY, name.as_str()).is_none();
        let may_register = !exists
            && free
            && accounts.settings.open
            && accounts.settings.accounts.len() < MAX_ACCOUNTS
            && accounts.settings.accounts.plain_left() == 0;
        if !may_register {
            let known = known.unwrap_or_else(|| Known::Hashed(accounts.dummy.clone()));
            let ticket = accounts.ticket(Pending::Login {
                guest: key,
                name,
                from,
                exists,
            });
            accounts.hashing += 1;
            accounts.jobs.push_back(Job::Verify {
                ticket,
                password,
                known,
            });
            return Ok(());
        }
        if let Err(refused) = accounts.registrations.admit(from, *now) {
            accounts.attempts.withdrawn(name.as_str(), from);
            return Err(try_again(refused));
        }
        // The name is nobody else's until the verdict.
        let id = match hub.hold(Choice::Lobby, name.clone(), Contact::NONE, key) {
            Ok(id) => id,
            Err(refusal) => {
                accounts.withdraw_registration(&name, from);
                return Err(refusal);
            }
        };
        if let Some(guest) = self.tenants.guest_mut(key) {
            guest.place = GuestPlace::Held { id };
        }
        let ticket = accounts.ticket(Pending::Registration {
            guest: key,
            name,
            from,
        });
        accounts.hashing += 1;
        accounts.jobs.push_back(Job::Hash {
            ticket,
            password,
            salt: entropy.bits(),
            cost,
        });
        Ok(())
    }

    /// A password was looked at.
    pub(super) fn end_login(
        &mut self,
        key: Key,
        name: &Name,
        from: IpAddr,
        exists: bool,
        done: Done,
    ) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let (good, rehashed) = match done {
            Done::Verified { good, rehashed, .. } => (good && exists, rehashed),
            Done::NotHashed { error, .. } => {
                log::error!("a password was not looked at: {error}");
                accounts.attempts.withdrawn(name.as_str(), from);
                return self.settle_login(key, Err(Refusal::Busy));
            }
            Done::Hashed { .. } | Done::Saved { .. } => (false, None),
        };
        if let Some(phc) = rehashed
            && good
        {
            accounts.settings.accounts.set_hash(name.as_str(), phc);
            if accounts.settings.accounts.plain_left() == 0 {
                accounts.save();
            }
        }
        if !good {
            return self.settle_login(key, Err(Refusal::Denied));
        }
        // As it was registered. It may have been registered a moment ago, and the disk may have refused it since.
        let Some(account) = accounts.settings.accounts.get(name.as_str()) else {
            accounts.attempts.withdrawn(name.as_str(), from);
            return self.settle_login(key, Err(Refusal::Busy));
        };
        let (registered, house) = (account.name().clone(), accounts.house);
        if self.tenants.guest(key).is_none() {
            return;
        }
        let Some((hub, mut delivery)) = self.desk(house) else {
            return;
        };
        let entered = hub.enter(Choice::Lobby, registered, Contact::NONE, key, &mut delivery);
        let verdict = match entered {
            // That it is in is for its owner to know. It counts as a wrong one as well: who guesses would see
            // otherwise that there are no waits any more.
            Err(Refusal::NameTaken) => Err(Refusal::Denied),
            other => {
                if let Some(accounts) = self.accounts.as_mut() {
                    accounts.attempts.succeeded(name.as_str(), from);
                }
                other.map(|_| ())
            }
        };
        self.settle_login(key, verdict);
    }

    /// A password is hashed that somebody wants to register with.
    pub(super) fn end_hashing(&mut self, guest: Key, name: Name, from: IpAddr, done: Done) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let inserted = match done {
            Done::Hashed { phc, .. } => {
                accounts.settings.accounts.insert(name.clone(), phc).is_ok()
            }
            Done::NotHashed { error, .. } => {
                log::error!("a password was not hashed: {error}");
                false
            }
            Done::Verified { .. } | Done::Saved { .. } => false,
        };
        if !inserted {
            accounts.withdraw_registration(&name, from);
            return self.settle_login(guest, Err(Refusal::Busy));
        }
        let generation = accounts.settings.accounts.generation();
        accounts.unsaved.push(Unsaved {
            guest,
            name,
            from,
            generation,
        });
        accounts.save();
    }

    /// The verdict on a login.
    pub(super) fn settle_login(&mut self, key: Key, verdict: Result<(), Refusal>) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        guest.pending = false;
        guest.heard = self.now;
        match verdict {
            Ok(()) => {
                let secret = self.entropy.secret();
                self.welcome(key, Some(secret));
            }
            Err(refusal) => {
                self.counters.denied += u64::from(refusal == Refusal::Denied);
                self.free_name(key);
                self.refuse_and_remember(key, refusal);
            }
        }
    }

    /// Gives up a name that was kept for a guest.
    fn free_name(&mut self, key: Key) {
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        let house = guest.house();
        if let GuestPlace::Held { id } = guest.place {
            guest.place = GuestPlace::Nowhere;
            if let Some((hub, mut delivery)) = self.desk(house) {
                hub.leave(id, &mut delivery);
            }
        }
    }
}

fn try_again(refused: store::TryAgain) -> Refusal {
    Refusal::TryAgain {
        seconds: u32::try_from(refused.seconds).unwrap_or(u32::MAX),
    }
}
