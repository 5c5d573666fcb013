//! Owns how figures are told to those who collect them: Prometheus' text format, and the histogram. Knows nothing of
//! what is counted, no sockets and no clock.

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

mod exposition;
mod histogram;

pub use exposition::{Exposition, Kind};
pub use histogram::Histogram;
