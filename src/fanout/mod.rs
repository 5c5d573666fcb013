//! Owns how one message becomes N deliveries: the shared log of an audience, the position of every
//! member in it, and who lags.
//! Knows no protocol and no socket: it hands out slices to send and is told how many bytes went.
//!
//! What others rely on: the bytes that a member is given are, in one order, a prefix of exactly what
//! it was due, frames whole; and an audience's memory is bounded by the backlog limit, however many
//! members lag.
//!
//! ```text
//!            trimmed          log.start()                          log.end()
//!  offsets  ────────────────────┬───────────────┬──────────────────────┬───▶ append
//!                               ▲               ▲                      ▲
//!                          the slowest      one behind        everybody else: a cursor,
//!                           (behind)         (behind)         and nothing more
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod audience;
mod feed;
mod lag;
mod log;
#[cfg(test)]
mod properties;

pub use audience::Audience;
pub use feed::{Feed, Pieces};
pub use lag::{LagLimits, SlowConsumer, Stall};
pub use log::Log;
