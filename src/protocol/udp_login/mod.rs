//! The `udp-login` protocol: frames of text over UDP, accounts with passwords, one room.
//!
//! A frame begins with `C` (a command, between client and server) or `D` (data, what people say). A client's
//! frames carry its own counter, `seq`: every request has the next number, a login's too, and is repeated with
//! the same number until it is answered; the server executes it once and gives a repeat the same answer. After
//! `LOGIN` and `PASS` the client has a session id, and every further frame carries it: it proves who sends, and
//! that its address is its own.
//!
//! To speak is two steps: `PM`, or `DM`, and after the server's `READY`, or `USERS`, one `D`.

pub mod client;
pub mod frame;
pub mod server;

#[cfg(test)]
mod properties;
