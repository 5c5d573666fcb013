//! Owns the wire protocols, one folder each, the same files in each: `frame` is the codec that both
//! roles share, `server` and `client` are the two roles.
//! Knows no sockets, no clock and no other protocol; the server half speaks to the rest of the house in
//! the words of [`chat`](crate::chat), the client half in those of [`Command`] and [`Told`].

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod client;

pub use client::{ClientSession, Command, Told, Unsupported};
