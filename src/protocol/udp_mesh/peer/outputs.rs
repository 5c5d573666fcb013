//! Owns what a peer hands out after an input. Knows no socket and no terminal.

use std::net::IpAddr;

use crate::protocol::Told;

/// What a peer wants done after an input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// To be sent, in this order.
    pub datagrams: Vec<Outgoing>,
    /// To be told to the person, in this order.
    pub told: Vec<Told>,
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub to: Destination,
    pub bytes: Vec<u8>,
}

/// Where a datagram goes. The port is that of the mesh, [`PORT`](super::super::frame::PORT), whatever port an
/// asker sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Broadcast,
    Address(IpAddr),
}

impl Outputs {
    pub(super) fn send(&mut self, to: Destination, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        self.datagrams.push(Outgoing { to, bytes });
    }
}
