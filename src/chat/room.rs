//! Owns one room: its name, its members in the order of their joining, its history.
//! Knows members as numbers; who they are is the hub's.

use super::{History, MemberId, Name};

/// A room of people who hear each other.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Name,
    /// Who opened it: when they go, it closes. The lobby has none.
    pub(super) host: Option<MemberId>,
    /// The ends of a list through the members, so that leaving costs the same in any room.
    pub(super) first: Option<MemberId>,
    pub(super) last: Option<MemberId>,
    /// How many hold a name.
    pub(super) count: usize,
    /// How many of them are heard.
    pub(super) heard: usize,
    pub(super) history: History,
}

impl Room {
    pub(super) fn new(name: Name) -> Room {
        Room {
            name,
            host: None,
            first: None,
            last: None,
            count: 0,
            heard: 0,
            history: History::default(),
        }
    }
}
