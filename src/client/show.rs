//! Owns how what is told looks: one line a piece, for people or as JSON. Knows no descriptor.
//!
//! Everything that came from a server passes [`chat::harmless`] here, names and times too: a server may be
//! anybody's, and JSON that escapes a control character is unescaped by whoever prints it next.

use serde_json::{Map, Value, json};

use crate::chat::{self, PRIVATE_MARK};
use crate::protocol::Told;

/// What is shown: what a session told, and what the client itself has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// From the session.
    Told(Told),
    /// We said that, to one member alone where there is one. Only for people: a script knows what it said.
    Said {
        name: String,
        to: Option<String>,
        text: String,
    },
    /// The connection has ended.
    Closed { reason: String },
}

/// The form that it is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Lines for people, in colours or not.
    Human { colours: bool },
    /// An object a line.
    Json,
}

impl Style {
    /// Appends the lines of an event, each ended by LF. Some have none: for people, the reason of an end
    /// stands on standard error.
    pub fn write(self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Style::Human { colours } => write_human(event, colours, out),
            Style::Json => write_json(event, out),
        }
    }
}

fn write_human(event: &Event, colours: bool, out: &mut Vec<u8>) {
    let (colour, line) = match event {
        Event::Closed { .. } | Event::Told(Told::Refused { .. } | Told::Lost { .. }) => return,
        // No failure, so nothing is on standard error.
        Event::Told(Told::Closed { reason }) => {
            (Colour::Event, format!("* {}", chat::harmless(reason)))
        }
        Event::Told(Told::Message {
            from,
            text,
            time,
            history,
        }) => {
            let time = match time {
                Some(time) => format!("{} ", chat::harmless(time)),
                None => String::new(),
            };
            let name = Colour::Name.around(&chat::harmless(from), colours && !history);
            let colour = if *history { Colour::Past } else { Colour::None };
            (colour, format!("{time}{name}: {}", chat::harmless(text)))
        }
        Event::Said {
            name,
            to: None,
            text,
        } => {
            let name = Colour::Name.around(&chat::harmless(name), colours);
            (Colour::None, format!("{name}: {}", chat::harmless(text)))
        }
        Event::Said {
            to: Some(to), text, ..
        } => (
            Colour::Private,
            format!(
                "{PRIVATE_MARK}to {}: {}",
                chat::harmless(to),
                chat::harmless(text)
            ),
        ),
        Event::Told(Told::Direct { from, text }) => (
            Colour::Private,
            format!(
                "{PRIVATE_MARK}{}: {}",
                chat::harmless(from),
                chat::harmless(text)
            ),
        ),
        Event::Told(Told::Joined { name, room }) => (
            Colour::Event,
            format!(
                "* joined {} as {}",
                chat::harmless(room),
                chat::harmless(name)
            ),
        ),
        Event::Told(Told::Arrived { name }) => {
            (Colour::Event, format!("* {} arrived", chat::harmless(name)))
        }
        Event::Told(Told::Left { name }) => {
            (Colour::Event, format!("* {} left", chat::harmless(name)))
        }
        Event::Told(Told::Members { names }) => {
            let names: Vec<_> = names.iter().map(|name| chat::harmless(name)).collect();
            (Colour::Event, format!("* here: {}", names.join(", ")))
        }
        Event::Told(Told::Notice { text }) => {
            (Colour::Event, format!("* {}", chat::harmless(text)))
        }
    };
    out.extend_from_slice(colour.around(&line, colours).as_bytes());
    out.push(b'\n');
}

fn write_json(event: &Event, out: &mut Vec<u8>) {
    let harmless = |text: &str| Value::from(chat::harmless(text));
    let object = match event {
        Event::Told(Told::Joined { name, room }) => {
            json!({"event": "joined", "name": harmless(name), "room": harmless(room)})
        }
        Event::Told(Told::Message {
            from,
            text,
            time,
            history,
        }) => {
            let mut object = Map::new();
            object.insert("event".into(), "message".into());
            object.insert("from".into(), harmless(from));
            object.insert("text".into(), harmless(text));
            if let Some(time) = time {
                object.insert("time".into(), harmless(time));
            }
            if *history {
                object.insert("history".into(), true.into());
            }
            Value::Object(object)
        }
        Event::Told(Told::Direct { from, text }) => {
            json!({"event": "direct", "from": harmless(from), "text": harmless(text)})
        }
        Event::Told(Told::Arrived { name }) => json!({"event": "arrived", "name": harmless(name)}),
        Event::Told(Told::Left { name }) => json!({"event": "left", "name": harmless(name)}),
        Event::Told(Told::Members { names }) => {
            let names: Vec<Value> = names.iter().map(|name| harmless(name)).collect();
            json!({"event": "members", "names": names})
        }
        Event::Told(Told::Notice { text }) => json!({"event": "notice", "text": harmless(text)}),
        Event::Said { .. } => return,
        // They are how it ends: their reason is that of `closed`.
        Event::Told(Told::Refused { .. } | Told::Closed { .. } | Told::Lost { .. }) => return,
        Event::Closed { reason } => json!({"event": "closed", "reason": harmless(reason)}),
    };
    out.extend_from_slice(object.to_string().as_bytes());
    out.push(b'\n');
}

/// The few colours, by what they are for: all of them readable on light and on dark.
#[derive(Clone, Copy)]
enum Colour {
    None,
    Name,
    Past,
    Private,
    Event,
}

