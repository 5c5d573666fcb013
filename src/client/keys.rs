//! Owns what the bytes of a keyboard mean: UTF-8, control characters and the escape sequences of
//! xterm and its kin become [`Key`]s. Knows nothing of the line that they edit.
//!
//! Whatever half-finished sequence came before, Ctrl-C, Ctrl-D and Enter are always understood.

use vte::{Params, Parser, Perform};

/// One thing that a person did at the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character to insert. Never a control character, but for the tab of a pasted text.
    Char(char),
    /// A line end in the middle of a pasted text, which sends nothing.
    PastedLineEnd,
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    /// Ctrl-K: away with everything behind the cursor.
    CutToEnd,
    /// Ctrl-U: away with everything before the cursor.
    CutToStart,
    /// Ctrl-W: away with the word before the cursor.
    CutWord,
    /// Ctrl-L: a clean screen.
    Clear,
    /// Ctrl-D.
    EndOfInput,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
}

/// The parser: bytes in, in whatever pieces they come, keys out.
#[derive(Default)]
pub struct Keys {
    parser: Parser,
    state: State,
}

/// What the bytes so far say about the next ones.
#[derive(Debug, Default)]
struct State {
    /// Between the brackets of a pasted text (xterm's "bracketed paste").
    pasting: bool,
    /// The last character was a CR: an LF behind it is the same line end.
    after_cr: bool,
    /// `ESC O` came: the next character names a key.
    after_ss3: bool,
}

impl Keys {
    /// Takes all of `bytes`; an unfinished sequence is kept for the next call.
    pub fn feed(&mut self, bytes: &[u8], keys: &mut Vec<Key>) {
        let mut performer = Performer {
            state: &mut self.state,
            keys,
        };
        for piece in bytes.split_inclusive(|&byte| is_decisive(byte)) {
            match piece.split_last() {
                Some((&last, before)) if is_decisive(last) => {
                    self.parser.advance(&mut performer, before);
                    self.parser.advance(&mut performer, &[CANCEL]);
                    self.parser.advance(&mut performer, &[last]);
                }
                _ => self.parser.advance(&mut performer, piece),
            }
        }
    }
}

/// Alt-] begins what the parser takes for the title of a window, and swallows keys up to its end.
/// These are no part of anything that a keyboard sends, so they get a cancel put before them.
fn is_decisive(byte: u8) -> bool {
    matches!(byte, CTRL_C | CTRL_D | b'\r' | b'\n')
}

/// Ends any sequence (ECMA-48, CAN).
const CANCEL: u8 = 0x18;
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;

struct Performer<'a> {
    state: &'a mut State,
    keys: &'a mut Vec<Key>,
}

impl Perform for Performer<'_> {
    fn print(&mut self, c: char) {
        self.state.after_cr = false;
        if std::mem::take(&mut self.state.after_ss3) {
            self.keys.extend(named_key(c, false));
        } else if c == '\u{7f}' {
            self.keys
                .extend((!self.state.pasting).then_some(Key::Backspace));
        } else {
            self.keys.push(Key::Char(c));
        }
    }

    fn execute(&mut self, byte: u8) {
        if byte == CANCEL {
            return;
        }
        let after_cr = std::mem::replace(&mut self.state.after_cr, byte == b'\r');
        self.state.after_ss3 = false;
        let key = match byte {
            CTRL_C => Key::Interrupt,
            b'\n' if after_cr => return,
            b'\r' | b'\n' if self.state.pasting => Key::PastedLineEnd,
            b'\t' if self.state.pasting => Key::Char('\t'),
            _ if self.state.pasting => return,
            b'\r' | b'\n' => Key::Enter,
            0x01 => Key::Home,
            0x02 => Key::Left,
            CTRL_D => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 => Key::Backspace,
            0x0b => Key::CutToEnd,
            0x0c => Key::Clear,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::CutToStart,
            0x17 => Key::CutWord,
            0x1a => Key::Suspend,
            _ => return,
        };
        self.keys.push(key);
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore || !intermediates.is_empty() {
            return;
        }
        let mut numbers = params.iter().filter_map(|param| param.first().copied());
        let first = numbers.next().unwrap_or(0);
        let modified = numbers.next().unwrap_or(0) > 1;
        match (action, first) {
            ('~', 200) => self.state.pasting = true,
            ('~', 201) => self.state.pasting = false,
            ('~', 1 | 7) => self.keys.push(Key::Home),
            ('~', 4 | 8) => self.keys.push(Key::End),
            ('~', 3) => self.keys.push(Key::Delete),
            _ => self.keys.extend(named_key(action, modified)),
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        match byte {
            _ if !intermediates.is_empty() => {}
            b'O' => self.state.after_ss3 = true,
            b'b' => self.keys.push(Key::WordLeft),
            b'f' => self.keys.push(Key::WordRight),
            _ => {}
        }
    }
}

