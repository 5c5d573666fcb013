//! Owns the accounts in memory: who has one, and what its password is known by.
//! Knows nothing of the file that they came from, nor of when they are saved.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Password, Phc};
use crate::chat::{Name, NameError};

/// Accounts at the most: whoever may register could fill the disk and the memory otherwise.
pub const MAX_ACCOUNTS: usize = 10_000;

/// All accounts, by name; names that are the same are one account.
#[derive(Debug, Default)]
pub struct Accounts {
    by_name: HashTable<Arc<Account>>,
    denied: Vec<Arc<Denied>>,
    /// Peers choose the names, so the hash is keyed.
    hasher: RandomState,
    /// How many have their password in plain.
    plain: usize,
    generation: u64,
}

/// One account.
#[derive(Debug)]
pub struct Account {
    name: Name,
    secret: Secret,
}

/// An account that nobody can use, out of a file that was written when other names were names or two names two. It
/// stays in the file, where its owner's hash is not lost.
#[derive(Debug)]
pub struct Denied {
    name: String,
    phc: Phc,
    denial: Denial,
}

/// Why an account is [`Denied`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Its name is none.
    NoName(NameError),
    /// An account that stands before it has the same name.
    SameAs(Name),
}

/// What a password is known by.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Its hash.
    Hashed(Phc),
    /// Itself, out of a file of the plain form, until it is hashed.
    Plain(Password),
}

/// What was [taken](Accounts::take) out of the accounts.
#[derive(Debug)]
pub enum Taken {
    Account(Arc<Account>),
    /// With its place.
    Denied(usize, Arc<Denied>),
}

/// Why there is no new account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// Somebody has that name.
    Taken,
    /// There are [`MAX_ACCOUNTS`].
    Full,
}

/// So many passwords are in plain, which are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillPlain {
    pub left: usize,
}

/// What the file shall hold: the accounts as they were at one generation. Cheap to take, and sent to
/// where it is written.
#[derive(Clone, Debug)]
pub struct Snapshot {
    generation: u64,
    accounts: Vec<Arc<Account>>,
    denied: Vec<Arc<Denied>>,
}

impl Accounts {
    /// No accounts.
    pub fn new() -> Accounts {
        Accounts::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// One more with every change. A save is of one generation; while this is a later one, there is
    /// something to save, and several changes need one save.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The account of that name, however it is written.
    pub fn get(&self, name: &str) -> Option<&Account> {
        let hash = Name::hash_of(name, &self.hasher);
        let found = self
            .by_name
            .find(hash, |account| account.name.same_as(name));
        found.map(|account| &**account)
    }

    /// A new account. It is in the next snapshot; should that not get to the disk, see
    /// [`remove`](Accounts::remove).
    pub fn insert(&mut self, name: Name, phc: Phc) -> Result<(), InsertError> {
        self.add(name, Secret::Hashed(phc))
    }

    pub(super) fn add(&mut self, name: Name, secret: Secret) -> Result<(), InsertError> {
        let full = self.is_full();
        let hash = Name::hash_of(name.as_str(), &self.hasher);
        let entry = self.by_name.entry(
            hash,
            |account| account.name.same_as(name.as_str()),
            |account| Name::hash_of(account.name.as_str(), &self.hasher),
        );
        match entry {
            Entry::Occupied(_) => Err(InsertError::Taken),
            Entry::Vacant(_) if full => Err(InsertError::Full),
            Entry::Vacant(place) => {
                self.plain += usize::from(matches!(secret, Secret::Plain(_)));
                self.generation += 1;
                place.insert(Arc::new(Account { name, secret }));
                Ok(())
            }
        }
    }

    /// Keeps an account that nobody can use.
    pub(super) fn deny(&mut self, name: &str, phc: Phc, denial: Denial) -> Result<(), InsertError> {
        if self.is_full() {
            return Err(InsertError::Full);
        }
        let name = name.to_owned();
        self.denied.push(Arc::new(Denied { name, phc, denial }));
        Ok(())
    }

    /// Those that nobody can use, in the order of the file.
    pub fn denied(&self) -> impl ExactSizeIterator<Item = &Denied> {
        self.denied.iter().map(|denied| &**denied)
    }

    /// Whether there are [`MAX_ACCOUNTS`], with those that nobody can use.
    pub fn is_full(&self) -> bool {
        self.len() + self.denied.len() >= MAX_ACCOUNTS
    }

    /// Gives an account another hash: of the password that was in plain, or at a new cost. `false` when
    /// there is no such account.
    pub fn set_hash(&mut self, name: &str, phc: Phc) -> bool {
        let hash = Name::hash_of(name, &self.hasher);
        let found = self
            .by_name
            .find_mut(hash, |account| account.name.same_as(name));
        let Some(account) = found else {
            return false;
        };
        self.plain -= usize::from(matches!(account.secret, Secret::Plain(_)));
        self.generation += 1;
        *account = Arc::new(Account {
            name: account.name.clone(),
            secret: Secret::Hashed(phc),
        });
        true
    }

    /// Takes an account away: its registration did not get to the disk, so its owner was told that there
    /// is none. `false` when there is no such account.
    pub fn remove(&mut self, name: &str) -> bool {
        let hash = Name::hash_of(name, &self.hasher);
        let found = self
            .by_name
            .find_entry(hash, |account| account.name.same_as(name));
        let Ok(entry) = found else {
            return false;
        };
        let (account, _) = entry.remove();
        self.plain -= usize::from(matches!(account.secret, Secret::Plain(_)));
        self.generation += 1;
        true
    }

    /// Takes an account out, one that nobody can use included (by its exact name). It can be put back.
    pub fn take(&mut self, name: &str) -> Option<Taken> {
        let hash = Name::hash_of(name, &self.hasher);
        let same = |account: &Arc<Account>| account.name.same_as(name);
        let taken = match self.by_name.find_entry(hash, same) {
            Ok(entry) => {
                let (account, _) = entry.remove();
                self.plain -= usize::from(matches!(account.secret, Secret::Plain(_)));
                Taken::Account(account)
            }
            Err(_) => {
                let at = self.denied.iter().position(|denied| denied.name == name)?;
                Taken::Denied(at, self.denied.remove(at))
            }
        };
        self.generation += 1;
        Some(taken)
    }

    /// Gives an account another hash, and returns what it was: [`put_back`](Accounts::put_back) undoes it.
    pub fn exchange_hash(&mut self, name: &str, phc: Phc) -> Option<Taken> {
        let hash = Name::hash_of(name, &self.hasher);
        let same = |account: &Arc<Account>| account.name.same_as(name);
        let old = Arc::clone(self.by_name.find(hash, same)?);
        self.set_hash(name, phc);
        Some(Taken::Account(old))
    }

    /// Undoes a change that did not get to the disk.
    pub fn put_back(&mut self, taken: Taken) {
        match taken {
            Taken::Account(account) => {
                let name = account.name.clone();
                self.remove(name.as_str());
                // It was there, so there is room and its name is free.
                let _ = self.add(name, account.secret.clone());
            }
            Taken::Denied(at, denied) => {
                self.denied.insert(at.min(self.denied.len()), denied);
                self.generation += 1;
            }
        }
    }

    /// All that can be used, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.by_name.iter().map(|account| &**account)
    }

