//! Owns the floors: servers that do nothing but what the kernel makes everybody do, and the member of such a server.
//! Know no names, no limits and no slow consumers: no server can be cheaper, and none should be written like this.
//!
//! - `bare-tcp`: reads, and makes one `send` per member for every message.
//! - `bare-tcp-coalesce`: reads all that is there, and makes one `send` per member with all of it.
//! - `bare-udp`: receives, and makes one `sendto` per member.
//!
//! On the stream a frame is a length of four bytes (the lowest first) and so many bytes; in datagrams it is the
//! datagram. An empty frame asks to be let in, and is the answer to that; any other is a message, and everybody gets
//! it, its sender too.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use mynah::protocol::{ClientSession, Command, Context, Decoded, Unsupported};
use rustix::event::{PollFd, PollFlags, poll};

use crate::wire::{MAX_FRAME_BYTES, Violation, each_frame, tell_joined, tell_message};

/// Which floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    #[value(name = "bare-tcp")]
    Tcp,
    #[value(name = "bare-tcp-coalesce")]
    TcpCoalesce,
    #[value(name = "bare-udp")]
    Udp,
}

/// Serves for ever.
pub fn serve(kind: Kind, address: SocketAddr) -> io::Result<()> {
    match kind {
        Kind::Tcp => Streams::bind(address)?.serve(false),
        Kind::TcpCoalesce => Streams::bind(address)?.serve(true),
        Kind::Udp => Datagrams::bind(address)?.serve(),
    }
}

const LISTENER: Token = Token(usize::MAX);
const LENGTH_BYTES: usize = 4;
/// What one read takes.
const READ_BYTES: usize = 256 * 1024;

struct Streams {
    poll: Poll,
    listener: TcpListener,
    /// By token. A place is taken again by the next who comes.
    members: Vec<Option<TcpStream>>,
    free: Vec<usize>,
    /// The beginning of a frame, and whose: nearly always of nobody.
    partial: Vec<(usize, Vec<u8>)>,
}

impl Streams {
    fn bind(address: SocketAddr) -> io::Result<Streams> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Streams {
            poll,
            listener,
            members: Vec::new(),
            free: Vec::new(),
            partial: Vec::new(),
        })
    }

    fn serve(&mut self, coalesces: bool) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(member) => self.read(member, &mut buffer, coalesces),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let member = self.free.pop().unwrap_or(self.members.len());
            self.poll
                .registry()
                .register(&mut stream, Token(member), Interest::READABLE)?;
            match self.members.get_mut(member) {
                Some(place) => *place = Some(stream),
                None => self.members.push(Some(stream)),
            }
        }
    }

    /// Reads until nothing more is there, and sends on what came.
    fn read(&mut self, member: usize, buffer: &mut [u8], coalesces: bool) {
        loop {
            let begun = self.partial.iter().position(|(whose, _)| *whose == member);
            let begun = begun.map(|at| self.partial.swap_remove(at).1);
            let begun = begun.unwrap_or_default();
            let Some((front, rest)) = buffer.split_at_mut_checked(begun.len()) else {
                return self.close(member);
            };
            front.copy_from_slice(&begun);
            let Some(Some(stream)) = self.members.get_mut(member) else {
                return;
            };
            let room = rest.len();
            let came = match stream.read(rest) {
                Ok(0) => return self.close(member),
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !begun.is_empty() {
                        self.partial.push((member, begun));
                    }
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(member),
            };
            let input = buffer.get(..begun.len() + came).unwrap_or_default();
            match self.send_on(member, input, coalesces) {
                Ok(used) if used < input.len() => {
                    let rest = input.get(used..).unwrap_or_default();
                    self.partial.push((member, rest.to_vec()));
                }
                Ok(_) => {}
                Err(_) => return self.close(member),
            }
            // A stream that gave less than there was room for has no more; what comes then is a new event.
            if came < room {
                return;
            }
        }
    }

    /// All whole frames from the front; how many bytes they were.
    fn send_on(
        &mut self,
        member: usize,
        input: &[u8],
        coalesces: bool,
    ) -> Result<usize, Violation> {
        // Messages from here on wait to be sent together.
        let mut since = 0;
        let mut at = 0;
        let used = each_frame(input, |rest| match decode_frame(rest)? {
            Decoded::NeedMore { .. } => Ok(None),
            Decoded::Done { frame, used } => {
                let end = at + used;
                if frame.is_empty() {
                    self.send_all(input.get(since..at).unwrap_or_default());
                    self.send(member, &[0; LENGTH_BYTES]);
                    since = end;
                } else if !coalesces {
                    self.send_all(input.get(at..end).unwrap_or_default());
                    since = end;
                }
                at = end;
                Ok(Some(used))
            }
        })?;
        self.send_all(input.get(since..used).unwrap_or_default());
        Ok(used)
    }

    fn send_all(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            for stream in self.members.iter_mut().flatten() {
                // Who is gone has an event of its own, which closes it.
                let _ = send_whole(stream, bytes);
            }
        }
    }

    fn send(&mut self, member: usize, bytes: &[u8]) {
        if let Some(Some(stream)) = self.members.get_mut(member) {
            let _ = send_whole(stream, bytes);
        }
    }

    fn close(&mut self, member: usize) {
        self.partial.retain(|(whose, _)| *whose != member);
        if let Some(place) = self.members.get_mut(member)
            && place.take().is_some()
        {
            self.free.push(member);
        }
    }
}

