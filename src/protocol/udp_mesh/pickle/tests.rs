//! Pickles by hand: good ones in both directions, and for each rule one that breaks it.

use proptest::prelude::*;

use super::super::hex::hex;
use super::*;

fn text<'a>(protocol_num: i64, username: &'a str, text: &'a str) -> Dict<'a> {
    Dict {
        protocol_num,
        username,
        message: Message::Text(text),
    }
}

fn lines<'a>(protocol_num: i64, username: &'a str, lines: &[&'a str]) -> Dict<'a> {
    Dict {
        protocol_num,
        username,
        message: Message::Lines(lines.to_vec()),
    }
}

fn encoded(dict: &Dict<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(dict, &mut out);
    out
}

/// What we write, byte for byte: PROTO and FRAME, EMPTY_DICT and MARK, then key, value, key, value,
/// key, value, then SETITEMS and STOP.
fn good() -> Vec<(Dict<'static>, &'static str)> {
    vec![
        (
            text(471, "alice", ""),
            "8005 953700000000000000 7d94 28 \
             8c0c70726f746f636f6c5f6e756d94 4dd701 8c08757365726e616d6594 8c05616c69636594 \
             8c076d65737361676594 8c0094 75 2e",
        ),
        // The second empty string is the first: BINGET 3.
        (
            text(370, "", ""),
            "8005 953100000000000000 7d94 28 \
             8c0c70726f746f636f6c5f6e756d94 4d7201 8c08757365726e616d6594 8c0094 \
             8c076d65737361676594 6803 75 2e",
        ),
        // So is a single character below U+0100, though not a longer string or a later character.
        (
            lines(371, "é", &["é", "ab", "ab", "ā", "ā", ""]),
            "8005 954e00000000000000 7d94 28 \
             8c0c70726f746f636f6c5f6e756d94 4d7301 8c08757365726e616d6594 8c02c3a994 \
             8c076d65737361676594 5d94 28 6803 8c02616294 8c02616294 8c02c48194 8c02c48194 8c0094 65 \
             75 2e",
        ),
        (
            lines(371, "a", &[]),
            "8005 953200000000000000 7d94 28 \
             8c0c70726f746f636f6c5f6e756d94 4d7301 8c08757365726e616d6594 8c016194 \
             8c076d65737361676594 5d94 75 2e",
        ),
        // One item is appended without a mark.
        (
            lines(255, "a", &["b"]),
            "8005 953600000000000000 7d94 28 \
             8c0c70726f746f636f6c5f6e756d94 4bff 8c08757365726e616d6594 8c016194 \
             8c076d65737361676594 5d94 8c016294 61 75 2e",
        ),
        (
            text(-1, "a", "b"),
            "8005 953600000000000000 7d94 28 \
             8c0c70726f746f636f6c5f6e756d94 4affffffff 8c08757365726e616d6594 8c016194 \
             8c076d65737361676594 8c016294 75 2e",
        ),
        (
            text(0x8000_0000, "a", "b"),
            "8005 953800000000000000 7d94 28 \
             8c0c70726f746f636f6c5f6e756d94 8a050000008000 8c08757365726e616d6594 8c016194 \
             8c076d65737361676594 8c016294 75 2e",
        ),
    ]
}

#[test]
fn every_pickle_of_the_table_in_both_directions() {
    for (dict, bytes) in good() {
        let whole = hex(bytes);
        assert_eq!(encoded(&dict), whole, "{dict:?}");
        assert_eq!(decode(&whole), Ok(dict), "{bytes}");
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{bytes} at {length}");
        }
        let more = [whole.as_slice(), b"."].concat();
        let trailing = Violation::TrailingBytes { count: 1 };
        assert_eq!(decode(&more), Err(trailing), "{bytes}");
    }
}

#[test]
fn long_strings_have_long_lengths() {
    for (length, opcode) in [(255, opcode::SHORT_BINUNICODE), (256, opcode::BINUNICODE)] {
        let long = "x".repeat(length);
        let bytes = encoded(&text(472, "a", &long));
        assert_eq!(bytes[57], opcode);
        assert_eq!(decode(&bytes), Ok(text(472, "a", &long)));
    }
}

