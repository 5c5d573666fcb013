//! Owns what the four foreign protocols have in common: lines, rules that a server may break, and the test that
//! splits what a server says at every byte.
//! Knows no protocol and no socket.

use std::fmt;

use mynah::protocol::{Context, Decoded, Told};

/// Where everybody is: the channel, the topic, the subject.
pub const ROOM: &str = "room";

/// More than any line or packet of these servers in a run: the longest is the INFO of a NATS server.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Which rule the server broke, or which of its words are not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A line or packet above [`MAX_FRAME_BYTES`].
    FrameOverLimit,
    /// More values in one another than anybody sends.
    TooDeep,
    /// Not what may come here; as it came, or the beginning of it.
    Unexpected { got: String },
}

impl Violation {
    /// Not what may come here.
    pub fn unexpected(got: &[u8]) -> Violation {
        let got = got.get(..80).unwrap_or(got);
        Violation::Unexpected {
            got: got.escape_ascii().to_string(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::FrameOverLimit => {
                write!(f, "a line or packet above {MAX_FRAME_BYTES} bytes")
            }
            Violation::TooDeep => f.write_str("too many values in one another"),
            Violation::Unexpected { got } => write!(f, "not understood: {got}"),
        }
    }
}

impl std::error::Error for Violation {}

/// A line without its end, which is LF or CR LF.
pub fn decode_line(input: &[u8]) -> Result<Decoded<&[u8]>, Violation> {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(at) if at > MAX_FRAME_BYTES => Err(Violation::FrameOverLimit),
        Some(at) => {
            let line = input.get(..at).unwrap_or_default();
            Ok(Decoded::Done {
                frame: line.strip_suffix(b"\r").unwrap_or(line),
                used: at + 1,
            })
        }
        None if input.len() > MAX_FRAME_BYTES => Err(Violation::FrameOverLimit),
        None => Ok(Decoded::NeedMore {
            needed: input.len() + 1,
        }),
    }
}

/// Handles frame after frame until what is left is not whole; returns how many bytes that was. `handle` is given
/// what is left, and returns the length of the frame that it took.
pub fn each_frame(
    input: &[u8],
    mut handle: impl FnMut(&[u8]) -> Result<Option<usize>, Violation>,
) -> Result<usize, Violation> {
    let mut used = 0;
    while let Some(rest) = input.get(used..)
        && !rest.is_empty()
        && let Some(length) = handle(rest)?
    {
        used += length;
    }
    Ok(used)
}

/// Text as it is shown.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// We are in.
pub fn tell_joined(name: &str, context: &mut Context<'_>) {
    context.told.push(Told::Joined {
        name: name.to_string(),
        room: ROOM.to_string(),
    });
}

/// Somebody said something; `from` is empty where the protocol does not say who.
pub fn tell_message(from: &[u8], said: &[u8], context: &mut Context<'_>) {
    context.told.push(Told::Message {
        from: text(from),
        text: text(said),
        time: None,
        history: false,
    });
}

/// The server would not have us.
pub fn tell_refused(reason: &[u8], context: &mut Context<'_>) {
    context.told.push(Told::Refused {
        reason: text(reason),
    });
}

/// The server ended what had begun.
pub fn tell_lost(reason: &[u8], context: &mut Context<'_>) {
    context.told.push(Told::Lost {
        reason: text(reason),
    });
}

