//! Owns what a typed line means. Knows no protocol, only its [`Dialect`]: whether there is such a thing as a
//! direct message is for the session to say.

use std::borrow::Cow;
use std::mem;

use crate::chat::{self, Name};

/// A typed line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    /// An empty line.
    Nothing,
    /// Say this to all.
    Say(&'a str),
    /// `/msg NAME TEXT`, or what was asked for.
    Direct { to: Cow<'a, str>, text: &'a str },
    /// `/who`.
    Who,
    /// `/start NAME`.
    Start { to: &'a str },
    /// `/chat NAME TEXT`.
    Chat { to: &'a str, text: &'a str },
    /// `/end NAME`.
    End { with: &'a str },
    /// `/help`.
    Help,
    /// `/quit`.
    Leave,
    /// The next line answers this. Before it is asked, people may want to know who is there.
    Ask { question: String, and_who: bool },
    /// An empty line, which takes back what was asked.
    Cancelled,
    /// A command that lacks something.
    Incomplete { usage: &'static str },
    /// No command of ours.
    Unknown { word: &'a str },
}

/// What can be typed where a certain protocol is spoken, beside what can be typed everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// Alone on a line, in either case, each of these leaves.
    pub leave_words: &'static [&'static str],
    /// What `DM` and `PM` do, alone on a line and in either case.
    pub prompts: Prompts,
    /// Whether there is somebody to answer `/who`.
    pub who: bool,
    /// Whether there are direct messages.
    pub direct: bool,
    /// Whether there are conversations with one member without the server.
    pub peer_to_peer: bool,
    /// Whether what we say comes back to us: else we show it ourselves.
    pub echoes: bool,
}

/// Whether `DM` asks for a receiver and a text, and `PM` for a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prompts {
    /// They are texts like any other.
    #[default]
    None,
    /// They ask.
    Plain,
    /// They ask, and `DM` first tells who is there.
    WithMembers,
}

/// The reader of lines, which remembers what it asked.
#[derive(Debug)]
pub struct Input {
    dialect: Dialect,
    asked: Asked,
}

/// What the next line answers.
#[derive(Debug, Default)]
enum Asked {
    #[default]
    Nothing,
    /// `DM` was typed.
    Receiver,
    /// And then to whom.
    DirectText { to: String },
    /// `PM` was typed.
    PublicText,
}

impl Input {
    /// Has asked nothing yet.
    pub fn new(dialect: Dialect) -> Input {
        Input {
            dialect,
            asked: Asked::Nothing,
        }
    }

    /// Reads one line, without its end. Commands are read in either case; only a line's first character
    /// makes it one.
    ///
    /// A command is no answer to a question, and an empty line is none either: both take the question back.
    pub fn read<'a>(&mut self, line: &'a str) -> Typed<'a> {
        let asked = mem::take(&mut self.asked);
        if let Some(command) = line.strip_prefix('/')
            && !command.starts_with('/')
        {
            return read_command(command);
        }
        let line = line.strip_prefix('/').unwrap_or(line);
        match asked {
            Asked::Nothing if line.is_empty() => Typed::Nothing,
            Asked::Nothing => self.read_text(line),
            Asked::Receiver if line.trim().is_empty() => Typed::Cancelled,
            Asked::DirectText { .. } | Asked::PublicText if line.is_empty() => Typed::Cancelled,
            Asked::Receiver => self.read_receiver(line.trim()),
            Asked::DirectText { to } => Typed::Direct {
                to: to.into(),
                text: line,
            },
            Asked::PublicText => Typed::Say(line),
        }
    }

    /// Asks for the text, or once more for the receiver: better now than when the text was typed in vain.
    fn read_receiver(&mut self, to: &str) -> Typed<'static> {
        let question = match Name::parse(to) {
            Ok(_) => {
                self.asked = Asked::DirectText { to: to.to_owned() };
                format!("what do you want to say to {to}?")
            }
            Err(error) => {
                self.asked = Asked::Receiver;
                format!("{to:?} is not a name: {error}; to whom?")
            }
        };
        Typed::Ask {
            question,
            and_who: false,
        }
    }

    fn read_text<'a>(&mut self, line: &'a str) -> Typed<'a> {
        let word = line.trim();
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        if self.dialect.leave_words.iter().any(|leave| is(leave)) {
            return Typed::Leave;
        }
        match self.dialect.prompts {
            Prompts::Plain | Prompts::WithMembers if is("DM") => {
                self.asked = Asked::Receiver;
                Typed::Ask {
                    question: "to whom?".to_owned(),
                    and_who: self.dialect.prompts == Prompts::WithMembers,
                }
            }
            Prompts::Plain | Prompts::WithMembers if is("PM") => {
                self.asked = Asked::PublicText;
                Typed::Ask {
                    question: "what do you want to say to everybody?".to_owned(),
                    and_who: false,
                }
            }
            Prompts::None | Prompts::Plain | Prompts::WithMembers => Typed::Say(line),
        }
    }

    /// Whether what we say comes back to us.
    pub fn echoes(&self) -> bool {
        self.dialect.echoes
    }

    /// What `/help` says, a line each.
    pub fn help(&self) -> Vec<String> {
        let Dialect {
            leave_words,
            prompts,
            who,
            direct,
            peer_to_peer,
            echoes: _,
        } = self.dialect;
        let mut help = vec![
            "a line is said to everybody; // at its beginning says a line that begins with /"
                .to_owned(),
        ];
        let mut add = |there: bool, line: &str| {
            if there {
                help.push(line.to_owned());
            }
        };
        add(who, "/who tells who is here");
        add(direct, "/msg NAME TEXT says something to one member alone");
        let asks = prompts != Prompts::None;
        add(asks, "DM asks whom to say something, and what");
        add(asks, "PM asks what to say to everybody");
        add(asks, "an empty line cancels what DM or PM asked");
        add(
            peer_to_peer,
            "/start NAME begins to talk with one member without the server",
        );
        add(
            peer_to_peer,
            "/chat NAME TEXT says something there, and /end NAME ends it",
        );
        let words: String = leave_words.iter().map(|word| format!(", {word}")).collect();
        add(true, &format!("/quit{words}, Ctrl-C and Ctrl-D leave"));
        add(true, "/help is this");
        help
    }
}

