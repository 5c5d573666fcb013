//! Every counter, reached on purpose: a row for each, and none without a row. The whole server in memory.

#[path = "support/memory_house.rs"]
mod memory_house;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::time::Duration;

use memory_house::frames::{CREATE, JOIN, say, ucrp};
use memory_house::{
    ANN, BOB, EVE, HERE, House, MESH, OWN, Peer, SECOND, UCRP, UDP_LOGIN, UDP_ROOM,
};
use mynah::protocol::registry::Protocol::{self, Group, TcpRoom, Tcrp};
use mynah::protocol::tcrp::datagram::{LEAVE, REGISTER};
use mynah::protocol::udp_mesh::frame as mesh;
use mynah::server::{Access, Ban, Counters, Limits, Whom};
use rustix::io::Errno;

/// A counter, what it comes to, and how.
type Row = (&'static str, u64, fn() -> House);

const ROWS: &[Row] = &[
    ("accepted", 1, || {
        with(|house| drop(house.join(TcpRoom, ANN, "ann")))
    }),
    ("turned_away", 1, || {
        with(|house| (0..17).for_each(|_| drop(house.come(Group, ANN))))
    }),
    ("shed", 1, || {
        with(|house| {
            let (error, pause) = (Errno::MFILE.into(), Duration::from_millis(10));
            let (server, now) = (&mut house.server, house.now);
            server.note_not_accepted(Group, &error, pause, now);
        })
    }),
    ("refused", 2, || {
        with(|house| {
            for name in ["ann", "ann", ""] {
                house.join(TcpRoom, ANN, name);
            }
        })
    }),
    ("refused_bad_name", 1, || {
        with(|house| drop(house.join(TcpRoom, ANN, "a\u{202e}nn")))
    }),
    ("refused_name_taken", 1, || {
        with(|house| {
            house.join(TcpRoom, ANN, "ann");
            house.give(UDP_ROOM, BOB, "UN| ann");
        })
    }),
    ("refused_room_exists", 1, || {
        with(|house| {
            house.reserve(ANN, CREATE, "den", "ann").unwrap();
            assert_eq!(house.reserve(BOB, CREATE, "den", "bob"), None);
        })
    }),
    ("refused_no_such_room", 1, || {
        with(|house| assert_eq!(house.reserve(BOB, JOIN, "den", "bob"), None))
    }),
    ("refused_room_full", 1, || {
        let mut limits = Limits::default();
        limits.hub.members_per_room = 1;
        limited(limits, |house| {
            house.join(TcpRoom, ANN, "ann");
            house.join(TcpRoom, BOB, "bob");
        })
    }),
    ("refused_too_many_rooms", 1, || {
        let mut limits = Limits::default();
        limits.hub.rooms = 2;
        limited(limits, |house| {
            house.reserve(ANN, CREATE, "den", "ann").unwrap();
            assert_eq!(house.reserve(BOB, CREATE, "pub", "bob"), None);
        })
    }),
    ("refused_rooms_of_address", 1, || {
        let limits = Limits {
            rooms_per_address: 1,
            ..Limits::default()
        };
        limited(limits, |house| {
            house.reserve(ANN, CREATE, "den", "ann").unwrap();
            assert_eq!(house.reserve(ANN, CREATE, "pub", "ann"), None);
        })
    }),
    ("denied", 1, || {
        with(|house| {
            log_in(house, ANN, "ann", "right");
            log_in(house, BOB, "ann", "wrong");
        })
    }),
    ("refused_try_again", 1, || {
        with(|house| {
            log_in(house, ANN, "ann", "right");
            for port in 0..6 {
                log_in(
                    house,
                    &format!("192.0.2.66:{}", 1000 + port),
                    "ann",
                    "wrong",
                );
            }
        })
    }),
    ("refused_busy", 1, || {
        with(|house| {
            for n in 0..64 {
                let from = format!("198.51.100.{}:1", 2 + n);
                house.give(UDP_LOGIN, &from, format!("C 1 PASS n{n} a password"));
            }
        })
    }),
    ("unproven_away", 2, || {
        let limits = Limits {
            unproven_members: 1,
            ..Limits::default()
        };
        limited(limits, |house| {
            house.send(UDP_ROOM, ANN, "UN| ann");
            house.send(UDP_ROOM, BOB, "UN| bob");
            house.send(UDP_ROOM, EVE, "UN| eve");
            // This machine's own are not counted; and who goes leaves its place.
            house.send(UDP_ROOM, HERE, "UN| here");
            house.send(UDP_ROOM, ANN, "EX|");
            house.send(UDP_ROOM, BOB, "UN| bob");
            assert_eq!(house.count("joined"), 3);
        })
    }),
    ("refused_not_saved", 1, || {
        with(|house| {
            house.break_disk();
            log_in(house, ANN, "ann", "a password");
        })
    }),
    ("refused_from_address", 1, || {
        let limits = Limits {
            secrets_per_address: 2,
            ..Limits::default()
        };
        limited(limits, |house| {
            house.reserve(ANN, CREATE, "den", "ann").unwrap();
            house.reserve(ANN, JOIN, "den", "anna").unwrap();
            assert_eq!(house.reserve(ANN, JOIN, "den", "annabel"), None);
        })
    }),
    ("joined", 2, || {
        with(|house| {
            house.join(TcpRoom, ANN, "ann");
            house.give(UDP_ROOM, BOB, "UN| bob");
        })
    }),
    ("messages", 2, || {
        with(|house| {
            let peer = house.join(TcpRoom, ANN, "ann");
            house.say(&peer, &say(TcpRoom, "ann", "hi"));
            house.give(UDP_ROOM, BOB, "UN| bob");
            house.give(UDP_ROOM, BOB, "hi");
        })
    }),
    ("over_rate", 3, || {
        with(|house| {
            let peer = house.join(TcpRoom, ANN, "ann");
            house.say(&peer, &say(TcpRoom, "ann", "hi").repeat(53));
        })
    }),
    ("forged", 1, || {
        with(|house| {
            let peer = house.join(TcpRoom, ANN, "ann");
            house.say(&peer, &say(TcpRoom, "bob", "hi"));
        })
    }),
    ("left", 1, || {
        with(|house| {
            let peer = house.join(TcpRoom, ANN, "ann");
            house.end(&peer);
            house.turn();
        })
    }),
    ("answered", 1, || {
        with(|house| drop(house.reserve(ANN, CREATE, "den", "ann")))
    }),
    ("not_let_in", 1, || {
        with(|house| drop(house.join(TcpRoom, ANN, "a\u{202e}nn")))
    }),
    ("violations", 2, || {
        with(|house| {
            house.come_with(TcpRoom, ANN, b"GET /");
            house.come_with(Tcrp, ANN, &[0xff; 32]);
        })
    }),
    ("violations_over_limit", 3, || {
        with(|house| {
            house.come_with(TcpRoom, ANN, &join_with(1 << 30));
            house.come_with(Group, ANN, &[b'x'; 10_000]);
            let mut request = [0; 32];
            request[..2].copy_from_slice(&[3, 1]);
            request[3..].fill(0xff);
            house.come_with(Tcrp, ANN, &request);
        })
    }),
    ("violations_not_utf8", 2, || {
        with(|house| {
            let join = [&join_with(1)[..], &[0xff]].concat();
            house.come_with(TcpRoom, ANN, &join);
            house.come_with(Group, ANN, b"REGISTER:\xff:0.0.0.0:0\r\n");
        })
    }),
    ("violations_malformed", 2, || {
        with(|house| {
            house.come_with(TcpRoom, ANN, &join_with(-1));
            house.come_with(Tcrp, ANN, &[3, 9, 0].repeat(12));
        })
    }),
    ("violations_out_of_turn", 1, || {
        with(|house| drop(house.come_with(TcpRoom, ANN, &say(TcpRoom, "ann", "hi"))))
    }),
    ("timed_out", 2, || {
        with(|house| {
            house.come(Tcrp, ANN);
            house.come(Group, ANN);
            house.pass(11 * SECOND);
        })
    }),
    ("timed_out_first_words", 1, || {
        with(|house| {
            house.come(TcpRoom, ANN);
            house.pass(61 * SECOND);
        })
    }),
    ("timed_out_name", 1, || {
        with(|house| {
            house.come_with(TcpRoom, ANN, &471i32.to_le_bytes());
            house.pass(61 * SECOND);
        })
    }),
    ("timed_out_first_frame", 1, || {
        with(|house| {
            house.come_with(Group, ANN, b"REGIS");
            house.pass(11 * SECOND);
        })
    }),
    ("timed_out_joining", 1, || {
        with(|house| {
            house.come_with(Group, ANN, b"HELLO\r\n");
            house.pass(301 * SECOND);
        })
    }),
    ("timed_out_frame", 1, || {
        with(|house| {
            let peer = house.join(TcpRoom, ANN, "ann");
            house.say(&peer, &say(TcpRoom, "ann", "hi")[..9]);
            house.pass(21 * SECOND);
        })
    }),
    ("slow", 1, slow_by_backlog),
    ("slow_backlog", 1, slow_by_backlog),
    ("slow_outbox", 1, || {
        with(|house| {
            let deaf = house.join(TcpRoom, HERE, "deaf");
            deaf.stream.refuse();
            house.give(UDP_ROOM, HERE, "UN| talker");
            for _ in 0..300 {
                house.give(
                    UDP_ROOM,
                    HERE,
                    format!("DM| talker> deaf: {}", "x".repeat(980)),
                );
            }
            house.pass(3 * SECOND);
        })
    }),
    ("slow_stalled", 1, || {
        with(|house| {
            flood_who_does_not_read(house, 100);
            house.pass(40 * SECOND);
        })
    }),
    ("slow_over_budget", 1, || {
        let limits = Limits {
            output_bytes: 64 * 1024,
            ..Limits::default()
        };
        limited(limits, |house| {
            flood_who_does_not_read(house, 100);
        })
    }),
    ("closed_late", 1, || {
        with(|house| {
            let deaf = flood_who_does_not_read(house, 1);
            house.end(&deaf);
            house.turn();
            house.pass(3 * SECOND);
        })
    }),
    ("lost", 1, || lose(|| ErrorKind::ConnectionReset.into())),
    ("lost_reset", 1, || lose(|| Errno::CONNRESET.into())),
    ("lost_unheard", 1, || lose(|| Errno::TIMEDOUT.into())),
    ("lost_otherwise", 1, || lose(|| Errno::NOMEM.into())),
    ("stopped", 1, || {
        with(|house| {
            house.join(TcpRoom, ANN, "ann");
            house.server.stop(house.now);
        })
    }),
    ("datagrams", 1, || {
        with(|house| house.give(UDP_ROOM, ANN, "hi"))
    }),
    ("dropped", 2, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, [0xff]);
            house.give(UCRP, ANN, "hi");
        })
    }),
    ("dropped_own_port", 1, || {
        with(|house| house.give(UDP_ROOM, OWN, "hi"))
    }),
    ("floods", 5, || {
        with(|house| (0..1005).for_each(|_| house.give(UDP_ROOM, EVE, "EX|")))
    }),
    ("dropped_too_long", 1, || {
        with(|house| house.give(UDP_LOGIN, EVE, [b'x'; 5000]))
    }),
    ("dropped_no_token", 1, || {
        with(|house| house.give(UCRP, EVE, "hi"))
    }),
    ("dropped_bad_token", 1, || {
        with(|house| {
            let token = format!("token_{}", "0".repeat(32));
            house.give(UCRP, EVE, ucrp("den", &token, "hi"));
        })
    }),
    ("dropped_room_closed", 1, || {
        with(|house| {
            let host = house.reserve(ANN, CREATE, "den", "ann").unwrap();
            let other = house.reserve(BOB, JOIN, "den", "bob").unwrap();
            house.give(UCRP, ANN, ucrp("den", &host, REGISTER));
            house.give(UCRP, BOB, ucrp("den", &other, REGISTER));
            // Both in one turn.
            let leave = ucrp("den", &host, LEAVE);
            house.port(UCRP).give(ANN.parse().unwrap(), &leave);
            house.give(UCRP, BOB, ucrp("den", &other, "hi"));
        })
    }),
    ("dropped_name_taken", 1, || {
        with(|house| {
            house.join(TcpRoom, ANN, "ann");
            say_in_mesh(house, EVE, "ann");
        })
    }),
    ("dropped_not_let_in", 1, || {
        let limits = Limits {
            mesh_names_per_address: 1,
            ..Limits::default()
        };
        limited(limits, |house| {
            say_in_mesh(house, EVE, "eve");
            say_in_mesh(house, EVE, "eva");
        })
    }),
    ("dropped_malformed", 3, || {
        with(|house| {
            house.give(UDP_ROOM, EVE, [0xff]);
            house.give(UDP_LOGIN, EVE, "X");
            house.give(MESH, EVE, "junk");
        })
    }),
    ("dropped_out_of_turn", 1, || {
        with(|house| {
            house.give(UDP_LOGIN, ANN, "C 1 PASS ann a password");
            house.give(UDP_LOGIN, ANN, "C 2 PASS ann a password");
        })
    }),
    ("dropped_too_soon", 1, || {
        with(|house| (0..2).for_each(|_| ask_mesh(house, EVE, "eve")))
    }),
    ("dropped_forged", 2, || {
        with(|house| {
            house.give(UDP_ROOM, EVE, "[join first: UN| name]");
            say_in_mesh(house, EVE, "mynah");
        })
    }),
    ("mesh_echoes", 1, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, "UN| ann");
            house.give(UDP_ROOM, ANN, "hi mesh");
            let (_, broadcast) = house.port(MESH).take().remove(0);
            house.give(MESH, EVE, broadcast);
        })
    }),
    ("withheld", 99, || {
        with(|house| {
            // It has not shown that it receives there: the welcome, two more, and it has had three times its own.
            log_in(house, ANN, "ann", "a password of some length");
            house.give(UDP_ROOM, HERE, "UN| talker");
            (0..100).for_each(|_| house.give(UDP_ROOM, HERE, "a line that everybody hears"));
        })
    }),
    ("overflowed", 1, || {
        let limits = Limits {
            mailing_bytes: 16 * 1024,
            ..Limits::default()
        };
        limited(limits, |house| {
            house.give(UDP_ROOM, HERE, "UN| ann");
            house.give(UDP_ROOM, "127.0.0.1:2", "UN| bob");
            house.port(UDP_ROOM).make_room(0);
            (0..18).for_each(|_| house.give(UDP_ROOM, HERE, [b'x'; 950]));
        })
    }),
    ("datagrams_sent", 1, || {
        with(|house| house.give(UDP_ROOM, HERE, "UN| ann, and so on"))
    }),
    ("failed_sends", 1, || fail_to_send(Errno::IO)),
    ("failed_sends_nobody", 1, || {
        fail_to_send(Errno::CONNREFUSED)
    }),
    ("failed_sends_no_memory", 1, || fail_to_send(Errno::NOBUFS)),
    ("failed_sends_too_long", 1, || fail_to_send(Errno::MSGSIZE)),
    ("failed_sends_no_route", 1, || {
        fail_to_send(Errno::NETUNREACH)
    }),
    ("failed_sends_otherwise", 1, || fail_to_send(Errno::IO)),
    ("failed_receives", 1, || {
        with(|house| {
            house.port(UDP_ROOM).fail_to_receive(Errno::CONNREFUSED);
            house.give(UDP_ROOM, ANN, "hi");
        })
    }),
    ("guests_left", 1, || {
        with(|house| {
            house.give(UDP_ROOM, BOB, "UN| bob");
            house.give(UDP_ROOM, BOB, "EX|");
        })
    }),
    ("silent", 1, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, "UN| ann");
            house.pass(901 * SECOND);
        })
    }),
    ("unreachable", 1, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, "UN| ann");
            for _ in 0..2 {
                house.pass(3 * SECOND);
                house.port(UDP_ROOM).tell_unreachable(ANN.parse().unwrap());
                house.edge(UDP_ROOM);
                house.turn();
            }
        })
    }),
    ("room_closed", 1, || {
        with(|house| {
            let host = house.reserve(ANN, CREATE, "den", "ann").unwrap();
            let other = house.reserve(BOB, JOIN, "den", "bob").unwrap();
            house.give(UCRP, ANN, ucrp("den", &host, REGISTER));
            house.give(UCRP, BOB, ucrp("den", &other, REGISTER));
            house.give(UCRP, ANN, ucrp("den", &host, LEAVE));
        })
    }),
    ("registered", 1, || {
        with(|house| log_in(house, ANN, "ann", "a password"))
    }),
    ("not_hashed", 2, || {
        with(|house| {
            house.give(UDP_LOGIN, ANN, "C 1 PASS ann a password");
            house.fail_to_hash();
            log_in(house, BOB, "bob", "a password");
            house.give(UDP_LOGIN, ANN, "C 2 PASS bob a password");
            house.fail_to_hash();
        })
    }),
    ("not_saved", 1, || {
        with(|house| {
            house.break_disk();
            log_in(house, ANN, "ann", "a password");
        })
    }),
    ("banned", 1, || {
        with(|house| {
            house.server.ban(ban(), house.now).unwrap();
            assert!(house.come(Group, ANN).is_none());
        })
    }),
    ("dropped_banned", 1, || {
        with(|house| {
            house.server.ban(ban(), house.now).unwrap();
            house.give(UDP_ROOM, ANN, "UN| ann");
        })
    }),
    ("not_allowed", 1, || {
        with(|house| {
            house.server.let_in(&nobody_from_ann(), house.now);
            assert!(house.come(Group, ANN).is_none());
        })
    }),
    ("dropped_not_allowed", 1, || {
        with(|house| {
            house.server.let_in(&nobody_from_ann(), house.now);
            house.give(UDP_ROOM, ANN, "UN| ann");
        })
    }),
    ("refused_draining", 2, || {
        with(|house| {
            house.server.drain(SECOND, house.now);
            house.join(TcpRoom, ANN, "ann");
            house.give(UDP_ROOM, BOB, "UN| bob");
        })
    }),
    ("kicked", 2, || {
        with(|house| {
            house.join(TcpRoom, ANN, "ann");
            house.come(Group, ANN);
            house.server.ban(ban(), house.now).unwrap();
        })
    }),
    ("guests_kicked", 2, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, "UN| ann");
            house.login(ANN, "too");
            house.server.kick(&Whom::From(ban().net), "", house.now);
        })
    }),
    ("port_closed", 1, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, "UN| ann");
            house.server.close_port(UDP_ROOM, house.now);
        })
    }),
    ("deliveries", 4, || {
        with(|house| {
            let ann = house.join(TcpRoom, ANN, "ann");
            house.join(Group, BOB, "bob");
            house.give(UDP_ROOM, EVE, "UN| eve");
            house.say(&ann, &say(TcpRoom, "ann", "to two others"));
            house.say(&ann, &say(TcpRoom, "ann", "to two others"));
        })
    }),
    ("received_tcp_bytes", 24, || {
        with(|house| drop(house.join(Group, ANN, "ann")))
    }),
    ("sent_tcp_bytes", SENT, || {
        with(|house| {
            let peers = ["a", "b", "c"].map(|name| (house.join(Group, ANN, name), name));
            for (peer, name) in &peers {
                house.say(peer, &say(Group, name, "four"));
            }
            // One that takes nothing, one who has it all later.
            peers[2].0.stream.refuse();
            house.say(&peers[0].0, &say(Group, "a", "four"));
        })
    }),
    ("received_udp_bytes", 9, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, "UN| ann");
            house.give(UDP_ROOM, BOB, "hi");
        })
    }),
    ("sent_udp_bytes", 3 * 23, || {
        with(|house| {
            house.give(UDP_ROOM, ANN, "UN| ann");
            house.give(UDP_ROOM, BOB, "UN| bob");
        })
    }),
    ("never_came", 1, || {
        with(|house| {
            house.reserve(ANN, CREATE, "den", "ann").unwrap();
            house.pass(61 * SECOND);
        })
    }),
];

