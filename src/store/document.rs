//! Owns the accounts' JSON in both directions, and where a damaged one is damaged.
//! Knows nothing of files. Decoding never panics, never goes deeper than the four levels that there are, and
//! never shows in an error what may be a password.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::{Accounts, Denial, InsertError, MAX_ACCOUNTS, Password, PasswordError, Phc, PhcError};
use super::{Secret, Snapshot};
use crate::chat::{Name, NameError};

/// The largest document: twice what 10,000 accounts with the longest names take.
pub const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;

/// The version that is written. The first is read as well: it had no checks, and two names could be two then that
/// are one now, so a program that knows it alone would not understand this one.
const VERSION: u64 = 2;
const FIRST_VERSION: u64 = 1;

/// The two forms that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"version":2,"users":{"momodou":{"password":"$argon2id$v=19$…","check":"01234567"}}}`, which is written.
    /// Who edits it by hand leaves `check` out.
    Hashed,
    /// `{"momodou":"password"}`, as programs before this one wrote it.
    Plain,
}

/// A document that is refused, and where: line and column count from 1, the column in characters. It is
/// the place up to which it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub line: usize,
    pub column: usize,
    pub damage: Damage,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Nothing, or nothing but white space: no accounts would be `{}`.
    Empty,
    /// More bytes than any number of accounts that is allowed.
    TooLarge { limit: usize },
    /// A byte that is no UTF-8.
    NotUtf8,
    /// A zero byte: what some file systems leave of a file after a power failure.
    NulByte,
    /// It ends too early.
    Truncated,
    /// No JSON.
    Syntax { reason: String },
    /// JSON, but not of the right kind.
    WrongType {
        found: &'static str,
        right: &'static str,
    },
    /// A key that has no meaning there.
    UnknownKey { key: String, right: &'static str },
    /// A key twice in one object.
    Twice { key: String },
    /// A key is not there.
    Missing { key: &'static str },
    /// A version that is not known.
    Version { got: u64 },
    /// Entries of both forms.
    Mixed { key: String },
    /// A name that is none.
    Name { name: String, error: NameError },
    /// Two accounts have one name; the first one stands at this line and column.
    SameName {
        name: String,
        line: usize,
        column: usize,
    },
    /// An account is not as it was written: name or hash have changed since.
    Check { name: String },
    /// A hash that is none.
    Hash { name: String, error: PhcError },
    /// A password in plain that cannot be one.
    Password { name: String, error: PasswordError },
    /// A hash where passwords stand in plain: taken as a password, whoever knows the hash could log in.
    HashInPlain { name: String },
    /// More than [`MAX_ACCOUNTS`].
    TooMany,
}

/// Reads a document of either form.
pub fn decode(bytes: &[u8]) -> Result<(Accounts, Form), Damaged> {
    let damaged = |until: &[u8], damage| {
        let (line, column) = place_after(until);
        Err(Damaged {
            line,
            column,
            damage,
        })
    };
    if bytes.len() > MAX_FILE_BYTES {
        let limit = MAX_FILE_BYTES;
        return damaged(&[], Damage::TooLarge { limit });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return damaged(&[], Damage::Empty);
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return damaged(bytes.get(..at).unwrap_or_default(), Damage::NulByte);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            // An unfinished character at the very end was cut.
            return match error.error_len() {
                None => damaged(valid, Damage::Truncated),
                Some(_) => damaged(valid, Damage::NotUtf8),
            };
        }
    };
    match Reader::default().read(text) {
        Ok(read) => Ok(read),
        Err(mut damaged) => {
            if let Damage::SameName { name, line, column } = &mut damaged.damage {
                // Read again as far as the first of the two.
                let reader = Reader {
                    stop_at: Some(name.clone()),
                    ..Reader::default()
                };
                if let Err(first) = reader.read(text) {
                    (*line, *column) = (first.line, first.column);
                }
            }
            Err(damaged)
        }
    }
}

/// Writes the one form that is written: an account a line, in the order of the names' bytes.
pub fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let accounts = snapshot.sorted();
    let mut out = Vec::with_capacity(64 + accounts.len() * 192);
    out.extend_from_slice(b"{\n  \"version\": 2,\n  \"users\": {");
    let mut separator = "\n    ";
    for (name, phc) in accounts {
        out.extend_from_slice(separator.as_bytes());
        separator = ",\n    ";
        push_string(name, &mut out);
        out.extend_from_slice(b": {\"password\": ");
        push_string(phc.as_str(), &mut out);
        out.extend_from_slice(b", \"check\": ");
        push_string(&check_of(name, phc), &mut out);
        out.push(b'}');
    }
    out.extend_from_slice(b"\n  }\n}\n");
    out
}

