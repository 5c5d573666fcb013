//! Owns people, names, rooms, messages and the hub that brings them together.
//! Knows no bytes, no sockets, no wire format and no clock: requests come in already understood,
//! times come in as arguments, and what happens goes out as [`Event`]s with who hears them.
//!
//! Everything that others rely on is decided here, once, for all protocols: what a name may be,
//! what a text may hold, who holds which name, and the one order in which a room hears things.

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

mod event;
mod history;
mod hub;
mod name;
mod put_out;
mod room;
mod text;
mod time;

pub use event::{Choice, Contact, Deliver, Event, Refusal, Request, Roster, Said};
pub use history::{HISTORY_LINES, History, Line};
pub use hub::{Hub, HubLimits, LOBBY, MemberId, RoomId};
pub use name::{AskedName, MAX_NAME_BYTES, Name, NameError, SERVER_NAME};
pub use put_out::{BANNED, KICKED, is_put_out};
pub use text::{
    MAX_NOTICE_BYTES, MAX_TEXT_BYTES, PRIVATE_MARK, cut, harmless, notice_lines, public, split,
};
pub use time::TimeOfDay;
