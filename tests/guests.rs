//! Guests, who have no connection: how they are known, what they may be sent, and how they end. Ports in
//! memory, a clock that the test holds.

#[path = "support/memory_house.rs"]
mod memory_house;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use memory_house::frames::{CREATE, JOIN, ucrp};
use memory_house::*;
use mynah::chat::TimeOfDay;
use mynah::protocol::udp_mesh::frame as mesh;
use mynah::reactor::{BATCH, Told};
use mynah::server::Limits;
use mynah::store::{self, Done, HashCost, HashError, Job, Known};

#[test]
fn r13_a_stranger_costs_nothing_and_is_sent_no_more_than_it_sent() {
    let mut house = House::new();
    assert!(house.send(UDP_ROOM, EVE, "hi").is_empty());
    let replies = house.send(UDP_ROOM, EVE, "a line that is long enough for it");
    assert_eq!(replies, ["[join first: UN| name]"]);
    assert!(
        house
            .send(UCRP, EVE, ucrp("lobby", &"x".repeat(38), "hi"))
            .is_empty()
    );
    assert!(house.send(UDP_LOGIN, EVE, "D 1 hi").is_empty());
    assert!(house.send(UDP_LOGIN, EVE, "C 1 LOGIN x").len() == 1);
    assert_eq!(house.server.guests(), 0);
}

#[test]
fn r12_an_unproven_address_is_sent_three_times_what_it_sent_and_a_proven_one_everything() {
    let mut house = House::new();
    let sid = house.login(ANN, "ann");
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| talker");
    let mut sent = format!("C 1 WELCOME {sid}").len();
    let mut received = "C 1 PASS ann a long enough password".len();
    for n in 0..100 {
        house.give(
            UDP_ROOM,
            "127.0.0.1:7",
            format!("line {n} that is heard by everybody"),
        );
    }
    sent += house
        .port(UDP_LOGIN)
        .take_for(address(ANN))
        .iter()
        .map(String::len)
        .sum::<usize>();
    assert!(sent <= 3 * received, "{sent} for {received}");
    assert!(house.server.counters().withheld > 90);

    let ping = format!("C 2 PING {sid}");
    received += ping.len();
    assert!(received > 0);
    assert_eq!(house.send(UDP_LOGIN, ANN, ping), ["C 2 PONG"]);
    for n in 0..100 {
        house.give(
            UDP_ROOM,
            "127.0.0.1:7",
            format!("line {n} that is heard by everybody"),
        );
    }
    assert_eq!(house.port(UDP_LOGIN).take_for(address(ANN)).len(), 100);
}

#[test]
fn r11_a_wrong_secret_of_the_right_form_proves_nothing() {
    let mut house = House::new();
    house.login(ANN, "ann");
    let forged = format!("C 2 PING {}", "0".repeat(32));
    let replies = house.send(UDP_LOGIN, ANN, &forged);
    assert_eq!(replies, ["C 2 GONE"]);
    assert_eq!(house.send(UDP_LOGIN, EVE, &forged), ["C 2 GONE"]);
    assert_eq!(house.names(), ["ann"]);
}

#[test]
fn r12_forged_joins_are_so_many_members_and_no_more() {
    let mut house = House::new();
    let limit = Limits::default().unproven_members;
    for n in 0..2000 {
        // As many networks as one likes.
        let from = format!("10.0.{}.{}:1000", n / 250, n % 250);
        let answer = house.send(UDP_ROOM, &from, format!("UN| forged-number-{n}"));
        let told = answer
            .iter()
            .any(|line| line.ends_with(" joined the server]"));
        assert_eq!(told, n < limit, "{answer:?}");
    }
    assert_eq!(house.names().len(), limit);
    assert_eq!(house.count("unproven_away"), 2000 - limit as u64);
    // This machine's own come in, and those who have a connection or show that they receive where they say.
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| local");
    house.login(ANN, "ann");
    assert_eq!(house.names().len(), limit + 2);
    let before = house.count("datagrams_sent") + house.count("withheld");
    house.send(UDP_ROOM, "127.0.0.1:7", "a line of one");
    let sent = house.count("datagrams_sent") + house.count("withheld") - before;
    assert_eq!(sent, limit as u64 + 3, "one for each, and one for the mesh");
}

#[test]
fn r12_an_address_without_proof_has_a_pace() {
    let mut house = House::new();
    house.send(UDP_ROOM, ANN, "UN| ann");
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| talker");
    let line = "x".repeat(900);
    let heard = |house: &mut House| {
        let heard = house.port(UDP_ROOM).take_for(address(ANN));
        heard.iter().map(String::len).sum::<usize>()
    };
    heard(&mut house);
    for _ in 0..200 {
        house.give(UDP_ROOM, "127.0.0.1:7", &line);
    }
    let at_once = heard(&mut house);
    assert!((60_000..=65_536).contains(&at_once), "{at_once}");
    house.pass(Duration::from_secs(2));
    for _ in 0..200 {
        house.give(UDP_ROOM, "127.0.0.1:7", &line);
    }
    let later = heard(&mut house);
    assert!((7_000..=8_192).contains(&later), "{later}");
}

#[test]
fn who_is_silent_is_let_go_but_not_on_loopback() {
    let mut house = House::new();
    house.send(UDP_ROOM, ANN, "UN| ann");
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| local");
    let sid = house.login(BOB, "bob");
    house.pass(Duration::from_secs(4 * 60));
    assert_eq!(
        house.send(UDP_LOGIN, BOB, format!("C 2 PING {sid}")),
        ["C 2 PONG"]
    );
    house.pass(Duration::from_secs(4 * 60 + 59));
    assert_eq!(house.names(), ["ann", "local", "bob"]);
    house.pass(Duration::from_secs(2));
    assert_eq!(house.names(), ["ann", "local"]);
    house.pass(Duration::from_secs(6 * 60 + 1));
    assert_eq!(house.names(), ["local"]);
    assert_eq!(house.server.counters().silent, 2);
    assert_eq!(house.server.guests(), 1);
}

