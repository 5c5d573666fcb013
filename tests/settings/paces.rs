//! How much anybody may say, and how much those are sent who cannot show that they receive it.

use mynah::protocol::registry::Protocol::TcpRoom;

use crate::memory_house::frames::say;
use crate::memory_house::{ANN, EVE, HERE, House, Peer, SECOND, UDP_ROOM, address};
use crate::{Row, in_house, row};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("limits.message_burst", "3", |config| in_house(config, |house| messages(house).0), "50", "3"),
    row("limits.messages_per_second", "5", |config| in_house(config, |house| messages(house).1), "20", "5"),
    row("limits.messages_per_second", "0", |config| in_house(config, |house| messages(house).1), "20", "60"),
    row("limits.datagram_burst", "3", |config| in_house(config, |house| datagrams(house).0), "1000", "3"),
    row("limits.datagrams_per_second", "5", |config| in_house(config, |house| datagrams(house).1), "500", "5"),
    row("limits.datagrams_per_second", "0", |config| in_house(config, |house| datagrams(house).1), "500", "1100"),
    row("limits.pace_burst_bytes", "8192", |config| in_house(config, |house| lines_heard(house).0), "64", "8"),
    row("limits.pace_bytes_per_second", "1024", |config| in_house(config, |house| lines_heard(house).1), "40", "10"),
];

/// How many of sixty at once are heard, and how many of as many a second later.
fn messages(house: &mut House) -> (u64, u64) {
    let ann = house.join(TcpRoom, ANN, "ann");
    let say = |house: &mut House, ann: &Peer| {
        let before = house.count("messages");
        house.say(ann, &say(TcpRoom, "ann", "hi").repeat(60));
        house.count("messages") - before
    };
    let at_once = say(house, &ann);
    house.pass(SECOND);
    (at_once, say(house, &ann))
}

/// How many of a flood at once are looked at, and how many of another a second later.
fn datagrams(house: &mut House) -> (u64, u64) {
    let flood = |house: &mut House| {
        let before = house.count("floods");
        (0..1100).for_each(|_| house.give(UDP_ROOM, EVE, "EX|"));
        1100 - (house.count("floods") - before)
    };
    let at_once = flood(house);
    house.pass(SECOND);
    (at_once, flood(house))
}

/// How many lines of a KiB somebody far away hears of a hundred that are said at once, and of those that are said in
/// the ten seconds after that.
fn lines_heard(house: &mut House) -> (usize, usize) {
    house.give(UDP_ROOM, HERE, "UN| talker");
    house.give(UDP_ROOM, ANN, "UN| ann");
    house.port(UDP_ROOM).take();
    let line = "x".repeat(1024 - "[00:00] talker: ".len());
    let hear = |house: &mut House| {
        (0..100).for_each(|_| house.give(UDP_ROOM, HERE, &line));
        let heard = house.port(UDP_ROOM).take_for(address(ANN));
        heard.iter().filter(|line| line.len() > 900).count()
    };
    let at_once = hear(house);
    let mut later = 0;
    for _ in 0..10 {
        house.pass(SECOND);
        later += hear(house);
    }
    (at_once, later)
}
