//! The `tcrp` protocol: TCRP over TCP gives out tokens, and UCRP over UDP is the conversation of those who
//! hold one. Rooms have names, and each but the lobby has a host, with whom it closes.
//!
//! A client asks over TCP to create or to join a room; the server answers twice, *compliance* (yes or no) and
//! *complete* (the token, or an empty one), and closes. The token then stands in every datagram that the
//! client sends. `__REGISTER__` binds the datagram's source to it, `__LEAVE__` ends it, any other text is said
//! to the room; `__ROOM_CLOSED__` is the last that its members hear.

pub mod client;
pub mod datagram;
pub mod frame;
pub mod member;
pub mod server;
