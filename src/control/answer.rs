//! Owns the lines of an answer over the control socket. Knows nothing of the questions.

use serde::{Deserialize, Serialize};

use crate::store::{Account, Accounts, Secret};

/// Somebody who is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLine {
    pub name: String,
    pub protocol: String,
    /// With its port.
    pub address: String,
    pub room: String,
    /// Bytes that it is due and has not taken. None where datagrams carry the protocol: what is late there is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLine {
    pub room: String,
    /// Whose it is, where each protocol has rooms of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    pub members: u64,
}

/// From where nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanLine {
    /// An address, or a prefix of them.
    pub address: String,
    pub reason: String,
    /// When it was said, in seconds since 1970.
    pub since: u64,
    /// When it is over, in seconds since 1970; none is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// An account. Never what its password is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLine {
    pub name: String,
    /// Whether its owner can log in with it.
    pub usable: bool,
    /// What there is to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl AccountLine {
    /// All accounts, by name, those last that nobody can use.
    pub fn all(accounts: &Accounts) -> Vec<AccountLine> {
        let mut lines: Vec<AccountLine> = accounts.iter().map(AccountLine::of).collect();
        lines.sort_by(|one, other| one.name.cmp(&other.name));
        lines.extend(accounts.denied().map(|denied| AccountLine {
            name: denied.name().to_owned(),
            usable: false,
            note: Some(denied.denial().to_string()),
        }));
        lines
    }

    fn of(account: &Account) -> AccountLine {
        let is_plain = matches!(account.secret(), Secret::Plain(_));
        AccountLine {
            name: account.name().as_str().to_owned(),
            usable: true,
            note: is_plain.then(|| "its password is in plain until it is hashed".to_owned()),
        }
    }
}

/// What server it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusLine {
    pub version: String,
    pub pid: u32,
    /// Seconds since its start.
    pub uptime: u64,
    pub data_dir: String,
    /// As `tcp-room on 127.0.0.1:42069`.
    pub listening: Vec<String>,
    /// TCP connections.
    pub connections: u64,
    /// In a room, by whatever protocol.
    pub members: u64,
    /// Whether it lets nobody in any more.
    pub draining: bool,
}

/// Any line but the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    Member(MemberLine),
    Room(RoomLine),
    Ban(BanLine),
    Account(AccountLine),
    Status(StatusLine),
}

/// The last line: how it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// `true`, if it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<bool>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What kind of reason that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ErrorKind>,
    /// To how many it was done, or how many lines there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What else whoever asked should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What a reload has found different, a key each, and when it takes effect if not at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The figures, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The line was no request.
    Request,
    /// Nobody is called so, there is no such account, nothing is banned there.
    Nobody,
    /// There is one already.
    Exists,
    /// Whoever asks should think again, and say so with `force`.
    Sure,
    /// Not now: try again in a moment.
    Busy,
    /// It cannot be done, or could not.
    Failed,
}

impl Last {
    /// It was done.
    pub fn done() -> Last {
        Last {
            done: Some(true),
            ..Last::default()
        }
    }

    /// It was done so often, or that was so many lines.
    pub fn count(count: usize) -> Last {
        Last {
            count: Some(count as u64),
            ..Last::done()
        }
    }

    /// It was done, and these things are different now or would be after a restart.
    pub fn changes(changes: Vec<String>) -> Last {
        Last {
            changes,
            ..Last::done()
        }
    }

    /// It was not done.
    pub fn error(kind: ErrorKind, error: impl ToString) -> Last {
        Last {
            error: Some(error.to_string()),
            kind: Some(kind),
            ..Last::default()
        }
    }

    /// The same, and something that whoever asked should know.
    pub fn with_note(self, note: impl ToString) -> Last {
        Last {
            note: Some(note.to_string()),
            ..self
        }
    }