#[test]
fn r11_a_token_works_from_its_own_ip_and_moves_with_its_port() {
    let mut house = House::new();
    let token = house.reserve(ANN, CREATE, "den", "ann").unwrap();
    let register = ucrp("den", &token, "__REGISTER__");
    assert!(house.send(UCRP, EVE, &register).is_empty());
    assert_eq!(house.server.counters().dropped, 1);
    let other = house.reserve(BOB, JOIN, "den", "bob").unwrap();
    house.send(UCRP, BOB, ucrp("den", &other, "__REGISTER__"));
    assert!(
        house
            .send(UCRP, ANN, ucrp("den", &token, "too early"))
            .is_empty()
    );

    for (port, from) in [
        (UCRP, ANN),
        (UCRP, "192.0.2.1:2000"),
        (UCRP_TOO, "192.0.2.1:3000"),
    ] {
        house.send(port, from, &register);
        house.give(UCRP, BOB, ucrp("den", &other, "hi"));
        assert_eq!(house.port(port).take_for(address(from)), ["\u{3}bobhi"]);
        assert!(house.ports.iter().all(|port| port.take().is_empty()));
    }
    // The host goes, from any of its ports, and the room with it.
    house.give(UCRP, ANN, ucrp("den", &token, "__LEAVE__"));
    assert_eq!(house.port(UCRP).take_for(address(BOB)), ["__ROOM_CLOSED__"]);
    assert_eq!(house.server.guests(), 0);
    assert!(
        house
            .send(UCRP, BOB, ucrp("den", &other, "anybody?"))
            .is_empty()
    );
    assert!(house.reserve(BOB, JOIN, "den", "bob").is_none());
}

#[test]
fn a_token_that_is_not_shown_is_void() {
    let mut house = House::new();
    let token = house.reserve(ANN, CREATE, "den", "ann").unwrap();
    house.pass(Duration::from_secs(30));
    // Whose room it is has not come either; with it go those it was kept for.
    house.reserve(BOB, JOIN, "den", "bob").unwrap();
    house.pass(Duration::from_secs(29));
    assert_eq!(house.server.guests(), 2);
    house.pass(Duration::from_secs(2));
    assert_eq!(
        (house.server.guests(), house.server.counters().never_came),
        (0, 1)
    );
    assert!(
        house
            .send(UCRP, ANN, ucrp("den", &token, "__REGISTER__"))
            .is_empty()
    );
    assert!(
        house.reserve(ANN, CREATE, "den", "ann").is_some(),
        "the name is free again"
    );
}

#[test]
fn an_address_gets_so_many_tokens_and_no_more() {
    let mut house = House::new();
    for n in 0..16 {
        assert!(
            house
                .reserve(ANN, JOIN, "lobby", &format!("ann{n}"))
                .is_some()
        );
    }
    assert!(house.reserve(ANN, JOIN, "lobby", "ann16").is_none());
    for n in 0..40 {
        let name = format!("local{n}");
        assert!(house.reserve("127.0.0.1:5", JOIN, "lobby", &name).is_some());
    }
    house.pass(Duration::from_secs(61));
    assert!(house.reserve(ANN, JOIN, "lobby", "ann16").is_some());
}

#[test]
fn r38_an_address_opens_so_many_rooms_and_is_told_why_not_more() {
    let mut house = House::with(Limits {
        max_per_address: 1000,
        secrets_per_address: 1000,
        ..Limits::default()
    });
    let rooms = Limits::default().rooms_per_address;
    for n in 0..rooms {
        assert!(
            house
                .reserve(ANN, CREATE, &format!("room{n}"), "ann")
                .is_some()
        );
    }
    let answer = house.ask_tcrp(ANN, CREATE, "one-more", "ann").unwrap();
    assert_eq!(house.server.counters().refused_rooms_of_address, 1);
    assert!(
        answer.contains("too many rooms of your address, 64 stand"),
        "{answer}"
    );
    // Joining is another thing, and so are other addresses and this machine.
    assert!(house.reserve(ANN, JOIN, "room0", "ann-too").is_some());
    assert!(house.reserve(BOB, CREATE, "one-more", "bob").is_some());
    for n in 0..2 * rooms {
        let opened = house.reserve("127.0.0.1:5", CREATE, &format!("local{n}"), "eve");
        assert!(opened.is_some(), "room {n}");
    }
    // Nobody came, so the rooms are gone; what they counted for, too.
    house.pass(Duration::from_secs(61));
    assert!(house.reserve(ANN, CREATE, "room0", "ann").is_some());
    assert_eq!(house.server.counters().refused_rooms_of_address, 1);
}

#[test]
fn r38_there_are_so_many_rooms_and_no_more() {
    let mut limits = Limits::default();
    limits.hub.rooms = 10;
    let mut house = House::with(limits);
    // The lobby is one of them.
    for n in 1..10 {
        let room = format!("room{n}");
        assert!(
            house
                .reserve("127.0.0.1:5", CREATE, &room, "host")
                .is_some()
        );
    }
    let answer = house.ask_tcrp("127.0.0.1:6", CREATE, "one-more", "host");
    let answer = answer.unwrap();
    assert!(answer.contains("too many rooms, 10 stand"), "{answer}");
    assert_eq!(house.server.counters().refused_too_many_rooms, 1);
    assert!(
        house
            .reserve("127.0.0.1:6", JOIN, "room1", "guest")
            .is_some()
    );
}

#[test]
fn an_address_is_so_many_members_and_no_more() {
    let mut house = House::new();
    for n in 0..16 {
        house.send(
            UDP_ROOM,
            &format!("192.0.2.1:{}", 1000 + n),
            format!("UN| ann{n}"),
        );
    }
    let replies = house.send(UDP_ROOM, "192.0.2.1:2000", "UN| one-too-many-of-them");
    assert_eq!(replies, ["[too many from your address, 16 are in]"]);
    assert_eq!(house.names().len(), 16);
    house.send(UDP_ROOM, "192.0.2.1:1000", "EX|");
    assert_eq!(house.names().len(), 15);
    let replies = house.send(UDP_ROOM, "192.0.2.1:2000", "UN| in-now");
    assert_eq!(replies, ["[in-now joined the server]"]);
}

#[test]
fn r22_what_a_full_kernel_refuses_waits_for_the_writable_edge() {
    let mut house = House::new();
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    house.send(UDP_ROOM, "127.0.0.1:8", "UN| bob");
    house.port(UDP_ROOM).take();
    house.port(UDP_ROOM).make_room(1);
    for n in 0..3 {
        house
            .port(UDP_ROOM)
            .give(address("127.0.0.1:7"), format!("line {n}").as_bytes());
    }
    house.edge(UDP_ROOM);
    house.turn();
    assert_eq!(house.port(UDP_ROOM).take().len(), 1);
    house.turn();
    assert!(house.port(UDP_ROOM).take().is_empty());
    house.port(UDP_ROOM).make_room(100);
    house.edge(UDP_ROOM);
    house.turn();
    assert_eq!(house.port(UDP_ROOM).take().len(), 5);
    assert_eq!(house.server.counters().overflowed, 0);
}

