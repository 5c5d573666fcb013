//! Owns how one message becomes N deliveries: the shared log of an audience, the position of every
//! member in it, and who lags; and for datagrams the mailing of a port.
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
//!
//! One message to two members, of whom one takes only a part of it:
//!
//! ```
//! use mynah::fanout::{Audience, Feed};
//!
//! let (mut quick, mut slow) = (Feed::default(), Feed::default());
//! let mut audience = Audience::new();
//! audience.join("quick");
//! audience.join("slow");
//!
//! audience.append(|log| log.extend_from_slice(b"hello"));
//! assert!(audience.take_news());
//! assert_eq!(quick.plain(audience.log()), Some(&b"hello"[..]));
//! quick.advance(audience.log(), 5);
//! slow.advance(audience.log(), 2);
//!
//! audience.mark_behind("slow");
//! audience.settle(|_| Some(slow.needs_from()));
//! assert_eq!(audience.log().start(), 2, "kept back to the slowest");
//! assert_eq!(slow.plain(audience.log()), Some(&b"llo"[..]));
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod audience;
mod feed;
mod lag;
mod log;
mod mailing;
#[cfg(test)]
mod properties;
mod roll;
mod tally;

pub use audience::{Audience, News};
pub use feed::{Feed, Pieces};
pub use lag::{LagLimits, SlowConsumer, Stall};
pub use log::Log;
pub use mailing::{Letter, Letters, Mailing, Place};
pub use roll::{Roll, Shared};
use tally::Share;
pub use tally::Tally;
