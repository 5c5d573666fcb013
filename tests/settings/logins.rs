//! Who has an account, and how often anybody may try a password.

use crate::memory_house::{ANN, House, SECOND, UDP_LOGIN};
use crate::{Config, Row, in_house, row};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("limits.registrations_per_hour", "2", |config| in_cheap_house(config, |house| registrations(house, 8)), "5", "2"),
    row("limits.wrong_passwords_per_name", "2", |config| in_cheap_house(config, guesses_at_one_name), "5", "2"),
    row("limits.wrong_passwords_per_address", "2", |config| in_cheap_house(&config.over("limits.max_per_address = 100\n"), guesses_from_one_address), "20", "2"),
    row("limits.longest_login_wait", "4", |config| in_cheap_house(config, guesses_in_a_while), "10", "15"),
    row("limits.answer_keeping_time", "3", |config| in_cheap_house(config, asks_again), "the same", "looked at again"),
];

/// What is seen where a password costs little.
fn in_cheap_house<T: ToString>(config: &Config, see: impl FnOnce(&mut House) -> T) -> String {
    let cheap = "accounts.argon2_memory_kib = 1024\naccounts.argon2_passes = 1\n";
    in_house(&config.over(cheap), see)
}

/// Somebody tries a password; what it is answered.
fn log_in(house: &mut House, from: &str, name: &str, password: &str) -> String {
    house.give(UDP_LOGIN, from, format!("C 1 PASS {name} {password}"));
    house.work();
    let answers = house.port(UDP_LOGIN).take_for(from.parse().unwrap());
    answers.into_iter().next().unwrap_or_default()
}

/// How many accounts of so many somebody makes at once.
fn registrations(house: &mut House, wanted: u16) -> u64 {
    for number in 0..wanted {
        let from = format!("192.0.2.1:{}", 1000 + number);
        log_in(house, &from, &format!("name{number}"), "a password");
    }
    house.count("registered")
}

/// How many guesses at a name, each from another machine, are looked at.
fn guesses_at_one_name(house: &mut House) -> u64 {
    log_in(house, "127.0.0.1:1", "ann", "the right password");
    for number in 0..40 {
        let from = format!("198.51.{number}.1:1000");
        log_in(house, &from, "ann", "a wrong password");
    }
    house.count("denied")
}

/// The same of one machine at many names.
fn guesses_from_one_address(house: &mut House) -> u64 {
    for number in 0..30 {
        let from = format!("127.0.0.1:{}", 1000 + number);
        log_in(house, &from, &format!("name{number}"), "the right password");
    }
    // Who was denied is a guest for a while; here an address may have more of them than by default.
    for number in 0..30 {
        let from = format!("192.0.2.1:{}", 1000 + number);
        log_in(house, &from, &format!("name{number}"), "a wrong password");
    }
    house.count("denied")
}

/// How many guesses at a name are looked at in forty seconds.
fn guesses_in_a_while(house: &mut House) -> u64 {
    log_in(house, "127.0.0.1:1", "ann", "the right password");
    for second in 0..40 {
        let from = format!("198.51.{second}.1:1000");
        log_in(house, &from, "ann", "a wrong password");
        house.pass(SECOND);
    }
    house.count("denied")
}

/// What becomes of a request that was denied five seconds ago and comes again.
fn asks_again(house: &mut House) -> &'static str {
    log_in(house, "127.0.0.1:1", "ann", "the right password");
    log_in(house, ANN, "ann", "a wrong password");
    house.pass(5 * SECOND);
    let denied = house.count("denied");
    let answer = log_in(house, ANN, "ann", "a wrong password");
    assert_eq!(answer, "C 1 DENIED wrong name or password");
    match house.count("denied") == denied {
        true => "the same",
        false => "looked at again",
    }
}
