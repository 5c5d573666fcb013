//! What people of one protocol can do to people of another by what they say and what they are called: nothing. Every
//! protocol beside every other, on the whole server in memory.

#[path = "support/doors.rs"]
mod doors;
#[path = "support/memory_house.rs"]
mod memory_house;

use doors::{DOORS, Doors};
use mynah::chat::{Name, harmless};
use mynah::protocol::Told;
use mynah::protocol::registry::Protocol;

/// What would be a command, a line or a frame of its own in one of the six.
const INJECTIONS: [&str; 26] = [
    "x\r\nBROADCAST:eve:2:hi\r\n",
    "x\r\nUPDATE:LEAVE:bob:127.0.0.1:1\r\n",
    "x\nERROR:3:bad\r\n",
    "\r\nLIST:\r\n",
    ":2:hi",
    "[eve joined the server]",
    "[bob left the server]",
    "x\n[DM] eve: psst",
    "PM| eve: hi",
    "DM| eve> bob: hi",
    "EX| now",
    "ex|",
    "UN| eve",
    "C 0 LEFT bob",
    "C 0 ARRIVED eve",
    "D PM eve hi",
    "D DM eve hi",
    "x\nC 7 GONE",
    "__ROOM_CLOSED__",
    "x\0\0\0\u{1}",
    "\u{1}\0\0\0\u{5}\0\0\0alice",
    "> 12:00:00 eve: hi",
    "\"}",
    "(private) eve: psst",
    "(private)",
    "\u{fffd}\u{feff}\u{2028}\u{2029}",
];

/// What terminals obey, or did once: OSC and the other strings with either end, CSI, C1 in both forms, single shifts,
/// and what turns the direction of writing around.
const ESCAPES: [&str; 22] = [
    "\x1b]0;owned\x07",
    "\x1b]0;owned\x1b\\",
    "\u{9d}0;owned\u{9c}",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1b]8;;http://e.vil\x07click\x1b]8;;\x07",
    "\x1bP$q\"p\x1b\\",
    "\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\",
    "\x1b[2J\x1b[1;1H",
    "\x1b[31mred\x1b[0m",
    "\x1b[6n\x1b[c\x1b[>c",
    "\x1b[?1049h\x1b[?25l",
    "\u{9b}2J\u{9b}31m",
    "\u{85}\u{84}\u{8d}\u{90}\u{98}\u{9e}\u{9f}",
    "\x1bc\x1b7\x1b8\x1bN\x1bO",
    "\x1b(0lqqk\x1b(B\x0e\x0f",
    "bell\x07back\x08\x08\x08\x08spoof\x7f",
    "one\rtwo\x0bthree\x0cfour",
    "\u{202e}gnp.exe",
    "\u{202a}\u{202b}\u{202c}\u{202d}",
    "\u{2066}a\u{2067}b\u{2068}c\u{2069}",
    "\x1b\u{1b}\u{1b}[[[",
    "\x18\x1a\x1b\x1b]",
];

/// A lobby with somebody from each door.
fn lobby() -> (Doors, Vec<usize>) {
    let mut doors = Doors::open();
    let listeners = DOORS.map(|door| doors.enter(door, &format!("listener-{door}")));
    for listener in listeners {
        doors.told(listener);
    }
    (doors, listeners.to_vec())
}

/// What the others are to hear of these bytes, if anything, as the page has it.
fn relayed(door: Protocol, bytes: &[u8]) -> Option<String> {
    let mut said = bytes;
    // The end of a datagram that is a line is not part of what it says.
    if matches!(
        door,
        Protocol::UdpRoom | Protocol::UdpLogin | Protocol::Tcrp
    ) {
        let ends: [&[u8]; 3] = [b"\r\n", b"\n", b"\r"];
        let end = ends.iter().find_map(|end| said.strip_suffix(*end));
        said = end.unwrap_or(said);
    }
    let text = std::str::from_utf8(said).ok()?;
    (!text.is_empty()).then(|| harmless(text).into_owned())
}

/// How a client of that protocol is told it: where a direct message is told by a mark, what has the mark and is none
/// is told it by a space.
fn as_told(door: Protocol, text: &str) -> String {
    let has_marks = matches!(door, Protocol::TcpRoom | Protocol::Group | Protocol::Tcrp);
    let space = has_marks && text.starts_with("(private)");
    format!("{}{text}", if space { " " } else { "" })
}

