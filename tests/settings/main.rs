//! Every key of the configuration, changed and seen: what happens when it is left out, and what happens otherwise when
//! a file sets it, before the server starts or while it runs. A row for each key, and none without a row.
//!
//! A row takes the text of the configuration, as an administrator writes it, to what somebody sees. Where the key is
//! the server's, that is the whole server in memory on a clock that the test holds; where it is not, a process.

#![allow(
    clippy::duplicate_mod,
    reason = "the house in memory and the process each come with the frames that they are sent"
)]

#[path = "../support/memory_house.rs"]
mod memory_house;
#[path = "../support/namespaces.rs"]
mod namespaces;
#[path = "../support/mod.rs"]
mod support;

mod doors;
mod logins;
mod output;
mod paces;
mod places;
mod process;
mod times;

use std::collections::BTreeSet;
use std::fs;

use clap::Parser;
use memory_house::House;
use mynah::cli::{Cli, Command};
use mynah::config::{Reload, Settings, keys};

/// What a server is told to be.
#[derive(Clone)]
struct Config {
    /// What stands in the file before the key that is looked at.
    base: String,
    /// That key, if it is there.
    key: String,
    comes: Comes,
}

/// How the key came there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comes {
    AtStart,
    /// The server was there before it, and was told to reload.
    ByReload,
}

impl Config {
    /// The same with something before it that the scenario needs.
    fn over(&self, base: &str) -> Config {
        Config {
            base: format!("{base}{}", self.base),
            ..self.clone()
        }
    }

    /// The file when the server starts.
    fn at_start(&self) -> String {
        match self.comes {
            Comes::AtStart => self.at_last(),
            Comes::ByReload => self.base.clone(),
        }
    }

    /// The file when somebody looks.
    fn at_last(&self) -> String {
        format!("{}{}", self.base, self.key)
    }
}

/// Takes a configuration to what somebody sees.
type See = fn(&Config) -> String;

/// A key, and what is seen of it.
struct Row {
    key: &'static str,
    /// What it is set to, as the file has it.
    value: &'static str,
    /// What is seen under a configuration.
    see: See,
    /// When the key is left out.
    without: &'static str,
    /// When it is set.
    with: &'static str,
}

const fn row(
    key: &'static str,
    value: &'static str,
    see: See,
    without: &'static str,
    with: &'static str,
) -> Row {
    Row {
        key,
        value,
        see,
        without,
        with,
    }
}

/// All of them.
fn rows() -> impl Iterator<Item = &'static Row> {
    let tables = [
        doors::ROWS,
        logins::ROWS,
        output::ROWS,
        paces::ROWS,
        places::ROWS,
        process::ROWS,
        times::ROWS,
    ];
    tables.into_iter().flatten()
}

/// Sees what each key of a table does: when it is left out, when it is there from the start, and when it comes by a
/// reload, which changes what its documentation says that it does.
fn see(table: &[Row]) {
    let mut wrong = Vec::new();
    for row in table {
        let Row { key, value, .. } = row;
        assert_ne!(row.without, row.with, "{key}");
        let with = format!("{key} = {value}\n");
        let reloaded = match reload_of(key) {
            Reload::Now | Reload::NewConnections => row.with,
            Reload::Restart => row.without,
        };
        for (text, comes, wanted) in [
            ("", Comes::AtStart, row.without),
            (&with, Comes::AtStart, row.with),
            (&with, Comes::ByReload, reloaded),
        ] {
            let config = Config {
                base: String::new(),
                key: text.to_owned(),
                comes,
            };
            let seen = (row.see)(&config);
            if seen != wanted {
                wrong.push(format!(
                    "{key}: {seen:?} with {text:?} {comes:?}, and not {wanted:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn reload_of(name: &str) -> Reload {
    let key = keys().find(|key| key.name() == name);
    key.unwrap_or_else(|| panic!("{name} is no key")).reload()
}

#[test]
fn every_key_has_a_row_and_every_row_a_key() {
    let seen: BTreeSet<String> = rows().map(|row| row.key.to_owned()).collect();
    let all: BTreeSet<String> = mynah::config::names().map(str::to_owned).collect();
    let unseen: Vec<_> = all.difference(&seen).collect();
    assert!(unseen.is_empty(), "nobody looks at {unseen:?}");
    let unknown: Vec<_> = seen.difference(&all).collect();
    assert!(unknown.is_empty(), "{unknown:?} are no keys");
}

#[test]
fn from_where_they_may_come() {
    see(doors::ROWS);
}

#[test]
fn how_many_there_may_be() {
    see(places::ROWS);
}

#[test]
fn how_fast_they_may_be() {
    see(paces::ROWS);
}

#[test]
fn how_much_may_wait_for_them() {
    see(output::ROWS);
}

#[test]
fn how_long_they_may_take() {
    see(times::ROWS);
}

#[test]
fn how_they_log_in() {
    see(logins::ROWS);
}

#[test]
fn what_the_process_does() {
    see(process::ROWS);
}

/// The settings of a file with that text.
fn settings(text: &str) -> Settings {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let config = ["mynah", "serve", "--config"].map(AsRef::as_ref);
    let words = config.into_iter().chain([file.path().as_os_str()]);
    let Command::Serve(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("it serves");
    };
    Settings::read(&args).unwrap_or_else(|error| panic!("{error}"))
}

/// What is seen in a server under that configuration.
fn in_house<T: ToString>(config: &Config, see: impl FnOnce(&mut House) -> T) -> String {
    let at_start = settings(&config.at_start());
    let mut house = House::of(&at_start, |_| ());
    if config.comes == Comes::ByReload {
        let at_last = settings(&config.at_last());
        house.reconfigure(&at_last.as_reloaded(&at_start));
    }
    let seen = see(&mut house).to_string();
    house.server.audit();
    seen
}