/// Three lists, `:a:0.0.0.0:0` and so on in each; two who hear of the second and one of the third; what three say goes to two
/// each; and one more to the one who takes something.
const SENT: u64 = {
    let (list, one) = ("LIST\r\n".len(), ":a:0.0.0.0:0".len());
    let joined = "UPDATE:JOIN".len() + one + "\r\n".len();
    let said = "BROADCAST:a:4:four\r\n".len();
    (3 * list + 6 * one + 3 * joined + 7 * said) as u64
};

fn ban() -> Ban {
    Ban {
        net: "192.0.2.1/32".parse().unwrap(),
        reason: String::new(),
        until: None,
    }
}

fn nobody_from_ann() -> BTreeMap<Protocol, Access> {
    let deny = Access {
        deny: vec![ban().net],
        ..Access::default()
    };
    Protocol::ALL.iter().map(|of| (*of, deny.clone())).collect()
}

fn with(scenario: impl FnOnce(&mut House)) -> House {
    limited(Limits::default(), scenario)
}

fn limited(limits: Limits, scenario: impl FnOnce(&mut House)) -> House {
    let mut house = House::with(limits);
    scenario(&mut house);
    house
}

fn log_in(house: &mut House, from: &str, name: &str, password: &str) {
    house.give(UDP_LOGIN, from, format!("C 1 PASS {name} {password}"));
    house.work();
}

