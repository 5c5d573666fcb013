//! Owns a member of an MQTT topic (version 3.1.1, quality of service 0). Knows no socket.
//!
//! ```text
//!                CONNACK 0              SUBACK 0
//!  AwaitConnack ───────────▶ AwaitSuback ───────▶ Joined
//!       │ other code              │ 0x80
//!       └─────────▶ Over ◀────────┘
//! ```
//!
//! A sender hears itself. The keep-alive is 0: neither side asks whether the other is there.

use mynah::protocol::{ClientSession, Command, Context, Decoded, Unsupported};

use crate::wire::{
    MAX_FRAME_BYTES, ROOM, Violation, each_frame, tell_joined, tell_message, tell_refused,
};

/// One member.
#[derive(Debug)]
pub struct Session {
    name: String,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    AwaitConnack,
    AwaitSuback,
    Joined,
    #[default]
    Over,
}

// The first byte of each packet: its type, and flags that are fixed but for PUBLISH (section 2.2).
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xd0;
const DISCONNECT: u8 = 0xe0;

/// A PUBLISH that was kept for newcomers: the only flag that may be on in what we are sent.
const RETAIN: u8 = 0x01;

impl Session {
    /// Will come in as `name`.
    pub fn new(name: &str) -> Session {
        Session {
            name: name.to_string(),
            state: State::AwaitConnack,
        }
    }

    fn handle_packet(
        &mut self,
        first: u8,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), Violation> {
        let unexpected = || Violation::unexpected(&[&[first], body].concat());
        self.state = match (std::mem::take(&mut self.state), first, body) {
            (State::AwaitConnack, CONNACK, [_, 0]) => {
                let mut body = vec![0, 1];
                put_string(ROOM.as_bytes(), &mut body);
                body.push(0);
                put_packet(SUBSCRIBE, &[&body], &mut context.out.stream);
                State::AwaitSuback
            }
            (State::AwaitConnack, CONNACK, [_, code]) => {
                tell_refused(refusal(*code).as_bytes(), context);
                State::Over
            }
            (State::AwaitSuback, SUBACK, [0, 1, 0]) => {
                tell_joined(&self.name, context);
                State::Joined
            }
            (State::AwaitSuback, SUBACK, [0, 1, 0x80]) => {
                tell_refused(b"the subscription failed", context);
                State::Over
            }
            // A server may send what there is before it says that we are in (3.8.4).
            (state @ (State::AwaitSuback | State::Joined), _, _) if first & !RETAIN == PUBLISH => {
                let said = published(body).ok_or_else(unexpected)?;
                tell_message(b"", said, context);
                state
            }
            (state @ (State::AwaitSuback | State::Joined), PINGRESP, []) => state,
            (State::AwaitConnack | State::AwaitSuback | State::Joined | State::Over, _, _) => {
                return Err(unexpected());
            }
        };
        Ok(())
    }
}

impl ClientSession for Session {
    type Violation = Violation;

    fn start(&mut self, context: &mut Context<'_>) {
        let mut body = Vec::new();
        put_string(b"MQTT", &mut body);
        // The version, a clean session, no keep-alive.
        body.extend_from_slice(&[4, 0x02, 0, 0]);
        put_string(self.name.as_bytes(), &mut body);
        put_packet(CONNECT, &[&body], &mut context.out.stream);
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        each_frame(input, |rest| match decode_packet(rest)? {
            Decoded::NeedMore { .. } => Ok(None),
            Decoded::Done {
                frame: (first, body),
                used,
            } => {
                self.handle_packet(first, body, context)?;
                Ok(Some(used))
            }
        })
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        let out = &mut context.out.stream;
        match command {
            Command::Say(said) => {
                let mut topic = Vec::new();
                put_string(ROOM.as_bytes(), &mut topic);
                put_packet(PUBLISH, &[&topic, said.as_bytes()], out);
            }
            Command::Leave => put_packet(DISCONNECT, &[], out),
            _ => return Err(Unsupported),
        }
        Ok(())
    }

    fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    fn unanswered(&self) -> usize {
        0
    }
}

/// A packet: its first byte and its body. The length between them has seven bits in each of up to four bytes,
/// the lowest first.
fn decode_packet(input: &[u8]) -> Result<Decoded<(u8, &[u8])>, Violation> {
    let mut length = 0;
    for place in 0..4 {
        let (Some(first), Some(byte)) = (input.first(), input.get(1 + place)) else {
            return Ok(Decoded::NeedMore { needed: 2 + place });
        };
        length |= usize::from(byte & 0x7f) << (7 * place);
        if length > MAX_FRAME_BYTES {
            return Err(Violation::FrameOverLimit);
        }
        if byte & 0x80 == 0 {
            let begin = 2 + place;
            let used = begin + length;
            return Ok(match input.get(begin..used) {
                Some(body) => Decoded::Done {
                    frame: (*first, body),
                    used,
                },
                None => Decoded::NeedMore { needed: used },
            });
        }
    }
    let got = input.get(..5).unwrap_or(input);
    Err(Violation::unexpected(got))
}

