//! Owns what each subcommand does, one file each: thin, from its flags to the room that does the work.

pub mod account;
pub mod bench;
pub mod chat;
pub mod config;
mod control;
pub mod ctl;
mod parent;
mod place;
pub mod serve;
pub mod top;