    /// The line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        self.encode(&mut line);
        line
    }

    /// Writes the line, with its end.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_line(self, out);
    }

    /// The last line, if it is that.
    pub fn decode(line: &[u8]) -> Option<Last> {
        let last: Last = serde_json::from_slice(line).ok()?;
        let is_last = last.error.is_some() || last.done == Some(true);
        is_last.then_some(last)
    }
}

/// Writes a line of any kind, with its end.
pub fn encode_row(row: &Row, out: &mut Vec<u8>) {
    match row {
        Row::Member(line) => write_line(line, out),
        Row::Room(line) => write_line(line, out),
        Row::Ban(line) => write_line(line, out),
        Row::Account(line) => write_line(line, out),
        Row::Status(line) => write_line(line, out),
    }
}

fn write_line(line: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, line).expect("invariant: memory takes all");
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(row: Row) -> String {
        let mut out = Vec::new();
        encode_row(&row, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(Last::decode(text.as_bytes()), None, "it is not the last");
        text.trim_end().to_owned()
    }

    #[test]
    fn rows_are_what_the_page_says() {
        let member = MemberLine {
            name: "Zoë".into(),
            protocol: "group".into(),
            address: "192.0.2.7:4711".into(),
            room: "lobby".into(),
            lag: Some(7),
        };
        let line = written(Row::Member(member.clone()));
        assert_eq!(
            line,
            r#"{"name":"Zoë","protocol":"group","address":"192.0.2.7:4711","room":"lobby","lag":7}"#
        );
        assert_eq!(serde_json::from_str::<MemberLine>(&line).unwrap(), member);
        let room = RoomLine {
            room: "den".into(),
            protocol: None,
            members: 2,
        };
        assert_eq!(written(Row::Room(room)), r#"{"room":"den","members":2}"#);
        let mut ban = BanLine {
            address: "192.0.2.0/24".into(),
            reason: "a \"reason\"\n\u{1b}[2J".into(),
            since: 5,
            until: Some(65),
        };
        let line = written(Row::Ban(ban.clone()));
        assert_eq!(
            line,
            r#"{"address":"192.0.2.0/24","reason":"a \"reason\"\n\u001b[2J","since":5,"until":65}"#
        );
        assert_eq!(serde_json::from_str::<BanLine>(&line).unwrap(), ban);
        ban.until = None;
        let line = written(Row::Ban(ban.clone()));
        assert_eq!(serde_json::from_str::<BanLine>(&line).unwrap(), ban);
        let account = AccountLine {
            name: "ann".into(),
            usable: true,
            note: None,
        };
        assert_eq!(
            written(Row::Account(account)),
            r#"{"name":"ann","usable":true}"#
        );
    }

    #[test]
    fn the_last_line_is_known_from_the_others() {
        let table = [
            (Last::done(), r#"{"done":true}"#),
            (Last::count(3), r#"{"done":true,"count":3}"#),
            (
                Last::count(0).with_note("nobody was there"),
                r#"{"done":true,"count":0,"note":"nobody was there"}"#,
            ),
            (
                Last::changes(vec!["isolate: false -> true needs a restart".into()]),
                r#"{"done":true,"changes":["isolate: false -> true needs a restart"]}"#,
            ),
            (
                Last::error(ErrorKind::Nobody, "nobody is called so"),
                r#"{"error":"nobody is called so","kind":"nobody"}"#,
            ),
        ];
        for (last, line) in table {
            let mut out = Vec::new();
            last.encode(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
            assert_eq!(Last::decode(line.as_bytes()), Some(last));
        }
        for line in [
            "",
            "{}",
            "{\"done\":false}",
            "{\"done\":1}",
            "[]",
            "{\"name\":\"done\"}",
        ] {
            assert_eq!(Last::decode(line.as_bytes()), None, "{line}");
        }
        // A later server may say more.
        assert!(Last::decode(b"{\"done\":true,\"more\":[1]}").is_some());
    }
}
