//! Owns many connections at once: who comes, what they read if they do, and who talks to all of them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use mynah::chat::TimeOfDay;
use mynah::protocol::tcp_room::frame;
use socket2::{Domain, Socket, Type};

use crate::chatters;

/// A connection with as small a buffer as the kernel gives.
pub fn connect_small(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_recv_buffer_size(2048)?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// So many members who are in.
pub fn members(address: SocketAddr, name: &str, count: usize) -> io::Result<Vec<TcpStream>> {
    let each = |number| chatters::join(address, &format!("{name}-{number}"));
    (0..count).map(each).collect()
}

/// The same with small buffers, of whom none will read.
pub fn deaf(address: SocketAddr, name: &str, count: usize) -> io::Result<Vec<TcpStream>> {
    let each = |number| chatters::enter(connect_small(address)?, &format!("{name}-{number}"));
    (0..count).map(each).collect()
}

/// Reads whatever comes for all of them while something is done.
pub fn reading<T>(
    streams: &mut [TcpStream],
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| read_all(streams, &done));
        let result = work();
        done.store(true, Ordering::Relaxed);
        let read = reader
            .join()
            .map_err(|_| io::Error::other("the reader died"))?;
        read?;
        result
    })
}

fn read_all(streams: &mut [TcpStream], done: &AtomicBool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    for (number, stream) in streams.iter().enumerate() {
        stream.set_nonblocking(true)?;
        let fd = stream.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), Token(number), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    while !done.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(Duration::from_millis(20))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            let Some(stream) = streams.get_mut(event.token().0) else {
                continue;
            };
            // To the end of what there is, or of the stream.
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
    }
    Ok(())
}

/// Says so many bytes to the lobby, as fast as it hears itself: no faster than the server delivers.
pub fn publish(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    let text = "publish!".repeat(500);
    let mut message = Vec::new();
    frame::encode_say(TimeOfDay::MIDNIGHT, "publisher", &text, &mut message);
    let marker = text.as_bytes();
    let (mut said, mut heard) = (0, 0);
    let mut buffer = vec![0; 256 * 1024];
    while heard < bytes {
        // Four messages are on their way at a time.
        while said < bytes && said < heard + 4 * marker.len() {
            stream.write_all(&message)?;
            said += marker.len();
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::other("the publisher was cut"));
        }
        // Others' lines are few and short: the exact number does not matter.
        heard += count;
    }
    Ok(())
}