fn put_packet(first: u8, body: &[&[u8]], out: &mut Vec<u8>) {
    out.push(first);
    let mut length: usize = body.iter().map(|part| part.len()).sum();
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        out.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    body.iter().for_each(|part| out.extend_from_slice(part));
}

/// A string with its length before it. Ours are short.
fn put_string(string: &[u8], out: &mut Vec<u8>) {
    let string = string.get(..0xffff).unwrap_or(string);
    out.extend_from_slice(&(string.len() as u16).to_be_bytes());
    out.extend_from_slice(string);
}

/// What stands behind the topic of a PUBLISH, if it is ours.
fn published(body: &[u8]) -> Option<&[u8]> {
    let (length, rest) = body.split_at_checked(2)?;
    let length = u16::from_be_bytes([*length.first()?, *length.get(1)?]);
    let (topic, said) = rest.split_at_checked(usize::from(length))?;
    (topic == ROOM.as_bytes()).then_some(said)
}

/// The codes of table 3.1.
fn refusal(code: u8) -> String {
    let reason = match code {
        1 => "unacceptable protocol version",
        2 => "identifier rejected",
        3 => "server unavailable",
        4 => "bad user name or password",
        5 => "not authorised",
        _ => return format!("refused with code {code}"),
    };
    reason.to_string()
}

#[cfg(test)]
mod tests {
    use mynah::protocol::Told;

    use super::*;
    use crate::wire::tests::{Client, at_every_split, joined, message};

    /// CONNACK, SUBACK.
    const WELCOME: [u8; 9] = [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0];

    fn member() -> Client<Session> {
        let mut client = Client::new(Session::new("ann"));
        client.receive(&WELCOME).unwrap();
        assert_eq!(client.told(), [joined("ann")]);
        client.sent();
        client
    }

    #[test]
    fn a_member_comes_in_hears_and_speaks() {
        let mut client = Client::new(Session::new("ann"));
        // type, length, protocol, version, flags, keep-alive, identifier
        assert_eq!(client.sent(), b"\x10\x0f\0\x04MQTT\x04\x02\0\0\0\x03ann");
        client.receive(&WELCOME[..4]).unwrap();
        // type, length, number of the packet, topic, quality
        assert_eq!(client.sent(), b"\x82\x09\0\x01\0\x04room\0");
        assert!(!client.session.is_joined());
        client.receive(&WELCOME[4..]).unwrap();
        assert!(client.session.is_joined());

        let mut client = member();
        client.say("hello").unwrap();
        assert_eq!(client.sent(), b"\x30\x0b\0\x04roomhello");
        client
            .receive(b"\x30\x08\0\x04roomhi\xd0\0\x31\x08\0\x04roomho")
            .unwrap();
        assert_eq!(client.told(), [message("", "hi"), message("", "ho")]);
    }

    #[test]
    fn however_it_is_split_the_same_is_told() {
        let long = "x".repeat(200);
        let mut all = WELCOME.to_vec();
        let topic = b"\0\x04room";
        put_packet(PUBLISH, &[topic, long.as_bytes()], &mut all);
        put_packet(PUBLISH, &[topic], &mut all);
        all.extend_from_slice(b"\x30\x08\0\x04r");
        let client = at_every_split(|| Session::new("ann"), &all);
        let told = [joined("ann"), message("", &long), message("", "")];
        assert_eq!(client.told, told);
    }

    #[test]
    fn lengths_of_every_size_come_back() {
        for length in [0, 1, 127, 128, 16_383, 16_384, MAX_FRAME_BYTES] {
            let body = vec![7; length];
            let mut packet = Vec::new();
            put_packet(PUBLISH, &[&body], &mut packet);
            let used = packet.len();
            let done = Decoded::Done {
                frame: (PUBLISH, &body[..]),
                used,
            };
            assert_eq!(decode_packet(&packet), Ok(done));
            assert!(matches!(
                decode_packet(&packet[..used - 1]),
                Ok(Decoded::NeedMore { .. })
            ));
        }
    }

    #[test]
    fn refusals_are_told() {
        for bytes in [&[0x20, 2, 0, 5][..], &[0x20, 2, 0, 0, 0x90, 3, 0, 1, 0x80]] {
            let mut client = Client::new(Session::new("ann"));
            client.receive(bytes).unwrap();
            assert!(matches!(client.told()[..], [Told::Refused { .. }]));
            assert!(client.receive(&[0xd0, 0]).is_err(), "after the end");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let table: [&[u8]; 6] = [
            // another quality of service
            b"\x32\x0a\0\x04room\0\x01hi",
            // another topic
            b"\x30\x08\0\x04rolehi",
            // a topic beyond the packet
            b"\x30\x03\0\x04r",
            // a second CONNACK
            &[0x20, 2, 0, 0],
            // a packet of no type
            &[0, 0],
            // a length that does not end
            &[0x30, 0x80, 0x80, 0x80, 0x80, 0x80],
        ];
        for bytes in table {
            let got = member().receive(bytes);
            assert!(
                matches!(got, Err(Violation::Unexpected { .. })),
                "{bytes:?}"
            );
        }
        let got = member().receive(&[0x30, 0xff, 0xff, 0x7f]);
        assert_eq!(got, Err(Violation::FrameOverLimit));
    }
}
