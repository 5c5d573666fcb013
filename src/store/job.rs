//! Owns what may take long, as data: hashing, and writing to the disk. Knows nothing of the thread that
//! does it nor of who asked: a ticket of the asker's choice comes back with the result.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    HashCost, HashError, KeptBan, Password, Phc, Snapshot, encode, encode_bans, hash, save,
    save_bans, verify, verify_plain,
};

/// Something to be done where waiting holds up nobody. Saves go first ([`is_save`](Job::is_save)).
#[derive(Debug)]
pub enum Job {
    /// Is this the password of the account?
    Verify {
        ticket: u64,
        password: Password,
        known: Known,
    },
    /// What is this password to be known by? `salt` is 16 new random bytes.
    Hash {
        ticket: u64,
        password: Password,
        salt: [u8; 16],
        cost: HashCost,
    },
    /// Put these accounts on the disk.
    Save {
        ticket: u64,
        path: PathBuf,
        snapshot: Snapshot,
    },
    /// Put these bans on the disk.
    SaveBans {
        ticket: u64,
        path: PathBuf,
        bans: Vec<Arc<KeptBan>>,
    },
}

/// What the password of an account is compared with.
#[derive(Debug)]
pub enum Known {
    /// Its hash; for a name without an account [`Phc::dummy`], which costs the same.
    Hashed(Phc),
    /// The password itself, and how it is to be hashed if it is the right one.
    Plain {
        kept: Password,
        salt: [u8; 16],
        cost: HashCost,
    },
}

/// What a [`Job`] came to.
#[derive(Debug)]
pub enum Done {
    /// Whether it is the password. `rehashed` is what an account in plain shall be known by from now on.
    Verified {
        ticket: u64,
        good: bool,
        rehashed: Option<Phc>,
    },
    /// What the password is to be known by.
    Hashed { ticket: u64, phc: Phc },
    /// There was no memory for a [`Job::Verify`] or a [`Job::Hash`]: nothing is known, nobody may be let in.
    NotHashed { ticket: u64, error: HashError },
    /// Whether the disk has the accounts as they were at that generation.
    Saved {
        ticket: u64,
        generation: u64,
        result: io::Result<()>,
    },
    /// Whether the disk has the bans.
    BansSaved { ticket: u64, result: io::Result<()> },
}

impl Job {
    /// Whether it writes to the disk: somebody's registration hangs on it, or a ban.
    pub fn is_save(&self) -> bool {
        matches!(self, Job::Save { .. } | Job::SaveBans { .. })
    }

    /// Does it, however long it takes.
    pub fn run(self) -> Done {
        match self {
            Job::Verify {
                ticket,
                password,
                known,
            } => {
                let verified = match known {
                    Known::Hashed(phc) => verify(&password, &phc).map(|good| (good, None)),
                    Known::Plain { kept, salt, cost } => {
                        verify_plain(&password, &kept, salt, cost).map(|phc| (phc.is_some(), phc))
                    }
                };
                match verified {
                    Ok((good, rehashed)) => Done::Verified {
                        ticket,
                        good,
                        rehashed,
                    },
                    Err(error) => Done::NotHashed { ticket, error },
                }
            }
            Job::Hash {
                ticket,
                password,
                salt,
                cost,
            } => match hash(&password, salt, cost) {
                Ok(phc) => Done::Hashed { ticket, phc },
                Err(error) => Done::NotHashed { ticket, error },
            },
            Job::Save {
                ticket,
                path,
                snapshot,
            } => Done::Saved {
                ticket,
                generation: snapshot.generation(),
                result: save(&path, &encode(&snapshot)),
            },
            Job::SaveBans { ticket, path, bans } => Done::BansSaved {
                ticket,
                result: save_bans(&path, &encode_bans(bans.iter().map(Arc::as_ref))),
            },
        }
    }
}

impl Done {
    /// Whose job it was.
    pub fn ticket(&self) -> u64 {
        match self {
            Done::Verified { ticket, .. }
            | Done::Hashed { ticket, .. }
            | Done::NotHashed { ticket, .. }
            | Done::Saved { ticket, .. }
            | Done::BansSaved { ticket, .. } => *ticket,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::tests::CHEAP;
    use super::super::{Accounts, FILE_NAME, load};
    use super::*;
    use crate::chat::Name;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn verified(password: Password, known: Known) -> (bool, Option<Phc>) {
        let job = Job::Verify {
            ticket: 7,
            password,
            known,
        };
        match job.run() {
            Done::Verified {
                ticket: 7,
                good,
                rehashed,
            } => (good, rehashed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn jobs_go_to_another_thread_and_come_back() {
        fn sent<T: Send + 'static>() {}
        sent::<Job>();
        sent::<Done>();
    }

    #[test]
    fn a_registration_from_password_to_disk_to_login() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let job = Job::Hash {
            ticket: 1,
            password: password("hunter2"),
            salt: [3; 16],
            cost: CHEAP,
        };
        assert!(!job.is_save());
        let Done::Hashed { ticket: 1, phc } = job.run() else {
            panic!("it is hashed");
        };
        let mut accounts = Accounts::new();
        accounts
            .insert(Name::parse("momodou").unwrap(), phc.clone())
            .unwrap();
        let job = Job::Save {
            ticket: 2,
            path: path.clone(),
            snapshot: accounts.snapshot().unwrap(),
        };
        assert!(job.is_save());
        let done = job.run();
        assert_eq!(done.ticket(), 2);
        assert!(matches!(
            done,
            Done::Saved {
                generation: 1,
                result: Ok(()),
                ..
            }
        ));
        let loaded = load(&path).unwrap().accounts;
        let Some(super::super::Secret::Hashed(read)) =
            loaded.get("MOMODOU").map(|account| account.secret())
        else {
            panic!("it is there");
        };
        assert_eq!(*read, phc);
        let known = || Known::Hashed(read.clone());
        assert_eq!(verified(password("hunter2"), known()), (true, None));
        assert_eq!(verified(password("hunter3"), known()), (false, None));
    }

    #[test]
    fn a_plain_entry_is_hashed_at_its_login_and_only_by_its_password() {
        let known = || Known::Plain {
            kept: password("old"),
            salt: [9; 16],
            cost: CHEAP,
        };
        assert_eq!(verified(password("new"), known()), (false, None));
        let (good, rehashed) = verified(password("old"), known());
        assert!(good);
        assert_eq!(
            verified(password("old"), Known::Hashed(rehashed.unwrap())),
            (true, None)
        );
    }
}
