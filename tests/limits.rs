//! The server's limits, each reached on purpose: streams in memory, a clock that the test holds.

#[path = "support/memory_house.rs"]
mod memory_house;

use memory_house::frames;
use memory_house::{ANN, BOB, Eager, House, Peer, SECOND, UDP_ROOM};
use mynah::chat::{LOBBY, TimeOfDay};
use mynah::protocol::registry::Protocol::TcpRoom;
use mynah::server::Limits;

fn come(house: &mut House, from: &str) -> Option<Peer> {
    house.come(TcpRoom, from)
}

fn join(house: &mut House, from: &str, name: &str) -> Peer {
    house.join(TcpRoom, from, name)
}

fn members(house: &House) -> usize {
    house.server.hub(TcpRoom).unwrap().count(LOBBY)
}

fn say(text: &str) -> Vec<u8> {
    frames::say(TcpRoom, "x", text)
}

#[test]
fn r35_an_address_has_so_many_connections_and_loopback_any_number() {
    let mut house = House::of_streams();
    let limit = Limits::default().max_per_address;
    let mut inside = Vec::new();
    for port in 0..limit {
        inside.push(come(&mut house, &format!("192.0.2.1:{port}")).unwrap());
    }
    assert!(come(&mut house, "192.0.2.1:998").is_none());
    assert!(come(&mut house, "192.0.2.1:999").is_none());
    assert!(come(&mut house, "192.0.2.2:999").is_some());
    assert!((0..100).all(|_| come(&mut house, "127.0.0.1:5").is_some()));
    assert_eq!(house.server.counters().turned_away, 2);
    // Who goes makes room.
    let peer = inside.pop().unwrap();
    house.end(&peer);
    house.turn();
    assert!(come(&mut house, "192.0.2.1:999").is_some());
}

#[test]
fn r34_an_address_counts_as_one_in_either_form_and_a_network_of_ipv6_as_one_address() {
    let mut house = House::of_streams();
    let limit = Limits::default().max_per_address;
    for n in 0..limit {
        let four = ["192.0.2.1", "[::ffff:192.0.2.1]", "[::ffff:c000:201]"][n % 3];
        come(&mut house, &format!("{four}:{n}")).unwrap();
        come(&mut house, &format!("[2001:db8::{n}]:1")).unwrap();
    }
    for full in ["192.0.2.1", "[::ffff:192.0.2.1]", "[2001:db8::ffff:0:0:1]"] {
        assert!(come(&mut house, &format!("{full}:999")).is_none(), "{full}");
    }
    // Those of this machine are not counted, in whatever form.
    for local in ["127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"] {
        assert!((0..100).all(|_| come(&mut house, &format!("{local}:5")).is_some()));
    }
    assert!(come(&mut house, "[2001:db8:0:1::1]:1").is_some());
    assert_eq!(house.server.counters().turned_away, 3);
}

#[test]
fn r35_who_is_turned_away_is_told() {
    let mut house = House::of_streams();
    for port in 0..Limits::default().max_per_address {
        come(&mut house, &format!("192.0.2.1:{port}"));
    }
    let stream = Eager::default();
    let peer = "192.0.2.1:9".parse().unwrap();
    let key = house
        .server
        .accept(stream.clone(), peer, TcpRoom, house.now);
    assert!(key.is_none());
    assert_eq!(stream.first(), Some(0));
}

#[test]
fn r38_a_member_outside_loopback_speaks_at_its_rate() {
    let mut house = House::of_streams();
    let far = join(&mut house, "192.0.2.1:1", "far");
    let near = join(&mut house, "127.0.0.1:1", "near");
    let burst: Vec<u8> = (0..80).flat_map(|n| say(&n.to_string())).collect();
    house.say(&far, &burst);
    assert_eq!(house.server.counters().messages, 50);
    assert_eq!(house.server.counters().over_rate, 30);
    house.pass(SECOND);
    house.say(&far, &burst);
    assert_eq!(house.server.counters().messages, 70);
    house.say(&near, &burst);
    assert_eq!(
        house.server.counters().messages,
        150,
        "this machine's own are not limited"
    );
}

#[test]
fn a_name_that_is_not_the_speakers_is_counted_and_not_obeyed() {
    let mut house = House::of_streams();
    let ann = join(&mut house, "192.0.2.1:1", "ann");
    let hearer = join(&mut house, "192.0.2.2:1", "bob");
    for (claimed, forged) in [("ann", 0), ("Ann", 0), ("bob", 1), ("", 2)] {
        hearer.stream.keep();
        house.say(&ann, &frames::say(TcpRoom, claimed, "hi"));
        assert_eq!(hearer.stream.received(), frames::said_by("ann", "hi"));
        assert_eq!(house.server.counters().forged, forged, "{claimed:?}");
    }
}

#[test]
fn r43_names_are_compared_for_those_who_may_speak_alone() {
    let mut house = House::of_streams();
    let ann = join(&mut house, "192.0.2.1:1", "ann");
    let claim = frames::say(TcpRoom, &"\u{fdfa}".repeat(85), "hi");
    house.say(&ann, &claim.repeat(80));
    let counters = house.server.counters();
    assert_eq!((counters.forged, counters.over_rate), (50, 30));
    let mut house = House::new();
    house.send(UDP_ROOM, ANN, "UN| ann");
    house.send(UDP_ROOM, BOB, "UN| bob");
    for n in 0..80 {
        let claim = ["PM| eve: hi", "DM| eve> bob: hi"][n % 2];
        house.give(UDP_ROOM, ANN, claim);
    }
    let counters = house.server.counters();
    assert_eq!((counters.forged, counters.over_rate), (50, 30));
}

