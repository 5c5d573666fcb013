//! Lengths and numbers of every size, for every decoder that a server or a client has: taken or named, and never
//! more awaited than a frame may have.

use mynah::protocol::tcrp::frame::Form;
use mynah::protocol::{Decoded, group, tcp_room, tcrp, udp_login, udp_mesh, udp_room};

/// The longest frame that anybody takes in any protocol: an answer in TCRP, with its header and a room's name.
const LONGEST: usize = 32 + 255 + tcrp::frame::MAX_ANSWER_PAYLOAD;

/// Around every power of two, and every small one.
fn boundaries() -> Vec<u128> {
    let around = (0..128).flat_map(|power| {
        let power = 1_u128 << power;
        [power - 1, power, power + 1]
    });
    let mut all: Vec<u128> = (0..300).chain(around).chain([u128::MAX]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// How many bytes are awaited of a frame that is not whole.
fn awaited<T, E>(decoded: Result<Decoded<T>, E>) -> Option<usize> {
    match decoded {
        Ok(Decoded::NeedMore { needed }) => Some(needed),
        Ok(Decoded::Done { .. }) | Err(_) => None,
    }
}

#[test]
fn r06_lengths_of_every_size_are_taken_or_named_and_never_wrap() {
    let mut checked = 0;
    let mut check = |bytes: &[u8], awaited: Option<usize>| {
        checked += 1;
        if let Some(needed) = awaited {
            assert!(bytes.len() < needed, "{needed} bytes awaited of {bytes:x?}");
            assert!(needed <= LONGEST, "{needed} bytes awaited of {bytes:x?}");
        }
    };
    for length in boundaries() {
        // All that the 32 bits can say, negative ones among them.
        let int = (length as u32).to_le_bytes();
        let zero = [0; 4];
        let says = 472_i32.to_le_bytes();
        let said = 372_i32.to_le_bytes();
        let three = 3_i32.to_le_bytes();
        for before in [&[][..], &[three], &[three, zero], &[three, zero, zero]] {
            let message = [&[says], before, &[int]].concat().concat();
            let limits = tcp_room::frame::Limits::SERVER;
            check(
                &message,
                awaited(tcp_room::frame::decode_message(&message, &limits)),
            );
            tcp_room::frame::fuzz(&message);
            let message = [&[said], before, &[int]].concat().concat();
            tcp_room::frame::fuzz(&message);
        }
        for number in [471_i32, 371] {
            let bytes = [number.to_le_bytes(), int].concat();
            if number == 471 {
                check(&bytes, awaited(tcp_room::frame::decode_join(&bytes)));
            }
            tcp_room::frame::fuzz(&bytes);
        }
        // In digits, with a sign, with zeros before it, and with some text behind it.
        for sign in ["", "-", "+", "000", "0000000000000"] {
            for rest in ["", ":", ":text", ":text\r\n"] {
                let bytes = format!("BROADCAST:x:{sign}{length}{rest}").into_bytes();
                check(&bytes, awaited(group::frame::decode_from_client(&bytes, 0)));
                group::frame::fuzz(&bytes);
                group::frame::fuzz(format!("ERROR:{sign}{length}{rest}").as_bytes());
                group::frame::fuzz(format!("REGISTER:x:0.0.0.0:{sign}{length}\r\n").as_bytes());
                let chat = format!("CHAT:{sign}{length}{rest}").into_bytes();
                check(&chat, awaited(group::direct::decode_chat(&chat)));
                group::direct::fuzz(&chat);
                for line in [
                    format!("{sign}{length} PING{rest}"),
                    format!("{sign}{length} OK{rest}"),
                    format!("1 OK USERS {sign}{length}{rest}"),
                ] {
                    udp_login::frame::fuzz(line.as_bytes());
                    udp_room::frame::fuzz(line.as_bytes());
                }
            }
        }
        // In as many bytes as a header has for it, big end first, in either form.
        for form in [Form::Long, Form::Short] {
            let size_bytes = match form {
                Form::Long => 29,
                Form::Short => 28,
            };
            let mut bytes = vec![3, 1, 0];
            bytes.resize(3 + size_bytes - 16, 0);
            bytes.extend(length.to_be_bytes());
            for room in [0, 3, 255] {
                bytes[0] = room;
                for state in 0..3 {
                    bytes[2] = state;
                    check(&bytes, awaited(tcrp::frame::decode_request(&bytes)));
                    check(&bytes, awaited(tcrp::frame::decode_answer(&bytes, form)));
                    tcrp::frame::fuzz(&bytes);
                }
            }
            let mut high = bytes.clone();
            high[3] = 0xff;
            check(&high, awaited(tcrp::frame::decode_request(&high)));
        }
        // As the lengths of one byte each, with too little behind them and with enough.
        let [.., one, other] = length.to_be_bytes();
        for rest in [0, 1, 254, 255, 256, 509, 510, 511, 600] {
            let mut datagram = vec![one, other];
            datagram.resize(2 + rest, b'a');
            tcrp::datagram::fuzz(&datagram);
        }
        // As the number and length of what a pickle has: a string, a binary string, a list's items.
        let long = (length as u64).to_le_bytes();
        for opcode in [
            b'X', b'U', b'T', b'B', b'C', b'J', b'K', b'M', 0x8a, 0x8b, 0x8c, 0x8d,
        ] {
            let mut datagram = vec![0x80, 4, opcode];
            datagram.extend(long);
            datagram.extend(*b"text.");
            udp_mesh::frame::fuzz(&datagram);
        }
    }
    assert!(checked > 10_000, "{checked} were checked");
}

/// What is calculated with lengths stops the program where it is wrong, and in what people run as well.
#[test]
fn r06_arithmetic_is_checked_in_what_people_run() {
    let manifest = include_str!("../Cargo.toml");
    let (_, rest) = manifest.split_once("[profile.release]\n").unwrap();
    let mut release = rest.lines().take_while(|line| !line.starts_with('['));
    assert!(release.any(|line| line == "overflow-checks = true"));
    // Nor does a package of ours or another's go without.
    assert!(!manifest.contains("overflow-checks = false"));
}
