//! Owns the words between the hub and those who use it: what may be wanted, what happens, who hears
//! it, and what is answered. Knows neither the hub nor anybody who listens.

use std::fmt;
use std::net::Ipv4Addr;

use super::{AskedName, MemberId, NameError, RoomId, TimeOfDay};

/// Where a member can be reached without the server, for the protocols whose members talk directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    pub ip: Ipv4Addr,
    /// A UDP port.
    pub port: u16,
}

impl Contact {
    /// Nowhere: 0.0.0.0 and port 0, which is what members of other protocols show.
    pub const NONE: Contact = Contact {
        ip: Ipv4Addr::UNSPECIFIED,
        port: 0,
    };
}

/// Everybody who is heard in a room, in the order of their joining.
pub trait Roster {
    /// Tells of each, with where it can be reached.
    fn tell(&self, each: &mut dyn FnMut(&str, Contact));
}

/// Those in the list.
impl Roster for &[(&str, Contact)] {
    fn tell(&self, each: &mut dyn FnMut(&str, Contact)) {
        self.iter().for_each(|(name, contact)| each(name, *contact));
    }
}

/// Nobody.
impl Roster for () {
    fn tell(&self, _: &mut dyn FnMut(&str, Contact)) {}
}

/// Which room somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The one room of most protocols.
    Lobby,
    /// A room that stands.
    Join(&'a str),
    /// A room that is opened for it; who opens it is its host.
    Create(&'a str),
}

/// What a session asks of the hub on behalf of its person. Borrowed, where that can be, from the frame it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Let me in under this name. It is not checked yet, nor is where I say I can be reached.
    Enter {
        choice: Choice<'a>,
        name: &'a str,
        contact: Contact,
    },
    /// Keep this name in that room for whoever shows the secret that I get for it.
    Reserve { choice: Choice<'a>, name: AskedName },
    /// Let me be heard under the name that is kept for me, and reach me here from now on.
    Appear,
    /// Has this name an account?
    FindAccount { name: &'a str },
    /// Let me into the lobby as the owner of this account, or make it mine if nobody has it.
    Authenticate { name: &'a str, password: &'a str },
    /// Who is in my room?
    Members,
    /// I am still here.
    KeepAlive,
    /// Tell the room. `time` is what my clock says; without one the server's counts. `claimed` is the name that the
    /// message itself bears, where it bears one: never obeyed, who speaks is who joined.
    Say {
        text: &'a str,
        time: Option<TimeOfDay>,
        claimed: Option<&'a str>,
    },
    /// Tell one member.
    Direct {
        to: &'a str,
        text: &'a str,
        claimed: Option<&'a str>,
    },
    /// I am going.
    Leave,
}

/// What happened, as those who hear it are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Somebody spoke to the room.
    Said {
        from: &'a str,
        text: &'a str,
        time: TimeOfDay,
    },
    /// Somebody spoke to one member.
    Direct {
        from: &'a str,
        text: &'a str,
        time: TimeOfDay,
    },
    /// Somebody is in the room from now on.
    Arrived { name: &'a str, contact: Contact },
    /// Somebody is not in the room any more.
    Left { name: &'a str, contact: Contact },
    /// Somebody else asked for the name of this one member.
    NameAsked,
    /// The server itself says something, as [`SERVER_NAME`](super::SERVER_NAME).
    Notice { text: &'a str, time: TimeOfDay },
    /// The room is gone; its members are in none.
    RoomClosed,
}

/// Where events go: whoever owns the connections encodes them and sends them out.
pub trait Deliver<Seat> {
    /// To everybody who is heard in the room. `actor` is whose doing it is, where that matters to what
    /// they hear of it themselves: their own words, their own arrival.
    fn to_room(&mut self, room: RoomId, event: Event<'_>, actor: Seat);

    /// To one member alone. Whether there is a way to tell it.
    fn to_member(&mut self, seat: Seat, event: Event<'_>) -> bool;

    /// This member is in the room's audience from now on, and is `id`.
    /// Called after the others were told, before anything else happens in the room.
    fn seat(&mut self, seat: Seat, room: RoomId, id: MemberId);

    /// This member is in no room any more, and its id means nothing. Called before the others are
    /// told that it left, and after all were told that the room closed.
    fn unseat(&mut self, seat: Seat, room: RoomId);
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks the rules for names.
    NotAName(NameError),
    /// Somebody else in that room holds it.
    NameTaken,
    /// Rooms are opened once.
    RoomExists,
    /// Nobody has opened it, or its host has gone.
    NoSuchRoom,
    /// The room holds as many as it may.
    RoomFull { limit: usize },
    /// There are as many rooms as there may be.
    TooManyRooms { limit: usize },
    /// Its address has opened as many rooms as it may.
    TooManyRoomsOfAddress { limit: usize },
    /// Wrong password, or that account is in already, or there are no new accounts: which one is told to nobody.
    Denied,
    /// Too many wrong passwords.
    TryAgain { seconds: u32 },
    /// Too much to do at the moment.
    Busy,
    /// The disk would not take its account.
    NotSaved,
    /// Its address has as many members, or names kept for it, as it may.
    TooManyFromAddress { limit: usize },
    /// The server takes nobody in any more: it waits for those who are in to leave.
    Draining,
}

/// What became of something said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It went to this many others.
    ToOthers(usize),
    /// There was nothing in it.
    Nothing,
    /// It went nowhere: its speaker speaks too fast.
    TooFast,
    /// Nobody of that name is there.
    NobodyThere,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotAName(error) => error.fmt(f),
            Refusal::NameTaken => write!(f, "name taken"),
            Refusal::RoomExists => write!(f, "room exists"),
            Refusal::NoSuchRoom => write!(f, "no such room"),
            Refusal::RoomFull { limit } => write!(f, "room full, {limit} are in it"),
            Refusal::TooManyRooms { limit } => write!(f, "too many rooms, {limit} stand"),
            Refusal::TooManyRoomsOfAddress { limit } => {
                write!(f, "too many rooms of your address, {limit} stand")
            }
            Refusal::Denied => write!(f, "wrong name or password"),
            Refusal::TryAgain { seconds } => write!(f, "try again in {seconds} s"),
            Refusal::Busy => write!(f, "busy, try again"),
            Refusal::NotSaved => write!(f, "not saved, try later"),
            Refusal::TooManyFromAddress { limit } => {
                write!(f, "too many from your address, {limit} are in")
            }
            Refusal::Draining => write!(f, "the server stops soon"),
        }
    }
}
