//! The server's limits, each reached on purpose: streams in memory, a clock that the test holds.

#[path = "support/memory_room.rs"]
mod memory_room;

use std::time::{Duration, Instant};

use memory_room::Eager;
use mynah::chat::{LOBBY, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame;
use mynah::reactor::{Key, Readiness};
use mynah::server::{Limits, Server};

struct House {
    server: Server<Eager>,
    now: Instant,
    wall: TimeOfDay,
}

impl House {
    fn new() -> House {
        let now = Instant::now();
        House {
            server: Server::new(Limits::default(), false, now),
            now,
            wall: TimeOfDay::MIDNIGHT,
        }
    }

    fn come(&mut self, from: &str) -> Option<(Key, Eager)> {
        let stream = Eager::default();
        let peer = from.parse().unwrap();
        let key = self
            .server
            .accept(stream.clone(), peer, Protocol::TcpRoom, self.now)?;
        Some((key, stream))
    }

    fn join(&mut self, from: &str, name: &str) -> (Key, Eager) {
        let (key, stream) = self.come(from).unwrap();
        let mut join = Vec::new();
        frame::encode_join(name, &mut join);
        self.send(key, &stream, &join);
        (key, stream)
    }

    fn send(&mut self, key: Key, stream: &Eager, bytes: &[u8]) {
        stream.give(bytes);
        self.server.handle_readiness(key, readable(key));
        self.turn();
    }

    fn turn(&mut self) {
        self.server.turn(self.now, self.wall);
        self.server.audit();
    }

    /// Time goes by, and the server has its turns when it wants them.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.server.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn();
        }
        self.now = until;
        self.turn();
    }

    fn members(&self) -> usize {
        self.server.hub(Protocol::TcpRoom).unwrap().count(LOBBY)
    }
}

fn readable(key: Key) -> Readiness {
    Readiness {
        token: key.token(),
        readable: true,
        writable: true,
        read_closed: false,
    }
}

fn say(text: &str) -> Vec<u8> {
    say_as("x", text)
}