#[test]
fn r22_a_kernel_that_takes_one_at_a_time_gets_all_in_order() {
    let mut house = House::new();
    let members: Vec<String> = (1000..1100).map(|n| format!("127.0.0.1:{n}")).collect();
    for (n, from) in members.iter().enumerate() {
        house.send(UDP_ROOM, from, format!("UN| n{n}"));
    }
    house.port(UDP_ROOM).take();
    house.port(UDP_ROOM).make_room(0);
    let lines: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    for line in &lines {
        house
            .port(UDP_ROOM)
            .give(address("127.0.0.1:1000"), line.as_bytes());
    }
    house.edge(UDP_ROOM);
    house.turn();
    // Each edge brings room for seven, which is nobody's share of anything.
    for _ in 0..20 * 100 / 7 + 1 {
        house.port(UDP_ROOM).make_room(7);
        house.edge(UDP_ROOM);
        house.turn();
    }
    for from in &members[1..] {
        let wanted = lines.iter().map(|line| format!("n0: {line}"));
        let heard = house.port(UDP_ROOM).take_for(address(from));
        assert!(
            heard.iter().eq(wanted.collect::<Vec<_>>().iter()),
            "{heard:?}"
        );
    }
    assert_eq!(house.server.counters().overflowed, 0);
}

#[test]
fn r22_one_in_a_crowd_that_cannot_be_sent_to_costs_the_others_nothing() {
    let mut house = House::new();
    for n in 0..200 {
        house.send(
            UDP_ROOM,
            &format!("127.0.0.1:{}", 1000 + n),
            format!("UN| n{n}"),
        );
    }
    house.port(UDP_ROOM).take();
    // What sendmmsg(2) says of the first of a batch: no buffers, not allowed, nobody there, nothing.
    for error in [
        ErrorKind::OutOfMemory,
        ErrorKind::PermissionDenied,
        ErrorKind::ConnectionRefused,
    ] {
        house.port(UDP_ROOM).fail(error);
    }
    house.give(UDP_ROOM, "127.0.0.1:1199", "hi");
    let heard = house.port(UDP_ROOM).take();
    let counters = house.server.counters();
    assert_eq!((heard.len() as u64, counters.failed_sends), (197, 3));
    let mut to: Vec<u16> = heard.iter().map(|(to, _)| to.port()).collect();
    to.sort_unstable();
    to.dedup();
    assert_eq!(to.len(), 197, "nobody twice");
}

#[test]
fn r22_what_waits_too_long_is_counted_and_the_newest_arrives() {
    let mut house = House::with(Limits {
        mailing_bytes: 200,
        ..Limits::default()
    });
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    house.send(UDP_ROOM, "127.0.0.1:8", "UN| bob");
    house.port(UDP_ROOM).take();
    house.port(MESH).take();
    house.port(UDP_ROOM).make_room(0);
    for n in 0..100 {
        house
            .port(UDP_ROOM)
            .give(address("127.0.0.1:7"), format!("line {n:02}").as_bytes());
    }
    house.edge(UDP_ROOM);
    for _ in 0..5 {
        house.turn();
    }
    house.port(UDP_ROOM).make_room(1000);
    house.edge(UDP_ROOM);
    house.turn();
    let heard = house.port(UDP_ROOM).take_for(address("127.0.0.1:8"));
    assert_eq!(heard.last().map(String::as_str), Some("ann: line 99"));
    // The mesh is told, too, and of more than fits at once.
    let told = heard.len() + house.port(MESH).take().len();
    assert_eq!(house.server.counters().overflowed as usize, 200 - told);
}

#[test]
fn r37_datagrams_that_wait_are_within_the_budget_and_the_newest_arrive() {
    const BUDGET: usize = 64 * 1024;
    let mut house = House::with(Limits {
        output_bytes: BUDGET,
        ..Limits::default()
    });
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    house.send(UDP_ROOM, "127.0.0.1:8", "UN| bob");
    house.port(UDP_ROOM).take();
    house.port(UDP_ROOM).make_room(0);
    let line = |n: usize| format!("line {n:03} {}", "x".repeat(500));
    for n in 0..400 {
        house.give(UDP_ROOM, "127.0.0.1:7", line(n));
        let waits = house.server.output_memory();
        assert!(waits <= BUDGET, "{waits} bytes wait");
    }
    assert!(house.server.counters().overflowed > 0);
    house.port(UDP_ROOM).make_room(1000);
    house.edge(UDP_ROOM);
    house.turn();
    let heard = house.port(UDP_ROOM).take_for(address("127.0.0.1:8"));
    let wanted = (400 - heard.len()..400).map(|n| format!("ann: {}", line(n)));
    let wanted: Vec<String> = wanted.collect();
    assert!(heard.len() > 10 && heard == wanted, "the newest, in order");
}

#[test]
fn r22_a_kernel_that_refuses_and_never_tells_is_tried_again() {
    let mut house = House::new();
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    house.send(UDP_ROOM, "127.0.0.1:8", "UN| bob");
    house.port(UDP_ROOM).take();
    // Said although there is room: no edge will come.
    house.port(UDP_ROOM).fail(ErrorKind::WouldBlock);
    house.port(UDP_ROOM).fail(ErrorKind::WouldBlock);
    house.give(UDP_ROOM, "127.0.0.1:7", "hi");
    assert!(house.port(UDP_ROOM).take().is_empty());
    house.pass(Duration::from_millis(199));
    assert!(house.port(UDP_ROOM).take().is_empty());
    house.pass(Duration::from_millis(1));
    let heard: Vec<SocketAddr> = house
        .port(UDP_ROOM)
        .take()
        .iter()
        .map(|(to, _)| *to)
        .collect();
    assert_eq!(heard, ["127.0.0.1:7", "127.0.0.1:8"].map(address));
    let counters = *house.server.counters();
    assert_eq!((counters.failed_sends, counters.overflowed), (0, 0));
    // What was taken in the end is not tried again for ever.
    house.pass(Duration::from_millis(100));
    assert_eq!(house.server.next_deadline(), None);
}

#[test]
fn r22_errors_that_come_instead_of_datagrams_are_counted_and_nobody_waits_for_it() {
    let mut house = House::new();
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    house.port(UDP_ROOM).take();
    for error in [ErrorKind::ConnectionRefused, ErrorKind::OutOfMemory] {
        house.port(UDP_ROOM).fail_to_receive(error);
    }
    assert_eq!(house.send(UDP_ROOM, "127.0.0.1:7", "hi"), ["ann: hi"]);
    assert_eq!(house.server.counters().failed_receives, 2);

    // A port of which nothing else can be had rests between its tries, and is heard again.
    for _ in 0..100_000 {
        house
            .port(UDP_ROOM)
            .fail_to_receive(ErrorKind::PermissionDenied);
    }
    house
        .port(UDP_ROOM)
        .give(address("127.0.0.1:7"), b"at last");
    house.edge(UDP_ROOM);
    house.pass(Duration::from_secs(10));
    let failed = house.server.counters().failed_receives - 2;
    assert!((1_000..10_000).contains(&failed), "{failed} in ten seconds");
    let other = house.send(UDP_LOGIN, ANN, "C 1 LOGIN ann");
    assert_eq!(other, ["C 1 PASSWORD new"], "other ports do not rest");
    house.pass(Duration::from_secs(200));
    assert_eq!(
        house.port(UDP_ROOM).take_for(address("127.0.0.1:7")),
        ["ann: at last"]
    );
    assert_eq!(house.server.counters().failed_receives, 100_002);
    assert_eq!(house.server.next_deadline(), None);
}

