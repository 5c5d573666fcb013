//! Who may be in, with whom, and as what.

use mynah::protocol::registry::Protocol::TcpRoom;
use mynah::protocol::udp_mesh::frame as mesh;

use crate::memory_house::frames::{CREATE, say};
use crate::memory_house::{ANN, BOB, EVE, HERE, House, MESH, UDP_ROOM};
use crate::{Row, in_house, row};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("limits.max_per_address", "3", |config| in_house(config, connections_of_one_address), "16", "3"),
    row("limits.mesh_names_per_address", "2", |config| in_house(config, names_from_one_mesh), "256", "2"),
    row("limits.rooms", "3", |config| in_house(config, |house| rooms_of(house, HERE, 5)), "5", "2"),
    row("limits.rooms_per_address", "3", |config| in_house(config, |house| rooms_of(house, ANN, 5)), "5", "3"),
    row("limits.secrets_per_address", "2", |config| in_house(config, |house| rooms_of(house, ANN, 20)), "16", "2"),
    row("limits.unproven_members", "2", |config| in_house(config, members_of_udp_room), "3", "2"),
    row("limits.members_per_room", "2", |config| in_house(config, members_of_the_lobby), "3", "2"),
    row("mesh.name", "\"gate\"", |config| in_house(config, who_is_in_the_mesh), "mynah", "gate"),
    row("mesh.broadcast", "\"192.0.2.255\"", |config| in_house(config, where_the_mesh_is), "255.255.255.255:5238", "192.0.2.255:5238"),
];

fn connections_of_one_address(house: &mut House) -> usize {
    let mut ports = 1..100;
    let mut come = |port| house.come(TcpRoom, &format!("192.0.2.1:{port}")).is_some();
    ports.position(|port| !come(port)).unwrap()
}

fn names_from_one_mesh(house: &mut House) -> u64 {
    for number in 0..260 {
        let name = format!("name{number}");
        mesh::encode_say(&name, "hi", |datagram| house.give(MESH, EVE, datagram));
    }
    house.count("joined")
}

/// How many of so many rooms are opened.
fn rooms_of(house: &mut House, from: &str, wanted: usize) -> usize {
    let open = |number: &usize| {
        let room = format!("room{number}");
        house.reserve(from, CREATE, &room, "host").is_some()
    };
    (0..wanted).filter(open).count()
}

fn members_of_udp_room(house: &mut House) -> usize {
    for (number, from) in [ANN, BOB, EVE].into_iter().enumerate() {
        house.give(UDP_ROOM, from, format!("UN| name{number}"));
    }
    house.names().len()
}

fn members_of_the_lobby(house: &mut House) -> usize {
    for name in ["ann", "bob", "eve"] {
        house.join(TcpRoom, HERE, name);
    }
    house.names().len()
}

/// As whom the gateway answers somebody who comes.
fn who_is_in_the_mesh(house: &mut House) -> String {
    let mut join = Vec::new();
    // A name that the lobby has is refused by the gateway, whose own name is such.
    let mut taken = |name: &str| {
        join.clear();
        mesh::encode_join(name, &mut join);
        house.give(MESH, &format!("192.0.2.{}:1000", name.len()), &join);
        let answers = house.port(MESH).take();
        let mut refusal = Vec::new();
        mesh::encode_taken(&mut refusal);
        answers.iter().any(|(_, bytes)| *bytes == refusal)
    };
    let names: Vec<&str> = ["mynah", "gate", "ann"]
        .into_iter()
        .filter(|name| taken(name))
        .collect();
    names.join(", ")
}

/// Where what is said here is sent to.
fn where_the_mesh_is(house: &mut House) -> String {
    let speaker = house.join(TcpRoom, HERE, "ann");
    house.port(MESH).take();
    house.say(&speaker, &say(TcpRoom, "ann", "hi"));
    let (to, _) = house.port(MESH).take().remove(0);
    to.to_string()
}
