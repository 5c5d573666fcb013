//! Owns the writing of pickles, protocol 5, byte for byte as CPython's `pickle.dumps` writes them. Knows
//! nothing of reading them.

use byteorder::{ByteOrder, LittleEndian};

use super::opcode::*;
use super::{Dict, Key, Message};

/// Appends the pickle of a dict, as `pickle.dumps(dict, protocol=5)` of CPython 3.8 or later gives it.
///
/// CPython writes an object that comes again as a reference to the first. Which equal strings are one
/// object is its own affair: the empty string and single characters below U+0100 always are; others, that
/// came from a keyboard or a datagram, never.
///
/// What comes to 64 KiB or more, CPython would divide into several frames; here it stays one. No datagram
/// of this protocol is that long.
///
/// ```
/// use mynah::protocol::udp_mesh::pickle::{Dict, Message, decode, encode};
///
/// let dict = Dict { protocol_num: 472, username: "alice", message: Message::Text("hi") };
/// let mut bytes = Vec::new();
/// encode(&dict, &mut bytes);
/// assert_eq!(decode(&bytes), Ok(dict));
/// ```
pub fn encode(dict: &Dict<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&[PROTO, 5, FRAME]);
    let frame_length = out.len();
    out.extend_from_slice(&[0; 8]);
    let frame = out.len();

    let mut writer = Writer {
        out,
        kept: 0,
        shared: Vec::new(),
    };
    writer.op(EMPTY_DICT);
    writer.keep();
    writer.op(MARK);
    writer.text(Key::ProtocolNum.name());
    writer.int(dict.protocol_num);
    writer.text(Key::Username.name());
    writer.text(dict.username);
    writer.text(Key::Message.name());
    match &dict.message {
        Message::Text(text) => writer.text(text),
        Message::Lines(lines) => writer.list(lines),
    }
    writer.op(SETITEMS);
    writer.op(STOP);

    // A frame of under four bytes would be left out; this one never is.
    let length = (out.len() - frame) as u64;
    if let Some(place) = out.get_mut(frame_length..frame) {
        LittleEndian::write_u64(place, length);
    }
}

struct Writer<'a, 'o> {
    out: &'o mut Vec<u8>,
    /// Objects in the memo so far.
    kept: u32,
    /// The strings that CPython has once, and where they are in the memo.
    shared: Vec<(&'a str, u32)>,
}

impl<'a> Writer<'a, '_> {
    fn op(&mut self, opcode: u8) {
        self.out.push(opcode);
    }

    fn op_u32(&mut self, opcode: u8, argument: u32) {
        self.out.push(opcode);
        self.out.extend_from_slice(&argument.to_le_bytes());
    }

    fn keep(&mut self) {
        self.op(MEMOIZE);
        self.kept += 1;
    }

    fn int(&mut self, value: i64) {
        if let Ok(byte) = u8::try_from(value) {
            self.out.extend_from_slice(&[BININT1, byte]);
        } else if let Ok(short) = u16::try_from(value) {
            self.op(BININT2);
            self.out.extend_from_slice(&short.to_le_bytes());
        } else if let Ok(int) = i32::try_from(value) {
            self.op(BININT);
            self.out.extend_from_slice(&int.to_le_bytes());
        } else {
            // As few bytes as hold it with its sign.
            let bytes = value.to_le_bytes();
            let sign_bits = if value < 0 {
                value.leading_ones()
            } else {
                value.leading_zeros()
            };
            let length = 8 - (sign_bits as usize - 1) / 8;
            self.out.extend_from_slice(&[LONG1, length as u8]);
            self.out.extend(bytes.iter().take(length));
        }
    }

    fn text(&mut self, text: &'a str) {
        let shared = is_one_object(text);
        if shared && let Some(&(_, place)) = self.shared.iter().find(|(other, _)| *other == text) {
            return match u8::try_from(place) {
                Ok(place) => self.out.extend_from_slice(&[BINGET, place]),
                Err(_) => self.op_u32(LONG_BINGET, place),
            };
        }
        match u8::try_from(text.len()) {
            Ok(length) => self.out.extend_from_slice(&[SHORT_BINUNICODE, length]),
            Err(_) => self.op_u32(
                BINUNICODE,
                u32::try_from(text.len()).expect("invariant: what we send fits a datagram"),
            ),
        }
        self.out.extend_from_slice(text.as_bytes());
        if shared {
            self.shared.push((text, self.kept));
        }
        self.keep();
    }

    fn list(&mut self, lines: &[&'a str]) {
        self.op(EMPTY_LIST);
        self.keep();
        if let [only] = lines {
            self.text(only);
            return self.op(APPEND);
        }
        for batch in lines.chunks(BATCH) {
            self.op(MARK);
            batch.iter().for_each(|line| self.text(line));
            self.op(APPENDS);
        }
    }
}

/// Whether CPython has one object for all strings equal to this.
fn is_one_object(text: &str) -> bool {
    let mut chars = text.chars();
    match chars.next() {
        None => true,
        Some(first) => first < '\u{100}' && chars.next().is_none(),
    }
}

/// How many items CPython appends at once (`BATCHSIZE`).
const BATCH: usize = 1000;