/// Reads what stands behind the slash.
fn read_command(command: &str) -> Typed<'_> {
    let (word, rest) = first_word(command);
    match word.to_ascii_lowercase().as_str() {
        "quit" => Typed::Leave,
        "who" => Typed::Who,
        "help" => Typed::Help,
        "msg" => match first_word(rest) {
            ("", _) | (_, "") => Typed::Incomplete {
                usage: "/msg NAME TEXT",
            },
            (to, text) => Typed::Direct {
                to: to.into(),
                text,
            },
        },
        "chat" => match first_word(rest) {
            ("", _) | (_, "") => Typed::Incomplete {
                usage: "/chat NAME TEXT",
            },
            (to, text) => Typed::Chat { to, text },
        },
        "start" => match first_word(rest) {
            ("", _) => Typed::Incomplete {
                usage: "/start NAME",
            },
            (to, _) => Typed::Start { to },
        },
        "end" => match first_word(rest) {
            ("", _) => Typed::Incomplete { usage: "/end NAME" },
            (with, _) => Typed::End { with },
        },
        _ => Typed::Unknown { word },
    }
}

/// The messages that a text becomes: harmless, of at most [`chat::MAX_TEXT_BYTES`] each, and all of it.
///
/// Servers make texts harmless too, but what grows over the limit by that is cut off there. So it grows
/// here, where it can go on in the next message.
pub fn messages(text: &str) -> Vec<String> {
    // No code point is more than three times its size once it is harmless.
    let harmless: String = chat::split(text, chat::MAX_TEXT_BYTES / 3)
        .map(chat::harmless)
        .collect();
    chat::split(&harmless, chat::MAX_TEXT_BYTES)
        .map(str::to_owned)
        .collect()
}

