//! Owns how runs of the load generator are shown: the table, the JSON, the plot.
//! Knows no socket, no clock and no terminal: what was measured goes in, text comes out.
//!
//! A [`Report`] is everything that one command measured: a [`Case`] for each number of members and pace, a
//! [`Round`] for each time that it was measured. What is shown of a case are the medians of its rounds; against
//! the floor, the median of the ratios of each round's pair, which a drifting machine does not move.

mod figures;
mod json;
mod plot;
mod rounds;
mod table;

pub use figures::{Figures, with_thousands};
pub use json::{Against, Run, write_json};
pub use plot::{PlotError, plot};
pub use rounds::{Case, Faults, Machine, Pinned, Report, Round, title};
pub use table::table;
