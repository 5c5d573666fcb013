//! Owns how events sound in a mesh, as its gateway tells them: only what is said publicly is told there.
//! Knows nothing of who the gateway is, nor of what peers ask it.

use super::frame;
use crate::chat::Event;
use crate::protocol::Datagrams;

/// Adds the broadcasts that an event is, if any.
pub fn encode_event(event: &Event<'_>, out: &mut Datagrams) {
    match event {
        Event::Said { from, text, .. } => {
            frame::encode_say(from, text, |datagram| {
                out.push(|out| out.extend_from_slice(datagram));
            });
        }
        Event::Direct { .. }
        | Event::Arrived { .. }
        | Event::Left { .. }
        | Event::NameAsked
        | Event::RoomClosed => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Contact, TimeOfDay};

    #[test]
    fn only_what_is_said_publicly_is_told() {
        let mut out = Datagrams::new();
        let time = TimeOfDay::MIDNIGHT;
        let long = "x".repeat(4096);
        for (text, datagrams) in [("hi", 1), (&long, 2)] {
            let from = "bob";
            encode_event(&Event::Said { from, text, time }, &mut out);
            assert_eq!(out.len(), datagrams);
            let first = out.iter().next().unwrap().to_vec();
            assert!(first.len() <= frame::MAX_DATAGRAM_BYTES);
            assert!(matches!(
                frame::decode(&first),
                Ok(frame::Frame::Say {
                    username: "bob",
                    ..
                })
            ));
            out.clear();
        }
        let (name, contact) = ("bob", Contact::NONE);
        for event in [
            Event::Arrived { name, contact },
            Event::Left { name, contact },
            Event::Direct {
                from: name,
                text: "hi",
                time,
            },
            Event::NameAsked,
            Event::RoomClosed,
        ] {
            encode_event(&event, &mut out);
        }
        assert!(out.is_empty());
    }
}