/// Asks in a mesh as whom it may speak.
fn ask_mesh(house: &mut House, from: &str, name: &str) {
    let mut bytes = Vec::new();
    mesh::encode_join(name, &mut bytes);
    house.give(MESH, from, bytes);
}

/// Speaks in a mesh.
fn say_in_mesh(house: &mut House, from: &str, name: &str) {
    mesh::encode_say(name, "hi", |datagram| house.give(MESH, from, datagram));
}

/// The first eight bytes of a `tcp-room` join, with that length of the name.
fn join_with(length: i32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&471i32.to_le_bytes());
    bytes[4..].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Somebody who takes nothing any more is in a room where so many KiB are said.
fn flood_who_does_not_read(house: &mut House, kib: usize) -> Peer {
    let [deaf, talker] = ["deaf", "talker"].map(|name| house.join(TcpRoom, HERE, name));
    deaf.stream.refuse();
    for _ in 0..kib {
        house.say(&talker, &say(TcpRoom, "talker", &"x".repeat(1024)));
    }
    deaf
}

fn slow_by_backlog() -> House {
    with(|house| {
        flood_who_does_not_read(house, 1100);
        house.pass(3 * SECOND);
    })
}

fn lose(error: fn() -> io::Error) -> House {
    with(|house| {
        let peer = house.join(TcpRoom, ANN, "ann");
        peer.stream.fail(error());
        house.say(&peer, &[]);
    })
}

