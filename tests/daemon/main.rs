//! The server as a daemon: what signals make of it, what it tells a service manager, and the sockets that one hands
//! over. The server is the real one, in a process of its own.

#[path = "../support/chat.rs"]
mod chat;
#[path = "../support/mod.rs"]
mod support;

mod activation;
mod daemon;
mod drain;
mod load;
mod manager;
mod reload;
mod units;
