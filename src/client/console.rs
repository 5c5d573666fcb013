//! Owns the person's side: what is typed comes in as lines, what is to be seen goes out, whether that is a
//! terminal with an editor or a pair of pipes. Knows no session and no connection.

use std::io;

use mio::Token;

use super::editor::{Action, CLEAR_TO_END_OF_ROW, Editor};
use super::keys::{Key, Keys};
use super::lines::Lines;
use super::show::{Event, Style};
use super::stdio::{Input, Output};
use super::terminal::{self, RawMode};
use crate::reactor::Poller;

/// What came from the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A whole line.
    Line(String),
    /// There will be no more: a pipe was read to its end, or a terminal was hung up.
    End,
    /// Ctrl-C, or Ctrl-D at an empty line.
    Leave,
}

/// Standard input and standard output as one person.
///
/// Driving it: [`take_in`](Console::take_in) when [`has_input`](Console::has_input), [`show`](Console::show)
/// whatever happens, and [`send_out`](Console::send_out) once a turn.
pub struct Console {
    input: Input,
    output: Output,
    style: Style,
    face: Face,
}

enum Face {
    /// Somebody sits there.
    Terminal(Box<Screen>),
    /// Pipes and files.
    Plain(Lines),
}

struct Screen {
    /// `None` only in the middle of being suspended.
    raw: Option<RawMode>,
    keys: Keys,
    editor: Editor,
    row: Row,
}

/// The row of the editor, the last one of the screen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// It shows the line.
    Fresh,
    /// It has to be rendered again.
    Stale,
    /// There is none any more.
    Gone,
}

/// Taken from standard input at a time: a few dozen lines, so that what they become stays near the limits.
const READ_BYTES: usize = 4096;

/// With more than this waiting for standard output, nothing more is to be got from anywhere.
const CONGESTED_BYTES: usize = 64 * 1024;

/// "What is pasted is told apart from what is typed", on and off (xterm).
const PASTE_BRACKETS_ON: &[u8] = b"\x1b[?2004h";
const PASTE_BRACKETS_OFF: &[u8] = b"\x1b[?2004l";

impl Console {
    /// Takes standard input and output over; a terminal is in raw mode until this is dropped.
    pub fn open(
        poller: &Poller,
        input: Token,
        output: Token,
        as_json: bool,
    ) -> io::Result<Console> {
        let mut console = Console {
            input: Input::open(poller, input)?,
            output: Output::open(poller, output)?,
            style: style(as_json),
            face: Face::Plain(Lines::default()),
        };
        if terminal::is_editable() {
            console.face = Face::Terminal(Box::new(Screen {
                raw: Some(RawMode::enter()?),
                keys: Keys::default(),
                editor: Editor::default(),
                row: Row::Stale,
            }));
            console.output.buffer().extend_from_slice(PASTE_BRACKETS_ON);
        }
        Ok(console)
    }

    /// Whether a person at a terminal types here: then input is always to be taken in, for Ctrl-C is in it.
    pub fn is_terminal(&self) -> bool {
        matches!(self.face, Face::Terminal(_))
    }

    /// Whether that person also reads what is shown, which is no JSON.
    pub fn is_for_a_person(&self) -> bool {
        self.is_terminal() && self.style != Style::Json
    }

    /// Whether [`take_in`](Console::take_in) would find something.
    pub fn has_input(&self) -> bool {
        self.input.is_ready()
    }

    /// Reads once what was typed.
    pub fn take_in(&mut self, typed: &mut Vec<Typed>) {
        if self.input.has_ended() {
            return;
        }
        let mut buffer = [0; READ_BYTES];
        let count = self.input.read(&mut buffer);
        match &mut self.face {
            Face::Plain(lines) => {
                let mut whole = Vec::new();
                lines.feed(&buffer[..count], &mut whole);
                if self.input.has_ended() {
                    whole.extend(lines.finish());
                }
                typed.extend(whole.into_iter().map(Typed::Line));
            }
            Face::Terminal(_) => self.take_keys(&buffer[..count], typed),
        }
        if self.input.has_ended() {
            typed.push(Typed::End);
        }
    }

