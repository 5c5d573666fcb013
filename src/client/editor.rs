//! Owns the line that somebody is typing: its text, the cursor, the history of lines, and how they look on
//! a screen of so many columns. Knows nothing of terminals and descriptors: keys in, [`Action`]s out,
//! and [`render`](Editor::render) is a function of the state.
//!
//! The rendered line never reaches the last column, so no terminal wraps it, and whoever wants to print
//! something above it clears one row, prints, and renders again.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::chat;

use super::keys::Key;

/// What a key asks of the program around the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The line is done; the editor is empty again.
    Submit(String),
    /// Ctrl-D at an empty line.
    EndOfInput,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Clear,
}

/// A line being typed.
///
/// The cursor is a byte offset at a code point. It moves by grapheme clusters, but what was typed before it may
/// grow together with what stands behind it (a ZWJ before an emoji), so it can stand inside of one.
#[derive(Debug, Default)]
pub struct Editor {
    text: String,
    cursor: usize,
    history: Vec<String>,
    /// Which line of the history is shown, and what was being typed before that.
    recalled: Option<(usize, String)>,
}

/// Lines of history kept: more than anybody scrolls back by arrow keys.
const HISTORY_LINES: usize = 500;

const PROMPT: &str = "> ";

impl Editor {
    /// Takes one key. The caller renders again after a batch of them.
    pub fn handle_key(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Char(c) => self.insert(c),
            Key::PastedLineEnd => self.insert(' '),
            Key::Enter => return Some(Action::Submit(self.submit())),
            Key::Backspace => self.remove(self.before(), self.cursor),
            Key::Delete => self.remove(self.cursor, self.after()),
            Key::Left => self.cursor = self.before(),
            Key::Right => self.cursor = self.after(),
            Key::WordLeft => self.cursor = self.word_before(),
            Key::WordRight => self.cursor = self.word_after(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.text.len(),
            Key::Up => self.recall_older(),
            Key::Down => self.recall_newer(),
            Key::CutToEnd => self.text.truncate(self.cursor),
            Key::CutToStart => self.remove(0, self.cursor),
            Key::CutWord => self.remove(self.word_before(), self.cursor),
            Key::Clear => return Some(Action::Clear),
            Key::EndOfInput if self.text.is_empty() => return Some(Action::EndOfInput),
            Key::EndOfInput => self.remove(self.cursor, self.after()),
            Key::Interrupt => return Some(Action::Interrupt),
            Key::Suspend => return Some(Action::Suspend),
        }
        None
    }

    /// Puts the bytes into `out` that show the line on the row where the terminal's cursor is, and place the
    /// cursor. A line that is too long shows the part around the cursor; it scrolls by half a row.
    pub fn render(&self, columns: usize, out: &mut Vec<u8>) {
        let room = columns.saturating_sub(PROMPT.len() + 1).max(1);
        let cursor_column = column_of(&self.text, self.cursor);
        let half = (room / 2).max(1);
        let start = cursor_column.saturating_sub(room).div_ceil(half) * half;

        out.push(b'\r');
        out.extend_from_slice(PROMPT.as_bytes());
        let mut column = 0;
        let mut shown_to = start;
        for cluster in self.text.graphemes(true) {
            let next = column + columns_of(cluster);
            if next > start + room {
                break;
            }
            if column >= start {
                // A wide character that begins left of the window leaves a gap.
                out.resize(out.len() + (column - shown_to), b' ');
                out.extend_from_slice(if cluster == "\t" { " " } else { cluster }.as_bytes());
                shown_to = next;
            }
            column = next;
        }
        out.extend_from_slice(CLEAR_TO_END_OF_ROW);
        let cursor_right = PROMPT.len() + cursor_column - start;
        out.extend_from_slice(format!("\r\x1b[{cursor_right}C").as_bytes());
    }

