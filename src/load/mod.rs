//! Owns the load generator: members of any protocol against a server, every delivery counted, its order and
//! its lateness, and what all that costs the server.
//! Knows a protocol only as a [`ClientSession`](crate::protocol::ClientSession), and no terminal.
//!
//! A [`Plan`] says what is to be done, an [`Outcome`] what came of it. One thread on the reactor does it all.

mod outcome;
mod plan;

pub use outcome::{Cost, Deliveries, Lateness, Logins, Outcome, Progress, Stage};
pub use plan::{Pace, Plan};
