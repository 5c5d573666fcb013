//! The tcp-room server end to end: every row of the protocol's table, and one list of malformed inputs.

mod support;

use support::serve::{Client, Mynah, join, say};

#[test]
fn a_member_is_welcomed_and_everybody_hears_everything() {
    let server = Mynah::serve();
    let mut alice = server.join("alice");
    assert_eq!(alice.history, []);
    let mut bob = server.join("bob");
    alice.say("hi");
    let line = (
        "12:34:56".to_string(),
        "alice".to_string(),
        "hi".to_string(),
    );
    assert_eq!(alice.hear(), line, "its own words too, under its own name");
    assert_eq!(bob.hear(), line);
}

#[test]
fn the_welcome_is_byte_for_byte_as_the_page_has_it() {
    let server = Mynah::serve();
    let mut client = Client::connect(server.address());
    client.join("alice");
    client.send(&say("12:00:00", "alice", "hi"));
    client.end();
    let expected: &[u8] = b"\x01\x73\x01\0\0\0\0\0\0\
        \x74\x01\0\0\x03\0\0\0\x08\0\0\x0012:00:00\x05\0\0\0alice\x02\0\0\0hi";
    assert_eq!(client.read_to_end(), expected);
}

#[test]
fn a_name_is_refused_while_it_is_held_and_free_when_its_holder_ends() {
    let server = Mynah::serve();
    let mut holder = server.join("Alice");
    for name in ["Alice", "alice", "ALICE"] {
        let mut other = Client::connect(server.address());
        other.join(name);
        assert_eq!(other.read_to_end(), [0], "{name}");
    }
    holder.end();
    assert_eq!(holder.read_to_end(), b"");
    server.join("aLICE");
}

#[test]
fn a_name_that_breaks_the_rules_is_refused_like_a_taken_one() {
    let server = Mynah::serve();
    let long = "x".repeat(65);
    for name in [
        "",
        " ",
        "a b",
        "a:b",
        "a|b",
        "a>b",
        "a\"b",
        "a\nb",
        "a\u{202e}b",
        &long,
    ] {
        let mut client = Client::connect(server.address());
        client.join(name);
        assert_eq!(client.read_to_end(), [0], "{name:?}");
    }
    server.join(&"x".repeat(64));
}

#[test]
fn a_newcomer_finds_the_last_ten_lines_oldest_first() {
    let server = Mynah::serve();
    let mut alice = server.join("alice");
    for n in 0..13 {
        alice.say(&n.to_string());
        alice.hear();
    }
    let texts: Vec<String> = server
        .join("bob")
        .history
        .into_iter()
        .map(|line| line.2)
        .collect();
    assert_eq!(texts, ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]);
}

#[test]
fn r03_frames_may_be_split_anywhere_and_many_may_come_at_once() {
    let server = Mynah::serve();
    let mut dripping = Client::connect(server.address());
    let mut bytes = join("dripping");
    bytes.extend(say("00:00:00", "x", "slowly"));
    for byte in bytes {
        dripping.send(&[byte]);
    }
    assert_eq!(dripping.read_verdict(), 1);
    dripping.read_history();
    assert_eq!(dripping.hear_text(), "slowly");

    let mut flooding = Client::connect(server.address());
    let mut bytes = join("flooding");
    for n in 0..2000 {
        bytes.extend(say("00:00:00", "x", &n.to_string()));
    }
    let mut writer = Client::over(flooding.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || writer.send(&bytes));
    assert_eq!(flooding.read_verdict(), 1);
    flooding.read_history();
    for n in 0..2000 {
        assert_eq!(flooding.hear_text(), n.to_string());
        assert_eq!(dripping.hear_text(), n.to_string());
    }
    writing.join().unwrap();
}

#[test]
fn all_hear_one_order() {
    let server = Mynah::serve();
    let mut members: Vec<Client> = (0..5).map(|n| server.join(&format!("member{n}"))).collect();
    for round in 0..40 {
        for (n, member) in members.iter_mut().enumerate() {
            member.say(&format!("{n}-{round}"));
        }
    }
    let orders: Vec<Vec<String>> = members
        .iter_mut()
        .map(|member| (0..200).map(|_| member.hear_text()).collect())
        .collect();
    assert!(orders.iter().all(|order| *order == orders[0]));
    for n in 0..5 {
        let own = orders[0]
            .iter()
            .filter(|text| text.starts_with(&format!("{n}-")));
        let expected: Vec<String> = (0..40).map(|round| format!("{n}-{round}")).collect();
        assert_eq!(
            own.cloned().collect::<Vec<_>>(),
            expected,
            "each sender's order is kept"
        );
    }
}

