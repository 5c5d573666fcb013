//! Owns the wire protocols, one folder each, the same files in each: `frame` is the codec that both
//! roles share, `server` and `client` are the two roles.
//! Knows no sockets, no clock and no other protocol; the server half speaks to the rest of the house in
//! the words of [`chat`](crate::chat), the client half in those of [`Command`] and [`Told`].
//!
//! To add a protocol is to add its folder, its line in [`registry`], and its row in the README.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod registry;
pub mod tcp_room;
pub mod udp_mesh;

mod client;
mod decoded;
mod server;

pub use client::{ClientSession, Command, Told, Unsupported};
pub use decoded::Decoded;
pub use server::{AfterVerdict, Patience, ServerSession, Step, Welcome};
