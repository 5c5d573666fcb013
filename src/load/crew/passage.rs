//! Owns how members come in and how they leave: sockets opened and closed, sessions begun and dropped. Knows nothing
//! of what is said in between.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use mio::net::TcpStream;

use super::{Crew, Member, State, Why, port_token, stream_token};
use crate::load::crowd::{Crowd, Datagrams, Ends};
use crate::load::failure::Failure;
use crate::protocol::{ClientSession, Command};
use crate::reactor::UdpPort;

/// So many leave at once, with a rest behind them: the server's buffer for datagrams holds a few hundred.
const LEAVING: usize = 32;
const LEAVING_REST: Duration = Duration::from_millis(1);

/// Long enough for a server to have read the last of them.
const FAREWELL: Duration = Duration::from_millis(100);

/// But that is all the time that leaving takes once everybody has said so.
const LEAVING_TIME: Duration = Duration::from_secs(1);

impl<C: Crowd> Crew<'_, C> {
    /// Has a member come in.
    pub fn open(&mut self, member: usize) -> Result<(), Failure> {
        let transport = self.crowd.transport(member);
        if let Some(datagrams) = transport.datagrams {
            let mut port = open_port(datagrams).map_err(|error| Failure::Unreachable {
                address: transport.place(),
                error,
            })?;
            self.poller
                .register(&mut port, port_token(member))
                .map_err(Failure::system("watching a port"))?;
            self.ports[member] = Some(port);
        }
        match transport.stream {
            None => self.begin(member),
            Some(address) => {
                let unreachable = |error| Failure::Unreachable {
                    address: address.to_string(),
                    error,
                };
                let mut stream = TcpStream::connect(address).map_err(unreachable)?;
                self.poller
                    .register(&mut stream, stream_token(member))
                    .map_err(Failure::system("watching a connection"))?;
                self.streams[member] = Some(stream);
                self.members[member].state = State::Connecting;
            }
        }
        Ok(())
    }

    /// What carries it stands: its session starts.
    fn begin(&mut self, member: usize) {
        let stream = self.streams[member].as_ref();
        let ends = Ends {
            stream: stream.and_then(|stream| stream.local_addr().ok()),
            datagrams: self.ports[member]
                .as_ref()
                .and_then(|port| port.local_addr().ok()),
        };
        self.members[member].session = Some(self.crowd.session(member, &ends));
        self.members[member].state = State::Asking;
        self.with(member, |session, context| session.start(context));
        self.look(member);
    }

    /// Whether this member has just come in.
    pub(super) fn look(&mut self, number: usize) {
        let member = &mut self.members[number];
        if member.state != State::Asking
            || !member.session.as_ref().is_some_and(C::Session::is_joined)
        {
            return;
        }
        member.state = State::In;
        member.pending = Vec::new();
        self.tally.inside += 1;
        if number >= self.talkers && !self.crowd.needs_session(number) {
            self.rearm(number, None);
            self.members[number].session = None;
        }
    }

    /// Whether a stream stands; one that has just come to stand is begun with.
    pub(super) fn is_connected(&mut self, number: usize) -> bool {
        if self.members[number].state != State::Connecting {
            return true;
        }
        let Some(stream) = &self.streams[number] else {
            return false;
        };
        match connected(stream) {
            Ok(true) => {
                self.begin(number);
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.end(number, Why::Unreachable(error));
                false
            }
        }
    }

    /// Has everybody leave, so that their names are free when this returns: datagrams say so, streams end. A server
    /// that does not answer is not waited for long.
    pub fn leave(&mut self) -> Result<(), Failure> {
        self.listening = false;
        for number in 0..self.members.len() {
            let is_in = self.members[number].state == State::In;
            if is_in && self.streams[number].is_some() {
                // Whatever else it sends is read until it ends, too.
                self.members[number].finishes = true;
                self.flush(number);
            } else {
                self.streams[number] = None;
            }
            if self.ports[number].is_some() {
                let _ = self.with(number, |session, context| {
                    session.handle_command(Command::Leave, context)
                });
            }
            if number % LEAVING == LEAVING - 1 {
                self.send_out();
                self.take_in(Some(LEAVING_REST))?;
            }
        }
        self.send_out();
        // Most protocols do not answer a farewell over datagrams.
        let has_ports = self.ports.iter().any(Option::is_some);
        let said = self.now();
        let quiet = said + if has_ports { FAREWELL } else { Duration::ZERO };
        while self.now() < said + LEAVING_TIME && (self.now < quiet || self.are_some_left()) {
            self.send_out();
            self.take_in(Some(LEAVING_REST))?;
            self.fall_due(self.now);
        }
        Ok(())
    }

    fn are_some_left(&self) -> bool {
        let waits = |member: &Member<C::Session>| {
            let session = member.session.as_ref();
            !member.datagrams.is_empty() || session.is_some_and(|session| !session.has_left())
        };
        let mut ports = self.ports.iter().zip(&self.members);
        self.streams.iter().any(Option::is_some)
            || !self.unsent.is_empty()
            || ports.any(|(port, member)| port.is_some() && waits(member))
    }

    /// A member is gone: its sockets are closed and its session is dropped. Whether it was in.
    pub fn let_go(&mut self, number: usize) -> bool {
        self.streams[number] = None;
        self.ports[number] = None;
        self.rearm(number, None);
        let was_blocked = self.members[number].blocked;
        self.blocked -= usize::from(was_blocked);
        let listed = self.members[number].listed;
        let gone = Member {
            state: State::Gone,
            listed,
            ..Member::away()
        };
        let before = std::mem::replace(&mut self.members[number], gone);
        let was_in = before.state == State::In;
        self.tally.inside -= usize::from(was_in);
        was_in
    }
}

