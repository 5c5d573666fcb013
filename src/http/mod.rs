//! Owns as much of HTTP/1.1 as figures need: three pages to be had by GET and HEAD, one request per connection
//! (RFC 9110, RFC 9112). Knows no sockets, no clock, and nothing of what the pages tell. No input makes it panic, and
//! what is longer than [`MAX_HEAD`] is refused.

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
mod page;
mod request;

pub use answer::{Answer, Status};
pub use page::{PAGE, POLICY};
pub use request::{MAX_HEAD, Method, Page, Refusal, Request, fuzz, parse};