/// For a fuzzer: whatever the bytes are, they are read or refused at a place that they have, and what is
/// read is written and read again as it was.
pub fn fuzz(input: &[u8]) {
    match decode(input) {
        Ok((accounts, form)) => {
            assert!(accounts.len() + accounts.denied().len() <= MAX_ACCOUNTS);
            let plain = accounts.plain().count();
            assert_eq!(plain, accounts.plain_left());
            assert!(form == Form::Plain || plain == 0);
            let Ok(snapshot) = accounts.snapshot() else {
                assert!(plain > 0);
                return;
            };
            let written = encode(&snapshot);
            let again = decode(&written).expect("what was written is read");
            assert_eq!(again.1, Form::Hashed);
            let again = again.0.snapshot().expect("it has hashes alone");
            assert_eq!(again.sorted(), snapshot.sorted());
        }
        Err(damaged) => {
            let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!((1..=lines).contains(&damaged.line), "{damaged}");
            assert!((1..=input.len() + 1).contains(&damaged.column), "{damaged}");
        }
    }
}

fn push_string(text: &str, out: &mut Vec<u8>) {
    // A name may hold a backslash.
    serde_json::to_writer(out, text).expect("invariant: a string is written to memory");
}

/// The CRC-32 of an account (the one of Ethernet and zip), in hexadecimal digits. A disk that turns one letter of a
/// name into another, or of a hash, would otherwise give an account to nobody, and a name to whoever comes.
fn check_of(name: &str, phc: &Phc) -> String {
    let bytes = name.bytes().chain([0]).chain(phc.as_str().bytes());
    let crc = bytes.fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    format!("{:08x}", !crc)
}

/// The line and column that follow after these bytes.
fn place_after(bytes: &[u8]) -> (usize, usize) {
    let line = bytes.split(|byte| *byte == b'\n');
    let last = line.clone().next_back().unwrap_or_default();
    (
        line.count(),
        String::from_utf8_lossy(last).chars().count() + 1,
    )
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    accounts: Accounts,
    form: Option<Form>,
    version_read: bool,
    users_read: bool,
    /// Of the account that is being read.
    hash: Option<Phc>,
    check: Option<String>,
    /// What was refused; the parser only knows that something was.
    damage: Option<Damage>,
    /// Refuses this name: its place is wanted.
    stop_at: Option<String>,
}

