//! The `udp-mesh` protocol: peers on one network that need no server. Each datagram is one Python pickle of
//! a dict with the keys `protocol_num`, `username` and `message`.
//!
//! A newcomer broadcasts 471 and its name. Whoever holds that name answers 370; everybody else answers 371
//! with the last lines they remember. From then on 472 with a text, broadcast, is something said; whoever
//! said it hears it too. Datagrams are lost, doubled and reordered: nothing here needs one to arrive.
//!
//! In reading order: [`pickle`] is the dict, [`frame`] what it means, [`peer`] how one talks.

pub mod askers;
pub mod client;
pub mod frame;
pub mod gateway;
pub mod peer;
pub mod pickle;

mod known;
mod said;
mod unheard;

#[cfg(test)]
mod hex;