/// The keys that end in a letter, after `ESC [` (with the number of a held key) or `ESC O`.
fn named_key(letter: char, modified: bool) -> Option<Key> {
    Some(match letter {
        'A' => Key::Up,
        'B' => Key::Down,
        'C' if modified => Key::WordRight,
        'D' if modified => Key::WordLeft,
        'C' => Key::Right,
        'D' => Key::Left,
        'H' => Key::Home,
        'F' => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(pieces: &[&[u8]]) -> Vec<Key> {
        let mut parser = Keys::default();
        let mut keys = Vec::new();
        for piece in pieces {
            parser.feed(piece, &mut keys);
        }
        keys
    }

    /// What one key sends, whole and byte by byte.
    #[test]
    fn each_key_is_known_however_its_bytes_come() {
        let table: &[(&[u8], &[Key])] = &[
            (b"a", &[Key::Char('a')]),
            ("é".as_bytes(), &[Key::Char('é')]),
            ("🐦".as_bytes(), &[Key::Char('🐦')]),
            (b"\x7f", &[Key::Backspace]),
            (b"\x08", &[Key::Backspace]),
            (b"\r", &[Key::Enter]),
            (b"\n", &[Key::Enter]),
            (b"\r\n", &[Key::Enter]),
            (b"\x1b[A", &[Key::Up]),
            (b"\x1bOB", &[Key::Down]),
            (b"\x1b[C", &[Key::Right]),
            (b"\x1b[1;5C", &[Key::WordRight]),
            (b"\x1b[1;3D", &[Key::WordLeft]),
            (b"\x1bb", &[Key::WordLeft]),
            (b"\x1bf", &[Key::WordRight]),
            (b"\x1b[H", &[Key::Home]),
            (b"\x1bOF", &[Key::End]),
            (b"\x1b[1~", &[Key::Home]),
            (b"\x1b[8~", &[Key::End]),
            (b"\x1b[3~", &[Key::Delete]),
            (
                b"\x01\x05\x02\x06",
                &[Key::Home, Key::End, Key::Left, Key::Right],
            ),
            (
                b"\x0b\x15\x17",
                &[Key::CutToEnd, Key::CutToStart, Key::CutWord],
            ),
            (b"\x0c\x1a", &[Key::Clear, Key::Suspend]),
            (b"\x04\x03", &[Key::EndOfInput, Key::Interrupt]),
            (b"\x1b[15~\x1b[?1;2c\x1b[Z\t\0", &[]),
        ];
        for (bytes, expected) in table {
            assert_eq!(keys_of(&[bytes]), *expected, "{bytes:?}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(keys_of(&single), *expected, "{bytes:?} byte by byte");
        }
    }

    #[test]
    fn a_pasted_text_sends_nothing() {
        assert_eq!(
            keys_of(&[b"\x1b[200~a\tb\r\nc\x04\x7f\x1b[201~\r"]),
            [
                Key::Char('a'),
                Key::Char('\t'),
                Key::Char('b'),
                Key::PastedLineEnd,
                Key::Char('c'),
                Key::Enter,
            ]
        );
    }

    #[test]
    fn the_decisive_keys_are_understood_after_anything() {
        for started in [
            "\x1b",
            "\x1b[",
            "\x1b[1;",
            "\x1b]title",
            "\x1bPq",
            "\x1b_",
            "\x1b^",
            "\x1bO",
        ] {
            for (byte, key) in [
                (b'\x03', Key::Interrupt),
                (b'\x04', Key::EndOfInput),
                (b'\r', Key::Enter),
            ] {
                assert_eq!(
                    keys_of(&[started.as_bytes(), &[byte], b"x"]),
                    [key, Key::Char('x')],
                    "{started:?} {byte}"
                );
            }
        }
        assert_eq!(
            keys_of(&[b"\xc3\x03"]).last(),
            Some(&Key::Interrupt),
            "an unfinished character"
        );
        assert_eq!(
            keys_of(&[b"\xf0\x9f", b"\x03"]).last(),
            Some(&Key::Interrupt)
        );
        assert_eq!(
            keys_of(&[b"\x1b[200~never closed\x03"]).last(),
            Some(&Key::Interrupt)
        );
    }

    #[test]
    fn bytes_that_are_no_utf8_become_the_replacement_character() {
        assert_eq!(
            keys_of(&[b"a\xffb"]),
            [Key::Char('a'), Key::Char('\u{fffd}'), Key::Char('b')]
        );
    }
}