#[test]
fn many_lines_come_in_batches_and_with_long_references() {
    let many: Vec<String> = (0..1001).map(|n| format!("line {n}")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many[999] = "é";
    many[1000] = "é";
    let bytes = encoded(&lines(371, "a", &many));
    // … MEMOIZE APPENDS MARK LONG_BINGET 1005 APPENDS SETITEMS STOP
    assert!(bytes.ends_with(&hex("8c02c3a994 65 28 6aed030000 65 75 2e")));
}

#[test]
fn r20_the_same_dict_in_every_protocol() {
    let table = [
        // PUT and UNICODE are text, each to its line end.
        (
            0,
            "286470300a5670726f746f636f6c5f6e756d0a70310a493437310a7356757365726e616d650a70320a\
             56616c6963650a70330a73566d6573736167650a70340a560a70350a732e",
        ),
        (
            1,
            "7d710028580c00000070726f746f636f6c5f6e756d71014dd7015808000000757365726e616d657102\
             5805000000616c696365710358070000006d657373616765710458000000007105752e",
        ),
        (
            2,
            "80027d710028580c00000070726f746f636f6c5f6e756d71014dd7015808000000757365726e616d65\
             71025805000000616c696365710358070000006d657373616765710458000000007105752e",
        ),
        (
            3,
            "80037d710028580c00000070726f746f636f6c5f6e756d71014dd7015808000000757365726e616d65\
             71025805000000616c696365710358070000006d657373616765710458000000007105752e",
        ),
        (
            4,
            "80049537000000000000007d94288c0c70726f746f636f6c5f6e756d944dd7018c08757365726e616d\
             65948c05616c696365948c076d657373616765948c0094752e",
        ),
        (
            5,
            "80059537000000000000007d94288c0c70726f746f636f6c5f6e756d944dd7018c08757365726e616d\
             65948c05616c696365948c076d657373616765948c0094752e",
        ),
    ];
    for (protocol, bytes) in table {
        let wanted = match protocol {
            0 | 1 => Err(Violation::NoProtocol),
            _ => Ok(text(471, "alice", "")),
        };
        assert_eq!(decode(&hex(bytes)), wanted, "protocol {protocol}");
    }
}

/// A pickle of protocol 4 without frame and memo, in words: `{` EMPTY_DICT, `(` MARK, `n` `u` `m` the
/// keys, other letters in quotes as short strings, and whatever else as hex.
fn pickle(words: &str) -> Vec<u8> {
    let string = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes()].concat();
    let mut out = vec![0x80, 4];
    for word in words.split_whitespace() {
        match word {
            "{" => out.push(b'}'),
            "[" => out.push(b']'),
            "(" => out.push(b'('),
            "n" => out.extend(string("protocol_num")),
            "u" => out.extend(string("username")),
            "m" => out.extend(string("message")),
            _ => match word.strip_prefix('\'') {
                Some(text) => out.extend(string(text)),
                None => out.extend(hex(word)),
            },
        }
    }
    out
}

/// A number, a name, and how a dict ends, for rows that are about the message.
const BEFORE: &str = "{ ( n 4b01 u 'a m";

#[test]
fn other_ways_to_write_the_dict_are_read() {
    let table = [
        // No memo, no frame, another order, SETITEM one by one, APPEND one by one.
        ("{ ( m 'hi u 'a n 4b01 75 2e", text(1, "a", "hi")),
        ("{ m 'hi 73 u 'a 73 n 4b01 73 2e", text(1, "a", "hi")),
        (
            "{ ( n 4b01 u 'a m [ 'x 61 'y 61 75 2e",
            lines(1, "a", &["x", "y"]),
        ),
        // A batch, and another; an empty one.
        (
            "{ ( n 4b01 u 'a m [ ( 'x 65 ( 'y 'z 65 ( 65 75 2e",
            lines(1, "a", &["x", "y", "z"]),
        ),
        // Numbers in every width: BININT, LONG1 of none, of two and of eight bytes.
        (
            "{ ( n 4affffff7f u 'a m 'x 75 2e",
            text(i32::MAX.into(), "a", "x"),
        ),
        ("{ ( n 8a00 u 'a m 'x 75 2e", text(0, "a", "x")),
        ("{ ( n 8a02d7ff u 'a m 'x 75 2e", text(-41, "a", "x")),
        (
            "{ ( n 8a080000000000000080 u 'a m 'x 75 2e",
            text(i64::MIN, "a", "x"),
        ),
        // BINUNICODE, BINUNICODE8.
        ("{ ( n 4b01 u 5801000000 61 m 'x 75 2e", text(1, "a", "x")),
        (
            "{ ( n 4b01 u 8d0100000000000000 61 m 'x 75 2e",
            text(1, "a", "x"),
        ),
        // LONG_BINPUT and LONG_BINGET.
        (
            "{ ( n 4b01 u 'a 7200000000 m 6a00000000 75 2e",
            text(1, "a", "a"),
        ),
    ];
    for (words, dict) in table {
        assert_eq!(decode(&pickle(words)), Ok(dict), "{words}");
    }
}