fn say_as(name: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::encode_say(TimeOfDay::MIDNIGHT, name, text, &mut bytes);
    bytes
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn r35_an_address_has_so_many_connections_and_loopback_any_number() {
    let mut house = House::new();
    let limit = Limits::default().max_per_address;
    let mut inside = Vec::new();
    for port in 0..limit {
        inside.push(house.come(&format!("192.0.2.1:{port}")).unwrap());
    }
    assert!(house.come("192.0.2.1:998").is_none());
    assert!(house.come("192.0.2.1:999").is_none());
    assert!(house.come("192.0.2.2:999").is_some());
    assert!((0..100).all(|_| house.come("127.0.0.1:5").is_some()));
    assert_eq!(house.server.counters().turned_away, 2);
    // Who goes makes room.
    let (key, stream) = inside.pop().unwrap();
    stream.end();
    house.server.handle_readiness(key, readable(key));
    house.turn();
    assert!(house.come("192.0.2.1:999").is_some());
}

#[test]
fn r34_an_address_counts_as_one_in_either_form_and_a_network_of_ipv6_as_one_address() {
    let mut house = House::new();
    let limit = Limits::default().max_per_address;
    for n in 0..limit {
        let four = ["192.0.2.1", "[::ffff:192.0.2.1]", "[::ffff:c000:201]"][n % 3];
        house.come(&format!("{four}:{n}")).unwrap();
        house.come(&format!("[2001:db8::{n}]:1")).unwrap();
    }
    for full in ["192.0.2.1", "[::ffff:192.0.2.1]", "[2001:db8::ffff:0:0:1]"] {
        assert!(house.come(&format!("{full}:999")).is_none(), "{full}");
    }
    // Those of this machine are not counted, in whatever form.
    for local in ["127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"] {
        assert!((0..100).all(|_| house.come(&format!("{local}:5")).is_some()));
    }
    assert!(house.come("[2001:db8:0:1::1]:1").is_some());
    assert_eq!(house.server.counters().turned_away, 3);
}

#[test]
fn r35_who_is_turned_away_is_told() {
    let mut house = House::new();
    for port in 0..Limits::default().max_per_address {
        house.come(&format!("192.0.2.1:{port}"));
    }
    let stream = Eager::default();
    let peer = "192.0.2.1:9".parse().unwrap();
    let key = house
        .server
        .accept(stream.clone(), peer, Protocol::TcpRoom, house.now);
    assert!(key.is_none());
    assert_eq!(stream.first(), Some(0));
}

#[test]
fn r38_a_member_outside_loopback_speaks_at_its_rate() {
    let mut house = House::new();
    let (key, stream) = house.join("192.0.2.1:1", "far");
    let (near_key, near) = house.join("127.0.0.1:1", "near");
    let burst: Vec<u8> = (0..80).flat_map(|n| say(&n.to_string())).collect();
    house.send(key, &stream, &burst);
    assert_eq!(house.server.counters().messages, 50);
    assert_eq!(house.server.counters().over_rate, 30);
    house.pass(SECOND);
    house.send(key, &stream, &burst);
    assert_eq!(house.server.counters().messages, 70);
    house.send(near_key, &near, &burst);
    assert_eq!(
        house.server.counters().messages,
        150,
        "this machine's own are not limited"
    );
}

#[test]
fn a_name_that_is_not_the_speakers_is_counted_and_not_obeyed() {
    let mut house = House::new();
    let (key, stream) = house.join("192.0.2.1:1", "ann");
    let (_, hearer) = house.join("192.0.2.2:1", "bob");
    for (claimed, forged) in [("ann", 0), ("Ann", 0), ("bob", 1), ("", 2)] {
        hearer.keep();
        house.send(key, &stream, &say_as(claimed, "hi"));
        let mut heard = Vec::new();
        frame::encode_said(TimeOfDay::MIDNIGHT, "ann", &["hi"], &mut heard);
        assert_eq!(hearer.received(), heard);
        assert_eq!(house.server.counters().forged, forged, "{claimed:?}");
    }
}

#[test]
fn r04_people_have_a_minute_to_type_their_name_and_frames_twenty_seconds() {
    let mut house = House::new();
    let (_, silent) = house.come("127.0.0.1:1").unwrap();
    let (typing_key, typing) = house.come("127.0.0.1:2").unwrap();
    let (late_key, late) = house.come("127.0.0.1:3").unwrap();
    // 471 alone, as the programs send it before they ask for a name.
    house.send(typing_key, &typing, &[0xd7, 1, 0, 0]);
    house.pass(35 * SECOND);
    assert!(!typing.is_closed());
    house.send(typing_key, &typing, &[3, 0, 0, 0, b'a']);
    house.pass(19 * SECOND);
    house.send(typing_key, &typing, b"n");
    assert!(!typing.is_closed());
    house.pass(2 * SECOND);
    assert!(typing.is_closed(), "a byte now and then buys no time");
    house.pass(3 * SECOND);
    assert!(!silent.is_closed() && !late.is_closed());
    // Nor does the beginning of a frame.
    house.send(late_key, &late, &[0xd7, 1, 0, 0]);
    house.send(late_key, &late, &[3]);
    house.pass(2 * SECOND);
    assert!(silent.is_closed() && late.is_closed());
    assert_eq!(house.server.counters().timed_out, 3);
    house.pass(5 * SECOND);
    assert!(house.server.is_empty());
}

#[test]
fn r04_an_idle_member_stays_for_ever_and_one_that_begins_a_frame_does_not() {
    let mut house = House::new();
    let (key, stream) = house.join("127.0.0.1:1", "alice");
    house.pass(86_400 * SECOND);
    assert!(!stream.is_closed());
    assert_eq!(house.members(), 1);
    house.send(key, &stream, &say("hi")[..20]);
    house.pass(19 * SECOND);
    house.send(key, &stream, &say("hi")[20..]);
    house.pass(60 * SECOND);
    assert!(!stream.is_closed(), "it was finished in time");
    house.send(key, &stream, &say("hi")[..20]);
    house.pass(21 * SECOND);
    assert!(stream.is_closed());
    assert_eq!(house.members(), 0, "and the name is free");
}

#[test]
fn r29_the_wall_clock_is_shown_and_nothing_goes_by_it() {
    let run = |walls: &[TimeOfDay]| {
        let mut house = House::new();
        let (silent_key, silent) = house.come("127.0.0.1:1").unwrap();
        let (key, stream) = house.join("127.0.0.1:2", "ann");
        stream.keep();
        // Without a time of their own, so that the server's is shown.
        let text = [&say("hi")[..8], &[0; 4], &say("hi")[20..]].concat();
        let mut ends = Vec::new();
        for step in 0..70 {
            house.wall = walls[step % walls.len()];
            house.send(key, &stream, &text);
            house.pass(SECOND);
            ends.push((silent.is_closed(), stream.is_closed()));
        }
        assert!(house.server.stream_mut(silent_key).is_none());
        (ends, *house.server.counters(), stream.received())
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
    let mut house = House::new();
    let (old, stream) = house.join("127.0.0.1:1", "old");
    stream.end();
    house.server.handle_readiness(old, readable(old));
    house.turn();
    let (new, next) = house.join("127.0.0.1:2", "new");
    assert_eq!(old.index(), new.index(), "the slot is used again");
    next.give(&say("hi"));
    house.server.handle_readiness(old, readable(old));
    house.turn();
    assert_eq!(house.server.counters().messages, 0);
    house.server.handle_readiness(new, readable(new));
    house.turn();
    assert_eq!(house.server.counters().messages, 1);
}

#[test]
fn r38_a_room_is_full_when_it_is_full() {
    let mut limits = Limits::default();
    limits.hub.members_per_room = 2;
    let mut house = House::new();
    house.server = Server::new(limits, false, house.now);
    house.join("127.0.0.1:1", "a");
    house.join("127.0.0.1:1", "b");
    let (_, third) = house.join("127.0.0.1:1", "c");
    assert_eq!(third.first(), Some(0));
    assert_eq!(house.server.counters().refused, 1);
}

#[test]
fn who_is_leaving_and_does_not_read_keeps_no_log_beyond_the_backlog() {
    let mut house = House::new();
    let (leaver_key, leaver) = house.join("127.0.0.1:1", "leaver");
    let (flooder_key, flooder) = house.join("127.0.0.1:2", "flooder");
    leaver.refuse();
    house.send(
        flooder_key,
        &flooder,
        &say("the first that the leaver does not take"),
    );
    leaver.end();
    house
        .server
        .handle_readiness(leaver_key, readable(leaver_key));
    house.turn();
    assert_eq!(house.members(), 1, "it has left, and its closing time runs");
    let flood: Vec<u8> = (0..800).flat_map(|_| say(&"x".repeat(40))).collect();
    for _ in 0..200 {
        house.send(flooder_key, &flooder, &flood);
    }
    let memory = house.server.log_memory();
    assert!(
        memory <= 3 * 1024 * 1024,
        "{memory} bytes of log for one that is leaving"
    );
    assert_eq!(house.server.len(), 1, "it was cut");
    assert_eq!(house.server.counters().slow, 1);
}
