//! Owns what each subcommand does, one file each: thin, from its flags to the room that does the work.

pub mod bench;
pub mod chat;
pub mod config;
mod parent;
pub mod serve;
pub mod top;