/// Sends all of it, and waits where there is no room.
fn send_whole(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for_room(stream)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_for_room(socket: &impl AsFd) -> io::Result<()> {
    poll(&mut [PollFd::new(socket, PollFlags::OUT)], None)?;
    Ok(())
}

struct Datagrams {
    socket: UdpSocket,
    /// Nobody leaves: without a connection only a protocol could tell.
    members: Vec<SocketAddr>,
}

impl Datagrams {
    fn bind(address: SocketAddr) -> io::Result<Datagrams> {
        let socket = UdpSocket::bind(address)?;
        // A burst waits in it; the kernel makes it as large as it may be.
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        Ok(Datagrams {
            socket,
            members: Vec::new(),
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut poll = Poll::new()?;
        poll.registry()
            .register(&mut self.socket, LISTENER, Interest::READABLE)?;
        let mut events = Events::with_capacity(8);
        let mut buffer = vec![0; MAX_FRAME_BYTES];
        loop {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            self.receive(&mut buffer)?;
        }
    }

    /// Takes all that is there.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let (length, from) = match self.socket.recv_from(buffer) {
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Somebody's port is closed, or we were interrupted.
                Err(_) => continue,
            };
            if length == 0 {
                if !self.members.contains(&from) {
                    self.members.push(from);
                }
                send_datagram(&self.socket, &[], from)?;
                continue;
            }
            let message = buffer.get(..length).unwrap_or_default();
            for &to in &self.members {
                send_datagram(&self.socket, message, to)?;
            }
        }
    }
}

fn send_datagram(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    loop {
        match socket.send_to(bytes, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for_room(socket)?,
            // What is lost is lost; the generator counts it.
            _ => return Ok(()),
        }
    }
}

fn decode_frame(input: &[u8]) -> Result<Decoded<&[u8]>, Violation> {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(Decoded::NeedMore {
            needed: LENGTH_BYTES,
        });
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(Violation::FrameOverLimit);
    }
    let used = LENGTH_BYTES + length;
    Ok(match rest.get(..length) {
        Some(frame) => Decoded::Done { frame, used },
        None => Decoded::NeedMore { needed: used },
    })
}

/// One member, of any floor.
#[derive(Debug)]
pub struct Session {
    name: String,
    carrier: Carrier,
    is_joined: bool,
}

/// What its frames are carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Stream,
    Datagrams,
}

impl Session {
    /// Will ask to be let in; the server is told no name.
    pub fn new(name: &str, carrier: Carrier) -> Session {
        Session {
            name: name.to_string(),
            carrier,
            is_joined: false,
        }
    }

    fn send(&self, text: &str, context: &mut Context<'_>) {
        let bytes = text.as_bytes();
        match self.carrier {
            Carrier::Stream => {
                let out = &mut context.out.stream;
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Carrier::Datagrams => context.out.to_server(|out| out.extend_from_slice(bytes)),
        }
    }

    fn handle_frame(&mut self, frame: &[u8], context: &mut Context<'_>) {
        if !frame.is_empty() {
            tell_message(b"", frame, context);
        } else if !self.is_joined {
            self.is_joined = true;
            tell_joined(&self.name, context);
        }
    }
}

impl ClientSession for Session {
    type Violation = Violation;

