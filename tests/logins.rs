//! Who guesses: passwords by the thousand, tokens, and more logins than can be looked at. The whole server in memory,
//! a clock that the test holds.

#[path = "support/memory_house.rs"]
mod memory_house;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use memory_house::frames::{CREATE, JOIN, ucrp};
use memory_house::{ANN, BOB, House, UCRP, UDP_LOGIN, address};
use mynah::chat::TimeOfDay;
use mynah::protocol::Secret;
use mynah::reactor::MAX_WAITING_JOBS;
use mynah::server::Limits;
use mynah::store::Job;

const EVE: &str = "203.0.113.66:1000";
/// Guesses a second, and for how long.
const PER_SECOND: u32 = 1000;
const SECONDS: u32 = 30;

/// Every one another machine, in another network.
fn machine(number: u32) -> SocketAddr {
    let ip = Ipv4Addr::from(0x0a00_0000 + number);
    (IpAddr::from(ip), 1000).into()
}

/// What is answered, each with how often; the number of seconds to wait left out.
#[derive(Default)]
struct Answers(BTreeMap<String, u32>);

impl Answers {
    /// Takes what was sent since this was asked before.
    fn take(&mut self, house: &House) {
        for (_, answer) in house.port(UDP_LOGIN).take() {
            let answer = String::from_utf8(answer).unwrap();
            let words: Vec<&str> = answer
                .split(' ')
                .filter(|word| word.parse::<u32>().is_err())
                .collect();
            *self.0.entry(words.join(" ")).or_default() += 1;
        }
    }

    fn of(&self, answer: &str) -> u32 {
        self.0.get(answer).copied().unwrap_or_default()
    }
}

/// A guess arrives; how many passwords are looked at because of it.
fn guess(house: &mut House, from: SocketAddr, name: &str, password: &str) -> u32 {
    house
        .port(UDP_LOGIN)
        .give(from, format!("C 1 PASS {name} {password}").as_bytes());
    house.edge(UDP_LOGIN);
    // The audit looks at all that there is, which is too much for every guess.
    house.server.turn(house.now, TimeOfDay::MIDNIGHT);
    let mut hashes = 0;
    while let Some(job) = house.server.next_job() {
        hashes += u32::from(!job.is_save());
        house.server.handle_done(job.run(), house.now);
    }
    house.server.turn(house.now, TimeOfDay::MIDNIGHT);
    hashes
}

const DENIED: &str = "C DENIED wrong name or password";
const TRY_AGAIN: &str = "C DENIED try again in s";
const TOO_MANY: &str = "C DENIED too many from you";

#[test]
fn r16_thirty_thousand_guesses_at_one_account_are_nine_hashes_and_its_owner_gets_in_from_home() {
    let mut house = House::new();
    let sid = house.login(ANN, "ann");
    let bye = house.send(UDP_LOGIN, ANN, format!("C 2 EX {sid}"));
    assert_eq!(bye, ["C 2 BYE"]);
    let (mut hashes, mut answers) = (0, Answers::default());
    for number in 0..PER_SECOND * SECONDS {
        let from = machine(number);
        hashes += guess(&mut house, from, "ann", &format!("guess{number}"));
        answers.take(&house);
        house.now += Duration::from_millis(1);
    }
    // Five, and those after 1, 3, 7 and 15 s. From then on it is one in up to five minutes.
    assert_eq!(hashes, 9);
    assert_eq!(answers.of(DENIED), hashes);
    assert_eq!(answers.of(TRY_AGAIN), PER_SECOND * SECONDS - hashes);
    assert_eq!(answers.0.len(), 2, "{:?}", answers.0);
    let counters = house.server.counters();
    assert_eq!(counters.denied, u64::from(hashes));
    assert_eq!(counters.refused_try_again, u64::from(answers.of(TRY_AGAIN)));
    // Elsewhere its owner waits like everybody, for who it is shows only by the password.
    let password = "C 1 PASS ann a long enough password";
    let elsewhere = house.send(UDP_LOGIN, BOB, password);
    assert_eq!(elsewhere, ["C 1 DENIED try again in 2 s"]);
    // At home there is no wait.
    house.login("192.0.2.1:2000", "ann");
    house.pass(Duration::from_secs(20));
    assert_eq!(house.names(), ["ann"]);
    house.server.audit();
}

