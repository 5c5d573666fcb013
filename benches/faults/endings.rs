//! The server that ends, and thousands who do: R30, R41.

use std::io;
use std::thread;
use std::time::Duration;

use mynah::protocol::registry::Protocol;

use crate::chatters::{self, beside};
use crate::crowd::{self, publish};
use crate::server::Server;
use crate::slow::{FEW, among_readers};
use crate::{Figure, Order, figure};

/// Told to end while a thousand hear as much as there is to hear.
pub fn r30(order: &Order) -> io::Result<Vec<Figure>> {
    let mut server = Server::warm(&order.server)?;
    let room = server.address(Protocol::TcpRoom);
    let mut publishers = crowd::members(room, "publisher", 4)?;
    let mut members = crowd::members(room, "reader", 1000)?;
    let (status, time) = crowd::reading(&mut members, || {
        for mut publisher in publishers.drain(..) {
            // Until the server ends.
            thread::spawn(move || while publish(&mut publisher, 1 << 20).is_ok() {});
        }
        thread::sleep(Duration::from_secs(2));
        server.terminate()
    })?;
    if !status.success() {
        return Err(io::Error::other(format!("the server ended with {status}")));
    }
    let what = "from SIGTERM to the end, 1000 members at full rate";
    Ok(vec![figure("R30", what, time.as_secs_f64(), "s", 3.0)])
}

pub fn r41(order: &Order) -> io::Result<Vec<Figure>> {
    let server = Server::warm(&order.server)?;
    departure(&server, order.crowd)
}

/// Thousands close at once while others chat.
pub fn departure(server: &Server, count: usize) -> io::Result<Vec<Figure>> {
    let room = server.address(Protocol::TcpRoom);
    let members = crowd::members(room, "goer", count)?;
    let go = move || {
        drop(members);
        thread::sleep(Duration::from_secs(1));
        Ok(())
    };
    let ((), waits) = beside(room, FEW, go)?;
    // Whoever comes now comes to a server that has let all of them go.
    drop(chatters::join(room, "last")?);
    let what = format!("longest wait of a chatter while {count} close at once");
    let longest = waits.max() as f64 / 1000.0;
    Ok(vec![figure("R41", what, longest, "ms", 100.0)])
}

/// What everybody hears at full rate costs a server that has so many members, for the record of a run.
pub fn at_full_rate(server: &Server, members: usize, bytes: usize) -> io::Result<()> {
    let room = server.address(Protocol::TcpRoom);
    let mut publisher = chatters::join(room, "publisher")?;
    among_readers(server, members, || publish(&mut publisher, bytes))
}
