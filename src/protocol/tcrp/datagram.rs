//! Owns the bytes of UCRP, the half over UDP, in both directions.
//! Knows nothing of sockets, clocks or rooms. What does not fit its lengths exactly is refused.

use super::frame::TOKEN_MARK;
use crate::chat::{PRIVATE_MARK, public, split};
use crate::protocol::{Datagrams, Dropped, Hidden, Secret};

/// The longest datagram that existing clients read.
pub const MAX_DATAGRAM_BYTES: usize = 4096;

/// Binds the datagram's source to its token.
pub const REGISTER: &str = "__REGISTER__";

/// Ends the token.
pub const LEAVE: &str = "__LEAVE__";

/// All of the datagram that says that the room is no more.
pub const ROOM_CLOSED: &[u8] = b"__ROOM_CLOSED__";

/// What a member sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToServer<'a> {
    pub room: &'a str,
    pub token: Hidden<&'a [u8]>,
    /// Without the line's end.
    pub text: &'a str,
}

/// What a member is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToMember<'a> {
    Said { sender: &'a str, text: &'a str },
    RoomClosed,
}

/// A datagram to the server.
pub fn decode_to_server(datagram: &[u8]) -> Result<ToServer<'_>, Dropped> {
    let parts = to_server_parts(datagram).ok_or(TOO_SHORT)?;
    Ok(ToServer {
        room: utf8(parts.room)?,
        token: Hidden(parts.token),
        text: utf8(without_line_end(parts.text))?,
    })
}

/// Whom a datagram to the server claims to be from, before anything else in it is looked at. `None` is not a
/// token that a server of ours gave out.
pub fn claimed_token(datagram: &[u8]) -> Option<Secret> {
    let token = to_server_parts(datagram)?.token;
    Secret::from_hex(token.strip_prefix(TOKEN_MARK.as_bytes())?)
}

/// A datagram to a member.
pub fn decode_to_member(datagram: &[u8]) -> Result<ToMember<'_>, Dropped> {
    if datagram == ROOM_CLOSED {
        return Ok(ToMember::RoomClosed);
    }
    let (&sender_bytes, rest) = datagram.split_first().ok_or(TOO_SHORT)?;
    let (sender, text) = rest
        .split_at_checked(usize::from(sender_bytes))
        .ok_or(TOO_SHORT)?;
    Ok(ToMember::Said {
        sender: utf8(sender)?,
        text: utf8(without_line_end(text))?,
    })
}

/// Appends a datagram to the server. Room and token are at most 255 bytes each.
pub fn encode_to_server(room: &str, token: &str, text: &str, out: &mut Vec<u8>) {
    let length = |text: &str| u8::try_from(text.len()).expect("invariant: judged as it came in");
    out.extend_from_slice(&[length(room), length(token)]);
    for piece in [room, token, text] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// How long a text may be in one datagram to the server.
pub fn text_room(room: &str, token: &str) -> usize {
    MAX_DATAGRAM_BYTES.saturating_sub(2 + room.len() + token.len())
}

/// Adds the datagrams by which a member hears something said to the room.
pub fn encode_said(sender: &str, text: &str, out: &mut Datagrams) {
    // One byte is kept for the space that `public` may put before a piece.
    for piece in split(text, said_room(sender) - 1) {
        encode_piece(sender, &public(piece), out);
    }
}

/// Adds the datagrams by which a member hears something said to it alone.
pub fn encode_direct(sender: &str, text: &str, out: &mut Datagrams) {
    for piece in split(text, said_room(sender) - PRIVATE_MARK.len()) {
        encode_piece(sender, &[PRIVATE_MARK, piece], out);
    }
}

/// How long a text may be in one datagram to a member. A sender is one byte's worth at the most, so there is
/// room for much.
fn said_room(sender: &str) -> usize {
    MAX_DATAGRAM_BYTES - 1 - sender.len().min(usize::from(u8::MAX))
}

fn encode_piece(sender: &str, text: &[&str], out: &mut Datagrams) {
    let sender_bytes = u8::try_from(sender.len()).expect("invariant: names are short");
    out.push(|out| {
        out.push(sender_bytes);
        out.extend_from_slice(sender.as_bytes());
        text.iter()
            .for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    });
}

struct Parts<'a> {
    room: &'a [u8],
    token: &'a [u8],
    text: &'a [u8],
}

fn to_server_parts(datagram: &[u8]) -> Option<Parts<'_>> {
    let (&[room_bytes, token_bytes], rest) = datagram.split_first_chunk()?;
    let (room, rest) = rest.split_at_checked(usize::from(room_bytes))?;
    let (token, text) = rest.split_at_checked(usize::from(token_bytes))?;
    Some(Parts { room, token, text })
}

fn without_line_end(text: &[u8]) -> &[u8] {
    [&b"\r\n"[..], b"\n", b"\r"]
        .iter()
        .find_map(|end| text.strip_suffix(*end))
        .unwrap_or(text)
}

fn utf8(bytes: &[u8]) -> Result<&str, Dropped> {
    std::str::from_utf8(bytes).map_err(|_| Dropped::malformed("not UTF-8"))
}

const TOO_SHORT: Dropped = Dropped::malformed("shorter than its lengths");

