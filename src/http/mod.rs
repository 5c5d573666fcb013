//! Owns what is said over HTTP about the server. Knows no socket and no clock.

mod page;

pub use page::{PAGE, POLICY};
