//! Owns the client that a person (or a pipe) talks to: a session of a protocol, a connection and a
//! terminal, tied together. Knows no wire format: that is the session's.
//!
//! ```text
//!  terminal ─▶ keys ─▶ editor ─┐                        ┌─▶ session ─▶ link ─▶ server
//!  pipe ─────▶ lines ──────────┴─▶ console ─▶ input ─▶ run     │        │
//!  either ◀─ stdio ◀─ console ◀─ show ◀──────────────────┴─────┘◀───────┘
//! ```
//!
//! [`run()`] is all that others need. What a key, a line, an event and an address mean is decided in files
//! that know no descriptor; those that know one never block on it.

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
