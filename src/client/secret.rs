//! Owns asking for something that nobody else may read on the screen. Knows nothing of what it is for.

use std::io::{self, Write};

use mio::Token;

use super::failure::Failure;
use super::keys::{Key, Keys};
use super::stdio::Input;
use super::terminal::RawMode;
use crate::reactor::{Poller, Signal, Signals};

const SIGNALS: Token = Token(0);
const INPUT: Token = Token(1);

/// Asks on standard error and reads one line of the terminal that standard input is, without echo. `None`
/// when the person (or a signal) would rather not.
///
/// From here on signals end the process no more: whoever goes on has to heed them.
pub fn ask_secret(question: &str) -> Result<Option<String>, Failure> {
    let mut poller = Poller::new().map_err(Failure::system("opening a poll"))?;
    // Unheeded, they would leave the terminal without echo.
    let caught = [Signal::Interrupt, Signal::Terminate, Signal::Hangup];
    let mut signals =
        Signals::new(&poller, SIGNALS, &caught).map_err(Failure::system("catching signals"))?;
    let mut input =
        Input::open(&poller, INPUT).map_err(Failure::system("reading standard input"))?;
    let raw = RawMode::enter().map_err(Failure::system("switching the echo off"))?;
    say(question);
    let answer = read_line(&mut poller, &mut signals, &mut input);
    say("\r\n");
    drop(raw);
    answer.map_err(Failure::system("waiting"))
}

fn read_line(
    poller: &mut Poller,
    signals: &mut Signals,
    input: &mut Input,
) -> io::Result<Option<String>> {
    let mut keys = Keys::default();
    let mut line = String::new();
    loop {
        if !input.is_ready() {
            // Whoever woke us is asked below.
            let _ = poller.wait(None)?;
        }
        if signals.pending().next().is_some() {
            return Ok(None);
        }
        // One at a time: what is typed behind the line is for somebody else.
        let mut byte = [0];
        let count = input.read(&mut byte);
        if input.has_ended() {
            return Ok(None);
        }
        let mut pressed = Vec::new();
        keys.feed(&byte[..count], &mut pressed);
        for key in pressed {
            match key {
                Key::Enter => return Ok(Some(line)),
                Key::Interrupt => return Ok(None),
                Key::EndOfInput if line.is_empty() => return Ok(None),
                Key::Char(c) => line.push(c),
                Key::Backspace => drop(line.pop()),
                Key::CutToStart => line.clear(),
                _ => {}
            }
        }
    }
}

/// A standard error that is closed changes nothing.
fn say(text: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}
