//! Peers of the byte-stream protocols and the whole server: streams in memory, a clock that the test holds.

#[path = "support/memory_house.rs"]
mod memory_house;

use memory_house::frames::{enter, reserve, said_by, say};
use memory_house::{HERE, House, Peer, SECOND};
use mynah::protocol::registry::Protocol;
use mynah::server::Limits;
use proptest::prelude::*;

#[test]
fn r01_who_stays_behind_for_half_a_minute_is_cut_and_not_heard_meanwhile() {
    let limits = Limits::default().lag;
    let mut house = House::of_streams();
    let talker = house.join(Protocol::TcpRoom, HERE, "talker");
    let [deaf, slow] = ["deaf", "slow"].map(|name| house.join(Protocol::TcpRoom, HERE, name));
    let line = say(Protocol::TcpRoom, "talker", &"x".repeat(1000));
    let some = line.repeat(limits.stall_bytes / line.len() / 2);
    deaf.stream.refuse();
    house.say(&talker, &some);
    slow.stream.refuse();
    // Now the one is behind by more than a little, and the other is not.
    house.say(&talker, &some);
    house.say(&talker, &line.repeat(2));
    house.say(&deaf, &say(Protocol::TcpRoom, "deaf", "what?"));
    assert!(
        deaf.stream.unread() > 0,
        "who does not listen does not speak"
    );
    house.say(&slow, &say(Protocol::TcpRoom, "slow", "yes"));
    assert_eq!(slow.stream.unread(), 0);
    house.pass(limits.stall_time);
    assert_eq!(house.server.counters().slow, 0);
    assert_eq!(house.server.len(), 3);
    // It is looked at every second.
    house.pass(2 * SECOND);
    assert_eq!(house.server.counters().slow, 1);
    assert_eq!(house.server.len(), 2);
    assert!(house.server.stream_mut(deaf.key).is_none());
    house.pass(3600 * SECOND);
    assert_eq!(house.server.counters().slow, 1);
    house.server.audit();
}

/// What a peer says in all, with the protocol that it speaks: every frame that there is, in every form, and how
/// it ends.
fn golden_streams() -> Vec<(Protocol, Vec<u8>)> {
    let tcp_room = |rest: &[u8]| {
        let mut bytes = enter(Protocol::TcpRoom, "amélie");
        bytes.extend(say(Protocol::TcpRoom, "amélie", "hi"));
        bytes.extend(say(Protocol::TcpRoom, "", ""));
        bytes.extend(say(Protocol::TcpRoom, "somebody else", "a bird: \u{1f426}"));
        bytes.extend(say(Protocol::TcpRoom, "amélie", "(private)"));
        bytes.extend(rest);
        (Protocol::TcpRoom, bytes)
    };
    let group = |rest: &[u8]| {
        let frames: [&[u8]; 11] = [
            b"HELLO\r\n",
            b"REGISTER:nobody\r\n",
            "REGISTER:amélie:10.0.0.7:5000\r\n".as_bytes(),
            b"BROADCAST:x:2:hi\r\n",
            b"BROADCAST:x:0:\r\n",
            // In code points, and with the end of a line within.
            "BROADCAST:x:1:é\r\n".as_bytes(),
            "BROADCAST:x:5:é\r\n\u{1f426}!\r\n".as_bytes(),
            b"BROADCAST:x:4:\r\n\r\n\r\n",
            b"BROADCAST:x:y\r\n",
            b"\r\n",
            b"a\nb\rc\n\r\r\n",
        ];
        (Protocol::Group, [&frames.concat()[..], rest].concat())
    };
    let short = |room: &str, name: &str| {
        let mut bytes = reserve(2, room, name);
        bytes.remove(30);
        bytes
    };
    let object = {
        let payload = br#"{"username": "am\u00e9lie"} "#;
        let mut bytes = reserve(1, "tea", "");
        bytes.truncate(34);
        bytes[31] = payload.len() as u8;
        bytes.extend(payload);
        bytes
    };
    vec![
        tcp_room(b""),
        // A name that is held, and one that is none.
        (Protocol::TcpRoom, enter(Protocol::TcpRoom, "listener")),
        (Protocol::TcpRoom, enter(Protocol::TcpRoom, "a b")),
        (Protocol::TcpRoom, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        tcp_room(&enter(Protocol::TcpRoom, "twice")),
        tcp_room(b"\xd8\x01\0\0\x03\0\0\0\xff\xff\xff\xff"),
        tcp_room(b"\xd8\x01\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\xff"),
        group(b""),
        group(b"BROADCAST:x:99999\r\nmore"),
        group(b"BROADCAST:x:1:hi\r\nmore"),
        group(b"\xff\r\nmore"),
        (Protocol::Tcrp, reserve(1, "tea", "amélie")),
        (Protocol::Tcrp, short("lobby", "amélie")),
        (Protocol::Tcrp, object),
        (Protocol::Tcrp, reserve(2, "no such room", "amélie")),
        (Protocol::Tcrp, reserve(7, "tea", "amélie")),
        (Protocol::Tcrp, vec![0xff; 40]),
    ]
}

/// What the speaker is sent, whether it was closed, and what two others hear of it.
type Conversation = (Vec<u8>, bool, Vec<u8>, Vec<u8>);

/// A conversation of a peer whose stream comes in these parts, each by itself.
fn conversation<'a>(protocol: Protocol, parts: impl Iterator<Item = &'a [u8]>) -> Conversation {
    let mut house = House::of_streams();
    let listener = house.join(Protocol::TcpRoom, HERE, "listener");
    let neighbour = house.join(Protocol::Group, HERE, "neighbour");
    let speaker = house.come(protocol, HERE).unwrap();
    for peer in [&listener, &neighbour, &speaker] {
        peer.stream.keep();
    }
    for part in parts {
        house.say(&speaker, part);
    }
    house.server.audit();
    (
        speaker.stream.received(),
        speaker.stream.is_closed(),
        listener.stream.received(),
        neighbour.stream.received(),
    )
}

