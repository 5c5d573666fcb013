//! Owns the client that a person (or a pipe) talks to: a session of a protocol, a connection and a
//! terminal, tied together. Knows no wire format: that is the session's.
//!
//! ```text
//!  keys ──▶ keys ──▶ editor ──┐                                        ┌── connect
//!  pipe ──▶ lines ────────────┴▶ console ──▶ run ──▶ session ──▶ link ─┴▶ server
//!                     show ◀────────────────┘ (input: what a line means)
//! ```
//!
//! [`run`] is all that others need; the parts above it are pure, the parts beside it never block.

mod address;
mod connect;
mod console;
mod editor;
mod failure;
mod input;
mod keys;
mod lines;
mod link;
mod run;
mod show;
mod stdio;
mod terminal;

pub use address::{Address, AddressError};
pub use failure::Failure;
pub use run::{Settings, run};
