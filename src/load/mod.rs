//! Owns the load generator: members of any protocol against a server, every delivery counted, its order and
//! its lateness, and what all that costs the server.
//! Knows a protocol only as a [`ClientSession`](crate::protocol::ClientSession), and no terminal.
//!
//! A [`Plan`] says what is to be done, an [`Outcome`] what came of it. [`run()`] does it with the members of a
//! [`Crowd`], on one thread and the reactor.
//!
//! ```text
//!  talk ──a text each──▶ crew ─▶ sessions ─▶ sockets ──────▶ server
//!   │ who says what when   │                                   │
//!   ▼ what was sent        ▼ bytes                             │
//!  ledger ◀─what came─── scan ◀──────────── sockets ◀──────────┘
//! ```
//!
//! A session brings its member in and makes the frames of what it says. What a member hears is not decoded: a message
//! is known by its text, wherever a protocol puts it.

mod crew;
mod crowd;
mod failure;
pub mod floor;
mod ledger;
mod mix;
mod newcomer;
mod outcome;
mod plan;
mod process;
mod run;
mod scan;
mod talk;
mod text;
mod watch;

pub use crowd::{Crowd, Datagrams, Ends, Transport};
pub use failure::Failure;
pub use mix::{Mix, MixError, Part};
pub use outcome::{Cost, Deliveries, Lateness, Logins, Outcome, Progress, Stage, Waited};
pub use plan::{Pace, Plan, PlanError};
pub use process::{Process, Times};
pub use run::run;
pub use watch::Verdict;
