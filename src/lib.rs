//! mynah: one message in, N deliveries out, on one event loop without async.
//!
//! It speaks six chat protocols, both halves of each, and people of all of them are in the same rooms.
//!
//! This page is the map: what each room owns and what it may not know. Read the rooms in this order.
//!
//! | room | owns | may not know |
//! |---|---|---|
//! | [`chat`] | people, names, rooms, messages, history, the hub | bytes, sockets, clocks |
//! | [`protocol`] | one folder per wire protocol: codec, server half, client half | sockets, clocks, each other |
//! | [`fanout`] | the shared log of an audience, cursors, who lags | protocols, sockets |
//! | [`store`] | accounts and bans: passwords, their files, attempts slowed down | protocols, sockets, clocks |
//! | [`reactor`] | the poll, the slab's keys, listeners, datagrams, timers, signals, the helper thread | chat, protocols |
//! | [`server`] | the turn that ties sessions, hub, fan-out and transport together | |
//! | [`metrics`] | the text format of figures, the histogram | sockets, clocks, what is counted |
//! | [`http`] | requests and answers of HTTP, as bytes, and the status page | sockets, clocks |
//! | [`client`] | a session, a transport and a terminal, tied together | |
//! | [`load`] | the load generator: members, a pace, every delivery counted | the server's inside |
//! | [`report`] | the load generator's table, JSON and plot | sockets, clocks, files |
//! | [`control`] | what an administrator and the server say to each other, both halves | sockets, clocks |
//! | [`top`] | the live view of a server's figures in a terminal | the server's inside |
//! | [`journal`] | the log on standard error, which never blocks | |
//! | [`config`], [`cli`] | flags, configuration file, and the settings that they become | what is done with them |
//! | [`commands`] | one thin file per subcommand | |
//! | [`version`] | what it says of itself: version, commit, target | |
//!
//! The never-rules are greps in `tests/architecture.rs`. The road that data takes:
//!
//! ```text
//!  socket ──bytes──▶ reactor ──bytes──▶ protocol session ──Request──▶ chat hub
//!                                                                       │ Event, and who hears it
//!  socket ◀─bytes─── reactor ◀─bytes─── fan-out log / outbox ◀─encode once per wire format
//! ```
//!
//! One direction, no way back: a session never touches a socket, the hub never sees a byte, the reactor
//! never knows what a message is. A turn of the loop is six steps, always in this order: wait, take in,
//! decide, fall due, send out, let go; [`server`] tells what each one is.
//!
//! Four ideas carry it:
//!
//! 1. **Sessions are pure.** Bytes in, requests or events out; they run in tests without a socket, a
//!    byte at a time, on a clock that the test holds.
//! 2. **One log per audience; members are cursors.** To say something to ten thousand members is to
//!    encode it once and append it once; each member then gets one write of `log[cursor..end]`.
//! 3. **An idle connection owns (almost) nothing.** Reads go to one shared buffer; what only a busy
//!    connection needs is allocated on first need and given back.
//! 4. **The server runs without a network.** It knows a connection as a [`reactor::Stream`] and a UDP socket as a
//!    [`reactor::DatagramPort`]; the simulator in `tests/simulation` is both, seeded and as unkind as it likes.

pub mod chat;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod control;
pub mod fanout;
pub mod http;
pub mod journal;
pub mod load;
pub mod metrics;
pub mod protocol;
pub mod reactor;
pub mod report;
pub mod server;
pub mod store;
pub mod top;
pub mod version;
