//! The `group` protocol: lines of text over TCP, one room, and members who may talk directly.
//!
//! Every line ends with CRLF. A client says `REGISTER` with its name and where it can be reached; the server
//! answers `LIST`, everybody who is in. From then on `BROADCAST` is something said, in both directions, and
//! `UPDATE` tells who comes and goes. What went wrong is an `ERROR`. Two clients that want to talk without the
//! server agree by `INIT` and `ACK` over UDP, and then send `CHAT` over a TCP connection of their own.

pub mod client;
pub mod direct;
pub mod frame;
pub mod participants;
pub mod peer;
pub mod server;

mod pace;

#[cfg(test)]
mod dialogue;
