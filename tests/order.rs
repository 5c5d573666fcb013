//! What whoever runs the server can have it do: say something, put people out, ban them, let nobody in any more, be changed
//! while it runs. The whole server in memory.

#[path = "support/memory_house.rs"]
mod memory_house;

use std::collections::BTreeMap;
use std::time::Duration;

use memory_house::frames::{self, CREATE, JOIN, message, ucrp};
use memory_house::{
    ANN, BOB, CHEAP, EVE, HERE, House, MESH, MemoryPort, Peer, SECOND, UCRP, UDP_LOGIN, UDP_ROOM,
    address,
};
use mynah::chat::{MAX_NOTICE_BYTES, SERVER_NAME};
use mynah::protocol::registry::Protocol::{self, Group, TcpRoom, Tcrp, UdpRoom};
use mynah::protocol::tcrp::datagram::REGISTER;
use mynah::protocol::udp_mesh::frame as mesh;
use mynah::server::{
    Access, Advertise, Ban, Gathering, Limits, MAX_REASON_BYTES, MessageRate, Pace, Rules, Whom,
};

fn notice(protocol: Protocol, text: &str) -> Vec<u8> {
    match protocol {
        TcpRoom => message(372, "00:00:00", SERVER_NAME, text),
        Group => format!("BROADCAST:{SERVER_NAME}:{}:{text}\r\n", text.len()).into_bytes(),
        other => panic!("no notices in {other}"),
    }
}

fn named(name: &str) -> Whom {
    let (name, room) = (name.to_string(), None);
    Whom::Name { name, room }
}

fn from(net: &str) -> Whom {
    Whom::From(net.parse().unwrap())
}

fn ban(net: &str) -> Ban {
    Ban {
        net: net.parse().unwrap(),
        reason: "spam".to_string(),
        until: None,
    }
}

fn ends_with(peer: &Peer, bytes: &[u8]) {
    let received = peer.stream.received();
    assert!(
        received.ends_with(bytes),
        "{:?}",
        String::from_utf8_lossy(&received)
    );
}

/// Somebody who joins and keeps what it hears.
fn join(house: &mut House, protocol: Protocol, from: &str, name: &str) -> Peer {
    let peer = house.come(protocol, from).unwrap();
    peer.stream.keep();
    house.say(&peer, &frames::enter(protocol, name));
    peer
}

/// A member of a room of its own in `tcrp`.
fn host(house: &mut House, at: &str, name: &str) -> String {
    let token = house.reserve(at, CREATE, "den", name).unwrap();
    house.give(UCRP, at, ucrp("den", &token, REGISTER));
    token
}

