//! Owns what peers say who keep the rules of their protocol, by its own codec; some of it may be cut off or changed in
//! one place on its way. What nobody says by our codecs comes as bytes.

use std::net::{IpAddr, Ipv4Addr};

use mynah::chat::{Contact, Line, TimeOfDay};
use mynah::protocol::registry::Protocol;
use mynah::protocol::{Datagrams, Secret, group, tcp_room, tcrp, udp_login, udp_mesh, udp_room};

use super::input::Input;

/// Some of them are the same name.
const NAMES: [&str; 8] = [
    "alice",
    "bob",
    "ALICE",
    "carol",
    "Bob",
    "mynah",
    "zo\u{eb}",
    "no\u{5}name",
];

const ROOMS: [&str; 4] = ["lobby", "tea", "TEA", "den"];

/// The same for everybody, so that accounts are found again.
const PASSWORD: &str = "a long enough password";

/// Bytes of what is said many times in one go: a run is to be short.
const MOST: usize = 30_000;

/// The numbers of the requests that have one; a client of ours counts from one on.
const NUMBERS: u8 = 16;

pub fn name(input: &mut Input<'_>) -> String {
    match input.below(NAMES.len() + 4) {
        // More of them than any limit in here.
        10 => format!("guest{}", input.byte()),
        11 => input.text(),
        known => NAMES[known % NAMES.len()].to_owned(),
    }
}

pub fn text(input: &mut Input<'_>) -> String {
    match input.below(8) {
        0 => "hi".to_owned(),
        1 => "alice: hi".to_owned(),
        2 => "(private) alice: hi".to_owned(),
        3 => "\u{1b}]0;x\u{7} \u{202e}\r\n/quit".to_owned(),
        4 => "\u{e9}\u{1f99c}".repeat(1 + input.below(200)),
        _ => input.text(),
    }
}

/// The bits that were drawn as the `number`th, counted from one.
pub fn secret(number: u8) -> Secret {
    Secret::new(u128::from(number).to_be_bytes())
}

fn token(input: &mut Input<'_>) -> String {
    let mut token = Vec::new();
    tcrp::frame::encode_token(secret(input.byte()), &mut token);
    String::from_utf8(token).expect("invariant: a token is ASCII")
}

/// What one sends to a server over a stream.
pub fn to_server(protocol: Protocol, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let out = &mut bytes;
    match protocol {
        Protocol::TcpRoom => match input.below(3) {
            0 => tcp_room::frame::encode_join(&name(input), out),
            _ => {
                let name = name(input);
                tcp_room::frame::encode_say(TimeOfDay::MIDNIGHT, &name, &text(input), out);
            }
        },
        Protocol::Group => match input.below(3) {
            0 => {
                let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, input.byte()));
                let port = u16::from(input.byte()) << 4;
                group::frame::encode_register(&name(input), ip, port, out);
            }
            _ => group::frame::encode_broadcast(&name(input), &[&text(input)], out),
        },
        _ => {
            use tcrp::frame::{Form, Operation};
            let form = input.pick(&[Form::Long, Form::Short]);
            let operation = input.pick(&[Operation::Create, Operation::Join]);
            let room = input.pick(&ROOMS);
            let mut name = name(input);
            // One byte says the length of it, as JSON.
            while name.len() > 36 {
                name.pop();
            }
            tcrp::frame::encode_request(form, operation, room, &name, out);
        }
    }
    harmed(bytes, input)
}

/// What one sends to a server in a datagram.
pub fn datagram_to_server(protocol: Protocol, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let out = &mut bytes;
    match protocol {
        Protocol::UdpRoom => {
            use udp_room::frame::{Asked, encode_asked};
            let (name, other, text) = (name(input), name(input), text(input));
            let claimed = Some(name.as_str());
            let (to, text) = (other.as_str(), text.as_str());
            let asked = match input.below(6) {
                0 | 1 => Asked::Join { name: &name },
                2 => Asked::Say { claimed, text },
                3 => Asked::Direct { claimed, to, text },
                4 => Asked::Plain { text },
                _ => Asked::Leave,
            };
            encode_asked(&asked, out);
        }
        Protocol::UdpLogin => {
            use udp_login::frame::{Asked, Password, Wants, encode_asked};
            let seq = u64::from(input.byte() % NUMBERS);
            let sid = Some(secret(input.byte()));
            let (name, text) = (name(input), text(input));
            let name = name.as_str();
            let session = |wants| Asked::Session { seq, sid, wants };
            let password = Password(PASSWORD);
            let asked = match input.below(10) {
                0 => Asked::Login { seq, name },
                1 | 2 => Asked::Pass {
                    seq,
                    name,
                    password,
                },
                3 => session(Wants::Public),
                4 => session(Wants::Direct),
                5 => session(Wants::Exit),
                6 => session(Wants::Ping),
                7 => session(Wants::Unknown { command: "USERS" }),
                _ => session(Wants::Data { rest: &text }),
            };
            encode_asked(&asked, out);
        }
        Protocol::Ucrp => {
            let room = input.pick(&ROOMS);
            let token = token(input);
            let text = match input.below(4) {
                0 | 1 => tcrp::datagram::REGISTER.to_owned(),
                2 => tcrp::datagram::LEAVE.to_owned(),
                _ => text(input),
            };
            tcrp::datagram::encode_to_server(room, &token, &text, out);
        }
        _ => mesh(input, out),
    }
    harmed(bytes, input)
}

