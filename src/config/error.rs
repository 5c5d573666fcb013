//! Owns where a value of the configuration comes from, and what is wrong with one that may not be.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value comes from. Shown as a person would look for it: `/etc/mynah/mynah.toml:12`, `MYNAH_LISTEN`, `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the file, from 1; none where it is about the whole file.
    File { path: PathBuf, line: Option<usize> },
    /// A variable of the environment.
    Variable(String),
    /// A flag, with its dashes.
    Flag(&'static str),
}

/// What is wrong with the configuration, and where.
#[derive(Debug)]
pub struct ConfigError {
    /// Where that stands.
    pub origin: Origin,
    /// With its table: `table.key`. `None` where it is not about one.
    pub key: Option<String>,
    /// What is wrong.
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
    /// There is no such key. `meant` is the one that is called nearly so.
    UnknownKey {
        known: Vec<String>,
        meant: Option<String>,
    },
    /// A value that the key does not take.
    Value { got: String, right: String },
    /// The same, where it is better said what is wrong with it.
    Refused { got: String, why: String },
}

/// More than anybody writes by hand.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line: None } => write!(f, "{}", path.display()),
            Origin::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.origin)?;
        if let Some(key) = &self.key {
            write!(f, " {}:", key.escape_debug())?;
        }
        match &self.problem {
            Problem::Read(error) => write!(f, " cannot be read: {error}"),
            Problem::TooLarge => write!(f, " more than {MAX_BYTES} bytes are no configuration"),
            Problem::NotUtf8 => write!(f, " a byte that is no UTF-8"),
            Problem::Syntax(message) => write!(f, " no TOML: {message}"),
            Problem::UnknownKey { known, meant } => {
                write!(f, " there is no such key; ")?;
                if let Some(meant) = meant {
                    write!(f, "did you mean {meant}? ")?;
                }
                write!(f, "there is: {}", known.join(", "))
            }
            Problem::Refused { got, why } => write!(f, " {got} cannot be: {why}"),
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
