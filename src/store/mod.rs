//! Owns the accounts (who has one, what its password is known by) and the bans, and the files that outlive the process.
//! Knows no sockets, no protocols and no clock: times and random bytes come in as arguments. It reads and
//! writes files, so whoever drives it runs a [`Job`] where waiting for a disk holds up nobody.
//!
//! Nothing in here can write a password: what goes to the disk is a [`Snapshot`], and there is none while
//! an account still has its password in plain.
//!
//! ```text
//!             load                                     snapshot              save
//!  the file ────────▶ Accounts { name: Plain | Hashed } ────────▶ Snapshot ────────▶ the file
//!                          ▲  every Plain becomes Hashed first
//!                          └──── Phc ◀──── Job::Hash, Job::Verify
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod accounts;
mod attempts;
mod bans;
mod document;
mod file;
mod hash;
mod job;
mod lock;
mod password;

pub use accounts::{
    Account, Accounts, Denial, Denied, InsertError, MAX_ACCOUNTS, Secret, Snapshot, StillPlain,
    Taken,
};
pub use attempts::{AttemptLimits, Attempts, Registrations, TryAgain};
pub use bans::{
    BANS_FILE_NAME, BansError, KeptBan, MAX_BANS, encode_bans, load_bans, save_bans, unmapped,
};
pub use document::{Damage, Damaged, Form, MAX_FILE_BYTES, decode, encode, fuzz};
pub use file::{FILE_NAME, LoadError, Loaded, load, save};
pub use hash::{CostError, HashCost, HashError, Phc, PhcError, hash, verify, verify_plain};
pub use job::{Done, Job, Known};
pub use lock::{Lock, LockError};
pub use password::{MAX_PASSWORD_BYTES, Password, PasswordError};
