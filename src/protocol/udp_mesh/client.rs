//! Owns how a [`Peer`] is driven as a client session. Knows no socket, no clock, no terminal.

use std::convert::Infallible;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::frame::PORT;
use super::peer::{self, Outputs, Peer};
use crate::chat::Name;
use crate::protocol::{ClientSession, Command, Context, Destination, Unsupported};

/// One peer with a person behind it.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    outputs: Outputs,
    left: bool,
}

impl Session {
    /// Will ask to be let in as `name`. `own_addresses` are those that our own broadcasts come back from.
    pub fn new(name: Name, own_addresses: Vec<IpAddr>, now: Instant) -> Session {
        Session {
            peer: Peer::new(name, own_addresses, now),
            outputs: Outputs::default(),
            left: false,
        }
    }

    fn hand_out(&mut self, context: &mut Context<'_>) {
        let Outputs { datagrams, told } = mem::take(&mut self.outputs);
        context.told.extend(told);
        for datagram in datagrams {
            let to = match datagram.to {
                peer::Destination::Broadcast => Destination::Broadcast,
                peer::Destination::Address(ip) => Destination::Peer(SocketAddr::new(ip, PORT)),
            };
            context.out.datagrams.push((to, datagram.bytes));
        }
    }
}

impl ClientSession for Session {
    /// A datagram that breaks the rules is only dropped: anybody may have sent it.
    type Violation = Infallible;

    fn start(&mut self, context: &mut Context<'_>) {
        self.peer.start(context.now, &mut self.outputs);
        self.hand_out(context);
    }

    fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        let (now, time) = (context.now, context.time);
        let _ = self
            .peer
            .handle_datagram(from, datagram, now, time, &mut self.outputs);
        self.hand_out(context);
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        self.left |= command == Command::Leave;
        let result = self
            .peer
            .handle_command(command, context.now, &mut self.outputs);
        self.hand_out(context);
        result
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.peer.handle_timeout(context.now, &mut self.outputs);
        self.hand_out(context);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.peer.next_deadline()
    }

    fn is_joined(&self) -> bool {
        self.peer.is_joined()
    }

    fn unanswered(&self) -> usize {
        self.peer.unanswered()
    }

    /// Leaving is falling silent.
    fn has_left(&self) -> bool {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::TimeOfDay;
    use crate::protocol::{Outbound, Told};

    struct Client {
        session: Session,
        now: Instant,
        told: Vec<Told>,
        out: Outbound,
    }

    impl Client {
        fn with<T>(&mut self, act: impl FnOnce(&mut Session, &mut Context<'_>) -> T) -> T {
            let mut context = Context {
                now: self.now,
                time: TimeOfDay::MIDNIGHT,
                told: &mut self.told,
                out: &mut self.out,
            };
            act(&mut self.session, &mut context)
        }
    }

    #[test]
    fn a_peer_comes_in_talks_answers_and_leaves() {
        let now = Instant::now();
        let own = IpAddr::from([10, 0, 0, 1]);
        let mut client = Client {
            session: Session::new(Name::parse("alice").unwrap(), vec![own], now),
            now,
            told: Vec::new(),
            out: Outbound::default(),
        };
        client.with(|session, context| session.start(context));
        while !client.session.is_joined() {
            client.now = client.session.next_deadline().unwrap();
            client.with(|session, context| session.handle_timeout(context));
        }
        assert_eq!(client.now - now, Duration::from_secs(2));
        let joined = Told::Joined {
            name: "alice".into(),
            room: "mesh".into(),
        };
        assert_eq!(mem::take(&mut client.told), [joined]);
        let datagrams = mem::take(&mut client.out.datagrams);
        assert_eq!(datagrams.len(), 3);
        assert!(
            datagrams
                .iter()
                .all(|(to, _)| *to == Destination::Broadcast)
        );

        client
            .with(|session, context| session.handle_command(Command::Say("hi"), context))
            .unwrap();
        assert_eq!(client.session.unanswered(), 1);
        let (_, said) = client.out.datagrams.pop().unwrap();
        let from = SocketAddr::new(own, PORT);
        client.with(|session, context| session.handle_datagram(from, &said, context));
        assert_eq!(client.session.unanswered(), 0);
        assert!(matches!(&client.told[..], [Told::Message { text, .. }] if text == "hi"));

        // Somebody asks for our name, and is answered at the port of the mesh.
        let other = SocketAddr::from(([10, 0, 0, 2], 40_000));
        client.with(|session, context| session.handle_datagram(other, &datagrams[0].1, context));
        let (to, _) = client.out.datagrams.pop().unwrap();
        let expected = SocketAddr::from(([10, 0, 0, 2], PORT));
        assert_eq!(to, Destination::Peer(expected));

        assert!(!client.session.has_left());
        client
            .with(|session, context| session.handle_command(Command::Leave, context))
            .unwrap();
        assert!(client.session.has_left());
    }
}