/// Up to the first white space, and what stands behind all of that white space.
fn first_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Typed<'_> {
        Input::new(Dialect::default()).read(line)
    }

    fn direct<'a>(to: &'a str, text: &'a str) -> Typed<'a> {
        let to = to.into();
        Typed::Direct { to, text }
    }

    fn incomplete(usage: &'static str) -> Typed<'static> {
        Typed::Incomplete { usage }
    }

    #[test]
    fn lines_become_commands() {
        let table = [
            ("", Typed::Nothing),
            ("hi", Typed::Say("hi")),
            (" /quit", Typed::Say(" /quit")),
            ("//etc", Typed::Say("/etc")),
            ("//", Typed::Say("/")),
            ("exit", Typed::Say("exit")),
            ("DM", Typed::Say("DM")),
            ("/quit", Typed::Leave),
            ("/Quit ", Typed::Leave),
            ("/who", Typed::Who),
            ("/help me", Typed::Help),
            ("/msg bob hi  there ", direct("bob", "hi  there ")),
            ("/MSG  bob\thi", direct("bob", "hi")),
            ("/msg bob ", incomplete("/msg NAME TEXT")),
            ("/msg", incomplete("/msg NAME TEXT")),
            ("/start bob", Typed::Start { to: "bob" }),
            ("/start", incomplete("/start NAME")),
            (
                "/chat bob hi there",
                Typed::Chat {
                    to: "bob",
                    text: "hi there",
                },
            ),
            ("/chat bob", incomplete("/chat NAME TEXT")),
            ("/end bob ", Typed::End { with: "bob" }),
            ("/end", incomplete("/end NAME")),
            ("/", Typed::Unknown { word: "" }),
            ("/me waves", Typed::Unknown { word: "me" }),
        ];
        for (line, expected) in table {
            assert_eq!(read(line), expected, "{line:?}");
        }
    }

    #[test]
    fn words_alone_leave_where_they_should() {
        let mut input = Input::new(Dialect {
            leave_words: &["exit", "q"],
            ..Dialect::default()
        });
        for line in ["exit", "EXIT", " q "] {
            assert_eq!(input.read(line), Typed::Leave, "{line:?}");
        }
        for line in ["exit now", "quit"] {
            assert_eq!(input.read(line), Typed::Say(line));
        }
        assert_eq!(input.read("//exit"), Typed::Say("/exit"));
    }

    #[test]
    fn what_was_asked_is_answered_by_the_next_lines() {
        let mut input = Input::new(Dialect {
            leave_words: &["EX"],
            prompts: Prompts::WithMembers,
            ..Dialect::default()
        });
        let ask = |question: &str, and_who| Typed::Ask {
            question: question.to_owned(),
            and_who,
        };
        assert_eq!(input.read("dm"), ask("to whom?", true));
        let what = ask("what do you want to say to bob?", false);
        assert_eq!(input.read("bob "), what);
        assert_eq!(input.read("dm"), direct("bob", "dm"));
        let all = || ask("what do you want to say to everybody?", false);
        assert_eq!(input.read("PM"), all());
        assert_eq!(input.read("ex"), Typed::Say("ex"), "it is the answer");
        assert_eq!(input.read("ex"), Typed::Leave);
        // Taken back by an empty line or a command.
        for (line, typed) in [("", Typed::Cancelled), ("/who", Typed::Who)] {
            assert_eq!(input.read("pm"), all());
            assert_eq!(input.read(line), typed);
            assert_eq!(input.read("hi"), Typed::Say("hi"));
        }
    }

    #[test]
    fn a_receiver_that_cannot_be_is_asked_for_again_at_once() {
        let mut input = Input::new(Dialect {
            prompts: Prompts::Plain,
            ..Dialect::default()
        });
        input.read("DM");
        for wrong in ["b b", "b:b", &"b".repeat(100)] {
            let Typed::Ask { question, .. } = input.read(wrong) else {
                panic!("{wrong} was taken");
            };
            let what = format!("{wrong:?} is not a name: ");
            assert!(question.starts_with(&what), "{question}");
            assert!(question.ends_with("; to whom?"), "{question}");
        }
        input.read("bob");
        assert_eq!(input.read("psst"), direct("bob", "psst"));
        for answers in [&["DM"][..], &["DM", "bob"]] {
            answers.iter().for_each(|line| drop(input.read(line)));
            assert_eq!(input.read(""), Typed::Cancelled);
            assert_eq!(input.read(""), Typed::Nothing);
        }
        input.read("DM");
        assert_eq!(input.read("  "), Typed::Cancelled);
    }

    #[test]
    fn help_lists_what_there_is() {
        let words = |dialect| Input::new(dialect).help().join("\n");
        let least = words(Dialect::default());
        assert!(least.contains("/quit, Ctrl-C") && least.contains("/help"));
        for word in ["/who", "/msg", "DM", "PM", "/start", "/chat", "/end"] {
            assert!(!least.contains(word), "{word}");
        }
        let all = words(Dialect {
            leave_words: &["EX"],
            prompts: Prompts::Plain,
            who: true,
            direct: true,
            peer_to_peer: true,
            echoes: false,
        });
        for word in [
            "/who",
            "/msg",
            "DM",
            "PM",
            "/start",
            "/chat",
            "/end",
            "/quit, EX, ",
        ] {
            assert!(all.contains(word), "{word}");
        }
    }

    #[test]
    fn a_long_text_goes_as_several_and_nothing_is_lost() {
        assert_eq!(messages("hi"), ["hi"]);
        let long = "é".repeat(5000);
        let pieces = messages(&long);
        assert_eq!(pieces.len(), 3);
        assert!(
            pieces
                .iter()
                .all(|piece| piece.len() <= chat::MAX_TEXT_BYTES)
        );
        assert_eq!(pieces.concat(), long);
    }

    #[test]
    fn a_text_that_grows_by_becoming_harmless_loses_nothing() {
        let pieces = messages(&"\u{1}".repeat(4096));
        assert_eq!(pieces.concat().chars().count(), 4096);
        assert!(
            pieces
                .iter()
                .all(|piece| chat::harmless(piece) == piece.as_str())
        );
    }
}
