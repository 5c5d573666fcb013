//! Owns where a new password comes from: a file, standard input, or the terminal, never the command line, which everybody
//! on the machine can read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::client::ask_secret;
use crate::commands::place::Failure;
use crate::store::{MAX_PASSWORD_BYTES, Password};

/// A password for an account: the first line of the file, of standard input where the file is `-`, or what the person
/// at the terminal types twice.
pub(super) fn read(file: Option<&Path>) -> Result<Password, Failure> {
    match file {
        Some(path) if path == Path::new("-") => {
            of_line(io::stdin().lock(), "standard input")
        }
        Some(path) => {
            let shown = path.display().to_string();
            let file = File::open(path);
            let file = file.map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
            of_line(BufReader::new(file), &shown)
        }
        None if io::stdin().is_terminal() => ask(),
        None => Err(Failure::Usage(
            "standard input is no terminal to ask for a password on: --password-file FILE says where it is, and \
             --password-file - that it comes on standard input"
                .to_owned(),
        )),
    }
}

fn of_line(from: impl BufRead, shown: &str) -> Result<Password, Failure> {
    // With its end, and one more, so that too much is seen. All at once, so that no copy stays behind.
    let limit = MAX_PASSWORD_BYTES + 3;
    let mut line = Zeroizing::new(Vec::with_capacity(limit));
    let wrong = |reason: String| Failure::Usage(format!("{shown}: {reason}"));
    from.take(limit as u64)
        .read_until(b'\n', &mut line)
        .map_err(|error| wrong(error.to_string()))?;
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    line.truncate(end.map_or(0, |end| end + 1));
    let text = std::str::from_utf8(&line).map_err(|_| wrong("it is no UTF-8".to_owned()))?;
    Password::new(text).map_err(|error| wrong(error.to_string()))
}

fn ask() -> Result<Password, Failure> {
    loop {
        let once = secret("new password: ")?;
        let password = match Password::new(&once) {
            Ok(password) => password,
            Err(error) => {
                say(&format!("{error}\n"));
                continue;
            }
        };
        let again = secret("the same again: ")?;
        if *once == *again {
            return Ok(password);
        }
        say("they are not the same\n");
    }
}

fn secret(question: &str) -> Result<Zeroizing<String>, Failure> {
    let answer = ask_secret(question).map_err(|failure| Failure::Other(failure.to_string()))?;
    let none = || Failure::Other("no password was given, and nothing is changed".to_owned());
    answer.map(Zeroizing::new).ok_or_else(none)
}

/// A standard error that is closed changes nothing.
fn say(text: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password_without_its_end() {
        for text in ["hunter2", "hunter2\n", "hunter2\r\n", "hunter2\nnot this"] {
            let password = of_line(text.as_bytes(), "x").unwrap();
            assert_eq!(password.reveal(), "hunter2");
        }
        assert_eq!(
            of_line(" a b \n".as_bytes(), "x").unwrap().reveal(),
            " a b "
        );
        let longest = "x".repeat(MAX_PASSWORD_BYTES);
        for end in ["", "\n", "\r\n"] {
            let text = format!("{longest}{end}");
            assert_eq!(of_line(text.as_bytes(), "x").unwrap().reveal(), longest);
        }
        for (bytes, says) in [
            (&b""[..], "at least one"),
            (b"\n", "at least one"),
            (b"\xff", "UTF-8"),
            (&[b'x'; MAX_PASSWORD_BYTES + 1], "128 bytes"),
            (&[b'x'; 4096], "128 bytes"),
        ] {
            match of_line(bytes, "the file") {
                Err(Failure::Usage(reason)) => {
                    assert!(
                        reason.starts_with("the file: ") && reason.contains(says),
                        "{reason}"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