/// The entry for fuzzing: whatever the bytes are, every decoder answers, and what it accepts is what an
/// encoder would have written but for a line's end.
pub fn fuzz(datagram: &[u8]) {
    if let Ok(frame) = decode_to_server(datagram)
        && let Ok(token) = std::str::from_utf8(*frame.token)
    {
        let mut again = Vec::new();
        encode_to_server(frame.room, token, frame.text, &mut again);
        assert!(datagram.starts_with(&again), "not what came");
        assert!(datagram.len() - again.len() <= 2, "more than a line's end");
    }
    if let Some(secret) = claimed_token(datagram) {
        let mut token = Vec::new();
        super::frame::encode_token(secret, &mut token);
        assert!(
            datagram.windows(token.len()).any(|part| part == token),
            "not in it"
        );
    }
    if let Ok(ToMember::Said { sender, text }) = decode_to_member(datagram) {
        assert!(sender.len() + text.len() < datagram.len());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(datagrams: &Datagrams) -> Vec<Vec<u8>> {
        datagrams.iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn datagrams_to_the_server() {
        // room_len, token_len, room name, token, text
        let table = [
            ("tea", "token_1", "hi", &b"\x03\x07teatoken_1hi"[..]),
            (
                "tea",
                "token_1",
                REGISTER,
                b"\x03\x07teatoken_1__REGISTER__",
            ),
            (
                "\u{e9}",
                "",
                "\u{1f426}",
                b"\x02\x00\xc3\xa9\xf0\x9f\x90\xa6",
            ),
            ("", "", "", b"\0\0"),
        ];
        for (room, token, text, bytes) in table {
            let mut out = Vec::new();
            encode_to_server(room, token, text, &mut out);
            assert_eq!(out, bytes);
            let frame = ToServer {
                room,
                token: Hidden(token.as_bytes()),
                text,
            };
            assert_eq!(decode_to_server(bytes), Ok(frame));
            for end in ["\r\n", "\n", "\r"] {
                let line = [bytes, end.as_bytes()].concat();
                assert_eq!(decode_to_server(&line), Ok(frame), "{end:?}");
            }
        }
        let two = decode_to_server(b"\0\0a\n\n").unwrap();
        assert_eq!(two.text, "a\n", "one line's end, not all of them");
    }

    #[test]
    fn malformed_datagrams_are_refused() {
        for bytes in [
            &b""[..],
            b"\x03",
            b"\x03\x07teatoken_",
            b"\xff\xff",
            b"\x01\0\xff",
            b"\0\0\xc3",
        ] {
            assert!(decode_to_server(bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&b""[..], b"\x05alic", b"\x01\xffhi", b"\x01a\xff"] {
            assert!(decode_to_member(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_token_is_found_only_where_it_is_whole() {
        let digits = "0123456789abcdef".repeat(2);
        let claimed = |token: &str| {
            let mut out = Vec::new();
            encode_to_server("tea", token, "hi", &mut out);
            claimed_token(&out)
        };
        assert_eq!(
            claimed(&format!("token_{digits}")),
            Secret::from_hex(digits.as_bytes())
        );
        for bad in [
            &digits,
            "token_",
            &format!("token_{digits}0"),
            &format!("Token_{digits}"),
        ] {
            assert_eq!(claimed(bad), None, "{bad}");
        }
        assert_eq!(claimed_token(b"\x03"), None);
    }

    #[test]
    fn what_members_are_sent() {
        let mut out = Datagrams::new();
        encode_said("bob", "hi", &mut out);
        encode_said("bob", "(private) hi", &mut out);
        encode_direct("bob", "hi", &mut out);
        let wanted = [
            &b"\x03bobhi"[..],
            b"\x03bob (private) hi",
            b"\x03bob(private) hi",
        ];
        assert_eq!(sent(&out), wanted);
        assert_eq!(
            decode_to_member(wanted[0]),
            Ok(ToMember::Said {
                sender: "bob",
                text: "hi"
            })
        );
        assert_eq!(decode_to_member(ROOM_CLOSED), Ok(ToMember::RoomClosed));
    }

    #[test]
    fn a_long_text_is_several_datagrams_and_none_of_them_forges_a_direct_message() {
        let room = MAX_DATAGRAM_BYTES - 1 - 3;
        let text = format!("{}(private) x", "y".repeat(room - 1));
        let mut out = Datagrams::new();
        encode_said("bob", &text, &mut out);
        let sent = sent(&out);
        assert_eq!(sent.len(), 2);
        assert!(
            sent.iter()
                .all(|datagram| datagram.len() <= MAX_DATAGRAM_BYTES)
        );
        assert_eq!(sent[1], b"\x03bob (private) x");
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(datagram in proptest::collection::vec(any::<u8>(), 0..100)) {
            fuzz(&datagram);
            fuzz(&[&[1, 38, b'a'][..], TOKEN_MARK.as_bytes(), &datagram].concat());
        }

        #[test]
        fn pieces_are_whole_and_short(sender in "[a-zé]{1,30}", text in "\\PC{1,3000}", direct: bool) {
            let mut out = Datagrams::new();
            if direct {
                encode_direct(&sender, &text, &mut out);
            } else {
                encode_said(&sender, &text, &mut out);
            }
            let mut heard = String::new();
            for datagram in out.iter() {
                prop_assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
                let Ok(ToMember::Said { sender: from, text }) = decode_to_member(datagram) else {
                    panic!("not understood");
                };
                prop_assert_eq!(from, &sender);
                heard.push_str(if direct { text.strip_prefix(PRIVATE_MARK).unwrap() } else { text });
            }
            prop_assert_eq!(heard, text);
        }
    }
}