#[test]
fn frames_follow_each_other_and_nothing_lies_across_their_ends() {
    let broken = |at| Err(Violation::FrameBroken { at });
    let table = [
        // Two frames, the rest in none.
        (
            "9501 00000000000000 7d 9501 00000000000000 28 n 4b01 u 'a m 'x 75 2e",
            Ok(text(1, "a", "x")),
        ),
        (
            "9500 00000000000000 { ( n 4b01 u 'a m 'x 75 2e",
            Ok(text(1, "a", "x")),
        ),
        // The frame ends in the middle of BININT1, of a string, of the next frame's length.
        ("9511 00000000000000 { ( n 4b01 u 'a m 'x 75 2e", broken(28)),
        ("9505 00000000000000 { ( n 4b01 u 'a m 'x 75 2e", broken(15)),
        (
            "9503 00000000000000 { 9501 00000000000000 28 2e",
            broken(12),
        ),
        // It is longer than what there is.
        (
            "9505 00000000000000 { ( 2e",
            Err(Violation::LengthOverInput { got: 5, left: 3 }),
        ),
        (
            "95ff ffffffffffffff { ( 2e",
            Err(Violation::LengthOverInput {
                got: u64::MAX,
                left: 3,
            }),
        ),
        // It goes on behind STOP.
        (
            "952e 00000000000000 { ( n 4b01 u 'a m 'x 75 2e 2e",
            Err(Violation::TrailingBytes { count: 1 }),
        ),
    ];
    for (words, wanted) in table {
        assert_eq!(decode(&pickle(words)), wanted, "{words}");
    }
}

