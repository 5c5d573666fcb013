//! Owns what can be asked of a server over its control socket, as a line of JSON. Knows nothing of the answers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::prefix::{Prefix, PrefixError};
use crate::chat::{Name, NameError};
use crate::store::{Password, PasswordError};

/// A longer line is no request: the longest has a text of 4,096 bytes, each of which JSON may write in six.
pub const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// The longest reason, in bytes. It goes to members and into the log, whose lines have 1,024.
pub const MAX_REASON_BYTES: usize = 256;

/// The longest text of a [`Request::Say`], in bytes: that of a member.
const MAX_TEXT_BYTES: usize = 4096;

/// The longest ban that is not for ever, in seconds: a hundred years.
const MAX_SECONDS: u64 = 100 * 366 * 24 * 3600;

/// What is asked. Each is one line, `{"do":"…"}` with what it needs beside it.
#[derive(Clone, Debug)]
pub enum Request {
    /// Everybody who is in: a [`MemberLine`](super::MemberLine) each.
    Members,
    /// All rooms: a [`RoomLine`](super::RoomLine) each.
    Rooms,
    /// Lets somebody go, who is told why.
    Kick { whom: Whom, reason: String },
    /// Lets nobody in from there, for so many seconds or for ever, and lets those go who are in. `force` says that
    /// even a [concern](Prefix::concern) is no reason not to.
    Ban {
        net: Prefix,
        reason: String,
        seconds: Option<u64>,
        force: bool,
    },
    /// Takes a ban back.
    Unban { net: Prefix },
    /// All bans: a [`BanLine`](super::BanLine) each.
    Bans,
    /// Tells everybody something.
    Say { text: String },
    /// Reads the configuration again.
    Reload,
    /// Lets nobody in any more, and stops when all have gone.
    Drain,
    /// Stops.
    Stop,
    /// The figures, as Prometheus reads them, in the last line.
    Metrics,
    /// What server this is: a [`StatusLine`](super::StatusLine).
    Status,
    /// All accounts: an [`AccountLine`](super::AccountLine) each.
    Accounts,
    /// Makes an account.
    AccountAdd { name: Name, password: Password },
    /// Gives an account another password.
    AccountPasswd { name: Name, password: Password },
    /// Takes an account away, and lets its owner go. Also one that nobody can use, whose name is none.
    AccountDelete { name: String },
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Whoever is called so, in that room or in all.
    Named { name: Name, room: Option<Name> },
    /// Everybody from that address.
    From(IpAddr),
    /// Whoever is at that address and port.
    At(SocketAddr),
}

/// Why a line is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// It is longer than [`MAX_REQUEST_BYTES`].
    TooLong { limit: usize },
    /// It is not an object of JSON with fields that there are, each of its kind.
    Syntax { reason: String },
    /// There is no such request.
    Unknown { request: String },
    /// A field is missing that this request needs.
    Missing {
        request: &'static str,
        field: &'static str,
    },
    /// A field is there that this request does not have.
    Superfluous {
        request: &'static str,
        field: &'static str,
    },
    /// Two fields say the same in different ways.
    Both {
        one: &'static str,
        other: &'static str,
    },
    /// That is no name.
    Name { text: String, error: NameError },
    /// That is no password.
    Password(PasswordError),
    /// That is no prefix.
    Prefix(PrefixError),
    /// That is no address.
    Address { text: String },
    /// A text is longer than it may be.
    Text {
        field: &'static str,
        bytes: usize,
        limit: usize,
    },
    /// There is nothing in the text.
    Empty { field: &'static str },
    /// A ban of no time, or of more than anybody lives.
    Seconds { seconds: u64 },
}

/// All fields that there are. One flat object, so that nothing is copied on the way (a password may be in it), and so
/// that what is wrong with it is told in our words.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "do")]
    request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    force: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<Wiped>,
}

/// A text that is overwritten when it goes.
#[derive(Default)]
struct Wiped(Zeroizing<String>);

impl<'de> Deserialize<'de> for Wiped {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Wiped(Zeroizing::new(text)))
    }
}

impl Serialize for Wiped {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Request {
    /// All requests, as they are written.
    pub const NAMES: [&'static str; 16] = [
        "members",
        "rooms",
        "kick",
        "ban",
        "unban",
        "bans",
        "say",
        "reload",
        "drain",
        "stop",
        "metrics",
        "status",
        "accounts",
        "account-add",
        "account-passwd",
        "account-delete",
    ];

