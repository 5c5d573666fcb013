//! Owns what is loud enough to be told, per part of the program. Knows nothing of lines, nor where they go.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use log::{LevelFilter, Metadata};

/// The levels of the `log` crate by their names, from silence to everything.
pub const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The modules that log, as a line of the log names them; `tests/architecture.rs` sees to it that these
/// are all. A target of a [`Filter`] is one of them, or what is before a `::` of one: `server` is all of the server.
#[rustfmt::skip]
pub const TARGETS: &[&str] = &[
    "commands::serve",
    "journal",
    // Not ours, and the same to whoever reads the log.
    "mio::poll",
    "reactor::helper",
    "server::accounts",
    "server::book",
    "server::closing",
    "server::control",
    "server::core",
    "server::deciding",
    "server::doors",
    "server::driver",
    "server::hosting",
    "server::login",
    "server::manager",
    "server::posting",
    "server::receiving",
    "server::registrar",
    "server::swap",
    "server::visiting",
    "store::file",
    "store::lock",
];

/// The longest of them. Lines that peers can cause have a budget, and this is a part of it.
pub(super) const MAX_TARGET_BYTES: usize = {
    let mut longest = 0;
    let mut targets = TARGETS;
    while let [target, rest @ ..] = targets {
        if target.len() > longest {
            longest = target.len();
        }
        targets = rest;
    }
    longest
};

/// What stands before the path of a module in a record, and may before a target.
const CRATE: &str = concat!(env!("CARGO_CRATE_NAME"), "::");

/// From which level on something is logged: one for all, and others for parts of the program.
///
/// As text it is `info`, or `info,store=debug,server::login=trace`: levels, of which those with a target hold for that
/// module and what is in it. The longest target that fits decides. Without a level for all, that is `info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    of_all: LevelFilter,
    /// By the paths of modules, the crate's name not with them.
    of_targets: BTreeMap<String, LevelFilter>,
}

/// What is told when nobody says anything else.
impl Default for Filter {
    fn default() -> Filter {
        Filter::from(LevelFilter::Info)
    }
}

/// The same for every part.
impl From<LevelFilter> for Filter {
    fn from(level: LevelFilter) -> Filter {
        Filter {
            of_all: level,
            of_targets: BTreeMap::new(),
        }
    }
}

impl Filter {
    /// The loudest that is let through from anywhere.
    pub fn max_level(&self) -> LevelFilter {
        let levels = self.of_targets.values().copied();
        levels.fold(self.of_all, Ord::max)
    }

    /// Lets through what the one or the other does.
    pub fn louder(&self, other: &Filter) -> Filter {
        let targets = self.of_targets.keys().chain(other.of_targets.keys());
        let louder = |target: &str| self.level_of(target).max(other.level_of(target));
        Filter {
            of_all: self.of_all.max(other.of_all),
            of_targets: targets
                .map(|target| (target.clone(), louder(target)))
                .collect(),
        }
    }

    /// Whether such a record is told.
    pub fn lets_through(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level_of(metadata.target())
    }

    /// The level that holds for a record's target, the path of the module that it comes from.
    fn level_of(&self, target: &str) -> LevelFilter {
        if self.of_targets.is_empty() {
            return self.of_all;
        }
        let mut path = Some(below_crate(target));
        while let Some(module) = path {
            if let Some(level) = self.of_targets.get(module) {
                return *level;
            }
            path = module.rsplit_once("::").map(|(outer, _)| outer);
        }
        self.of_all
    }
}

/// The path of a module as it is told and asked for: without the crate's name.
pub(super) fn below_crate(target: &str) -> &str {
    target.strip_prefix(CRATE).unwrap_or(target)
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        let mut of_all = None;
        let mut of_targets = BTreeMap::new();
        for word in text.split(',').map(str::trim) {
            let twice = match word.split_once('=') {
                None => of_all.replace(level(word)?).is_some(),
                Some((target, of_target)) => {
                    let path = below_crate(target.trim_end());
                    if !TARGETS.iter().any(|one| is_in(one, path)) {
                        return Err(FilterError::Target(target.into()));
                    }
                    let level = level(of_target.trim_start())?;
                    of_targets.insert(path.to_owned(), level).is_some()
                }
            };
            if twice {
                return Err(FilterError::Twice(word.into()));
            }
        }
        Ok(Filter {
            of_all: of_all.unwrap_or(Filter::default().of_all),
            of_targets,
        })
    }
}

fn level(word: &str) -> Result<LevelFilter, FilterError> {
    word.parse().map_err(|_| FilterError::Level(word.into()))
}

/// Whether a module is that one, or in it.
fn is_in(module: &str, outer: &str) -> bool {
    let rest = module.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// As it is read again: the level for all, then those of targets by their names.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name(self.of_all))?;
        let mut targets = self.of_targets.iter();
        targets.try_for_each(|(target, level)| write!(f, ",{target}={}", name(*level)))
    }
}