    /// What there is now is what the file holds.
    pub(super) fn begin_generations(&mut self) {
        self.generation = 0;
    }

    /// How many have their password in plain. Until there are none, nothing can be saved, so nobody can
    /// be registered.
    pub fn plain_left(&self) -> usize {
        self.plain
    }

    /// Those with their password in plain, to be hashed one by one.
    pub fn plain(&self) -> impl Iterator<Item = (&Name, &Password)> {
        self.by_name
            .iter()
            .filter_map(|account| match &account.secret {
                Secret::Plain(password) => Some((&account.name, password)),
                Secret::Hashed(_) => None,
            })
    }

    /// The accounts as they are now, to be saved. Refused while a password is in plain: the file in
    /// which it stands stays the only one, and is rewritten once.
    pub fn snapshot(&self) -> Result<Snapshot, StillPlain> {
        match self.plain {
            0 => Ok(Snapshot {
                generation: self.generation,
                accounts: self.by_name.iter().cloned().collect(),
                denied: self.denied.clone(),
            }),
            left => Err(StillPlain { left }),
        }
    }
}

impl Account {
    /// As its owner wrote it at the registration.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What its password is known by.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl Snapshot {
    /// Of which [generation](Accounts::generation) it is.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Names and hashes, in the order in which they are written: those that nobody can use come last, or they
    /// would be first when they are read again and others denied for them.
    pub(super) fn sorted(&self) -> Vec<(&str, &Phc)> {
        let hashed = self.accounts.iter().filter_map(|account| {
            match &account.secret {
                Secret::Hashed(phc) => Some((account.name.as_str(), phc)),
                // No snapshot is taken with one of these.
                Secret::Plain(_) => None,
            }
        });
        let mut sorted: Vec<_> = hashed.collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let denied = self.denied.iter();
        sorted.extend(denied.map(|denied| (denied.name.as_str(), &denied.phc)));
        sorted
    }
}

impl Taken {
    /// As it was written.
    pub fn name(&self) -> &str {
        match self {
            Taken::Account(account) => account.name.as_str(),
            Taken::Denied(_, denied) => &denied.name,
        }
    }
}

impl Denied {
    /// As it stands in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why nobody can use it.
    pub fn denial(&self) -> &Denial {
        &self.denial
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::NoName(error) => write!(f, "it is no name: {error}"),
            Denial::SameAs(first) => write!(f, "it is the same name as {:?}", first.as_str()),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denied { name, denial, .. } = self;
        match denial {
            Denial::NoName(error) => write!(f, "{name:?} is no name: {error}"),
            Denial::SameAs(first) => write!(f, "{name:?} is the same name as {:?}", first.as_str()),
        }
    }
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InsertError::Taken => write!(f, "that name has an account"),
            InsertError::Full => write!(f, "there are {MAX_ACCOUNTS} accounts, and no more"),
        }
    }
}

