//! Owns the variables of the environment that say something: their names, and what may stand in one.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::error::{ConfigError, Origin};
use super::key::{Key, Kind, Wrong, keys};
use super::merged::Merged;
use super::suggest::nearest;
use super::value::Value;

const PREFIX: &str = "MYNAH_";

/// Names the configuration file.
pub(super) const CONFIG: &str = "MYNAH_CONFIG";

/// Those that say something to the clients or to our own tests, and are no settings.
const OTHERS: &[&str] = &[
    CONFIG,
    "MYNAH_COMMIT",
    "MYNAH_NO_SKIP",
    "MYNAH_PASSWORD",
    "MYNAH_SEED",
    "MYNAH_SEEDS",
    "MYNAH_RENEW",
];

/// The beginning of those that only tests have.
const TESTS: &str = "MYNAH_TEST_";

/// The variables as they were when somebody looked.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    pub(super) fn of_process() -> Environment {
        Environment(env::vars_os().collect())
    }

    /// Of those alone.
    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Environment {
        let all = variables.iter();
        Environment(
            all.map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A path that is not empty: an empty one is as if nothing were said.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let path = self.get(name).filter(|path| !path.is_empty());
        path.map(PathBuf::from)
    }

    /// An absolute path. The XDG Base Directory Specification has relative ones ignored.
    pub(super) fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.path(name).filter(|path| path.is_absolute())
    }

    /// Puts what the variables say over what is there.
    pub(super) fn apply(&self, merged: &mut Merged) -> Result<(), ConfigError> {
        for key in keys() {
            let name = variable(key.name);
            let Some(value) = self.get(&name) else {
                continue;
            };
            let not_utf8 = || Wrong::from("it is no UTF-8".to_owned());
            let text = value.to_str().ok_or_else(not_utf8);
            let set = text.and_then(|text| key.set(&mut merged.settings, &bare(key, text)));
            set.map_err(|wrong| {
                let got = crate::chat::cut(&format!("{value:?}"), 80).to_owned();
                ConfigError {
                    origin: Origin::Variable(name.clone()),
                    key: Some(key.name.to_owned()),
                    problem: wrong.problem(got, || key.bare_right()),
                }
            })?;
            merged.came_from(key, Origin::Variable(name));
        }
        Ok(())
    }

    /// A sentence for each variable that looks as if it should be a key's, and is none's.
    pub(super) fn unknown(&self) -> Vec<String> {
        let names = self.0.keys().map(|name| name.to_string_lossy());
        let ours = names.filter(|name| name.starts_with(PREFIX) && !name.starts_with(TESTS));
        let known = || keys().map(|key| variable(key.name));
        let unknown = ours.filter(|name| {
            !OTHERS.contains(&name.as_ref()) && !known().any(|known| known == *name)
        });
        let told = unknown.map(|name| {
            let meant = nearest(&name, known());
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
            format!("{}: no key has this variable{meant}", name.escape_debug())
        });
        told.collect()
    }
}

/// The variable of a key: `MYNAH_LIMITS_ROOMS` of `limits.rooms`.
pub(super) fn variable(key: &str) -> String {
    let name = key.to_ascii_uppercase().replace(['.', '-'], "_");
    format!("{PREFIX}{name}")
}

impl Key {
    /// The variable that sets it.
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// What its value may be in a variable, where strings stand bare.
    fn bare_right(&self) -> String {
        match self.kind {
            Kind::Texts { .. } => format!(
                "{}; in a variable without brackets and quotes, with spaces between",
                self.right()
            ),
            Kind::Text { .. } => self.right().replace(" in quotes", ""),
            Kind::Number { .. } | Kind::Truth { .. } => self.right(),
        }
    }
}

fn bare(key: &Key, text: &str) -> Value {
    let value = match key.kind {
        Kind::Number { .. } => Value::bare_number(text),
        Kind::Truth { .. } => Value::bare_truth(text),
        Kind::Texts { .. } => Some(Value::bare_texts(text)),
        Kind::Text { .. } => None,
    };
    value.unwrap_or_else(|| Value::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn merged(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let mut merged = Merged::default();
        let applied = Environment::of(variables).apply(&mut merged);
        applied
            .map(|()| merged.settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn no_two_keys_have_one_variable_and_none_has_that_of_something_else() {
        let mut seen = std::collections::BTreeSet::new();
        for key in keys() {
            let variable = key.variable();
            let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(variable.chars().all(is_name), "{variable}");
            assert!(!OTHERS.contains(&variable.as_str()), "{variable}");
            assert!(!variable.starts_with(TESTS), "{variable}");
            assert!(seen.insert(variable), "{} has another's", key.name);
        }
    }

    #[test]
    fn every_key_is_set_by_its_variable() {
        for key in keys() {
            let default = Settings::default();
            let text = match key.get(&default) {
                Value::Texts(texts) => texts.join(" "),
                Value::Text(text) => text,
                other => other.to_string(),
            };
            if key.name.starts_with("access.") {
                let some = merged(&[(&key.variable(), "10.0.0.0/8,::1")]).unwrap();
                assert_eq!(key.get(&some).to_string(), "[\"10.0.0.0/8\", \"::1\"]");
            }
            assert_eq!(
                merged(&[(&key.variable(), &text)]),
                Ok(default),
                "{}",
                key.name
            );
        }
        let rooms = merged(&[("MYNAH_LIMITS_ROOMS", "7")]).unwrap();
        assert_eq!(rooms.limits.hub.rooms, 7);
    }

    #[test]
    fn a_wrong_value_is_told_with_its_variable() {
        for (name, value, told) in [
            (
                "MYNAH_LIMITS_ROOMS",
                "0",
                "limits.rooms: \"0\" cannot be; right is: a whole number from 1 to 1000000",
            ),
            (
                "MYNAH_LIMITS_STALL_TIME",
                "30s",
                "without a unit and without quotes: 30",
            ),
            ("MYNAH_ISOLATE", "yes", "true or false"),
            ("MYNAH_LISTEN", "", "a list of strings"),
            (
                "MYNAH_LISTEN",
                "irc=127.0.0.1:1",
                "nothing that listens is called \"irc\"",
            ),
            (
                "MYNAH_LOG_LEVEL",
                "loud",
                "\"loud\" cannot be: \"loud\" is no level; there is: off, ",
            ),
            ("MYNAH_DATA_DIR", "", "right is: a path"),
            ("MYNAH_ACCESS_TCP_ROOM_ALLOW", "10.1.0.0/8", "10.0.0.0/8"),
        ] {
            let said = merged(&[(name, value)]).unwrap_err();
            assert!(said.starts_with(&format!("{name}: ")), "{said}");
            assert!(said.contains(told), "{said}");
        }
    }

    #[test]
    fn a_variable_of_no_key_is_told_with_the_one_that_was_meant() {
        let environment = Environment::of(&[
            ("HOME", "/"),
            ("MYNAH_CONFIG", "x"),
            ("MYNAH_PASSWORD", "x"),
            ("MYNAH_TEST_SAVE", "x"),
            ("MYNAH_LIMITS_ROOMS", "7"),
            ("MYNAH_LIMIT_ROOMS", "7"),
            ("MYNAH_XYZ", "7"),
        ]);
        assert_eq!(
            environment.unknown(),
            [
                "MYNAH_LIMIT_ROOMS: no key has this variable; did you mean MYNAH_LIMITS_ROOMS?",
                "MYNAH_XYZ: no key has this variable"
            ]
        );
    }
}
