//! Owns how a server begins: behind which doors, by which rules, and that it runs until somebody ends it.

use std::io;

use super::accounts::AccountSettings;
use super::book::BanSettings;
use super::control::About;
use super::counters::Counters;
use super::doors::Door;
use super::driver::{Caught, Driver};
use super::reload::{Reread, Terms};

/// How the server behind the doors is to be.
#[derive(Debug)]
pub struct House {
    /// What a reload may change.
    pub terms: Terms,
    /// Whether each protocol has rooms and names of its own.
    pub isolate: bool,
    /// Without it, nobody can log in and no name is kept.
    pub accounts: Option<AccountSettings>,
    /// Who is not let in, and where that is kept.
    pub bans: BanSettings,
    /// What it tells of itself.
    pub about: About,
    /// Who reads the configuration again. Without it, SIGHUP does nothing.
    pub reread: Option<Reread>,
}

/// Runs the server behind its doors until a signal ends it, and returns what it has counted.
///
/// `ready` is called once everything is set up. What each signal does is told by `Driver`.
pub fn run(
    doors: Vec<Door>,
    house: House,
    caught: Caught,
    ready: impl FnOnce(),
) -> io::Result<Counters> {
    let driver = Driver::new(doors, house, caught)?;
    ready();
    driver.run()
}
