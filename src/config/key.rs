//! Owns what a key of the configuration is: its name, what is told of it, what its value may be, and how it is put
//! into the [`Settings`] and read out of them. Knows nothing of where a value comes from.

use std::fmt;
use std::ops::RangeInclusive;

use super::Settings;
use super::access::ACCESS;
use super::error::Problem;
use super::limits::LIMITS;
use super::table::TABLE;
use super::value::Value;

/// One key. Everything that is told of it, here and in the documentation, comes from its row.
#[derive(Debug)]
pub struct Key {
    /// With its table: `table.key`.
    pub(super) name: &'static str,
    /// What it is, in sentences.
    pub(super) doc: &'static str,
    pub(super) reload: Reload,
    pub(super) unsaid: Unsaid,
    pub(super) kind: Kind,
}

/// When a value that was changed in the file takes effect, the server being told to reload (SIGHUP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// At once, for those who are there as well. What is under way, as a deadline, ends as it began.
    Now,
    /// For connections that come after it.
    NewConnections,
    /// Not before the server is started anew.
    Restart,
}

/// What holds where nothing is said.
#[derive(Debug)]
pub(super) enum Unsaid {
    /// What [`Settings::default`] has.
    Value,
    /// The same, told in words because it is long.
    Told(&'static str),
    /// It depends on the machine; told in words, with a value that could be.
    Depends {
        told: &'static str,
        example: &'static str,
    },
}

/// What a number counts. None is ever written with a unit behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Members, rooms, messages: the key's name says which.
    Things,
    Bytes,
    Kib,
    Seconds,
}

/// What a value is, and where it is kept.
#[derive(Debug)]
pub(super) enum Kind {
    Number {
        unit: Unit,
        bounds: RangeInclusive<u64>,
        get: fn(&Settings) -> u64,
        set: fn(&mut Settings, u64),
    },
    Truth {
        get: fn(&Settings) -> bool,
        set: fn(&mut Settings, bool),
    },
    Text {
        /// What it may be, for whoever gave another one.
        right: &'static str,
        get: fn(&Settings) -> String,
        set: fn(&mut Settings, &str) -> Result<(), Wrong>,
    },
    Texts {
        right: &'static str,
        get: fn(&Settings) -> Vec<String>,
        set: fn(&mut Settings, &[String]) -> Result<(), Wrong>,
    },
}

/// That a value is refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Which one of a list.
    pub(super) item: Option<usize>,
    pub(super) told: Told,
}

/// What is said of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Told {
    /// What is right for the key.
    #[default]
    OfKey,
    /// What would be right.
    Right(String),
    /// What is wrong.
    Because(String),
}

/// All keys, in the order in which people are shown them.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    TABLE.iter().chain(ACCESS).chain(LIMITS)
}

/// The names of all keys, with their tables.
pub fn names() -> impl Iterator<Item = &'static str> {
    keys().map(Key::name)
}

impl Key {
    /// The key that is called so.
    pub(super) fn named(name: &str) -> Option<&'static Key> {
        keys().find(|key| key.name == name)
    }

    /// With its table: `table.key`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in sentences.
    pub fn doc(&self) -> &'static str {
        self.doc
    }

    /// When a changed value takes effect.
    pub fn reload(&self) -> Reload {
        self.reload
    }

    /// What its value may be.
    pub fn right(&self) -> String {
        match &self.kind {
            Kind::Number { unit, bounds, .. } => {
                let (least, most) = (bounds.start(), bounds.end());
                format!("a whole number{unit} from {least} to {most}")
            }
            Kind::Truth { .. } => "true or false".to_owned(),
            Kind::Text { right, .. } | Kind::Texts { right, .. } => (*right).to_owned(),
        }
    }

    /// What holds where nothing is said: a value as it would be written in the file, or words.
    pub fn default(&self) -> String {
        match self.unsaid {
            Unsaid::Value => self.get(&Settings::default()).to_string(),
            Unsaid::Told(told) | Unsaid::Depends { told, .. } => told.to_owned(),
        }
    }

    /// What holds where nothing is said, or could where that depends on the machine, as it would be written in the file.
    pub fn example(&self) -> String {
        match self.unsaid {
            Unsaid::Value | Unsaid::Told(_) => self.get(&Settings::default()).to_string(),
            Unsaid::Depends { example, .. } => example.to_owned(),
        }
    }

    pub(super) fn get(&self, settings: &Settings) -> Value {
        match &self.kind {
            Kind::Number { get, .. } => Value::Number(get(settings)),
            Kind::Truth { get, .. } => Value::Truth(get(settings)),
            Kind::Text { get, .. } => Value::Text(get(settings)),
            Kind::Texts { get, .. } => Value::Texts(get(settings)),
        }
    }

    pub(super) fn set(&self, settings: &mut Settings, value: &Value) -> Result<(), Wrong> {
        match (&self.kind, value) {
            (Kind::Number { bounds, set, .. }, Value::Number(number)) => {
                if !bounds.contains(number) {
                    return Err(Wrong::default());
                }
                set(settings, *number);
                Ok(())
            }
            (Kind::Truth { set, .. }, Value::Truth(truth)) => {
                set(settings, *truth);
                Ok(())
            }
            (Kind::Text { set, .. }, Value::Text(text)) => set(settings, text),
            (Kind::Texts { set, .. }, Value::Texts(texts)) => set(settings, texts),
            (Kind::Number { .. }, Value::Text(text)) => {
                Err(self.wrong_text(text).unwrap_or_default())
            }
            (
                Kind::Number { .. } | Kind::Truth { .. } | Kind::Text { .. } | Kind::Texts { .. },
                _,
            ) => Err(Wrong::default()),
        }
    }
}