#[test]
fn ten_thousand_guests_come_hear_and_go() {
    const GUESTS: usize = 10_000;
    let mut house = House::with(Limits {
        mailing_bytes: 256,
        ..Limits::default()
    });
    let at = |n: usize| -> SocketAddr {
        format!("127.0.{}.{}:5238", n / 250, 1 + n % 250)
            .parse()
            .unwrap()
    };
    // All at once: what each newcomer would be announced with to all the others is more than fits, and nothing is
    // looked for among ten thousand.
    let all_say = |house: &mut House, say: &dyn Fn(usize) -> String| {
        house.port(UDP_ROOM).make_room(0);
        for n in 0..GUESTS {
            house.port(UDP_ROOM).give(at(n), say(n).as_bytes());
        }
        house.edge(UDP_ROOM);
        for _ in 0..=GUESTS / BATCH + 1 {
            house.server.turn(house.now, TimeOfDay::MIDNIGHT);
        }
    };
    let drain = |house: &mut House| {
        house.port(UDP_ROOM).make_room(usize::MAX);
        house.edge(UDP_ROOM);
        while house.server.next_deadline() == Some(house.now) {
            house.server.turn(house.now, TimeOfDay::MIDNIGHT);
        }
        house.port(UDP_ROOM).take()
    };
    all_say(&mut house, &|n| format!("UN| n{n}"));
    assert_eq!(house.server.guests(), GUESTS);
    drain(&mut house);
    house.server.audit();

    house.port(UDP_ROOM).give(at(17), b"good evening");
    let heard = drain(&mut house);
    let (mut to, text): (Vec<SocketAddr>, Vec<Vec<u8>>) = heard.into_iter().unzip();
    assert!(text.iter().all(|text| text == b"n17: good evening"));
    to.sort_unstable();
    to.dedup();
    assert_eq!((text.len(), to.len()), (GUESTS, GUESTS));

    all_say(&mut house, &|_| "EX| bye".to_string());
    assert_eq!(house.server.guests(), 0);
    drain(&mut house);
    house.server.audit();
}

#[test]
fn r22_an_error_about_one_costs_the_others_nothing() {
    let mut house = House::new();
    for port in 7..10 {
        house.send(
            UDP_ROOM,
            &format!("127.0.0.1:{port}"),
            format!("UN| n{port}"),
        );
    }
    house.port(UDP_ROOM).take();
    for error in [
        ErrorKind::ConnectionRefused,
        ErrorKind::NetworkUnreachable,
        ErrorKind::OutOfMemory,
    ] {
        house.port(UDP_ROOM).fail(error);
        house.give(UDP_ROOM, "127.0.0.1:7", "hi");
        assert_eq!(house.port(UDP_ROOM).take().len(), 2);
    }
    assert_eq!(house.server.counters().failed_sends, 3);
    assert_eq!(house.names().len(), 3);
}

#[test]
fn r23_who_is_twice_said_not_to_be_there_is_let_go_unless_it_was_heard_since() {
    let mut house = House::new();
    house.send(UDP_ROOM, ANN, "UN| ann");
    house.send(UDP_ROOM, BOB, "UN| bob");
    let token = house.reserve(EVE, JOIN, "lobby", "eve").unwrap();
    house.give(UCRP, EVE, ucrp("lobby", &token, "__REGISTER__"));
    let tell = |house: &mut House| {
        house.port(UCRP).tell_unreachable(address(EVE));
        house.edge(UCRP);
        for nobody in [ANN, BOB, "192.0.2.9:9"] {
            house.port(UDP_ROOM).tell_unreachable(address(nobody));
        }
        house.edge(UDP_ROOM);
        house.turn();
    };
    // What is told in the very moment that they are heard is not about them any more.
    house.pass(Duration::from_millis(1));
    // Once, or twice at once, is not enough: it can be forged.
    tell(&mut house);
    tell(&mut house);
    assert_eq!(house.names(), ["ann", "bob", "eve"]);
    house.pass(Duration::from_secs(1));
    house.give(UDP_ROOM, BOB, "I am here");
    house.pass(Duration::from_secs(1));
    tell(&mut house);
    assert_eq!(house.names(), ["bob"]);
    assert_eq!(house.server.counters().unreachable, 2);
}

#[test]
fn r36_a_flood_of_forged_icmp_has_its_share_of_a_turn() {
    let mut house = House::new();
    house.send(UDP_ROOM, BOB, "UN| bob");
    // Most of it tells of something else, which costs as much and hides nobody behind it.
    for _ in 0..100 {
        house.port(UDP_ROOM).tell_unreachable(address(BOB));
        house.port(UDP_ROOM).tell_unreachable(address(EVE));
        (0..100).for_each(|_| house.port(UDP_ROOM).tell(Told::Other));
    }
    let before = house.port(UDP_ROOM).untold();
    let replies = house.send(UDP_ROOM, BOB, "I am here");
    assert_eq!(replies, ["bob: I am here"]);
    assert_eq!(before - house.port(UDP_ROOM).untold(), 64);
    // The rest has its turns at once, and whoever was heard stays.
    assert_eq!(house.server.next_deadline(), Some(house.now));
    house.pass(Duration::ZERO);
    assert_eq!(house.port(UDP_ROOM).untold(), 0);
    assert_eq!(house.names(), ["bob"]);
}

#[test]
fn a_guest_whose_registration_is_on_its_way_is_not_let_go() {
    let mut house = House::new();
    house.give(UDP_LOGIN, ANN, "C 1 PASS ann some password");
    for _ in 0..3 {
        house.port(UDP_LOGIN).tell_unreachable(address(ANN));
        house.edge(UDP_LOGIN);
        house.pass(Duration::from_secs(3));
    }
    assert_eq!(house.send(UDP_ROOM, BOB, "UN| ann"), ["[ann is taken]"]);
    house.work();
    assert_eq!(house.names(), ["ann"]);
}

