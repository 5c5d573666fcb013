//! What an address is good for: nothing is done for one that did not show a secret, little is sent to it, what was
//! captured elsewhere is of no use there, and nobody is told of another's. The whole server in memory.

#[path = "support/memory_house.rs"]
mod memory_house;

use std::net::SocketAddr;
use std::time::Duration;

use memory_house::frames::{CREATE, JOIN, enter, say, ucrp};
use memory_house::*;
use mynah::protocol::registry::Protocol;
use mynah::protocol::udp_mesh::frame as mesh;
use mynah::reactor::BATCH;
use mynah::server::{Advertise, Limits};

/// Of the right form, and nobody's.
const GUESS: &str = "0123456789abcdef0123456789abcdef";

/// All that udp-room has a word for, and what it has none for.
fn udp_room_datagrams() -> Vec<Vec<u8>> {
    let long = "x".repeat(1000);
    let texts = [
        "PM| ann: forged",
        "PM|ann:",
        "PM|",
        "pm| forged",
        "DM| ann> bob: forged",
        "DM|",
        "DM| ann",
        "EX| ann",
        "EX|",
        "ex|",
        "forged",
        "[join first: UN| name]",
        "UN|",
        "UN| a:b",
        "UN| ann",
        "UN|ANN",
        "\r\n",
        "",
        &long,
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// The same of udp-login, with session ids that are not the sender's.
fn udp_login_datagrams(sids: &[&str]) -> Vec<Vec<u8>> {
    let long = "x".repeat(4000);
    let mut texts: Vec<String> = [
        "C 9 LOGIN ann",
        "C 9 LOGIN nobody",
        "C 9 LOGIN a:b",
        "C 9 LOGIN ",
        "C 9 LOGIN",
        "C 9 PASS ann wrong",
        "C 9 PASS ann ",
        "C 9 PASS a:b c",
        "C 9 PASS ann",
        "C 18446744073709551615 LOGIN ann",
        "C 99999999999999999999 LOGIN ann",
        "C 9",
        "C",
        "D",
        "D 9",
        "C 0 LEFT ann",
        "D PM ann forged",
        "EX| ann",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push(format!("C 9 LOGIN {long}"));
    texts.push(format!("C 9 PASS ann {long}"));
    for sid in sids.iter().chain(&["x", ""]) {
        for command in ["PM", "DM", "EX", "PING", "NOPE"] {
            texts.push(format!("C 9 {command} {sid}"));
            texts.push(format!("C 18446744073709551615 {command} {sid}"));
        }
        texts.push(format!("D 9 {sid} forged"));
        texts.push(format!("D 9 {sid} bob forged"));
        texts.push(format!("D 9 {sid} {long}"));
    }
    texts.into_iter().map(String::into_bytes).collect()
}

/// The same of ucrp, with tokens that are not valid at the sender's.
fn ucrp_datagrams(tokens: &[&str]) -> Vec<Vec<u8>> {
    let mut datagrams = vec![vec![], vec![3], vec![0, 0], vec![64, 64], vec![255; 4096]];
    for room in ["den", "lobby", ""] {
        for token in tokens.iter().chain(&["token_", ""]) {
            for text in ["__REGISTER__", "__LEAVE__", "__ROOM_CLOSED__", "forged", ""] {
                datagrams.push(ucrp(room, token, text));
            }
        }
    }
    datagrams
}

/// What would show that a datagram was obeyed.
fn state(house: &House) -> (Vec<String>, [u64; 5]) {
    let counters = house.server.counters();
    let done = [
        counters.joined,
        counters.messages,
        counters.registered,
        counters.silent,
        counters.never_came,
    ];
    (house.names(), done)
}

fn take_all(house: &House) -> Vec<(SocketAddr, Vec<u8>)> {
    house.ports.iter().flat_map(MemoryPort::take).collect()
}

/// Everybody with a secret, and what it is: ann by udp-login, mio and dan in a room of tcrp.
struct Proven {
    house: House,
    sid: String,
    other_sid: String,
    hosts_token: String,
    members_token: String,
}

const CAL: &str = "192.0.2.3:1000";
const MIO: &str = "192.0.2.4:1000";
const DAN: &str = "192.0.2.5:1000";

impl Proven {
    fn new() -> Proven {
        let mut house = House::with(Limits {
            message_rate: None,
            datagram_rate: None,
            ..Limits::default()
        });
        let sid = house.login(ANN, "ann");
        let other_sid = house.login(CAL, "cal");
        for (from, sid) in [(ANN, &sid), (CAL, &other_sid)] {
            house.give(UDP_LOGIN, from, format!("C 2 PING {sid}"));
        }
        let hosts_token = house.reserve(MIO, CREATE, "den", "mio").unwrap();
        let members_token = house.reserve(DAN, JOIN, "den", "dan").unwrap();
        house.give(UCRP, MIO, ucrp("den", &hosts_token, "__REGISTER__"));
        house.give(UCRP, DAN, ucrp("den", &members_token, "__REGISTER__"));
        house.send(UDP_ROOM, BOB, "UN| bob");
        take_all(&house);
        Proven {
            house,
            sid,
            other_sid,
            hosts_token,
            members_token,
        }
    }

    /// That all are still who they were, and are heard where they were heard.
    fn all_are_well(&mut self, seq: u64) {
        let house = &mut self.house;
        take_all(house);
        let (sid, other_sid) = (&self.sid, &self.other_sid);
        let told = house.send(UDP_LOGIN, ANN, format!("C {seq} PM {sid}"));
        assert_eq!(told, [format!("C {seq} READY")]);
        let told = house.send(UDP_LOGIN, ANN, format!("D {} {sid} well", seq + 1));
        assert_eq!(told, [format!("C {} SENT 2", seq + 1)]);
        let heard = house.port(UDP_LOGIN).take_for(address(CAL));
        assert_eq!(heard, ["D PM ann well"]);
        let told = house.send(UDP_LOGIN, CAL, format!("C {seq} PING {other_sid}"));
        assert_eq!(told, [format!("C {seq} PONG")]);
        house.give(UCRP, MIO, ucrp("den", &self.hosts_token, "well"));
        let heard = house.port(UCRP).take();
        assert_eq!(heard, [(address(DAN), b"\x03miowell".to_vec())]);
        house.give(UCRP, DAN, ucrp("den", &self.members_token, "well"));
        let heard = house.port(UCRP).take();
        assert_eq!(heard, [(address(MIO), b"\x03danwell".to_vec())]);
        take_all(house);
    }
}

#[test]
fn r11_no_datagram_without_its_secret_changes_anything() {
    let mut proven = Proven::new();
    proven.all_are_well(10);
    let before = state(&proven.house);
    // At each member's own address: without a secret, with a guess, with another's.
    let (sid, other_sid) = (proven.sid.clone(), proven.other_sid.clone());
    let (host, member) = (proven.hosts_token.clone(), proven.members_token.clone());
    let token = format!("token_{GUESS}");
    let tables = [
        (UDP_LOGIN, ANN, udp_login_datagrams(&[GUESS, &other_sid])),
        (UDP_LOGIN, CAL, udp_login_datagrams(&[GUESS, &sid])),
        (UCRP, MIO, ucrp_datagrams(&[&token, &sid])),
        (UCRP, DAN, ucrp_datagrams(&[&token])),
        // Elsewhere, with the right ones: those were captured.
        (UDP_LOGIN, EVE, udp_login_datagrams(&[&sid, &other_sid])),
        (UCRP, EVE, ucrp_datagrams(&[&host, &member])),
        (UCRP_TOO, EVE, ucrp_datagrams(&[&host, &member])),
        // In the other protocol's port.
        (UCRP, ANN, udp_login_datagrams(&[&sid])),
        (UDP_LOGIN, MIO, ucrp_datagrams(&[&host])),
    ];
    let mut tried = 0;
    for (port, from, datagrams) in tables {
        for datagram in datagrams {
            proven.house.give(port, from, &datagram);
            proven.house.work();
            let shown = String::from_utf8_lossy(&datagram);
            assert_eq!(state(&proven.house), before, "{shown:?} from {from}");
            tried += 1;
        }
    }
    assert!(tried > 250, "{tried}");
    proven.all_are_well(20);
}

#[test]
fn r11_forged_datagrams_keep_nobody_in_who_is_gone() {
    let mut proven = Proven::new();
    let idle = Limits::default().login_idle;
    // Whoever is heard stays; who is only spoken for does not.
    for n in 0..idle.as_secs() / 60 + 1 {
        proven
            .house
            .give(UDP_LOGIN, ANN, format!("C 9 PING {GUESS}"));
        proven.house.give(UDP_LOGIN, ANN, "C 9 LOGIN ann");
        let sid = &proven.other_sid;
        let ping = format!("C {} PING {sid}", n + 3);
        proven.house.give(UDP_LOGIN, CAL, ping);
        proven.house.pass(Duration::from_secs(60));
    }
    assert_eq!(proven.house.names(), ["cal", "bob"]);
}

/// Three times the bytes, at the most one datagram, and nothing later: what a datagram from an address that nothing
/// is known of brings there.
#[test]
fn r13_every_datagram_from_an_unproven_address_brings_little_there_and_once() {
    let mut proven = Proven::new();
    let house = &mut proven.house;
    // A lobby with a history and with members, so that there would be something to tell.
    for n in 0..100 {
        let from = format!("127.0.0.1:{}", 2000 + n);
        house.give(
            UDP_ROOM,
            &from,
            format!("UN| somebody-with-a-long-name-{n}"),
        );
        house.give(UDP_ROOM, &from, "x".repeat(900));
    }
    take_all(house);
    let (sid, host) = (proven.sid.as_str(), proven.hosts_token.as_str());
    let room = udp_room_datagrams();
    let login = udp_login_datagrams(&[GUESS, sid]);
    let tokens = ucrp_datagrams(&[&format!("token_{GUESS}"), host]);
    let news = [
        b"C 1 PASS v x".to_vec(),
        b"C 1 PASS visitor a long enough password".to_vec(),
    ];
    let login = login.into_iter().chain(news).collect();
    let mut strangers = 0_u16;
    let (mut asked, mut told) = (0, 0);
    for (port, datagrams) in [(UDP_ROOM, room), (UDP_LOGIN, login), (UCRP, tokens)] {
        for datagram in datagrams {
            strangers += 1;
            let [high, low] = strangers.to_be_bytes();
            let from = format!("198.18.{high}.{low}:1000");
            proven.house.give(port, &from, &datagram);
            proven.house.work();
            let at_once = take_all(&proven.house);
            let replies: Vec<&Vec<u8>> = at_once
                .iter()
                .filter(|(to, _)| *to == address(&from))
                .map(|(_, bytes)| bytes)
                .collect();
            let shown = String::from_utf8_lossy(&datagram);
            let bytes: usize = replies.iter().map(|reply| reply.len()).sum();
            assert!(replies.len() <= 1, "{shown:?}: {replies:?}");
            assert!(bytes <= 3 * datagram.len(), "{shown:?}: {replies:?}");
            asked += datagram.len();
            told += bytes;
        }
    }
    assert!(strangers > 100 && told > 0, "{strangers}, {told} bytes");
    assert!(told <= 3 * asked);
    // Nor does anything come later, but to those who have joined by it.
    proven
        .house
        .give(UDP_ROOM, "127.0.0.1:2000", "x".repeat(900));
    let later = take_all(&proven.house).into_iter().map(|(to, _)| to);
    let later: Vec<SocketAddr> = later
        .filter(|to| to.to_string().starts_with("198.18."))
        .collect();
    assert!(later.is_empty(), "{later:?}");
}

/// Joining `udp-room` is the exception: nothing there proves an address, so the pace stands for it. What a join
/// itself is answered with is one line, in which nothing is longer than its name.
#[test]
fn r13_a_join_of_udp_room_is_answered_in_one_line() {
    let mut house = House::new();
    for n in 0..10 {
        let from = format!("127.0.0.1:{}", 2000 + n);
        house.give(UDP_ROOM, &from, format!("UN| n{n}"));
        house.give(UDP_ROOM, &from, "x".repeat(900));
    }
    for (name, from) in [("v", EVE), (&"w".repeat(64), BOB)] {
        for _ in 0..3 {
            let replies = house.send(UDP_ROOM, from, format!("UN|{name}"));
            assert_eq!(replies, [format!("[{name} joined the server]")]);
        }
    }
}

/// The mesh answers many bytes to few, as its protocol has it: once a second to each asker, and nothing to 472.
#[test]
fn r13_a_mesh_asker_is_answered_once_a_second() {
    let mut house = House::with(Limits {
        datagram_rate: None,
        ..Limits::default()
    });
    house.give(UDP_ROOM, "127.0.0.1:7", "UN| talker");
    for _ in 0..10 {
        house.give(UDP_ROOM, "127.0.0.1:7", "x".repeat(900));
    }
    take_all(&house);
    let (mut join, mut taken) = (Vec::new(), Vec::new());
    mesh::encode_join("somebody", &mut join);
    mesh::encode_join("talker", &mut taken);
    let mut answers = Vec::new();
    for asked in 0..1000 {
        // From any port, for any name: an asker is its address.
        let from = format!("192.0.2.66:{}", 1000 + asked);
        let ask = if asked % 2 == 0 { &join } else { &taken };
        house.give(MESH, &from, ask);
        answers.extend(take_all(&house));
        house.pass(Duration::from_millis(10));
    }
    assert_eq!(answers.len(), 10, "in ten seconds");
    for (to, answer) in &answers {
        assert_eq!(*to, address("192.0.2.66:5238"));
        assert!(answer.len() <= 4096);
    }
    mesh::encode_say("somebody", "hello", |said| {
        for _ in 0..10 {
            house.give(MESH, "192.0.2.66:5238", said);
        }
    });
    assert!(house.port(MESH).take().is_empty());
}

#[test]
fn r12_an_unproven_address_is_sent_three_times_what_it_sent_however_often_it_sends() {
    let mut house = House::with(Limits {
        message_rate: None,
        datagram_rate: None,
        ..Limits::default()
    });
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| talker");
    // Everything that goes to the victim's address is counted, whatever brought it there. Among what is sent in its name is
    // a registration, so soon it is a member, to whom all is said.
    let victim = EVE;
    let (mut sent, mut received) = (0, 0);
    let sid = String::from(GUESS);
    let mut datagrams = udp_login_datagrams(&[&sid]);
    // The shortest cost a forger the least.
    datagrams.retain(|datagram| datagram.len() < 100);
    for round in 0..20 {
        for datagram in &datagrams {
            for _ in 0..round % 4 + 1 {
                house.give(UDP_LOGIN, victim, datagram);
                sent += datagram.len();
            }
            house.work();
            house.give(UDP_ROOM, "127.0.0.1:7", "y".repeat(900));
            for port in &house.ports {
                let arrived = port.take_for(address(victim));
                received += arrived.iter().map(String::len).sum::<usize>();
            }
            assert!(received <= 3 * sent, "{received} bytes for {sent}");
        }
        house.pass(Duration::from_secs(3));
    }
    let counters = house.server.counters();
    assert!(received > 1000 && counters.withheld > 500, "{counters}");
    assert_eq!(house.names(), ["talker", "ann"], "it was in");
}

#[test]
fn r12_a_token_aims_a_room_at_nobody_else() {
    let mut proven = Proven::new();
    let own = proven.house.reserve(EVE, JOIN, "den", "eve").unwrap();
    let victim = "192.0.2.200:4000";
    for text in ["__REGISTER__", "forged", "__REGISTER__", "__LEAVE__"] {
        for port in [UCRP, UCRP_TOO] {
            proven.house.give(port, victim, ucrp("den", &own, text));
        }
        proven.house.give(
            UCRP,
            MIO,
            ucrp("den", &proven.hosts_token, "what goes to all"),
        );
        let sent = take_all(&proven.house);
        assert!(sent.iter().all(|(to, _)| *to == address(DAN)), "{sent:?}");
    }
    // From where it was given it is good.
    proven
        .house
        .give(UCRP, EVE, ucrp("den", &own, "__REGISTER__"));
    proven
        .house
        .give(UCRP, MIO, ucrp("den", &proven.hosts_token, "welcome"));
    let heard = proven.house.port(UCRP).take_for(address(EVE));
    assert_eq!(heard, ["\u{3}miowelcome"]);
}

#[test]
fn r15_what_was_captured_is_of_no_use_elsewhere() {
    let mut proven = Proven::new();
    let (sid, token) = (proven.sid.clone(), proven.members_token.clone());
    // A whole conversation, as somebody on the way has it.
    let captured = [
        (UDP_LOGIN, ANN, format!("C 2 PING {sid}").into_bytes()),
        (UDP_LOGIN, ANN, format!("C 3 PM {sid}").into_bytes()),
        (UDP_LOGIN, ANN, format!("D 4 {sid} said once").into_bytes()),
        (UDP_LOGIN, ANN, format!("C 5 DM {sid}").into_bytes()),
        (
            UDP_LOGIN,
            ANN,
            format!("D 6 {sid} bob in private").into_bytes(),
        ),
        (UDP_LOGIN, ANN, format!("C 7 NOPE {sid}").into_bytes()),
        (UCRP, DAN, ucrp("den", &token, "__REGISTER__")),
        (UCRP, DAN, ucrp("den", &token, "said")),
    ];
    for (port, from, datagram) in &captured {
        proven.house.give(*port, from, datagram);
    }
    let exits = [
        (UDP_LOGIN, ANN, format!("C 8 EX {sid}").into_bytes()),
        (UCRP, DAN, ucrp("den", &token, "__LEAVE__")),
    ];
    let before = state(&proven.house);
    for (_, _, datagram) in captured.iter().chain(&exits) {
        for port in [UDP_LOGIN, UCRP, UCRP_TOO] {
            // Another machine, and for a session another port of the same one.
            let mut elsewhere = vec![EVE];
            if port == UDP_LOGIN {
                elsewhere.push("192.0.2.1:1001");
            }
            for from in elsewhere {
                take_all(&proven.house);
                proven.house.give(port, from, datagram);
                let told = take_all(&proven.house);
                // At the most that the session is gone, to who asked.
                assert!(told.iter().all(|(to, _)| *to == address(from)), "{told:?}");
                assert!(told.len() <= 1, "{told:?}");
                assert_eq!(state(&proven.house), before);
            }
        }
    }
    proven.all_are_well(10);
}

/// In the members' own names, from their own addresses: what their protocols can tell from a repeat they do.
#[test]
fn r15_what_is_replayed_from_the_same_address() {
    let mut proven = Proven::new();
    let sid = proven.sid.clone();
    let house = &mut proven.house;
    let said = |house: &House| house.server.counters().messages;

    // udp-login has numbers: everything is done once. The latest is answered again, older ones are dropped.
    house.give(UDP_LOGIN, ANN, format!("C 3 PM {sid}"));
    let first = format!("D 4 {sid} said once");
    take_all(house);
    assert_eq!(house.send(UDP_LOGIN, ANN, &first), ["C 4 SENT 2"]);
    let before = said(house);
    assert_eq!(house.send(UDP_LOGIN, ANN, &first), ["C 4 SENT 2"]);
    house.give(UDP_LOGIN, ANN, format!("C 5 PING {sid}"));
    take_all(house);
    let dropped = house.server.counters().dropped;
    for old in [&first, &format!("C 3 PM {sid}"), &format!("C 2 PING {sid}")] {
        assert!(house.send(UDP_LOGIN, ANN, old).is_empty());
    }
    assert_eq!(house.server.counters().dropped, dropped + 3);
    assert_eq!(said(house), before, "it was said once");
    // Nor does an old goodbye end a later session.
    house.give(UDP_LOGIN, ANN, format!("C 6 EX {sid}"));
    take_all(house);
    let next = house.login(ANN, "ann");
    assert_ne!(next, sid);
    for seq in [6, 60] {
        house.give(UDP_LOGIN, ANN, format!("C {seq} EX {sid}"));
    }
    assert!(house.names().contains(&"ann".to_owned()));

    // ucrp and udp-room have none: a line is said again, coming and going twice is once.
    let token = proven.members_token.clone();
    let line = ucrp("den", &token, "said");
    let before = said(house);
    house.give(UCRP, DAN, &line);
    house.give(UCRP, DAN, &line);
    house.give(UDP_ROOM, BOB, "again");
    house.give(UDP_ROOM, BOB, "again");
    assert_eq!(said(house), before + 4);
    let joined = house.server.counters().joined;
    house.give(UCRP, DAN, ucrp("den", &token, "__REGISTER__"));
    house.give(UDP_ROOM, BOB, "UN| bob");
    assert_eq!(house.server.counters().joined, joined);
    let members = house.server.guests();
    for _ in 0..2 {
        house.give(UCRP, DAN, ucrp("den", &token, "__LEAVE__"));
        house.give(UDP_ROOM, BOB, "EX|");
    }
    assert_eq!(house.server.guests(), members - 2);
    // A token that has left is void; an address of udp-room may come again, by a replay too.
    house.give(UCRP, DAN, ucrp("den", &token, "__REGISTER__"));
    house.give(UDP_ROOM, BOB, "UN| bob");
    assert_eq!(house.server.guests(), members - 1);
}

/// A connection that says something, and what it is told.
fn connect(house: &mut House, protocol: Protocol, from: &str, bytes: &[u8]) -> Peer {
    let peer = house.come(protocol, from).unwrap();
    peer.stream.keep();
    house.say(&peer, bytes);
    peer
}

fn register(name: &str, claimed: &str, port: u16) -> Vec<u8> {
    format!("REGISTER:{name}:{claimed}:{port}\r\n").into_bytes()
}

#[test]
fn r47_an_address_is_shown_to_members_of_group_alone_and_only_that_of_one() {
    let mut house = House::new();
    // Each from a machine of its own, whose address is nobody else's business.
    let at = |n: u8| format!("203.0.113.{n}:6000");
    let observer = connect(
        &mut house,
        Protocol::Group,
        &at(5),
        &register("observer", "198.51.100.99", 5000),
    );
    let room = connect(
        &mut house,
        Protocol::TcpRoom,
        &at(6),
        &enter(Protocol::TcpRoom, "tcp"),
    );
    house.give(UDP_ROOM, &at(7), "UN| udp");
    house.login(&at(8), "login");
    house.give(UDP_LOGIN, &at(8), "C 2 DM x");
    let token = house.reserve(&at(9), JOIN, "lobby", "chat").unwrap();
    house.give(UCRP, &at(9), ucrp("lobby", &token, "__REGISTER__"));
    mesh::encode_say("mesh", "hello", |datagram| {
        house.port(MESH).give(address(&at(10)), datagram);
    });
    house.edge(MESH);
    house.turn();
    let six = "[2001:db8::7]:6000";
    let six_peer = connect(
        &mut house,
        Protocol::Group,
        six,
        &register("six", "2001:db8::7", 5000),
    );
    // They speak, in public and not, ask who is there, and go.
    house.say(&observer, b"BROADCAST:observer:2:hi\r\n");
    house.give(UDP_ROOM, &at(7), "DM| udp> tcp: psst");
    house.give(UDP_ROOM, &at(7), "UN| observer");
    house.give(UDP_ROOM, &at(66), "UN| udp");
    let mut newcomer = Vec::new();
    mesh::encode_join("somebody", &mut newcomer);
    house.give(MESH, &at(11), &newcomer);
    house.give(UDP_ROOM, &at(7), "EX|");
    house.give(UCRP, &at(9), ucrp("lobby", &token, "__LEAVE__"));
    house.pass(Duration::from_secs(20 * 60));
    assert_eq!(house.names(), ["observer", "tcp", "six"]);

    let told = String::from_utf8(observer.stream.received()).unwrap();
    let own = "203.0.113.5:5000";
    for (name, shown, times) in [
        ("LIST:observer", own, 1),
        ("JOIN:tcp", "0.0.0.0:0", 1),
        ("JOIN:udp", "0.0.0.0:0", 1),
        ("LEAVE:udp", "0.0.0.0:0", 1),
        ("JOIN:login", "0.0.0.0:0", 1),
        ("JOIN:chat", "0.0.0.0:0", 1),
        ("JOIN:mesh", "0.0.0.0:0", 1),
        ("JOIN:six", "0.0.0.0:0", 1),
    ] {
        let line = format!("{name}:{shown}\r\n");
        assert_eq!(told.matches(&line).count(), times, "{line:?} in {told:?}");
    }
    // Beyond that no address is told to anybody, in whatever words.
    let listed = String::from_utf8(six_peer.stream.received()).unwrap();
    let rest = [told.replace(own, ""), listed.replace(own, "")].concat();
    let rooms = String::from_utf8_lossy(&room.stream.received()).into_owned();
    let datagrams = take_all(&house);
    assert!(datagrams.len() > 10);
    let datagrams = datagrams
        .iter()
        .map(|(_, bytes)| String::from_utf8_lossy(bytes));
    for bytes in datagrams.chain([rest.into(), rooms.into()]) {
        for part in ["203.0.113.", "2001:db8", "198.51.100.99", "192.0.2"] {
            assert!(!bytes.contains(part), "{part} in {bytes:?}");
        }
    }
}

#[test]
fn r47_a_claim_is_believed_where_it_could_be_true_and_where_that_is_wanted() {
    let own = "203.0.113.9";
    // What a peer of the public network says of itself; is it believed under `advertise = "claimed"`?
    let table = [
        ("another public address", "198.51.100.7", true),
        ("its own", "203.0.113.9", true),
        ("loopback", "127.0.0.1", false),
        ("loopback", "127.255.0.3", false),
        ("private", "10.0.0.1", false),
        ("private", "172.16.0.1", false),
        ("private", "172.31.255.255", false),
        ("not private any more", "172.32.0.1", true),
        ("private", "192.168.1.1", false),
        ("shared by a provider", "100.64.0.1", false),
        ("shared by a provider", "100.127.255.255", false),
        ("link-local", "169.254.169.254", false),
        ("multicast", "224.0.0.1", false),
        ("multicast", "239.255.255.250", false),
        ("reserved", "240.0.0.1", false),
        ("everybody", "255.255.255.255", false),
        ("nobody", "0.0.0.0", false),
        ("this network", "0.1.2.3", false),
    ];
    for advertise in [Advertise::Connection, Advertise::Claimed] {
        let mut house = House::with(Limits {
            max_per_address: 1000,
            ..Limits::default()
        });
        house.server.advertise(advertise);
        let observer = connect(
            &mut house,
            Protocol::Group,
            "203.0.113.5:1",
            &register("observer", "203.0.113.5", 1),
        );
        for (n, (class, claimed, may)) in table.into_iter().enumerate() {
            let claim = register(&format!("n{n}"), claimed, 5000);
            connect(&mut house, Protocol::Group, &format!("{own}:6000"), &claim);
            let shown = match advertise {
                Advertise::Claimed if may => claimed,
                Advertise::Claimed | Advertise::Connection => own,
            };
            let told = String::from_utf8(observer.stream.received()).unwrap();
            let line = format!("UPDATE:JOIN:n{n}:{shown}:5000\r\n");
            assert!(told.ends_with(&line), "{class}: {line:?} in {told:?}");
        }
    }
}

#[test]
fn r36_a_backlog_of_datagrams_that_never_ends_keeps_no_connection_waiting() {
    let mut house = House::with(Limits {
        message_rate: None,
        ..Limits::default()
    });
    let member = connect(
        &mut house,
        Protocol::TcpRoom,
        "127.0.0.1:1",
        &enter(Protocol::TcpRoom, "tcp"),
    );
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| flooder");
    const TURNS: usize = 500;
    // More on both sockets than ever is taken in; on the other it is not even a protocol's.
    for _ in 0..(TURNS + 1) * BATCH {
        house.port(UDP_ROOM).give(address("127.0.0.1:7"), b"flood");
        house.port(UDP_LOGIN).give(address(EVE), b"flood");
    }
    house.edge(UDP_ROOM);
    house.edge(UDP_LOGIN);
    for turn in 0..TURNS {
        let before = *house.server.counters();
        let heard_before = member.stream.received().len();
        let text = format!("word {turn}");
        house.say(&member, &say(Protocol::TcpRoom, "tcp", &text));
        let after = *house.server.counters();
        assert_eq!(after.datagrams - before.datagrams, 2 * BATCH as u64);
        // Answered in the same turn, before any of the flood of that turn.
        let heard = member.stream.received();
        let heard = String::from_utf8_lossy(&heard[heard_before..]).into_owned();
        let flood = heard.find("flood").expect("the flooder is heard as well");
        let word = heard.find(&text).expect("the word is heard");
        assert!(word < flood, "{heard:?}");
        assert_eq!(house.server.next_deadline(), Some(house.now));
    }
    let counters = *house.server.counters();
    // Of the network that floods no more than its burst was looked at.
    let all = (TURNS * BATCH) as u64;
    assert_eq!(counters.floods, all - 1000);
    assert_eq!(counters.datagrams, 2 * all + 1);
}

#[test]
fn r34_an_address_of_ipv4_is_one_however_it_is_written() {
    let mut house = House::new();
    for n in 0..16 {
        let from = match n % 2 {
            0 => format!("192.0.2.1:{}", 1000 + n),
            _ => format!("[::ffff:192.0.2.1]:{}", 1000 + n),
        };
        house.give(UDP_ROOM, &from, format!("UN| n{n}"));
    }
    assert_eq!(house.names().len(), 16);
    take_all(&house);
    let replies = house.send(UDP_ROOM, "192.0.2.1:9", "UN| one-too-many-of-them");
    assert_eq!(replies, ["[too many from your address, 16 are in]"]);
    // The same member, in either form: it is who it is, and its token is good.
    let replies = house.send(UDP_ROOM, "192.0.2.1:1001", "UN| n1");
    assert_eq!(replies, ["[n1 joined the server]"]);
    house.give(UDP_ROOM, "[::ffff:192.0.2.1]:1000", "EX|");
    let token = house
        .reserve("[::ffff:192.0.2.1]:5", JOIN, "lobby", "tok")
        .unwrap();
    house.give(UCRP, "192.0.2.1:6", ucrp("lobby", &token, "__REGISTER__"));
    assert!(house.names().contains(&"tok".to_owned()));
    assert_eq!(house.names().len(), 16);
    // So is a /64: one host has that many addresses at least.
    for n in 0..16 {
        let from = format!("[2001:db8:0:1::{n:x}]:7");
        house.give(UDP_ROOM, &from, format!("UN| six{n}"));
    }
    let replies = house.send(
        UDP_ROOM,
        "[2001:db8:0:1:ffff::1]:7",
        "UN| one-too-many-of-them",
    );
    assert_eq!(replies, ["[too many from your address, 16 are in]"]);
    let replies = house.send(UDP_ROOM, "[2001:db8:0:2::1]:7", "UN| elsewhere");
    assert_eq!(replies, ["[elsewhere joined the server]"]);
}