/// Has somebody of each door say each of these, and checks that everybody else hears what the page has of it, once,
/// and nothing besides. How often it was heard.
fn say_all(corpus: &[Vec<u8>]) -> usize {
    let (mut doors, listeners) = lobby();
    let mut heard = 0;
    for door in DOORS {
        let mut speaker = new_speaker(&mut doors, door, 0);
        for (number, bytes) in (1..).zip(corpus) {
            for listener in &listeners {
                doors.told(*listener);
            }
            doors.say(speaker, bytes);
            let wanted = relayed(door, bytes);
            let name = doors.people[speaker].name.clone();
            let left = Told::Left { name: name.clone() };
            let is_in = doors.people[speaker].is_in();
            for listener in &listeners {
                let hears = doors.people[*listener].protocol;
                let case = format!("{door} to {hears}: {:?}", String::from_utf8_lossy(bytes));
                let mut told = doors.told(*listener);
                // A stream that breaks a rule is ended, and its member leaves.
                told.retain(|told| is_in || *told != left);
                let wanted = wanted.as_deref().map(|text| as_told(hears, text));
                assert!(told.len() <= 1, "{case}: {} at once", told.len());
                let message = told.pop().map(|told| match told {
                    Told::Message { from, text, .. } => {
                        assert_eq!(from, name, "{case}");
                        text
                    }
                    other => panic!("{case}: {other:?}"),
                });
                // Peers of a mesh hear each other without a server: it is their client that makes it harmless.
                let is_direct = door == Protocol::UdpMesh && hears == Protocol::UdpMesh;
                let message = message.map(|text| match is_direct {
                    true => harmless(&text).into_owned(),
                    false => text,
                });
                assert_eq!(message, wanted, "{case}");
                heard += usize::from(message.is_some());
            }
            for told in doors.told(speaker) {
                let others = matches!(
                    told,
                    Told::Arrived { .. } | Told::Left { .. } | Told::Direct { .. }
                );
                assert!(!others, "{door} {bytes:?}: {told:?}");
            }
            if !is_in {
                assert!(std::str::from_utf8(bytes).is_err(), "{door} {bytes:?}");
                speaker = new_speaker(&mut doors, door, number);
            }
        }
    }
    heard
}

fn new_speaker(doors: &mut Doors, door: Protocol, number: usize) -> usize {
    let speaker = doors.enter(door, &format!("speaker-{door}-{number}"));
    // A peer of a mesh is in the lobby from its first words on.
    if door == Protocol::UdpMesh {
        doors.say(speaker, b"hello");
    }
    speaker
}

fn bytes_of(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What is to be heard in all: by all six, from each of six doors.
fn heard_of(corpus: &[Vec<u8>]) -> usize {
    let from = |door| corpus.iter().filter_map(move |bytes| relayed(door, bytes));
    DOORS
        .iter()
        .map(|door| from(*door).count() * DOORS.len())
        .sum()
}

#[test]
fn r07_bytes_that_are_no_text_reach_nobody() {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for byte in 0x80..=0xff {
        corpus.push(vec![b'a', byte, b'z']);
        corpus.push(vec![byte]);
    }
    // Overlong forms, surrogates, what is beyond Unicode, and characters that are cut off.
    for bytes in [
        &b"\xc0\x8d\xc0\x8a"[..],
        b"\xe0\x80\x8a",
        b"\xc1\x81",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"cut \xf0\x9f\x90",
        b"\xe2\x82",
        b"\xff\xfea\0",
    ] {
        corpus.push(bytes.to_vec());
    }
    assert_eq!(heard_of(&corpus), 0);
    assert_eq!(say_all(&corpus), 0);
}

#[test]
fn r08_whatever_is_said_is_one_message_for_everybody() {
    let mut corpus = bytes_of(&INJECTIONS);
    for byte in 0..0x80 {
        corpus.push(vec![b'a', byte, b'z']);
        corpus.push(vec![byte]);
        corpus.push(vec![b'a', byte]);
    }
    // Whatever two bytes in a row may do that neither does alone.
    let special = b"\r\n\0\t :|>\"[]\\{}\x1b";
    for one in special {
        for other in special {
            corpus.push(vec![*one, *other, b'x', *one, *other]);
        }
    }
    let wanted = heard_of(&corpus);
    assert_eq!(say_all(&corpus), wanted);
    assert!(wanted > 20_000, "{wanted}");
}

#[test]
fn r09_what_terminals_obey_is_relayed_to_nobody() {
    let corpus = bytes_of(&ESCAPES);
    let wanted = DOORS.len() * DOORS.len() * ESCAPES.len();
    assert_eq!(say_all(&corpus), wanted);
    for text in ESCAPES {
        let text = harmless(text);
        let obeyed = |c: char| {
            c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!text.contains(obeyed), "{text:?}");
    }
}

/// What people may try to be called.
fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = (0..=0xff).map(|byte| vec![b'n', byte, b'z']).collect();
    let texts = [
        "a\r\nb",
        "a:b:c",
        "[a",
        "a]",
        "\u{202e}ab",
        "a\u{200b}",
        "\u{9b}2J",
        "a\u{3000}b",
        "\u{feff}a",
        "\u{1b}[m",
    ];
    names.extend(bytes_of(&texts));
    names
}

