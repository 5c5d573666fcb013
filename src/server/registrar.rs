//! Owns what an administrator has done to accounts: who may ask for what, and when it is confirmed.
//! Knows no thread and no disk: the jobs go through `accounts`, like those of logins.
//!
//! ```text
//!  add, passwd ──▶ hash ──┐
//!                         ├──▶ changed in the memory ──▶ save ─── on disk ──▶ done
//!  delete ────────────────┘                               └── refused ──▶ undone, and told so
//! ```
//!
//! From the question to the answer the name is nobody's to register, log in with for the first time, or change.

use super::accounts::{Accounts, Pending};
use super::control::{Asker, Verdict};
use super::core::Server;
use crate::chat::{KICKED, LOBBY, Name};
use crate::control::{AccountLine, ErrorKind, Last};
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Key, Stream};
use crate::store::{self, Done, InsertError, Job, Password, Phc, Taken};

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    asker: Asker,
    name: String,
    what: What,
    /// The generation that has it; `None` while the password is hashed.
    generation: Option<u64>,
}

#[derive(Debug)]
enum What {
    Add,
    /// With what it was before, once it is otherwise.
    Passwd(Option<Taken>),
    Delete(Option<Taken>),
}

/// What is done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// It is made.
    Add,
    /// Its password is another one.
    Passwd,
}

impl Accounts {
    /// Whether somebody changes that account, or makes it.
    pub(super) fn is_being_changed(&self, name: &str) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|change| is_same(&change.name, name))
    }

    /// Why nothing can be changed now, if so.
    fn obstacle(&self, name: &str) -> Option<Last> {
        if !self.settings.kept {
            let path = self.settings.path.display();
            let why = format!("this server does not keep {path}: it did not get the folder");
            return Some(Last::error(ErrorKind::Failed, why));
        }
        let left = self.settings.accounts.plain_left();
        if left > 0 {
            let why = format!("{left} passwords of the file are still to be hashed: try again");
            return Some(Last::error(ErrorKind::Busy, why));
        }
        let is_busy = self.is_being_changed(name)
            || self
                .unsaved
                .iter()
                .any(|unsaved| unsaved.name.same_as(name));
        is_busy.then(|| {
            let why = format!("the account {name:?} is being changed: try again");
            Last::error(ErrorKind::Busy, why)
        })
    }

    /// Whether the disk lacks a change that somebody waits for.
    pub(super) fn has_changes_to_save(&self) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|change| change.generation.is_some())
    }

    /// The accounts, by name.
    pub(super) fn lines(&self) -> Vec<AccountLine> {
        let accounts = &self.settings.accounts;
        AccountLine::all(accounts)
    }
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Makes an account or gives it another password; the verdict comes later, or now.
    pub(super) fn set_account(
        &mut self,
        asker: Asker,
        setting: Setting,
        name: Name,
        password: Password,
    ) -> Option<Last> {
        self.hash_plain_for_orders();
        let in_lobby = self.holder_in_lobby(&name);
        let Some(accounts) = self.accounts.as_mut() else {
            return Some(no_accounts());
        };
        if let Some(obstacle) = accounts.obstacle(name.as_str()) {
            return Some(obstacle);
        }
        let exists = accounts.exists(name.as_str());
        match setting {
            Setting::Add if exists => return Some(taken(&name)),
            Setting::Add if accounts.settings.accounts.is_full() => {
                return Some(Last::error(ErrorKind::Failed, InsertError::Full));
            }
            Setting::Add if in_lobby => return Some(held(&name)),
            Setting::Passwd if !exists => return Some(nobody(name.as_str())),
            Setting::Add | Setting::Passwd => {}
        }
        if accounts.hashing >= super::login::MAX_HASHING {
            let why = "too many passwords wait to be looked at: try again";
            return Some(Last::error(ErrorKind::Busy, why));
        }
        accounts.hashing += 1;
        accounts.changes.push(Change {
            asker,
            name: name.as_str().to_owned(),
            what: match setting {
                Setting::Add => What::Add,
                Setting::Passwd => What::Passwd(None),
            },
            generation: None,
        });
        let cost = accounts.settings.cost;
        let ticket = accounts.ticket(Pending::Change { name });
        let salt = self.entropy.bits();
        accounts.jobs.push_back(Job::Hash {
            ticket,
            password,
            salt,
            cost,
        });
        None
    }

    /// Takes an account away; the verdict comes later, or now.
    pub(super) fn delete_account(&mut self, asker: Asker, name: &str) -> Option<Last> {
        self.hash_plain_for_orders();
        let Some(accounts) = self.accounts.as_mut() else {
            return Some(no_accounts());
        };
        if let Some(obstacle) = accounts.obstacle(name) {
            return Some(obstacle);
        }
        let Some(taken) = accounts.settings.accounts.take(name) else {
            return Some(nobody(name));
        };
        accounts.changes.push(Change {
            asker,
            name: taken.name().to_owned(),
            what: What::Delete(Some(taken)),
            generation: Some(accounts.settings.accounts.generation()),
        });
        accounts.save();
        None
    }

    /// The password of an account to be made or changed is hashed.
    pub(super) fn end_change_hash(&mut self, name: Name, done: Done) {
        let in_lobby = self.holder_in_lobby(&name);
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let mut changes = accounts.changes.iter();
        let found = changes.position(|c| c.generation.is_none() && is_same(&c.name, name.as_str()));
        let Some(at) = found else {
            debug_assert!(false, "invariant: what is hashed is for a change");
            return;
        };
        let phc = match done {
            Done::Hashed { phc, .. } => Ok(phc),
            Done::NotHashed { error, .. } => Err(Last::error(ErrorKind::Failed, error)),
            Done::Verified { .. } | Done::Saved { .. } | Done::BansSaved { .. } => {
                debug_assert!(false, "invariant: a hash is answered as one");
                Err(Last::error(ErrorKind::Failed, "it was not hashed"))
            }
        };
        let mut change = accounts.changes.swap_remove(at);
        let changed = phc.and_then(|phc| change.apply(accounts, &name, phc, in_lobby));
        match changed {
            Ok(()) => {
                change.generation = Some(accounts.settings.accounts.generation());
                accounts.changes.push(change);
                accounts.save();
            }
            Err(last) => self.orders.verdicts.push_back(Verdict {
                asker: change.asker,
                last,
            }),
        }
    }

    /// The disk has the accounts of that generation, or would not take them.
    pub(super) fn settle_changes(&mut self, generation: u64, refused: Option<&std::io::Error>) {
        let Some(accounts) = self.accounts.as_mut() else {
            return;
        };
        let is_settled = |change: &Change| change.generation.is_some_and(|g| g <= generation);
        let (settled, left) = std::mem::take(&mut accounts.changes)
            .into_iter()
            .partition(is_settled);
        accounts.changes = left;
        let settled: Vec<Change> = settled;
        for change in settled {
            let last = match refused {
                None => self.conclude(&change),
                Some(error) => {
                    let last = Last::error(
                        ErrorKind::Failed,
                        format!("nothing is changed, for it could not be saved: {error}"),
                    );
                    if let Some(accounts) = self.accounts.as_mut() {
                        change
                            .what
                            .undo(&change.name, &mut accounts.settings.accounts);
                    }
                    last
                }
            };
            self.orders.verdicts.push_back(Verdict {
                asker: change.asker,
                last,
            });
        }
    }

    /// What follows once the disk has a change.
    fn conclude(&mut self, change: &Change) -> Last {
        let name = &change.name;
        match change.what {
            What::Add => {
                log::info!("control: the account {name:?} is made");
                Last::done()
            }
            What::Passwd(_) => {
                log::info!("control: the account {name:?} has another password");
                Last::done()
            }
            What::Delete(_) => {
                log::info!("control: the account {name:?} is deleted");
                // What it was let in by is gone.
                match self.dismiss_owner(name) {
                    true => Last::done().with_note("its owner was in, and is let go"),
                    false => Last::done(),
                }
            }
        }
    }

    /// Lets whoever is in by that account go. Whether somebody was.
    fn dismiss_owner(&mut self, name: &str) -> bool {
        let owners = self.tenants.iter_guests().filter(|(_, guest)| {
            let hub = self.houses.get(guest.house()).map(|house| &house.hub);
            let held = hub.zip(guest.id()).and_then(|(hub, id)| hub.name(id));
            guest.protocol == Protocol::UdpLogin && held.is_some_and(|held| held.same_as(name))
        });
        let owners: Vec<Key> = owners.map(|(key, _)| key).collect();
        self.put_out(owners, KICKED, "the account was deleted") > 0
    }

    /// Whether somebody in the lobby has that name, or is about to.
    fn holder_in_lobby(&self, name: &Name) -> bool {
        let house = self.accounts.as_ref().map(Accounts::house);
        let house = house.and_then(|house| self.houses.get(house));
        house.is_some_and(|house| house.hub.find(LOBBY, name.as_str()).is_some())
    }

    /// A plain file cannot be changed before all of it is hashed. Where nobody can log in, nobody has begun with it.
    fn hash_plain_for_orders(&mut self) {
        let bits = self.entropy.bits();
        if let Some(accounts) = self.accounts.as_mut()
            && accounts.settings.kept
        {
            accounts.begin_with_plain(bits);
        }
    }
}

