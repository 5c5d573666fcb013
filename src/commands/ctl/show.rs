//! Owns how a server's answer is shown: as it came, or in columns for a person.

use std::fmt::Write;

use chrono::{DateTime, Local};
use serde::Deserialize;
use unicode_width::UnicodeWidthStr;

use super::word;
use crate::control::{AccountLine, BanLine, Last, MemberLine, Request, RoomLine, StatusLine};

/// What was heard so far.
pub(in crate::commands) struct Shown {
    json: bool,
    /// The lines as they came.
    raw: String,
    table: Table,
}

/// Lines of cells.
struct Table(Vec<Vec<String>>);

impl Shown {
    pub(in crate::commands) fn new(json: bool) -> Shown {
        Shown {
            json,
            raw: String::new(),
            table: Table(Vec::new()),
        }
    }

    /// A line of the answer; an error says that it is none.
    pub(in crate::commands) fn take(
        &mut self,
        request: &Request,
        line: &[u8],
    ) -> Result<(), String> {
        if self.json {
            let text = String::from_utf8_lossy(line);
            push_escaped(&text, &mut self.raw);
            self.raw.push('\n');
            return Ok(());
        }
        let rows = &mut self.table.0;
        match request {
            Request::Members => {
                let line: MemberLine = parse(line)?;
                let lag = line
                    .lag
                    .map_or_else(|| "-".to_owned(), |lag| lag.to_string());
                rows.push(vec![line.name, line.protocol, line.address, line.room, lag]);
            }
            Request::Rooms => {
                let line: RoomLine = parse(line)?;
                let mut row = vec![line.room, line.members.to_string()];
                row.extend(line.protocol);
                rows.push(row);
            }
            Request::Bans => {
                let line: BanLine = parse(line)?;
                let until = line.until.map_or_else(|| "for good".to_owned(), time);
                rows.push(vec![line.address, time(line.since), until, line.reason]);
            }
            Request::Accounts => {
                let line: AccountLine = parse(line)?;
                let usable = if line.usable { "yes" } else { "no" };
                rows.push(vec![
                    line.name,
                    usable.to_owned(),
                    line.note.unwrap_or_default(),
                ]);
            }
            Request::Status => {
                let line: StatusLine = parse(line)?;
                rows.extend(status(line));
            }
            _ => return Err("a line that was not asked for".to_owned()),
        }
        Ok(())
    }

    /// All that is to be shown, the answer being over.
    pub(in crate::commands) fn finish(mut self, request: &Request, last: &Last) -> String {
        if let Some(metrics) = last.metrics.as_ref().filter(|_| !self.json) {
            return metrics.clone();
        }
        if self.json {
            let line = String::from_utf8(last.to_line()).unwrap_or_default();
            push_escaped(line.trim_end(), &mut self.raw);
            self.raw.push('\n');
            return self.raw;
        }
        let heads: &[&str] = match request {
            Request::Members => &["NAME", "PROTOCOL", "ADDRESS", "ROOM", "LAG"],
            Request::Rooms => &["ROOM", "MEMBERS", "PROTOCOL"],
            Request::Bans => &["ADDRESS", "SINCE", "UNTIL", "REASON"],
            Request::Accounts => &["NAME", "USABLE", "NOTE"],
            Request::Status => &[],
            _ => {
                let mut text = word(request, last);
                if let Some(note) = &last.note {
                    let _ = write!(text, "; {}", escaped(note));
                }
                text.push('\n');
                for change in &last.changes {
                    text.push_str(&escaped(change));
                    text.push('\n');
                }
                return text;
            }
        };
        self.table.write(heads)
    }
}

fn status(line: StatusLine) -> Vec<Vec<String>> {
    let uptime = std::time::Duration::from_secs(line.uptime);
    let mut rows = vec![
        ("version", line.version),
        ("process", line.pid.to_string()),
        ("up for", humantime::format_duration(uptime).to_string()),
        ("data", line.data_dir),
        ("connections", line.connections.to_string()),
        ("members", line.members.to_string()),
    ];
    if line.draining {
        rows.push(("draining", "it stops when everybody has left".to_owned()));
    }
    let listening = line.listening.into_iter().map(|door| ("listening", door));
    let rows = rows.into_iter().chain(listening);
    rows.map(|(head, cell)| vec![head.to_owned(), cell])
        .collect()
}

