//! The `tcp-room` protocol: binary frames over TCP, one room, everybody hears everything, themselves too.
//!
//! All integers are signed, 32 bits, little-endian. A *string* is its length in bytes, then UTF-8; a
//! *list* is its count, then that many strings. A client says 471 and its name; the server answers one
//! byte, 0 (taken) or 1, and after a 1 the number 371 and up to ten lines of history, each a list of
//! time, name and text. From then on 472 with such a list is something said, and 372 with one is
//! something heard.

pub mod client;
pub mod frame;
pub mod server;
