//! Owns the lines by which a server asks whether its client is there, found between messages. Knows not what they
//! are answered with.
//!
//! In IRC and NATS such a line begins with `PING`. What stands between messages comes in pieces of any size, so a
//! line may begin in one and end in another.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::wire::MAX_FRAME_BYTES;

const PING: &[u8] = b"PING";

/// The unfinished lines of all members: nearly always none.
#[derive(Debug, Default)]
pub struct Questions {
    begun: RefCell<HashMap<usize, Vec<u8>>>,
}

impl Questions {
    /// Gives every line that begins with `PING` and ends in this piece to `answer`, without its end.
    pub fn find(&self, member: usize, piece: &[u8], mut answer: impl FnMut(&[u8])) {
        let mut begun = self.begun.borrow_mut();
        let joined;
        let mut rest = match begun.remove(&member) {
            Some(mut line) => {
                line.extend_from_slice(piece);
                joined = line;
                &joined[..]
            }
            None => piece,
        };
        while let Some(at) = rest.windows(PING.len()).position(|word| word == PING) {
            let line = rest.get(at..).unwrap_or_default();
            let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
                if line.len() <= MAX_FRAME_BYTES {
                    begun.insert(member, line.to_vec());
                }
                return;
            };
            let (line, behind) = line.split_at(end);
            answer(line.strip_suffix(b"\r").unwrap_or(line));
            rest = behind;
        }
        // Perhaps the rest of the word comes with the next piece.
        let letters = (1..PING.len()).rev();
        let tail = letters.filter_map(|length| PING.get(..length));
        if let Some(tail) = tail.into_iter().find(|tail| rest.ends_with(tail)) {
            begun.insert(member, tail.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&[u8]]) -> Vec<String> {
        let questions = Questions::default();
        let mut found = Vec::new();
        for piece in pieces {
            questions.find(3, piece, |line| {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            });
            questions.find(4, b"PI", |_| panic!("another member is asked nothing"));
        }
        found
    }

    #[test]
    fn a_question_is_found_wherever_it_is_split() {
        let all = b"\r\nMSG room 1 64\r\nPING\r\n:ann JOIN #room\r\nPING :here?\r\nP";
        let questions = ["PING", "PING :here?"];
        assert_eq!(found(&[all]), questions);
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(found(&bytes), questions);
        for at in 0..all.len() {
            assert_eq!(found(&[&all[..at], &all[at..]]), questions, "{at}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let long = [PING, &vec![b'x'; MAX_FRAME_BYTES]].concat();
        assert_eq!(found(&[&long, b"\n"]), Vec::<String>::new());
    }
}
