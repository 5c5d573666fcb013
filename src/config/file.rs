//! Owns the configuration file: its keys, what each may be, and what is wrong with one that is not.
//! Knows no defaults: what the file says is put over the [`Settings`] that are there.
//!
//! A key is one row of [`KEYS`], a limit one row of [`LIMITS`]; nothing else has to be told of a new one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Settings;
use crate::chat::Name;
use crate::journal::FilterError;
use crate::server::{Limits, MessageRate};
use crate::store::CostError;

/// More than anybody writes by hand.
const MAX_BYTES: u64 = 1024 * 1024;

/// A key outside `[limits]`.
struct Key {
    /// With its table: `table.key`.
    name: &'static str,
    /// What its value may be, for whoever gave it another one.
    right: &'static str,
    set: fn(&mut Settings, &Spanned<DeValue<'_>>) -> Result<(), Wrong>,
}

/// A key of `[limits]`: a whole number.
struct Limit {
    name: &'static str,
    unit: &'static str,
    bounds: (u64, u64),
    set: fn(&mut Limits, u64),
}

/// Why a value is refused: it is not what is `right`, or something more exact can be said.
#[derive(Default)]
struct Wrong {
    /// Where in the value, if it is a list.
    at: Option<Range<usize>>,
    why: Option<String>,
}

const KEYS: &[Key] = &[
    Key {
        name: "listen",
        right: "a list of strings NAME=ADDR:PORT, as [\"tcp-room=127.0.0.1:42069\"]",
        set: |settings, value| {
            let list = value.get_ref().as_array().ok_or(Wrong::default())?;
            let listen = list.iter().map(|item| {
                let text = item.get_ref().as_str().ok_or(Wrong {
                    at: Some(item.span()),
                    why: None,
                })?;
                text.parse().map_err(|error: super::ListenError| Wrong {
                    at: Some(item.span()),
                    why: Some(error.to_string()),
                })
            });
            let listen: Vec<_> = listen.collect::<Result<_, Wrong>>()?;
            if listen.is_empty() {
                return Err(Wrong::default());
            }
            settings.listen = listen;
            Ok(())
        },
    },
    Key {
        name: "data_dir",
        right: "a path in quotes",
        set: |settings, value| {
            let path = text(value)?;
            if path.is_empty() || path.contains('\0') {
                return Err(Wrong::default());
            }
            settings.data_dir = path.into();
            Ok(())
        },
    },
    Key {
        name: "isolate",
        right: "true or false",
        set: |settings, value| {
            settings.isolate = value.get_ref().as_bool().ok_or(Wrong::default())?;
            Ok(())
        },
    },
    Key {
        name: "log_level",
        right: "a level in quotes, as \"info\", with others for parts of the program, as \"info,store=debug\"",
        set: |settings, value| {
            settings.log_level = text(value)?.parse().map_err(|error: FilterError| Wrong {
                at: None,
                why: Some(error.to_string()),
            })?;
            Ok(())
        },
    },
    Key {
        name: "group.advertise",
        right: "\"connection\" (the address that a connection comes from) or \"claimed\" (the one that \
                the client says)",
        set: |settings, value| one_of(value, &mut settings.advertise),
    },
    Key {
        name: "accounts.registration",
        right: "\"open\" or \"closed\"",
        set: |settings, value| one_of(value, &mut settings.registration),
    },
    Key {
        name: MEMORY,
        right: "a whole number of KiB from 1024 to 1048576",
        set: |settings, value| {
            number(
                value,
                (1024, 1024 * 1024),
                &mut settings.hash_cost.memory_kib,
            )
        },
    },
    Key {
        name: PASSES,
        right: "a whole number from 1 to 100",
        set: |settings, value| number(value, (1, 100), &mut settings.hash_cost.passes),
    },
    Key {
        name: LANES,
        right: "a whole number from 1 to 64",
        set: |settings, value| number(value, (1, 64), &mut settings.hash_cost.lanes),
    },
    Key {
        name: "mesh.name",
        right: "a name in quotes",
        set: |settings, value| {
            settings.mesh.name = Name::parse(text(value)?).map_err(|error| Wrong {
                at: None,
                why: Some(error.to_string()),
            })?;
            Ok(())
        },
    },
    Key {
        name: "mesh.broadcast",
        right: "an IPv4 address in quotes, as \"255.255.255.255\" or \"192.168.1.255\"",
        set: |settings, value| {
            settings.mesh.broadcast = text(value)?.parse().map_err(|_| Wrong::default())?;
            Ok(())
        },
    },
];

const MEMORY: &str = "accounts.argon2_memory_kib";
const PASSES: &str = "accounts.argon2_passes";
const LANES: &str = "accounts.argon2_lanes";

/// What all output may take, and what that depends on.
const OUTPUT: [&str; 4] = [
    "limits.output_bytes",
    "limits.members_per_room",
    "limits.backlog_bytes",
    "limits.mailing_bytes",
];

const KIB: u64 = 1024;
const GIB: u64 = 1024 * 1024 * 1024;

#[rustfmt::skip]
const LIMITS: &[Limit] = &[
    limit("max_per_address", "", (1, 1_000_000), |limits, n| limits.max_per_address = n as usize),
    limit("mesh_names_per_address", "", (1, 1_000_000), |limits, n| limits.mesh_names_per_address = n as usize),
    limit("rooms", "", (1, 1_000_000), |limits, n| limits.hub.rooms = n as usize),
    limit("unproven_members", "", (1, 1_000_000), |limits, n| limits.unproven_members = n as usize),
    limit("rooms_per_address", "", (1, 1_000_000), |limits, n| limits.rooms_per_address = n as usize),
    limit("members_per_room", "", (1, 1_000_000), |limits, n| limits.hub.members_per_room = n as usize),
    // Room for the longest message and its frame, several times.
    limit("backlog_bytes", " of bytes", (16 * KIB, GIB), |limits, n| limits.lag.backlog_bytes = n as usize),
    limit("outbox_bytes", " of bytes", (16 * KIB, GIB), |limits, n| limits.lag.outbox_bytes = n as usize),
    limit("stall_bytes", " of bytes", (KIB, GIB), |limits, n| limits.lag.stall_bytes = n as usize),
    limit("stall_time", " of seconds", (1, 3600), |limits, n| limits.lag.stall_time = seconds(n)),
    limit("unsent_bytes", " of bytes", (4 * KIB, GIB), |limits, n| limits.unsent_bytes = n as usize),
    limit("message_burst", "", (1, 65_535), |limits, n| rate(limits).burst = n as u16),
    // 0 is as many as anybody likes: see `finish`.
    limit("messages_per_second", "", (0, 1000), |limits, n| rate(limits).per_second = n as u16),
    limit("udp_idle", " of seconds", (10, 86_400), |limits, n| limits.udp_idle = seconds(n)),
    limit("login_idle", " of seconds", (10, 86_400), |limits, n| limits.login_idle = seconds(n)),
    limit("registering_time", " of seconds", (1, 3600), |limits, n| limits.registering_time = seconds(n)),
    limit("secrets_per_address", "", (1, 1_000_000), |limits, n| limits.secrets_per_address = n as usize),
    limit("answer_keeping_time", " of seconds", (1, 300), |limits, n| limits.answer_keeping_time = seconds(n)),
    limit("wrong_passwords_per_name", "", (1, 1000), |limits, n| limits.attempts.wrong_per_name = n as u32),
    limit("wrong_passwords_per_address", "", (1, 1000), |limits, n| limits.attempts.wrong_per_address = n as u32),
    limit("longest_login_wait", " of seconds", (1, 3600), |limits, n| limits.attempts.longest_wait = seconds(n)),
    limit("registrations_per_hour", "", (1, 100), |limits, n| limits.attempts.registrations_per_hour = n as usize),
    limit("datagram_burst", "", (1, 65_535), |limits, n| datagram_rate(limits).burst = n as u16),
    // 0 is as many as anybody likes: see `finish`.
    limit("datagrams_per_second", "", (0, 1000), |limits, n| datagram_rate(limits).per_second = n as u16),
    limit("pace_bytes_per_second", " of bytes", (256, 1_000_000_000), |limits, n| limits.pace.bytes_per_second = n as u32),
    limit("pace_burst_bytes", " of bytes", (4 * KIB, GIB), |limits, n| limits.pace.burst_bytes = n as u32),
    limit("mailing_bytes", " of bytes", (16 * KIB, GIB), |limits, n| limits.mailing_bytes = n as usize),
    // What one turn brings, several times; what depends on other limits is in `finish`.
    limit("output_bytes", " of bytes", (4096 * KIB, 64 * GIB), |limits, n| limits.output_bytes = n as usize),
    limit("name_time", " of seconds", (1, 3600), |limits, n| limits.name_time = seconds(n)),
    limit("first_frame_time", " of seconds", (1, 3600), |limits, n| limits.first_frame_time = seconds(n)),
    limit("frame_time", " of seconds", (1, 3600), |limits, n| limits.frame_time = seconds(n)),
    limit("joining_time", " of seconds", (1, 86_400), |limits, n| limits.joining_time = seconds(n)),
    limit("closing_time", " of seconds", (1, 60), |limits, n| limits.closing_time = seconds(n)),
    limit("lingering_time", " of seconds", (1, 60), |limits, n| limits.lingering_time = seconds(n)),
    limit("stopping_time", " of seconds", (1, 60), |limits, n| limits.stopping_time = seconds(n)),
    limit("keepalive_idle", " of seconds", (1, 3600), |limits, n| limits.dead_peer.idle = seconds(n)),
    limit("keepalive_interval", " of seconds", (1, 3600), |limits, n| limits.dead_peer.interval = seconds(n)),
    limit("unacknowledged_time", " of seconds", (1, 3600), |limits, n| limits.dead_peer.unacknowledged = seconds(n)),
];

const fn limit(
    name: &'static str,
    unit: &'static str,
    bounds: (u64, u64),
    set: fn(&mut Limits, u64),
) -> Limit {
    Limit {
        name,
        unit,
        bounds,
        set,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn datagram_rate(limits: &mut Limits) -> &mut MessageRate {
    limits.datagram_rate.get_or_insert_default()
}

fn rate(limits: &mut Limits) -> &mut MessageRate {
    limits.message_rate.get_or_insert_default()
}

/// What is wrong with a configuration file, and where.
#[derive(Debug)]
pub struct ConfigError {
    pub path: PathBuf,
    /// From 1. `None` where it is not about a line.
    pub line: Option<usize>,
    /// With its table: `table.key`.
    pub key: Option<String>,
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug)]
pub enum Problem {
    /// The system refused to read it.
    Read(io::Error),
    /// More bytes than anybody writes by hand.
    TooLarge,
    /// A byte that is no UTF-8.
    NotUtf8,
    /// No TOML; a key that stands there twice is none either.
    Syntax(String),
    /// There is no such key.
    UnknownKey { known: Vec<String> },
    /// A value that the key does not take.
    Value { got: String, right: String },
}

/// Reads the file and puts what it says over the settings. With an error they may be half of each.
pub(super) fn read(path: &Path, settings: &mut Settings) -> Result<(), ConfigError> {
    let of_all = |problem| ConfigError {
        path: path.into(),
        line: None,
        key: None,
        problem,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| of_all(Problem::Read(error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(of_all(Problem::TooLarge));
    }
    put_over(bytes, path, settings)
}

/// What [`read`] does with the bytes of the file.
fn put_over(bytes: Vec<u8>, path: &Path, settings: &mut Settings) -> Result<(), ConfigError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ConfigError {
            path: path.into(),
            line: Some(line_at(valid, valid.len())),
            key: None,
            problem: Problem::NotUtf8,
        }
    })?;
    apply(&text, settings).map_err(|refused| ConfigError {
        path: path.into(),
        line: Some(line_at(text.as_bytes(), refused.at)),
        key: refused.key,
        problem: refused.problem,
    })
}

/// The entry for fuzzing: whatever the bytes are, they are settings or refused in a line that they have; and a comment
/// more changes nothing.
pub fn fuzz(input: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut settings = Settings::default();
        let path = Path::new("mynah.toml");
        put_over(bytes.to_vec(), path, &mut settings).map(|()| settings)
    };
    match read(input) {
        Ok(settings) => {
            let again = read(&[input, b"\n# a comment\n"].concat());
            assert_eq!(again.ok(), Some(settings), "with a comment more");
        }
        Err(error) => {
            let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
            let line = error.line.expect("what is wrong stands somewhere");
            assert!((1..=lines).contains(&line), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// A [`ConfigError`] before its place is a line.
struct Refused {
    at: usize,
    key: Option<String>,
    problem: Problem,
}

fn line_at(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn apply(text: &str, settings: &mut Settings) -> Result<(), Refused> {
    let document = DeTable::parse(text).map_err(|error| Refused {
        at: error.span().map_or(0, |span| span.start),
        key: None,
        problem: Problem::Syntax(error.message().into()),
    })?;
    let mut entries = Vec::new();
    flatten("", document.get_ref(), text, &mut entries)?;
    // The parser sorts them by name; people read from the top.
    entries.sort_by_key(|entry| entry.at);
    for entry in &entries {
        entry.set(settings, text)?;
    }
    finish(&entries, settings, text)
}

/// A key with its value.
struct Entry<'a, 'i> {
    name: String,
    at: usize,
    value: &'a Spanned<DeValue<'i>>,
}

/// The keys of the file with their tables before them. Tables that no known key stands in are refused.
fn flatten<'a, 'i>(
    table_name: &str,
    table: &'a DeTable<'i>,
    text: &str,
    entries: &mut Vec<Entry<'a, 'i>>,
) -> Result<(), Refused> {
    for (key, value) in table {
        let entry = Entry {
            name: format!("{table_name}{}", key.get_ref()),
            at: key.span().start,
            value,
        };
        let inside = format!("{}.", entry.name);
        let is_table = names().any(|name| name.starts_with(&inside));
        match value.get_ref() {
            DeValue::Table(table) if is_table => flatten(&inside, table, text, entries)?,
            _ if is_table => {
                let right = format!("a table, [{}]", entry.name);
                return Err(entry.refused(value.span(), right, text));
            }
            _ => entries.push(entry),
        }
    }
    Ok(())
}

/// The names of all keys, with their tables.
pub fn names() -> impl Iterator<Item = String> {
    let limits = LIMITS.iter().map(|limit| format!("limits.{}", limit.name));
    KEYS.iter().map(|key| key.name.to_owned()).chain(limits)
}

impl Entry<'_, '_> {
    fn set(&self, settings: &mut Settings, text: &str) -> Result<(), Refused> {
        if let Some(key) = KEYS.iter().find(|key| key.name == self.name) {
            return (key.set)(settings, self.value).map_err(|wrong| {
                let right = wrong.why.unwrap_or_else(|| key.right.into());
                self.refused(wrong.at.unwrap_or(self.value.span()), right, text)
            });
        }
        let limit = self
            .name
            .strip_prefix("limits.")
            .and_then(|name| LIMITS.iter().find(|limit| limit.name == name));
        let Some(limit) = limit else {
            return Err(self.unknown());
        };
        let mut wanted = 0;
        number(self.value, limit.bounds, &mut wanted).map_err(|_| {
            let (least, most) = limit.bounds;
            let right = format!("a whole number{} from {least} to {most}", limit.unit);
            self.refused(self.value.span(), right, text)
        })?;
        (limit.set)(&mut settings.limits, wanted);
        Ok(())
    }

    fn unknown(&self) -> Refused {
        let (table, _) = self
            .name
            .split_at(self.name.rfind('.').map_or(0, |dot| dot + 1));
        let mut known = Vec::new();
        for name in names() {
            let Some(name) = name.strip_prefix(table) else {
                continue;
            };
            // Beside the keys at the top stand the tables.
            let name = match name.split_once('.') {
                Some((table, _)) => format!("[{table}]"),
                None => name.to_owned(),
            };
            if known.last() != Some(&name) {
                known.push(name);
            }
        }
        Refused {
            at: self.at,
            key: Some(self.name.clone()),
            problem: Problem::UnknownKey { known },
        }
    }

    fn refused(&self, span: Range<usize>, right: String, text: &str) -> Refused {
        let line = text.get(span.clone()).unwrap_or_default().lines().next();
        let got = crate::chat::cut(line.unwrap_or_default(), 80).to_owned();
        Refused {
            at: span.start,
            key: Some(self.name.clone()),
            problem: Problem::Value { got, right },
        }
    }
}

/// What depends on several keys.
fn finish(entries: &[Entry<'_, '_>], settings: &mut Settings, text: &str) -> Result<(), Refused> {
    if settings
        .limits
        .message_rate
        .is_some_and(|rate| rate.per_second == 0)
    {
        settings.limits.message_rate = None;
    }
    if settings
        .limits
        .datagram_rate
        .is_some_and(|rate| rate.per_second == 0)
    {
        settings.limits.datagram_rate = None;
    }
    let named = |key: &str| entries.iter().find(|entry| entry.name == key);
    let least = settings.limits.least_output_bytes();
    if settings.limits.output_bytes < least {
        // The defaults go together.
        if let Some(entry) = OUTPUT.iter().find_map(|key| named(key)) {
            let [output, others @ ..] = OUTPUT;
            let others = others.join(", ");
            let right = format!(
                "something that goes with the others; {output} is at least {least} with these {others}"
            );
            return Err(entry.refused(entry.value.span(), right, text));
        }
    }
    if let Err(error) = settings.hash_cost.check() {
        let key = match error {
            CostError::Memory { .. } => MEMORY,
            CostError::Passes { .. } => PASSES,
            CostError::Lanes { .. } => LANES,
        };
        // The defaults go together, so at least one of the three is in the file.
        let entry = named(key).or_else(|| [MEMORY, PASSES, LANES].into_iter().find_map(named));
        if let Some(entry) = entry {
            let right = format!("something that goes with the others; together it is {error}");
            return Err(entry.refused(entry.value.span(), right, text));
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Spanned<DeValue<'_>>) -> Result<&'a str, Wrong> {
    value.get_ref().as_str().ok_or(Wrong::default())
}

fn one_of<T: ValueEnum>(value: &Spanned<DeValue<'_>>, into: &mut T) -> Result<(), Wrong> {
    *into = T::from_str(text(value)?, false).map_err(|_| Wrong::default())?;
    Ok(())
}

fn number<T: TryFrom<u64>>(
    value: &Spanned<DeValue<'_>>,
    (least, most): (u64, u64),
    into: &mut T,
) -> Result<(), Wrong> {
    let number = value
        .get_ref()
        .as_integer()
        .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok())
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| T::try_from(number).ok());
    *into = number.ok_or(Wrong::default())?;
    Ok(())
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {}:", key.escape_debug())?;
        }
        match &self.problem {
            Problem::Read(error) => write!(f, " cannot be read: {error}"),
            Problem::TooLarge => write!(f, " more than {MAX_BYTES} bytes are no configuration"),
            Problem::NotUtf8 => write!(f, " a byte that is no UTF-8"),
            Problem::Syntax(message) => write!(f, " no TOML: {message}"),
            Problem::UnknownKey { known } => {
                write!(f, " there is no such key; there is: {}", known.join(", "))
            }
            Problem::Value { got, right } => write!(f, " {got} cannot be; right is: {right}"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Advertise, Registration};
    use super::*;

    fn settings(text: &str) -> Settings {
        let mut settings = Settings::default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.toml");
        std::fs::write(&path, text).unwrap();
        read(&path, &mut settings).unwrap_or_else(|error| panic!("{error}"));
        settings
    }

    /// What is said of a file, behind its path.
    fn said(bytes: impl AsRef<[u8]>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.toml");
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &mut Settings::default()).unwrap_err();
        let said = error.to_string();
        said.strip_prefix(&format!("{}:", path.display()))
            .unwrap_or_else(|| panic!("{said} does not begin with the path"))
            .to_owned()
    }

    #[test]
    fn whatever_the_bytes_it_is_read_or_refused_where_it_is_wrong() {
        let text = "listen = [\"tcp-room=[::1]:2\"]\n[limits]\nmax_per_address = 3\n";
        for end in 0..=text.len() {
            fuzz(&text.as_bytes()[..end]);
        }
        fuzz(b"\xff\n");
        fuzz(b"a = 1\n\n[limits]\nb.c = {}\n");
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        for text in ["", "\n# nothing\n", "[limits]\n[mesh]\n"] {
            assert_eq!(settings(text), Settings::default(), "{text:?}");
        }
    }

    #[test]
    fn every_key_takes_effect() {
        let got = settings(
            r#"
            listen = ["tcp-room=127.0.0.1:1", "tcp-room=[::1]:2"]
            data_dir = "/var/lib/x"
            isolate = true
            log_level = "trace"
            [group]
            advertise = "claimed"
            [accounts]
            registration = "closed"
            argon2_memory_kib = 7_168
            argon2_passes = 5
            argon2_lanes = 0x3
            [mesh]
            name = "Zoë"
            broadcast = "192.168.1.255"
            "#,
        );
        let listen: Vec<String> = got.listen.iter().map(|l| l.address.to_string()).collect();
        assert_eq!(listen, ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(got.data_dir, PathBuf::from("/var/lib/x"));
        assert!(got.isolate);
        assert_eq!(got.log_level, log::LevelFilter::Trace.into());
        assert_eq!(got.advertise, Advertise::Claimed);
        assert_eq!(got.registration, Registration::Closed);
        let cost = got.hash_cost;
        assert_eq!((cost.memory_kib, cost.passes, cost.lanes), (7168, 5, 3));
        assert_eq!(got.mesh.name.as_str(), "Zoë");
        assert_eq!(got.mesh.broadcast.to_string(), "192.168.1.255");
        assert_eq!(got.limits, Limits::default());
        // Each by itself, so that none is forgotten here.
        let values = [
            ("listen", "[\"tcp-room=127.0.0.1:1\"]"),
            ("data_dir", "\"x\""),
            ("isolate", "true"),
            ("log_level", "\"off\""),
            ("group.advertise", "\"claimed\""),
            ("accounts.registration", "\"closed\""),
            (MEMORY, "2048"),
            (PASSES, "3"),
            (LANES, "2"),
            ("mesh.name", "\"x\""),
            ("mesh.broadcast", "\"10.0.0.255\""),
        ];
        assert_eq!(values.len(), KEYS.len());
        for (key, value) in values {
            let changed = settings(&format!("{key} = {value}"));
            assert_ne!(changed, Settings::default(), "{key}");
        }
    }

    #[test]
    fn every_limit_takes_effect_within_its_bounds_and_no_two_are_one() {
        let mut seen = Vec::new();
        for limit in LIMITS {
            let (least, most) = limit.bounds;
            // Those that bound each other are as far apart as they can be.
            let others = match limit.name {
                "output_bytes" => "limits.members_per_room = 1",
                _ => "limits.output_bytes = 68_719_476_736",
            };
            let without = settings(others);
            let settings = |value| settings(&format!("{others}\nlimits.{} = {value}", limit.name));
            // The least is taken; the default may be just that.
            settings(least);
            for value in [most, most - 1] {
                let got = settings(value);
                assert_ne!(got, without, "{} = {value}", limit.name);
                assert!(
                    !seen.contains(&got),
                    "{} does what another does",
                    limit.name
                );
                seen.push(got);
            }
            for value in [most + 1, u64::MAX >> 1] {
                let said = said(format!("[limits]\n{} = {value}", limit.name));
                let begin = format!(
                    "2: limits.{}: {value} cannot be; right is: a whole",
                    limit.name
                );
                assert!(said.starts_with(&begin), "{said}");
                assert!(said.ends_with(&format!("from {least} to {most}")), "{said}");
            }
        }
        let unlimited = settings("[limits]\nmessages_per_second = 0\nmessage_burst = 9");
        assert_eq!(unlimited.limits.message_rate, None);
        let seconds = settings("limits.stall_time = 90").limits.lag.stall_time;
        assert_eq!(seconds, Duration::from_secs(90));
    }

    #[test]
    fn a_wrong_value_is_told_with_line_key_and_what_would_be_right() {
        for (line, begin, right) in [
            ("listen = 1", "listen: 1 ", "NAME=ADDR:PORT"),
            ("listen = []", "listen: [] ", "a list"),
            (
                "listen = [\"irc=127.0.0.1:1\"]",
                "listen: \"irc=127.0.0.1:1\" ",
                "tcp-room",
            ),
            ("listen = [true]", "listen: true ", "NAME=ADDR:PORT"),
            ("data_dir = \"\"", "data_dir: \"\" ", "a path"),
            ("data_dir = 5", "data_dir: 5 ", "a path"),
            ("isolate = \"yes\"", "isolate: \"yes\" ", "true or false"),
            (
                "log_level = \"loud\"",
                "log_level: \"loud\" ",
                "debug, trace",
            ),
            ("log_level = 7", "log_level: 7 ", "\"info\""),
            (
                "log_level = \"info,stor=debug\"",
                "log_level: \"info,stor=debug\" ",
                "\"stor\"; there is: commands, ",
            ),
            (
                "group.advertise = \"no\"",
                "group.advertise: \"no\" ",
                "claimed",
            ),
            (
                "accounts.registration = false",
                "accounts.registration: false ",
                "\"open\"",
            ),
            (
                "accounts.argon2_memory_kib = 64",
                "accounts.argon2_memory_kib: 64 ",
                "1024",
            ),
            (
                "accounts.argon2_passes = 1.5",
                "accounts.argon2_passes: 1.5 ",
                "100",
            ),
            (
                "accounts.argon2_lanes = -1",
                "accounts.argon2_lanes: -1 ",
                "64",
            ),
            ("mesh.name = \"a b\"", "mesh.name: \"a b\" ", "white space"),
            (
                "mesh.broadcast = \"::1\"",
                "mesh.broadcast: \"::1\" ",
                "IPv4",
            ),
            (
                "limits.rooms = \"1\"",
                "limits.rooms: \"1\" ",
                "a whole number",
            ),
            (
                "limits.rooms = 99999999999999999999",
                "limits.rooms: 9999",
                "a whole number",
            ),
            ("limits = 5", "limits: 5 ", "a table, [limits]"),
            ("[isolate]", "isolate: ", "true or false"),
        ] {
            let said = said(format!("# first\n\n{line}\n"));
            assert!(said.starts_with(&format!("3: {begin}")), "{said}");
            let (_, told) = said.split_once("cannot be; right is: ").unwrap();
            assert!(told.contains(right), "{said}");
        }
        let second = said("listen = [\n  \"tcp-room=127.0.0.1:1\",\n  \"tcp-room\",\n]\n");
        assert!(second.starts_with("3: listen: \"tcp-room\" "), "{second}");
        let first = said("isolate = 1\n[accounts]\nregistration = 2\n");
        assert!(first.starts_with("1: isolate:"), "{first}");
    }

    #[test]
    fn costs_that_do_not_go_together_are_told_at_one_of_them() {
        let said = said("[accounts]\nargon2_passes = 50\nargon2_memory_kib = 1048576\n");
        assert!(said.starts_with("2: accounts.argon2_passes: 50 "), "{said}");
        assert!(said.contains("1 to 4"), "{said}");
    }

    #[test]
    fn r37_a_budget_that_one_room_may_be_over_is_told_at_one_of_its_keys() {
        let least = Limits::default().least_output_bytes();
        let told =
            format!("limits.output_bytes is at least {least} with these limits.members_per_room, ");
        let too_little = said(format!("\nlimits.output_bytes = {}\n", least - 1));
        assert!(
            too_little.starts_with("2: limits.output_bytes: "),
            "{too_little}"
        );
        assert!(too_little.contains(&told), "{too_little}");
        let enough = settings(&format!("limits.output_bytes = {least}"));
        assert_eq!(enough.limits.output_bytes, least);
        for key in [
            "members_per_room = 1000000",
            "backlog_bytes = 33554432",
            "mailing_bytes = 33554432",
        ] {
            let said = said(format!("limits.rooms = 1\nlimits.{key}\n"));
            assert!(said.starts_with("2: limits."), "{said}");
            assert!(said.contains("limits.output_bytes is at least "), "{said}");
            settings(&format!("limits.{key}\nlimits.output_bytes = 134217728"));
        }
    }

    #[test]
    fn an_unknown_key_is_told_with_those_that_there_are() {
        for (text, begin, known) in [
            ("\nlisten_on = 1", "2: listen_on:", "listen, "),
            ("\n\n[limit]\nrooms = 5", "3: limit:", "[limits]"),
            ("[limits]\nroms = 5", "2: limits.roms:", "rooms"),
            (
                "[accounts]\n\nopen = true",
                "3: accounts.open:",
                "registration",
            ),
            ("[[listen.x]]\ny=1", "1: listen:", ""),
        ] {
            let said = said(text);
            assert!(said.starts_with(begin), "{said}");
            assert!(said.contains(known), "{said}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        for (text, begin) in [
            ("isolate = true\nlisten = [\"x\"", "2: no TOML: "),
            ("isolate = true\nisolate = true", "2: no TOML: "),
            ("isolate = yes", "1: no TOML: "),
            ("\n\n= 5", "3: no TOML: "),
        ] {
            let said = said(text);
            assert!(said.starts_with(begin), "{said}");
        }
        assert_eq!(said(b"\n\"\xff"), "2: a byte that is no UTF-8");
        let large = "#".repeat(1024 * 1024 + 1);
        assert!(said(large).starts_with(" more than"));
        let error = read(Path::new("/nonexistent/x"), &mut Settings::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nonexistent/x: cannot be read: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn deep_nesting_is_refused_without_depth() {
        let deep = format!("listen = {}", "[".repeat(100_000));
        assert!(said(deep).contains("no TOML"));
        let deep = format!("{}x = 1", "a.".repeat(10_000));
        let _ = said(deep);
    }
}