#[test]
fn servers_do_not_talk_with_each_other_for_ever() {
    let mut house = House::new();
    // In the name of another server, which answers what it does not know.
    house.send(UDP_ROOM, EVE, "UN| eve");
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    house.give(UDP_ROOM, "127.0.0.1:7", "hi");
    house.port(UDP_ROOM).take();
    let answers = house.send(UDP_ROOM, EVE, "[join first: UN| name]");
    assert!(answers.is_empty());
    assert_eq!(house.names(), ["ann"]);
    // In our own.
    for port in 0..5 {
        let own = format!("198.51.100.1:{}", 7000 + u16::from(port));
        house.give(port, &own, "UN| me, myself");
        house.give(port, &own, "C 1 LOGIN me");
        assert!(house.port(port).take_for(address(&own)).is_empty());
    }
    assert_eq!(house.names(), ["ann"]);
}

#[test]
fn r36_a_network_sends_so_many_datagrams_and_the_others_as_many_as_before() {
    let mut house = House::new();
    house.send(UDP_ROOM, BOB, "UN| bob");
    for n in 0..2000 {
        let bytes = if n % 2 == 0 { "UN| eve" } else { "EX|" };
        house.give(UDP_ROOM, EVE, bytes);
    }
    assert_eq!(house.server.counters().floods, 1000);
    let before = house.server.counters().messages;
    house.give(UDP_ROOM, BOB, "not disturbed");
    assert_eq!(house.server.counters().messages, before + 1);
    for _ in 0..3000 {
        house.give(UDP_ROOM, "127.0.0.1:7", "never on loopback");
    }
    assert_eq!(house.server.counters().floods, 1000);
}

#[test]
fn the_holder_of_a_name_is_told_now_and_then_that_it_is_asked_for() {
    let mut house = House::new();
    house.send(UDP_ROOM, ANN, "UN| ann");
    for _ in 0..100 {
        house.give(UDP_ROOM, EVE, "UN|ann");
    }
    let told = house.port(UDP_ROOM).take_for(address(ANN));
    assert_eq!(told, ["[somebody asks for your name]"]);
    assert!(house.reserve(BOB, JOIN, "lobby", "Ann").is_none());
    house.pass(Duration::from_secs(10));
    assert!(house.reserve(BOB, JOIN, "lobby", "Ann").is_none());
    let told = house.port(UDP_ROOM).take_for(address(ANN));
    assert_eq!(told, ["[somebody asks for your name]"]);
}

#[test]
fn a_forged_name_is_counted_and_not_obeyed() {
    let mut house = House::new();
    house.send(UDP_ROOM, ANN, "UN| ann");
    house.send(UDP_ROOM, BOB, "UN| bob");
    house.port(UDP_ROOM).take();
    let table = [
        ("PM| ann: hi", "ann: hi", 0),
        ("PM| ANN: hi", "ann: hi", 0),
        ("PM| bob: hi", "ann: hi", 1),
        ("hi", "ann: hi", 1),
        ("DM| ann> bob: psst", "[DM] ann: psst", 1),
        ("DM| bob> bob: psst", "[DM] ann: psst", 2),
        ("DM| bob: psst", "[DM] ann: psst", 2),
    ];
    for (datagram, heard, forged) in table {
        house.give(UDP_ROOM, ANN, datagram);
        assert_eq!(house.port(UDP_ROOM).take_for(address(BOB)), [heard]);
        let counters = house.server.counters();
        assert_eq!(counters.forged, forged, "{datagram:?}");
    }
}

#[test]
fn r38_who_speaks_too_fast_is_told_where_the_protocol_has_a_way() {
    let mut house = House::new();
    let sid = house.login(ANN, "ann");
    house.send(UDP_ROOM, BOB, "UN| bob");
    for n in 0..50 {
        house.give(UDP_LOGIN, ANN, format!("C {} PM {sid}", 2 * n + 2));
        house.give(UDP_LOGIN, ANN, format!("D {} {sid} hi", 2 * n + 3));
        house.give(UDP_ROOM, BOB, "hi");
    }
    house.port(UDP_LOGIN).take();
    house.port(UDP_ROOM).take();
    house.give(UDP_LOGIN, ANN, format!("C 200 PM {sid}"));
    let told = house.send(UDP_LOGIN, ANN, format!("D 201 {sid} hi"));
    assert_eq!(told, ["C 200 READY", "C 201 ERROR too fast, not said"]);
    let told = house.send(UDP_ROOM, BOB, "hi");
    assert_eq!(told, ["[too fast, not said]"]);
}

#[test]
fn what_nobody_may_be_sent_takes_its_share_of_a_turn() {
    let mut house = House::with(Limits {
        max_per_address: 1000,
        unproven_members: 500,
        ..Limits::default()
    });
    for n in 0..500 {
        house.send(
            UDP_ROOM,
            &format!("192.0.2.1:{}", 1000 + n),
            format!("UN| n{n}"),
        );
    }
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| talker");
    // The network's pace is used up; then thirty lines come at once.
    for _ in 0..100 {
        house.give(UDP_ROOM, "127.0.0.1:7", "x".repeat(900));
    }
    house.pass(Duration::ZERO);
    for _ in 0..30 {
        house
            .port(UDP_ROOM)
            .give(address("127.0.0.1:7"), b"one more line of many");
    }
    house.edge(UDP_ROOM);
    let before = house.server.counters().withheld;
    house.turn();
    let in_one_turn = house.server.counters().withheld - before;
    assert!((1..=4096).contains(&in_one_turn), "{in_one_turn}");
    assert_eq!(
        house.server.next_deadline(),
        Some(house.now),
        "the rest is due at once"
    );
    house.pass(Duration::ZERO);
    assert!(house.server.counters().withheld - before > 14_000);
}

#[test]
fn an_account_keeps_its_name_and_a_held_name_cannot_be_registered() {
    let mut house = House::new();
    house.login(ANN, "Ann");
    assert_eq!(house.send(UDP_ROOM, BOB, "UN| aNN"), ["[aNN is taken]"]);
    house.pass(Duration::from_secs(5 * 60 + 1));
    assert!(house.names().is_empty());
    assert_eq!(house.send(UDP_ROOM, BOB, "UN| aNN"), ["[aNN is taken]"]);

    house.send(UDP_ROOM, BOB, "UN| bob");
    house.give(UDP_LOGIN, EVE, "C 1 PASS bob some password");
    house.work();
    let denied = house.port(UDP_LOGIN).take_for(address(EVE));
    assert_eq!(denied, ["C 1 DENIED wrong name or password"]);
    // While a registration is with the helper its name is nobody else's.
    house.give(UDP_LOGIN, EVE, "C 2 PASS carol some password");
    assert_eq!(house.send(UDP_ROOM, ANN, "UN| Carol"), ["[Carol is taken]"]);
    house.work();
    let welcome = house.port(UDP_LOGIN).take_for(address(EVE));
    assert!(welcome[0].starts_with("C 2 WELCOME "), "{welcome:?}");
}