#[test]
fn ending_is_leaving_and_what_was_due_still_comes() {
    let server = Mynah::serve();
    let mut alice = server.join("alice");
    for n in 0..1000 {
        alice.say(&format!("line {n}"));
    }
    alice.end();
    for n in 0..1000 {
        assert_eq!(alice.hear_text(), format!("line {n}"));
    }
    assert_eq!(alice.read_to_end(), b"");
}

#[test]
fn names_in_messages_are_not_believed_and_times_only_when_they_are_times() {
    let server = Mynah::serve();
    let mut alice = server.join("alice");
    alice.send(&say("23:59:59", "admin", "trust me"));
    let (time, name, _) = alice.hear();
    assert_eq!((time.as_str(), name.as_str()), ("23:59:59", "alice"));
    for bad in ["24:00:00", "", "noon", "1:2:3", "12:00:00 "] {
        alice.send(&say(bad, "alice", "when?"));
        let (time, ..) = alice.hear();
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '9' } else { c })
            .collect();
        assert_eq!(shape, "99:99:99", "{bad:?} became {time:?}");
        assert_ne!(time, bad);
    }
}

#[test]
fn r09_what_is_relayed_moves_nobodys_cursor() {
    let server = Mynah::serve();
    let mut alice = server.join("alice");
    for (said, heard) in [
        ("one\r\ntwo\nthree\rfour", "one two three four"),
        ("\u{1b}[2J\u{7}\0", "\u{fffd}[2J\u{fffd}\u{fffd}"),
        ("\u{9b}31m \u{7f}", "\u{fffd}31m \u{fffd}"),
        ("\u{202e}evil\u{2066}", "\u{fffd}evil\u{fffd}"),
        ("tab\there, grüße 🐦", "tab\there, grüße 🐦"),
        ("(private) not at all", " (private) not at all"),
    ] {
        alice.say(said);
        assert_eq!(alice.hear_text(), heard);
    }
    alice.say("");
    alice.say("nothing came of that");
    assert_eq!(alice.hear_text(), "nothing came of that");
    let long = "é".repeat(2048);
    alice.say(&long);
    assert_eq!(alice.hear_text(), long, "4,096 bytes are not too many");
}

/// Everything that breaks a rule ends its own connection and nothing else.
#[test]
fn malformed_input_ends_its_own_connection_only() {
    let server = Mynah::serve();
    let mut witness = server.join("witness");
    let before_joining: &[(&str, &[u8])] = &[
        ("another protocol", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("472 first", &say("12:00:00", "x", "hi")),
        ("a negative number", &(-471i32).to_le_bytes()),
        ("big-endian", &471i32.to_be_bytes()),
        ("a negative name", b"\xd7\x01\0\0\xff\xff\xff\xff"),
        ("an endless name", b"\xd7\x01\0\0\xff\xff\xff\x7f"),
        ("a name that is no UTF-8", b"\xd7\x01\0\0\x02\0\0\0\xc3\x28"),
    ];
    for (what, bytes) in before_joining {
        let mut peer = Client::connect(server.address());
        peer.send(bytes);
        let answer = peer.read_to_end();
        assert!(
            answer.is_empty() || answer == [0],
            "{what} was answered {answer:?}"
        );
    }
    let after_joining: &[(&str, &[u8])] = &[
        ("a second join", &join("again")),
        ("an unknown number", b"\x09\0\0\0"),
        ("a server's number", b"\x74\x01\0\0"),
        ("a list of two", b"\xd8\x01\0\0\x02\0\0\0"),
        ("a list of minus one", b"\xd8\x01\0\0\xff\xff\xff\xff"),
        ("a list of a billion", b"\xd8\x01\0\0\0\0\0\x40"),
        ("a negative time", b"\xd8\x01\0\0\x03\0\0\0\xff\xff\xff\xff"),
        ("a text of 4,097", &say("", "", &"x".repeat(4097))),
        (
            "text that is no UTF-8",
            b"\xd8\x01\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\xff",
        ),
    ];
    for (n, (what, bytes)) in after_joining.iter().enumerate() {
        let mut peer = server.join(&format!("peer{n}"));
        peer.say("last words");
        peer.send(bytes);
        peer.send(&say("", "", "after it"));
        assert_eq!(
            peer.hear_text(),
            "last words",
            "{what}: what was due comes first"
        );
        assert_eq!(peer.read_to_end(), b"", "{what}");
        assert_eq!(witness.hear_text(), "last words", "{what}");
    }
    witness.say("still here");
    assert_eq!(
        witness.hear_text(),
        "still here",
        "and nobody heard what came after"
    );
}

#[test]
fn isolated_or_not_there_is_a_lobby() {
    let server = Mynah::serve_with(&["--isolate", "--listen", "tcp-room=127.0.0.1:0"]);
    let mut alice = server.join("alice");
    alice.say("hi");
    assert_eq!(alice.hear_text(), "hi");
}