    fn start(&mut self, context: &mut Context<'_>) {
        self.send("", context);
    }

    fn handle_bytes(
        &mut self,
        input: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, Violation> {
        each_frame(input, |rest| match decode_frame(rest)? {
            Decoded::NeedMore { .. } => Ok(None),
            Decoded::Done { frame, used } => {
                self.handle_frame(frame, context);
                Ok(Some(used))
            }
        })
    }

    fn handle_datagram(&mut self, _from: SocketAddr, datagram: &[u8], context: &mut Context<'_>) {
        self.handle_frame(datagram, context);
    }

    fn handle_command(
        &mut self,
        command: Command<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unsupported> {
        match command {
            Command::Say(said) => {
                self.send(said, context);
                Ok(())
            }
            // Leaving is closing the connection.
            Command::Leave => Ok(()),
            _ => Err(Unsupported),
        }
    }

    fn is_joined(&self) -> bool {
        self.is_joined
    }

    fn unanswered(&self) -> usize {
        0
    }
}

#[cfg(test)]
pub mod tests {
    use std::net::{self, Ipv4Addr};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::wire::tests::{Client, at_every_split, joined, message};

    fn frame(text: &str) -> Vec<u8> {
        [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn a_member_comes_in_hears_and_speaks() {
        let all = [
            frame(""),
            frame("hi"),
            frame("you"),
            frame("cut")[..6].to_vec(),
        ]
        .concat();
        let make = || Session::new("ann", Carrier::Stream);
        let mut client = at_every_split(make, &all);
        let told = [joined("ann"), message("", "hi"), message("", "you")];
        assert_eq!(client.told(), told);
        assert_eq!(client.sent(), frame(""));
        client.say("hello").unwrap();
        assert_eq!(client.sent(), frame("hello"));
        let got = Client::new(make()).receive(&[1, 0, 1, 0]);
        assert_eq!(got, Err(Violation::FrameOverLimit));
    }

    /// A floor that serves until the test ends, and where.
    pub fn floor(kind: Kind) -> SocketAddr {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        match kind {
            Kind::Udp => {
                let mut datagrams = Datagrams::bind(any).unwrap();
                let address = datagrams.socket.local_addr().unwrap();
                thread::spawn(move || datagrams.serve());
                address
            }
            _ => {
                let mut streams = Streams::bind(any).unwrap();
                let address = streams.listener.local_addr().unwrap();
                thread::spawn(move || streams.serve(kind == Kind::TcpCoalesce));
                address
            }
        }
    }

    #[test]
    fn everybody_gets_everything_in_order() {
        for kind in [Kind::Tcp, Kind::TcpCoalesce] {
            let address = floor(kind);
            let mut members: Vec<net::TcpStream> = (0..5)
                .map(|_| {
                    let mut stream = net::TcpStream::connect(address).unwrap();
                    let patience = Some(Duration::from_secs(20));
                    stream.set_read_timeout(patience).unwrap();
                    stream.write_all(&frame("")).unwrap();
                    let mut verdict = [1; LENGTH_BYTES];
                    stream.read_exact(&mut verdict).unwrap();
                    assert_eq!(verdict, [0; LENGTH_BYTES]);
                    stream
                })
                .collect();
            // One who leaves is no hindrance.
            members.pop();
            let said: Vec<u8> = (0..1000)
                .flat_map(|n| frame(&format!("message {n}")))
                .collect();
            // Not at the ends of frames.
            for piece in said.chunks(997) {
                members[0].write_all(piece).unwrap();
            }
            for member in &mut members {
                let mut heard = vec![0; said.len()];
                member.read_exact(&mut heard).unwrap();
                assert_eq!(heard, said, "{kind:?}");
            }
        }
    }

    #[test]
    fn everybody_gets_every_datagram() {
        let address = floor(Kind::Udp);
        let members: Vec<net::UdpSocket> = (0..5)
            .map(|_| {
                let socket = net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                socket.connect(address).unwrap();
                let patience = Some(Duration::from_secs(20));
                socket.set_read_timeout(patience).unwrap();
                socket.send(&[]).unwrap();
                assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 0);
                socket
            })
            .collect();
        members[0].send(b"hello").unwrap();
        for member in &members {
            let mut buffer = [0; 16];
            let length = member.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], *b"hello");
        }
    }
}
