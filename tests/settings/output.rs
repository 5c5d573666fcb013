//! How much may wait for those who do not take it.

use mynah::protocol::registry::Protocol::TcpRoom;

use crate::memory_house::frames::{enter, say};
use crate::memory_house::{HERE, House, Peer, SECOND, UDP_ROOM};
use crate::{Row, in_house, row};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("limits.backlog_bytes", "16384", |config| in_house(config, |house| behind(house, 100, 0)), "stays", "slow_backlog"),
    row("limits.stall_bytes", "4096", |config| in_house(config, |house| behind(house, 10, 40)), "stays", "slow_stalled"),
    row("limits.stall_time", "5", |config| in_house(config, |house| behind(house, 100, 20)), "stays", "slow_stalled"),
    row("limits.outbox_bytes", "16384", |config| in_house(config, told_alone), "stays", "slow_outbox"),
    row("limits.output_bytes", "5000000", |config| in_house(config, deaf_crowd), "stays", "slow_over_budget"),
    row("limits.unsent_bytes", "4096", |config| in_house(config, speaks_and_does_not_read), "heard", "not heard"),
    row("limits.mailing_bytes", "16384", |config| in_house(config, mail), "40 of 40", "16 of 40"),
];

/// Somebody who takes nothing any more.
fn deaf(house: &mut House) -> Peer {
    let deaf = house.join(TcpRoom, HERE, "deaf");
    deaf.stream.refuse();
    deaf
}

/// Whether anybody was cut, and why.
fn cut(house: &House) -> &'static str {
    let reasons = [
        "slow_backlog",
        "slow_outbox",
        "slow_stalled",
        "slow_over_budget",
    ];
    let mut reasons = reasons.into_iter().filter(|reason| house.count(reason) > 0);
    let reason = reasons.next().unwrap_or("stays");
    assert_eq!(reasons.next(), None);
    reason
}

/// What becomes of one who is so many KiB behind, for so many seconds.
fn behind(house: &mut House, kib: usize, seconds: u32) -> &'static str {
    deaf(house);
    let talker = house.join(TcpRoom, HERE, "talker");
    for _ in 0..kib {
        house.say(&talker, &say(TcpRoom, "talker", &"x".repeat(1024)));
    }
    house.pass(seconds * SECOND);
    cut(house)
}

/// The same of one for whom alone a hundred KiB wait.
fn told_alone(house: &mut House) -> &'static str {
    deaf(house);
    house.give(UDP_ROOM, HERE, "UN| talker");
    for _ in 0..100 {
        let message = format!("DM| talker> deaf: {}", "x".repeat(980));
        house.give(UDP_ROOM, HERE, message);
    }
    cut(house)
}

/// The same of many who do not even take the history, which is as long as it may be.
fn deaf_crowd(house: &mut House) -> &'static str {
    let talker = house.join(TcpRoom, HERE, "talker");
    for _ in 0..10 {
        house.say(&talker, &say(TcpRoom, "talker", &"x".repeat(4096)));
    }
    for number in 0..150 {
        let deaf = house.come(TcpRoom, HERE).unwrap();
        deaf.stream.refuse();
        house.say(&deaf, &enter(TcpRoom, &format!("deaf{number}")));
    }
    cut(house)
}

/// Whether one is heard for whom ten KiB wait.
fn speaks_and_does_not_read(house: &mut House) -> &'static str {
    let deaf = deaf(house);
    let talker = house.join(TcpRoom, HERE, "talker");
    for _ in 0..10 {
        house.say(&talker, &say(TcpRoom, "talker", &"x".repeat(1024)));
    }
    house.say(&deaf, &say(TcpRoom, "deaf", "do you hear me?"));
    match house.count("messages") {
        11 => "heard",
        _ => "not heard",
    }
}

/// How much is still sent of what is said while the port's kernel takes nothing.
fn mail(house: &mut House) -> String {
    house.give(UDP_ROOM, HERE, "UN| talker");
    house.give(UDP_ROOM, "127.0.0.1:2", "UN| listener");
    let said = 40;
    house.port(UDP_ROOM).make_room(0);
    for _ in 0..said {
        house.give(UDP_ROOM, HERE, "x".repeat(1000));
    }
    let gone = house.count("overflowed");
    format!("{} of {said}", said - gone)
}
