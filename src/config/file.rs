//! Owns the configuration file: where it is looked for, how it is read, and in which line something is wrong.
//! Knows no key by name.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::{CONFIG, Environment};
use super::error::{ConfigError, MAX_BYTES, Origin, Problem};
use super::key::{Key, Wrong, names};
use super::merged::Merged;
use super::suggest::nearest;
use super::value::Value;

/// Where the file of a machine is.
const SYSTEM: &str = "/etc/mynah/mynah.toml";

/// Below the user's directory for configuration.
const OF_USER: &str = "mynah/mynah.toml";

/// As standard input is called on the command line, and in what is told.
const DASH: &str = "-";
const STANDARD_INPUT: &str = "standard input";

/// A file that was read.
pub(super) struct Source {
    /// As it is told of.
    pub(super) path: PathBuf,
    bytes: Vec<u8>,
}

/// Reads the file that a flag names, or a variable, or else the first that there is where people keep such files. None
/// is fine, but not where one is named. Standard input is read once: who asks again is told the same.
pub(super) fn find(
    flag: Option<&Path>,
    environment: &Environment,
) -> Result<Option<Source>, ConfigError> {
    if let Some(path) = flag
        .map(Path::to_owned)
        .or_else(|| environment.path(CONFIG))
    {
        return read(&path).map(Some);
    }
    for path in places(environment) {
        match read(&path) {
            Err(error) if is_missing(&error) => {}
            result => return result.map(Some),
        }
    }
    Ok(None)
}

/// Where a file is looked for that nobody names, in this order (XDG Base Directory Specification).
pub(super) fn places(environment: &Environment) -> Vec<PathBuf> {
    let user = environment.absolute("XDG_CONFIG_HOME");
    let user = user.or_else(|| Some(environment.absolute("HOME")?.join(".config")));
    let mut places: Vec<PathBuf> = user.map(|user| user.join(OF_USER)).into_iter().collect();
    places.push(SYSTEM.into());
    places
}

fn is_missing(error: &ConfigError) -> bool {
    let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    matches!(&error.problem, Problem::Read(error) if missing.contains(&error.kind()))
}

fn read(path: &Path) -> Result<Source, ConfigError> {
    static READ_BEFORE: OnceLock<Vec<u8>> = OnceLock::new();
    let is_standard_input = path == Path::new(DASH);
    let name = if is_standard_input {
        Path::new(STANDARD_INPUT)
    } else {
        path
    };
    let bytes = match READ_BEFORE.get() {
        Some(bytes) if is_standard_input => Ok(bytes.clone()),
        _ if is_standard_input => {
            take(io::stdin().lock()).map(|bytes| READ_BEFORE.get_or_init(|| bytes).clone())
        }
        _ => File::open(path).and_then(take),
    };
    let problem = match bytes {
        Err(error) => Problem::Read(error),
        Ok(bytes) if bytes.len() as u64 > MAX_BYTES => Problem::TooLarge,
        Ok(bytes) => {
            let path = name.to_owned();
            return Ok(Source { path, bytes });
        }
    };
    Err(ConfigError {
        origin: at(name, None),
        key: None,
        problem,
    })
}

/// As much as there may be, and one byte more.
fn take(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn at(path: &Path, line: Option<usize>) -> Origin {
    let path = path.to_owned();
    Origin::File { path, line }
}

impl Source {
    /// A file that is none, for what only wants to know what would be said of its bytes.
    pub(super) fn in_memory(bytes: &[u8]) -> Source {
        Source {
            path: "mynah.toml".into(),
            bytes: bytes.to_owned(),
        }
    }

    /// Puts what the file says over what is there. With an error it may be half of each.
    pub(super) fn apply(&self, merged: &mut Merged) -> Result<(), ConfigError> {
        let text = std::str::from_utf8(&self.bytes).map_err(|error| ConfigError {
            origin: at(&self.path, Some(line_at(&self.bytes, error.valid_up_to()))),
            key: None,
            problem: Problem::NotUtf8,
        })?;
        let page = Page {
            path: &self.path,
            text,
        };
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let syntax = || page.error(at, None, Problem::Syntax(error.message().into()));
            page.without_quotes(at).unwrap_or_else(syntax)
        })?;
        let mut entries = Vec::new();
        page.flatten("", document.get_ref(), &mut entries)?;
        // The parser sorts them by name; people read from the top.
        entries.sort_by_key(|entry| entry.at);
        for entry in &entries {
            page.put(entry, merged)?;
        }
        Ok(())
    }
}

