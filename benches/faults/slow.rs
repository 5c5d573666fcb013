//! Those who read too slowly, write too slowly or write too much: R01, R04, R37, R43.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mynah::protocol::registry::Protocol;

use crate::apart;
use crate::chatters::{self, beside, milliseconds};
use crate::crowd::{self, connect_small, deaf, publish};
use crate::server::Server;
use crate::{Figure, Order, figure};

const MIB: usize = 1024 * 1024;

/// Those who chat, in every attack but where the row says how many.
pub const FEW: usize = 10;

/// One who never reads, while a hundred megabytes are said: what it costs the others.
pub fn r01(order: &Order) -> io::Result<Vec<Figure>> {
    let server = Server::warm(&order.server)?;
    let room = server.address(Protocol::TcpRoom);
    let mut publisher = chatters::join(room, "publisher")?;
    let alone = server.usage()?.descriptors;
    // In turns, so that a machine that is not quiet is the same for both.
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let ((), waits) = beside(room, FEW, || publish(&mut publisher, 10 * MIB))?;
        without.push(milliseconds(&waits, 0.99));
        server.descriptors_above(alone)?;
        let who = format!("deaf-{round}");
        let _deaf = chatters::enter(connect_small(room)?, &who)?;
        let ((), waits) = beside(room, FEW, || publish(&mut publisher, 10 * MIB))?;
        with.push(milliseconds(&waits, 0.99));
        // Its end of the connection is gone; ours learns of it when it reads.
        if server.descriptors_above(alone)? > 0 {
            return Err(io::Error::other(format!("{who} was not cut")));
        }
    }
    let (without, with) = (median(&mut without), median(&mut with));
    let more = (with / without - 1.0) * 100.0;
    Ok(vec![
        figure(
            "R01",
            "p99 of others without a non-reader",
            without,
            "ms",
            None,
        ),
        figure("R01", "p99 of others beside a non-reader", with, "ms", None),
        figure(
            "R01",
            "p99 of others, more by a non-reader",
            more,
            "%",
            20.0,
        ),
    ])
}

pub fn r04(order: &Order) -> io::Result<Vec<Figure>> {
    slowloris(&Server::warm(&order.server)?, order.crowd)
}

/// Thousands who send a byte a second of a name that never ends.
pub fn slowloris(server: &Server, count: usize) -> io::Result<Vec<Figure>> {
    let before = server.usage()?.resident_kib;
    let room = server.address(Protocol::TcpRoom);
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(room)?;
        // 471, and a name of 64 bytes.
        stream.write_all(&[0xd7, 1, 0, 0, 64, 0, 0, 0, b'a'])?;
        stream.set_nonblocking(true)?;
        peers.push((stream, Instant::now()));
    }
    let mut longest = Duration::ZERO;
    let drip = || {
        let mut due = Instant::now();
        while !peers.is_empty() && due.elapsed() < Duration::from_secs(60) {
            peers.retain_mut(|(stream, since)| {
                let _ = stream.write(b"a");
                let mut byte = [0];
                let ended = !matches!(
                    stream.read(&mut byte),
                    Err(error) if error.kind() == ErrorKind::WouldBlock
                );
                if ended {
                    longest = longest.max(since.elapsed());
                }
                !ended
            });
            due += Duration::from_secs(1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(peers.len())
    };
    let (left, largest) = server.largest(drip)?;
    if left > 0 {
        return Err(io::Error::other(format!("{left} are still there")));
    }
    let grown = (largest - before) / 1024.0;
    // A byte a second is how exactly it is known.
    Ok(vec![
        figure(
            "R04",
            format!("{count} at a byte a second, the last is gone after"),
            longest.as_secs_f64(),
            "s",
            22.0,
        ),
        figure(
            "R04",
            format!("memory for {count} of them"),
            grown,
            "MiB",
            5.0,
        ),
    ])
}

pub fn r37(order: &Order) -> io::Result<Vec<Figure>> {
    backpressure(&Server::warm(&order.server)?)
}

/// A thousand who never read, in one room.
pub fn backpressure(server: &Server) -> io::Result<Vec<Figure>> {
    let room = server.address(Protocol::TcpRoom);
    let mut publisher = chatters::join(room, "publisher")?;
    let alone = server.usage()?.descriptors;
    let members = deaf(room, "deaf", 1000)?;
    let before = server.usage()?.resident_kib;
    let ((), largest) = server.largest(|| publish(&mut publisher, 20 * MIB))?;
    // Those of the server's; ours are all there still.
    let left = server.descriptors_above(alone)?;
    drop(members);
    let grown = (largest - before) / 1024.0;
    Ok(vec![
        figure(
            "R37",
            "memory for 1000 members who never read",
            grown,
            "MiB",
            10.0,
        ),
        figure("R37", "of them not cut", left as f64, "", 0.0),
    ])
}

/// Each protocol has rooms of its own: what is measured is how long the flooder keeps the server from others, and not how
/// long a hundred readers on one processor take to read what it says.
pub fn r43(order: &Order) -> io::Result<Vec<Figure>> {
    let server = Server::start_with(&order.server, None, "isolate = true", None)?;
    server.warm_up()?;
    flooder(&server, order.seconds)
}

/// One who says as much as its connection takes, beside a hundred who chat.
pub fn flooder(server: &Server, seconds: u64) -> io::Result<Vec<Figure>> {
    let room = server.address(Protocol::TcpRoom);
    let mut stream = TcpStream::connect(server.address(Protocol::Group))?;
    stream.write_all(b"REGISTER:flooder:127.0.0.1:1\r\n")?;
    let mut reader = stream.try_clone()?;
    thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
    let message = format!("BROADCAST:flooder:64:{}\r\n", "f".repeat(64));
    let burst = message.repeat(500);
    let said = |stream: &mut TcpStream| {
        let (start, mut said) = (Instant::now(), 0u64);
        while start.elapsed() < Duration::from_secs(seconds) {
            stream.write_all(burst.as_bytes())?;
            said += 500;
        }
        Ok(said)
    };
    let (said, waits) = beside(room, 100, || said(&mut stream))?;
    stream.shutdown(Shutdown::Both)?;
    let rate = said / seconds;
    Ok(vec![figure(
        "R43",
        format!("p99 of 100 chatters beside one who says {rate} lines a second"),
        milliseconds(&waits, 0.99),
        "ms",
        10.0,
    )])
}

/// Of no fewer than one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Does something again and again in a thread while something else is done.
pub fn meanwhile<T>(
    again: impl FnMut() -> io::Result<()> + Send,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let done = AtomicBool::new(false);
    let mut again = again;
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            apart::step_back();
            while !done.load(Ordering::Relaxed) {
                again()?;
            }
            Ok::<(), io::Error>(())
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        other
            .join()
            .map_err(|_| io::Error::other("a thread died"))??;
        result
    })
}

/// Members who read all that they hear while something is done.
pub fn among_readers<T>(
    server: &Server,
    count: usize,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let mut members = crowd::members(server.address(Protocol::TcpRoom), "reader", count)?;
    crowd::reading(&mut members, work)
}
