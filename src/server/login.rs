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

use super::accounts::{Accounts, Pending, Unsaved};
use super::core::Server;
use super::guest::GuestPlace;
use crate::chat::{Choice, Contact, LOBBY, MemberId, Name, Refusal};
use crate::reactor::{DatagramPort, Key, MAX_WAITING_JOBS, Stream};
use crate::store::{self, Done, Job, Known, Password, Secret};

/// Passwords that wait at the most: as many as the helper takes, less the one entry of a plain file that may be
/// with it besides.
pub(super) const MAX_HASHING: usize = MAX_WAITING_JOBS - 1;

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
        let house = self.accounts.as_ref().map(Accounts::house);
        let ours = house.is_some_and(|house| self.is_a_gateways(house, name.as_str()));
        let Server {
            accounts,
            houses,
            entropy,
            now,
            draining,
            ..
        } = self;
        if *draining {
            return Err(Refusal::Draining);
        }
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
        let is_changed = accounts.is_being_changed(name.as_str());
        let free = hub.find(LOBBY, name.as_str()).is_none();
        let may_register = !exists
            && free
            && !is_changed
            && !ours
            && accounts.settings.open
            && !accounts.settings.accounts.is_full();
        // Nothing can be saved yet. That is no secret, and no fault of who asks.
        if may_register && accounts.settings.accounts.plain_left() > 0 {
            accounts.attempts.withdrawn(name.as_str(), from);
            return Err(Refusal::Busy);
        }
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
                accounts.attempts.withdrawn(name.as_str(), from);
                self.note_not_hashed(&error);
                return self.settle_login(key, Err(Refusal::Busy));
            }
            Done::Hashed { .. } | Done::Saved { .. } | Done::BansSaved { .. } => (false, None),
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
        // Nobody is let in before the disk has the account, not even where its first owner has gone.
        if accounts.is_unsaved(name) {
            accounts.attempts.withdrawn(name.as_str(), from);
            return self.settle_login(key, Err(Refusal::Busy));
        }
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
        // Who has gone meanwhile has given the name up: it may be somebody else's by now.
        let holds = self.held_by(guest, &name).is_some();
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let inserted = match done {
            Done::Hashed { phc, .. } if holds => {
                accounts.settings.accounts.insert(name.clone(), phc).is_ok()
            }
            Done::NotHashed { error, .. } => {
                accounts.withdraw_registration(&name, from);
                self.note_not_hashed(&error);
                return self.settle_login(guest, Err(Refusal::Busy));
            }
            Done::Hashed { .. }
            | Done::Verified { .. }
            | Done::Saved { .. }
            | Done::BansSaved { .. } => false,
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
        let now = self.moment();
        let Some(guest) = self.tenants.guest_mut(key) else {
            return;
        };
        guest.pending = false;
        guest.heard = now;
        match verdict {
            Ok(()) => {
                let secret = self.entropy.secret();
                self.welcome(key, Some(secret));
            }
            Err(refusal) => {
                self.free_name(key);
                self.refuse_and_remember(key, refusal);
            }
        }
    }

    /// Counts a password for which there was no memory, and has the log told.
    fn note_not_hashed(&mut self, error: &store::HashError) {
        self.counters.not_hashed += 1;
        self.notes.not_hashed(self.now, error);
        self.watch_notes();
    }

    /// As whom a guest holds that name and is not heard yet, if it does.
    pub(super) fn held_by(&self, key: Key, name: &Name) -> Option<MemberId> {
        let guest = self.tenants.guest(key)?;
        let GuestPlace::Held { id } = guest.place else {
            return None;
        };
        let held = self.houses.get(guest.house())?.hub.name(id)?;
        held.same_as(name.as_str()).then_some(id)
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mio::net::TcpStream;
    use tempfile::TempDir;

    use super::super::accounts::AccountSettings;
    use super::super::address::PeerAddress;
    use super::super::guest::{Departure, Guest};
    use super::super::limits::Limits;
    use super::*;
    use crate::protocol::registry::Protocol;
    use crate::protocol::{DatagramSession, Datagrams};
    use crate::reactor::UdpPort;
    use crate::store::HashCost;

    type House = Server<TcpStream, UdpPort>;

    fn house() -> (House, TempDir) {
        let mut server = Server::new(Limits::default(), false, Instant::now());
        let folder = tempfile::tempdir().unwrap();
        server.keep_accounts(AccountSettings {
            accounts: store::Accounts::new(),
            path: folder.path().join(store::FILE_NAME),
            served: true,
            kept: true,
            open: true,
            cost: HashCost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
        });
        let port = UdpPort::bind(([127, 0, 0, 1], 0).into()).unwrap();
        server.open_port(Protocol::UdpLogin, port);
        (server, folder)
    }

    /// A new guest that asks to be let in. No turn is taken: it is sent nothing.
    fn ask(server: &mut House, host: u8, name: &str) -> Key {
        let protocol = Protocol::UdpLogin;
        let from = ([192, 0, 2, host], 1000).into();
        let peer = PeerAddress::new(from);
        assert!(server.census.enter(&peer, 16));
        let mut session = protocol.guest_session().unwrap();
        let pass = format!("C 1 PASS {name} some password");
        session
            .handle_datagram(pass.as_bytes(), &mut Datagrams::new())
            .unwrap();
        let house = server.house_of(protocol);
        let mut guest = Guest::new(protocol, house, session, peer, server.moment());
        guest.found_at = Some((0, from));
        let key = server.tenants.insert_guest(guest);
        server.ports.get_mut(0).unwrap().guests.insert(from, key);
        server.authenticate(key, name, "some password");
        key
    }

    fn is_in(server: &House, key: Key) -> bool {
        let guest = server.tenants.guest(key);
        guest.is_some_and(|guest| matches!(guest.place, GuestPlace::In { .. }))
    }

    fn run_one(server: &mut House) {
        let job = server.next_job().unwrap();
        server.handle_done(job.run(), server.now);
        server.audit();
    }

    #[test]
    fn who_goes_before_its_password_is_hashed_leaves_no_account() {
        let (mut server, _folder) = house();
        let ann = ask(&mut server, 1, "ann");
        server.dismiss(ann, Departure::Unreachable);
        // The name is free, and somebody else asks for it.
        let other = ask(&mut server, 2, "Ann");
        run_one(&mut server);
        assert!(!server.account_exists("ann"));
        run_one(&mut server);
        assert!(server.account_exists("ann"), "it is the other's");
        run_one(&mut server);
        assert_eq!(server.counters.registered, 1);
        assert!(server.next_job().is_none() && !server.has_jobs_under_way());
        assert!(is_in(&server, other));
    }

    #[test]
    fn who_goes_before_the_disk_has_its_account_has_it_all_the_same() {
        let (mut server, folder) = house();
        let ann = ask(&mut server, 1, "ann");
        run_one(&mut server);
        server.dismiss(ann, Departure::Unreachable);
        // Nobody is let in by what is not on the disk.
        let early = ask(&mut server, 2, "ann");
        let save = server.next_job().unwrap();
        assert!(save.is_save());
        run_one(&mut server);
        assert!(!is_in(&server, early));
        server.handle_done(save.run(), server.now);
        assert_eq!(server.counters.registered, 1);
        let loaded = store::load(&folder.path().join(store::FILE_NAME)).unwrap();
        assert_eq!(loaded.accounts.len(), 1);
        let late = ask(&mut server, 3, "ann");
        run_one(&mut server);
        assert!(is_in(&server, late));
    }
}
