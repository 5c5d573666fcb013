//! Owns the accounts at work: those that there are, the jobs about them, and what is not on the disk yet.
//! Knows no thread and no disk: jobs are taken from it, and what they came to is brought back. Whom a login is for
//! is in `login`.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::core::{Server, Timer};
use super::registrar::Change;
use crate::chat::{Name, Refusal};
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Key, Stream};
use crate::store::{
    self, Account, AttemptLimits, Attempts, Done, HashCost, Job, Phc, Registrations, Secret,
};

/// What the server is to know about accounts.
#[derive(Debug)]
pub struct AccountSettings {
    /// Those that there are.
    pub accounts: store::Accounts,
    /// Where they are saved.
    pub path: PathBuf,
    /// Whether their owners can log in. Otherwise they do no more than keep their names from others, and nothing of
    /// them is changed.
    pub served: bool,
    /// Whether the file is ours to write: an administrator can change accounts.
    pub kept: bool,
    /// Whether new ones may be made.
    pub open: bool,
    /// What a hash costs.
    pub cost: HashCost,
}

/// The accounts at work.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) settings: AccountSettings,
    pub(super) house: usize,
    pub(super) attempts: Attempts,
    pub(super) registrations: Registrations,
    /// What nothing is known by.
    pub(super) dummy: Phc,
    /// For the helper.
    pub(super) jobs: VecDeque<Job>,
    /// Passwords with the helper, or waiting for it.
    pub(super) hashing: usize,
    /// What an administrator has done to some of them, and is not on the disk.
    pub(super) changes: Vec<Change>,
    /// A save is with the helper.
    saving: bool,
    pending: HashMap<u64, Pending>,
    /// Registrations in the memory that are not on the disk.
    pub(super) unsaved: Vec<Unsaved>,
    /// What the disk has.
    on_disk: u64,
    /// Names whose passwords are in plain and are still to be hashed.
    plain: VecDeque<Name>,
    /// One of them is with the helper.
    hashing_plain: bool,
    /// Those that could not be hashed, for later.
    put_off: Vec<Name>,
    /// What could not be done is tried again before long.
    trying_again: bool,
    next_ticket: u64,
}

/// What a job is for.
#[derive(Debug)]
pub(super) enum Pending {
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
    /// What an administrator does to an account.
    Change {
        name: Name,
    },
    Save,
}

/// An account that is made once the disk has it.
#[derive(Debug)]
pub(super) struct Unsaved {
    pub(super) guest: Key,
    pub(super) name: Name,
    pub(super) from: IpAddr,
    pub(super) generation: u64,
}

/// How long what could not be hashed or saved waits before it is tried again: memory and disks do not get better
/// within a moment, but nobody can register until they are.
const TRY_AGAIN: Duration = Duration::from_secs(30);

impl Accounts {
    fn new(settings: AccountSettings, house: usize, limits: AttemptLimits) -> Accounts {
        Accounts {
            dummy: Phc::dummy(settings.cost),
            on_disk: settings.accounts.generation(),
            plain: settings
                .accounts
                .plain()
                .map(|(name, _)| name.clone())
                .collect(),
            hashing_plain: false,
            put_off: Vec::new(),
            trying_again: false,
            settings,
            house,
            attempts: Attempts::new(limits),
            registrations: Registrations::new(limits),
            jobs: VecDeque::new(),
            hashing: 0,
            saving: false,
            pending: HashMap::new(),
            unsaved: Vec::new(),
            changes: Vec::new(),
            next_ticket: 0,
        }
    }

    /// Other rules for who may log in or make an account, from now on.
    pub(super) fn change_rules(&mut self, open: bool, cost: HashCost, limits: AttemptLimits) {
        self.settings.open = open;
        // What nothing is known by costs as much to look at as what is.
        if self.settings.cost != cost {
            self.settings.cost = cost;
            self.dummy = Phc::dummy(cost);
        }
        self.attempts.set_limits(limits);
        self.registrations.set_limits(limits);
    }

    /// Whether a timer is armed for what could not be done.
    pub(super) fn tries_again(&self) -> bool {
        self.trying_again
    }

    /// Whose names it keeps.
    pub(super) fn house(&self) -> usize {
        self.house
    }