fn fail_to_send(errno: Errno) -> House {
    with(|house| {
        house.port(UDP_ROOM).fail(errno);
        house.give(UDP_ROOM, HERE, "UN| ann");
    })
}

#[test]
fn every_counter_is_reached_and_counts_what_it_says() {
    for (name, wanted, scenario) in ROWS {
        let house = scenario();
        house.server.audit();
        assert_eq!(
            house.count(name),
            *wanted,
            "{name}: {}",
            house.server.counters()
        );
    }
    let reached: BTreeSet<&str> = ROWS.iter().map(|(name, ..)| *name).collect();
    let all: BTreeSet<&str> = Counters::default().all().map(|(name, _)| name).collect();
    assert_eq!(all, reached, "a row for every counter");
}

/// However they are counted: in runs of messages of any lengths, to members who come, go, hear themselves or may not be sent
/// more.
#[test]
fn bytes_sent_in_datagrams_are_those_that_came() {
    let mut house = House::new();
    let (mut arrived, mut seed) = (0, 7_u64);
    let mut number = |below: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    for step in 0..600 {
        let who = number(100);
        // Some of this machine, some at a pace.
        let net = ["127.0.0.1", "203.0.113.9"][(who % 2) as usize];
        let from = format!("{net}:{}", 2000 + who);
        house.port(UDP_ROOM).give(
            memory_house::address(&from),
            format!("UN| n{who}").as_bytes(),
        );
        for _ in 0..number(40) {
            let text = "x".repeat(1 + number(900) as usize);
            house
                .port(UDP_ROOM)
                .give(memory_house::address(&from), text.as_bytes());
        }
        if number(4) == 0 {
            house
                .port(UDP_ROOM)
                .give(memory_house::address(&from), b"EX|");
        }
        house.edge(UDP_ROOM);
        house.pass(Duration::from_millis(number(300)));
        // What is said in the lobby goes to a mesh, too.
        let sent = house.ports.iter().flat_map(|port| port.take());
        arrived += sent.map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        assert_eq!(house.count("sent_udp_bytes"), arrived, "after {step}");
    }
    assert!(house.count("withheld") > 0 && house.count("datagrams_sent") > 10_000);
}