/// All that a mesh was told.
fn mesh_hears(house: &House) -> Vec<(String, String)> {
    let all = house.port(MESH).take().into_iter();
    all.map(|(_, bytes)| match mesh::decode(&bytes) {
        Ok(mesh::Frame::Say { username, text }) => (username.to_string(), text.to_string()),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn all_are_told_in_every_protocol_as_what_nobody_can_be_called() {
    let mut house = House::new();
    let tcp = join(&mut house, TcpRoom, ANN, "ann");
    let group = join(&mut house, Group, BOB, "bob");
    house.give(UDP_ROOM, EVE, "UN| eve");
    house.login(HERE, "tom");
    let host_at = "127.0.0.1:2000";
    host(&mut house, host_at, "kim");
    house.ports.iter().for_each(|port| drop(port.take()));
    house
        .server
        .tell_all("back at noon\n\nbe\x1b[ kind", house.now);
    house.pass(SECOND);
    for (peer, protocol) in [(&tcp, TcpRoom), (&group, Group)] {
        let both = ["back at noon", "be\u{fffd}[ kind"];
        ends_with(peer, &both.map(|text| notice(protocol, text)).concat());
    }
    let told = house.port(UDP_ROOM).take_for(address(EVE));
    assert_eq!(
        told,
        ["<server>: back at noon", "<server>: be\u{fffd}[ kind"]
    );
    let told = house.port(UDP_LOGIN).take_for(address(HERE));
    assert_eq!(told[0], "D PM <server> back at noon");
    let told = house.port(UCRP).take_for(address(host_at));
    assert_eq!(told[0], "\u{8}<server>back at noon");
    assert_eq!(mesh_hears(&house)[0].0, "mynah", "in the gateway's name");
    // Somebody who wants that name.
    for name in [SERVER_NAME, "＜server＞"] {
        house.join(TcpRoom, EVE, name);
    }
    assert_eq!(house.count("refused_bad_name"), 1);
    let reply = house.send(UDP_ROOM, BOB, format!("UN| {SERVER_NAME}"));
    assert_eq!(reply, ["[not a name]"]);
}

#[test]
fn nobody_new_has_the_name_that_a_mesh_hears_the_server_by() {
    let mut house = House::new();
    house.join(TcpRoom, ANN, "Mynah");
    assert_eq!(house.send(UDP_ROOM, BOB, "UN| mynah"), ["[mynah is taken]"]);
    house.give(UDP_LOGIN, EVE, "C 1 PASS mynah a password");
    house.work();
    assert_eq!(
        (house.count("refused_name_taken"), house.count("denied")),
        (2, 1)
    );
    assert!(house.names().is_empty() && house.count("registered") == 0);
    // Elsewhere it is a name like others.
    assert!(house.reserve(ANN, CREATE, "den", "mynah").is_some());
    house.server.close_port(MESH, house.now);
    house.join(TcpRoom, ANN, "Mynah");
    assert_eq!(house.names(), ["Mynah"]);
}

#[test]
fn what_is_said_at_once_is_bounded_and_cut_into_messages() {
    let mut house = House::new();
    let ann = join(&mut house, TcpRoom, ANN, "ann");
    house.give(UDP_ROOM, HERE, "UN| here");
    house.port(UDP_ROOM).take();
    let before = ann.stream.received().len();
    let text = "é".repeat(MAX_NOTICE_BYTES);
    house.server.tell_all(&text, house.now);
    house.pass(SECOND);
    let bytes = ann.stream.received().len() - before;
    assert!(bytes > MAX_NOTICE_BYTES && bytes < MAX_NOTICE_BYTES + 400);
    let pieces = house.port(UDP_ROOM).take_for(address(HERE));
    assert!(
        pieces
            .iter()
            .all(|piece| piece.len() <= 1024 && piece.starts_with("<server>: é"))
    );
    let said: String = pieces
        .iter()
        .map(|piece| &piece["<server>: ".len()..])
        .collect();
    assert_eq!(said.len(), MAX_NOTICE_BYTES);
}

#[test]
fn some_are_told_who_can_be_told_alone() {
    let mut house = House::new();
    let ann = join(&mut house, TcpRoom, ANN, "ann");
    let bob = join(&mut house, TcpRoom, BOB, "bob");
    let stranger = house.come(TcpRoom, BOB).unwrap();
    let before = bob.stream.received();
    assert_eq!(house.server.tell(&named("ANN"), "psst", house.now), 1);
    assert_eq!(
        house.server.tell(&from("192.0.2.2/32"), "you", house.now),
        1
    );
    assert_eq!(house.server.tell(&named("nobody"), "x", house.now), 0);
    house.turn();
    ends_with(&ann, &notice(TcpRoom, "psst"));
    assert_eq!(
        bob.stream.received()[before.len()..],
        notice(TcpRoom, "you")
    );
    assert_eq!(stranger.stream.first(), None, "it is in no room yet");
    // The names of a mesh have one ear.
    mesh::encode_say("mia", "hi", |bytes| house.give(MESH, EVE, bytes));
    assert_eq!(house.server.tell(&named("mia"), "x", house.now), 0);
}

#[test]
fn newcomers_are_welcomed_behind_what_they_are_told_first() {
    let mut house = House::new();
    house.server.welcome_newcomers("hello\nread the rules");
    let lines = ["hello", "read the rules"];
    let ann = join(&mut house, TcpRoom, ANN, "ann");
    let verdict = [&[1][..], &frames::line(["", "", ""])[..0]].concat();
    assert!(ann.stream.received().starts_with(&verdict));
    ends_with(&ann, &lines.map(|text| notice(TcpRoom, text)).concat());
    let bob = join(&mut house, Group, BOB, "bob");
    assert!(bob.stream.received().starts_with(b"LIST:"));
    ends_with(&bob, &lines.map(|text| notice(Group, text)).concat());
    let told = house.send(UDP_ROOM, EVE, "UN| eve");
    let wanted = [
        "[eve joined the server]",
        "<server>: hello",
        "<server>: read the rules",
    ];
    assert_eq!(told, wanted);
    // Nobody else is told, and nobody twice.
    assert_eq!(house.send(UDP_ROOM, EVE, "UN| eve"), wanted[..1]);
    let heard = bob.stream.received();
    let count = heard.windows(5).filter(|five| five == b"hello").count();
    assert_eq!(count, 1);
    let token = house.reserve(EVE, CREATE, "den", "kim").unwrap();
    let told = |house: &mut House| house.send(UCRP, EVE, ucrp("den", &token, REGISTER));
    assert_eq!(told(&mut house).len(), 2);
    assert_eq!(told(&mut house).len(), 0, "it has registered before");
    // A mesh is not told.
    house.port(MESH).take();
    mesh::encode_say("mia", "hi", |bytes| house.give(MESH, BOB, bytes));
    assert_eq!(house.port(MESH).take(), []);
}

#[test]
fn r12_a_welcome_waits_for_the_proof_of_an_address() {
    let mut house = House::new();
    house.server.welcome_newcomers(&"long ".repeat(600));
    let sid = house.login(EVE, "eve");
    house.pass(5 * SECOND);
    assert_eq!(house.port(UDP_LOGIN).take(), [], "it may be forged");
    let told = house.send(UDP_LOGIN, EVE, format!("C 2 PING {sid}"));
    assert!(
        told.iter()
            .any(|line| line.starts_with("D PM <server> long "))
    );
    assert!(told.iter().any(|line| line == "C 2 PONG"));
    let told = house.send(UDP_LOGIN, EVE, format!("C 3 PING {sid}"));
    assert_eq!(told, ["C 3 PONG"]);
}

#[test]
fn who_is_kicked_is_told_and_gone_and_others_see_it() {
    let mut house = House::new();
    let ann = join(&mut house, TcpRoom, ANN, "ann");
    let bob = join(&mut house, Group, BOB, "bob");
    house.give(UDP_ROOM, EVE, "UN| eve");
    house.login(HERE, "tom");
    house.ports.iter().for_each(|port| drop(port.take()));
    assert_eq!(house.server.kick(&named("Ann"), "too\nloud", house.now), 1);
    assert_eq!(house.names(), ["bob", "eve", "tom"], "at once");
    house.turn();
    ends_with(&ann, &notice(TcpRoom, "kicked: too loud"));
    house.pass(5 * SECOND);
    assert!(ann.stream.is_closed());
    ends_with(&bob, b"UPDATE:LEAVE:ann:0.0.0.0:0\r\n");
    let told = house.port(UDP_ROOM).take_for(address(EVE));
    assert_eq!(told, ["[ann left the server]"]);
    let long = "x".repeat(1000);
    assert_eq!(house.server.kick(&named("eve"), &long, house.now), 1);
    assert_eq!(house.server.kick(&named("tom"), "", house.now), 1);
    assert_eq!(house.server.kick(&named("tom"), "", house.now), 0);
    house.turn();
    let told = house.port(UDP_ROOM).take_for(address(EVE));
    assert_eq!(
        told,
        [format!("<server>: kicked: {}", &long[..MAX_REASON_BYTES])]
    );
    let told = house.port(UDP_LOGIN).take_for(address(HERE));
    assert!(
        told.contains(&"D PM <server> kicked".to_string()),
        "{told:?}"
    );
    assert_eq!(
        (house.count("kicked"), house.count("guests_kicked")),
        (1, 2)
    );
    // They may come back.
    assert_eq!(
        house.send(UDP_ROOM, EVE, "UN| eve"),
        ["[eve joined the server]"]
    );
}

#[test]
fn a_kick_means_a_room_or_an_address_if_it_says_so() {
    let mut house = House::new();
    host(&mut house, HERE, "kim");
    house.give(UDP_ROOM, ANN, "UN| kim");
    let elsewhere = Whom::Name {
        name: "kim".to_string(),
        room: Some("pub".to_string()),
    };
    assert_eq!(house.server.kick(&elsewhere, "", house.now), 0);
    let here = Whom::Name {
        name: "kim".to_string(),
        room: Some("DEN".to_string()),
    };
    let guest = house.reserve(BOB, JOIN, "den", "guest").unwrap();
    house.give(UCRP, BOB, ucrp("den", &guest, REGISTER));
    house.port(UCRP).take();
    assert_eq!(house.server.kick(&here, "", house.now), 1);
    house.turn();
    // It was the host.
    let told = house.port(UCRP).take_for(address(BOB));
    assert_eq!(told, ["__ROOM_CLOSED__"]);
    assert_eq!(house.names(), ["kim"]);
    let quiet = house.come(Group, BOB).unwrap();
    assert_eq!(house.server.kick(&from("192.0.2.0/31"), "", house.now), 1);
    assert_eq!(house.server.kick(&from("192.0.2.2/31"), "", house.now), 1);
    house.pass(5 * SECOND);
    assert!(quiet.stream.is_closed() && house.names().is_empty());
}

#[test]
fn who_is_banned_is_out_and_not_let_in_whatever_the_protocol() {
    let mut house = House::new();
    let ann = join(&mut house, TcpRoom, ANN, "ann");
    house.give(UDP_ROOM, ANN, "UN| too");
    house.give(UDP_ROOM, BOB, "UN| bob");
    house.port(UDP_ROOM).take();
    let banned = house.server.ban(ban("::ffff:192.0.2.0/127"), house.now);
    assert_eq!(banned, Ok(2));
    house.turn();
    ends_with(&ann, &notice(TcpRoom, "banned: spam"));
    assert_eq!(house.names(), ["bob"]);
    house.port(UDP_ROOM).take();
    assert!(house.come(TcpRoom, ANN).is_none() && house.come(Group, ANN).is_none());
    assert!(house.come(Tcrp, "[::ffff:192.0.2.1]:9").is_none());
    for (port, words) in [(UDP_ROOM, "UN| ann"), (UDP_LOGIN, "C 1 LOGIN ann")] {
        assert!(house.send(port, ANN, words).is_empty());
    }
    mesh::encode_say("mia", "hi", |bytes| house.give(MESH, ANN, bytes));
    assert_eq!(house.names(), ["bob"]);
    assert_eq!(
        (house.count("banned"), house.count("dropped_banned")),
        (3, 3)
    );
    assert_eq!(house.server.bans(house.now).count(), 1);
    assert!(
        house
            .server
            .unban("192.0.2.0/31".parse().unwrap())
            .is_some()
    );
    join(&mut house, TcpRoom, ANN, "ann");
    assert_eq!(house.names(), ["bob", "ann"]);
    // A ban that is over is none.
    let until = Some(house.now + 60 * SECOND);
    let short = Ban {
        until,
        ..ban("192.0.2.2/32")
    };
    assert_eq!(house.server.ban(short, house.now), Ok(1));
    assert!(house.come(TcpRoom, BOB).is_none());
    house.pass(60 * SECOND);
    assert!(house.come(TcpRoom, BOB).is_some());
}

#[test]
fn people_are_let_in_from_where_a_protocol_lets_them() {
    let mut house = House::new();
    join(&mut house, TcpRoom, ANN, "ann");
    join(&mut house, Group, EVE, "eve");
    let access = |allow: &[&str], deny: &[&str]| Access {
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        deny: deny.iter().map(|net| net.parse().unwrap()).collect(),
    };
    let lists = BTreeMap::from([
        (TcpRoom, access(&["192.0.2.0/24"], &["192.0.2.1/32"])),
        (UdpRoom, access(&["127.0.0.0/8"], &[])),
    ]);
    let out = house.server.let_in(&lists, house.now);
    assert_eq!(out, 1, "what is not let in any more is not in any more");
    house.turn();
    assert_eq!(house.names(), ["eve"]);
    assert!(house.come(TcpRoom, ANN).is_none() && house.come(TcpRoom, HERE).is_none());
    assert!(house.come(TcpRoom, BOB).is_some() && house.come(Group, ANN).is_some());
    assert!(house.send(UDP_ROOM, BOB, "UN| bob").is_empty());
    assert_eq!(house.send(UDP_ROOM, HERE, "UN| here").len(), 1);
    let counts = ["not_allowed", "dropped_not_allowed"].map(|name| house.count(name));
    assert_eq!(counts, [2, 1]);
    house.server.let_in(&BTreeMap::new(), house.now);
    assert!(house.come(TcpRoom, ANN).is_some());
}

#[test]
fn a_draining_server_tells_all_lets_nobody_in_and_is_drained_when_they_have_left() {
    let mut house = House::new();
    let ann = join(&mut house, TcpRoom, ANN, "ann");
    let late = house.come(Group, BOB).unwrap();
    let token = house.reserve(BOB, CREATE, "den", "kim").unwrap();
    mesh::encode_say("mia", "hi", |bytes| house.give(MESH, EVE, bytes));
    assert!(!house.server.is_draining() && !house.server.is_drained());
    house.server.drain(Duration::from_secs(3600), house.now);
    house.turn();
    let text =
        "the server stops once everybody has left, in 60 minutes at the latest: please leave";
    ends_with(&ann, &notice(TcpRoom, text));
    assert!(house.server.is_draining() && !house.server.is_drained());
    late.stream.keep();
    house.say(&late, &frames::enter(Group, "bob"));
    ends_with(&late, b"ERROR:21:the server stops soon\r\n");
    assert_eq!(house.send(UDP_ROOM, BOB, "UN| b"), ["[stopping soon]"]);
    let reply = house.send(UDP_LOGIN, BOB, "C 1 PASS b x");
    assert_eq!(reply, ["C 1 DENIED the server stops soon"]);
    let reply = house.ask_tcrp(EVE, CREATE, "pub", "eve").unwrap();
    assert!(reply.contains("the server stops soon"), "{reply}");
    mesh::encode_say("max", "hi", |bytes| house.give(MESH, EVE, bytes));
    assert_eq!(house.count("refused_draining"), 5);
    assert_eq!(house.count("joined"), 2, "ann, and mia of the mesh");
    // Who had a token before may still come, and is waited for.
    house.give(UCRP, BOB, ucrp("den", &token, REGISTER));
    assert_eq!(house.count("joined"), 3);
    // Those who are in are as free as before.
    house.say(&ann, &frames::say(TcpRoom, "ann", "bye"));
    house.end(&ann);
    house.pass(SECOND);
    assert!(!house.server.is_drained());
    house.give(UCRP, BOB, ucrp("den", &token, "__LEAVE__"));
    assert!(house.server.is_drained(), "a mesh is not waited for");
    house.server.stop(house.now);
    house.pass(5 * SECOND);
    assert!(house.server.is_empty());
}

#[test]
fn a_port_that_closes_lets_its_guests_go_and_its_number_is_nobody_elses() {
    let mut house = House::new();
    house.give(UDP_ROOM, ANN, "UN| ann");
    let bob = join(&mut house, Group, BOB, "bob");
    house.port(UDP_ROOM).take();
    assert!(house.server.close_port(UDP_ROOM, house.now).is_some());
    assert!(house.server.close_port(UDP_ROOM, house.now).is_none());
    let told = house.port(UDP_ROOM).take_for(address(ANN));
    assert_eq!(told, ["<server>: the server is not here any more"]);
    house.turn();
    ends_with(&bob, b"UPDATE:LEAVE:ann:0.0.0.0:0\r\n");
    assert_eq!(
        (house.names(), house.count("port_closed")),
        (vec!["bob".to_string()], 1)
    );
    // What the kernel still tells of it finds nobody.
    assert!(house.send(UDP_ROOM, ANN, "UN| ann").is_empty());
    let port = MemoryPort::at("198.51.100.1:8000".parse().unwrap());
    let id = house.server.open_port(UdpRoom, port.clone());
    assert_eq!(id, MESH + 1);
    house.ports.push(port);
    assert_eq!(house.send(id, ANN, "UN| ann"), ["[ann joined the server]"]);
    // However often ports come and go.
    for _ in 0..600 {
        let port = MemoryPort::at("198.51.100.1:8001".parse().unwrap());
        let id = house.server.open_port(UdpRoom, port);
        house.server.close_port(id, house.now).unwrap();
        house.server.audit();
    }
    assert_eq!(house.names(), ["bob", "ann"]);
}

#[test]
fn those_who_are_in_are_listed() {
    let mut house = House::new();
    let ann = join(&mut house, TcpRoom, ANN, "ann");
    house.come(Group, BOB).unwrap();
    host(&mut house, HERE, "kim");
    house.reserve(BOB, JOIN, "den", "held").unwrap();
    let bob = join(&mut house, TcpRoom, BOB, "bob");
    ann.stream.refuse();
    house.say(&bob, &frames::say(TcpRoom, "bob", "hello"));
    let mut rows: Vec<_> = house.server.members().collect();
    rows.sort_by_key(|row| row.name);
    let lag = notice(TcpRoom, "hello").len() - SERVER_NAME.len() + "bob".len();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let (lag, at) = (row.lag_bytes, row.address);
            format!("{} {} {at} {} {lag:?}", row.name, row.protocol, row.room)
        })
        .collect();
    let wanted = [
        format!("ann tcp-room {ANN} lobby Some({lag})"),
        format!("bob tcp-room {BOB} lobby Some(0)"),
        format!("kim ucrp {HERE} den None"),
    ];
    assert_eq!(lines, wanted);
}

/// Changes the limits of a running server.
fn change(house: &mut House, change: impl FnOnce(&mut Limits)) {
    let mut limits = *house.server.limits();
    change(&mut limits);
    let rules = Rules {
        limits,
        advertise: Advertise::Connection,
        registration_open: true,
        hash_cost: CHEAP,
    };
    house.server.reconfigure(rules, house.now);
}

/// A field of the limits, and what shows that it holds once it was changed while people were in.
type Field = (&'static str, fn(&mut House));

/// Every field of the limits, and of what is in them. Those that a driver uses have `driver`: the server only keeps them.
const FIELDS: &[Field] = &[
    ("hub.rooms", |house| {
        host(house, ANN, "ann");
        change(house, |limits| limits.hub.rooms = 1);
        assert_eq!(house.reserve(BOB, CREATE, "pub", "bob"), None);
        assert!(house.reserve(BOB, JOIN, "den", "bob").is_some(), "it stays");
        change(house, |limits| limits.hub.rooms = 3);
        assert!(house.reserve(BOB, CREATE, "pub", "bob").is_some());
    }),
    ("hub.members_per_room", |house| {
        house.join(TcpRoom, ANN, "ann");
        house.join(TcpRoom, BOB, "bob");
        change(house, |limits| limits.hub.members_per_room = 1);
        house.join(TcpRoom, EVE, "eve");
        assert_eq!(house.names(), ["ann", "bob"]);
        change(house, |limits| limits.hub.members_per_room = 3);
        house.join(TcpRoom, EVE, "eve");
        assert_eq!(house.names().len(), 3);
    }),
    ("lag.backlog_bytes", |house| {
        change(house, |limits| limits.lag.backlog_bytes = 4096);
        lag(house, 10);
        assert_eq!(house.count("slow_backlog"), 1);
    }),
    ("lag.outbox_bytes", |house| {
        change(house, |limits| limits.lag.outbox_bytes = 1000);
        house.join(TcpRoom, ANN, "ann").stream.refuse();
        let text = "x".repeat(4000);
        house.server.tell(&named("ann"), &text, house.now);
        house.pass(SECOND);
        assert_eq!(house.count("slow_outbox"), 1);
    }),
    ("lag.stall_bytes, lag.stall_time", |house| {
        lag(house, 2);
        house.pass(10 * SECOND);
        assert_eq!(house.count("slow"), 0);
        change(house, |limits| {
            limits.lag.stall_bytes = 1000;
            limits.lag.stall_time = 5 * SECOND;
        });
        house.pass(20 * SECOND);
        assert_eq!(house.count("slow_stalled"), 1);
    }),
    ("max_per_address", |house| {
        for port in 1..=3 {
            house.come(Group, &format!("192.0.2.9:{port}")).unwrap();
        }
        change(house, |limits| limits.max_per_address = 2);
        assert_eq!(house.server.len(), 3, "who is in stays");
        assert!(house.come(Group, "192.0.2.9:4").is_none());
        change(house, |limits| limits.max_per_address = 4);
        assert!(house.come(Group, "192.0.2.9:4").is_some());
    }),
    ("mesh_names_per_address", |house| {
        change(house, |limits| limits.mesh_names_per_address = 1);
        for name in ["mia", "max"] {
            mesh::encode_say(name, "hi", |bytes| house.give(MESH, EVE, bytes));
        }
        assert_eq!(house.names(), ["mia"]);
    }),
    ("rooms_per_address", |house| {
        change(house, |limits| limits.rooms_per_address = 1);
        assert!(house.reserve(ANN, CREATE, "den", "ann").is_some());
        assert!(house.reserve(ANN, CREATE, "pub", "ann").is_none());
    }),
    ("unproven_members", |house| {
        house.give(UDP_ROOM, ANN, "UN| ann");
        change(house, |limits| limits.unproven_members = 1);
        house.give(UDP_ROOM, BOB, "UN| bob");
        assert_eq!(house.names(), ["ann"]);
    }),
    ("message_rate", |house| {
        let ann = house.join(TcpRoom, ANN, "ann");
        let say = |house: &mut House| {
            (0..200).for_each(|_| house.say(&ann, &frames::say(TcpRoom, "ann", "hi")));
            std::mem::take(&mut { house.count("over_rate") })
        };
        let usual = say(house);
        change(house, |limits| limits.message_rate = None);
        assert_eq!(say(house), usual, "as many as it likes");
        let rate = MessageRate {
            burst: 1,
            per_second: 1,
        };
        house.pass(100 * SECOND);
        change(house, |limits| limits.message_rate = Some(rate));
        assert_eq!(say(house), usual + 199);
    }),
    ("datagram_rate", |house| {
        let flood = |house: &mut House| {
            (0..100).for_each(|_| house.give(UDP_ROOM, EVE, "hi"));
            house.count("floods")
        };
        assert_eq!(flood(house), 0);
        let rate = MessageRate {
            burst: 10,
            per_second: 10,
        };
        change(house, |limits| limits.datagram_rate = Some(rate));
        house.pass(100 * SECOND);
        assert_eq!(flood(house), 90);
        change(house, |limits| limits.datagram_rate = None);
        assert_eq!(flood(house), 90);
    }),
    ("unsent_bytes", |house| {
        change(house, |limits| limits.unsent_bytes = 100);
        let deaf = lag(house, 1);
        house.say(&deaf, &frames::say(TcpRoom, "deaf", "not heard"));
        assert!(deaf.stream.unread() > 0);
    }),
    ("name_time", |house| {
        change(house, |limits| limits.name_time = SECOND);
        house.come(TcpRoom, ANN);
        house.pass(2 * SECOND);
        assert_eq!(house.count("timed_out_first_words"), 1);
    }),
    ("first_frame_time", |house| {
        house.come(Group, ANN);
        change(house, |limits| limits.first_frame_time = SECOND);
        house.come(Group, BOB);
        house.pass(2 * SECOND);
        let told = house.count("timed_out_first_frame");
        assert_eq!(told, 1, "who waits already has the time it was given");
    }),
    ("frame_time", |house| {
        change(house, |limits| limits.frame_time = SECOND);
        let ann = house.join(TcpRoom, ANN, "ann");
        house.say(&ann, &[1]);
        house.pass(2 * SECOND);
        assert_eq!(house.count("timed_out_frame"), 1);
    }),
    ("joining_time", |house| {
        change(house, |limits| limits.joining_time = SECOND);
        house.come_with(Group, ANN, b"hello\r\n");
        house.pass(2 * SECOND);
        assert_eq!(house.count("timed_out_joining"), 1);
    }),
    ("closing_time", |house| {
        change(house, |limits| limits.closing_time = 60 * SECOND);
        let deaf = lag(house, 1);
        house.server.kick(&named("deaf"), "", house.now);
        house.pass(50 * SECOND);
        assert!(!deaf.stream.is_closed() && house.count("closed_late") == 0);
        house.pass(11 * SECOND);
        assert_eq!(house.count("closed_late"), 1);
    }),
    ("lingering_time", |house| {
        change(house, |limits| limits.lingering_time = 60 * SECOND);
        house.join(TcpRoom, ANN, "ann");
        house.server.kick(&named("ann"), "", house.now);
        house.pass(50 * SECOND);
        assert_eq!(house.server.len(), 1);
        house.pass(11 * SECOND);
        assert_eq!(house.server.len(), 0);
    }),
    ("udp_idle", |house| {
        house.give(UDP_ROOM, ANN, "UN| ann");
        house.pass(100 * SECOND);
        change(house, |limits| limits.udp_idle = 60 * SECOND);
        house.pass(59 * SECOND);
        assert_eq!(house.names(), ["ann"], "it has all of the new time");
        house.pass(2 * SECOND);
        assert_eq!(house.count("silent"), 1);
        house.give(UDP_ROOM, ANN, "UN| ann");
        change(house, |limits| limits.udp_idle = 600 * SECOND);
        house.pass(590 * SECOND);
        assert_eq!(house.names(), ["ann"]);
    }),
    ("login_idle", |house| {
        house.login(ANN, "ann");
        change(house, |limits| limits.login_idle = 60 * SECOND);
        house.pass(61 * SECOND);
        assert_eq!(house.count("silent"), 1);
    }),
    ("registering_time", |house| {
        change(house, |limits| limits.registering_time = SECOND);
        house.reserve(ANN, CREATE, "den", "ann").unwrap();
        house.pass(2 * SECOND);
        assert_eq!(house.count("never_came"), 1);
    }),
    ("secrets_per_address", |house| {
        change(house, |limits| limits.secrets_per_address = 1);
        assert!(house.reserve(ANN, CREATE, "den", "ann").is_some());
        assert!(house.reserve(ANN, CREATE, "pub", "ann").is_none());
    }),
    ("attempts", |house| {
        house.login(ANN, "ann");
        change(house, |limits| {
            limits.attempts.wrong_per_name = 1;
            limits.attempts.registrations_per_hour = 1;
        });
        for n in 1..4 {
            house.give(UDP_LOGIN, EVE, format!("C {n} PASS ann wrong"));
            house.work();
        }
        assert_eq!(house.count("refused_try_again"), 2);
        for n in 4..6 {
            house.give(UDP_LOGIN, BOB, format!("C 1 PASS bob{n} a password"));
            house.work();
            house.server.kick(&named(&format!("bob{n}")), "", house.now);
        }
        assert_eq!(house.count("registered"), 2, "ann and one bob");
    }),
    ("answer_keeping_time", |house| {
        change(house, |limits| limits.answer_keeping_time = 60 * SECOND);
        house.login(ANN, "ann");
        house.give(UDP_LOGIN, EVE, "C 1 PASS ann wrong");
        house.work();
        house.pass(50 * SECOND);
        assert_eq!(house.server.guests(), 2);
        house.pass(11 * SECOND);
        assert_eq!(house.server.guests(), 1);
    }),
    ("dead_peer, driver", |house| {
        let time = 17 * SECOND;
        change(house, |limits| limits.dead_peer.idle = time);
        assert_eq!(house.server.limits().dead_peer.idle, time);
    }),
    ("stopping_time, driver", |house| {
        change(house, |limits| limits.stopping_time = 17 * SECOND);
        assert_eq!(house.server.limits().stopping_time, 17 * SECOND);
    }),
    ("pace", |house| {
        house.give(UDP_ROOM, ANN, "UN| ann");
        change(house, |limits| {
            limits.pace = Pace {
                bytes_per_second: 1,
                burst_bytes: 100,
            };
        });
        house.pass(200 * SECOND);
        house.port(UDP_ROOM).take();
        house.server.tell_all(&"x\n".repeat(100), house.now);
        house.pass(SECOND);
        let told = house.port(UDP_ROOM).take_for(address(ANN));
        let bytes: usize = told.iter().map(String::len).sum();
        assert!((80..=100).contains(&bytes), "{bytes}");
    }),
    ("mailing_bytes", |house| {
        house.give(UDP_ROOM, HERE, "UN| here");
        change(house, |limits| limits.mailing_bytes = 4096);
        house.port(UDP_ROOM).make_room(0);
        let text = "x".repeat(MAX_NOTICE_BYTES);
        house.server.tell_all(&text, house.now);
        house.turn();
        assert!(house.count("overflowed") > 0);
    }),
    ("output_bytes", |house| {
        lag(house, 100);
        assert_eq!(house.count("slow"), 0);
        change(house, |limits| limits.output_bytes = 64 * 1024);
        house.pass(SECOND);
        assert_eq!(house.count("slow_over_budget"), 1);
    }),
    ("gathering", |house| {
        change(house, |limits| {
            limits.gathering = Gathering {
                members: 1,
                time_per_member: SECOND,
                limit: SECOND,
                bytes: 1 << 20,
            };
        });
        let ann = join(house, Group, ANN, "ann");
        let before = ann.stream.received().len();
        house.join(Group, BOB, "bob");
        assert_eq!(ann.stream.received().len(), before, "the notice waits");
        house.pass(SECOND);
        assert!(ann.stream.received().len() > before);
    }),
];

/// Somebody takes nothing any more while so many KiB are said.
fn lag(house: &mut House, kib: usize) -> Peer {
    let [deaf, talker] = ["deaf", "talker"].map(|name| house.join(TcpRoom, HERE, name));
    deaf.stream.refuse();
    for _ in 0..kib {
        house.say(&talker, &frames::say(TcpRoom, "talker", &"x".repeat(1000)));
    }
    deaf
}

#[test]
fn every_limit_holds_from_when_it_is_changed_and_nobody_is_let_go_by_that() {
    for (field, shows) in FIELDS {
        println!("{field}");
        let mut house = House::new();
        shows(&mut house);
        house.server.audit();
    }
    // Every field has its row.
    let Limits { .. } = Limits::default();
    let shown = format!("{:?}", Limits::default());
    let mut depth = 0;
    let mut names = Vec::new();
    let mut word = String::new();
    for c in shown.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ':' if depth == 1 => names.push(std::mem::take(&mut word)),
            'a'..='z' | '_' => word.push(c),
            _ => word.clear(),
        }
    }
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(
            FIELDS.iter().any(|(field, _)| field.starts_with(&name)),
            "no row for {name}"
        );
    }
}

#[test]
fn accounts_are_made_or_not_as_the_rules_say_at_the_time() {
    let mut house = House::new();
    house.login(HERE, "ann");
    let rules = |registration_open| Rules {
        limits: Limits::default(),
        advertise: Advertise::Connection,
        registration_open,
        hash_cost: CHEAP,
    };
    house.server.reconfigure(rules(false), house.now);
    house.give(UDP_LOGIN, BOB, "C 1 PASS bob a password");
    house.work();
    assert_eq!((house.count("denied"), house.names().len()), (1, 1));
    house.server.reconfigure(rules(true), house.now);
    house.login(EVE, "bob");
    assert_eq!(house.names(), ["ann", "bob"]);
}