#[test]
fn r04_people_have_a_minute_to_type_their_name_and_frames_twenty_seconds() {
    let mut house = House::of_streams();
    let silent = come(&mut house, "127.0.0.1:1").unwrap();
    let typing = come(&mut house, "127.0.0.1:2").unwrap();
    let late = come(&mut house, "127.0.0.1:3").unwrap();
    // 471 alone, as the programs send it before they ask for a name.
    house.say(&typing, &[0xd7, 1, 0, 0]);
    house.pass(35 * SECOND);
    assert!(!typing.stream.is_closed());
    house.say(&typing, &[3, 0, 0, 0, b'a']);
    house.pass(19 * SECOND);
    house.say(&typing, b"n");
    assert!(!typing.stream.is_closed());
    house.pass(2 * SECOND);
    assert!(
        typing.stream.is_closed(),
        "a byte now and then buys no time"
    );
    house.pass(3 * SECOND);
    assert!(!silent.stream.is_closed() && !late.stream.is_closed());
    // Nor does the beginning of a frame.
    house.say(&late, &[0xd7, 1, 0, 0]);
    house.say(&late, &[3]);
    house.pass(2 * SECOND);
    assert!(silent.stream.is_closed() && late.stream.is_closed());
    assert_eq!(house.server.counters().timed_out, 3);
    house.pass(5 * SECOND);
    assert!(house.server.is_empty());
}

#[test]
fn r04_an_idle_member_stays_for_ever_and_one_that_begins_a_frame_does_not() {
    let mut house = House::of_streams();
    let alice = join(&mut house, "127.0.0.1:1", "alice");
    house.pass(86_400 * SECOND);
    assert!(!alice.stream.is_closed());
    assert_eq!(members(&house), 1);
    house.say(&alice, &say("hi")[..20]);
    house.pass(19 * SECOND);
    house.say(&alice, &say("hi")[20..]);
    house.pass(60 * SECOND);
    assert!(!alice.stream.is_closed(), "it was finished in time");
    house.say(&alice, &say("hi")[..20]);
    house.pass(21 * SECOND);
    assert!(alice.stream.is_closed());
    assert_eq!(members(&house), 0, "and the name is free");
}

#[test]
fn r29_the_wall_clock_is_shown_and_nothing_goes_by_it() {
    let run = |walls: &[TimeOfDay]| {
        let mut house = House::of_streams();
        let silent = come(&mut house, "127.0.0.1:1").unwrap();
        let peer = join(&mut house, "127.0.0.1:2", "ann");
        peer.stream.keep();
        // Without a time of their own, so that the server's is shown.
        let text = [&say("hi")[..8], &[0; 4], &say("hi")[20..]].concat();
        let mut ends = Vec::new();
        for step in 0..70 {
            house.wall = walls[step % walls.len()];
            house.say(&peer, &text);
            house.pass(SECOND);
            ends.push((silent.stream.is_closed(), peer.stream.is_closed()));
        }
        assert!(house.server.stream_mut(silent.key).is_none());
        (ends, *house.server.counters(), peer.stream.received())
    };
    let noon = TimeOfDay::new(12, 0, 0).unwrap();
    let late = TimeOfDay::new(23, 59, 59).unwrap();
    let steady = run(&[TimeOfDay::MIDNIGHT]);
    let jumping = run(&[noon, TimeOfDay::MIDNIGHT, late, noon]);
    assert_eq!(steady.0, jumping.0);
    assert_eq!(steady.1, jumping.1);
    assert_eq!(steady.1.timed_out_first_words, 1);
    assert_ne!(steady.2, jumping.2, "other times are shown");
    assert_eq!(steady.2.len(), jumping.2.len());
}

#[test]
fn r42_an_event_for_who_is_gone_does_not_reach_the_next_in_its_slot() {
    let mut house = House::of_streams();
    let old = join(&mut house, "127.0.0.1:1", "old");
    house.end(&old);
    house.turn();
    let new = join(&mut house, "127.0.0.1:2", "new");
    assert_eq!(old.key.index(), new.key.index(), "the slot is used again");
    new.stream.give(&say("hi"));
    house.wake(&old);
    house.turn();
    assert_eq!(house.server.counters().messages, 0);
    house.wake(&new);
    house.turn();
    assert_eq!(house.server.counters().messages, 1);
}

#[test]
fn r38_a_room_is_full_when_it_is_full() {
    let mut limits = Limits::default();
    limits.hub.members_per_room = 2;
    let mut house = House::with(limits);
    join(&mut house, "127.0.0.1:1", "a");
    join(&mut house, "127.0.0.1:1", "b");
    let third = join(&mut house, "127.0.0.1:1", "c");
    assert_eq!(third.stream.first(), Some(0));
    assert_eq!(house.server.counters().refused, 1);
}

#[test]
fn who_is_leaving_and_does_not_read_keeps_no_log_beyond_the_backlog() {
    let mut house = House::of_streams();
    let leaver = join(&mut house, "127.0.0.1:1", "leaver");
    let flooder = join(&mut house, "127.0.0.1:2", "flooder");
    leaver.stream.refuse();
    house.say(&flooder, &say("the first that the leaver does not take"));
    house.end(&leaver);
    house.turn();
    assert_eq!(members(&house), 1, "it has left, and its closing time runs");
    let flood: Vec<u8> = (0..800).flat_map(|_| say(&"x".repeat(40))).collect();
    for _ in 0..200 {
        house.say(&flooder, &flood);
    }
    let memory = house.server.log_memory();
    assert!(
        memory <= 3 * 1024 * 1024,
        "{memory} bytes of log for one that is leaving"
    );
    assert_eq!(house.server.len(), 1, "it was cut");
    let counters = house.server.counters();
    assert_eq!((counters.left, counters.closed_late), (1, 1));
}