    /// Puts an event above the line being typed, or just out.
    pub fn show(&mut self, event: &Event) {
        let mut lines = Vec::new();
        self.style.write(event, &mut lines);
        let out = self.output.buffer();
        match &mut self.face {
            Face::Plain(_) => out.extend_from_slice(&lines),
            Face::Terminal(_) if lines.is_empty() => {}
            Face::Terminal(screen) => {
                out.push(b'\r');
                out.extend_from_slice(CLEAR_TO_END_OF_ROW);
                for line in lines.split_inclusive(|&byte| byte == b'\n') {
                    out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                    out.extend_from_slice(b"\r\n");
                }
                screen.spoil();
            }
        }
    }

    /// The window has another size.
    pub fn resize(&mut self) {
        if let Face::Terminal(screen) = &mut self.face {
            screen.spoil();
        }
    }

    /// Writes what standard output takes now.
    pub fn send_out(&mut self) {
        if let Face::Terminal(screen) = &mut self.face
            && screen.row == Row::Stale
        {
            screen.row = Row::Fresh;
            screen
                .editor
                .render(terminal::columns(), self.output.buffer());
        }
        self.output.write();
    }

    /// Whether [`send_out`](Console::send_out) could write something.
    pub fn can_send_out(&self) -> bool {
        self.output.is_ready()
    }

    /// Whether all was written, or will never be read.
    pub fn is_drained(&self) -> bool {
        self.output.waiting() == 0
    }

    /// Whether so much waits to be read that nothing more should be got.
    pub fn is_congested(&self) -> bool {
        self.output.waiting() > CONGESTED_BYTES
    }

    /// Whether nobody reads standard output any more.
    pub fn is_gone(&self) -> bool {
        self.output.is_gone()
    }

    /// Why standard output could not be written, unless its reader just went away.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.output.take_failure()
    }

    /// Throws away what still waits: nobody seems to read it.
    pub fn abandon(&mut self) {
        self.output.abandon();
    }

    /// The editor goes: its row is cleared, what is shown from now on stands below the rest.
    pub fn end_editing(&mut self) {
        if let Face::Terminal(screen) = &mut self.face {
            screen.row = Row::Gone;
            clear_editor(self.output.buffer());
        }
    }

    fn take_keys(&mut self, bytes: &[u8], typed: &mut Vec<Typed>) {
        let Face::Terminal(screen) = &mut self.face else {
            return;
        };
        let mut keys: Vec<Key> = Vec::new();
        screen.keys.feed(bytes, &mut keys);
        if !keys.is_empty() {
            screen.spoil();
        }
        for key in keys {
            match screen.editor.handle_key(key) {
                None => {}
                Some(Action::Submit(line)) => typed.push(Typed::Line(line)),
                Some(Action::EndOfInput | Action::Interrupt) => typed.push(Typed::Leave),
                Some(Action::Clear) => self.output.buffer().extend_from_slice(b"\x1b[H\x1b[2J"),
                Some(Action::Suspend) => {
                    clear_editor(self.output.buffer());
                    self.output.write();
                    screen.raw = screen.raw.take().and_then(|raw| raw.suspend().ok());
                    self.output.buffer().extend_from_slice(PASTE_BRACKETS_ON);
                }
            }
        }
    }
}

impl Screen {
    /// Something was printed over the row, or its line is another one.
    fn spoil(&mut self) {
        if self.row == Row::Fresh {
            self.row = Row::Stale;
        }
    }
}

fn clear_editor(out: &mut Vec<u8>) {
    out.push(b'\r');
    out.extend_from_slice(CLEAR_TO_END_OF_ROW);
    out.extend_from_slice(PASTE_BRACKETS_OFF);
}

fn style(as_json: bool) -> Style {
    if as_json {
        return Style::Json;
    }
    Style::Human {
        colours: terminal::wants_colours(),
    }
}