#[test]
fn a_program_started_again_at_the_same_port_is_answered() {
    let mut house = House::new();
    let sid = house.login(ANN, "ann");
    let ping = format!("C 9 PING {sid}");
    assert_eq!(house.send(UDP_LOGIN, ANN, &ping), ["C 9 PONG"]);
    let existing = ["C 1 PASSWORD existing"];
    assert_eq!(house.send(UDP_LOGIN, ANN, "C 1 LOGIN ann"), existing);
    let denied = ["C 2 DENIED wrong name or password"];
    assert_eq!(house.send(UDP_LOGIN, ANN, "C 2 PASS ann secret"), denied);
    // The session is as it was.
    assert_eq!(house.send(UDP_LOGIN, ANN, &ping), ["C 9 PONG"]);
    house.send(UDP_LOGIN, ANN, format!("C 10 EX {sid}"));
    // Wrong, and then by a program that counts from 1 again.
    assert!(house.send(UDP_LOGIN, ANN, "C 6 PASS ann wrong").is_empty());
    house.work();
    let denied = ["C 6 DENIED wrong name or password"];
    assert_eq!(house.port(UDP_LOGIN).take_for(address(ANN)), denied);
    assert_eq!(house.send(UDP_LOGIN, ANN, "C 1 LOGIN ann"), existing);
    let again = house.login(ANN, "ann");
    assert_ne!(again, sid);
}

#[test]
fn r24_a_registration_that_the_disk_refuses_is_none() {
    let mut house = House::new();
    let path = house.account_file();
    house.break_disk();
    house.give(UDP_LOGIN, ANN, "C 1 PASS ann some password");
    house.work();
    let refused = house.port(UDP_LOGIN).take_for(address(ANN));
    assert_eq!(refused, ["C 1 DENIED not saved, try later"]);
    assert_eq!(house.server.counters().refused_not_saved, 1);
    assert!(house.names().is_empty());
    std::fs::remove_dir_all(&path).unwrap();
    house.give(UDP_LOGIN, ANN, "C 2 PASS ann some password");
    house.work();
    assert_eq!(house.names(), ["ann"]);
    assert_eq!(store::load(&path).unwrap().accounts.len(), 1);
}

#[test]
fn a_request_that_is_repeated_is_executed_once() {
    let mut house = House::new();
    for _ in 0..3 {
        house.give(UDP_LOGIN, ANN, "C 1 PASS ann some password");
    }
    house.work();
    let welcome = house.port(UDP_LOGIN).take_for(address(ANN));
    assert_eq!(welcome.len(), 1, "{welcome:?}");
    assert_eq!(
        house.send(UDP_LOGIN, ANN, "C 1 PASS ann some password"),
        welcome
    );
    assert_eq!(house.server.counters().registered, 1);

    house.give(UDP_LOGIN, EVE, "C 1 PASS ann wrong password");
    house.work();
    let denied = house.port(UDP_LOGIN).take_for(address(EVE));
    assert_eq!(denied, ["C 1 DENIED wrong name or password"]);
    assert_eq!(
        house.send(UDP_LOGIN, EVE, "C 1 PASS ann wrong password"),
        denied
    );
    assert!(house.server.next_job().is_none(), "nothing is hashed again");
    house.pass(Duration::from_secs(11));
    assert_eq!(house.server.guests(), 1, "who was denied is forgotten");
}

#[test]
fn a_failure_of_ours_is_an_answer_too_and_repeated() {
    let mut house = House::new();
    house.break_disk();
    let pass = "C 1 PASS ann some password";
    house.give(UDP_LOGIN, ANN, pass);
    house.work();
    let not_saved = ["C 1 DENIED not saved, try later"];
    assert_eq!(house.port(UDP_LOGIN).take_for(address(ANN)), not_saved);
    assert_eq!(house.send(UDP_LOGIN, ANN, pass), not_saved);
    assert!(house.server.next_job().is_none(), "nothing is hashed again");
    house.pass(Duration::from_secs(11));
    assert_eq!(house.server.guests(), 0);

    // What was refused before anything was done leaves nothing behind.
    for n in 1..=100 {
        let from = format!("198.51.100.{n}:1");
        house.give(UDP_LOGIN, &from, format!("C 1 PASS n{n} some password"));
    }
    let waiting = house.server.guests();
    assert!((50..100).contains(&waiting), "{waiting}");
    let busy = house.send(UDP_LOGIN, BOB, "C 1 PASS bob some password");
    assert_eq!(busy, ["C 1 DENIED busy, try again"]);
    assert_eq!(house.server.guests(), waiting);
}

#[test]
fn a_failure_of_ours_is_not_a_wrong_password() {
    let mut house = House::new();
    let path = house.account_file();
    house.break_disk();
    let busy = ["C 1 DENIED busy, try again"];
    for n in 0..30 {
        let from = format!("192.0.2.1:{}", 1000 + n);
        house.give(UDP_LOGIN, &from, "C 1 PASS ann some password");
        // The disk refuses it, or there is no memory to hash it.
        let answer = match n % 2 {
            0 => {
                house.work();
                ["C 1 DENIED not saved, try later"]
            }
            _ => {
                house.fail_to_hash();
                busy
            }
        };
        assert_eq!(
            house.port(UDP_LOGIN).take_for(address(&from)),
            answer,
            "{n}"
        );
        house.pass(Duration::from_secs(11));
    }
    std::fs::remove_dir_all(&path).unwrap();
    house.login(ANN, "ann");
    house.pass(Duration::from_secs(5 * 60 + 1));
    for n in 0..30 {
        let from = format!("192.0.2.{}:1", 101 + n);
        house.give(UDP_LOGIN, &from, "C 1 PASS ann a long enough password");
        house.fail_to_hash();
        assert_eq!(house.port(UDP_LOGIN).take_for(address(&from)), busy, "{n}");
    }
}

/// One that starts with a file of the plain form.
fn plain_house(text: &str) -> House {
    House::keeping(Limits::default(), |settings| {
        let old = settings.path.with_extension("old");
        std::fs::write(&old, text).unwrap();
        settings.accounts = store::load(&old).unwrap().accounts;
    })
}

