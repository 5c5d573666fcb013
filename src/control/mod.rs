//! Owns what the administrator and the server say to each other over the control socket, both halves of it.
//! Knows no sockets, no clocks, and not how anything of it is done; of the accounts it knows names. Decoding never panics, whatever the bytes are.
//!
//! One connection is one question: a [`Request`] in one line of JSON, then lines of JSON as the answer, then the end.
//!
//! ```text
//!  ctl ──▶ {"do":"kick","name":"bob","room":"lobby","reason":"enough"}
//!  ctl ◀── {"done":true,"count":1}
//!
//!  ctl ──▶ {"do":"members"}
//!  ctl ◀── {"name":"ann","protocol":"group","address":"192.0.2.7:4711","room":"lobby","lag":0}
//!  ctl ◀── …
//!  ctl ◀── {"done":true,"count":2}
//! ```
//!
//! The last line has `done` or `error`, and no other line has one of them: an answer without it was cut short.

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

mod answer;
mod prefix;
mod request;

pub use answer::{
    AccountLine, BanLine, ErrorKind, Last, MemberLine, RoomLine, Row, StatusLine, encode_row,
};
pub use prefix::{Prefix, PrefixError};
pub use request::{MAX_REASON_BYTES, MAX_REQUEST_BYTES, Request, RequestError, Whom, fuzz};