/// A key with its value.
struct Entry<'a, 'i> {
    name: String,
    at: usize,
    value: &'a Spanned<DeValue<'i>>,
}

/// The text of a file, for who has to tell of places in it.
struct Page<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Page<'_> {
    /// The keys of the file with their tables before them. Tables that no known key stands in are left as they are.
    fn flatten<'a, 'i>(
        &self,
        table_name: &str,
        table: &'a DeTable<'i>,
        entries: &mut Vec<Entry<'a, 'i>>,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let entry = Entry {
                name: format!("{table_name}{}", key.get_ref()),
                at: key.span().start,
                value,
            };
            let inside = format!("{}.", entry.name);
            let is_table = names().any(|name| name.starts_with(&inside));
            match value.get_ref() {
                DeValue::Table(table) if is_table => self.flatten(&inside, table, entries)?,
                _ if is_table => {
                    let (got, right) = (
                        self.got(&value.span()),
                        format!("a table, [{}]", entry.name),
                    );
                    let problem = Problem::Value { got, right };
                    return Err(self.error(value.span().start, Some(entry.name), problem));
                }
                _ => entries.push(entry),
            }
        }
        Ok(())
    }

    fn put(&self, entry: &Entry<'_, '_>, merged: &mut Merged) -> Result<(), ConfigError> {
        let Some(key) = Key::named(&entry.name) else {
            return Err(self.unknown(entry));
        };
        let whole = entry.value.span();
        let (wrong, span) = match Value::of_toml(entry.value) {
            Err(inside) => (Wrong::default(), inside.unwrap_or(whole)),
            Ok(value) => match key.set(&mut merged.settings, &value) {
                Ok(()) => {
                    let line = self.line(entry.at);
                    merged.came_from(key, at(self.path, Some(line)));
                    return Ok(());
                }
                Err(wrong) => {
                    let items = entry.value.get_ref().as_array();
                    let item = wrong.item.and_then(|number| items?.get(number));
                    (wrong, item.map_or(whole, Spanned::span))
                }
            },
        };
        let problem = wrong.problem(self.got(&span), || key.right());
        Err(self.error(span.start, Some(entry.name.clone()), problem))
    }

    fn unknown(&self, entry: &Entry<'_, '_>) -> ConfigError {
        let table_end = entry.name.rfind('.').map_or(0, |dot| dot + 1);
        let (table, _) = entry.name.split_at(table_end);
        let mut known = Vec::new();
        let mut candidates = Vec::new();
        for full in names() {
            candidates.push(full.to_owned());
            if let Some((table, _)) = full.rsplit_once('.') {
                candidates.push(format!("[{table}]"));
            }
            let Some(name) = full.strip_prefix(table) else {
                continue;
            };
            // Beside the keys of a table stand the tables in it.
            let name = match name.split_once('.') {
                Some((inner, _)) => format!("[{table}{inner}]"),
                None => name.to_owned(),
            };
            if known.last() != Some(&name) {
                known.push(name);
            }
        }
        let written = match entry.value.get_ref() {
            DeValue::Table(_) => format!("[{}]", entry.name),
            _ => entry.name.clone(),
        };
        let meant = nearest(&written, candidates.into_iter());
        let problem = Problem::UnknownKey { known, meant };
        self.error(entry.at, Some(entry.name.clone()), problem)
    }

    /// What stands there, so much of it as is told.
    fn got(&self, span: &Range<usize>) -> String {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        crate::chat::cut(line, 80).to_owned()
    }

    fn error(&self, byte: usize, key: Option<String>, problem: Problem) -> ConfigError {
        ConfigError {
            origin: at(self.path, Some(self.line(byte))),
            key,
            problem,
        }
    }

    fn line(&self, byte: usize) -> usize {
        line_at(self.text.as_bytes(), byte)
    }

    /// What is wrong where a line is no TOML because it is written as in other formats, as `stall_time = 30s` or
    /// `log_level = info`: what the key takes is better said than what TOML would.
    fn without_quotes(&self, byte: usize) -> Option<ConfigError> {
        let number = self.line(byte).checked_sub(1)?;
        let (name, value) = self.text.lines().nth(number)?.split_once('=')?;
        let value = value.split('#').next()?.trim();
        let is_bare = |c: char| c.is_alphanumeric() || c == '/';
        // A key may stand there twice, with values that are right.
        let bare = value.chars().next().is_some_and(is_bare) && DeValue::parse(value).is_err();
        let before = self.text.lines().take(number);
        let header = before
            .filter_map(|line| line.trim().strip_prefix('['))
            .last();
        let table = header.map(|line| line.split(']').next().unwrap_or_default().trim());
        let name = match table {
            Some(table) => format!("{table}.{}", name.trim()),
            None => name.trim().to_owned(),
        };
        let key = Key::named(&name).filter(|_| bare)?;
        let got = crate::chat::cut(value, 80).to_owned();
        let right = key.right();
        let problem = match key.wrong_text(value) {
            Some(wrong) => wrong.problem(got, || right),
            None => Problem::Value { got, right },
        };
        Some(self.error(byte, Some(name), problem))
    }
}

