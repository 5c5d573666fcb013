//! Tells the program what it is built from, for `src/version.rs`: the commit and its date, the target, the
//! compiler. Asks nobody but git, and never fails for want of an answer: a tarball builds too.
//!
//! Who packages mynah says `MYNAH_COMMIT` and `SOURCE_DATE_EPOCH` (<https://reproducible-builds.org/specs/source-date-epoch/>)
//! and gets the same bytes wherever it is built.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is made of: with a change in these that is not committed it is not what the commit says.
const SOURCES: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    // Cargo compares the times of these and runs us again when one is newer; the program is then compiled anew, which
    // it would be for `SOURCES` anyway. One that does not exist would mean every time.
    for path in SOURCES {
        watch(Path::new(path));
    }
    for name in ["MYNAH_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let (commit, date) = commit_and_date();
    let date = date_told().or(date);
    tell("BUILT_COMMIT", &commit.unwrap_or_else(unknown));
    tell("BUILT_DATE", &date.unwrap_or_else(unknown));
    tell("BUILT_TARGET", &variable("TARGET").unwrap_or_else(unknown));
    tell(
        "BUILT_PROFILE",
        &variable("PROFILE").unwrap_or_else(unknown),
    );
    tell("BUILT_RUSTC", &rustc().unwrap_or_else(unknown));
}

/// The commit that is built, by whoever knows it, and its date.
fn commit_and_date() -> (Option<String>, Option<String>) {
    if let Some(told) = variable("MYNAH_COMMIT") {
        return (Some(told), None);
    }
    // Ours, not one in which somebody keeps a copy of us.
    if Path::new(".git").exists() {
        return commit_of_git();
    }
    (commit_of_package(), None)
}

/// What git says of the working tree, and what is to be watched to learn when it says something else.
fn commit_of_git() -> (Option<String>, Option<String>) {
    let head = ["rev-parse", "--short=12", "HEAD"];
    let Some(mut commit) = git(&head).filter(|commit| !commit.is_empty()) else {
        return (None, None);
    };
    watch_head();
    let mut status = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    status.extend(SOURCES);
    if git(&status).is_some_and(|changes| !changes.is_empty()) {
        commit.push_str("-dirty");
    }
    let date = ["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d"];
    (Some(commit), git(&date))
}

/// Watches what changes whenever HEAD moves, in a work tree of its own too. That is its reflog; without one, HEAD
/// itself and all branches, packed or not.
fn watch_head() {
    let place = |name| git(&["rev-parse", "--git-path", name]).map(PathBuf::from);
    match place("logs/HEAD").filter(|log| log.exists()) {
        Some(log) => watch(&log),
        None => {
            let all = ["HEAD", "refs/heads", "packed-refs"].into_iter();
            for path in all.filter_map(place) {
                watch(&path);
            }
        }
    }
}

/// The commit that `cargo package` has written down.
fn commit_of_package() -> Option<String> {
    let written = Path::new(".cargo_vcs_info.json");
    watch(written);
    let text = fs::read_to_string(written).ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?.get(..12)?;
    let dirty = text.contains("\"dirty\": true");
    Some(format!("{commit}{}", if dirty { "-dirty" } else { "" }))
}

/// The day of `SOURCE_DATE_EPOCH`, which is in seconds.
fn date_told() -> Option<String> {
    let seconds: u64 = variable("SOURCE_DATE_EPOCH")?.parse().ok()?;
    let (year, month, day) = civil(i64::try_from(seconds / 86_400).ok()?);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The day so many days after 1970-01-01: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>. An
/// "era" are 400 years, which begin with March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn rustc() -> Option<String> {
    let version = output(Command::new(variable("RUSTC")?).arg("--version"))?;
    Some(version.trim_start_matches("rustc ").to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    // What counts is the day in UTC, wherever it is built.
    output(Command::new("git").args(arguments).env("TZ", "UTC"))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// For `env!`. Cargo sets it for what it runs, too, so it does not begin as the settings of a server do, `MYNAH_`.
fn tell(name: &str, value: &str) {
    // A line is all that cargo takes.
    let value = value.lines().next().unwrap_or_default();
    println!("cargo::rustc-env={name}={value}");
}

fn unknown() -> String {
    "unknown".to_owned()
}