fn open_port(datagrams: Datagrams) -> io::Result<UdpPort> {
    match datagrams {
        Datagrams::Server(server) => {
            let any: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            UdpPort::connect(SocketAddr::new(any, 0), server)
        }
        Datagrams::Broadcast {
            bind,
            broadcast,
            port,
        } => {
            let mut own = UdpPort::bind_broadcast(SocketAddrV4::new(bind, port))?;
            let broadcast = SocketAddrV4::new(broadcast, port);
            own.hear_also(UdpPort::bind_broadcast_beside(bind, broadcast)?);
            Ok(own)
        }
    }
}

/// Whether a connection under way has come about; an error when it never will.
fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => {
            // A message is one small write, and nothing comes behind it that it could wait for.
            stream.set_nodelay(true)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::load::floor::{Floor, FloorCrowd};
    use crate::load::ledger::Ledger;
    use crate::load::scan::Scanner;
    use crate::load::text::Marking;

    #[test]
    fn whatever_was_said_goes_out_before_a_member_leaves() {
        const TEXT: usize = 1000;
        const MESSAGES: usize = 8000;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let crowd = FloorCrowd::new(Floor::Stream, listener.local_addr().unwrap(), 0, true);
        let mut crew = Crew::new(
            &crowd,
            1,
            1,
            Scanner::new(Marking::new(1, TEXT)),
            Ledger::new(1, &[true]),
        )
        .unwrap();
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut hello = [0; 4];
            stream.read_exact(&mut hello).unwrap();
            let length = u32::from_le_bytes(hello) as usize;
            stream.read_exact(&mut vec![0; length]).unwrap();
            stream.write_all(&[1, 0, 0, 0, b'A']).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).map(|_| rest)
        });
        crew.open(0).unwrap();
        while crew.tally().inside == 0 {
            crew.send_out();
            crew.take_in(Some(Duration::from_millis(10))).unwrap();
        }
        let text = "x".repeat(TEXT);
        for _ in 0..MESSAGES {
            crew.say(0, &text);
        }
        crew.leave().unwrap();
        drop(crew);
        let rest = server.join().unwrap().unwrap();
        let said = rest.iter().filter(|byte| **byte == b'x').count();
        assert_eq!(said, MESSAGES * TEXT);
    }
}
