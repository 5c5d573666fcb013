//! The `udp-room` protocol: lines of text over UDP, one room, everybody hears everything, themselves too.
//!
//! A client's datagram begins with a tag: `UN| name` joins, `PM| name: text` speaks to all, `DM| name> receiver:
//! text` to one, `EX|` leaves; anything else is spoken to all as it stands. The server answers with lines for
//! people to read: `name: text`, and its own notices in brackets. There are no numbers and no proof in it: a
//! datagram may be lost or doubled, and whoever forges a source address can join, speak or leave for it. What
//! limits that is not here but in the pace at which the server sends to one address.

pub mod client;
pub mod frame;
pub mod server;

#[cfg(test)]
mod properties;
