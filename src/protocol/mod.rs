//! Owns the wire protocols, one folder each, the same files in each: `frame` is the codec that both
//! roles share, `server` and `client` are the two roles.
//! Knows no sockets, no clock and no other protocol; the server half speaks to the rest of the house in
//! the words of [`chat`](crate::chat), the client half in those of [`Command`] and [`Told`].
//!
//! To add a protocol is to add its folder, its line in [`registry`], and its row in the README.

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

pub mod group;
pub mod registry;
pub mod tcp_room;
pub mod tcrp;
pub mod udp_login;
pub mod udp_mesh;
pub mod udp_room;

mod client;
mod datagrams;
mod decoded;
mod secret;
mod server;

pub use client::{
    AnySession, Call, ClientSession, Command, Context, Destination, Outbound, PeerEvent, PeerLink,
    Told, Unsupported, any_session,
};
pub use datagrams::Datagrams;
pub use decoded::Decoded;
pub use secret::{Hidden, Secret};
pub use server::{
    AfterVerdict, Answer, DatagramSession, Deadline, DropKind, Dropped, Patience, RollCall,
    ServerSession, Step, Welcome,
};
