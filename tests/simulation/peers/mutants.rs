//! Owns frames that are almost right: what good programs send, damaged as fuzzers damage it, and what fuzzers have
//! kept. Knows no connection and no port.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use mynah::chat::TimeOfDay;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room;
use mynah::protocol::tcrp::datagram::encode_to_server;
use mynah::protocol::tcrp::frame::{Form, Operation, encode_request};
use mynah::protocol::udp_mesh;

use crate::rng::Rng;

/// What a good program of that name would send, from its coming to its going.
pub fn golden(protocol: Protocol, name: &str) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut frame = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        frames.push(bytes);
    };
    let mut line = |text: String| frame(&|out| out.extend(text.bytes()));
    const TOKEN: &str = "token_00112233445566778899aabbccddeeff";
    const SID: &str = "00112233445566778899aabbccddeeff";
    match protocol {
        Protocol::TcpRoom => {
            frame(&|out| tcp_room::frame::encode_join(name, out));
            for text in ["golden", "grüße 🐦", ""] {
                let time = TimeOfDay::MIDNIGHT;
                frame(&|out| tcp_room::frame::encode_say(time, name, text, out));
            }
        }
        Protocol::Group => {
            line(format!("REGISTER:{name}:192.0.2.9:5000\r\n"));
            line(format!("BROADCAST:{name}:6:golden\r\n"));
            line(format!("BROADCAST:{name}:12:a:b\r\n\tgrüß\r\n"));
        }
        Protocol::UdpRoom => {
            line(format!("UN| {name}"));
            line(format!("PM| {name}: golden"));
            line(format!("DM| {name}> {name}: golden"));
            line("golden".to_string());
            line("EX| ".to_string());
        }
        Protocol::UdpLogin => {
            line(format!("C 1 LOGIN {name}"));
            line(format!("C 2 PASS {name} pw {name}"));
            line(format!("C 3 LIST {SID}"));
            line(format!("C 4 PING {SID}"));
            line(format!("D 5 {SID} golden"));
            line(format!("C 6 DM {SID} {name} golden"));
            line(format!("C 7 EX {SID}"));
        }
        Protocol::Tcrp => {
            for (form, operation) in [
                (Form::Long, Operation::Create),
                (Form::Short, Operation::Create),
                (Form::Long, Operation::Join),
                (Form::Short, Operation::Join),
            ] {
                frame(&|out| encode_request(form, operation, "den", name, out));
            }
        }
        Protocol::Ucrp => {
            for text in ["__REGISTER__", "golden", "__LEAVE__"] {
                frame(&|out| encode_to_server("den", TOKEN, text, out));
            }
        }
        Protocol::UdpMesh => {
            frame(&|out| udp_mesh::frame::encode_join(name, out));
            udp_mesh::frame::encode_say(name, "golden", |bytes| frames.push(bytes.to_vec()));
        }
    }
    frames
}

/// One frame that is almost right, or several, or what a fuzzer has kept.
pub fn mutant(protocol: Protocol, name: &str, rng: &mut Rng) -> Vec<u8> {
    let kept = kept(protocol);
    if !kept.is_empty() && rng.once_in(3) {
        return kept[rng.below(kept.len())].clone();
    }
    let frames = golden(protocol, name);
    let mut bytes = frames[rng.below(frames.len())].clone();
    for _ in 0..1 + rng.below(3) {
        damage(&mut bytes, &frames, rng);
    }
    bytes.truncate(LONGEST);
    bytes
}

/// That frame, almost right.
pub fn damaged(protocol: Protocol, mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    damage(&mut bytes, &golden(protocol, "gremlin"), rng);
    bytes.truncate(LONGEST);
    bytes
}

/// What one of them is cut to: longer than any frame may be.
const LONGEST: usize = 20_000;

fn damage(bytes: &mut Vec<u8>, frames: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(bytes.len());
    let other = &frames[rng.below(frames.len())];
    // Lengths are judged at their limits.
    let edge = [
        0,
        1,
        63,
        64,
        127,
        128,
        255,
        256,
        4096,
        4097,
        65_535,
        1 << 31,
    ];
    let number = edge[rng.below(edge.len())];
    match rng.below(11) {
        _ if bytes.is_empty() => bytes.extend(other),
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.next() as u8,
        2 => bytes.truncate(at),
        // One ends where another begins.
        3 => {
            bytes.truncate(at);
            bytes.extend(&other[rng.below(other.len())..]);
        }
        4 => {
            let again = bytes.clone();
            for _ in 0..1 + rng.below(40) {
                bytes.extend(&again);
            }
        }
        5 => {
            let length = [1, 3, 60, 300, 5000][rng.below(5)];
            let byte = rng.next() as u8;
            bytes.splice(at..at, vec![byte; length]);
        }
        6 => drop(bytes.drain(at..(at + 1 + rng.below(8)).min(bytes.len()))),
        // A length in four bytes, of either end, or in digits.
        7 if at + 4 <= bytes.len() => {
            let number = match rng.once_in(2) {
                true => (number as u32).to_le_bytes(),
                false => (number as u32).to_be_bytes(),
            };
            bytes[at..at + 4].copy_from_slice(&number);
        }
        8 => drop(bytes.splice(at..at, number.to_string().bytes())),
        // What breaks lines, fields, terminals and UTF-8.
        9 => {
            let odd: [&[u8]; 8] = [
                b"\r\n",
                b"\0",
                b":",
                b"|",
                b"\x1b[2J",
                b"\xc3",
                b"\xe2\x80\xae",
                b"\xff",
            ];
            bytes.splice(at..at, odd[rng.below(8)].iter().copied());
        }
        _ => bytes.extend(other),
    }
}

/// What a fuzzer has kept for that protocol, if any has run here: always in the same order.
fn kept(protocol: Protocol) -> &'static [Vec<u8>] {
    static KEPT: OnceLock<BTreeMap<Protocol, Vec<Vec<u8>>>> = OnceLock::new();
    let kept = KEPT.get_or_init(|| {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let read = |protocol: &Protocol| {
            let folder = corpus.join(protocol.name().replace('-', "_"));
            let entries = folder.read_dir().into_iter().flatten().flatten();
            let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            let bytes = paths.iter().filter_map(|path| std::fs::read(path).ok());
            (*protocol, bytes.collect())
        };
        Protocol::ALL.iter().map(read).collect()
    });
    &kept[&protocol]
}