impl Colour {
    fn around(self, text: &str, colours: bool) -> String {
        let code = match self {
            Colour::None => return text.to_owned(),
            Colour::Name => "1",
            Colour::Past => "2",
            Colour::Private => "35",
            Colour::Event => "36",
        };
        if colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(style: Style, event: &Event) -> String {
        let mut out = Vec::new();
        style.write(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn message(time: Option<&str>, history: bool) -> Event {
        Event::Told(Told::Message {
            from: "alice".into(),
            text: "hi".into(),
            time: time.map(str::to_owned),
            history,
        })
    }

    const PLAIN: Style = Style::Human { colours: false };

    #[test]
    fn every_event_has_its_line_and_its_object() {
        let name = || "alice".to_owned();
        let table = [
            (
                Event::Told(Told::Joined {
                    name: name(),
                    room: "lobby".into(),
                }),
                "* joined lobby as alice\n",
                json!({"event": "joined", "name": "alice", "room": "lobby"}),
            ),
            (
                message(Some("12:00:00"), false),
                "12:00:00 alice: hi\n",
                json!({"event": "message", "from": "alice", "text": "hi", "time": "12:00:00"}),
            ),
            (
                message(None, false),
                "alice: hi\n",
                json!({"event": "message", "from": "alice", "text": "hi"}),
            ),
            (
                message(Some("11:59:00"), true),
                "11:59:00 alice: hi\n",
                json!({"event": "message", "from": "alice", "text": "hi", "time": "11:59:00", "history": true}),
            ),
            (
                Event::Told(Told::Direct {
                    from: name(),
                    text: "hi".into(),
                }),
                "(private) alice: hi\n",
                json!({"event": "direct", "from": "alice", "text": "hi"}),
            ),
            (
                Event::Told(Told::Arrived { name: name() }),
                "* alice arrived\n",
                json!({"event": "arrived", "name": "alice"}),
            ),
            (
                Event::Told(Told::Left { name: name() }),
                "* alice left\n",
                json!({"event": "left", "name": "alice"}),
            ),
            (
                Event::Told(Told::Members {
                    names: vec![name(), "bob".into()],
                }),
                "* here: alice, bob\n",
                json!({"event": "members", "names": ["alice", "bob"]}),
            ),
            (
                Event::Told(Told::Notice {
                    text: "sent".into(),
                }),
                "* sent\n",
                json!({"event": "notice", "text": "sent"}),
            ),
            (
                Event::Closed {
                    reason: "left".into(),
                },
                "",
                json!({"event": "closed", "reason": "left"}),
            ),
        ];
        for (event, line, object) in table {
            assert_eq!(shown(PLAIN, &event), line);
            let json = shown(Style::Json, &event);
            let json = json.strip_suffix('\n').expect("one line");
            assert!(!json.contains('\n'));
            assert_eq!(serde_json::from_str::<Value>(json).unwrap(), object);
        }
    }

    #[test]
    fn a_refusal_is_shown_by_how_it_ends() {
        let refused = Event::Told(Told::Refused {
            reason: "taken".into(),
        });
        assert_eq!(shown(PLAIN, &refused), "");
        assert_eq!(shown(Style::Json, &refused), "");
    }

    #[test]
    fn what_we_said_is_shown_to_people_alone() {
        let said = |to: Option<&str>| Event::Said {
            name: "al\x07ice".into(),
            to: to.map(str::to_owned),
            text: "h\x1bi".into(),
        };
        assert_eq!(shown(PLAIN, &said(None)), "al\u{fffd}ice: h\u{fffd}i\n");
        let private = "(private) to b\u{fffd}ob: h\u{fffd}i\n";
        assert_eq!(shown(PLAIN, &said(Some("b\x07ob"))), private);
        assert_eq!(shown(Style::Json, &said(None)), "");
    }

    #[test]
    fn a_room_that_was_closed_says_so_once() {
        let reason = || "the host closed it".to_owned();
        let told = Event::Told(Told::Closed { reason: reason() });
        assert_eq!(shown(PLAIN, &told), "* the host closed it\n");
        assert_eq!(shown(Style::Json, &told), "");
        let closed = Event::Closed { reason: reason() };
        assert_eq!(shown(PLAIN, &closed), "");
        assert!(shown(Style::Json, &closed).contains("the host closed it"));
    }

    #[test]
    fn colours_stand_around_and_change_no_text() {
        let colours = Style::Human { colours: true };
        assert_eq!(
            shown(colours, &message(Some("12:00:00"), false)),
            "12:00:00 \x1b[1malice\x1b[0m: hi\n"
        );
        assert_eq!(
            shown(colours, &message(Some("12:00:00"), true)),
            "\x1b[2m12:00:00 alice: hi\x1b[0m\n"
        );
    }

    #[test]
    fn r09_nothing_that_a_server_says_reaches_the_terminal_as_it_is() {
        let evil = || "a\x1b]0;title\x07\r\nb\u{9b}2J\u{202e}".to_owned();
        let told = [
            Told::Joined {
                name: evil(),
                room: evil(),
            },
            Told::Message {
                from: evil(),
                text: evil(),
                time: Some(evil()),
                history: false,
            },
            Told::Direct {
                from: evil(),
                text: evil(),
            },
            Told::Arrived { name: evil() },
            Told::Left { name: evil() },
            Told::Members {
                names: vec![evil(), evil()],
            },
            Told::Notice { text: evil() },
            Told::Closed { reason: evil() },
        ];
        let closed = Event::Closed { reason: evil() };
        for event in told.into_iter().map(Event::Told).chain([closed]) {
            let line = shown(PLAIN, &event);
            assert_eq!(
                line.trim_end_matches('\n'),
                chat::harmless(line.trim_end_matches('\n'))
            );
            let json = shown(Style::Json, &event);
            if json.is_empty() {
                continue;
            }
            let value: Value = serde_json::from_str(&json).unwrap();
            for field in value.as_object().unwrap().values() {
                let text = field.as_str().unwrap_or_default();
                assert_eq!(text, chat::harmless(text));
            }
        }
    }
}
