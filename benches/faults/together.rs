//! Everything on one server, one after another, and how it is afterwards: what was taken is given back, and whoever
//! comes is served as on the first day.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use mynah::protocol::registry::{Protocol, Transport};

use crate::chatters::{self, milliseconds};
use crate::server::Server;
use crate::{Figure, Order, endings, figure, floods, slow};

pub fn all(order: &Order) -> io::Result<Vec<Figure>> {
    let server = Server::warm(&order.server)?;
    let start = Instant::now();
    let room = server.address(Protocol::TcpRoom);
    thread::sleep(Duration::from_secs(3));
    let before = server.usage()?;
    let mut figures = Vec::new();
    junk(&server)?;
    figures.extend(floods::connections(&server, order.crowd)?);
    for protocol in [Protocol::UdpRoom, Protocol::UdpLogin, Protocol::Ucrp] {
        figures.extend(floods::datagrams(&server, protocol, order.seconds)?);
    }
    figures.extend(slow::backpressure(&server)?);
    // Here everybody hears the flooder, and reading that on one processor is what the hundred are busy with.
    let heard = slow::flooder(&server, order.seconds)?.into_iter();
    figures.extend(heard.map(|figure| Figure {
        limit: None,
        ..figure
    }));
    figures.extend(endings::departure(&server, order.crowd)?);
    endings::at_full_rate(&server, 1000, 1 << 20)?;
    figures.extend(slow::slowloris(&server, order.crowd)?);
    // Those that were let go have their time to end.
    thread::sleep(Duration::from_secs(5));
    let after = server.usage()?;
    let ((), waits) = chatters::beside(room, slow::FEW, || {
        thread::sleep(Duration::from_secs(2));
        Ok(())
    })?;
    let log = server.log_text()?;
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    let more = (after.resident_kib - before.resident_kib) / 1024.0;
    let descriptors = server.descriptors_above(before.descriptors)? as f64;
    let lines = format!("log, {} lines in {minutes:.1} minutes", log.lines().count());
    figures.extend([
        figure(
            "all",
            "p99 of chat afterwards",
            milliseconds(&waits, 0.99),
            "ms",
            5.0,
        ),
        figure("all", "memory that was not given back", more, "MiB", 5.0),
        figure(
            "all",
            "descriptors that were not given back",
            descriptors,
            "",
            0.0,
        ),
        figure(
            "R40",
            lines,
            log.len() as f64 / 1000.0 / minutes,
            "kB/min",
            100.0,
        ),
    ]);
    Ok(figures)
}

/// Bytes of no protocol at every port: from many at once, cut anywhere, with lengths of all sizes.
fn junk(server: &Server) -> io::Result<()> {
    let mut state = 1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for protocol in Protocol::ALL
        .iter()
        .filter(|protocol| protocol.is_default())
    {
        let to = server.address(*protocol);
        for _ in 0..2000 {
            let length = 1 + random() as usize % 2000;
            let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            // Half of them begin as something that is understood.
            let starts: [&[u8]; 6] = [
                b"\xd7\x01\x00\x00",
                b"REGISTER:",
                b"UN| ",
                b"C 1 PASS ",
                b"\x05\x01\x00",
                b"\x05\x26",
            ];
            if let Some(start) = starts.get(random() as usize % 12) {
                bytes.splice(..0, start.iter().copied());
            }
            throw(protocol.transport(), to, &bytes)?;
        }
    }
    Ok(())
}

fn throw(transport: Transport, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    match transport {
        // Who is cut in the middle of it has been answered.
        Transport::Tcp => drop(TcpStream::connect(to)?.write_all(bytes)),
        Transport::Udp => {
            let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            socket.send_to(bytes, to)?;
        }
    }
    Ok(())
}