    /// Whether that name has an account.
    pub(super) fn exists(&self, name: &str) -> bool {
        self.settings.accounts.get(name).is_some()
    }

    /// Whether that account is in the memory alone.
    pub(super) fn is_unsaved(&self, name: &Name) -> bool {
        let mut unsaved = self.unsaved.iter();
        unsaved.any(|unsaved| unsaved.name.same_as(name.as_str()))
    }

    pub(super) fn ticket(&mut self, pending: Pending) -> u64 {
        self.next_ticket += 1;
        self.pending.insert(self.next_ticket, pending);
        self.next_ticket
    }

    /// A registration that came to nothing for a reason of ours: neither the name nor the address has to wait
    /// for it.
    pub(super) fn withdraw_registration(&mut self, name: &Name, from: IpAddr) {
        self.attempts.withdrawn(name.as_str(), from);
        self.registrations.withdrawn(from);
    }

    /// Has the accounts saved, unless they are being saved or are as they were.
    pub(super) fn save(&mut self) {
        if self.saving || self.settings.accounts.generation() == self.on_disk {
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

    /// Has the next entry of a plain file hashed: one at a time, so that logins come between. `false` when there
    /// is none but those put off.
    fn hash_plain(&mut self, salt: [u8; 16]) -> bool {
        while let Some(name) = self.plain.pop_front() {
            let account = self.settings.accounts.get(name.as_str());
            let Some(Secret::Plain(password)) = account.map(Account::secret) else {
                // A login was faster.
                continue;
            };
            let password = password.clone();
            let cost = self.settings.cost;
            self.hashing_plain = true;
            let ticket = self.ticket(Pending::Plain { name });
            self.jobs.push_back(Job::Hash {
                ticket,
                password,
                salt,
                cost,
            });
            return true;
        }
        false
    }

    /// Begins to hash a plain file where nobody has: nobody could log in there.
    pub(super) fn begin_with_plain(&mut self, salt: [u8; 16]) {
        if !self.hashing_plain && self.put_off.is_empty() {
            self.hash_plain(salt);
        }
    }

    /// An entry of a plain file was hashed, or could not be.
    fn end_plain(&mut self, name: Name, done: Done) {
        self.hashing_plain = false;
        if let Done::Hashed { phc, .. } = done {
            // Unless a login was faster.
            let account = self.settings.accounts.get(name.as_str());
            if account.is_some_and(|account| matches!(account.secret(), Secret::Plain(_))) {
                self.settings.accounts.set_hash(name.as_str(), phc);
            }
            return;
        }
        if let (Done::NotHashed { error, .. }, true) = (&done, self.put_off.is_empty()) {
            log::error!("the password of {name} is not hashed: {error}");
        }
        self.put_off.push(name);
    }
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Lets people log in. Without it, nobody has an account and nobody can.
    pub fn keep_accounts(&mut self, settings: AccountSettings) {
        let house = self.house_of(Protocol::UdpLogin);
        let mut accounts = Accounts::new(settings, house, self.limits.attempts);
        let left = accounts.settings.accounts.plain_left();
        if left > 0 && accounts.settings.served {
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
        if let Some(job) = self.orders.book.next_job() {
            return Some(job);
        }
        self.accounts.as_mut()?.jobs.pop_front()
    }

    /// How many jobs are not done: those that the helper has, and those that it will have.
    pub(super) fn jobs(&self) -> usize {
        let accounts = self.accounts.as_ref();
        accounts.map_or(0, |accounts| accounts.pending.len())
    }

    /// Whether somebody waits for a job to be done, or it is a save. A plain file can be hashed another day.
    pub fn has_jobs_under_way(&self) -> bool {
        let pending = self.accounts.iter().flat_map(|a| a.pending.values());
        let mut awaited = pending.filter(|pending| !matches!(pending, Pending::Plain { .. }));
        awaited.next().is_some() || self.orders.book.is_waited_for()
    }

    /// Whether that name has an account, as the protocol gives away.
    pub(super) fn account_exists(&self, name: &str) -> bool {
        let accounts = self.accounts.as_ref();
        accounts.is_some_and(|accounts| accounts.exists(name))
    }

    /// Takes what a job came to.
    pub fn handle_done(&mut self, done: Done, now: Instant) {
        self.now = now;
        let done = match done {
            Done::BansSaved { result, .. } => return self.bans_saved(result),
            done => done,
        };
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
            (Pending::Change { name }, done) => {
                accounts.hashing -= 1;
                self.end_change_hash(name, done);
            }
            (Pending::Plain { name }, done) => {
                accounts.end_plain(name, done);
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
            (Pending::Save, _) => debug_assert!(false, "invariant: a save is answered as one"),
        }
    }

    /// The disk has the accounts of that generation, or it would not take them.
    fn end_save(&mut self, generation: u64, result: std::io::Result<()>) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let house = accounts.house;
        let (settled, left) = std::mem::take(&mut accounts.unsaved)
            .into_iter()
            .partition(|unsaved| unsaved.generation <= generation);
        accounts.unsaved = left;
        let settled: Vec<Unsaved> = settled;
        match &result {
            Ok(()) => {
                accounts.on_disk = generation;
                for unsaved in &settled {
                    let name = unsaved.name.as_str();
                    accounts.attempts.succeeded(name, unsaved.from);
                }
            }
            Err(error) => {
                for unsaved in &settled {
                    accounts.settings.accounts.remove(unsaved.name.as_str());
                    accounts.withdraw_registration(&unsaved.name, unsaved.from);
                }
                let when = match (accounts.unsaved.is_empty(), self.stopping) {
                    (false, _) => "at once, for others",
                    (true, false) => "before long",
                    (true, true) => "not any more, for the server stops",
                };
                self.counters.not_saved += 1;
                self.notes.not_saved(
                    self.now,
                    format_args!(
                        "{} cannot be written: {error}; registrations refused: {}; tried again: {when}",
                        accounts.settings.path.display(),
                        settled.len(),
                    ),
                );
            }
        }
        self.settle_changes(generation, result.as_ref().err());
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        // What has changed since: somebody waits for it, or it is no hurry.
        let is_awaited = !accounts.unsaved.is_empty() || accounts.has_changes_to_save();
        match result.is_ok() || is_awaited {
            true => accounts.save(),
            false => self.try_accounts_again(),
        }
        self.watch_notes();
        for Unsaved {
            guest: key,
            name,
            from,
            ..
        } in settled
        {
            if result.is_err() {
                self.settle_login(key, Err(Refusal::NotSaved));
                continue;
            }
            // It is made, whoever asked for it is there or not: it is in the file.
            self.counters.registered += 1;
            self.notes.registered(self.now, from, &name);
            self.watch_notes();
            let held = self.held_by(key, &name);
            let Some((id, (hub, mut delivery))) = held.zip(self.desk(house)) else {
                self.settle_login(key, Err(Refusal::Busy));
                continue;
            };
            hub.appear(id, key, &mut delivery);
            self.settle_login(key, Ok(()));
        }
    }

    /// Sees to the next entry of a plain file, or to the file when there is none.
    fn go_on_with_plain(&mut self) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        if accounts.settings.accounts.plain_left() == 0 {
            log::info!("all passwords are hashed");
            accounts.plain = VecDeque::new();
            accounts.save();
        } else if !self.stopping && !accounts.hash_plain(self.entropy.bits()) {
            log::warn!(
                "{} passwords of {} are not hashed, so nobody can register; they are tried again in {} s",
                accounts.put_off.len(),
                accounts.settings.path.display(),
                TRY_AGAIN.as_secs()
            );
            self.try_accounts_again();
        }
    }

    fn try_accounts_again(&mut self) {
        if let Some(accounts) = self.accounts.as_mut()
            && !std::mem::replace(&mut accounts.trying_again, true)
        {
            self.timers.arm(self.now + TRY_AGAIN, Timer::Accounts);
        }
    }

    /// Step 4: what could not be hashed or saved may be possible now.
    pub(super) fn look_at_accounts(&mut self) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        accounts.trying_again = false;
        if self.stopping {
            return;
        }
        accounts.save();
        // While others are being hashed, those put off wait for the end.
        if !accounts.hashing_plain && !accounts.put_off.is_empty() {
            accounts.plain.extend(accounts.put_off.drain(..));
            self.go_on_with_plain();
        }
    }
}
