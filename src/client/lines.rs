//! Owns how a stream of bytes from a pipe or a file becomes lines. Knows no descriptor.

/// Lines end with LF or CRLF. What is no UTF-8 in them is replaced, not refused.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

/// A line that is longer is handed out in pieces: a file without line ends must not fill the memory.
const MAX_LINE_BYTES: usize = 64 * 1024;

impl Lines {
    /// Takes all of `bytes` and appends the lines that are whole by it, without their ends.
    pub fn feed(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if let Some(line) = self.partial.strip_suffix(b"\n") {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                lines.push(String::from_utf8_lossy(line).into_owned());
                self.partial.clear();
            } else if self.partial.len() > MAX_LINE_BYTES {
                let whole = whole_characters(&self.partial);
                lines.push(String::from_utf8_lossy(&self.partial[..whole]).into_owned());
                self.partial.drain(..whole);
            }
        }
    }

    /// The line that the input ended in the middle of, if it did.
    pub fn finish(&mut self) -> Option<String> {
        let last = std::mem::take(&mut self.partial);
        (!last.is_empty()).then(|| String::from_utf8_lossy(&last).into_owned())
    }
}

/// How much of `bytes` ends before a character that may still be incomplete. Never nothing.
fn whole_characters(bytes: &[u8]) -> usize {
    let begins_character = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    match bytes.iter().rev().take(4).position(begins_character) {
        Some(behind) if behind + 1 < bytes.len() => bytes.len() - behind - 1,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = Lines::default();
        let mut lines = Vec::new();
        for piece in pieces {
            parser.feed(piece, &mut lines);
        }
        lines.extend(parser.finish());
        lines
    }

    #[test]
    fn lines_are_the_same_however_their_bytes_come() {
        let input = "one\r\ntwo\n\nthrée\rstill\nlast".as_bytes();
        let expected = ["one", "two", "", "thrée\rstill", "last"];
        assert_eq!(lines_of(&[input]), expected);
        let single: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(lines_of(&single), expected);
        assert_eq!(lines_of(&[b"one\n"]), ["one"]);
        assert_eq!(lines_of(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces_that_cut_no_character() {
        let input = "é日".repeat(100_000);
        let pieces: Vec<&[u8]> = input.as_bytes().chunks(4096).collect();
        let lines = lines_of(&pieces);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE_BYTES + 4096));
        assert_eq!(lines.concat(), input);
    }
}
