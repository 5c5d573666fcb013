//! Owns logins: who may try a password and when, what the helper is asked to do about it, and what follows.
//! Knows no thread and no disk: jobs are taken from it, and what they came to is brought back.
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

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use super::core::Server;
use super::guest::GuestPlace;
use crate::chat::{Choice, Contact, LOBBY, Name, Refusal};
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Key, Stream};
use crate::store::{
    self, Attempts, Done, HashCost, Job, Known, MAX_ACCOUNTS, Password, Phc, Registrations, Secret,
};

/// What the server is to know about accounts.
#[derive(Debug)]
pub struct AccountSettings {
    /// Those that there are.
    pub accounts: store::Accounts,
    /// Where they are saved.
    pub path: PathBuf,
    /// Whether new ones may be made.
    pub open: bool,
    /// What a hash costs.
    pub cost: HashCost,
}

/// The accounts at work.
#[derive(Debug)]
pub(super) struct Accounts {
    settings: AccountSettings,
    house: usize,
    attempts: Attempts,
    registrations: Registrations,
    /// What nothing is known by.
    dummy: Phc,
    /// For the helper.
    jobs: VecDeque<Job>,
    /// Passwords with the helper, or waiting for it.
    hashing: usize,
    /// A save is with the helper.
    saving: bool,
    pending: HashMap<u64, Pending>,
    /// Registrations in the memory that are not on the disk.
    unsaved: Vec<Unsaved>,
    next_ticket: u64,
}

/// What a job is for.
#[derive(Debug)]
enum Pending {
    Login {
        guest: Key,
        name: Name,
        from: IpAddr,
        exists: bool,
    },
    Registration {
        guest: Key,
        name: Name,
        from: IpAddr,
    },
    /// An entry of a plain file.
    Plain {
        name: Name,
    },
    Save,
}

#[derive(Debug)]
struct Unsaved {
    guest: Key,
    name: Name,
    from: IpAddr,
    generation: u64,
}

/// Passwords that wait at the most, a few less than the helper takes, which has an old file to hash besides. A
/// hash takes some 30 ms, so the last of 60 is answered after two
/// seconds: who comes behind that is better told to try again.
const MAX_HASHING: usize = 60;

impl Accounts {
    fn new(settings: AccountSettings, house: usize) -> Accounts {
        Accounts {
            dummy: Phc::dummy(settings.cost),
            settings,
            house,
            attempts: Attempts::new(),
            registrations: Registrations::new(),
            jobs: VecDeque::new(),
            hashing: 0,
            saving: false,
            pending: HashMap::new(),
            unsaved: Vec::new(),
            next_ticket: 0,
        }
    }

    /// Whose names it keeps.
    pub(super) fn house(&self) -> usize {
        self.house
    }

    /// Whether that name has an account.
    pub(super) fn exists(&self, name: &str) -> bool {
        self.settings.accounts.get(name).is_some()
    }

    fn ticket(&mut self, pending: Pending) -> u64 {
        self.next_ticket += 1;
        self.pending.insert(self.next_ticket, pending);
        self.next_ticket
    }

    /// Has the accounts saved, unless they are being saved or are as they were.
    fn save(&mut self) {
        if self.saving {
            return;
        }
        // While an entry is in plain nothing is written: its file stays the only one.
        let Ok(snapshot) = self.settings.accounts.snapshot() else {
            return;
        };
        self.saving = true;
        let ticket = self.ticket(Pending::Save);
        let path = self.settings.path.clone();
        self.jobs.push_back(Job::Save {
            ticket,
            path,
            snapshot,
        });
    }

    /// Has the next entry of a plain file hashed: one at a time, so that logins come between.
    fn hash_plain(&mut self, salt: [u8; 16]) {
        let Some((name, password)) = self.settings.accounts.plain().next() else {
            return;
        };
        let (name, password) = (name.clone(), password.clone());
        let cost = self.settings.cost;
        let ticket = self.ticket(Pending::Plain { name });
        self.jobs.push_back(Job::Hash {
            ticket,
            password,
            salt,
            cost,
        });
    }
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Lets people log in. Without it, nobody has an account and nobody can.
    pub fn keep_accounts(&mut self, settings: AccountSettings) {
        let house = self.house_of(Protocol::UdpLogin);
        let mut accounts = Accounts::new(settings, house);
        let left = accounts.settings.accounts.plain_left();
        if left > 0 {
            log::info!(
                "{left} passwords of {} are hashed",
                accounts.settings.path.display()
            );
            accounts.hash_plain(self.entropy.bits());
        }
        self.accounts = Some(accounts);
    }

    /// What may take long and is to be done elsewhere, oldest first.
    pub fn next_job(&mut self) -> Option<Job> {
        self.accounts.as_mut()?.jobs.pop_front()
    }

    /// Whether somebody waits for a job to be done.
    pub fn awaits_jobs(&self) -> bool {
        self.accounts
            .as_ref()
            .is_some_and(|accounts| !accounts.pending.is_empty())
    }