#[test]
fn broken_pickles_are_named() {
    use Violation::*;
    let misplaced = |opcode: u8| Misplaced {
        opcode: Opcode(opcode),
    };
    let second = |opcode: u8| SecondContainer {
        opcode: Opcode(opcode),
    };
    let wrong = |key| WrongType { key };
    let table: Vec<(&str, Violation)> = vec![
        ("", Truncated),
        ("{", Truncated),
        ("{ ( n 4b", Truncated),
        ("{ ( n 4d01", Truncated),
        ("{ ( n 4a010000", Truncated),
        ("{ ( n 8a0201", Truncated),
        ("{ ( 58010000", Truncated),
        ("{ 94 68", Truncated),
        // Strings longer than the datagram, by one and by all that a length can say.
        ("{ 8c02 61", LengthOverInput { got: 2, left: 1 }),
        ("{ 5802000000 61", LengthOverInput { got: 2, left: 1 }),
        (
            "{ 58ffffffff 61",
            LengthOverInput {
                got: u32::MAX.into(),
                left: 1,
            },
        ),
        (
            "{ 8dffffffffffffffff 61",
            LengthOverInput {
                got: u64::MAX,
                left: 1,
            },
        ),
        // Bytes that are no UTF-8; a surrogate as Python's surrogatepass writes it.
        ("{ 8c01 ff", NotUtf8),
        ("{ 8c03 eda080", NotUtf8),
        ("{ 8a09 000000000000000000", NumberTooLong { bytes: 9 }),
        // The memo: not from 0, with a gap, over what is there, of nothing, of dict and list.
        ("{ 7101", MemoNotDense { got: 1, next: 0 }),
        ("{ 7100 7100", MemoNotDense { got: 0, next: 1 }),
        (
            "{ 72ffffff7f",
            MemoNotDense {
                got: 0x7fff_ffff,
                next: 0,
            },
        ),
        ("{ 94 6801", NotInMemo { got: 1 }),
        ("{ 94 6affffffff", NotInMemo { got: u32::MAX }),
        ("{ 94 6800", NotInMemo { got: 0 }),
        ("{ ( m [ 94 6800", NotInMemo { got: 0 }),
        ("94", misplaced(opcode::MEMOIZE)),
        ("{ ( 94", misplaced(opcode::MEMOIZE)),
        // Containers: one dict, one list, the list of strings, and neither in itself.
        ("{ {", second(opcode::EMPTY_DICT)),
        ("{ ( m [ [", second(opcode::EMPTY_LIST)),
        ("{ ( m [ 4b01 61", misplaced(opcode::APPEND)),
        ("{ ( m [ ( 'x 4b01 65", misplaced(opcode::APPENDS)),
        ("{ 'x 61", misplaced(opcode::APPEND)),
        ("[ 61", misplaced(opcode::APPEND)),
        ("[ ( 'x 61", misplaced(opcode::APPEND)),
        ("[ 'x 65", misplaced(opcode::APPENDS)),
        ("( 65", misplaced(opcode::APPENDS)),
        ("{ [ 61", misplaced(opcode::APPEND)),
        ("[ ( { 65", misplaced(opcode::APPENDS)),
        // Items: of a dict, in pairs, behind a mark.
        ("73", misplaced(opcode::SETITEM)),
        ("{ 73", misplaced(opcode::SETITEM)),
        ("{ n 73", misplaced(opcode::SETITEM)),
        ("[ n 4b01 73", misplaced(opcode::SETITEM)),
        ("{ n 4b01 75", misplaced(opcode::SETITEMS)),
        ("{ ( n 75", misplaced(opcode::SETITEMS)),
        ("[ ( n 4b01 75", misplaced(opcode::SETITEMS)),
        ("( { n 4b01 75", misplaced(opcode::SETITEMS)),
        ("{ 4b01 4b01 73", misplaced(opcode::SETITEM)),
        // The end: the dict alone, and no open mark.
        ("2e", misplaced(opcode::STOP)),
        ("'x 2e", misplaced(opcode::STOP)),
        ("[ 2e", misplaced(opcode::STOP)),
        ("{ 4b01 2e", misplaced(opcode::STOP)),
        ("{ ( 2e", misplaced(opcode::STOP)),
        // Keys: these three, once each, with their types.
        (
            "{ 2e",
            MissingKey {
                key: Key::ProtocolNum,
            },
        ),
        ("{ ( n 4b01 m 'x 75 2e", MissingKey { key: Key::Username }),
        ("{ ( n 4b01 u 'x 75 2e", MissingKey { key: Key::Message }),
        ("{ 'x 4b01 73", UnknownKey),
        ("{ 'Message 'x 73", UnknownKey),
        (
            "{ ( n 4b01 n 4b01 75",
            DuplicateKey {
                key: Key::ProtocolNum,
            },
        ),
        ("{ ( m 'x m [ 75", DuplicateKey { key: Key::Message }),
        ("{ ( u 'x u 'x 75", DuplicateKey { key: Key::Username }),
        ("{ n 'x 73", wrong(Key::ProtocolNum)),
        ("{ n [ 73", wrong(Key::ProtocolNum)),
        ("{ u 4b01 73", wrong(Key::Username)),
        ("{ u [ 73", wrong(Key::Username)),
        ("{ m 4b01 73", wrong(Key::Message)),
        ("{ ( n 4b01 u 'a m 'x 75 2e 2e", TrailingBytes { count: 1 }),
        // Its protocol again.
        (
            "8004",
            Forbidden {
                opcode: Opcode(opcode::PROTO),
                at: 2,
            },
        ),
    ];
    for (words, violation) in table {
        assert_eq!(decode(&pickle(words)), Err(violation), "{words:?}");
        assert!(!violation.to_string().is_empty());
    }
    for (bytes, violation) in [
        ("", NoProtocol),
        ("2e", NoProtocol),
        ("80", Truncated),
        ("8000", UnknownProtocol { got: 0 }),
        ("8001 7d2e", UnknownProtocol { got: 1 }),
        ("8006 7d2e", UnknownProtocol { got: 6 }),
        ("80ff", UnknownProtocol { got: 255 }),
    ] {
        assert_eq!(decode(&hex(bytes)), Err(violation), "{bytes:?}");
    }
}

