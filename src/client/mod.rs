//! Owns the client that a person (or a pipe) talks to: a session of a protocol, what carries it and a
//! terminal, tied together. Knows no wire format: that is the session's.
//!
//! ```text
//!                                                                           ┌─▶ link ──▶ server
//!  terminal ─▶ keys ─▶ editor ─┐                                            ├─▶ ports ─▶ server, everybody
//!  pipe ─────▶ lines ──────────┴─▶ console ─▶ input ─▶ conversation ─▶ sockets ─▶ peers ─▶ other clients
//!  either ◀─ stdio ◀─ console ◀─ show ◀────────────────── │ ▲ ◀─────────────┘
//!                                                         ▼ │
//!                                                       session
//! ```
//!
//! [`run()`] is all that others need: it opens the [`Transport`] and has the conversation. What a key, a line, an event and an address mean is decided in files
//! that know no descriptor; those that know one never block on it.

#![cfg_attr(
    not(test),
    deny(clippy::get_unwrap, clippy::panic, clippy::unwrap_used)
)]

mod address;
mod connect;
mod console;
mod conversation;
mod editor;
mod failure;
mod input;
pub(crate) mod keys;
mod lines;
mod link;
mod peers;
mod ports;
mod run;
mod secret;
mod show;
mod sockets;
pub(crate) mod stdio;
pub(crate) mod terminal;
mod transport;

pub use address::{Address, AddressError};
pub use failure::Failure;
pub use input::{Dialect, Prompts};
pub use run::{Settings, run};
pub use secret::ask_secret;
pub use show::{Event, Style};
pub use transport::{Datagrams, Endpoints, Place, Transport};