    /// Whether that name has an account, as the protocol gives away.
    pub(super) fn account_exists(&self, name: &str) -> bool {
        let accounts = self.accounts.as_ref();
        accounts.is_some_and(|accounts| accounts.exists(name))
    }

    /// A guest wants to be let in as the owner of an account, or to make one.
    pub(super) fn authenticate(&mut self, key: Key, name: &str, password: &str) {
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
        if guest.id().is_some() || guest.pending {
            return Err(Refusal::Denied);
        }
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
                accounts.registrations.withdrawn(from);
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

    /// Takes what a job came to.
    pub fn handle_done(&mut self, done: Done, now: Instant) {
        self.now = now;
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let Some(pending) = accounts.pending.remove(&done.ticket()) else {
            return;
        };
        match (pending, done) {
            (
                Pending::Login {
                    guest,
                    name,
                    from,
                    exists,
                },
                done,
            ) => {
                accounts.hashing -= 1;
                self.end_login(guest, &name, from, exists, done);
            }
            (Pending::Registration { guest, name, from }, done) => {
                accounts.hashing -= 1;
                self.end_hashing(guest, name, from, done);
            }
            (Pending::Plain { name }, Done::Hashed { phc, .. }) => {
                // Unless a login was faster.
                let account = accounts.settings.accounts.get(name.as_str());
                if account.is_some_and(|account| matches!(account.secret(), Secret::Plain(_))) {
                    accounts.settings.accounts.set_hash(name.as_str(), phc);
                }
                self.go_on_with_plain();
            }
            (
                Pending::Save,
                Done::Saved {
                    generation, result, ..
                },
            ) => {
                accounts.saving = false;
                self.end_save(generation, result);
            }
            (Pending::Plain { name }, _) => {
                log::error!("the password of {name} could not be hashed: it stays as it is");
            }
            (Pending::Save, _) => debug_assert!(false, "invariant: a save is answered as one"),
        }
    }

    fn end_login(&mut self, key: Key, name: &Name, from: IpAddr, exists: bool, done: Done) {
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
        accounts.attempts.succeeded(name.as_str(), from);
        // As it was registered. It may have been registered a moment ago, and the disk may have refused it since.
        let Some(account) = accounts.settings.accounts.get(name.as_str()) else {
            return self.settle_login(key, Err(Refusal::Busy));
        };
        let name = account.name().clone();
        let house = accounts.house;
        if self.tenants.guest(key).is_none() {
            return;
        }
        let Some((hub, mut delivery)) = self.desk(house) else {
            return;
        };
        let entered = hub.enter(Choice::Lobby, name, Contact::NONE, key, &mut delivery);
        self.settle_login(
            key,
            entered.map(|_| ()).map_err(|refusal| match refusal {
                // That it is in is for its owner to know.
                Refusal::NameTaken => Refusal::Denied,
                other => other,
            }),
        );
    }

    /// A password is hashed that somebody wants to register with.
    fn end_hashing(&mut self, guest: Key, name: Name, from: IpAddr, done: Done) {
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
            accounts.registrations.withdrawn(from);
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

    /// The disk has the accounts of that generation, or it would not take them.
    fn end_save(&mut self, generation: u64, result: std::io::Result<()>) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let (settled, left) = std::mem::take(&mut accounts.unsaved)
            .into_iter()
            .partition(|unsaved| unsaved.generation <= generation);
        accounts.unsaved = left;
        let settled: Vec<Unsaved> = settled;
        match &result {
            Ok(()) => {
                for unsaved in &settled {
                    let name = unsaved.name.as_str();
                    accounts.attempts.succeeded(name, unsaved.from);
                }
            }
            Err(error) => {
                log::error!(
                    "{} cannot be written: {error}; {} registrations are refused",
                    accounts.settings.path.display(),
                    settled.len()
                );
                for unsaved in &settled {
                    accounts.settings.accounts.remove(unsaved.name.as_str());
                    accounts.registrations.withdrawn(unsaved.from);
                }
            }
        }
        if !accounts.unsaved.is_empty() {
            accounts.save();
        }
        let house = accounts.house;
        for Unsaved { guest: key, .. } in settled {
            if result.is_err() {
                self.settle_login(key, Err(Refusal::Busy));
                continue;
            }
            let place = self.tenants.guest(key).map(|guest| guest.place);
            if let Some(GuestPlace::Held { id }) = place
                && let Some((hub, mut delivery)) = self.desk(house)
            {
                hub.appear(id, key, &mut delivery);
                self.counters.registered += 1;
                self.settle_login(key, Ok(()));
            }
        }
    }

    fn go_on_with_plain(&mut self) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        if accounts.settings.accounts.plain_left() > 0 {
            accounts.hash_plain(self.entropy.bits());
        } else {
            log::info!("all passwords are hashed");
            accounts.save();
        }
    }

    /// The verdict on a login.
    fn settle_login(&mut self, key: Key, verdict: Result<(), Refusal>) {
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
                self.refuse(key, refusal);
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