    /// As it is written in `do`.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Members => "members",
            Request::Rooms => "rooms",
            Request::Kick { .. } => "kick",
            Request::Ban { .. } => "ban",
            Request::Unban { .. } => "unban",
            Request::Bans => "bans",
            Request::Say { .. } => "say",
            Request::Reload => "reload",
            Request::Drain => "drain",
            Request::Stop => "stop",
            Request::Metrics => "metrics",
            Request::Status => "status",
            Request::Accounts => "accounts",
            Request::AccountAdd { .. } => "account-add",
            Request::AccountPasswd { .. } => "account-passwd",
            Request::AccountDelete { .. } => "account-delete",
        }
    }

    /// Reads one line, with or without its end.
    pub fn decode(line: &[u8]) -> Result<Request, RequestError> {
        if line.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong {
                limit: MAX_REQUEST_BYTES,
            });
        }
        let mut fields: Fields =
            serde_json::from_slice(line).map_err(|error| RequestError::Syntax {
                // All of it is one line.
                reason: error.to_string().replace(" at line 1 column ", " at byte "),
            })?;
        let request = Request::NAMES
            .into_iter()
            .find(|name| *name == fields.request)
            .ok_or_else(|| RequestError::Unknown {
                request: std::mem::take(&mut fields.request),
            })?;
        let decoded = fields.take(request)?;
        match fields.left() {
            Some(field) => Err(RequestError::Superfluous { request, field }),
            None => Ok(decoded),
        }
    }

    /// Writes one line, with its end. What stands there is overwritten when it goes: a password may be in it.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut fields = Fields {
            request: self.name().to_owned(),
            ..Fields::default()
        };
        let set = |text: &str| Some(text.to_owned());
        match self {
            Request::Members
            | Request::Rooms
            | Request::Bans
            | Request::Reload
            | Request::Drain
            | Request::Stop
            | Request::Metrics
            | Request::Status
            | Request::Accounts => {}
            Request::Kick { whom, reason } => {
                match whom {
                    Whom::Named { name, room } => {
                        fields.name = set(name.as_str());
                        fields.room = room.as_ref().map(|room| room.as_str().to_owned());
                    }
                    Whom::From(address) => fields.address = Some(address.to_string()),
                    Whom::At(address) => fields.address = Some(address.to_string()),
                }
                fields.reason = set(reason);
            }
            Request::Ban {
                net,
                reason,
                seconds,
                force,
            } => {
                // As it was written: what is made of it, the server says.
                fields.address = Some(net.as_written().to_string());
                fields.reason = set(reason);
                fields.seconds = *seconds;
                fields.force = force.then_some(true);
            }
            Request::Unban { net } => fields.address = Some(net.to_string()),
            Request::Say { text } => fields.text = set(text),
            Request::AccountAdd { name, password } | Request::AccountPasswd { name, password } => {
                fields.name = set(name.as_str());
                fields.password = Some(Wiped(Zeroizing::new(password.reveal().to_owned())));
            }
            Request::AccountDelete { name } => fields.name = set(name),
        }
        // Growing would leave copies of a password behind.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_REQUEST_BYTES));
        serde_json::to_writer(&mut *line, &fields).expect("invariant: memory takes all");
        line.push(b'\n');
        line
    }
}

impl Fields {
    /// Takes what a request needs, and may have, out of its fields.
    fn take(&mut self, request: &'static str) -> Result<Request, RequestError> {
        Ok(match request {
            "members" => Request::Members,
            "rooms" => Request::Rooms,
            "kick" => Request::Kick {
                whom: self.whom(request)?,
                reason: self.reason()?,
            },
            "ban" => Request::Ban {
                net: self.net(request)?,
                reason: self.reason()?,
                seconds: self.seconds()?,
                force: self.force.take().unwrap_or_default(),
            },
            "unban" => Request::Unban {
                net: self.net(request)?,
            },
            "bans" => Request::Bans,
            "say" => {
                let text = needed(self.text.take(), request, "text")?;
                let text = bounded(text, "text", MAX_TEXT_BYTES)?;
                match text.trim().is_empty() {
                    true => return Err(RequestError::Empty { field: "text" }),
                    false => Request::Say { text },
                }
            }
            "reload" => Request::Reload,
            "drain" => Request::Drain,
            "stop" => Request::Stop,
            "metrics" => Request::Metrics,
            "status" => Request::Status,
            "accounts" => Request::Accounts,
            "account-add" => Request::AccountAdd {
                name: self.name(request)?,
                password: self.password(request)?,
            },
            "account-passwd" => Request::AccountPasswd {
                name: self.name(request)?,
                password: self.password(request)?,
            },
            "account-delete" => Request::AccountDelete {
                name: needed(self.name.take(), request, "name")?,
            },
            other => {
                let request = other.to_owned();
                return Err(RequestError::Unknown { request });
            }
        })
    }

