//! Those who come in masses, by connections or by datagrams, and a server without descriptors: R21, R35, R36.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use mynah::protocol::registry::Protocol;
use mynah::reactor::{DatagramPort, Outgoing, SEND_BATCH, UdpPort};

use crate::chatters::{self, beside, milliseconds};
use crate::server::Server;
use crate::slow::{FEW, meanwhile};
use crate::{Figure, Order, figure};

/// Two hundred come to a server that has 64 descriptors.
pub fn r21(order: &Order) -> io::Result<Vec<Figure>> {
    let server = Server::start_with(&order.server, None, "", Some(64))?;
    let room = server.address(Protocol::TcpRoom);
    let first = chatters::join(room, "first")?;
    let crowd: Vec<TcpStream> = (0..200)
        .map_while(|_| TcpStream::connect(room).ok())
        .collect();
    thread::sleep(Duration::from_millis(500));
    let (start, before) = (Instant::now(), server.usage()?.busy);
    thread::sleep(Duration::from_secs(order.seconds));
    let busy = (server.usage()?.busy - before).as_secs_f64() / start.elapsed().as_secs_f64();
    // One leaves, and somebody who tries until it is in comes in.
    drop(first);
    drop(crowd);
    let start = Instant::now();
    let mut tries = 0;
    while chatters::join(room, &format!("next-{tries}")).is_err() {
        tries += 1;
        if start.elapsed() > Duration::from_secs(20) {
            return Err(io::Error::other("nobody was let in again"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(vec![
        figure(
            "R21",
            "processor while out of descriptors",
            busy * 100.0,
            "%",
            5.0,
        ),
        figure(
            "R21",
            "from leaving until somebody is let in",
            start.elapsed().as_secs_f64() * 1000.0,
            "ms",
            1000.0,
        ),
    ])
}

pub fn r35(order: &Order) -> io::Result<Vec<Figure>> {
    connections(&Server::warm(&order.server)?, order.crowd)
}

/// Thousands of connections from one address, as fast as one thread makes them, while others join one after another.
pub fn connections(server: &Server, count: usize) -> io::Result<Vec<Figure>> {
    let room = server.address(Protocol::TcpRoom);
    let mut crowd: Vec<TcpStream> = Vec::new();
    let mut joins = Vec::new();
    let flood = || {
        // Then others, so that they are always coming.
        if crowd.len() == count {
            crowd.clear();
        }
        crowd.push(TcpStream::connect(room)?);
        Ok(())
    };
    meanwhile(flood, || {
        for number in 0..300 {
            let start = Instant::now();
            drop(chatters::join(room, &format!("comer-{number}"))?);
            joins.push(start.elapsed().as_secs_f64() * 1000.0);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    })?;
    joins.sort_by(f64::total_cmp);
    let p99 = joins[joins.len() * 99 / 100];
    let what = format!("p99 of being let in beside {count} connections of one address");
    Ok(vec![figure("R35", what, p99, "ms", 50.0)])
}

pub fn r36(order: &Order) -> io::Result<Vec<Figure>> {
    let server = Server::warm(&order.server)?;
    datagrams(&server, Protocol::UdpRoom, order.seconds)
}

/// Datagrams as fast as one thread sends them.
pub fn datagrams(server: &Server, protocol: Protocol, seconds: u64) -> io::Result<Vec<Figure>> {
    let room = server.address(Protocol::TcpRoom);
    let before = server.usage()?.resident_kib;
    let flood = || flood(server.address(protocol), Duration::from_secs(seconds));
    let ((sent, largest), waits) = beside(room, FEW, || server.largest(flood))?;
    let rate = sent / seconds / 1000;
    let what = format!("p99 of tcp-room under {rate}k {protocol} datagrams a second");
    let grown = (largest - before) / 1024.0;
    Ok(vec![
        figure("R36", what, milliseconds(&waits, 0.99), "ms", 5.0),
        figure(
            "R36",
            "memory for them, chatters included",
            grown,
            "MiB",
            1.0,
        ),
    ])
}

/// How many were sent.
fn flood(to: SocketAddr, time: Duration) -> io::Result<u64> {
    let mut port = UdpPort::connect(SocketAddr::from(([127, 0, 0, 1], 0)), to)?;
    let junk = [b'x'; 64];
    let one = Outgoing {
        to: to.into(),
        bytes: &junk,
    };
    let batch = [one; SEND_BATCH];
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        match port.send_batch(&batch) {
            Ok(count) => sent += count as u64,
            // The kernel's buffer is full for a moment.
            Err(_) => thread::yield_now(),
        }
    }
    Ok(sent)
}
