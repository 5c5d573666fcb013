//! Owns asking the person at the terminal for what the command line lacks. Knows nothing of what it is for.

use std::env;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use crate::client::{Failure, ask_secret};
use crate::protocol::udp_login::frame::MAX_PASSWORD_BYTES;

/// The flags that nobody gave, where there is no terminal to ask on.
#[derive(Debug, Default)]
pub struct Missing(Vec<&'static str>);

impl Missing {
    /// Says all of them at once.
    pub fn failure(&self) -> Failure {
        let flags = self.0.join(" and ");
        usage(format!(
            "{flags} missing on the command line, and standard input is no terminal to ask on"
        ))
    }
}

/// What was given, or what the person at the terminal answers, checked. `None` when there is no terminal:
/// then its `flag` is added to what is missing.
pub fn given_or_asked<T>(
    given: Option<String>,
    flag: &'static str,
    question: &str,
    missing: &mut Missing,
    check: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    match given {
        Some(given) => check(&given).map(Some).map_err(usage),
        None if io::stdin().is_terminal() => ask(question, check).map(Some),
        None => {
            missing.0.push(flag);
            Ok(None)
        }
    }
}

/// Asks until the answer is right. Standard error carries the question: standard output is for events.
fn ask<T>(question: &str, check: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    loop {
        say(&format!("{question}: "));
        let mut answer = String::new();
        // A terminal gives a line at a time, so nothing is swallowed that was typed ahead for the client.
        let read = io::stdin().lock().read_line(&mut answer);
        if !matches!(read, Ok(1..)) {
            say("\n");
            return Err(usage(format!("no {question} was given")));
        }
        match check(answer.trim()) {
            Ok(checked) => return Ok(checked),
            Err(reason) => say(&format!("{reason}\n")),
        }
    }
}

/// From the file, or the environment, or the terminal, where it is not echoed; never from the command line,
/// which everybody on the machine can read.
pub fn password(file: Option<&Path>, missing: &mut Missing) -> Result<Option<String>, Failure> {
    if let Some(path) = file {
        let read = fs::read_to_string(path);
        let text = read.map_err(|error| usage(format!("{}: {error}", path.display())))?;
        let first = text.lines().next().unwrap_or_default();
        let checked = check_password(first.to_owned());
        return checked
            .map(Some)
            .map_err(|reason| usage(format!("{}: {reason}", path.display())));
    }
    if let Some(password) = env::var_os(VARIABLE) {
        let password = password.into_string().map_err(|_| "it is no UTF-8");
        let checked = password.map_err(str::to_owned).and_then(check_password);
        return checked
            .map(Some)
            .map_err(|reason| usage(format!("{VARIABLE}: {reason}")));
    }
    if !io::stdin().is_terminal() {
        missing
            .0
            .push("--password-file FILE (or MYNAH_PASSWORD in the environment)");
        return Ok(None);
    }
    loop {
        let Some(password) = ask_secret("password: ")? else {
            return Err(usage("no password was given".to_owned()));
        };
        match check_password(password) {
            Ok(password) => return Ok(Some(password)),
            Err(reason) => say(&format!("{reason}\n")),
        }
    }
}

const VARIABLE: &str = "MYNAH_PASSWORD";

fn check_password(password: String) -> Result<String, String> {
    match password.len() {
        0 => Err("a password has at least one character".to_owned()),
        bytes if bytes > MAX_PASSWORD_BYTES => Err(format!(
            "a password has at most {MAX_PASSWORD_BYTES} bytes, and this one has {bytes}"
        )),
        _ if password.contains(['\r', '\n']) => Err("a password has no line end".to_owned()),
        _ => Ok(password),
    }
}

/// A standard error that is closed changes nothing.
fn say(text: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

pub fn usage(reason: String) -> Failure {
    Failure::Usage { reason }
}