#[test]
fn r03_every_split_of_every_golden_stream_is_the_same_conversation() {
    let mut answers = 0;
    for (protocol, bytes) in golden_streams() {
        let whole = conversation(protocol, [&bytes[..]].into_iter());
        answers += whole.0.len();
        for at in 0..=bytes.len() {
            let (one, other) = bytes.split_at(at);
            let split = conversation(protocol, [one, other].into_iter());
            assert!(split == whole, "{protocol}, split at {at}: {split:?}");
        }
        let dripped = conversation(protocol, bytes.chunks(1));
        assert!(dripped == whole, "{protocol}, byte by byte: {dripped:?}");
    }
    assert!(answers > 1000, "{answers} bytes were answered");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r03_golden_streams_in_any_pieces_are_the_same_conversation(
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        for (protocol, bytes) in golden_streams() {
            let whole = conversation(protocol, [&bytes[..]].into_iter());
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
            prop_assert_eq!(conversation(protocol, parts), whole);
        }
    }
}

#[test]
fn r04_each_protocol_has_its_time_for_the_first_frame_and_for_every_other() {
    use Protocol::*;
    let tcp_room = enter(TcpRoom, &"x".repeat(60));
    // What is said at once, then a byte each second; when it is over; and why, as the log has it.
    let table: [(Protocol, &[u8], &[u8], u64); 11] = [
        (TcpRoom, b"", b"", 60),
        (TcpRoom, b"", &tcp_room, 21),
        // The number alone, as programs say it while a person types a name.
        (TcpRoom, &tcp_room[..4], b"", 60),
        (TcpRoom, &tcp_room[..4], &tcp_room[4..], 21),
        (TcpRoom, &tcp_room, b"\xd8\x01\0\0\x03\0\0\0", 21),
        (Group, b"", b"", 10),
        (Group, b"", b"REGISTER:ann:0.0.0.0:0\r\n", 10),
        (Group, b"HELLO\r\n", b"", 300),
        (Group, b"HELLO\r\n", b"REGISTER:a", 21),
        (Tcrp, b"", b"", 10),
        (Tcrp, b"", &[0; 30], 10),
    ];
    for (protocol, first, dripped, seconds) in table {
        let mut house = House::of_streams();
        let peer = house.come(protocol, HERE).unwrap();
        if !first.is_empty() {
            house.say(&peer, first);
        }
        let mut passed = 0;
        let mut dripped = dripped.iter();
        while !peer.stream.is_closed() {
            house.pass(SECOND);
            passed += 1;
            assert!(passed <= seconds, "{protocol}: still there");
            if !peer.stream.is_closed()
                && let Some(byte) = dripped.next()
            {
                house.say(&peer, &[*byte]);
            }
        }
        assert!(passed >= seconds, "{protocol}: closed after {passed} s");
        assert_eq!(house.server.counters().timed_out, 1);
        assert_eq!(house.server.counters().violations, 0);
        house.pass(5 * SECOND);
        assert!(house.server.is_empty());
    }
}