#[test]
fn r08_whatever_somebody_is_called_is_a_name_or_refused() {
    let (mut doors, listeners) = lobby();
    let (mut came, mut refused) = (0, 0);
    for door in DOORS {
        for bytes in names() {
            let mut bytes = bytes;
            // What a peer of a mesh was called is kept for it.
            if door == Protocol::UdpMesh {
                bytes.insert(0, b'm');
            }
            let case = format!("{door}: {:?}", String::from_utf8_lossy(&bytes));
            let before = doors.names();
            let comer = doors.come(door, &"Q".repeat(bytes.len()), &bytes);
            if door == Protocol::UdpMesh {
                doors.say_as(comer, &bytes, "hi");
            }
            let mut names = doors.names();
            names.retain(|name| !before.contains(name));
            assert!(names.len() <= 1, "{case}: {names:?}");
            came += names.len();
            refused += 1 - names.len();
            if let Some(name) = names.first() {
                Name::check(name).unwrap_or_else(|error| panic!("{case}: {error}"));
            }
            doors.leave(comer);
            for listener in &listeners {
                let hears = doors.people[*listener].protocol;
                for told in doors.told(*listener) {
                    match told {
                        Told::Arrived { name } | Told::Left { name } => {
                            assert!(names.contains(&name), "{case} to {hears}: {name:?}");
                        }
                        Told::Message { from, text, .. } if door == Protocol::UdpMesh => {
                            assert!(names.contains(&from), "{case} to {hears}: {from:?}");
                            assert_eq!(text, "hi", "{case}");
                        }
                        other => panic!("{case} to {hears}: {other:?}"),
                    }
                }
            }
        }
    }
    assert!(came > 0 && refused > came, "{came} {refused}");
}

/// The same name as two may write it.
const SPELLINGS: [(&str, &str); 5] = [
    ("alice", "ALICE"),
    ("Zo\u{eb}", "ZOE\u{308}"),
    ("straße", "STRASSE"),
    ("bob", "bob\u{fe0f}"),
    ("carol", "ｃａｒｏｌ"),
];

#[test]
fn r10_a_name_is_held_once_whatever_doors_it_is_asked_at() {
    for holder_door in DOORS {
        for asker_door in DOORS {
            for (one, other) in SPELLINGS {
                let mut doors = Doors::open();
                let holder = doors.enter(holder_door, one);
                // A peer of a mesh holds its name from its first words on.
                if holder_door == Protocol::UdpMesh {
                    doors.say(holder, b"hello");
                }
                assert_eq!(doors.names(), [one]);
                let asker = doors.come(asker_door, other, other.as_bytes());
                let case = format!("{holder_door} {one}, {asker_door} {other}");
                assert!(!doors.people[asker].is_in(), "{case}");
                assert!(doors.people[holder].is_in(), "{case}");
                assert_eq!(doors.names(), [one], "{case}");
            }
        }
    }
}

#[test]
fn r10_the_name_of_an_account_is_nobody_elses() {
    for (one, other) in SPELLINGS {
        let mut doors = Doors::open();
        let owner = doors.enter(Protocol::UdpLogin, one);
        doors.leave(owner);
        assert!(doors.names().is_empty());
        for door in DOORS {
            let asker = doors.come(door, other, other.as_bytes());
            let is_owner = door == Protocol::UdpLogin;
            assert_eq!(doors.people[asker].is_in(), is_owner, "{door} {other}");
            doors.leave(asker);
            assert!(doors.names().is_empty(), "{door} {other}");
        }
    }
}