    fn insert(&mut self, c: char) {
        let mut buffer = [0; 4];
        // Others would see it so (`chat::harmless`), and our own screen is not to be turned around either.
        let shown = match c {
            '\t' => "\t".into(),
            c => chat::harmless(c.encode_utf8(&mut buffer)),
        };
        self.text.insert_str(self.cursor, &shown);
        self.cursor += shown.len();
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn submit(&mut self) -> String {
        let line = std::mem::take(&mut self.text);
        self.cursor = 0;
        self.recalled = None;
        if !line.is_empty() && self.history.last() != Some(&line) {
            if self.history.len() == HISTORY_LINES {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        line
    }

    fn recall_older(&mut self) {
        let shown = match &self.recalled {
            Some((shown, _)) => *shown,
            None => self.history.len(),
        };
        let Some(older) = shown.checked_sub(1) else {
            return;
        };
        let current = self.replace_text(self.history[older].clone());
        self.recalled = match self.recalled.take() {
            Some((_, draft)) => Some((older, draft)),
            None => Some((older, current)),
        };
    }

    fn recall_newer(&mut self) {
        let Some((shown, draft)) = self.recalled.take() else {
            return;
        };
        match self.history.get(shown + 1).cloned() {
            Some(newer) => {
                self.replace_text(newer);
                self.recalled = Some((shown + 1, draft));
            }
            None => {
                self.replace_text(draft);
            }
        }
    }

    fn replace_text(&mut self, text: String) -> String {
        self.cursor = text.len();
        std::mem::replace(&mut self.text, text)
    }

    /// Where the grapheme cluster before the cursor begins.
    fn before(&self) -> usize {
        self.text
            .grapheme_indices(true)
            .map(|(start, _)| start)
            .take_while(|&start| start < self.cursor)
            .last()
            .unwrap_or(0)
    }

    /// Where the grapheme cluster at the cursor ends.
    fn after(&self) -> usize {
        self.text
            .grapheme_indices(true)
            .map(|(start, _)| start)
            .find(|&start| start > self.cursor)
            .unwrap_or(self.text.len())
    }

    /// Where the word before the cursor begins; words are what white space parts.
    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before
            .char_indices()
            .rfind(|(_, c)| c.is_whitespace())
            .map_or(0, |(start, c)| start + c.len_utf8())
    }

    /// Where the word at or after the cursor ends.
    fn word_after(&self) -> usize {
        let after = &self.text[self.cursor..];
        let word = after.trim_start();
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        self.cursor + (after.len() - word.len()) + end
    }
}

/// The rest of the row becomes blank (ECMA-48, EL).
pub const CLEAR_TO_END_OF_ROW: &[u8] = b"\x1b[K";

/// How many columns stand before the grapheme cluster that `offset` is in.
fn column_of(text: &str, offset: usize) -> usize {
    text.grapheme_indices(true)
        .take_while(|(start, cluster)| start + cluster.len() <= offset)
        .map(|(_, cluster)| columns_of(cluster))
        .sum()
}

/// Tabs are shown as one blank.
fn columns_of(cluster: &str) -> usize {
    if cluster == "\t" { 1 } else { cluster.width() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::keys::Keys;

    fn typed(editor: &mut Editor, bytes: &str) -> Vec<Action> {
        let mut keys = Vec::new();
        Keys::default().feed(bytes.as_bytes(), &mut keys);
        keys.into_iter()
            .filter_map(|key| editor.handle_key(key))
            .collect()
    }

    /// The row and the cursor's column after `render` on a terminal that knows what it uses: CR, EL, CUF.
    fn screen(editor: &Editor, columns: usize) -> (String, usize) {
        let mut bytes = Vec::new();
        editor.render(columns, &mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (row, cursor) = text.rsplit_once("\x1b[K\r\x1b[").expect("EL, CR, CUF last");
        let row = row.strip_prefix('\r').expect("from the first column");
        let cursor = cursor.strip_suffix('C').unwrap().parse().unwrap();
        assert!(row.width() < columns.max(4), "{row:?} would wrap");
        (row.to_owned(), cursor)
    }

    #[test]
    fn editing_keys_do_what_they_say() {
        let table = [
            ("hello", "hello|"),
            ("helo\x1b[Dl", "hell|o"),
            ("abc\x7f", "ab|"),
            ("abc\x01\x1b[3~", "|bc"),
            ("abc\x01\x04", "|bc"),
            ("abc\x01x\x05y", "xabcy|"),
            ("abc\x02\x02\x06X", "abX|c"),
            ("one two three\x17", "one two |"),
            ("one two  \x17", "one |"),
            ("one two\x1bb\x0b", "one |"),
            ("one two\x1b[D\x15", "|o"),
            ("one two\x01\x1bf\x1bf!", "one two!|"),
            ("\x7f\x1b[3~\x1b[D\x1b[C\x17\x15\x0b", "|"),
            ("e\u{301}x\x1b[D\x7f", "|x"),
            (
                "👨\u{200d}👩\u{200d}👧!\x02\x02",
                "|👨\u{200d}👩\u{200d}👧!",
            ),
            ("\x1b[200~a\r\nb\x1b[201~", "a b|"),
        ];
        for (bytes, expected) in table {
            let mut editor = Editor::default();
            assert_eq!(typed(&mut editor, bytes), [], "{bytes:?}");
            let mut shown = editor.text.clone();
            shown.insert(editor.cursor, '|');
            assert_eq!(shown, expected, "{bytes:?}");
        }
    }

    #[test]
    fn lines_and_signs_go_out_as_actions() {
        let mut editor = Editor::default();
        assert_eq!(
            typed(&mut editor, "one\rtwo\r\r"),
            [
                Action::Submit("one".into()),
                Action::Submit("two".into()),
                Action::Submit(String::new())
            ]
        );
        assert_eq!(
            typed(&mut editor, "x\x04\x7f\x04"),
            [Action::EndOfInput],
            "Ctrl-D leaves only at an empty line"
        );
        assert_eq!(
            typed(&mut editor, "y\x03\x1a\x0c"),
            [Action::Interrupt, Action::Suspend, Action::Clear]
        );
    }

    #[test]
    fn the_history_is_walked_and_the_draft_comes_back() {
        let mut editor = Editor::default();
        typed(&mut editor, "one\rtwo\rtwo\r\rdra");
        for (key, expected) in [
            ("\x1b[B", "dra"),
            ("\x1b[A", "two"),
            ("\x1b[A", "one"),
            ("\x1b[A", "one"),
            ("\x1b[B", "two"),
            ("\x1b[B", "dra"),
            ("\x1b[B", "dra"),
        ] {
            typed(&mut editor, key);
            assert_eq!(
                (editor.text.as_str(), editor.cursor),
                (expected, expected.len())
            );
        }
        assert_eq!(
            typed(&mut editor, "\x1b[A!\r"),
            [Action::Submit("two!".into())]
        );
        typed(&mut editor, "\x1b[A");
        assert_eq!(editor.text, "two!");
    }

    #[test]
    fn the_history_has_an_end() {
        let mut editor = Editor::default();
        for number in 0..HISTORY_LINES + 3 {
            typed(&mut editor, &format!("{number}\r"));
        }
        assert_eq!(editor.history.len(), HISTORY_LINES);
        assert_eq!(editor.history[0], "3");
    }

    #[test]
    fn a_short_line_is_shown_whole() {
        let mut editor = Editor::default();
        assert_eq!(screen(&editor, 80), ("> ".into(), 2));
        typed(&mut editor, "añ日\x1b[D");
        assert_eq!(screen(&editor, 80), ("> añ日".into(), 4));
        typed(&mut editor, "\x05!");
        assert_eq!(screen(&editor, 80), ("> añ日!".into(), 7));
    }

    #[test]
    fn a_long_line_scrolls_by_half_a_row() {
        let mut editor = Editor::default();
        typed(&mut editor, "abcdefgh");
        assert_eq!(
            screen(&editor, 11),
            ("> abcdefgh".into(), 10),
            "fits: 8 of 8"
        );
        typed(&mut editor, "i");
        assert_eq!(screen(&editor, 11), ("> efghi".into(), 7));
        typed(&mut editor, "\x01");
        assert_eq!(screen(&editor, 11), ("> abcdefgh".into(), 2));
        typed(&mut editor, "\x1b[200~\t\x1b[201~");
        assert_eq!(
            screen(&editor, 11),
            (">  abcdefg".into(), 3),
            "a tab is a blank"
        );
        let mut editor = Editor::default();
        typed(&mut editor, "abc日efghijk");
        assert_eq!(
            screen(&editor, 11),
            (">  efghijk".into(), 10),
            "the half of a wide character that is left of the window is a gap"
        );
    }

    #[test]
    fn what_turns_a_line_around_is_not_typed() {
        let mut editor = Editor::default();
        typed(&mut editor, "a\u{202e}b");
        assert_eq!(editor.text, "a\u{fffd}b");
    }

    proptest! {
        /// Any bytes, on any width: no panic, a cursor at a code point, and a row that does not wrap.
        #[test]
        fn any_input_renders_within_its_row(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "[a-z日é\u{1f468}\u{200d}\u{301}\u{1f1e9}\\x01\\x02\\x06\\x17 ]{0,60}",
            columns in 0usize..40,
        ) {
            let mut editor = Editor::default();
            let mut keys = Vec::new();
            let mut parser = Keys::default();
            parser.feed(&bytes, &mut keys);
            parser.feed(text.as_bytes(), &mut keys);
            for key in keys {
                editor.handle_key(key);
                prop_assert!(editor.text.is_char_boundary(editor.cursor));
            }
            let (_, cursor) = screen(&editor, columns);
            prop_assert!(cursor < columns.max(4));
        }
    }
}