#[test]
fn r42_who_comes_in_the_turn_in_which_another_goes_gets_nothing_of_its() {
    let mut house = House::of_streams();
    let listener = house.join(Protocol::TcpRoom, HERE, "listener");
    let mut said = Vec::new();
    listener.stream.keep();
    for round in 0..1000 {
        let old = house.join(Protocol::TcpRoom, HERE, &format!("old{round}"));
        house.write(&old, &say(Protocol::TcpRoom, "", "my last words"));
        said.extend(said_by(&format!("old{round}"), "my last words"));
        // In the order of the loop: what the kernel told, who comes, the turn.
        house.end(&old);
        let beside = house.come(Protocol::TcpRoom, HERE).unwrap();
        assert_ne!(beside.key.index(), old.key.index(), "it is not free yet");
        beside.stream.keep();
        house.turn();
        house.turn();
        assert_eq!(house.server.len(), 2, "the old one is gone");
        let new = house.come(Protocol::TcpRoom, HERE).unwrap();
        assert_eq!(new.key.index(), old.key.index(), "its slot is used again");
        new.stream.keep();
        new.stream
            .give(&enter(Protocol::TcpRoom, &format!("new{round}")));
        let unread = new.stream.unread();
        house.wake(&old);
        house.turn();
        assert_eq!(new.stream.unread(), unread, "a late event of the old one's");
        house.wake(&new);
        house.turn();
        assert_eq!(new.stream.received().first(), Some(&1), "it is let in");
        assert_eq!(beside.stream.received(), b"");
        house.server.audit();
        house.end(&new);
        house.end(&beside);
        house.turn();
        assert_eq!(house.server.len(), 1);
    }
    assert_eq!(listener.stream.received(), said);
}

#[test]
fn r43_a_flooder_takes_its_share_of_a_turn_and_everybody_else_is_served_in_it() {
    /// What one connection may bring in a turn, as the reading has it.
    const SHARE: usize = 64 * 1024;
    for protocol in [Protocol::TcpRoom, Protocol::Group] {
        let mut house = House::of_streams();
        let flooder = house.join(protocol, HERE, "flooder");
        let chatters: Vec<Peer> = (0..100)
            .map(|n| house.join(protocol, HERE, &format!("chatter{n}")))
            .collect();
        house.pass(SECOND);
        let line = say(protocol, "flooder", &"x".repeat(400));
        let lines = 10_000;
        house.write(&flooder, &line.repeat(lines));
        let (mut turns, mut said) = (0, 0);
        while flooder.stream.unread() > 0 {
            let before = flooder.stream.unread();
            for chatter in &chatters {
                house.write(chatter, &say(protocol, "chatter", "hi"));
            }
            let messages = house.server.counters().messages;
            house.turn();
            said += house.server.counters().messages - messages;
            turns += 1;
            let taken = before - flooder.stream.unread();
            assert!(taken <= SHARE, "{protocol}: {taken} bytes of one in a turn");
            assert!(taken > 0, "and it is served, too");
            for (n, chatter) in chatters.iter().enumerate() {
                assert_eq!(chatter.stream.unread(), 0, "{protocol}: {n} waits");
            }
        }
        house.turn();
        let all = lines as u64 + turns * 100;
        assert!(turns >= (line.len() * lines / SHARE) as u64);
        assert!(said <= all && said > turns * 100);
        assert_eq!(house.server.counters().messages, all, "nothing is lost");
        house.server.audit();
    }
}

#[test]
fn r43_beside_many_flooders_everybody_is_served_once_in_their_round() {
    let flooders = 20;
    let mut house = House::of_streams();
    let flooding: Vec<Peer> = (0..flooders)
        .map(|n| house.join(Protocol::TcpRoom, HERE, &format!("flooder{n}")))
        .collect();
    let chatter = house.join(Protocol::TcpRoom, HERE, "chatter");
    let line = say(Protocol::TcpRoom, "", &"x".repeat(400));
    let lines = 2000;
    for flooder in &flooding {
        house.write(flooder, &line.repeat(lines));
    }
    let mut chats = 0;
    while flooding.iter().all(|flooder| flooder.stream.unread() > 0) {
        house.write(&chatter, &say(Protocol::TcpRoom, "", "hi"));
        let mut turns = 0;
        while chatter.stream.unread() > 0 {
            house.turn();
            turns += 1;
            // Each turn takes from one of them at least before it has its fill.
            assert!(turns <= flooders, "not served in {turns} turns");
        }
        chats += 1;
    }
    assert!(chats > 5, "{chats}");
    while flooding.iter().any(|flooder| flooder.stream.unread() > 0) {
        house.turn();
    }
    house.turn();
    let all = flooders * lines + chats;
    assert_eq!(house.server.counters().messages, all as u64);
    house.server.audit();
}