#[test]
fn a_plain_entry_that_cannot_be_hashed_is_hashed_later() {
    let mut house = plain_house(r#"{"ann": "first", "bob": "second", "eve": "third"}"#);
    let path = house.account_file();
    let Some(Job::Hash { ticket, .. }) = house.server.next_job() else {
        panic!("the first is to be hashed");
    };
    let error = HashError;
    let done = Done::NotHashed { ticket, error };
    house.server.handle_done(done, house.now);
    // The others are, and the waiting costs nobody anything but that it is too early to register.
    for n in 0..10 {
        let from = format!("192.0.2.1:{}", 1000 + n);
        let busy = house.send(UDP_LOGIN, &from, "C 1 PASS new some password");
        assert_eq!(busy, ["C 1 DENIED busy, try again"]);
    }
    house.work();
    let busy = house.send(UDP_LOGIN, BOB, "C 1 PASS new some password");
    assert_eq!(busy, ["C 1 DENIED busy, try again"]);
    assert!(house.server.next_job().is_none() && !path.exists());
    // Again there is no memory, and then there is.
    house.pass(Duration::from_secs(31));
    house.fail_to_hash();
    assert!(house.server.next_job().is_none());
    house.pass(Duration::from_secs(31));
    house.work();
    let loaded = store::load(&path).unwrap();
    assert_eq!(
        (loaded.accounts.len(), loaded.accounts.plain_left()),
        (3, 0)
    );
    house.login(ANN, "new");
    house.pass(Duration::from_secs(60));
    assert!(house.server.next_job().is_none(), "there is no more to do");
}

#[test]
fn r26_a_save_that_failed_is_tried_again() {
    let mut house = plain_house(r#"{"ann": "a long enough password"}"#);
    let path = house.account_file();
    house.break_disk();
    house.work();
    for _ in 0..3 {
        assert!(house.server.next_job().is_none(), "not at once");
        house.pass(Duration::from_secs(31));
        house.work();
    }
    house.login(ANN, "ann");
    std::fs::remove_dir_all(&path).unwrap();
    house.pass(Duration::from_secs(31));
    house.work();
    let loaded = store::load(&path).unwrap();
    assert_eq!(
        (loaded.accounts.len(), loaded.accounts.plain_left()),
        (1, 0)
    );
    house.pass(Duration::from_secs(60));
    assert!(house.server.next_job().is_none(), "the disk has it");
}

#[test]
fn a_hash_that_comes_while_others_are_saved_is_saved_too() {
    let mut house = plain_house(r#"{"ann": "a long enough password", "bob": "second"}"#);
    // Both are asked of the helper: the entry, and the login that is faster with it.
    house.give(UDP_LOGIN, ANN, "C 1 PASS ann a long enough password");
    house.give(UDP_LOGIN, BOB, "C 1 PASS bob second");
    house.work();
    assert_eq!(house.names().len(), 2);
    let path = house.account_file();
    let loaded = store::load(&path).unwrap();
    assert_eq!(
        (loaded.accounts.len(), loaded.accounts.plain_left()),
        (2, 0)
    );
    assert!(house.server.next_job().is_none());
}

#[test]
fn r17_who_guesses_does_not_learn_of_a_right_password_by_the_waits() {
    let mut house = House::new();
    house.login(ANN, "ann");
    for n in 1..=5 {
        let from = format!("192.0.2.{}:1", 100 + n);
        house.give(UDP_LOGIN, &from, "C 1 PASS ann a long enough password");
        house.work();
        let denied = house.port(UDP_LOGIN).take_for(address(&from));
        assert_eq!(denied, ["C 1 DENIED wrong name or password"], "it is in");
    }
    let denied = house.send(UDP_LOGIN, EVE, "C 1 PASS ann wrong");
    assert_eq!(denied, ["C 1 DENIED try again in 1 s"]);
}

/// What has to be done before somebody is told no: kind and cost of each job.
fn work_for(house: &mut House, from: &str, pass: &str) -> Vec<(&'static str, HashCost)> {
    house.give(UDP_LOGIN, from, pass);
    let mut work = Vec::new();
    while let Some(job) = house.server.next_job() {
        work.push(match &job {
            Job::Verify {
                known: Known::Hashed(phc),
                ..
            } => ("verify", phc.cost()),
            Job::Hash { cost, .. } => ("hash", *cost),
            other => panic!("{other:?}"),
        });
        house.server.handle_done(job.run(), house.now);
    }
    house.turn();
    let denied = house.port(UDP_LOGIN).take_for(address(from));
    assert_eq!(denied, ["C 1 DENIED wrong name or password"], "{pass}");
    work
}

#[test]
fn r17_whatever_the_reason_for_a_no_it_takes_the_same_work() {
    let one = [("verify", CHEAP)];
    let mut house = House::new();
    house.login("192.0.2.3:1", "away");
    house.pass(Duration::from_secs(4 * 60));
    house.login(ANN, "ann");
    house.pass(Duration::from_secs(2 * 60));
    house.send(UDP_ROOM, BOB, "UN| bob");
    assert_eq!(house.names(), ["ann", "bob"]);
    for (n, pass) in [
        "C 1 PASS ann a long enough password",
        "C 1 PASS ann wrong",
        "C 1 PASS away wrong",
        "C 1 PASS bob whatever",
    ]
    .into_iter()
    .enumerate()
    {
        let from = format!("198.51.100.{n}:1");
        assert_eq!(work_for(&mut house, &from, pass), one, "{pass}");
    }
    let mut house = House::keeping(Limits::default(), |settings| settings.open = false);
    assert_eq!(work_for(&mut house, EVE, "C 1 PASS new whatever"), one);
}

#[test]
fn r16_wrong_passwords_are_slowed_down() {
    let mut house = House::new();
    house.login(ANN, "ann");
    for n in 1..=5 {
        let from = format!("192.0.2.{}:1", 100 + n);
        house.give(UDP_LOGIN, &from, "C 1 PASS ann wrong");
        house.work();
        let denied = house.port(UDP_LOGIN).take_for(address(&from));
        assert_eq!(denied, ["C 1 DENIED wrong name or password"]);
    }
    house.give(UDP_LOGIN, EVE, "C 1 PASS ann wrong");
    assert!(house.server.next_job().is_none());
    let denied = house.port(UDP_LOGIN).take_for(address(EVE));
    assert_eq!(denied, ["C 1 DENIED try again in 1 s"]);
}

#[test]
fn who_waits_for_a_verdict_when_the_server_stops_is_told() {
    let mut house = House::new();
    house.login(ANN, "ann");
    house.give(UDP_LOGIN, BOB, "C 1 PASS bob some password");
    house.give(UDP_LOGIN, EVE, "C 1 PASS ann wrong");
    house.server.stop(house.now);
    house.turn();
    assert!(house.server.has_jobs_under_way());
    house.work();
    assert!(!house.server.has_jobs_under_way() && house.server.is_empty());
    let welcome = house.port(UDP_LOGIN).take_for(address(BOB));
    assert!(welcome[0].starts_with("C 1 WELCOME "), "{welcome:?}");
    let denied = house.port(UDP_LOGIN).take_for(address(EVE));
    assert_eq!(denied, ["C 1 DENIED wrong name or password"]);
    let path = house.account_file();
    assert_eq!(store::load(&path).unwrap().accounts.len(), 2);
}

#[test]
fn the_gateway_is_one_more_peer() {
    let mut house = House::new();
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    house.give(UDP_ROOM, "127.0.0.1:7", "hi mesh");
    let sent = house.ports[4].take();
    let said = mesh::Frame::Say {
        username: "ann",
        text: "hi mesh",
    };
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, address(MESH_BROADCAST));
    assert_eq!(mesh::decode(&sent[0].1), Ok(said));

    // It comes back, and is not said again; nor is it broadcast again.
    house.port(UDP_ROOM).take();
    house.give(MESH, "192.0.2.254:5238", &sent[0].1);
    assert!(house.port(UDP_ROOM).take().is_empty());
    assert_eq!(house.server.counters().mesh_echoes, 1);

    let ask = |house: &mut House, from: &str, name: &str| {
        let mut join = Vec::new();
        mesh::encode_join(name, &mut join);
        house.give(MESH, from, &join);
        let sent = house.ports[4].take();
        sent.into_iter()
            .map(|(to, bytes)| {
                let frame = mesh::decode(&bytes).unwrap();
                (to, format!("{frame:?}"))
            })
            .collect::<Vec<_>>()
    };
    let answer = ask(&mut house, "192.0.2.30:9", "Ann");
    assert_eq!(
        answer,
        [(address("192.0.2.30:5238"), "NameTaken".to_string())]
    );
    assert!(
        ask(&mut house, "192.0.2.30:9", "mia").is_empty(),
        "asked twice in a second"
    );
    house.pass(Duration::from_secs(1));
    let answer = ask(&mut house, "192.0.2.30:9", "mia");
    assert!(
        answer[0].1.contains("> 00:00:00 ann: hi mesh"),
        "{answer:?}"
    );
    assert!(answer[0].1.contains("mynah"), "{answer:?}");

    // What a peer says is said in the lobby, under its name, which is held from then on.
    let say = |house: &mut House, from: &str, name: &str, text: &str| {
        mesh::encode_say(name, text, |datagram| {
            house.ports[4].give(address(from), datagram)
        });
        house.edge(MESH);
        house.turn();
    };
    say(&mut house, "192.0.2.30:5238", "mia", "hello");
    let heard = house.port(UDP_ROOM).take_for(address("127.0.0.1:7"));
    assert_eq!(heard, ["[mia joined the server]", "mia: hello"]);
    assert!(house.ports[4].take().is_empty(), "the mesh has heard it");
    say(&mut house, "192.0.2.31:5238", "MIA", "forged");
    say(&mut house, "192.0.2.31:5238", "ann", "forged");
    assert!(house.port(UDP_ROOM).take().is_empty());
    let replies = house.send(UDP_ROOM, "127.0.0.1:7", "DM| ann> mia: psst");
    assert_eq!(
        replies,
        ["[mia is not online]"],
        "the mesh has no way to tell one alone"
    );
    // On this machine, too: peers of a mesh never say that they go.
    say(&mut house, "127.0.0.1:5238", "ole", "hello");
    assert_eq!(house.names(), ["ann", "mia", "ole"]);
    house.pass(Duration::from_secs(15 * 60));
    assert_eq!(house.names(), ["ann"]);
}

#[test]
fn the_lobby_of_another_gateway_comes_from_one_address() {
    let mut house = House::with(Limits {
        mesh_names_per_address: 40,
        ..Limits::default()
    });
    let say = |house: &mut House, from: &str, name: &str| {
        mesh::encode_say(name, "hi", |datagram| {
            house.ports[4].give(address(from), datagram)
        });
        house.edge(MESH);
        house.turn();
    };
    let gateway = "192.0.2.1:5238";
    for n in 0..42 {
        say(&mut house, gateway, &format!("theirs{n}"));
    }
    assert_eq!(house.names().len(), 40);
    assert_eq!(house.server.counters().turned_away, 2);
    say(&mut house, gateway, "theirs0");
    assert_eq!(house.server.counters().messages, 41);
    say(&mut house, "192.0.2.30:5238", "mia");
    assert_eq!(house.names().len(), 41, "elsewhere nobody was turned away");

    // The same machine has members of other kinds, as many as any.
    for n in 0..17 {
        let from = format!("192.0.2.1:{}", 1000 + n);
        house.send(UDP_ROOM, &from, format!("UN| ours{n}"));
    }
    assert_eq!(house.names().len(), 41 + 16);
    assert_eq!(house.server.counters().turned_away, 3);

    // The names of those who are heard of no more are others' again, and so are their places.
    house.pass(Duration::from_secs(15 * 60));
    assert!(house.names().is_empty());
    for n in 0..42 {
        say(&mut house, gateway, &format!("new{n}"));
    }
    assert_eq!(house.names().len(), 40);
}

#[test]
fn a_gateway_hears_peers_that_share_its_port() {
    let mut house = House::new();
    house.send(UDP_ROOM, "127.0.0.1:7", "UN| ann");
    // Another program at the gateway's own address, as SO_REUSEADDR lets it.
    let own = address(&format!("198.51.100.1:{}", 7000 + u16::from(MESH)));
    mesh::encode_say("mia", "hello", |datagram| {
        house.ports[4].give(own, datagram)
    });
    house.edge(MESH);
    house.turn();
    let heard = house.port(UDP_ROOM).take_for(address("127.0.0.1:7"));
    assert_eq!(heard, ["[mia joined the server]", "mia: hello"]);
    // Its own words come back from there as well, and are not said again.
    house.give(UDP_ROOM, "127.0.0.1:7", "hi mesh");
    let sent = house.ports[4].take();
    house.port(UDP_ROOM).take();
    house.ports[4].give(own, &sent[0].1);
    house.edge(MESH);
    house.turn();
    assert!(house.port(UDP_ROOM).take().is_empty());
}

#[test]
fn junk_on_every_port_is_counted_and_nothing_else() {
    let mut house = House::new();
    let junk: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0xff; 100],
        vec![b'x'; 4096],
        vec![b'x'; 5000],
        b"C 99999999999999999999 LOGIN x".to_vec(),
        b"cos\nsystem\n(S'true'\ntR.".to_vec(),
        vec![64, 64],
    ];
    for port in 0..5 {
        for datagram in &junk {
            house.give(port, EVE, datagram);
        }
    }
    let counters = *house.server.counters();
    assert_eq!(counters.datagrams, 40);
    assert!(counters.dropped >= 30, "{counters}");
    assert_eq!((house.server.guests(), house.names().len()), (0, 0));
}