/// Every instruction that the decoder does not have, as a pickle that uses it where a value would
/// stand, and with what it would do to a decoder that had it.
#[test]
fn r20_every_other_instruction_is_refused_unread() {
    let table = [
        // Naming and calling: `os.system`, what the dict's own class would be, and their kin.
        ("GLOBAL", "63 6f730a 73797374656d0a 28 8c027368 85 52"),
        ("STACK_GLOBAL", "93"),
        ("INST", "69 6f730a 73797374656d0a"),
        ("OBJ", "6f"),
        ("REDUCE", "52"),
        ("BUILD", "62"),
        ("NEWOBJ", "81"),
        ("NEWOBJ_EX", "92"),
        ("EXT1", "82 01"),
        ("EXT2", "83 0100"),
        ("EXT4", "84 01000000"),
        ("PERSID", "50 310a"),
        ("BINPERSID", "51"),
        ("NEXT_BUFFER", "97"),
        ("READONLY_BUFFER", "98"),
        // Copies and holes in the stack.
        ("DUP", "32"),
        ("POP", "30"),
        ("POP_MARK", "31"),
        // The text forms of protocol 0.
        ("INT", "49 3437310a"),
        ("LONG", "4c 3437314c0a"),
        ("STRING", "53 2761270a"),
        ("UNICODE", "56 610a"),
        ("FLOAT", "46 310a"),
        ("PUT", "70 300a"),
        ("GET", "67 300a"),
        ("DICT", "64"),
        ("LIST", "6c"),
        // Values that the dict does not have.
        ("NONE", "4e"),
        ("NEWTRUE", "88"),
        ("NEWFALSE", "89"),
        ("LONG4", "8b 01000000 01"),
        ("BINFLOAT", "47 3ff0000000000000"),
        ("BINSTRING", "54 01000000 61"),
        ("SHORT_BINSTRING", "55 01 61"),
        ("BINBYTES", "42 ffffffff"),
        ("SHORT_BINBYTES", "43 01 61"),
        ("BINBYTES8", "8e ffffffffffffffff"),
        ("BYTEARRAY8", "96 ffffffffffffffff"),
        ("EMPTY_TUPLE", "29"),
        ("TUPLE", "74"),
        ("TUPLE1", "85"),
        ("TUPLE2", "86"),
        ("TUPLE3", "87"),
        ("EMPTY_SET", "8f"),
        ("ADDITEMS", "90"),
        ("FROZENSET", "91"),
    ];
    for (name, bytes) in table {
        let bytes = pickle(&format!("{BEFORE} {bytes} 75 2e"));
        let at = pickle(BEFORE).len();
        let opcode = Opcode(bytes[at]);
        assert_eq!(opcode.name(), Some(name));
        let violation = Violation::Forbidden { opcode, at };
        assert_eq!(decode(&bytes), Err(violation));
        assert_eq!(violation.to_string(), format!("{name} at byte {at}"));
    }
    // With those that it has, and PROTO, which stands only at the front, these are all.
    assert_eq!(opcode::NAMES.len(), 68);
    let refused = |byte: &u8| {
        let bytes = [pickle(BEFORE), vec![*byte; 9]].concat();
        matches!(decode(&bytes), Err(Violation::Forbidden { .. }))
    };
    let known: Vec<u8> = opcode::NAMES.iter().map(|(code, _)| *code).collect();
    let refused_known = known.iter().filter(|byte| refused(byte)).count();
    assert_eq!(refused_known, table.len() + 1);
    let unknown: Vec<u8> = (0..=255).filter(|byte| !known.contains(byte)).collect();
    assert!(unknown.iter().all(refused));
    assert_eq!(Opcode(0xff).to_string(), "unknown opcode 0xff");
}

#[test]
fn r20_bombs_do_not_go_off() {
    let marks = [pickle("{"), vec![b'('; 4000]].concat();
    let limit = MAX_DEPTH;
    assert_eq!(decode(&marks), Err(Violation::TooDeep { limit }));

    let numbers = [pickle("{ ("), b"K\x01".repeat(2000)].concat();
    let limit = MAX_ITEMS;
    assert_eq!(decode(&numbers), Err(Violation::TooManyItems { limit }));

    let items = [pickle("{ ( m ["), b"\x8c\x00a".repeat(1000)].concat();
    assert_eq!(decode(&items), Err(Violation::TooManyItems { limit }));

    let memo = [pickle("{"), vec![opcode::MEMOIZE; 4000]].concat();
    let limit = MAX_MEMO;
    assert_eq!(decode(&memo), Err(Violation::MemoFull { limit }));

    // One string of 3,000 bytes, two hundred times.
    let long = pickle(&format!("{{ ( m [ 58b80b0000 {} 94", "78".repeat(3000)));
    let bomb = [long, b"ah\0".repeat(200)].concat();
    let limit = bomb.len();
    assert_eq!(decode(&bomb), Err(Violation::Multiplied { limit }));
}

#[test]
fn as_many_lines_as_a_datagram_has_are_read() {
    let many: Vec<String> = (0..220).map(|n| format!("line {n:03}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let dict = lines(371, "a", &many);
    assert_eq!(decode(&encoded(&dict)), Ok(dict));
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-cé]",
        any::<String>(),
        "\\PC{200,400}",
        "x{255,257}"
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        protocol_num in prop_oneof![any::<i64>(), -300i64..70_000],
        username in any_text(),
        single in any_text(),
        list in proptest::option::of(proptest::collection::vec(any_text(), 0..12)),
    ) {
        let message = match &list {
            None => Message::Text(&single),
            Some(list) => Message::Lines(list.iter().map(String::as_str).collect()),
        };
        let dict = Dict { protocol_num, username: &username, message };
        let bytes = encoded(&dict);
        prop_assert_eq!(decode(&bytes), Ok(dict));
    }
}