impl std::error::Error for InsertError {}

impl fmt::Display for StillPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passwords are not hashed yet", self.left)
    }
}

impl std::error::Error for StillPlain {}

#[cfg(test)]
mod tests {
    use super::super::HashCost;
    use super::super::hash::tests::CHEAP;
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn phc() -> Phc {
        Phc::dummy(CHEAP)
    }

    #[test]
    fn an_account_is_found_however_its_name_is_written() {
        let mut accounts = Accounts::new();
        accounts.insert(name("Zoë"), phc()).unwrap();
        assert_eq!(
            accounts.insert(name("ZOE\u{308}"), phc()),
            Err(InsertError::Taken)
        );
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts.get("zoë").unwrap().name().as_str(), "Zoë");
        assert!(accounts.get("zoe").is_none());
        assert!(accounts.get("").is_none());
        assert!(accounts.get(&"x".repeat(1000)).is_none());
    }

    #[test]
    fn what_was_taken_or_exchanged_can_be_put_back() {
        let mut accounts = Accounts::new();
        let other = HashCost {
            memory_kib: 16,
            ..CHEAP
        };
        let new = Phc::dummy(other);
        accounts.insert(name("Zoë"), phc()).unwrap();
        let denial = Denial::SameAs(name("Zoë"));
        accounts.deny("ZOË", new.clone(), denial).unwrap();
        accounts
            .deny("a b", phc(), Denial::NoName(NameError::Empty))
            .unwrap();
        let before = accounts.snapshot().unwrap();
        let hash = |accounts: &Accounts| match accounts.get("zoë").unwrap().secret() {
            Secret::Hashed(phc) => phc.clone(),
            Secret::Plain(_) => panic!("it is hashed"),
        };
        let old = accounts.exchange_hash("ZOË", new.clone()).unwrap();
        assert_eq!((old.name(), hash(&accounts)), ("Zoë", new.clone()));
        accounts.put_back(old);
        assert_eq!(hash(&accounts), phc());
        for taken in ["zoë", "ZOË", "a b"] {
            let generation = accounts.generation();
            let taken = accounts.take(taken).unwrap();
            assert!(accounts.generation() > generation);
            assert_eq!(accounts.snapshot().unwrap().sorted().len(), 2);
            accounts.put_back(taken);
            assert_eq!(accounts.snapshot().unwrap().sorted(), before.sorted());
        }
        assert!(accounts.take("nobody").is_none());
        assert!(accounts.exchange_hash("a b", new).is_none());
        // Only once the account is gone that all its writings lead to, the other is found by its own.
        assert_eq!(accounts.take("ZOË").unwrap().name(), "Zoë");
        assert_eq!(accounts.take("ZOË").unwrap().name(), "ZOË");
    }

    #[test]
    fn there_is_an_end_to_accounts() {
        let mut accounts = Accounts::new();
        for number in 0..MAX_ACCOUNTS {
            accounts.insert(name(&format!("a{number}")), phc()).unwrap();
        }
        assert_eq!(accounts.insert(name("b"), phc()), Err(InsertError::Full));
        assert_eq!(accounts.insert(name("A7"), phc()), Err(InsertError::Taken));
        assert!(accounts.remove("a7"));
        assert_eq!(accounts.insert(name("b"), phc()), Ok(()));
    }

    #[test]
    fn every_change_is_a_generation() {
        let mut accounts = Accounts::new();
        assert_eq!(accounts.generation(), 0);
        accounts.insert(name("a"), phc()).unwrap();
        assert_eq!(accounts.generation(), 1);
        assert!(accounts.insert(name("A"), phc()).is_err());
        assert_eq!(accounts.generation(), 1);
        let snapshot = accounts.snapshot().unwrap();
        assert!(accounts.set_hash("A", phc()));
        assert!(accounts.remove("a"));
        assert!(!accounts.remove("a"));
        assert!(!accounts.set_hash("a", phc()));
        assert_eq!((snapshot.generation(), accounts.generation()), (1, 3));
        assert_eq!(snapshot.sorted().len(), 1, "it stays as it was");
    }

    #[test]
    fn what_is_in_plain_cannot_be_saved() {
        let mut accounts = Accounts::new();
        for (account, password) in [("a", "first"), ("b", "second")] {
            let password = Password::new(password).unwrap();
            accounts
                .add(name(account), Secret::Plain(password))
                .unwrap();
        }
        assert_eq!(accounts.plain().count(), 2);
        assert_eq!(accounts.snapshot().unwrap_err(), StillPlain { left: 2 });
        assert!(accounts.set_hash("a", phc()));
        assert_eq!(accounts.snapshot().unwrap_err(), StillPlain { left: 1 });
        let left: Vec<_> = accounts.plain().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left, ["b"]);
        assert!(accounts.set_hash("a", phc()), "a second hash is no harm");
        assert!(accounts.remove("b"));
        assert_eq!(accounts.plain_left(), 0);
        assert!(accounts.snapshot().is_ok());
    }
}