/// What a server sends over a stream.
pub fn from_server(protocol: Protocol, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let out = &mut bytes;
    let contact = Contact {
        ip: Ipv4Addr::new(192, 0, 2, 7),
        port: 4711,
    };
    match protocol {
        Protocol::TcpRoom => match input.below(4) {
            0 => tcp_room::frame::encode_verdict(true, out),
            1 => tcp_room::frame::encode_history(lines(input).iter(), out),
            _ => {
                let name = name(input);
                tcp_room::frame::encode_said(TimeOfDay::MIDNIGHT, &name, &[&text(input)], out);
            }
        },
        Protocol::Group => match input.below(5) {
            0 => {
                out.extend_from_slice(group::frame::LIST_BEGIN);
                for _ in 0..1 + input.below(4) {
                    group::frame::encode_participant(&name(input), contact, out);
                }
                out.extend_from_slice(group::frame::LIST_END);
            }
            1 => group::frame::encode_joined(&name(input), contact, out),
            2 => group::frame::encode_left(&name(input), contact, out),
            3 => group::frame::encode_error(&text(input), out),
            _ => group::frame::encode_broadcast(&name(input), &[&text(input)], out),
        },
        _ => {
            use tcrp::frame::{Form, Head, encode_answers};
            let head = Head {
                form: input.pick(&[Form::Long, Form::Short]),
                operation: 1 + input.byte() % 2,
            };
            let text = text(input);
            let answer = match input.below(3) {
                0 => Err(text.as_str()),
                _ => Ok(secret(1)),
            };
            encode_answers(head, input.pick(&ROOMS), answer, out);
        }
    }
    harmed(bytes, input)
}

/// What a server, or another client, sends in a datagram.
pub fn datagram_from_server(protocol: Protocol, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let out = &mut bytes;
    let mut datagrams = Datagrams::new();
    match protocol {
        Protocol::UdpRoom => {
            use udp_room::frame::{Heard, encode_heard};
            let (name, text) = (name(input), text(input));
            let (name, text) = (name.as_str(), text.as_str());
            let heard = match input.below(12) {
                0 | 1 => Heard::YouAre { name },
                2 => Heard::Joined { name },
                3 => Heard::Left { name },
                4 => Heard::Taken { name },
                5 => Heard::NotOnline { name },
                6 => Heard::NotAName,
                7 => Heard::NameAsked,
                8 => Heard::JoinFirst,
                9 => Heard::Direct { from: name, text },
                10 => Heard::DirectSent { to: name, text },
                _ => Heard::Message { from: name, text },
            };
            encode_heard(&heard, &mut datagrams);
        }
        Protocol::UdpLogin => {
            use udp_login::frame::{Heard, Reply, encode_heard};
            let (name, text) = (name(input), text(input));
            let (name, text) = (name.as_str(), text.as_str());
            let seq = u64::from(input.byte() % NUMBERS);
            let reply = |reply| Heard::Reply { seq, reply };
            let heard = match input.below(15) {
                0 => reply(Reply::Password { exists: false }),
                1 => reply(Reply::Password { exists: true }),
                2 => reply(Reply::Welcome { sid: secret(1) }),
                3 => reply(Reply::Denied { text }),
                4 => reply(Reply::Ready),
                5 => reply(Reply::Sent { to: 3 }),
                6 => reply(Reply::Users {
                    names: "alice bob",
                    more: 1,
                }),
                7 => reply(Reply::NoUser { name }),
                8 => reply(Reply::Bye),
                9 => reply(Reply::Pong),
                10 => reply(Reply::Gone),
                11 => reply(Reply::Error { text }),
                12 => Heard::Arrived { name },
                13 => Heard::Left { name },
                _ => Heard::Message { from: name, text },
            };
            encode_heard(&heard, &mut datagrams);
        }
        Protocol::Ucrp | Protocol::Tcrp => match input.below(4) {
            0 => out.extend_from_slice(tcrp::datagram::ROOM_CLOSED),
            _ => {
                let (name, text) = (name(input), text(input));
                out.extend_from_slice(format!("{name}: {text}").as_bytes());
            }
        },
        Protocol::Group => match input.below(3) {
            0 => group::direct::encode_ack(&digits(input), out),
            _ => {
                let secret = digits(input);
                group::direct::encode_init(&secret, 1 + u16::from(input.byte()), out);
            }
        },
        _ => mesh(input, out),
    }
    if let Some(first) = datagrams.iter().next() {
        bytes = first.to_vec();
    }
    harmed(bytes, input)
}

fn mesh(input: &mut Input<'_>, out: &mut Vec<u8>) {
    use udp_mesh::frame;
    match input.below(5) {
        0 => frame::encode_taken(out),
        1 => frame::encode_welcome(&name(input), &lines(input), out),
        2 => frame::encode_join(&name(input), out),
        _ => {
            let (name, text) = (name(input), text(input));
            let mut first = true;
            frame::encode_say(&name, &text, |datagram| {
                if std::mem::take(&mut first) {
                    out.extend_from_slice(datagram);
                }
            });
        }
    }
}

/// The secret of an exchange between two members, in the digits that it is sent in.
fn digits(input: &mut Input<'_>) -> String {
    let mut digits = Vec::new();
    secret(input.byte()).encode(&mut digits);
    String::from_utf8(digits).expect("invariant: digits are ASCII")
}

fn lines(input: &mut Input<'_>) -> Vec<Line> {
    let line = |input: &mut Input<'_>| Line {
        time: TimeOfDay::MIDNIGHT,
        from: name(input),
        text: text(input),
    };
    (0..input.below(4)).map(|_| line(input)).collect()
}

/// As it was sent, most of the time.
fn harmed(mut bytes: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        1 => bytes.truncate(input.byte().into()),
        2 => {
            let (at, to) = (usize::from(input.byte()), input.byte());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
        }
        3 => {
            let times = 1 + input.below(60);
            bytes = bytes.repeat(times.min(1 + MOST / (1 + bytes.len())));
        }
        4 => bytes.extend(input.bytes()),
        _ => {}
    }
    bytes
}
