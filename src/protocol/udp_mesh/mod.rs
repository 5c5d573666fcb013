//! The `udp-mesh` protocol: peers on one network that need no server. Each datagram is one Python pickle of
//! a dict with the keys `protocol_num`, `username` and `message`.

pub mod frame;
pub mod pickle;

#[cfg(test)]
mod hex;