/// The line of a byte, from 1.
fn line_at(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Advertise, Registration, Settings, fuzz};
    use crate::server::Limits;

    /// The settings with a file.
    fn settings(text: &str) -> Settings {
        merged(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn merged(bytes: &[u8]) -> Result<Settings, ConfigError> {
        Merged::of_file(bytes).map(|merged| merged.settings)
    }

    /// What is said of a file, behind its path.
    fn said(bytes: impl AsRef<[u8]>) -> String {
        let said = merged(bytes.as_ref()).unwrap_err().to_string();
        let behind = said.strip_prefix("mynah.toml:");
        behind.expect("it begins with the path").to_owned()
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
            ("accounts.argon2_memory_kib", "2048"),
            ("accounts.argon2_passes", "3"),
            ("accounts.argon2_lanes", "2"),
            ("mesh.name", "\"x\""),
            ("mesh.broadcast", "\"10.0.0.255\""),
            ("control", "\"\""),
            ("welcome", "\"x\""),
            ("drain_timeout", "0"),
        ];
        let known =
            names().filter(|name| !name.starts_with("limits.") && !name.starts_with("access."));
        assert_eq!(values.len(), known.count());
        for (key, value) in values {
            let changed = settings(&format!("{key} = {value}"));
            let changes = crate::config::changed(&Settings::default(), &changed);
            let keys: Vec<_> = changes.iter().map(|change| change.key.name()).collect();
            assert_eq!(keys, [key]);
        }
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
            (
                "limits.stall_time = \"30s\"",
                "limits.stall_time: \"30s\" ",
                "without a unit and without quotes: 30",
            ),
            (
                "limits.stall_bytes = \"64KiB\"",
                "limits.stall_bytes: \"64KiB\" ",
                "of bytes from 1024 to 1073741824, without a unit and without quotes: 65536",
            ),
            (
                "drain_timeout = \"never\"",
                "drain_timeout: \"never\" ",
                "a whole number of seconds",
            ),
            ("welcome = 5", "welcome: 5 ", "a text"),
            (
                "welcome = \"\\u001b\"",
                "welcome: \"\\u001b\" ",
                "control characters",
            ),
            ("control = 1", "control: 1 ", "a path"),
            (
                "access.group.allow = \"::1\"",
                "access.group.allow: \"::1\" ",
                "a list",
            ),
            (
                "access.group.deny = [\"::1\", \"10.0.0.1/8\"]",
                "access.group.deny: \"10.0.0.1/8\" ",
                "in 10.0.0.0/8",
            ),
        ] {
            let said = said(format!("# first\n\n{line}\n"));
            assert!(said.starts_with(&format!("3: {begin}")), "{said}");
            let (_, told) = said.split_once("cannot be").unwrap();
            assert!(told.contains(right), "{said}");
        }
        let second = said("listen = [\n  \"tcp-room=127.0.0.1:1\",\n  \"tcp-room\",\n]\n");
        assert!(second.starts_with("3: listen: \"tcp-room\" "), "{second}");
        let first = said("isolate = 1\n[accounts]\nregistration = 2\n");
        assert!(first.starts_with("1: isolate:"), "{first}");
    }

    #[test]
    fn an_unknown_key_is_told_with_those_that_there_are() {
        for (text, begin, known) in [
            ("\nlisten_on = 1", "2: listen_on:", "listen, "),
            (
                "listen_on = 1",
                "1: listen_on:",
                "did you mean listen? there is: ",
            ),
            ("roms = 1", "1: roms:", "did you mean limits.rooms? "),
            (
                "limits.roms = 1",
                "1: limits.roms:",
                "did you mean limits.rooms? ",
            ),
            (
                "access.irc.allow = []",
                "1: access.irc:",
                "[access.tcp-room], [access.group]",
            ),
            (
                "\n\n[limit]\nrooms = 5",
                "3: limit:",
                "did you mean [limits]?",
            ),
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
            (
                "isolate = yes",
                "1: isolate: yes cannot be; right is: true or false",
            ),
            ("\n\n= 5", "3: no TOML: "),
        ] {
            let said = said(text);
            assert!(said.starts_with(begin), "{said}");
        }
        assert_eq!(said(b"\n\"\xff"), "2: a byte that is no UTF-8");
        for (line, told) in [
            (
                "limits.stall_time = 30s",
                "limits.stall_time: 30s cannot be; right is: a whole number of seconds from 1 to 3600, without a unit \
                 and without quotes: 30",
            ),
            (
                "[limits]\nstall_bytes = 64KiB # much",
                "limits.stall_bytes: 64KiB cannot be; right is: a whole number of bytes",
            ),
            (
                "log_level = info",
                "log_level: info cannot be; right is: a level in quotes",
            ),
            (
                "data_dir = /srv",
                "data_dir: /srv cannot be; right is: a path in quotes",
            ),
            (
                "isolate = True",
                "isolate: True cannot be; right is: true or false",
            ),
            ("roms = 7s", "no TOML: "),
            ("listen = [x]", "no TOML: "),
        ] {
            let said = said(format!("\n{line}\n"));
            let at = if line.contains('\n') { 3 } else { 2 };
            assert!(said.starts_with(&format!("{at}: {told}")), "{said}");
        }
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large");
        std::fs::write(&large, "#".repeat(1024 * 1024 + 1)).unwrap();
        let said = |path: &Path| match read(path) {
            Ok(_) => panic!("{} is read", path.display()),
            Err(error) => error.to_string(),
        };
        assert!(said(&large).ends_with("large: more than 1048576 bytes are no configuration"));
        assert!(said(folder.path()).contains(": cannot be read: Is a directory"));
        let error = said(Path::new("/nonexistent/x"));
        assert_eq!(
            error,
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

    #[test]
    fn the_first_file_that_there_is_is_read_and_one_that_is_named_before_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let home = ("HOME", &*at("home"));
        let xdg = ("XDG_CONFIG_HOME", &*at("xdg"));
        let named = ("MYNAH_CONFIG", &*at("named.toml"));
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        let found = |flag: Option<&str>, variables: &[(&str, &str)]| {
            let environment = Environment::of(variables);
            let found = find(flag.map(Path::new), &environment);
            found.map(|source| source.map(|source| source.path))
        };
        // This machine has none of its own while tests run.
        let none = |variables: &[(&str, &str)]| found(None, variables).unwrap();
        if !Path::new(SYSTEM).exists() {
            assert_eq!(none(&[]), None);
            assert_eq!(none(&[home, xdg]), None);
        }
        write("home/.config/mynah/mynah.toml");
        assert_eq!(
            none(&[home]),
            Some(at("home/.config/mynah/mynah.toml").into())
        );
        write("xdg/mynah/mynah.toml");
        assert_eq!(none(&[home, xdg]), Some(at("xdg/mynah/mynah.toml").into()));
        let empty = ("MYNAH_CONFIG", "");
        assert_eq!(none(&[xdg, empty]), Some(at("xdg/mynah/mynah.toml").into()));
        assert!(found(None, &[xdg, named]).is_err(), "it is not there");
        write("named.toml");
        assert_eq!(none(&[xdg, named]), Some(at("named.toml").into()));
        write("flag.toml");
        let flag = at("flag.toml");
        let of_flag = found(Some(&flag), &[xdg, named]).unwrap();
        assert_eq!(of_flag, Some(flag.into()));
        assert!(found(Some("/nonexistent/x"), &[xdg]).is_err());
        let places = places(&Environment::of(&[("XDG_CONFIG_HOME", "relative"), home]));
        assert_eq!(places[0], Path::new(&at("home/.config/mynah/mynah.toml")));
        assert_eq!(places[1], Path::new("/etc/mynah/mynah.toml"));
    }
}