/// Whether a line may be said where a line's end ends a message.
pub fn is_one_line(said: &str) -> bool {
    !said.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[cfg(test)]
pub mod tests {
    use std::time::Instant;

    use mynah::chat::TimeOfDay;
    use mynah::protocol::{ClientSession, Command, Outbound, Unsupported};

    use super::*;

    /// A session, and what came of it.
    pub struct Client<S> {
        pub session: S,
        pub told: Vec<Told>,
        pub out: Outbound,
        pending: Vec<u8>,
    }

    impl<S: ClientSession<Violation = Violation>> Client<S> {
        /// One that has started.
        pub fn new(session: S) -> Client<S> {
            let mut client = Client {
                session,
                told: Vec::new(),
                out: Outbound::default(),
                pending: Vec::new(),
            };
            client.with(|session, context| session.start(context));
            client
        }

        fn with<T>(&mut self, f: impl FnOnce(&mut S, &mut Context<'_>) -> T) -> T {
            let mut context = Context {
                now: Instant::now(),
                time: TimeOfDay::MIDNIGHT,
                told: &mut self.told,
                out: &mut self.out,
            };
            f(&mut self.session, &mut context)
        }

        /// Bytes from the server, behind those that were not used yet.
        pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Violation> {
            let mut input = std::mem::take(&mut self.pending);
            input.extend_from_slice(bytes);
            let used = self.with(|session, context| session.handle_bytes(&input, context))?;
            assert!(used <= input.len(), "used more than there is");
            self.pending = input.split_off(used);
            Ok(())
        }

        /// What is left of a frame that is not whole.
        pub fn pending(&self) -> &[u8] {
            &self.pending
        }

        pub fn say(&mut self, text: &str) -> Result<(), Unsupported> {
            self.with(|session, context| session.handle_command(Command::Say(text), context))
        }

        /// What goes to the server, once.
        pub fn sent(&mut self) -> Vec<u8> {
            std::mem::take(&mut self.out.stream)
        }

        /// What the person is told, once.
        pub fn told(&mut self) -> Vec<Told> {
            std::mem::take(&mut self.told)
        }
    }

    /// Feeds a conversation whole, byte by byte, and in two at every place: the same comes of it.
    pub fn at_every_split<S: ClientSession<Violation = Violation>>(
        make: impl Fn() -> S,
        bytes: &[u8],
    ) -> Client<S> {
        let mut whole = Client::new(make());
        whole.receive(bytes).unwrap();
        let mut dripped = Client::new(make());
        for byte in bytes {
            dripped.receive(&[*byte]).unwrap();
        }
        let mut all = vec![dripped];
        for at in 0..bytes.len() {
            let mut split = Client::new(make());
            split.receive(&bytes[..at]).unwrap();
            split.receive(&bytes[at..]).unwrap();
            all.push(split);
        }
        for other in all {
            assert_eq!(other.told, whole.told);
            assert_eq!(other.out, whole.out);
            assert_eq!(other.pending(), whole.pending());
            assert_eq!(other.session.is_joined(), whole.session.is_joined());
        }
        whole
    }

    /// What somebody said, as it is told.
    pub fn message(from: &str, text: &str) -> Told {
        Told::Message {
            from: from.to_string(),
            text: text.to_string(),
            time: None,
            history: false,
        }
    }

    pub fn joined(name: &str) -> Told {
        Told::Joined {
            name: name.to_string(),
            room: ROOM.to_string(),
        }
    }

    #[test]
    fn a_line_ends_with_or_without_cr_and_has_a_limit() {
        let done = |frame, used| Ok(Decoded::Done { frame, used });
        assert_eq!(decode_line(b"a\r\nb"), done(&b"a"[..], 3));
        assert_eq!(decode_line(b"a\nb"), done(&b"a"[..], 2));
        assert_eq!(decode_line(b"\r\n"), done(&b""[..], 2));
        assert_eq!(decode_line(b"ab\r"), Ok(Decoded::NeedMore { needed: 4 }));
        let long = vec![b'a'; MAX_FRAME_BYTES + 1];
        assert_eq!(decode_line(&long), Err(Violation::FrameOverLimit));
        let ended = [long, b"\n".to_vec()].concat();
        assert_eq!(decode_line(&ended), Err(Violation::FrameOverLimit));
    }

    #[test]
    fn what_is_not_understood_is_shown_but_not_all_of_it() {
        let shown = Violation::unexpected(&[0xff; 200]).to_string();
        assert_eq!(shown, format!("not understood: {}", "\\xff".repeat(80)));
    }
}
