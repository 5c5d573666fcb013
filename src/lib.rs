//! mynah: one message in, N deliveries out, in six wire formats.

pub mod chat;
pub mod cli;
pub mod client;
pub mod commands;
pub mod fanout;
pub mod journal;
pub mod protocol;
pub mod reactor;
pub mod server;
