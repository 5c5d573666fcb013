//! Owns the live view of a server in a terminal: its figures are asked for, differences are taken, a screen is drawn.
//! Knows of a server only what it says in Prometheus' text format.
//!
//! ```text
//!  control socket ─┐
//!                  ├─▶ source ─▶ exposition ─▶ figures ─▶ history ─▶ draw ─▶ terminal, or a table
//!  HTTP ───────────┘
//! ```
//!
//! All but [`source`] and [`run()`] are pure: text and times go in, figures and rows come out.

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

mod draw;
mod exposition;
mod figures;
mod history;
mod run;
mod source;
mod units;

pub use exposition::{Exposition, ParseError, Problem, Sample};
pub use figures::{Figures, Reading};
pub use run::{Settings, run};
pub use source::{DEFAULT_PORT, Source, SourceError, TargetError};
