//! From where anybody may come, and what newcomers are told.

use mynah::protocol::registry::Protocol::{self, Group, TcpRoom};
use mynah::protocol::tcrp::datagram::REGISTER;
use mynah::protocol::udp_mesh::frame as mesh;

use crate::memory_house::frames::{CREATE, ucrp};
use crate::memory_house::{ANN, HERE, House, MESH, UCRP, UDP_LOGIN, UDP_ROOM};
use crate::{Row, in_house, row};

/// Where Ann is, and where she is not.
const HERS: &str = "[\"192.0.2.0/24\"]";
const NOT_HERS: &str = "[\"198.51.100.7\", \"2001:db8::/32\"]";

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("access.tcp-room.allow", NOT_HERS, |config| in_house(config, |house| connects(house, TcpRoom)), "in", "out"),
    row("access.tcp-room.deny", HERS, |config| in_house(config, |house| connects(house, TcpRoom)), "in", "out"),
    row("access.group.allow", NOT_HERS, |config| in_house(config, |house| connects(house, Group)), "in", "out"),
    row("access.group.deny", HERS, |config| in_house(config, |house| connects(house, Group)), "in", "out"),
    row("access.udp-room.allow", NOT_HERS, |config| in_house(config, joins_udp_room), "in", "out"),
    row("access.udp-room.deny", HERS, |config| in_house(config, joins_udp_room), "in", "out"),
    row("access.udp-login.allow", NOT_HERS, |config| in_house(config, logs_in), "in", "out"),
    row("access.udp-login.deny", HERS, |config| in_house(config, logs_in), "in", "out"),
    row("access.tcrp.allow", NOT_HERS, |config| in_house(config, opens_a_room), "a room and in", "no room"),
    row("access.tcrp.deny", HERS, |config| in_house(config, opens_a_room), "a room and in", "no room"),
    row("access.ucrp.allow", NOT_HERS, |config| in_house(config, opens_a_room), "a room and in", "a room and out"),
    row("access.ucrp.deny", HERS, |config| in_house(config, opens_a_room), "a room and in", "a room and out"),
    row("access.udp-mesh.allow", NOT_HERS, |config| in_house(config, speaks_in_the_mesh), "in", "out"),
    row("access.udp-mesh.deny", HERS, |config| in_house(config, speaks_in_the_mesh), "in", "out"),
    row("welcome", "\"be kind\"", |config| in_house(config, reads_at_first), "nothing", "be kind"),
];

/// Whether Ann is in.
fn ann(house: &House) -> &'static str {
    match house.count("joined") {
        0 => "out",
        _ => "in",
    }
}

fn connects(house: &mut House, protocol: Protocol) -> &'static str {
    if let Some(peer) = house.come(protocol, ANN) {
        let words = crate::memory_house::frames::enter(protocol, "ann");
        house.say(&peer, &words);
    }
    ann(house)
}

fn joins_udp_room(house: &mut House) -> &'static str {
    house.give(UDP_ROOM, ANN, "UN| ann");
    ann(house)
}

fn logs_in(house: &mut House) -> &'static str {
    house.give(UDP_LOGIN, ANN, "C 1 PASS ann a password");
    house.work();
    ann(house)
}

fn opens_a_room(house: &mut House) -> String {
    let Some(token) = house.reserve(ANN, CREATE, "den", "ann") else {
        return "no room".to_owned();
    };
    house.give(UCRP, ANN, ucrp("den", &token, REGISTER));
    format!("a room and {}", ann(house))
}

fn speaks_in_the_mesh(house: &mut House) -> &'static str {
    mesh::encode_say("ann", "hi", |datagram| house.give(MESH, ANN, datagram));
    ann(house)
}

/// What somebody reads who comes, beside what everybody does.
fn reads_at_first(house: &mut House) -> &'static str {
    let told = house.send(UDP_ROOM, HERE, "UN| ann").concat();
    match told.contains("be kind") {
        true => "be kind",
        false => "nothing",
    }
}