/// What is read next.
#[derive(Clone, Copy)]
enum Slot<'a> {
    /// The whole document.
    Top,
    /// What belongs to a key of the outermost object.
    Entry(&'a str),
    /// What belongs to a name in `users`.
    User(&'a str),
    /// What belongs to `password` of a name.
    Hash(&'a str),
    /// What belongs to `check` of a name.
    Check,
}

/// Reads one [`Slot`]. The parser's own errors would show what they found, which may be a password; this
/// one only says of what kind it was.
struct Read<'r, 'a> {
    reader: &'r mut Reader,
    slot: Slot<'a>,
}

impl Reader {
    fn read(mut self, text: &str) -> Result<(Accounts, Form), Damaged> {
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Read {
            reader: &mut self,
            slot: Slot::Top,
        };
        match read.deserialize(&mut json).and_then(|()| json.end()) {
            Ok(()) => {
                // The file that it came from has all of it.
                self.accounts.begin_generations();
                Ok((self.accounts, self.form.unwrap_or(Form::Plain)))
            }
            Err(error) => Err(self.damaged(text, &error)),
        }
    }

    fn damaged(self, text: &str, error: &serde_json::Error) -> Damaged {
        let damage = self.damage.unwrap_or_else(|| {
            if error.is_eof() {
                return Damage::Truncated;
            }
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            Damage::Syntax {
                reason: reason.into(),
            }
        });
        let line = text.split('\n').nth(error.line().saturating_sub(1));
        let bytes = line.unwrap_or_default().as_bytes();
        let read = bytes.get(..error.column()).unwrap_or(bytes);
        Damaged {
            line: error.line().max(1),
            column: String::from_utf8_lossy(read).chars().count().max(1),
            damage,
        }
    }

    fn refuse<E: serde::de::Error>(&mut self, damage: Damage) -> E {
        self.damage.get_or_insert(damage);
        E::custom("refused")
    }

    fn in_form<E: serde::de::Error>(&mut self, form: Form, key: &str) -> Result<(), E> {
        match self.form.replace(form) {
            Some(before) if before != form => Err(self.refuse(Damage::Mixed { key: shown(key) })),
            _ => Ok(()),
        }
    }

    /// The name of an account, or why it can be nobody's.
    fn name<E: serde::de::Error>(&mut self, text: &str) -> Result<Result<Name, Denial>, E> {
        if self.stop_at.as_deref() == Some(text) {
            return Err(E::custom("found"));
        }
        Ok(match (Name::parse(text), self.accounts.get(text)) {
            (Ok(name), None) => Ok(name),
            (Ok(_), Some(first)) => Err(Denial::SameAs(first.name().clone())),
            (Err(error), _) => Err(Denial::NoName(error)),
        })
    }

    /// The same where it may have been written when the rules for names were others.
    fn old_name<E: serde::de::Error>(&mut self, text: &str) -> Result<Result<Name, Denial>, E> {
        match self.name(text)? {
            Err(denial) if !is_of_new_rules(&denial, text) => Err(self.refuse_name(text, denial)),
            name => Ok(name),
        }
    }

    fn refuse_name<E: serde::de::Error>(&mut self, text: &str, denial: Denial) -> E {
        self.refuse(match denial {
            Denial::NoName(error) => Damage::Name {
                name: shown(text),
                error,
            },
            Denial::SameAs(first) => Damage::SameName {
                name: first.as_str().to_owned(),
                line: 0,
                column: 0,
            },
        })
    }

    fn added<E: serde::de::Error>(&mut self, added: Result<(), InsertError>) -> Result<(), E> {
        added.map_err(|error| match error {
            InsertError::Full => self.refuse(Damage::TooMany),
            // It was looked for as soon as its name was read.
            InsertError::Taken => self.refuse(Damage::Twice { key: String::new() }),
        })
    }

    /// `{"name":"password"}`
    fn plain<E: serde::de::Error>(&mut self, key: &str, text: &str) -> Result<(), E> {
        let name = match self.name(key)? {
            Ok(name) => name,
            Err(denial) => return Err(self.refuse_name(key, denial)),
        };
        if text.starts_with("$argon2") {
            return Err(self.refuse(Damage::HashInPlain { name: shown(key) }));
        }
        let password = Password::new(text).map_err(|error| {
            self.refuse(Damage::Password {
                name: shown(key),
                error,
            })
        })?;
        let added = self.accounts.add(name, Secret::Plain(password));
        self.added(added)
    }

    fn hash<E: serde::de::Error>(&mut self, name: &str, text: &str) -> Result<(), E> {
        let phc = Phc::parse(text).map_err(|error| {
            self.refuse(Damage::Hash {
                name: shown(name),
                error,
            })
        })?;
        self.hash = Some(phc);
        Ok(())
    }

    /// All of an account was read.
    fn user<E: serde::de::Error>(&mut self, key: &str) -> Result<(), E> {
        let (hash, check) = (self.hash.take(), self.check.take());
        let Some(phc) = hash else {
            return Err(self.refuse(Damage::Missing { key: "password" }));
        };
        let name = self.old_name(key)?;
        if check.is_some_and(|check| check != check_of(key, &phc)) {
            return Err(self.refuse(Damage::Check { name: shown(key) }));
        }
        let added = match name {
            Ok(name) => self.accounts.add(name, Secret::Hashed(phc)),
            Err(denial) => self.accounts.deny(key, phc, denial),
        };
        self.added(added)
    }
}

impl<'a> Read<'_, 'a> {
    fn wrong<E: serde::de::Error>(self, found: &'static str) -> E {
        let right = match self.slot {
            Slot::Top => "an object, {\"version\":2,\"users\":{…}}",
            Slot::Entry("version") => "the number 2",
            Slot::Entry("users") => "an object, {\"name\":{\"password\":\"$argon2id$…\"}}",
            Slot::Entry(_) => "a password in quotes, or \"users\" and \"version\" around all of it",
            Slot::User(_) => "an object, {\"password\":\"$argon2id$…\"}",
            Slot::Hash(_) => "a string, \"$argon2id$…\"",
            Slot::Check => "a string of 8 digits, or nothing",
        };
        self.reader.refuse(Damage::WrongType { found, right })
    }

    /// The value of the key that was just read.
    fn value<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        slot: Slot<'_>,
    ) -> Result<(), A::Error> {
        map.next_value_seed(Read {
            reader: self.reader,
            slot,
        })
    }

    fn top<'de, A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let (version, users) = (self.reader.version_read, self.reader.users_read);
            let known = match key.as_str() {
                "version" => Some(version),
                "users" => Some(users),
                _ => None,
            };
            match (self.reader.form, known) {
                (Some(Form::Hashed), Some(true)) => {
                    return Err(self.reader.refuse(Damage::Twice { key }));
                }
                (Some(Form::Hashed), None) => {
                    let right = "\"version\" and \"users\"";
                    let key = shown(&key);
                    return Err(self.reader.refuse(Damage::UnknownKey { key, right }));
                }
                _ => self.value(&mut map, Slot::Entry(&key))?,
            }
        }
        if self.reader.form == Some(Form::Hashed) {
            for (read, key) in [
                (self.reader.version_read, "version"),
                (self.reader.users_read, "users"),
            ] {
                if !read {
                    return Err(self.reader.refuse(Damage::Missing { key }));
                }
            }
        }
        Ok(())
    }

    fn users<'de, A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            // If it is refused, then where it stands.
            self.reader.old_name::<A::Error>(&name).map(drop)?;
            self.value(&mut map, Slot::User(&name))?;
        }
        Ok(())
    }

    fn user<'de, A: MapAccess<'de>>(mut self, name: &str, mut map: A) -> Result<(), A::Error> {
        (self.reader.hash, self.reader.check) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let (read, slot) = match key.as_str() {
                "password" => (self.reader.hash.is_some(), Slot::Hash(name)),
                "check" => (self.reader.check.is_some(), Slot::Check),
                _ => {
                    let (key, right) = (shown(&key), "\"password\" or \"check\"");
                    return Err(self.reader.refuse(Damage::UnknownKey { key, right }));
                }
            };
            if read {
                return Err(self.reader.refuse(Damage::Twice { key }));
            }
            self.value(&mut map, slot)?;
        }
        self.reader.user(name)
    }
}

