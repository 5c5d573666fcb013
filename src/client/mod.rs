//! Owns the client that a person (or a pipe) talks to: a session of a protocol, a connection and a
//! terminal, tied together. Knows no wire format: that is the session's.

#![cfg_attr(not(test), expect(dead_code, reason = "the loop that uses them comes next"))]

mod address;
mod editor;
mod input;
mod keys;
mod show;