impl Change {
    /// Changes the accounts in the memory.
    fn apply(
        &mut self,
        accounts: &mut Accounts,
        name: &Name,
        phc: Phc,
        in_lobby: bool,
    ) -> Result<(), Last> {
        let accounts = &mut accounts.settings.accounts;
        match &mut self.what {
            // Somebody was faster.
            What::Add if in_lobby => Err(held(name)),
            What::Add => accounts
                .insert(name.clone(), phc)
                .map_err(|error| match error {
                    InsertError::Taken => taken(name),
                    InsertError::Full => Last::error(ErrorKind::Failed, error),
                }),
            What::Passwd(before) => {
                *before = accounts.exchange_hash(name.as_str(), phc);
                before
                    .is_some()
                    .then_some(())
                    .ok_or_else(|| nobody(name.as_str()))
            }
            What::Delete(_) => Ok(()),
        }
    }
}

impl What {
    fn undo(self, name: &str, accounts: &mut store::Accounts) {
        match self {
            What::Add => drop(accounts.remove(name)),
            What::Passwd(before) | What::Delete(before) => {
                before
                    .into_iter()
                    .for_each(|before| accounts.put_back(before));
            }
        }
    }
}

fn is_same(one: &str, other: &str) -> bool {
    match Name::parse(one) {
        Ok(name) => name.same_as(other),
        Err(_) => one == other,
    }
}

fn no_accounts() -> Last {
    Last::error(ErrorKind::Failed, "this server has no accounts")
}

fn nobody(name: &str) -> Last {
    Last::error(ErrorKind::Nobody, format!("there is no account {name:?}"))
}

fn taken(name: &Name) -> Last {
    let why = format!("there is an account {:?} already", name.as_str());
    Last::error(ErrorKind::Exists, why)
}

fn held(name: &Name) -> Last {
    let why = format!(
        "somebody is in the lobby as {:?} without an account: kick that one first",
        name.as_str()
    );
    Last::error(ErrorKind::Exists, why)
}