impl<'de> DeserializeSeed<'de> for Read<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("accounts")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.slot {
            Slot::Top => self.top(map),
            Slot::Entry(key @ "users") => {
                self.reader.in_form(Form::Hashed, key)?;
                self.reader.users_read = true;
                self.users(map)
            }
            Slot::User(name) => self.user(name, map),
            Slot::Entry(_) | Slot::Hash(_) | Slot::Check => Err(self.wrong("an object")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.slot {
            Slot::Entry(_) if self.reader.form == Some(Form::Hashed) => Err(self.wrong("a string")),
            Slot::Entry(key) => {
                self.reader.in_form(Form::Plain, key)?;
                self.reader.plain(key, text)
            }
            Slot::Hash(name) => self.reader.hash(name, text),
            Slot::Check => {
                self.reader.check = Some(text.to_owned());
                Ok(())
            }
            Slot::Top | Slot::User(_) => Err(self.wrong("a string")),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        match self.slot {
            Slot::Entry(key @ "version") => {
                self.reader.in_form(Form::Hashed, key)?;
                self.reader.version_read = true;
                match number {
                    FIRST_VERSION..=VERSION => Ok(()),
                    got => Err(self.reader.refuse(Damage::Version { got })),
                }
            }
            _ => Err(self.wrong("a number")),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(self.wrong("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(self.wrong("a number"))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(self.wrong("true or false"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Err(self.wrong("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("a list"))
    }
}

/// Whether a name was one, and another than every other, before it was asked how names look. What breaks a frame never
/// was, nor were two that differ by case alone.
fn is_of_new_rules(denial: &Denial, text: &str) -> bool {
    match denial {
        Denial::SameAs(first) => !first.same_letters_as(text),
        Denial::NoName(NameError::Empty) => !text.is_empty(),
        Denial::NoName(NameError::MixedScripts | NameError::Expands) => true,
        Denial::NoName(NameError::TooLong { .. } | NameError::Forbidden { .. }) => false,
    }
}

/// A key as it is told to people: not more of it than any name has.
fn shown(key: &str) -> String {
    crate::chat::cut(key, crate::chat::MAX_NAME_BYTES).to_owned()
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damaged {
            line,
            column,
            damage,
        } = self;
        write!(f, "line {line}, column {column}: {damage}")
    }
}

impl std::error::Error for Damaged {}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Empty => write!(f, "it is empty; a file without accounts holds {{}}"),
            Damage::TooLarge { limit } => write!(f, "it has more than {limit} bytes"),
            Damage::NotUtf8 => write!(f, "a byte that is no UTF-8"),
            Damage::NulByte => write!(f, "a zero byte, as a power failure may leave it"),
            Damage::Truncated => write!(f, "it ends here, too early"),
            Damage::Syntax { reason } => write!(f, "no JSON: {reason}"),
            Damage::WrongType { found, right } => {
                write!(f, "{found} stands where there should be {right}")
            }
            Damage::UnknownKey { key, right } => {
                write!(f, "{key:?} means nothing here; what does is {right}")
            }
            Damage::Twice { key } => write!(f, "{key:?} stands there twice; once is right"),
            Damage::Missing { key } => write!(f, "{key:?} is missing"),
            Damage::Version { got } => {
                write!(
                    f,
                    "version {got} is not known; {FIRST_VERSION} and {VERSION} are"
                )
            }
            Damage::Mixed { key } => write!(
                f,
                "{key:?} belongs to another form than what stands before it; a file is of the form \
                 {{\"version\":2,\"users\":{{…}}}} or {{\"name\":\"password\"}}"
            ),
            Damage::Name { name, error } => write!(f, "{name:?} is no name: {error}"),
            Damage::SameName { name, line, column } => write!(
                f,
                "the same name as {name:?} in line {line}, column {column}; one of the two should go"
            ),
            Damage::Check { name } => write!(
                f,
                "the account of {name:?} is not as it was written; whoever changed it by hand takes its \"check\" out"
            ),
            Damage::Hash { name, error } => write!(f, "the password of {name:?} is {error}"),
            Damage::Password { name, error } => {
                write!(f, "the password of {name:?} cannot be: {error}")
            }
            Damage::HashInPlain { name } => write!(
                f,
                "a hash stands for {name:?} where passwords stand in plain; it belongs into the form \
                 {{\"version\":2,\"users\":{{{name:?}:{{\"password\":\"$argon2id$…\"}}}}}}"
            ),
            Damage::TooMany => write!(f, "more than {MAX_ACCOUNTS} accounts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hash::tests::CHEAP;
    use super::*;

    fn phc() -> String {
        Phc::dummy(CHEAP).as_str().to_owned()
    }

    fn hashed(users: &str) -> String {
        format!("{{\"version\":1,\"users\":{{{users}}}}}").replace("PHC", &phc())
    }

    fn damaged(text: &str) -> (usize, usize, Damage) {
        let Damaged {
            line,
            column,
            damage,
        } = decode(text.as_bytes()).unwrap_err();
        fuzz(text.as_bytes());
        (line, column, damage)
    }

    fn damage(text: &str) -> Damage {
        damaged(text).2
    }

    #[test]
    fn the_form_of_the_page_is_read_and_written() {
        let text = hashed(r#""momodou":{"password":"PHC"},"Zo\u00eb":{"password":"PHC"}"#);
        let (accounts, form) = decode(text.as_bytes()).unwrap();
        assert_eq!((accounts.len(), form), (2, Form::Hashed));
        assert_eq!(accounts.generation(), 0);
        assert_eq!(accounts.get("ZOË").unwrap().name().as_str(), "Zoë");
        let phc = phc();
        let written = encode(&accounts.snapshot().unwrap());
        assert_eq!(
            String::from_utf8(written).unwrap(),
            format!(
                "{{\n  \"version\": 2,\n  \"users\": {{\n    \
                 \"Zoë\": {{\"password\": \"{phc}\", \"check\": \"f38888df\"}},\n    \
                 \"momodou\": {{\"password\": \"{phc}\", \"check\": \"66607e9d\"}}\n  }}\n}}\n"
            )
        );
        fuzz(text.as_bytes());
    }

    #[test]
    fn the_plain_form_is_read() {
        // The names of the other form's keys are names, too.
        let text = r#"{"version":"x","momodou":"p w","users":"\"\\"}"#;
        let (accounts, form) = decode(text.as_bytes()).unwrap();
        assert_eq!((accounts.len(), form), (3, Form::Plain));
        let Secret::Plain(password) = accounts.get("users").unwrap().secret() else {
            panic!("it is in plain");
        };
        assert_eq!(password.as_bytes(), b"\"\\");
        assert_eq!(accounts.snapshot().unwrap_err().left, 3);
        for none in ["{}", " { }\n", r#"{"users":{},"version":1}"#] {
            assert!(decode(none.as_bytes()).unwrap().0.is_empty(), "{none}");
        }
        fuzz(text.as_bytes());
    }

    #[test]
    fn what_is_damaged_is_refused_where_it_is() {
        assert_eq!(damaged(""), (1, 1, Damage::Empty));
        assert_eq!(damaged(" \n\n"), (1, 1, Damage::Empty));
        assert_eq!(damaged("{\n  \"a\": \"b\""), (2, 10, Damage::Truncated));
        assert_eq!(damaged("{\n \"a\0b\": \"b\"}"), (2, 4, Damage::NulByte));
        let error = decode(b"{\n \"\xc3\xa9\xff\"").unwrap_err();
        assert_eq!((error.line, error.column), (2, 4));
        assert_eq!(error.damage, Damage::NotUtf8);
        assert_eq!(decode(b"{\"\xc3").unwrap_err().damage, Damage::Truncated);
        let (line, column, syntax) = damaged("{\"a\": \"b\",\n \"c\": 'd'}");
        assert_eq!((line, column), (2, 7));
        assert!(matches!(syntax, Damage::Syntax { .. }));
        let large = vec![b' '; MAX_FILE_BYTES + 1];
        let limit = MAX_FILE_BYTES;
        assert_eq!(
            decode(&large).unwrap_err().damage,
            Damage::TooLarge { limit }
        );
        for text in [
            "{\"a\":\"b\"} x",
            "{\"a\":\"b\",}",
            "{a:\"b\"}",
            "\u{feff}{}",
            "{}{}",
            "\"a\nb\"",
        ] {
            let damage = damage(text);
            assert!(
                matches!(damage, Damage::Syntax { .. }),
                "{text}: {damage:?}"
            );
        }
    }

    #[test]
    fn json_of_the_wrong_kind_is_refused_without_showing_it() {
        for (text, found) in [
            ("[]", "a list"),
            ("5", "a number"),
            ("\"hunter2\"", "a string"),
            ("null", "null"),
            ("{\"a\":22771}", "a number"),
            ("{\"a\":-22771}", "a number"),
            ("{\"a\":22771.5}", "a number"),
            ("{\"a\":true}", "true or false"),
            ("{\"a\":[\"hunter2\"]}", "a list"),
            ("{\"a\":{\"password\":\"hunter2\"}}", "an object"),
            ("{\"version\":1,\"users\":\"hunter2\"}", "a string"),
            ("{\"version\":{},\"users\":{}}", "an object"),
            ("{\"users\":{},\"version\":\"1\"}", "a string"),
            (&hashed("\"a\":\"hunter2\""), "a string"),
            (&hashed("\"a\":null"), "null"),
            (&hashed("\"a\":{\"password\":22771}"), "a number"),
            (&hashed("\"a\":{\"password\":{\"b\":1}}"), "an object"),
        ] {
            let error = decode(text.as_bytes()).unwrap_err();
            assert!(
                matches!(error.damage, Damage::WrongType { found: f, .. } if f == found),
                "{text}: {error}"
            );
            let told = format!("{error} {error:?}");
            assert!(
                !told.contains("hunter2") && !told.contains("22771"),
                "{told}"
            );
        }
        let deep = format!("{}1", "{\"users\":".repeat(100_000));
        assert!(matches!(damage(&deep), Damage::UnknownKey { .. }));
    }

    #[test]
    fn keys_stand_once_and_mean_something() {
        let unknown = |key: &str, right| Damage::UnknownKey {
            key: key.into(),
            right,
        };
        let twice = |key: &str| Damage::Twice { key: key.into() };
        let top = "\"version\" and \"users\"";
        assert_eq!(damage(r#"{"version":1,"user":{}}"#), unknown("user", top));
        assert_eq!(damage(r#"{"version":1,"version":1}"#), twice("version"));
        assert_eq!(damage(r#"{"users":{},"users":{}}"#), twice("users"));
        assert_eq!(damage(r#"{"version":1}"#), Damage::Missing { key: "users" });
        assert_eq!(
            damage(r#"{"users":{}}"#),
            Damage::Missing { key: "version" }
        );
        for (text, got) in [(r#"{"version":3}"#, 3), (r#"{"version":0}"#, 0)] {
            assert_eq!(damage(text), Damage::Version { got });
        }
        let key = || "users".to_string();
        assert_eq!(
            damage(r#"{"a":"b","users":{}}"#),
            Damage::Mixed { key: key() }
        );
        let inner = "\"password\" or \"check\"";
        assert_eq!(
            damage(&hashed(r#""a":{"password":"PHC","x":1}"#)),
            unknown("x", inner)
        );
        assert_eq!(
            damage(&hashed(r#""a":{"password":"PHC","password":"PHC"}"#)),
            twice("password")
        );
        assert_eq!(
            damage(&hashed(r#""a":{}"#)),
            Damage::Missing { key: "password" }
        );
        assert_eq!(
            damage(&hashed(r#""a":{"check":"1","password":"PHC","check":"1"}"#)),
            twice("check")
        );
    }

    #[test]
    fn r27_an_account_that_is_not_as_it_was_written_is_refused_where_it_stands() {
        let text = hashed(
            "\n\"Zoë\":{\"password\":\"PHC\",\"check\":\"f38888df\"},\
             \n\"momodou\":{\"check\":\"66607e9d\",\"password\":\"PHC\"}",
        );
        assert_eq!(decode(text.as_bytes()).unwrap().0.len(), 2);
        for (good, bad, line, name) in [
            ("Zoë", "Zoé", 2, "Zoé"),
            ("momodou", "lomodou", 3, "lomodou"),
            ("momodou", "Momodou", 3, "Momodou"),
            ("66607e9d", "66607e9c", 3, "momodou"),
            ("66607e9d", "66607E9D", 3, "momodou"),
            ("66607e9d", "", 3, "momodou"),
        ] {
            let (at, _, damage) = damaged(&text.replace(good, bad));
            let name = name.to_owned();
            assert_eq!((at, damage), (line, Damage::Check { name }), "{bad}");
        }
        // A hash that is one, but not this account's.
        let other = text.replacen("AAAAA\"", "AAAAE\"", 1);
        assert!(matches!(damaged(&other), (2, _, Damage::Check { .. })));
        let number = text.replace("\"66607e9d\"", "66607");
        assert!(matches!(damage(&number), Damage::WrongType { .. }));
        // By hand: the check is left out, or the whole account.
        let edited = text
            .replace("\"check\":\"66607e9d\",", "")
            .replace("momodou", "modou");
        assert!(decode(edited.as_bytes()).unwrap().0.get("modou").is_some());
    }

    #[test]
    fn names_passwords_and_hashes_keep_their_rules() {
        for text in [r#"{"":"x"}"#, r#"{"a b":"x"}"#, r#"{"a\u0000":"x"}"#] {
            assert!(matches!(damage(text), Damage::Name { .. }), "{text}");
        }
        for users in [r#""":{"password":"PHC"}"#, r#""a\n":{"password":"PHC"}"#] {
            let damage = damage(&hashed(users));
            assert!(matches!(damage, Damage::Name { .. }), "{users}");
        }
        assert!(matches!(
            damage(r#"{"a":""}"#),
            Damage::Password {
                error: PasswordError::Empty,
                ..
            }
        ));
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(129));
        assert!(matches!(damage(&long), Damage::Password { .. }));
        for bad in ["", "x", "hunter2", "$argon2id$v=19$m=8,t=1,p=1$AAAA"] {
            let text = hashed(&format!(r#""a":{{"password":"{bad}"}}"#));
            assert!(matches!(damage(&text), Damage::Hash { .. }), "{bad}");
        }
        let huge = phc().replace("m=8", "m=2000000");
        let text = hashed(&format!(r#""a":{{"password":"{huge}"}}"#));
        assert!(matches!(
            damage(&text),
            Damage::Hash {
                error: PhcError::Cost(_),
                ..
            }
        ));
        let plain = format!(r#"{{"a":"{}"}}"#, phc());
        assert_eq!(damage(&plain), Damage::HashInPlain { name: "a".into() });
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_with_both_places() {
        let same_name = |name: &str, line, column| Damage::SameName {
            name: name.into(),
            line,
            column,
        };
        assert_eq!(
            damaged("{\n  \"zoë\": \"x\",\n  \"b\": \"y\",\n  \"ZOE\u{308}\": \"z\"\n}"),
            (4, 13, same_name("zoë", 2, 12))
        );
        let text = "{\"version\":1,\"users\":{\n\"Bob\":{\"password\":\"PHC\"},\n\"bob\":{}}}";
        assert_eq!(
            damaged(&text.replace("PHC", &phc())),
            (3, 5, same_name("Bob", 2, 5))
        );
    }

    #[test]
    fn an_account_of_a_name_that_is_none_any_more_is_kept_and_nobodys() {
        let sentences = "\u{fdfa}".repeat(4);
        let users = [
            "ｆｉｎｎ",
            "finn",
            "①",
            "1",
            "\u{3164}",
            &sentences,
            "p\u{430}ul",
        ];
        for version in [1, 2] {
            let users = users.map(|user| format!("\"{user}\":{{\"password\":\"PHC\"}}"));
            let text = hashed(&users.join(",")).replacen('1', &version.to_string(), 1);
            let (accounts, _) = decode(text.as_bytes()).unwrap();
            assert_eq!(accounts.len(), 2);
            let denied: Vec<_> = accounts.denied().map(ToString::to_string).collect();
            assert_eq!(denied[0], "\"finn\" is the same name as \"ｆｉｎｎ\"");
            assert_eq!(denied[1], "\"1\" is the same name as \"①\"");
            assert!(denied[2].contains("is no name: "), "{denied:?}");
            assert_eq!(denied.len(), 5);
            // All of them are written, and whose the name was, it stays.
            let written = encode(&accounts.snapshot().unwrap());
            let (again, _) = decode(&written).unwrap();
            assert_eq!(again.get("FINN").unwrap().name().as_str(), "ｆｉｎｎ");
            assert_eq!(again.get("1").unwrap().name().as_str(), "①");
            assert!(again.denied().map(ToString::to_string).eq(denied));
            fuzz(text.as_bytes());
        }
        // In plain, where they cannot be kept, and if the account is not as it was written.
        let plain = "{\"ｆｉｎｎ\":\"x\",\"finn\":\"y\"}";
        assert!(matches!(damage(plain), Damage::SameName { .. }));
        let check = hashed("\"p\u{430}ul\":{\"password\":\"PHC\",\"check\":\"00000000\"}");
        assert!(matches!(damage(&check), Damage::Check { .. }));
    }

    #[test]
    fn there_are_not_more_accounts_than_allowed() {
        let entries: Vec<String> = (0..=MAX_ACCOUNTS)
            .map(|number| format!("\"a{number}\":\"x\""))
            .collect();
        let text = |entries: &[String]| format!("{{{}}}", entries.join(",\n"));
        assert!(decode(text(&entries[1..]).as_bytes()).is_ok());
        assert_eq!(
            (damaged(&text(&entries)).0, damage(&text(&entries))),
            (MAX_ACCOUNTS + 1, Damage::TooMany)
        );
    }

    #[test]
    fn a_document_cut_anywhere_is_refused_at_its_end() {
        for text in [
            hashed("\n\"a\":{\"password\":\"PHC\"},\n\"é\":{\"password\":\"PHC\"}"),
            "{\"a\": \"x\",\n \"é\": \"y\"}".to_owned(),
        ] {
            for end in 0..text.len() {
                let error = decode(&text.as_bytes()[..end]).unwrap_err();
                assert!(
                    matches!(error.damage, Damage::Truncated | Damage::Empty),
                    "{end}: {error}"
                );
                let lines = text.as_bytes()[..end].split(|byte| *byte == b'\n').count();
                assert_eq!(error.line, lines, "{end}: {error}");
                fuzz(&text.as_bytes()[..end]);
            }
        }
    }

    #[test]
    fn a_flipped_byte_is_read_or_refused() {
        let text = hashed("\"a\":{\"password\":\"PHC\"},\"é\":{\"password\":\"PHC\"}");
        for at in 0..text.len() {
            for flip in [1, 2, 0x20, 0x80, 0xff] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= flip;
                fuzz(&bytes);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&bytes);
        }

        #[test]
        fn any_pieces(pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", ":", ",", "\"version\"", "\"users\"", "\"password\"", "\"check\"", "\"a\"", "\"A\"", "1", "[", "]",
            "\"$argon2id$v=19$m=8,t=1,p=1$bm9ib2R5J3MgYWNjb3VudA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
            " ", "\n", "null", "\\",
        ]), 0..24)) {
            fuzz(pieces.concat().as_bytes());
        }

        #[test]
        fn what_is_written_is_read(names in prop::collection::hash_set("[a-zé0-9\\\\/{}~']{1,16}", 0..20)) {
            let mut accounts = Accounts::new();
            for (number, name) in (0u8..).zip(&names) {
                let salt = [number; 16];
                let password = Password::new(name).unwrap();
                let phc = super::super::hash(&password, salt, CHEAP).unwrap();
                accounts.insert(Name::parse(name).unwrap(), phc).unwrap();
            }
            let snapshot = accounts.snapshot().unwrap();
            let read = decode(&encode(&snapshot)).unwrap().0.snapshot().unwrap();
            prop_assert_eq!(read.sorted(), snapshot.sorted());
        }
    }
}