fn name(level: LevelFilter) -> &'static str {
    LEVELS.get(level as usize).copied().unwrap_or_default()
}

/// What is wrong with the text of a [`Filter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// No level is called so.
    Level(String),
    /// No part of the program that logs is called so.
    Target(String),
    /// A second level for all, or for that target.
    Twice(String),
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterError::Level(word) => write!(
                f,
                "{word:?} is no level; there is: {}; with others for parts of the program, as \
                 \"info,store=debug\"",
                LEVELS.join(", ")
            ),
            FilterError::Target(word) => {
                let mut rooms: Vec<&str> = TARGETS
                    .iter()
                    .map(|target| target.split_once("::").map_or(*target, |(room, _)| room))
                    .collect();
                rooms.dedup();
                write!(
                    f,
                    "no part of the program that logs is called {word:?}; there is: {}; and within those: {}",
                    rooms.join(", "),
                    TARGETS.join(", ")
                )
            }
            FilterError::Twice(word) => {
                write!(f, "{word:?} is the second level for the same")
            }
        }
    }
}

impl std::error::Error for FilterError {}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    fn filter(text: &str) -> Filter {
        text.parse()
            .unwrap_or_else(|error: FilterError| panic!("{text}: {error}"))
    }

    fn lets_through(filter: &Filter, level: Level, target: &str) -> bool {
        filter.lets_through(&Metadata::builder().level(level).target(target).build())
    }

    #[test]
    fn the_longest_target_that_fits_decides() {
        let filter = filter("warn,server=debug,server::driver=off,mynah::reactor::helper=trace");
        for (target, loudest) in [
            ("mynah::server", LevelFilter::Debug),
            ("mynah::server::core", LevelFilter::Debug),
            ("mynah::server::driver", LevelFilter::Off),
            ("mynah::server::driver::inner", LevelFilter::Off),
            ("mynah::server::drivers", LevelFilter::Debug),
            ("mynah::serverless", LevelFilter::Warn),
            ("mynah::reactor", LevelFilter::Warn),
            ("mynah::reactor::helper", LevelFilter::Trace),
            ("mynah", LevelFilter::Warn),
            ("mio::poll", LevelFilter::Warn),
            ("", LevelFilter::Warn),
        ] {
            for level in Level::iter() {
                assert_eq!(
                    lets_through(&filter, level, target),
                    level <= loudest,
                    "{target} {level}"
                );
            }
        }
    }

    #[test]
    fn the_loudest_of_all_is_known() {
        for (text, loudest) in [
            ("off", LevelFilter::Off),
            ("warn", LevelFilter::Warn),
            ("warn,server=trace,journal=off", LevelFilter::Trace),
            ("debug,server=error", LevelFilter::Debug),
            ("server=error", LevelFilter::Info),
        ] {
            assert_eq!(filter(text).max_level(), loudest, "{text}");
        }
    }

    #[test]
    fn the_louder_of_two_is_either() {
        for (one, other, louder) in [
            ("error", "info", "info"),
            ("off,server=debug", "warn", "warn,server=debug"),
            ("trace,server=off", "warn", "trace,server=warn"),
            (
                "info,server::core=off",
                "warn,server=debug",
                "info,server=debug,server::core=debug",
            ),
        ] {
            assert_eq!(filter(one).louder(&filter(other)), filter(louder));
            assert_eq!(filter(other).louder(&filter(one)), filter(louder));
        }
    }

    #[test]
    fn it_is_told_as_it_is_read() {
        for (text, told) in [
            ("info", "info"),
            ("TRACE", "trace"),
            ("off", "off"),
            ("server=debug", "info,server=debug"),
            (
                " server = debug , warn, mynah::journal=Off",
                "warn,journal=off,server=debug",
            ),
        ] {
            let filter = filter(text);
            assert_eq!(filter.to_string(), told);
            assert_eq!(told.parse(), Ok(filter));
        }
        assert_eq!(Filter::default().to_string(), "info");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, said) in [
            (
                "loud",
                "\"loud\" is no level; there is: off, error, warn, info, debug, trace",
            ),
            ("", "\"\" is no level"),
            ("info,", "\"\" is no level"),
            ("info,server=", "\"\" is no level"),
            ("server=loud", "\"loud\" is no level"),
            ("server:debug", "\"server:debug\" is no level"),
            (
                "info,sevrer=debug",
                "no part of the program that logs is called \"sevrer\"; there is: commands, journal, ",
            ),
            ("=debug", "called \"\"; "),
            ("mynah=debug", "called \"mynah\"; "),
            ("serve=debug", "called \"serve\"; "),
            ("server::=debug", "called \"server::\"; "),
            ("server::x=debug", "server::driver"),
            ("info,warn", "\"warn\" is the second"),
            (
                "server=info,mynah::server=warn",
                "\"mynah::server=warn\" is the second",
            ),
            ("\u{1b}[2J", r#""\u{1b}[2J" is no level"#),
        ] {
            let error = text.parse::<Filter>().unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