    /// A field that nobody took.
    fn left(&self) -> Option<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("room", self.room.is_some()),
            ("address", self.address.is_some()),
            ("reason", self.reason.is_some()),
            ("seconds", self.seconds.is_some()),
            ("force", self.force.is_some()),
            ("text", self.text.is_some()),
            ("password", self.password.is_some()),
        ];
        let left = fields.into_iter().find(|(_, there)| *there);
        left.map(|(name, _)| name)
    }

    fn whom(&mut self, request: &'static str) -> Result<Whom, RequestError> {
        match (self.name.is_some(), self.address.take()) {
            (true, Some(_)) => Err(RequestError::Both {
                one: "name",
                other: "address",
            }),
            (false, Some(address)) => address.parse(),
            (_, None) => Ok(Whom::Named {
                name: self.name(request)?,
                room: self.room.take().map(parse_name).transpose()?,
            }),
        }
    }

    fn name(&mut self, request: &'static str) -> Result<Name, RequestError> {
        parse_name(needed(self.name.take(), request, "name")?)
    }

    fn password(&mut self, request: &'static str) -> Result<Password, RequestError> {
        let text = needed(self.password.take(), request, "password")?;
        Password::new(&text.0).map_err(RequestError::Password)
    }

    fn net(&mut self, request: &'static str) -> Result<Prefix, RequestError> {
        let text = needed(self.address.take(), request, "address")?;
        Prefix::parse(&text).map_err(RequestError::Prefix)
    }

    /// None is an empty one.
    fn reason(&mut self) -> Result<String, RequestError> {
        let reason = self.reason.take().unwrap_or_default();
        bounded(reason, "reason", MAX_REASON_BYTES)
    }

    fn seconds(&mut self) -> Result<Option<u64>, RequestError> {
        match self.seconds.take() {
            Some(seconds @ (0 | MAX_SECONDS..)) => Err(RequestError::Seconds { seconds }),
            seconds => Ok(seconds),
        }
    }
}

fn needed<T>(
    field: Option<T>,
    request: &'static str,
    name: &'static str,
) -> Result<T, RequestError> {
    field.ok_or(RequestError::Missing {
        request,
        field: name,
    })
}

fn bounded(text: String, field: &'static str, limit: usize) -> Result<String, RequestError> {
    match text.len() {
        bytes if bytes > limit => Err(RequestError::Text {
            field,
            bytes,
            limit,
        }),
        _ => Ok(text),
    }
}

fn parse_name(text: String) -> Result<Name, RequestError> {
    Name::parse(&text).map_err(|error| RequestError::Name { text, error })
}

/// An address, with its port or for all of them.
impl std::str::FromStr for Whom {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Whom, RequestError> {
        // As the server sees all addresses.
        let at = text.parse::<SocketAddr>().map(|at| match at.ip() {
            IpAddr::V6(_) => Whom::At((at.ip().to_canonical(), at.port()).into()),
            IpAddr::V4(_) => Whom::At(at),
        });
        let from = || text.parse::<IpAddr>().map(|ip| ip.to_canonical());
        at.or_else(|_| from().map(Whom::From))
            .map_err(|_| RequestError::Address { text: text.into() })
    }
}

