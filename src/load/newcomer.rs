//! Owns a `group` session that comes in and talks, and does not care who else is there. Knows no socket, no clock.
//!
//! The client's session keeps everybody whom `LIST` names, to talk with them directly: of five thousand members each,
//! that is twelve million names and more work than the server has with them. Here the end of that line is looked for,
//! and nothing is read.

use std::convert::Infallible;
use std::net::IpAddr;

use memchr::memchr;

use crate::protocol::group::frame::{self, MAX_FROM_SERVER};
use crate::protocol::{ClientSession, Command, Context, Told, Unsupported};

/// One member.
#[derive(Debug)]
pub struct Newcomer {
    name: String,
    contact: IpAddr,
    state: State,
    /// How much of the line that is not whole was searched for its end.
    searched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitList,
    Joined,
    Over,
}

impl Newcomer {
    /// Will register as `name`, at that address, where nobody can talk with it directly.
    pub fn new(name: &str, contact: IpAddr) -> Newcomer {
        Newcomer {
            name: name.to_string(),
            contact,
            state: State::AwaitList,
            searched: 0,
        }
    }

    fn handle_line(&mut self, line: &[u8], context: &mut Context<'_>) {
        if line.starts_with(b"LIST:") {
            self.state = State::Joined;
            context.told.push(Told::Joined {
                name: self.name.clone(),
                room: "lobby".to_string(),
            });
        } else if let Some(error) = line.strip_prefix(b"ERROR:") {
            self.state = State::Over;
            // Its length stands before the text, which is one line.
            let text = memchr(b':', error).and_then(|at| error.get(at + 1..));
            let reason = String::from_utf8_lossy(text.unwrap_or(error)).into_owned();
            context.told.push(Told::Refused { reason });
        }
    }
}

impl ClientSession for Newcomer {
    type Violation = Infallible;

    fn start(&mut self, context: &mut Context<'_>) {
        frame::encode_register(&self.name, self.contact, 0, &mut context.out.stream);
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Infallible> {
        let mut used = 0;
        while self.state == State::AwaitList {
            let rest = input.get(used..).unwrap_or_default();
            let new = rest.get(self.searched..).unwrap_or_default();
            let Some(end) = memchr(b'\n', new) else {
                self.searched = rest.len();
                if rest.len() > MAX_FROM_SERVER {
                    self.state = State::Over;
                    let reason = "the server sends a line without an end".to_string();
                    context.told.push(Told::Lost { reason });
                }
                return Ok(used);
            };
            let (line, _) = rest.split_at(self.searched + end);
            self.searched = 0;
            used += line.len() + 1;
            self.handle_line(line.strip_suffix(b"\r").unwrap_or(line), context);
        }
        // Nothing more is to be learnt.
        Ok(input.len())
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(text) => {
                frame::encode_broadcast(&self.name, &[text], &mut context.out.stream);
                Ok(())
            }
            // Leaving is closing the connection.
            Command::Leave => Ok(()),
            Command::Direct { .. }
            | Command::Who
            | Command::Start { .. }
            | Command::Chat { .. }
            | Command::End { .. } => Err(Unsupported),
        }
    }

    fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    fn unanswered(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::chat::TimeOfDay;
    use crate::protocol::Outbound;

    /// What a newcomer was told by these bytes, given as a reader does it, in parts of that length; and whether it is
    /// in.
    fn told(bytes: &[u8], length: usize) -> (Vec<Told>, bool) {
        let mut session = Newcomer::new("alice", "127.0.0.1".parse().unwrap());
        let (mut told, mut out) = (Vec::new(), Outbound::default());
        let mut pending = Vec::new();
        let mut context = Context {
            now: Instant::now(),
            time: TimeOfDay::MIDNIGHT,
            told: &mut told,
            out: &mut out,
        };
        session.start(&mut context);
        for part in bytes.chunks(length) {
            pending.extend_from_slice(part);
            let Ok(used) = session.handle_bytes(&pending, &mut context);
            pending.drain(..used);
        }
        assert_eq!(out.stream, b"REGISTER:alice:127.0.0.1:0\r\n");
        (told, session.is_joined())
    }

    #[test]
    fn it_is_in_once_the_list_has_ended() {
        let joined = Told::Joined {
            name: "alice".to_string(),
            room: "lobby".to_string(),
        };
        let bytes = b"UPDATE:JOIN:bob:127.0.0.1:0\r\nLIST:bob:127.0.0.1:0:alice:127.0.0.1:0\r\nUPDATE:JOIN:c";
        for length in 1..=bytes.len() {
            assert_eq!(
                told(bytes, length),
                (vec![joined.clone()], true),
                "by {length}"
            );
        }
        let list = bytes.iter().rposition(|byte| *byte == b'\n').unwrap();
        assert_eq!(told(&bytes[..list], 5), (vec![], false));
    }

    #[test]
    fn an_error_is_a_refusal_in_the_server_s_words() {
        let refused = Told::Refused {
            reason: "name taken: alice".to_string(),
        };
        let bytes = b"ERROR:17:name taken: alice\r\n";
        for length in 1..=bytes.len() {
            assert_eq!(told(bytes, length), (vec![refused.clone()], false));
        }
    }

    #[test]
    fn a_line_without_an_end_is_the_end() {
        let endless = vec![b'x'; MAX_FROM_SERVER + 1];
        let (told, is_joined) = told(&endless, 1 << 16);
        assert!(matches!(told[..], [Told::Lost { .. }]));
        assert!(!is_joined);
    }
}