impl Key {
    /// What is wrong with a text where a number should be: somebody wrote a unit, or quotes.
    pub(super) fn wrong_text(&self, text: &str) -> Option<Wrong> {
        let Kind::Number { unit, bounds, .. } = &self.kind else {
            return None;
        };
        let meant = unit.read(text).filter(|number| bounds.contains(number));
        let meant = meant.map_or(String::new(), |number| format!(": {number}"));
        let right = format!("{}, without a unit and without quotes{meant}", self.right());
        Some(Wrong {
            item: None,
            told: Told::Right(right),
        })
    }
}

impl Wrong {
    /// That what was there is refused, with what would be right for the key.
    pub(super) fn problem(self, got: String, of_key: impl FnOnce() -> String) -> Problem {
        match self.told {
            Told::OfKey => Problem::Value {
                got,
                right: of_key(),
            },
            Told::Right(right) => Problem::Value { got, right },
            Told::Because(why) => Problem::Refused { got, why },
        }
    }
}

/// What is wrong.
impl From<String> for Wrong {
    fn from(why: String) -> Wrong {
        Wrong {
            item: None,
            told: Told::Because(why),
        }
    }
}

impl Unit {
    /// What somebody meant who wrote a unit behind a number, as `30s`, `5 min` or `64KiB`; whole ones only.
    fn read(self, text: &str) -> Option<u64> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let bytes = |unit: &str| match unit {
            "B" | "b" | "bytes" => Some(1),
            "k" | "K" | "KB" | "kB" | "KiB" | "kib" => Some(1 << 10),
            "m" | "M" | "MB" | "MiB" | "mib" => Some(1 << 20),
            "g" | "G" | "GB" | "GiB" | "gib" => Some(1 << 30),
            _ => None,
        };
        let unit = unit.trim();
        let factor = match self {
            _ if unit.is_empty() => 1,
            Unit::Things => return None,
            Unit::Bytes => bytes(unit)?,
            Unit::Kib => bytes(unit)?,
            Unit::Seconds => match unit {
                "s" | "sec" | "second" | "seconds" => 1,
                "m" | "min" | "minute" | "minutes" => 60,
                "h" | "hour" | "hours" => 3600,
                "d" | "day" | "days" => 86_400,
                _ => return None,
            },
        };
        let all = number.checked_mul(factor)?;
        match self {
            Unit::Kib if !unit.is_empty() => Some(all / 1024),
            Unit::Kib | Unit::Things | Unit::Bytes | Unit::Seconds => Some(all),
        }
    }
}

/// As it stands behind “a whole number”.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Things => "",
            Unit::Bytes => " of bytes",
            Unit::Kib => " of KiB",
            Unit::Seconds => " of seconds",
        })
    }
}

/// As it stands behind “a changed value applies”.
impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reload::Now => "at once",
            Reload::NewConnections => "to new connections",
            Reload::Restart => "after a restart",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_with_a_unit() {
        for (unit, text, meant) in [
            (Unit::Seconds, "30s", Some(30)),
            (Unit::Seconds, "5 min", Some(300)),
            (Unit::Seconds, "2h", Some(7200)),
            (Unit::Seconds, "30", Some(30)),
            (Unit::Seconds, "30ms", None),
            (Unit::Seconds, "s", None),
            (Unit::Seconds, "99999999999999999999s", None),
            (Unit::Bytes, "64KiB", Some(65_536)),
            (Unit::Bytes, "1 MB", Some(1_048_576)),
            (Unit::Bytes, "64s", None),
            (Unit::Kib, "19 MiB", Some(19_456)),
            (Unit::Kib, "19456", Some(19_456)),
            (Unit::Things, "7", Some(7)),
            (Unit::Things, "7k", None),
            (Unit::Things, "é", None),
        ] {
            assert_eq!(unit.read(text), meant, "{text:?}");
        }
    }

    #[test]
    fn no_two_keys_have_one_name_and_each_is_told() {
        let mut seen = std::collections::BTreeSet::new();
        for key in keys() {
            assert!(seen.insert(key.name), "{} stands there twice", key.name);
            assert!(
                key.doc.ends_with('.'),
                "{} is not told in sentences",
                key.name
            );
            assert!(!key.doc.contains('|'), "{} breaks its table", key.name);
            assert!(std::ptr::eq(Key::named(key.name).unwrap(), key));
        }
    }

    #[test]
    fn what_is_read_out_of_settings_can_be_put_into_them() {
        let settings = Settings::default();
        for key in keys() {
            let mut again = settings.clone();
            let value = key.get(&settings);
            assert_eq!(key.set(&mut again, &value), Ok(()), "{}", key.name);
            assert_eq!(again, settings, "{}", key.name);
        }
    }
}
