//! Owns the bytes between two clients that talk without the server: `INIT` and `ACK` over UDP, `CHAT` over TCP.
//! Knows nothing of sockets, clocks or who is listed. The other side is a stranger's program: what does not fit
//! is refused, and nothing is longer than its limit.

use std::fmt;

use super::frame::{self, counted, put};
use crate::protocol::{Decoded, Hidden};

/// The longest `CHAT`, its CRLF included.
pub const MAX_CHAT: usize = 8 * 1024;

/// The longest secret that is taken. Ours have 32 digits.
pub const MAX_SECRET: usize = 64;

/// A datagram between clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake<'a> {
    /// Connect to me on this port.
    Init { secret: Hidden<&'a str>, port: u16 },
    /// I have heard you.
    Ack { secret: Hidden<&'a str> },
}

/// Which rule the other client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Something else than a `CHAT`.
    NotChat,
    /// A `CHAT` that breaks the rules of all frames.
    Frame(frame::Violation),
}

/// A datagram, whole; `None` is nothing of this protocol. Its CRLF may be missing: the datagram's end says enough.
pub fn decode_handshake(datagram: &[u8]) -> Option<Handshake<'_>> {
    let line = datagram.strip_suffix(b"\r\n").unwrap_or(datagram);
    let line = std::str::from_utf8(line).ok()?;
    if let Some(secret) = line.strip_prefix("ACK:INIT:") {
        let hidden = Hidden(secret);
        return is_secret(secret).then_some(Handshake::Ack { secret: hidden });
    }
    let (secret, port) = line.strip_prefix("INIT:")?.split_once(':')?;
    let port = frame::number(port)?;
    let hidden = Hidden(secret);
    (is_secret(secret) && port != 0).then_some(Handshake::Init {
        secret: hidden,
        port,
    })
}

/// A `CHAT`: its text.
pub fn decode_chat(input: &[u8]) -> Result<Decoded<&str>, Violation> {
    let decoded = counted(input, WORD, false, MAX_CHAT).map_err(Violation::Frame)?;
    if let Some(decoded) = decoded {
        return Ok(decoded.map(|(_, text)| text));
    }
    let may_become_one = match input.strip_prefix(WORD.as_bytes()) {
        None => WORD.as_bytes().starts_with(input),
        Some(length) => {
            let is_short = length.len() <= frame::LONGEST_LENGTH;
            // A length below zero has a name of its own.
            is_short && length.iter().all(u8::is_ascii_digit) || length == b"-"
        }
    };
    if may_become_one {
        let needed = input.len() + 1;
        return Ok(Decoded::NeedMore { needed });
    }
    Err(Violation::NotChat)
}

const WORD: &str = "CHAT:";

/// Appends an `INIT`.
pub fn encode_init(secret: &str, port: u16, out: &mut Vec<u8>) {
    put(out, format_args!("INIT:{secret}:{port}\r\n"));
}

/// Appends an `ACK`.
pub fn encode_ack(secret: &str, out: &mut Vec<u8>) {
    put(out, format_args!("ACK:INIT:{secret}\r\n"));
}

/// Appends a `CHAT`.
pub fn encode_chat(text: &str, out: &mut Vec<u8>) {
    put(out, format_args!("CHAT:{}:{text}\r\n", text.len()));
}

/// Whether one secret is smaller than another: as numbers, where both are digits without leading zeros.
pub fn is_smaller(one: &str, other: &str) -> bool {
    (one.len(), one) < (other.len(), other)
}