impl Table {
    /// Columns as wide as what is in them. Without lines, the heads alone.
    fn write(&self, heads: &[&str]) -> String {
        let rows = self.0.iter().map(|row| {
            let cells = row.iter().map(|cell| escaped(cell));
            cells.collect::<Vec<String>>()
        });
        let rows: Vec<Vec<String>> = rows.collect();
        // A column that nobody has is not there.
        let columns = rows.iter().map(Vec::len).max().unwrap_or(heads.len());
        let heads: Vec<String> = heads
            .iter()
            .take(columns)
            .map(|h| (*h).to_owned())
            .collect();
        let all = || {
            std::iter::once(&heads)
                .filter(|h| !h.is_empty())
                .chain(&rows)
        };
        let width = |column: usize| {
            let cells = all().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in all() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let gap = width.saturating_sub(cell.width()) + 2;
                line.extend(std::iter::repeat_n(' ', gap));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| format!("a line that is not understood: {error}"))
}

/// Seconds since 1970, as the clock on the wall here has it.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    match time {
        Some(time) => {
            let time = time.with_timezone(&Local);
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        }
        None => seconds.to_string(),
    }
}

/// What commands a terminal, or turns the direction of writing around, is escaped as in JSON. What the server relays is
/// harmless already; a reason is whatever an administrator wrote.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    push_escaped(text, &mut out);
    out
}

fn push_escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c.is_control() || turns {
            true => drop(write!(out, "\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(request: &Request, json: bool, lines: &[&str]) -> String {
        let mut shown = Shown::new(json);
        for line in lines {
            shown.take(request, line.as_bytes()).unwrap();
        }
        shown.finish(request, &Last::count(lines.len()))
    }

    #[test]
    fn columns_stand_below_each_other_however_wide_the_letters_are() {
        let lines = [
            r#"{"name":"ann","protocol":"tcp-room","address":"192.0.2.7:4711","room":"lobby","lag":0}"#,
            r#"{"name":"小鳥","protocol":"ucrp","address":"[2001:db8::7]:9","room":"den"}"#,
        ];
        let text = shown(&Request::Members, false, &lines);
        let expected = "\
NAME  PROTOCOL  ADDRESS          ROOM   LAG
ann   tcp-room  192.0.2.7:4711   lobby  0
小鳥  ucrp      [2001:db8::7]:9  den    -
";
        assert_eq!(text, expected);
        let text = shown(&Request::Members, false, &[]);
        assert_eq!(text, "NAME  PROTOCOL  ADDRESS  ROOM  LAG\n");
        let rooms = [r#"{"room":"lobby","members":12}"#];
        let text = shown(&Request::Rooms, false, &rooms);
        assert_eq!(text, "ROOM   MEMBERS\nlobby  12\n");
    }

    #[test]
    fn nothing_that_is_shown_commands_the_terminal() {
        let line =
            "{\"address\":\"192.0.2.7\",\"reason\":\"\\u001b[2J\u{9b}2J\u{202e}\\n\",\"since\":0}";
        let text = shown(&Request::Bans, false, &[line]);
        assert!(text.contains(r"\u001b[2J\u009b2J\u202e\u000a"), "{text}");
        assert!(text.contains("for good"));
        let json = shown(&Request::Bans, true, &[line]);
        for text in [&text, &json] {
            assert!(
                !text.chars().any(|c| c.is_control() && c != '\n'),
                "{text:?}"
            );
        }
        let first = json.lines().next().unwrap();
        let again: BanLine = serde_json::from_str(first).unwrap();
        assert_eq!(again.reason, "\u{1b}[2J\u{9b}2J\u{202e}\n");
        assert_eq!(json.lines().last().unwrap(), r#"{"done":true,"count":1}"#);
    }

    #[test]
    fn what_is_no_line_of_the_answer_is_not_shown_as_one() {
        let mut shown = Shown::new(false);
        assert!(shown.take(&Request::Members, b"{}").is_err());
        assert!(shown.take(&Request::Members, b"\xff").is_err());
        assert!(shown.take(&Request::Stop, b"{}").is_err());
    }
}