/// Every connection that was taken in ends once, for one reason, in whatever scenario.
#[test]
fn what_was_accepted_is_what_has_ended() {
    for (name, _, scenario) in ROWS {
        let mut house = scenario();
        house.server.stop(house.now);
        house.pass(5 * SECOND);
        let (counters, open) = (house.server.counters(), house.server.len());
        assert_eq!(
            (counters.ended(), open),
            (counters.accepted, 0),
            "{name}: {counters}"
        );
    }
}

/// Who broke a rule, and then does not take what is still due, or dies, has ended for the rule.
#[test]
fn what_happens_to_a_connection_while_it_closes_is_no_second_end() {
    for (error, late) in [(None, 1), (Some(Errno::CONNRESET), 0)] {
        let house = with(|house| {
            let deaf = flood_who_does_not_read(house, 1);
            house.say(&deaf, &[0xff; 16]);
            if let Some(error) = error {
                house.server.drop_connection(deaf.key, error.into());
            }
            house.pass(3 * SECOND);
        });
        let counters = house.server.counters();
        let ends = (counters.violations, counters.lost, counters.slow);
        assert_eq!(ends, (1, 0, 0), "{counters}");
        assert_eq!(counters.closed_late, late, "{counters}");
        assert_eq!(counters.ended(), 1);
        // The one who talks is still there.
        assert_eq!((counters.accepted, house.server.len()), (2, 1));
    }
}

/// What has reasons is their sum, in whatever scenario.
#[test]
fn the_parts_of_a_sum_make_the_sum() {
    for (name, _, scenario) in ROWS {
        let house = scenario();
        let parts = |prefix: &str, others: &[&str]| {
            let all = house.server.counters().all();
            let parts = all.filter(|(name, _)| name.starts_with(prefix) || others.contains(name));
            parts.map(|(_, count)| count).sum::<u64>()
        };
        for (sum, others) in [
            ("refused", &["denied"][..]),
            ("violations", &[]),
            ("timed_out", &[]),
            ("slow", &[]),
            ("lost", &[]),
            ("dropped", &["floods"]),
            ("failed_sends", &[]),
        ] {
            let told = house.count(sum);
            assert_eq!(parts(&format!("{sum}_"), others), told, "{sum} in {name}");
        }
    }
}