fn is_secret(text: &str) -> bool {
    let fits = (1..=MAX_SECRET).contains(&text.len());
    fits && text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b':')
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::NotChat => write!(f, "something else than CHAT"),
            Violation::Frame(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for Violation {}

/// The entry for fuzzing.
pub fn fuzz(input: &[u8]) {
    if let Some(handshake) = decode_handshake(input) {
        let mut again = Vec::new();
        match handshake {
            Handshake::Init { secret, port } => encode_init(&secret, port, &mut again),
            Handshake::Ack { secret } => encode_ack(&secret, &mut again),
        }
        let same = decode_handshake(&again);
        assert_eq!(same, Some(handshake), "written again");
    }
    frame::check(input, |bytes, _| decode_chat(bytes));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn handshakes() {
        let init = Handshake::Init {
            secret: Hidden("00ff"),
            port: 5000,
        };
        let ack = Handshake::Ack {
            secret: Hidden("00ff"),
        };
        for (bytes, wanted) in [
            (&b"INIT:00ff:5000\r\n"[..], Some(init)),
            (b"INIT:00ff:5000", Some(init)),
            (b"ACK:INIT:00ff\r\n", Some(ack)),
            (b"ACK:INIT:00ff", Some(ack)),
            (b"", None),
            (b"\r\n", None),
            (b"INIT:00ff:0\r\n", None),
            (b"INIT:00ff:65536\r\n", None),
            (b"INIT:00ff:5000\r\n\r\n", None),
            (b"INIT:00ff:5000:1\r\n", None),
            (b"INIT::5000\r\n", None),
            (b"INIT:0 0:5000\r\n", None),
            (b"INIT:\x1b:5000\r\n", None),
            (b"INIT:00ff\r\n", None),
            (b"ACK:00ff\r\n", None),
            (b"ACK:INIT:\r\n", None),
            (b"ACK:INIT:00ff\n", None),
            (b"ACK:INIT:\xff\r\n", None),
        ] {
            assert_eq!(decode_handshake(bytes), wanted, "{bytes:?}");
            fuzz(bytes);
        }
        let long = format!("ACK:INIT:{}", "f".repeat(MAX_SECRET + 1));
        assert_eq!(decode_handshake(long.as_bytes()), None);
        let mut out = Vec::new();
        encode_init("00ff", 5000, &mut out);
        encode_ack("00ff", &mut out);
        assert_eq!(out, b"INIT:00ff:5000\r\nACK:INIT:00ff\r\n");
    }

    #[test]
    fn r03_chats_at_every_split() {
        for (bytes, text) in [
            (&b"CHAT:2:hi\r\n"[..], "hi"),
            (b"CHAT:0:\r\n", ""),
            (b"CHAT:6:a:\r\nb!\r\n", "a:\r\nb!"),
            ("CHAT:1:é\r\n".as_bytes(), "é"),
            ("CHAT:2:é\r\n".as_bytes(), "é"),
        ] {
            let used = bytes.len();
            let done = Ok(Decoded::Done { frame: text, used });
            assert_eq!(decode_chat(bytes), done);
            fuzz(bytes);
        }
        let mut out = Vec::new();
        encode_chat("é", &mut out);
        assert_eq!(out, "CHAT:2:é\r\n".as_bytes());
    }

    #[test]
    fn broken_chats_are_named() {
        let over = Violation::Frame(frame::Violation::OverLimit { limit: MAX_CHAT });
        for (bytes, violation) in [
            (&b"G"[..], Violation::NotChat),
            (b"CHAX", Violation::NotChat),
            (b"CHAT:x", Violation::NotChat),
            (b"CHAT::", Violation::NotChat),
            (b"CHAT:-x", Violation::NotChat),
            (
                b"CHAT:-1",
                Violation::Frame(frame::Violation::LengthOutOfRange),
            ),
            (
                b"CHAT:1234567890",
                Violation::Frame(frame::Violation::LengthOutOfRange),
            ),
            (b"CHAT:123456789:", over),
            (b"CHAT:8190:", over),
            (
                b"CHAT:1:\xff\r\n",
                Violation::Frame(frame::Violation::NotUtf8),
            ),
        ] {
            assert_eq!(decode_chat(bytes), Err(violation), "{bytes:?}");
            fuzz(bytes);
        }
    }

    #[test]
    fn secrets_are_compared_as_numbers() {
        assert!(is_smaller("0f", "f0") && !is_smaller("f0", "0f"));
        assert!(is_smaller("f", "10") && !is_smaller("10", "10"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(input in proptest::collection::vec(any::<u8>(), 0..100)) {
            fuzz(&input);
        }

        #[test]
        fn nearly_right_bytes_are_borne(input in "(CHAT:|INIT:|ACK:INIT:|)([a-f0-9]{0,3}[:\r\né🐦]{0,3}){0,4}\r?\n?") {
            fuzz(input.as_bytes());
        }
    }
}
