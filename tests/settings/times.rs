//! How long anybody may take.

use mynah::protocol::registry::Protocol::{self, Group, TcpRoom};

use crate::memory_house::frames::{CREATE, enter, say};
use crate::memory_house::{ANN, BOB, HERE, House, SECOND, UDP_ROOM};
use crate::{Row, in_house, row};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("limits.name_time", "5", |config| in_house(config, |house| silent_after(house, TcpRoom, &471_i32.to_le_bytes())), "60", "5"),
    row("limits.first_frame_time", "5", |config| in_house(config, |house| silent_after(house, Group, b"")), "10", "5"),
    row("limits.frame_time", "5", |config| in_house(config, |house| silent_after(house, TcpRoom, &half_a_frame())), "20", "5"),
    row("limits.joining_time", "5", |config| in_house(config, |house| silent_after(house, Group, b"HELLO\r\n")), "300", "5"),
    row("limits.closing_time", "5", |config| in_house(config, closes_late), "2", "5"),
    row("limits.lingering_time", "5", |config| in_house(config, lingers), "1", "5"),
    row("limits.udp_idle", "10", |config| in_house(config, idle_in_udp_room), "900", "10"),
    row("limits.login_idle", "10", |config| in_house(config, idle_after_login), "300", "10"),
    row("limits.registering_time", "5", |config| in_house(config, token_is_kept), "60", "5"),
];

/// The first second in which something is so.
fn seconds_until(house: &mut House, done: impl Fn(&House) -> bool) -> u32 {
    for seconds in 0..1000 {
        if done(house) {
            return seconds;
        }
        house.pass(SECOND);
    }
    panic!("it is never so");
}

/// After how many seconds one is cut who says that and no more.
fn silent_after(house: &mut House, protocol: Protocol, words: &[u8]) -> u32 {
    let peer = house.come_with(protocol, ANN, words);
    seconds_until(house, |_| peer.stream.is_closed())
}

fn half_a_frame() -> Vec<u8> {
    let mut words = enter(TcpRoom, "ann");
    words.extend_from_slice(&say(TcpRoom, "ann", "hi")[..9]);
    words
}

/// How long one who has broken a rule may take to read that.
fn closes_late(house: &mut House) -> u32 {
    let deaf = house.join(Group, HERE, "deaf");
    deaf.stream.refuse();
    house.say(&deaf, &[b'x'; 10_000]);
    assert_eq!(house.count("violations"), 1);
    seconds_until(house, |house| house.count("closed_late") == 1)
}

/// How long one who was told why may take to close.
fn lingers(house: &mut House) -> u32 {
    let peer = house.join(Group, HERE, "slow");
    house.say(&peer, &[b'x'; 10_000]);
    assert!(peer.stream.is_closed(), "the server's half is");
    seconds_until(house, |house| house.server.is_empty())
}

fn idle_in_udp_room(house: &mut House) -> u32 {
    house.give(UDP_ROOM, ANN, "UN| ann");
    assert_eq!(house.names(), ["ann"]);
    seconds_until(house, |house| house.names().is_empty())
}

fn idle_after_login(house: &mut House) -> u32 {
    house.login(BOB, "bob");
    assert_eq!(house.names(), ["bob"]);
    seconds_until(house, |house| house.names().is_empty())
}

/// How long a name is kept for whoever has a token and does not come.
fn token_is_kept(house: &mut House) -> u32 {
    house.reserve(ANN, CREATE, "den", "ann").unwrap();
    seconds_until(house, |house| house.count("never_came") == 1)
}
