//! What fuzzers drive that is no single decoder: the whole server, and each client half against whoever says that it is
//! a server. Bytes choose what happens, so that every input is a run, and a run repeats.
//!
//! For the fuzz targets and for the tests that replay their corpus.

#![allow(dead_code, reason = "each user takes its part")]

pub mod clients;
mod heard;
mod input;
pub mod server;
#[path = "../../simulation/stream.rs"]
mod stream;
mod words;

#[path = "../memory_port.rs"]
mod memory_port;