#[test]
fn r16_an_address_has_twenty_guesses_and_then_waits_that_double_whatever_the_names() {
    let mut house = House::keeping(Limits::default(), |settings| settings.open = false);
    let (mut hashes, mut answers) = (0, Answers::default());
    for number in 0..PER_SECOND * SECONDS {
        let port = 1024 + u16::try_from(number).unwrap();
        let from = SocketAddr::new(address(EVE).ip(), port);
        hashes += guess(&mut house, from, &format!("name{number}"), "password");
        answers.take(&house);
        house.now += Duration::from_millis(1);
    }
    // Sixteen, as many as an address has guests; four when those are forgotten; and after 1, 3, 7 and 15 s.
    assert_eq!(hashes, 24);
    assert_eq!(answers.of(DENIED), hashes);
    // And half of them were not even looked at: a network sends so many datagrams and no more.
    let floods = u32::try_from(house.server.counters().floods).unwrap();
    assert!(floods > PER_SECOND * SECONDS / 3, "{floods}");
    let told = PER_SECOND * SECONDS - hashes - floods;
    assert_eq!(answers.of(TRY_AGAIN) + answers.of(TOO_MANY), told);
    // Others are looked at as before.
    assert_eq!(guess(&mut house, address(BOB), "bob", "password"), 1);
}

#[test]
fn r16_what_was_guessed_at_is_slow_for_hours_and_then_forgotten() {
    let mut house = House::keeping(Limits::default(), |settings| settings.open = false);
    let mut by_hour = [0; 3];
    let mut number = 0;
    for hour in &mut by_hour {
        for _ in 0..3600 {
            *hour += guess(&mut house, machine(number), "ann", "password");
            number += 1;
            house.now += Duration::from_secs(1);
        }
    }
    // Ten of them in the first minute; from then on fewer than five in any.
    assert_eq!(by_hour, [24, 12, 12]);
    house.now += Duration::from_secs(300 * (12 + 5));
    let anew = (0..10).map(|n| guess(&mut house, machine(n), "ann", "password"));
    assert_eq!(anew.sum::<u32>(), 5);
}

#[test]
fn r19_ten_thousand_logins_at_once_are_63_hashes_and_all_others_are_told() {
    let mut house = House::new();
    let mut answers = Answers::default();
    for number in 0..10_000 {
        let from = machine(number);
        house
            .port(UDP_LOGIN)
            .give(from, format!("C 1 PASS name{number} password").as_bytes());
        if number % 32 == 31 {
            house.edge(UDP_LOGIN);
            house.turn();
        }
        assert!(house.server.guests() < MAX_WAITING_JOBS);
    }
    house.turn();
    let jobs: Vec<Job> = std::iter::from_fn(|| house.server.next_job()).collect();
    assert_eq!(
        jobs.len(),
        MAX_WAITING_JOBS - 1,
        "no more wait for the helper"
    );
    answers.take(&house);
    assert_eq!(answers.of("C DENIED busy, try again"), 10_000 - 63);
    assert_eq!(house.server.counters().refused_busy, 10_000 - 63);
    for job in jobs {
        house.server.handle_done(job.run(), house.now);
    }
    house.work();
    assert_eq!(house.server.counters().registered, 63);
    assert_eq!(house.names().len(), 63);
}

#[test]
fn r14_who_guesses_tokens_gets_no_further_than_its_network_may_send() {
    let mut house = House::new();
    let mut drawn = 0u64;
    house.server.draw_secrets_from(move || {
        drawn += 1;
        let bits = u128::from(drawn) << 64 | 0x1234_5678;
        bits.to_be_bytes()
    });
    let token = house.reserve(ANN, CREATE, "den", "ann").unwrap();
    house.send(UCRP, ANN, ucrp("den", &token, "__REGISTER__"));
    let other = house.reserve(BOB, JOIN, "den", "bob").unwrap();
    house.send(UCRP, BOB, ucrp("den", &other, "__REGISTER__"));
    // Every token that differs by one bit, from the right address and from another one.
    let right = Secret::from_hex(token.strip_prefix("token_").unwrap().as_bytes()).unwrap();
    for bit in 0..128 {
        let guess = right.bits() ^ 1 << bit;
        if guess == right.bits() ^ 1 << 64 || guess == right.bits() ^ 1 << 65 {
            // Other members may have those.
            continue;
        }
        let guess = format!("token_{guess:032x}");
        for from in [ANN, EVE] {
            assert!(house.send(UCRP, from, ucrp("den", &guess, "hi")).is_empty());
        }
    }
    assert_eq!(house.server.counters().dropped, 2 * 126);
    // A second of guesses as fast as they come: what its network may send at once, and no more.
    for number in 0..20_000u128 {
        let guess = format!("token_{number:032x}");
        house.give(UCRP, EVE, ucrp("den", &guess, "hi"));
    }
    let looked_at = 20_000 + 126 - house.server.counters().floods;
    assert_eq!(looked_at, 1000);
    assert!(house.port(UCRP).take().is_empty());
    // Who owns the token notices nothing.
    house.give(UCRP, ANN, ucrp("den", &token, "still here"));
    let heard = house.port(UCRP).take_for(address(BOB));
    assert_eq!(heard, ["\u{3}annstill here"]);
}