/// For a fuzzer: whatever the bytes are, they are refused, or a request that is written and read again the same.
pub fn fuzz(input: &[u8]) {
    match Request::decode(input) {
        Ok(request) => {
            let line = request.encode();
            assert!(line.len() <= MAX_REQUEST_BYTES + 1);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let again = Request::decode(&line).expect("what was written is read");
            assert_eq!(*again.encode(), *line);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::TooLong { limit } => {
                write!(f, "a request is one line of at most {limit} bytes")
            }
            RequestError::Syntax { reason } => {
                write!(
                    f,
                    "a request is a line like {{\"do\":\"members\"}}: {reason}"
                )
            }
            RequestError::Unknown { request } => write!(
                f,
                "nothing is called {request:?}; there is: {}",
                Request::NAMES.join(", ")
            ),
            RequestError::Missing {
                request: "kick",
                field: "name",
            } => write!(f, "\"kick\" needs a \"name\" or an \"address\""),
            RequestError::Missing { request, field } => write!(f, "{request:?} needs {field:?}"),
            RequestError::Superfluous { request, field } => {
                write!(f, "{request:?} has no {field:?}")
            }
            RequestError::Both { one, other } => write!(f, "{one:?} and {other:?}: one of them"),
            RequestError::Name { text, error } => write!(f, "{text:?} is no name: {error}"),
            RequestError::Password(error) => error.fmt(f),
            RequestError::Prefix(error) => error.fmt(f),
            RequestError::Address { text } => write!(
                f,
                "{text:?} is no address, as 192.0.2.7, 192.0.2.7:4711, 2001:db8::7 or [2001:db8::7]:4711"
            ),
            RequestError::Text {
                field,
                bytes,
                limit,
            } => write!(f, "the {field} has {bytes} bytes, and may have {limit}"),
            RequestError::Empty { field } => write!(f, "there is nothing in the {field}"),
            RequestError::Seconds { seconds } => write!(
                f,
                "{seconds} seconds are no time for a ban: from 1 to {}, or none for ever",
                MAX_SECONDS - 1
            ),
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_read_as_it_was_written() {
        let table = [
            (r#"{"do":"members"}"#, None),
            (r#"{"do":"rooms"}"#, None),
            (r#"{"do":"kick","name":"Bob","reason":"enough"}"#, None),
            (
                r#"{"do":"kick","name":"Bob","room":"den","reason":""}"#,
                None,
            ),
            (
                r#"{"do":"kick","name":"Bob"}"#,
                Some(r#"{"do":"kick","name":"Bob","reason":""}"#),
            ),
            (r#"{"do":"kick","address":"192.0.2.7","reason":""}"#, None),
            (
                r#"{"do":"kick","address":"192.0.2.7:80","reason":""}"#,
                None,
            ),
            (
                r#"{"do":"kick","address":"[2001:db8::7]:80","reason":""}"#,
                None,
            ),
            (
                r#"{"do":"kick","address":"::ffff:192.0.2.7"}"#,
                Some(r#"{"do":"kick","address":"192.0.2.7","reason":""}"#),
            ),
            (
                r#"{"do":"kick","address":"[::ffff:192.0.2.7]:1"}"#,
                Some(r#"{"do":"kick","address":"192.0.2.7:1","reason":""}"#),
            ),
            (
                r#"{"do":"ban","address":"192.0.2.0/24","reason":"spam","seconds":60,"force":true}"#,
                None,
            ),
            (
                r#"{"do":"ban","address":"192.0.2.7/32","force":false}"#,
                Some(r#"{"do":"ban","address":"192.0.2.7","reason":""}"#),
            ),
            (r#"{"do":"unban","address":"2001:db8::/48"}"#, None),
            (r#"{"do":"bans"}"#, None),
            (r#"{"do":"say","text":"tea\n\"at\" four \\o/"}"#, None),
            (r#"{"do":"reload"}"#, None),
            (r#"{"do":"drain"}"#, None),
            (r#"{"do":"stop"}"#, None),
            (r#"{"do":"metrics"}"#, None),
            (r#"{"do":"status"}"#, None),
            (r#"{"do":"accounts"}"#, None),
            (
                r#"{"do":"account-add","name":"Zoë","password":"pass \"word\""}"#,
                None,
            ),
            (
                r#"{"do":"account-passwd","name":"Zoë","password":"other"}"#,
                None,
            ),
            (r#"{"do":"account-delete","name":"no name: at all"}"#, None),
            (
                "  { \"name\" : \"Bob\" , \"do\" : \"kick\" } \r\n",
                Some(r#"{"do":"kick","name":"Bob","reason":""}"#),
            ),
        ];
        for (line, written) in table {
            let request =
                Request::decode(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
            let again = request.encode();
            let expected = format!("{}\n", written.unwrap_or(line));
            assert_eq!(String::from_utf8_lossy(&again), expected);
            fuzz(line.as_bytes());
        }
        let tried: std::collections::BTreeSet<_> = table
            .iter()
            .map(|(line, _)| Request::decode(line.as_bytes()).unwrap().name())
            .collect();
        assert_eq!(tried, Request::NAMES.into_iter().collect());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "x".repeat(MAX_REASON_BYTES + 1);
        let long_reason = format!(r#"{{"do":"kick","name":"a","reason":"{long}"}}"#);
        let long_text = format!(r#"{{"do":"say","text":"{}"}}"#, "x".repeat(4097));
        let table = [
            ("", "a request is a line like {\"do\":\"members\"}: EOF"),
            ("members", "expected value at byte 1"),
            ("[]", "a request is a line"),
            ("\"members\"", "invalid type: string"),
            ("{}", "missing field `do`"),
            (
                r#"{"do":7}"#,
                "invalid type: integer `7`, expected a string",
            ),
            (
                r#"{"do":"member"}"#,
                "nothing is called \"member\"; there is: members, rooms",
            ),
            (r#"{"do":"members"} {}"#, "trailing characters"),
            (r#"{"do":"members","do":"rooms"}"#, "duplicate field `do`"),
            (r#"{"do":"members","x":1}"#, "unknown field `x`"),
            (
                r#"{"do":"members","name":"a"}"#,
                "\"members\" has no \"name\"",
            ),
            (
                r#"{"do":"kick"}"#,
                "\"kick\" needs a \"name\" or an \"address\"",
            ),
            (
                r#"{"do":"kick","name":"a","address":"::1"}"#,
                "\"name\" and \"address\"",
            ),
            (
                r#"{"do":"kick","address":"::1","room":"a"}"#,
                "\"kick\" has no \"room\"",
            ),
            (r#"{"do":"kick","name":"a b"}"#, "\"a b\" is no name"),
            (r#"{"do":"kick","name":"a","room":""}"#, "\"\" is no name"),
            (
                r#"{"do":"kick","address":"10.0.0.0/8"}"#,
                "\"10.0.0.0/8\" is no address",
            ),
            (r#"{"do":"ban"}"#, "\"ban\" needs \"address\""),
            (
                r#"{"do":"ban","address":"bob"}"#,
                "\"bob\" is no address and no prefix",
            ),
            (r#"{"do":"ban","address":"::1","seconds":0}"#, "0 seconds"),
            (
                r#"{"do":"ban","address":"::1","seconds":-1}"#,
                "invalid value",
            ),
            (
                r#"{"do":"ban","address":"::1","seconds":4000000000}"#,
                "4000000000 seconds",
            ),
            (
                r#"{"do":"unban","address":"::1","force":true}"#,
                "\"unban\" has no \"force\"",
            ),
            (r#"{"do":"say"}"#, "\"say\" needs \"text\""),
            (r#"{"do":"say","text":" \n"}"#, "nothing in the text"),
            (
                r#"{"do":"account-add","name":"a"}"#,
                "\"account-add\" needs \"password\"",
            ),
            (
                r#"{"do":"account-add","name":"a","password":""}"#,
                "at least one character",
            ),
            (
                r#"{"do":"account-delete"}"#,
                "\"account-delete\" needs \"name\"",
            ),
            (&long_reason, "the reason has 257 bytes, and may have 256"),
            (&long_text, "the text has 4097 bytes, and may have 4096"),
        ];
        for (line, says) in table {
            let error = Request::decode(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
            fuzz(line.as_bytes());
        }
        for bytes in [
            &b"\xff"[..],
            b"{\"do\":\"\xff\"}",
            &[b' '; MAX_REQUEST_BYTES + 1],
        ] {
            assert!(Request::decode(bytes).is_err());
        }
    }

    #[test]
    fn no_password_is_shown_by_what_is_wrong_beside_it() {
        for line in [
            r#"{"do":"account-add","password":"hunter2"}"#,
            r#"{"do":"account-add","name":"a b","password":"hunter2"}"#,
            r#"{"do":"members","password":"hunter2"}"#,
            r#"{"do":"account-add","name":"ann","password":"hunter2""#,
        ] {
            let error = Request::decode(line.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let good = r#"{"do":"account-add","name":"ann","password":"hunter2"}"#;
        let request = Request::decode(good.as_bytes()).unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
